"""What the loader needs of one connection to one dataset, and the questions that all of them ask alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from oarlock.destinations.base import JobFile
from oarlock.destinations.dialect import Dialect
from oarlock.destinations.system import COMPLETE, LOADS


class Refused(Exception):
    """The database refused a statement for what the statement or its rows hold; the connection itself is well."""


class CommitUnknown(Exception):
    """A commit was sent and did not come back well: it may or may not have happened."""


class Again(Exception):
    """The database ended the transaction to keep two workers apart; the same work may succeed at once."""


class Session(Protocol):
    """One connection. Raises ``Refused`` where a statement is at fault, a DestinationError where all is."""

    dialect: Dialect
    dataset: str
    ddl_apart: bool  # tables change in a transaction before the rows', so that no worker waits for another's rows

    def begin(self) -> None: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def query(self, sql: str, *args: Any) -> list[tuple[Any, ...]]: ...
    def insert(self, table: str, jobs: Sequence[JobFile]) -> int: ...
    def claim(self, names: Iterable[str]) -> None: ...
    def make_dataset(self) -> None: ...


def columns_of(session: Session, tables: Iterable[str] | None = None) -> dict[str, list[str]]:
    """Give the columns of the tables that are there, of all where none are named, as the database spells them."""
    name, dataset = "table_name", "table_schema = $1"
    if session.dialect.folds_case:
        name, dataset = "lower(table_name)", "lower(table_schema) = lower($1)"
    args: list[Any] = [session.dataset]
    if tables is not None:
        dataset += f" AND {name} = ANY($2)"
        args.append(sorted({session.dialect.fold(table) for table in tables}))
    rows = session.query(
        f"SELECT table_name, column_name FROM information_schema.columns WHERE {dataset} "
        "AND table_catalog = current_database() ORDER BY table_name, ordinal_position",
        *args,
    )
    found: dict[str, list[str]] = {}
    for table, column in rows:
        found.setdefault(table, []).append(column)
    return found


def loaded_ids(session: Session, load_ids: Iterable[str]) -> set[str]:
    """Give those of the load ids whose packages are in the dataset. The table of loads must be there."""
    wanted = sorted(set(load_ids))
    if not wanted:
        return set()
    loads = session.dialect.path(session.dataset, LOADS)
    rows = session.query(
        f"SELECT DISTINCT load_id FROM {loads} WHERE load_id = ANY($1) AND status = $2", wanted, COMPLETE
    )
    return {row[0] for row in rows}
