"""The schema in hand: one author each version, grown in the store while others grow it too."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from oarlock.schema.delta import SchemaDelta, merge
from oarlock.schema.document import Schema
from oarlock.state.base import SchemaRecord, StateStore, Transaction


class SchemaInHand:
    """A schema as this worker knows it; asks the store only when it must grow."""

    def __init__(self, store: StateStore, name: str, *, worker: str, told: Callable[..., None]) -> None:
        self._store, self._worker, self._told = store, worker, told
        with store.snapshot() as snapshot:
            record = snapshot.schema(name)
        self.schema = Schema.new(name) if record is None else Schema.from_document(record.document)
        self._stored = None if record is None else record.version

    def grow(self, delta: SchemaDelta) -> Schema:
        """Join a delta with what is in the store now, and give the schema that came of it.

        Columns that another worker added meanwhile are in it too, perhaps with other types than the delta wanted.
        """
        name = self.schema.name
        with self._store.transaction(f"change schema {name}", durable=False) as tx:
            # Not waited for: the package's own commit comes after it in the same log and is.
            current = self._newest(tx, name)
            merged = merge(current, delta)
            if merged.changed:
                tx.put_schema(record_of(merged.schema, self._worker))
            stored = merged.schema.version if merged.changed else tx.schema_version(name)
        self.schema, self._stored = merged.schema, stored
        if merged.changed:
            tables = {table: len(partial.get("columns", {})) for table, partial in delta.items()}
            self._told("schema.changed", schema=name, version=merged.schema.version, tables=tables)
        return self.schema

    def drop_tables(self, tables: Sequence[str]) -> Schema:
        """Take tables out of the schema (they are dropped at the destination with the package that follows)."""
        name = self.schema.name
        with self._store.transaction(f"drop tables of schema {name}", durable=False) as tx:
            self.schema = self._newest(tx, name).without_tables(tables)
            tx.put_schema(record_of(self.schema, self._worker))
        self._stored = self.schema.version
        self._told("schema.changed", schema=name, version=self.schema.version, tables=list(tables))
        return self.schema

    def keep(self, tx: Transaction) -> None:
        """Put the schema into the store where it is not there yet: a package may name one that has no tables."""
        if tx.schema_version(self.schema.name) is None:
            tx.put_schema(record_of(self.schema, self._worker))
            self._stored = self.schema.version

    def _newest(self, tx: Transaction, name: str) -> Schema:
        version = tx.schema_version(name)
        if version is None:
            return Schema.new(name)
        if version == self._stored:
            return self.schema
        record = tx.schema(name)
        assert record is not None
        return Schema.from_document(record.document)


def record_of(schema: Schema, worker: str) -> SchemaRecord:
    """Give a schema as the store keeps it."""
    return SchemaRecord(
        name=schema.name,
        version=schema.version,
        version_hash=schema.version_hash,
        document=schema.document(),
        author=worker,
        created_at=time.time(),
    )
