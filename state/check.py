"""Looking at a whole store for what is wrong with it: SQLite's own check, then every document, schema and package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from oarlock.errors import OarlockError
from oarlock.schema.hashing import TableText, content_hash
from oarlock.state.connection import Connection
from oarlock.state.creation import check_owner, identify
from oarlock.state.documents import read_key, shown
from oarlock.state.reading import Reading
from oarlock.state.rows import read_package
from oarlock.state.typed_json import loads

#: Of one kind of damage so many cases are told; a torn file has thousands.
_TOLD = 20


def problems(path: Path, pipeline_name: str) -> list[str]:
    """Give what is wrong with a store, one sentence each; empty where nothing is."""
    found: list[str] = []
    connection: Connection | None = None
    try:
        connection = Connection(path)
        identify(connection)
        check_owner(connection, pipeline_name)
        for look in (_pages, _documents, _schemas, _packages):
            found += _first(look(connection))
    except OarlockError as error:
        found.append(str(error))
    finally:
        if connection is not None:
            connection.close()
    return found


def _first(sentences: Iterator[str]) -> list[str]:
    told: list[str] = []
    for sentence in sentences:
        if len(told) == _TOLD:
            return [*told, "… and more of this kind"]
        told.append(sentence)
    return told


def _pages(connection: Connection) -> Iterator[str]:
    for (line,) in connection.run("PRAGMA quick_check"):
        if line != "ok":
            yield f"{str(connection.path)!r}: {line}"


def _documents(connection: Connection) -> Iterator[str]:
    for key, value in connection.rows("all_documents"):
        try:
            name = shown(read_key(key))
        except (TypeError, ValueError) as error:
            yield f"a state document has the key {key!r}, which is no path: {error}"
            continue
        try:
            loads(value)
        except (TypeError, ValueError) as error:
            yield f"state document {name!r} does not parse: {error}"


def _schemas(connection: Connection) -> Iterator[str]:
    reading = Reading(connection)
    for name in reading.schema_names():
        for version, stored_hash, *_ in reading.schema_history(name):
            what = f"schema {name!r} version {version}"
            try:
                record = reading.schema(name, version)
            except OarlockError as error:
                yield str(error)
                continue
            if record is None:
                yield f"{what}: it is listed, but not there"
            elif stored_hash != _content_hash(record.document):
                yield f"{what}: its content does not match its hash {stored_hash}"


def _content_hash(document: dict[str, Any]) -> str:
    head = {key: value for key, value in document.items() if key != "tables"}
    return content_hash(head, {name: TableText(table) for name, table in document["tables"].items()})


def _packages(connection: Connection) -> Iterator[str]:
    for row in connection.rows("packages", -1):
        try:
            read_package(row, connection.path)
        except OarlockError as error:
            yield str(error)
