"""DuckDB's file: made whole or not at all, opened by one at a time, never kept open, never touched by us."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb as driver
import pytest
from packages import Spool, group, schema, table

from oarlock.destinations import duckdb
from oarlock.destinations.base import DestinationClient, JobFile, PackageToLoad
from oarlock.destinations.clients import duckdb as door
from oarlock.destinations.limits import default_memory_bytes, default_threads, memory_bytes, processors
from oarlock.errors import (
    DestinationBusy,
    DestinationTerminalError,
    DestinationTransientError,
    DestinationUndefined,
    ForkedProcess,
)
from oarlock.values import LoadId

DEADLINE_S = 30
GAMES = schema(table("games", {"id": "bigint", "name": "text"}))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "games.duckdb"


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    folder = tmp_path / "spool"
    folder.mkdir()
    return Spool(folder)


def client_of(path: Path, timeout_s: float = DEADLINE_S, **options: Any) -> DestinationClient:
    return duckdb(path, **options).client(
        "data", pipeline_name="games", default_folder=path.parent, working_dir=path.parent, timeout_s=timeout_s
    )


def load(path: Path, spool: Spool, load_id: str, timeout_s: float = DEADLINE_S, **options: Any) -> None:
    package = spool.package(load_id, {"games": [{"id": 1, "name": load_id}]}, GAMES)
    assert client_of(path, timeout_s, **options).load(group(package, schemas=[GAMES])).loaded == [load_id]


def count(path: Path) -> int:
    with client_of(path).sql_client(read_only=True) as client:
        rows = client.execute_sql("SELECT count(*) FROM games")
    assert rows
    return int(rows[0][0])


@contextmanager
def foreign(path: Path, *, read_only: bool = False) -> Iterator[subprocess.Popen[str]]:
    """Hold the database open in another program, until the block ends or its input is closed."""
    opening = f"import duckdb; c = duckdb.connect({str(path)!r}, read_only={read_only})"
    code = f"{opening}; print('open', flush=True); input()"
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "open\n"
        yield holder
    finally:
        holder.kill()
        holder.communicate()


def test_a_foreign_holder_is_named_after_the_bound(path: Path, spool: Spool) -> None:
    load(path, spool, "1.0")

    with foreign(path) as holder:
        started = time.monotonic()
        with pytest.raises(DestinationBusy) as caught:
            load(path, spool, "1.1", timeout_s=0.3)
        waited = time.monotonic() - started

    assert caught.value.pid == holder.pid
    assert str(holder.pid) in str(caught.value)
    assert "python" in str(caught.value)
    assert waited < 3
    assert count(path) == 1


def test_a_foreign_holder_is_waited_for(path: Path, spool: Spool) -> None:
    load(path, spool, "1.0")

    with foreign(path) as holder:
        threading.Timer(0.3, holder.kill).start()
        load(path, spool, "1.1")

    assert count(path) == 2


def test_readers_read_beside_a_foreign_reader(path: Path, spool: Spool) -> None:
    load(path, spool, "1.0")

    with foreign(path, read_only=True):
        assert count(path) == 1
        with pytest.raises(DestinationBusy):
            load(path, spool, "1.1", timeout_s=0.2)


def test_a_worker_that_has_the_database_is_named_to_the_next(path: Path, spool: Spool) -> None:
    load(path, spool, "1.0")
    with client_of(path).sql_client():
        told: list[BaseException] = []

        def other() -> None:
            try:
                load(path, spool, "1.1", timeout_s=0.2)
            except BaseException as error:
                told.append(error)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join(DEADLINE_S)

    assert isinstance(told[0], DestinationBusy)
    assert str(os.getpid()) in str(told[0])


def test_a_thread_may_load_inside_its_own_sql_client(path: Path, spool: Spool) -> None:
    load(path, spool, "1.0")

    with client_of(path).sql_client() as client:
        load(path, spool, "1.1")
        assert client_of(path).loaded_ids(["1.1"]) == {"1.1"}
        assert client.execute_sql("SELECT count(*) FROM games") == [(2,)]
    with client_of(path).sql_client(read_only=True):
        assert client_of(path).loaded_ids(["1.1"]) == {"1.1"}
        with pytest.raises(DestinationTransientError, match="read-only"):
            load(path, spool, "1.2")

    load(path, spool, "1.2")


def test_a_connection_of_the_same_program_is_shared(path: Path, spool: Spool) -> None:
    load(path, spool, "1.0")

    with driver.connect(str(path)) as own:
        load(path, spool, "1.1")
        assert own.execute("SELECT count(*) FROM data.games").fetchall() == [(2,)]
        assert client_of(path).loaded_ids(["1.0"]) == {"1.0"}


def test_nothing_stays_open_and_no_log_stays_beside(path: Path, spool: Spool) -> None:
    load(path, spool, "1.0")

    opened = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_link(fd)]
    assert str(path) not in opened
    assert [p.name for p in path.parent.iterdir() if p.name.startswith("games.duckdb")] == ["games.duckdb"]
    with foreign(path):
        pass


def _is_link(descriptor: str) -> bool:
    return os.path.islink(f"/proc/self/fd/{descriptor}")


def test_an_empty_file_is_no_database_and_becomes_one(path: Path, spool: Spool) -> None:
    path.touch()
    assert client_of(path).read_state("games") is None

    load(path, spool, "1.0")

    assert count(path) == 1


def test_a_log_of_a_database_that_is_gone_is_set_aside(path: Path, spool: Spool) -> None:
    with driver.connect(str(path)) as connection:
        connection.execute("CREATE TABLE old (a INT)")
        log = Path(f"{path}.wal").read_bytes()
    path.unlink()
    Path(f"{path}.wal").write_bytes(log)

    load(path, spool, "1.0")

    assert count(path) == 1
    assert [p.read_bytes() for p in path.parent.glob("*.orphan-*")] == [log]


def create_and_die(path: Path, step: str) -> None:
    inner = getattr(door, step)

    def dying(*args: Any) -> None:
        inner(*args)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(door, step, dying)
    client_of(path).load(group(schemas=[GAMES]))
    with client_of(path).sql_client() as client:
        client.execute_sql("CREATE TABLE x (a INT)")


@pytest.mark.parametrize("step", ["_sync", "_name"])
def test_a_creator_that_is_killed_leaves_nothing_in_the_way(path: Path, spool: Spool, step: str) -> None:
    creator = multiprocessing.get_context("spawn").Process(target=create_and_die, args=(path, step))
    creator.start()
    creator.join(DEADLINE_S)

    assert creator.exitcode == -signal.SIGKILL
    load(path, spool, "1.0")
    assert count(path) == 1
    assert not list(path.parent.glob(".games.duckdb.new-*"))


def test_a_file_that_is_no_database_is_said_so_and_left_alone(path: Path, spool: Spool) -> None:
    path.write_bytes(b"not a database" * 1000)

    with pytest.raises(DestinationTerminalError, match="not a valid DuckDB"):
        load(path, spool, "1.0")

    assert path.read_bytes() == b"not a database" * 1000


def test_a_missing_folder_is_named(tmp_path: Path, spool: Spool) -> None:
    with pytest.raises(DestinationTerminalError, match="nowhere"):
        load(tmp_path / "nowhere" / "x.duckdb", spool, "1.0")
    assert client_of(tmp_path / "nowhere" / "x.duckdb").read_state("games") is None


def test_two_names_of_one_file_are_one_database(path: Path, spool: Spool) -> None:
    load(path, spool, "1.0")
    link = path.parent / "link.duckdb"
    link.symlink_to(path)

    with client_of(link).sql_client():
        load(path, spool, "1.1")

    assert count(link) == 2
    assert not (path.parent / ".link.duckdb.oarlock.lock").exists()


def test_options_reach_the_database(path: Path, spool: Spool) -> None:
    load(path, spool, "1.0", threads=1, memory_limit="300MiB")

    with client_of(path, threads=1, memory_limit="300MiB").sql_client() as client:
        assert client.execute_sql("SELECT current_setting('threads'), current_setting('memory_limit')") == [
            (1, "300.0 MiB")
        ]
    with pytest.raises(DestinationTerminalError, match="memory_limit"):
        load(path, spool, "1.1", memory_limit="a lot")


def test_one_worker_does_not_take_the_whole_machine() -> None:
    assert 1 <= default_threads() <= processors() <= (os.cpu_count() or 1)
    assert default_memory_bytes() < memory_bytes()


def forked_child(path: Path, answers: Any) -> None:
    try:
        answers.put(client_of(path).loaded_ids(["1.0"]))
    except ForkedProcess as error:
        answers.put(str(error))


def _answer_of_fork(path: Path) -> Any:
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    child = context.Process(target=forked_child, args=(path, answers))
    child.start()
    child.join(DEADLINE_S)
    assert child.exitcode == 0
    return answers.get()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_opens_the_database_afresh_or_is_told_why_not(path: Path, spool: Spool) -> None:
    load(path, spool, "1.0")

    assert _answer_of_fork(path) == {"1.0"}
    with client_of(path).sql_client():
        assert "forked" in _answer_of_fork(path)
    assert count(path) == 1


def test_the_sql_client_of_a_missing_database_makes_it_only_to_write(path: Path) -> None:
    with client_of(path).sql_client() as client:
        with pytest.raises(DestinationUndefined):
            client.execute_sql("-- a look\n SELECT 1")
        assert not path.exists()
        client.execute_sql("CREATE TABLE mine (a INT)")
        assert client.execute_sql("SELECT count(*) FROM mine") == [(0,)]
    assert path.exists()


def test_a_users_own_transaction_is_theirs_alone(path: Path, spool: Spool) -> None:
    load(path, spool, "1.0")

    with client_of(path).sql_client() as client:
        client.execute_sql("BEGIN")
        client.execute_sql("INSERT INTO games VALUES (7, 'mine')")
        with client.execute_query("SELECT * FROM range(100000)") as cursor:
            assert len(cursor.fetchmany(3)) == 3
        assert client.execute_sql("SELECT count(*) FROM games") == [(2,)]
        client.execute_sql("ROLLBACK")
        assert client.execute_sql("SELECT count(*) FROM games") == [(1,)]
        client.execute_sql("BEGIN")
        client.execute_sql("INSERT INTO games VALUES (7, 'mine')")
        client.execute_sql("COMMIT")

    assert count(path) == 2


def load_with_little_disk(path: Path, folder: Path, answers: Any) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
    try:
        answers.put(client_of(path).load(group(big_package(Spool(folder)), schemas=[GAMES])).failed)
    except BaseException as error:
        answers.put(error)


def big_package(spool: Spool) -> Any:
    if (spool.folder / "2.0.arrow").exists():
        made = spool.folder / "2.0.arrow"
        job = JobFile("games.0", "games", made, 0, made.stat().st_size, 60_000)
        return PackageToLoad(LoadId("2.0"), "games", [job], {"games": "append"})
    rows = [{"id": i * 7919, "name": f"{i * 104729 % 1000003} {i}"} for i in range(60_000)]
    return spool.package("2.0", {"games": rows}, GAMES)


def test_a_full_disk_is_nobodys_fault_and_the_package_waits(path: Path, spool: Spool) -> None:
    load(path, spool, "1.0")
    package = big_package(spool)
    context = multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()

    loader = context.Process(target=load_with_little_disk, args=(path, spool.folder, answers))
    loader.start()
    loader.join(DEADLINE_S)

    told = answers.get()
    assert isinstance(told, DestinationTransientError), told
    assert count(path) == 1
    assert client_of(path).load(group(package, schemas=[GAMES])).loaded == ["2.0"]
    assert count(path) == 60_001


def test_variables_of_the_program_are_no_tables(path: Path, spool: Spool) -> None:
    load(path, spool, "1.0")
    secret = driver.connect().sql("SELECT 42 AS answer")

    with client_of(path).sql_client() as client, pytest.raises(DestinationUndefined):
        client.execute_sql("SELECT * FROM secret")
    assert secret is not None
