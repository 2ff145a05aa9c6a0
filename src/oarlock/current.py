"""``oarlock.current``: what running code may ask about where it runs."""

from __future__ import annotations

from oarlock.errors import PipelineNotActive
from oarlock.pipelines.active import active_pipeline
from oarlock.pipelines.pipeline import Pipeline
from oarlock.scope import resource_name, resource_state, source_state

#: The other name of ``source_state``.
state = source_state


def pipeline() -> Pipeline:
    """Give the active pipeline.

    Raises:
        PipelineNotActive: no pipeline is active in this thread.
    """
    found = active_pipeline()
    if found is None:
        raise PipelineNotActive("")
    return found


__all__ = ["pipeline", "resource_name", "resource_state", "source_state", "state"]
