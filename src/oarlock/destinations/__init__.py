"""Destinations: where rows go. Naming one imports no driver and reads no secret."""

from oarlock.destinations.base import Destination, DestinationReference
from oarlock.destinations.factories import DuckDbDestination, PostgresDestination, duckdb, postgres
from oarlock.destinations.registry import from_reference, known, resolve

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
