"""The active pipeline of this thread: the one that argument-less calls mean."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from oarlock.pipelines.pipeline import Pipeline

_active: ContextVar[Pipeline | None] = ContextVar("oarlock_active_pipeline", default=None)


def active_pipeline() -> Pipeline | None:
    """Give the active pipeline, or ``None``."""
    return _active.get()


def set_active(pipeline: Pipeline | None) -> None:
    """Make a pipeline the active one."""
    _active.set(pipeline)
