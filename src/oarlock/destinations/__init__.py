"""Destinations: where rows go. Naming one imports no driver and reads no secret."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oarlock.destinations.base import Destination
    from oarlock.destinations.factories import DuckDbDestination, PostgresDestination, duckdb, postgres
    from oarlock.destinations.reference import DestinationReference
    from oarlock.destinations.registry import from_reference, known, resolve

#: A worker that attaches needs none of these before its first run.
_HOMES = {
    "Destination": "base",
    "DestinationReference": "reference",
    "DuckDbDestination": "factories",
    "PostgresDestination": "factories",
    "duckdb": "factories",
    "from_reference": "registry",
    "known": "registry",
    "postgres": "factories",
    "resolve": "registry",
}

__all__ = [
    "Destination",
    "DestinationReference",
    "DuckDbDestination",
    "PostgresDestination",
    "duckdb",
    "from_reference",
    "known",
    "postgres",
    "resolve",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'oarlock.destinations' has no attribute {name!r}")
    value = getattr(import_module(f"oarlock.destinations.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
