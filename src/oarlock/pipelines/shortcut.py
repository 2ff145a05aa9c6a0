"""``oarlock.run()``: load with the active pipeline, or a default one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oarlock.pipelines.creating import pipeline

if TYPE_CHECKING:
    from oarlock.pipelines.info import LoadInfo


def run(
    data: Any, *, destination: Any = None, staging: Any = None, dataset_name: str | None = None, **options: Any
) -> LoadInfo | None:
    """Load data with the active pipeline, or with one that is named after the script; see ``Pipeline.run``."""
    return pipeline().run(data, destination=destination, staging=staging, dataset_name=dataset_name, **options)
