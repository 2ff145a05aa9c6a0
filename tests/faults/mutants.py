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
from oarlock.steps.load import Loaded, Loader


@dataclass(frozen=True, slots=True)
class Mutant:
    """A broken rule, the scenario that shows it, and what must be found there."""

    rule: str
    scenario: str
    finds: str
    mutate: Callable[[], None]
    #: Where in the program the rule matters, as parts of its calls: the sweep begins and ends there.
    part: tuple[float, float] = (0.0, 1.0)


def _marks_before_the_destination_commits() -> None:
    load_group = Loader._load_group

    def mutant(self: Loader, group: Any, *rest: Any) -> None:
        with self.store.transaction("mark too early") as tx:
            for package in group:
                tx.put_package(replace(package, state="loaded"))
        load_group(self, group, *rest)

    Loader._load_group = mutant  # type: ignore[method-assign]


def _acknowledges_before_the_store_commits() -> None:
    commit, load = oarlock.pipelines.intake.commit_packages, Loader.load
    waiting: list[Callable[[], Any]] = []

    def later(store: Any, packages: Any, *rest: Any, **options: Any) -> Any:
        waiting.append(lambda: commit(store, packages, *rest, **options))
        return list(packages)

    def first_commit(self: Loader, *rest: Any, **options: Any) -> Loaded:
        while waiting:
            waiting.pop(0)()
        return load(self, *rest, **options)

    oarlock.pipelines.intake.commit_packages = later  # type: ignore[assignment]
    Loader.load = first_commit  # type: ignore[method-assign]


def _commits_the_cursor_before_the_package() -> None:
    commit = oarlock.pipelines.intake.commit_packages

    def mutant(store: Any, packages: Any, state: Any, *, author: str, **options: Any) -> Any:
        changes = state.changes()
        if changes is not None:
            with store.transaction("cursor first") as tx:
                tx.merge(changes[0], changes[1], author=author)
        return commit(store, packages, None, author=author, **options)

    oarlock.pipelines.intake.commit_packages = mutant


def _does_not_ask_for_the_load_id() -> None:
    oarlock.destinations.writing.loaded_ids = lambda session, load_ids: set()


def _commits_rows_and_load_id_apart() -> None:
    query = DuckDbSession.query

    def mutant(self: DuckDbSession, sql: str, *args: Any) -> Any:
        if sql.startswith("INSERT INTO") and "_dlt_loads" in sql:
            self.commit()
            self.begin()
        return query(self, sql, *args)

    DuckDbSession.query = mutant  # type: ignore[method-assign]


def _makes_the_database_in_place() -> None:
    Database._create = lambda self: None  # type: ignore[method-assign]


def _wipes_in_place() -> None:
    def mutant(folder: Path) -> Path:
        shutil.rmtree(folder)
        return folder

    oarlock.pipelines.membership.throw_away = mutant


def _sweeps_nothing() -> None:
    Membership.sweep = lambda self: []  # type: ignore[method-assign]


def _drops_tables_before_the_commit() -> None:
    from oarlock.steps.schemas import SchemaInHand, record_of

    drop_tables = SchemaInHand.drop_tables

    def mutant(self: SchemaInHand, tables: Any) -> Any:
        made = drop_tables(self, tables)
        with self._store.transaction("drop too early") as tx:
            tx.put_schema(record_of(made, "mutant"))
        self._stored, self._dropped = made.version, set()
        return made

    SchemaInHand.drop_tables = mutant  # type: ignore[method-assign]


def mutants() -> dict[str, Mutant]:
    """Give all by the rule that they break."""
    made = (
        Mutant(
            "marks loaded before the destination commits",
            "append",
            "lost",
            _marks_before_the_destination_commits,
            (0.55, 0.8),
        ),
        Mutant(
            "acknowledges before the store commits",
            "spooled",
            "lost",
            _acknowledges_before_the_store_commits,
            (0.3, 0.7),
        ),
        Mutant(
            "commits the cursor before the package",
            "append",
            "lost",
            _commits_the_cursor_before_the_package,
            (0.4, 0.7),
        ),
        Mutant("does not ask for the load id", "append", "dup", _does_not_ask_for_the_load_id, (0.6, 0.85)),
        Mutant("commits rows and load id apart", "append", "dup", _commits_rows_and_load_id_apart, (0.55, 0.8)),
        Mutant("makes the database in place", "first", "stuck", _makes_the_database_in_place, (0.7, 0.85)),
        Mutant("wipes in place", "drop", "stuck", _wipes_in_place, (0.1, 0.2)),
        Mutant("sweeps nothing", "append", "litter", _sweeps_nothing, (0.4, 0.7)),
        Mutant("drops tables before the commit", "refresh", "stuck", _drops_tables_before_the_commit, (0.3, 0.7)),
    )
    return {one.rule: one for one in made}
