"""The schema in hand: one author each version, grown in the store while others grow it too.

Growth is put into the store at once, so that other workers know of it. Tables that a refresh takes away are not: they
go in the transaction that commits the package which drops them at the destination, or not at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from oarlock.errors import SchemaError
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
        #: Tables that the package takes away; once there are any, the schema in hand is this worker's own.
        self._dropped: set[str] = set()

    def grow(self, delta: SchemaDelta) -> Schema:
        """Join a delta with what is in the store now, and give the schema that came of it.

        Columns that another worker added meanwhile are in it too, perhaps with other types than the delta wanted.
        """
        if self._dropped:
            self.schema = merge(self.schema, delta).schema
            return self.schema
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
        """Take tables out of the schema in hand, and out of the store's when the package is committed."""
        self._dropped.update(tables)
        self.schema = self.schema.without_tables(tables)
        return self.schema

    def emptied(self, dispositions: Mapping[str, str]) -> list[str]:
        """Name the tables that a package empties, even by bringing no row: a replace by nothing is one too."""
        roots = [table for table, how in dispositions.items() if how == "replace" and table in self.schema.tables]
        return [table for root in roots for table in (root, *self.schema.descendants_of(root))]

    def keep(self, tx: Transaction, tables: Iterable[str]) -> Schema:
        """See to it, in a package's own transaction, that the store's schema has what the package needs; give it.

        Raises:
            SchemaError: another worker has made a column anew meanwhile, of another type than the package's rows.
        """
        name = self.schema.name
        version = tx.schema_version(name)
        if version is not None and version == self._stored and not self._dropped:
            return self.schema
        record = tx.schema(name)
        current = Schema.new(name) if record is None else Schema.from_document(record.document)
        kept = current.without_tables([table for table in self._dropped if table in current.tables])
        merged = merge(kept, self._needed(self.schema.data_tables() if self._dropped else tables))
        if merged.conflicts:
            one = merged.conflicts[0]
            raise SchemaError(
                f"column {one.table}.{one.column} has become {one.have} while this run made it {one.wanted}: another "
                "worker took the table away and made it anew. Nothing was committed; run it again"
            )
        if version is None or merged.schema is not current:
            tx.put_schema(record_of(merged.schema, self._worker))
        self.schema, self._stored = merged.schema, merged.schema.version
        return self.schema

    def tell_dropped(self) -> None:
        """Log, after the commit, which tables went."""
        if self._dropped:
            self._told(
                "schema.changed", schema=self.schema.name, version=self.schema.version, tables=sorted(self._dropped)
            )

    def _needed(self, tables: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Give the package's tables and those that they are nested in, as this worker knows them."""
        needed: dict[str, dict[str, Any]] = {}
        for table in tables:
            name: str | None = table
            while name is not None and name not in needed and name in self.schema.tables:
                needed[name] = self.schema.tables[name]
                name = needed[name].get("parent")
        return needed

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
