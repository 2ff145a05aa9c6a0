"""Growth: a schema and the new tables and columns that a batch of rows brought make the next schema.

The rules, so that any number of workers end with one schema whoever comes first:

* New tables and columns are appended, in the order in which they come; nothing is ever taken away.
* What a column is made of at the destination stays: its data type, precision, scale, timezone and whether it takes
  NULL. A delta that wants another type gets a :class:`Conflict` and its column is left as it was; the caller aligns
  its rows to the schema that comes back.
* A column that was only declared, without a data type, is completed by the first delta that knows one, and moves to
  the end: it is made at the destination only now. What was declared of it holds against what was inferred.
* Any other hint is taken over from the delta.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from oarlock.errors import SchemaError
from oarlock.schema.checks import check_parents, check_table
from oarlock.schema.document import Schema
from oarlock.schema.hashing import TableText
from oarlock.schema.system import DECIMAL

#: Partial tables by name: each with its new or changed columns and hints.
SchemaDelta = Mapping[str, Mapping[str, Any]]

_TYPE_HINTS = ("precision", "scale", "timezone")
# What a column is made of at the destination, whatever a delta says.
_KEPT = frozenset({"name", "data_type", "nullable", "variant", *_TYPE_HINTS})


@dataclass(frozen=True, slots=True)
class Conflict:
    """A delta wanted another type for a column than the one it has: it keeps the one it has."""

    table: str
    column: str
    have: str  # "bigint", "decimal(38,9)", …
    wanted: str


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of a schema and a delta."""

    schema: Schema
    conflicts: list[Conflict]
    changed: bool


def merge(schema: Schema, delta: SchemaDelta) -> Merged:
    """Merge a delta into a schema; its version rises by one exactly when its content changes.

    Raises:
        SchemaError: The delta is malformed, names a parent that is not there, or nests a table that is a root.
    """
    conflicts: list[Conflict] = []
    changed: dict[str, TableText] = {}
    for name in _parents_first(schema, delta):
        before = schema.texts.get(name)
        if before is None:
            changed[name] = TableText(_new_table(name, delta[name]))
            continue
        document = _merged_table(name, before.document, delta[name], conflicts)
        if document is not None:
            after = TableText(document)
            if not after.same_content(before):
                changed[name] = after
    if not changed:
        return Merged(schema, conflicts, changed=False)
    return Merged(schema.grown({**schema.texts, **changed}), conflicts, changed=True)


def complete(column: Mapping[str, Any]) -> bool:
    """Tell whether a column is known well enough to be made: it has a data type."""
    return bool(column.get("data_type"))


def type_text(column: Mapping[str, Any]) -> str:
    """Write a column's type as people read it."""
    numbers = ",".join(str(column[hint]) for hint in ("precision", "scale") if column.get(hint) is not None)
    zone = "" if column.get("timezone") is not False else " without time zone"
    return f"{column['data_type']}{f'({numbers})' if numbers else ''}{zone}"


def _parents_first(schema: Schema, delta: SchemaDelta) -> Iterator[str]:
    new = {name: table.get("parent") for name, table in delta.items() if name not in schema.texts}
    if not any(new.values()):
        yield from delta
        return
    check_parents({**dict.fromkeys(schema.texts), **new})
    seen: set[str] = set()
    for name in delta:
        chain: list[str] = []
        while name in delta and name not in seen:
            seen.add(name)
            chain.append(name)
            name = new.get(name) or ""
        yield from reversed(chain)


def _new_table(name: str, partial: Mapping[str, Any]) -> dict[str, Any]:
    columns = {column: {"name": column, **hints} for column, hints in (partial.get("columns") or {}).items()}
    table = {"name": name, "columns": columns}
    table |= {key: value for key, value in partial.items() if key not in table and value is not None}
    check_table(name, table)
    if table.get("parent"):
        _check_nested(name, table)
    else:
        table.setdefault("write_disposition", "append")
        table.setdefault("resource", name)
    return table


def _check_nested(name: str, partial: Mapping[str, Any]) -> None:
    for key in ("resource", "write_disposition"):
        if partial.get(key):
            raise SchemaError(f"table {name!r} is nested, so it has no {key} of its own: set it on its root table")


def _merged_table(
    name: str, have: dict[str, Any], partial: Mapping[str, Any], conflicts: list[Conflict]
) -> dict[str, Any] | None:
    """Merge one table's delta; None where it says nothing new."""
    parent, wanted = have.get("parent"), partial.get("parent")
    if wanted and wanted != parent:
        is_now = f"nested in {parent!r}" if parent else "a root table"
        raise SchemaError(f"table {name!r} is {is_now} and cannot be nested in {wanted!r} too: rename one of them")
    if parent:
        _check_nested(name, partial)
    hints = {key: _merged_hint(key, have.get(key), value) for key, value in partial.items() if key != "columns"}
    changed_hints = {
        k: v for k, v in hints.items() if v is not None and v != have.get(k) and k not in ("name", "parent")
    }
    columns = _merged_columns(name, have["columns"], partial.get("columns") or {}, conflicts)
    if not changed_hints and columns is None:
        return None
    table = {**have, **changed_hints, "columns": columns if columns is not None else have["columns"]}
    check_table(name, {**table, "columns": {c: table["columns"][c] for c in partial.get("columns") or {}}})
    return table


def _merged_hint(key: str, have: Any, value: Any) -> Any:
    if key == "references" and have and value:
        return list({ref["referenced_table"]: ref for ref in (*have, *value)}.values())
    if key.startswith("x-") and isinstance(have, dict) and isinstance(value, dict):
        return {**have, **value}
    return value


def _merged_columns(
    table: str, have: dict[str, dict[str, Any]], partial: Mapping[str, Mapping[str, Any]], conflicts: list[Conflict]
) -> dict[str, dict[str, Any]] | None:
    columns: dict[str, dict[str, Any]] | None = None
    for name, hints in partial.items():
        before = have.get(name)
        if before is None:
            after = {"name": name, **{key: value for key, value in hints.items() if value is not None}}
        elif complete(before):
            conflict = _conflict(table, name, before, hints)
            if conflict is not None:
                conflicts.append(conflict)
            after = _with_hints(before, hints)
        else:
            after = {**hints, **before} if complete(hints) else _with_hints(before, hints, kept=frozenset({"name"}))
        if after == before:
            continue
        if columns is None:
            columns = dict(have)
        if before is not None and complete(after) and not complete(before):
            del columns[name]
        columns[name] = after
    return columns


def _conflict(table: str, name: str, have: Mapping[str, Any], wanted: Mapping[str, Any]) -> Conflict | None:
    if not complete(wanted):
        return None
    same = wanted["data_type"] == have["data_type"] and all(
        wanted.get(hint) is None or _type_hint(wanted, hint) == _type_hint(have, hint) for hint in _TYPE_HINTS
    )
    return None if same else Conflict(table, name, type_text(have), type_text(wanted))


def _type_hint(column: Mapping[str, Any], hint: str) -> object:
    value = column.get(hint)
    if value is not None:
        return value
    if hint == "timezone":
        return True
    return dict(zip(_TYPE_HINTS, DECIMAL, strict=False)).get(hint) if column["data_type"] == "decimal" else None


def _with_hints(have: dict[str, Any], hints: Mapping[str, Any], kept: frozenset[str] = _KEPT) -> dict[str, Any]:
    changes = {
        key: value
        for key, value in hints.items()
        if key not in kept and value is not None and value != have.get(key, False)
    }
    return {**have, **changes} if changes else have
