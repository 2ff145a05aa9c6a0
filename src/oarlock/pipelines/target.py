"""Targets: a destination bound to a dataset, as packages remember them and as loaders reach them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oarlock.destinations.reference import DestinationReference

if TYPE_CHECKING:
    from oarlock.destinations.base import Destination, DestinationClient


@dataclass(slots=True)
class Target:
    """Where packages go: one dataset of one destination. The driver is imported with the first ``client()``."""

    destination: Destination
    dataset_name: str
    pipeline_name: str
    default_folder: Path
    working_dir: Path
    timeout_s: float
    _client: DestinationClient | None = field(default=None, repr=False)

    @property
    def key(self) -> str:
        """The same for two packages that can be loaded in one transaction."""
        return f"{self.destination.type} {self.client().displayable_location()} {self.dataset_name}"

    def client(self) -> DestinationClient:
        """Give the destination's client for the dataset."""
        if self._client is None:
            self._client = self.destination.client(
                self.dataset_name,
                pipeline_name=self.pipeline_name,
                default_folder=self.default_folder,
                working_dir=self.working_dir,
                timeout_s=self.timeout_s,
            )
        return self._client


def reference_to_document(reference: DestinationReference) -> dict[str, Any]:
    """Give a reference as the store keeps it."""
    return {"type": reference.type, "name": reference.name, "options": dict(reference.options)}


def reference_from_document(document: Any) -> DestinationReference | None:
    """Give a reference from what the store keeps; ``None`` where it keeps none."""
    if not isinstance(document, Mapping) or "type" not in document:
        return None
    return DestinationReference(
        document["type"], document.get("name") or document["type"], document.get("options") or {}
    )
