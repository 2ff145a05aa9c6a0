"""What every destination promises when processes load at once, die in the middle, or lose the answer to a commit."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty
from time import monotonic
from typing import Any

import pytest
from packages import Spool, group, schema, state, table
from targets import GAMES, Target, numbered

from oarlock.destinations import loading, writing
from oarlock.destinations.base import LoadGroup, SchemaToLoad
from oarlock.destinations.session import CommitUnknown
from oarlock.errors import DestinationTransientError

#: Children of a server that has the drivers imported and never used: the same as spawned ones, started in no time.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["pytest", "oarlock.destinations.clients.duckdb_load", "oarlock.destinations.clients.postgres_load"]
)
DEADLINE_S = 60


def load_in_child(target: Target, the_group: LoadGroup, start: Any, answers: Any) -> None:
    start.wait(DEADLINE_S)
    outcome = target.client().load(the_group)
    answers.put((outcome.loaded, outcome.already_there, outcome.failed))


def told_by(workers: list[Any], answers: Any) -> list[Any]:
    """Collect one answer of each worker; a worker that died without one fails the test at once."""
    told: list[Any] = []
    until = monotonic() + DEADLINE_S
    while len(told) < len(workers):
        assert monotonic() < until
        assert all(worker.exitcode in (None, 0) for worker in workers)
        with suppress(Empty):
            told.append(answers.get(timeout=0.1))
    for worker in workers:
        worker.join(DEADLINE_S)
    return told


def no_fence() -> None:
    """A fence that lets through; a function, so that it can be handed to another process."""


def test_several_processes_with_the_same_packages_load_them_once(target: Target, spool: Spool) -> None:
    packages = [spool.package(f"1.{i}", {"games": numbered(i * 100, 100)}, GAMES) for i in range(4)]
    the_group = group(*packages, schemas=[GAMES], fence=no_fence, state=state())
    start, answers = PROCESSES.Barrier(4), PROCESSES.Queue()
    workers = [PROCESSES.Process(target=load_in_child, args=(target, the_group, start, answers)) for _ in range(4)]

    for worker in workers:
        worker.start()
    told = told_by(workers, answers)

    assert sorted(loaded for outcome in told for loaded in outcome[0]) == ["1.0", "1.1", "1.2", "1.3"]
    assert all(len(outcome[0]) + len(outcome[1]) == 4 and not outcome[2] for outcome in told)
    assert target.rows("SELECT count(*), count(DISTINCT id) FROM games") == [(400, 400)]
    assert target.rows("SELECT count(*), count(DISTINCT load_id) FROM _dlt_loads") == [(4, 4)]
    assert target.rows("SELECT count(*) FROM _dlt_pipeline_state") == [(1,)]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _before(owner: Any, name: str) -> None:
    setattr(owner, name, lambda *args, **kwargs: die())


def _after(owner: Any, name: str) -> None:
    inner: Callable[..., Any] = getattr(owner, name)

    def dying(*args: Any, **kwargs: Any) -> None:
        inner(*args, **kwargs)
        die()

    setattr(owner, name, dying)


def _session_class(target: Target) -> Any:
    kind, name = ("duckdb", "DuckDbSession") if target.url.startswith("duckdb") else ("postgres", "PostgresSession")
    return getattr(importlib.import_module(f"oarlock.destinations.clients.{kind}_load"), name)


def _dies_among_rows(session: Any) -> None:
    module: Any = importlib.import_module(session.__module__)
    inner = module.batches

    def dying(*args: Any) -> Iterator[Any]:
        yield next(inner(*args))
        die()

    module.batches = dying


CRASHES: dict[str, Callable[[Any], None]] = {
    "before the tables": lambda session: _before(writing.GroupWriter, "prepare"),
    "after the tables": lambda session: _after(writing.GroupWriter, "prepare"),
    "among the rows": _dies_among_rows,
    "after the rows": lambda session: _after(session, "insert"),
    "after the markers": lambda session: _after(writing.GroupWriter, "_insert_markers"),
    "before the commit": lambda session: _before(session, "commit"),
    "after the commit": lambda session: _after(session, "commit"),
    "before the answer": lambda session: _after(loading, "_load_batch"),
}


def load_and_die(target: Target, the_group: LoadGroup, crash: str) -> None:
    CRASHES[crash](_session_class(target))
    target.client().load(the_group)


@pytest.mark.parametrize("there", [False, True], ids=["first load", "later load"])
@pytest.mark.parametrize("crash", CRASHES)
def test_a_killed_load_is_all_or_nothing_and_the_next_completes_it(
    target: Target, spool: Spool, crash: str, there: bool
) -> None:
    packages = [spool.package(f"2.{i}", {"games": numbered(i * 100, 100)}, GAMES) for i in range(3)]
    if there:
        target.client().load(group(spool.package("1.0", {"games": numbered(1000, 7)}, GAMES), schemas=[GAMES]))
    the_group = group(*packages, schemas=[GAMES], fence=no_fence, state=state())

    victim = PROCESSES.Process(target=load_and_die, args=(target, the_group, crash))
    victim.start()
    victim.join(DEADLINE_S)

    assert victim.exitcode == -signal.SIGKILL
    client = target.client()
    there_now = client.loaded_ids([p.load_id for p in packages])
    assert len(there_now) in (0, 3)
    outcome = client.load(the_group)
    assert sorted([*outcome.loaded, *outcome.already_there]) == ["2.0", "2.1", "2.2"]
    assert set(outcome.already_there) == there_now
    expected = 300 + (7 if there else 0)
    assert target.rows("SELECT count(*), count(DISTINCT id) FROM games") == [(expected, expected)]
    assert client.read_state("games") == state()
    assert target.rows("SELECT count(*) FROM _dlt_version") == [(1,)]
    left = {p.name for p in target.folder.iterdir()} - {"spool"}
    assert left <= {"games.duckdb", ".games.duckdb.oarlock.lock", ".games.duckdb.oarlock.owner"}


@contextmanager
def _commit_answers_lost(session: Any, *, happened: bool) -> Iterator[None]:
    """Let the next commit happen or not, and then say that no answer came."""
    inner = session.commit

    def lost(self: Any) -> None:
        if not any(True for _ in self.query("SELECT 1 FROM " + self.dialect.path(self.dataset, "_dlt_loads"))):
            inner(self)  # the transaction that makes the tables
            return
        session.commit = inner
        if happened:
            inner(self)
        else:
            self.rollback()
        raise CommitUnknown from OSError("connection lost")

    session.commit = lost
    try:
        yield
    finally:
        session.commit = inner


def test_a_commit_whose_answer_is_lost_is_answered_by_its_markers(target: Target, spool: Spool) -> None:
    package = spool.package("1.0", {"games": numbered(0, 10)}, GAMES)

    with _commit_answers_lost(_session_class(target), happened=True):
        outcome = target.client().load(group(package, schemas=[GAMES], state=state()))

    assert outcome.loaded == ["1.0"]
    assert target.rows("SELECT count(*) FROM games") == [(10,)]


def test_a_commit_that_did_not_happen_leaves_the_package_waiting(target: Target, spool: Spool) -> None:
    package = spool.package("1.0", {"games": numbered(0, 10)}, GAMES)

    with _commit_answers_lost(_session_class(target), happened=False):
        with pytest.raises(DestinationTransientError, match="connection lost"):
            target.client().load(group(package, schemas=[GAMES], state=state()))

    assert target.client().load(group(package, schemas=[GAMES])).loaded == ["1.0"]
    assert target.rows("SELECT count(*) FROM games") == [(10,)]


def make_schema_in_child(target: Target, folder: Path, number: int, start: Any) -> None:
    made_for: SchemaToLoad = schema(table("games", {"id": "bigint", f"own_{number}": "bigint"}), version=number)
    package = Spool(folder).package(f"{number}.0", {"games": [{"id": number, f"own_{number}": 1}]}, made_for)
    start.wait(DEADLINE_S)
    outcome = target.client().load(group(package, schemas=[made_for]))
    assert outcome.loaded == [f"{number}.0"]


def test_workers_that_start_on_an_empty_dataset_end_with_one_of_everything(target: Target, tmp_path: Path) -> None:
    many = 6
    start = PROCESSES.Barrier(many)
    workers = [PROCESSES.Process(target=make_schema_in_child, args=(target, tmp_path, n, start)) for n in range(many)]

    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(DEADLINE_S)

    assert [worker.exitcode for worker in workers] == [0] * many
    columns = ", ".join(f"count(own_{n})" for n in range(many))
    assert target.rows(f"SELECT count(*), {columns} FROM games") == [(many, *[1] * many)]
    assert target.rows("SELECT count(*) FROM _dlt_version") == [(many,)]
