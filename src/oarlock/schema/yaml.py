"""Schemas as people exchange them: YAML, without what goes without saying."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import yaml

from oarlock.errors import SchemaError
from oarlock.schema import system

_LINE_BREAKS = ("\x85", "\u2028", "\u2029")


def to_yaml(document: Mapping[str, Any], *, remove_defaults: bool) -> str:
    """Write a schema document; with ``remove_defaults``, names that only repeat their key are left out."""
    written = dict(document)
    if remove_defaults:
        written.pop("imported_version_hash", None)
        written["tables"] = {name: _without_names(table) for name, table in document["tables"].items()}
    # Line breaks of other scripts come back changed unless all that is not ASCII is escaped.
    plain = not any(mark in orjson.dumps(written).decode() for mark in _LINE_BREAKS)
    text: str = yaml.safe_dump(written, allow_unicode=plain, default_flow_style=False, sort_keys=False, width=120)
    return text


def from_yaml(text: str) -> dict[str, Any]:
    """Read a schema document and fill in what went without saying: the system's tables and the default settings.

    Raises:
        SchemaError: The text is not YAML, or not a mapping.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SchemaError(f"the schema is not YAML: {error}") from error
    if not isinstance(document, dict):
        raise SchemaError(f"a schema document is a mapping, not {type(document).__name__}")
    document.setdefault("engine_version", system.ENGINE_VERSION)
    document.setdefault("settings", system.default_settings())
    document.setdefault("normalizers", system.default_normalizers())
    tables = document.get("tables") or {}
    if isinstance(tables, dict):
        given = {name: _with_columns(table) for name, table in tables.items()}
        document["tables"] = {**_missing_system_tables(given), **given}
    return document


def _without_names(table: Mapping[str, Any]) -> dict[str, Any]:
    written = {key: value for key, value in table.items() if key != "name"}
    written["columns"] = {
        name: {key: value for key, value in column.items() if key != "name"}
        for name, column in table["columns"].items()
    }
    return written


def _with_columns(table: Any) -> Any:
    if isinstance(table, dict) and isinstance(table.setdefault("columns", {}), dict):
        return {**table, "columns": {name: {} if c is None else c for name, c in table["columns"].items()}}
    return table


def _missing_system_tables(given: Mapping[Any, Any]) -> dict[str, Any]:
    tables = (system.version_table(), system.loads_table())
    return {table["name"]: table for table in tables if table["name"] not in given}
