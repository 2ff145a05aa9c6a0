"""Which statements make a dataset's tables hold what a schema says: pure text, nothing is run here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from oarlock.destinations.base import TableDocument
from oarlock.destinations.dialect import ColumnDocument, Dialect


@dataclass(slots=True)
class Change:
    """Statements to run, and what they add: table -> columns."""

    statements: list[str] = field(default_factory=list)
    added: dict[str, list[str]] = field(default_factory=dict)


def complete_columns(table: TableDocument) -> dict[str, ColumnDocument]:
    """Give the columns that have a type; one that never saw a value has none, and is not made."""
    return {name: column for name, column in table.get("columns", {}).items() if column.get("data_type")}


def create_table(dialect: Dialect, dataset: str, name: str, table: TableDocument) -> str:
    """Make the statement that creates a table."""
    columns = ", ".join(_column(dialect, name, column) for name, column in complete_columns(table).items())
    return f"CREATE TABLE IF NOT EXISTS {dialect.path(dataset, name)} ({columns})"


def _column(dialect: Dialect, name: str, column: ColumnDocument, *, nullable: bool | None = None) -> str:
    may_be_null = column.get("nullable", True) if nullable is None else nullable
    return f"{dialect.quote(name)} {dialect.type_of({**column, 'name': name})}{'' if may_be_null else ' NOT NULL'}"


def add_column(dialect: Dialect, dataset: str, table: str, name: str, column: ColumnDocument) -> str:
    """Make the statement that adds one column, always nullable: rows that are there have no value for it."""
    definition = _column(dialect, name, column, nullable=True)
    return f"ALTER TABLE {dialect.path(dataset, table)} ADD COLUMN IF NOT EXISTS {definition}"


def change_tables(
    dialect: Dialect,
    dataset: str,
    wanted: Mapping[str, TableDocument],
    there: Mapping[str, Collection[str]],
) -> Change:
    """Say how the tables ``there`` come to hold all that is ``wanted``. Only adds: types are never changed.

    Args:
        there: table -> its columns, as the database spells them.
    """
    change = Change()
    known = {dialect.fold(table): {dialect.fold(c) for c in columns} for table, columns in there.items()}
    for name, table in wanted.items():
        columns = complete_columns(table)
        have = known.get(dialect.fold(name))
        if have is None:
            if columns:
                change.statements.append(create_table(dialect, dataset, name, table))
                change.added[name] = list(columns)
            continue
        missing = {c: doc for c, doc in columns.items() if dialect.fold(c) not in have}
        change.statements += [add_column(dialect, dataset, name, c, doc) for c, doc in missing.items()]
        if missing:
            change.added[name] = list(missing)
    return change


def seen_tables(tables: Mapping[str, TableDocument]) -> dict[str, TableDocument]:
    """Give the tables that ever saw a row. One that did not is not made, whatever its columns."""
    return {name: table for name, table in tables.items() if _seen(table)}


def _seen(table: TableDocument) -> bool:
    mark: Any = table.get("x-normalizer")
    return isinstance(mark, Mapping) and bool(mark.get("seen-data"))


def family(tables: Mapping[str, TableDocument], root: str) -> list[str]:
    """Give a root table and all tables nested below it, parents first."""
    children: dict[str, list[str]] = {}
    for name, table in tables.items():
        if parent := table.get("parent"):
            children.setdefault(parent, []).append(name)
    found, waiting = [root], [root]
    while waiting:
        for child in children.get(waiting.pop(0), ()):
            if child not in found:
                found.append(child)
                waiting.append(child)
    return found


def root_of(tables: Mapping[str, TableDocument], table: str) -> str:
    """Give the table at the top of a nested one."""
    seen = {table}
    while (parent := tables.get(table, {}).get("parent")) and parent not in seen:
        table = parent
        seen.add(table)
    return table
