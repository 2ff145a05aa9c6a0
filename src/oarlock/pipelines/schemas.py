"""The schemas of a pipeline as a mapping by name, each read from the store when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from oarlock.errors import SchemaNotFound
from oarlock.schema.document import Schema
from oarlock.state.base import StateStore


class Schemas(Mapping[str, Schema]):
    """Read-only: a schema grows by loading data, under the guard."""

    def __init__(self, store: StateStore) -> None:
        self._store = store

    def __getitem__(self, name: str) -> Schema:
        with self._store.snapshot() as snapshot:
            record = snapshot.schema(name)
            if record is None:
                raise SchemaNotFound(name, snapshot.schema_names())
        return Schema.from_document(record.document)

    def __iter__(self) -> Iterator[str]:
        with self._store.snapshot() as snapshot:
            return iter(snapshot.schema_names())

    def __len__(self) -> int:
        with self._store.snapshot() as snapshot:
            return len(snapshot.schema_names())

    def __repr__(self) -> str:
        return f"<schemas {', '.join(self) or 'none yet'}>"
