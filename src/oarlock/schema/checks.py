"""Checks of a schema document that came from outside: a file, a dataset, a person's editor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

from oarlock.errors import SchemaError
from oarlock.schema.naming import MAX_SCHEMA_NAME_LENGTH
from oarlock.schema.system import ENGINE_VERSION, LOADS_TABLE, VERSION_TABLE
from oarlock.values import WRITE_DISPOSITIONS, DataType

DATA_TYPES = frozenset(get_args(DataType))
#: Column hints that are yes or no.
_YES_OR_NO = frozenset(
    {
        *("nullable", "timezone", "partition", "cluster", "unique", "sort", "variant", "hard_delete", "incremental"),
        *("primary_key", "merge_key", "row_key", "parent_key", "root_key"),
    }
)
_NUMBERS = frozenset({"precision", "scale"})


def check_document(document: object) -> None:
    """Check the shape of a whole document and that its tables hang together. Raises SchemaError."""
    if not isinstance(document, dict):
        raise SchemaError(f"a schema document is a mapping, not {type(document).__name__}")
    _check_engine(document.get("engine_version"))
    name = document.get("name")
    if not (isinstance(name, str) and name.isidentifier() and len(name) <= MAX_SCHEMA_NAME_LENGTH):
        raise SchemaError(f"schema name {name!r} is not an identifier of at most {MAX_SCHEMA_NAME_LENGTH} characters")
    _check(document, "version", lambda v: _is_int(v) and v > 0, "a whole number from 1", f"schema {name!r}")
    _check(document, "version_hash", _is_str, "text", f"schema {name!r}")
    _check(document, "imported_version_hash", _is_str, "text", f"schema {name!r}")
    _check(document, "previous_hashes", _is_list_of_str, "a list of text", f"schema {name!r}")
    for key in ("settings", "normalizers"):
        _check(document, key, _is_mapping, "a mapping", f"schema {name!r}")
    _check_settings(document.get("settings") or {}, name)
    tables = document.get("tables")
    if not isinstance(tables, dict):
        raise SchemaError(f"schema {name!r} has no mapping of tables")
    for system_table in (VERSION_TABLE, LOADS_TABLE):
        if system_table not in tables:
            raise SchemaError(f"schema {name!r} lacks the system table {system_table!r}")
    for table_name, table in tables.items():
        check_table(table_name, table)
    check_parents({table_name: table.get("parent") for table_name, table in tables.items()})


def check_table(name: object, table: object) -> None:
    """Check one table's document. Raises SchemaError."""
    if not isinstance(name, str) or not name:
        raise SchemaError(f"table name {name!r} is not text; put it in quotes")
    where = f"table {name!r}"
    if not isinstance(table, dict):
        raise SchemaError(f"{where} is not a mapping")
    if table.get("name", name) != name:
        raise SchemaError(f"{where} says that its name is {table['name']!r}")
    for key in ("parent", "resource"):
        _check(table, key, _is_str, "text", where)
    _check(table, "write_disposition", WRITE_DISPOSITIONS.__contains__, f"one of {WRITE_DISPOSITIONS}", where)
    columns = table.get("columns")
    if not isinstance(columns, dict):
        raise SchemaError(f"{where} has no mapping of columns")
    for column_name, column in columns.items():
        _check_column(column_name, column, name)


def check_parents(parents: Mapping[str, str | None]) -> None:
    """Check that every parent is there and that no table is its own ancestor. Raises SchemaError."""
    rooted: set[str] = set()
    for table in parents:
        walked: set[str] = set()
        name: str | None = table
        while name is not None and name not in rooted:
            if name in walked:
                raise SchemaError(f"table {table!r} is its own ancestor, by {', '.join(sorted(walked))}")
            walked.add(name)
            if name not in parents:
                raise SchemaError(f"table {table!r} is nested in {name!r}, which is not in the schema")
            name = parents[name]
        rooted |= walked


def _check_column(name: object, column: object, table: str) -> None:
    where = f"column {name!r} of table {table!r}"
    if not isinstance(name, str) or not name:
        raise SchemaError(f"{where}: its name is not text; put it in quotes")
    if not isinstance(column, dict):
        raise SchemaError(f"{where} is not a mapping")
    for key, value in column.items():
        if value is None:
            continue
        if key == "data_type":
            if not isinstance(value, str) or value not in DATA_TYPES:
                raise SchemaError(f"{where} has data_type {value!r}; known are {', '.join(sorted(DATA_TYPES))}")
        elif key == "name":
            if value != name:
                raise SchemaError(f"{where} says that its name is {value!r}")
        elif key in _YES_OR_NO:
            if not isinstance(value, bool):
                raise SchemaError(f"{where} has {key} {value!r}; it is true or false")
        elif key in _NUMBERS and not (_is_int(value) and value >= 0):
            raise SchemaError(f"{where} has {key} {value!r}; it is a whole number from 0")


def _check_engine(engine: object) -> None:
    if not isinstance(engine, int):
        raise SchemaError("this is not a schema document: it has no engine_version")
    if engine != ENGINE_VERSION:
        way_out = (
            "upgrade oarlock"
            if engine > ENGINE_VERSION
            else "load it once with a dlt of 1.31 or later, which writes it anew"
        )
        raise SchemaError(f"the schema document has engine_version {engine}, known is {ENGINE_VERSION}: {way_out}")


def _check_settings(settings: Mapping[str, Any], name: str) -> None:
    where = f"the settings of schema {name!r}"
    _check(settings, "detections", _is_list_of_str, "a list of text", where)
    _check(settings, "default_hints", _is_mapping, "a mapping", where)
    _check(settings, "preferred_types", _is_mapping, "a mapping", where)
    for pattern, data_type in (settings.get("preferred_types") or {}).items():
        if data_type not in DATA_TYPES:
            raise SchemaError(f"{where}: preferred type {data_type!r} of {pattern!r} is not a data type")


def _check(document: Mapping[str, Any], key: str, ok: Callable[[Any], bool], want: str, where: str) -> None:
    value = document.get(key)
    if value is not None and not ok(value):
        raise SchemaError(f"{where} has {key} {value!r:.200}; it is {want}")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_str(value: object) -> bool:
    return isinstance(value, str)


def _is_mapping(value: object) -> bool:
    return isinstance(value, dict)


def _is_list_of_str(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_str, value))
