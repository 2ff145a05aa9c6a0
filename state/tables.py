"""Writing schemas: one row a table and a span of versions, so that a version costs what it changed."""

from __future__ import annotations

from oarlock.errors import StoreError
from oarlock.state.base import SchemaRecord
from oarlock.state.connection import Connection
from oarlock.state.typed_json import dumps

#: Versions of one schema that are kept, the newest among them.
VERSIONS_KEPT = 100


def put_schema(connection: Connection, record: SchemaRecord, seq: int) -> bool:
    """Write a version; False where it is the newest already.

    Raises:
        StoreError: The version is not newer than the newest.
    """
    head = connection.row("schema_head", record.name)
    if head is not None and head == (record.version, record.version_hash):
        return False
    if head is not None and record.version <= head[0]:
        raise StoreError(
            f"schema {record.name!r} is at version {head[0]}; version {record.version} is not newer. "
            "Make the change to the newest version again"
        )
    tables = record.document.get("tables")
    if not isinstance(tables, dict):
        raise StoreError(f"the document of schema {record.name!r} has no tables")
    header = dumps({**record.document, "tables": {}})
    name, version = record.name, record.version
    connection.rows("put_schema_version", name, version, record.version_hash, record.author, record.created_at, header)
    _put_tables(connection, name, version, {table: dumps(definition) for table, definition in tables.items()})
    connection.rows("put_schema_head", name, version, record.version_hash, seq)
    _forget_old(connection, name)
    return True


def _put_tables(connection: Connection, name: str, version: int, wanted: dict[str, bytes]) -> None:
    there = {table: (definition, int(place)) for table, definition, place in connection.rows("tables_now", name)}
    staying = [table for table in there if table in wanted]
    # Tables are added at the end; where they were put in another order, all are written anew.
    in_order = list(wanted)[: len(staying)] == staying
    for table, (definition, _) in there.items():
        if not in_order or wanted.get(table) != definition:
            connection.rows("end_table", version, name, table)
    next_place = max((place for _, place in there.values()), default=-1) + 1
    for table, definition in wanted.items():
        old, place = there.get(table, (None, next_place)) if in_order else (None, next_place)
        if old != definition:
            connection.rows("put_table", name, table, version, place, definition)
        next_place = max(next_place, place + 1)


def _forget_old(connection: Connection, name: str) -> None:
    oldest = connection.row("oldest_kept", name, VERSIONS_KEPT - 1)
    if oldest is not None:
        connection.rows("forget_versions", name, oldest[0])
        connection.rows("forget_tables", name, oldest[0])
