"""Mutants: one rule of the protocol broken in each. A sweep that does not find them could not find a real mistake.

Each is put into the children alone, by replacing a function there.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import oarlock.destinations.writing
import oarlock.pipelines.intake
import oarlock.pipelines.membership
from oarlock.destinations.clients.duckdb import Database
from oarlock.destinations.clients.duckdb_load import DuckDbSession
from oarlock.pipelines.membership import Membership
from oarlock.steps.commit import commit_packages
from oarlock.steps.load import Loaded, Loader
from oarlock.steps.schemas import SchemaInHand, record_of


@dataclass(frozen=True, slots=True)
class Mutant:
    """A broken rule, the scenario that shows it, and what must be found there."""

    scenario: str
    finds: str
    mutate: Callable[[], None]
    #: Patterns of the calls between which the rule matters: the sweep begins and ends there.
    between: tuple[str, str]


#: All by the rule that they break.
MUTANTS: dict[str, Mutant] = {}
#: Calls between which rows are spooled, are loaded, and have arrived.
_SPOOLING, _LOADING, _ARRIVED = (
    ("packages/", r"/loader\.lock"),
    (r"/loader\.lock", r"duckdb\.wal"),
    r"unlink.*packages/",
)


def _put(owner: object, name: str, function: Callable[..., Any]) -> None:
    setattr(owner, name, function)


def _breaks(
    rule: str, *, scenario: str, finds: str, between: tuple[str, str]
) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def keep(mutate: Callable[[], None]) -> Callable[[], None]:
        MUTANTS[rule] = Mutant(scenario, finds, mutate, between)
        return mutate

    return keep


@_breaks("marks loaded before the destination commits", scenario="append", finds="lost", between=_LOADING)
def _marks_before_the_destination_commits() -> None:
    load_group = Loader._load_group

    def mutant(self: Loader, group: Any, *rest: Any) -> None:
        with self.store.transaction("mark too early") as tx:
            for package in group:
                tx.put_package(replace(package, state="loaded"))
        load_group(self, group, *rest)

    _put(Loader, "_load_group", mutant)


@_breaks("acknowledges before the store commits", scenario="spooled", finds="lost", between=("packages/", _ARRIVED))
def _acknowledges_before_the_store_commits() -> None:
    load = Loader.load
    waiting: list[Callable[[], Any]] = []

    def later(store: Any, packages: Any, *rest: Any, **options: Any) -> Any:
        waiting.append(lambda: commit_packages(store, packages, *rest, **options))
        return list(packages)

    def first_commit(self: Loader, *rest: Any, **options: Any) -> Loaded:
        while waiting:
            waiting.pop(0)()
        return load(self, *rest, **options)

    _put(oarlock.pipelines.intake, "commit_packages", later)
    _put(Loader, "load", first_commit)


@_breaks("commits the cursor before the package", scenario="append", finds="lost", between=_SPOOLING)
def _commits_the_cursor_before_the_package() -> None:
    def mutant(store: Any, packages: Any, state: Any, *, author: str, **options: Any) -> Any:
        changes = state.changes()
        if changes is not None:
            with store.transaction("cursor first") as tx:
                tx.merge(changes[0], changes[1], author=author)
        return commit_packages(store, packages, None, author=author, **options)

    _put(oarlock.pipelines.intake, "commit_packages", mutant)


@_breaks("does not ask for the load id", scenario="append", finds="dup", between=(r"duckdb\.wal", _ARRIVED))
def _does_not_ask_for_the_load_id() -> None:
    _put(oarlock.destinations.writing, "loaded_ids", lambda session, load_ids: set())


@_breaks("commits rows and load id apart", scenario="append", finds="dup", between=(r"duckdb\.wal", _ARRIVED))
def _commits_rows_and_load_id_apart() -> None:
    query = DuckDbSession.query

    def mutant(self: DuckDbSession, sql: str, *args: Any) -> Any:
        if sql.startswith("INSERT INTO") and "_dlt_loads" in sql:
            self.commit()
            self.begin()
        return query(self, sql, *args)

    _put(DuckDbSession, "query", mutant)


@_breaks("makes the database in place", scenario="first", finds="stuck", between=(r"database/boat\.duckdb", _ARRIVED))
def _makes_the_database_in_place() -> None:
    _put(Database, "_create", lambda self: None)


@_breaks("wipes in place", scenario="drop", finds="stuck", between=(r"unlinkat.*/boat/", r"rmdir.*/boat\)"))
def _wipes_in_place() -> None:
    def mutant(folder: Path) -> Path:
        shutil.rmtree(folder)
        return folder

    _put(oarlock.pipelines.membership, "throw_away", mutant)


@_breaks("sweeps nothing", scenario="append", finds="litter", between=_SPOOLING)
def _sweeps_nothing() -> None:
    _put(Membership, "sweep", lambda self: [])


@_breaks(
    "drops tables before the commit", scenario="refresh", finds="stuck", between=(r"pwrite64.*db-wal", "packages/")
)
def _drops_tables_before_the_commit() -> None:
    drop_tables = SchemaInHand.drop_tables

    def mutant(self: SchemaInHand, tables: Any) -> Any:
        made = drop_tables(self, tables)
        with self._store.transaction("drop too early") as tx:
            tx.put_schema(record_of(made, "mutant"))
        self._stored, self._dropped = made.version, set()
        return made

    _put(SchemaInHand, "drop_tables", mutant)
