"""What running code may ask about where it runs: the active pipeline, and the state of its source and resource."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from oarlock.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class ResourceScope:
    """The source and resource whose code runs."""

    source_name: str | None
    resource_name: str | None


#: Gives the state of the run that is under way, as one nested dict; set by extract.
_run_state: ContextVar[Callable[[], dict[str, Any]] | None] = ContextVar("oarlock_run_state", default=None)
#: The default schema's name stands for the source where a resource has none.
_default_source: ContextVar[str | None] = ContextVar("oarlock_default_source", default=None)
_scope: ContextVar[ResourceScope | None] = ContextVar("oarlock_scope", default=None)


@contextmanager
def entered(scope: ResourceScope) -> Iterator[None]:
    """Run a block as code of one source and resource; a resource inside a source keeps the source's name."""
    outer = _scope.get()
    if scope.source_name is None and outer is not None and outer.source_name is not None:
        scope = ResourceScope(outer.source_name, scope.resource_name)
    _scope.set(scope)
    try:
        yield
    finally:
        # Set, not reset: a generator may be closed in another context than the one that started it.
        _scope.set(outer)


@contextmanager
def state_of_run(get_state: Callable[[], dict[str, Any]], default_source: str) -> Iterator[None]:
    """Let the code of a block read and change the state of the run through ``oarlock.current``."""
    outer = _run_state.get(), _default_source.get()
    _run_state.set(get_state)
    _default_source.set(default_source)
    try:
        yield
    finally:
        _run_state.set(outer[0])
        _default_source.set(outer[1])


def source_state() -> dict[str, Any]:
    """Give the state of the source that runs: a dict that is kept from run to run.

    Raises:
        ConfigurationError: no run is under way, so that changes would be lost.
    """
    get_state = _run_state.get()
    if get_state is None:
        raise ConfigurationError("source_state() works only inside a resource that run() or extract() iterates")
    scope = _scope.get()
    name = (scope.source_name if scope else None) or _default_source.get()
    found: dict[str, Any] = get_state().setdefault("sources", {}).setdefault(name, {})
    return found


def resource_state(resource_name: str | None = None) -> dict[str, Any]:
    """Give the state of the resource that runs (or of a named one of the same source).

    Raises:
        ConfigurationError: no run is under way, or no resource runs and none is named.
    """
    scope = _scope.get()
    name = resource_name or (scope.resource_name if scope else None)
    if name is None:
        raise ConfigurationError(
            "resource_state() works inside a resource; elsewhere name it: resource_state('issues')"
        )
    found: dict[str, Any] = source_state().setdefault("resources", {}).setdefault(name, {})
    return found


def resource_name() -> str:
    """Give the name of the resource that runs."""
    scope = _scope.get()
    if scope is None or scope.resource_name is None:
        raise ConfigurationError("resource_name() works only inside a resource")
    return scope.resource_name
