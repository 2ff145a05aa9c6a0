"""Hints: what a resource says of its root table before a row is looked at, beside what the schema knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from oarlock.schema.naming import Naming
from oarlock.values import WriteDisposition

#: Hints of a column that are settled once it has a type.
_SETTLED = frozenset({"name", "data_type", "nullable", "precision", "scale", "timezone"})


@dataclass(frozen=True, slots=True)
class TableHints:
    """What is known of a table's rows before the first is looked at; names are as the user wrote them."""

    table: str
    write_disposition: WriteDisposition = "append"
    primary_key: tuple[str, ...] = ()
    merge_key: tuple[str, ...] = ()
    columns: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    max_table_nesting: int | None = None
    resource: str = ""


@dataclass(frozen=True, slots=True)
class Declared:
    """A table as its hints declare it, names normalized."""

    table: Mapping[str, Any]
    columns: Mapping[str, Mapping[str, Any]]
    max_nesting: int | None

    @classmethod
    def of(cls, hints: TableHints, naming: Naming) -> Declared:
        """Take hints as a user gave them."""
        columns: dict[str, dict[str, Any]] = {}
        for key, said in hints.columns.items():
            name = naming.column(key)
            columns[name] = {"name": name, **{hint: value for hint, value in said.items() if hint != "name"}}
        for keys, hint in ((hints.primary_key, "primary_key"), (hints.merge_key, "merge_key")):
            for key in keys:
                name = naming.column(key)
                column = columns.setdefault(name, {"name": name})
                column[hint] = True
                column.setdefault("nullable", False)
        resource = hints.resource or naming.table(hints.table)
        table = {"resource": resource, "write_disposition": hints.write_disposition}
        return cls(table, columns, hints.max_table_nesting)

    def over(self, columns: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
        """Add what is declared to the columns of the schema; what is settled there stays."""
        if not self.columns:
            return columns
        laid = {**columns}
        for name, column in self.columns.items():
            known = columns.get(name, {})
            kept = {hint: value for hint, value in column.items() if not (known.get("data_type") and hint in _SETTLED)}
            laid[name] = {**kept, **known}
        return laid

    def missing_in(self, known: Mapping[str, Any] | None) -> dict[str, Any]:
        """Give what is declared and the schema's table does not say: a partial table, empty if there is nothing."""
        known = known or {}
        partial = {key: value for key, value in self.table.items() if known.get(key) != value}
        if self.max_nesting is not None and (known.get("x-normalizer") or {}).get("max_nesting") != self.max_nesting:
            partial["x-normalizer"] = {"max_nesting": self.max_nesting}
        have = known.get("columns", {})
        columns = {name: dict(column) for name, column in self.columns.items() if not _says(have.get(name), column)}
        if columns:
            partial["columns"] = columns
        return partial


def _says(known: Mapping[str, Any] | None, column: Mapping[str, Any]) -> bool:
    """Tell whether a known column says all that a declared one does, as far as it can still be changed."""
    if known is None:
        return False
    settled = _SETTLED if known.get("data_type") else frozenset({"name"})
    return all(
        hint in settled or value is None or known.get(hint, hint == "nullable") == value
        for hint, value in column.items()
    )
