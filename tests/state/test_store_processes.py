"""The store among processes: creation races, kills anywhere, forks, shared syncs, a disk that fails."""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from oarlock.errors import ForkedProcess, StorePoisoned
from oarlock.state.store import SqliteStore

_HERE = Path(__file__).parent
#: Every so many system calls a kill is tried; OARLOCK_SWEEP=1 tries them all.
_EVERY = os.environ.get("OARLOCK_SWEEP", "5")
_NOT_ALLOWED = 77


@pytest.fixture
def fast_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: kills of processes do not need a disk, and its syncs take the time."""
    memory = Path("/dev/shm")
    folder = memory / f"oarlock-{os.getpid()}-{time.monotonic_ns()}" if os.access(memory, os.W_OK) else tmp_path
    folder.mkdir(exist_ok=True)
    yield folder
    if folder != tmp_path:
        shutil.rmtree(folder)


def run_program(name: str, *args: object, wrapped_in: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*wrapped_in, sys.executable, str(_HERE / name), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


@pytest.mark.skipif(sys.platform != "linux", reason="kills before each system call need Linux's ptrace")
@pytest.mark.parametrize("scenario", ["creation", "commit"])
def test_a_kill_before_any_system_call_leaves_all_or_nothing(scenario: str, fast_folder: Path) -> None:
    done = run_program("crash_sweep.py", scenario, fast_folder / "p", _EVERY)

    if done.returncode == _NOT_ALLOWED:
        pytest.skip("tracing a child is not allowed here, so that it cannot be killed at a named system call")
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.match(r"points=(\d+) lost=0 dup=0 stuck=0", done.stdout)
    assert found, done.stdout
    assert int(found[1]) * int(_EVERY) > 200


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_workers_that_are_killed_at_random_lose_nothing_they_told(
    where: str, fast_folder: Path, tmp_path: Path
) -> None:
    folder = fast_folder if where == "memory" else tmp_path
    seed = int.from_bytes(os.urandom(3), "big")

    done = run_program("kill_torture.py", folder / "p", 6, 1.8, seed)

    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.match(r"points=(\d+) lost=0 dup=0 stuck=0 transactions=(\d+)", done.stdout)
    assert found, done.stdout
    assert int(found[1]) > 10
    assert int(found[2]) > 20


def create_and_count(folder: Path, number: int, start: multiprocessing.synchronize.Event) -> None:
    start.wait(20)
    store = SqliteStore.create(folder, pipeline_name="p", worker=f"w{number}")
    with store.transaction("count") as tx:
        tx.put(("n",), tx.get(("n",), 0) + 1)
    store.close()


def test_processes_that_create_at_once_all_have_the_one_store(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Event()
    workers = [spawn.Process(target=create_and_count, args=(tmp_path / "p", number, start)) for number in range(8)]
    for worker in workers:
        worker.start()
    start.set()
    for worker in workers:
        worker.join(30)

    assert [worker.exitcode for worker in workers] == [0] * 8
    store = SqliteStore.open(tmp_path / "p", worker="reader")
    with store.snapshot() as snapshot:
        assert snapshot.get(("n",)) == 8
        assert sorted(event.worker for event in snapshot.events()) == [f"w{number}" for number in range(8)]
    store.close()


def in_child(body: Callable[[], None]) -> int:
    """Run in a forked child; its exit code, or minus the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            body()
            code = 0
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
        os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def test_a_forked_child_opens_its_own_connections(tmp_path: Path) -> None:
    store = SqliteStore.create(tmp_path / "p", pipeline_name="p", worker="w")
    with store.transaction("before") as tx:
        tx.put(("n",), 1)
    inherited = [id(store._writer), *(id(reader) for reader in store._spare)]

    def count() -> None:
        for _ in range(20):
            with store.transaction("child") as tx:
                tx.put(("n",), tx.get(("n",)) + 1)
            with store.snapshot() as snapshot:
                assert snapshot.get(("n",)) > 1
        assert not {id(store._writer), *(id(reader) for reader in store._spare)} & set(inherited)

    def go_on_with_the_parents_snapshot() -> None:
        with pytest.raises(ForkedProcess):
            open_before.get(("unread",))
        open_before.__exit__(None, None, None)
        count()

    with store.snapshot() as open_before:
        assert open_before.get(("n",)) == 1
        assert in_child(count) == 0
        assert in_child(go_on_with_the_parents_snapshot) == 0
        assert open_before.get(("n",)) == 1
    with store.transaction("after") as tx:
        assert tx.get(("n",)) == 41
        tx.put(("n",), 42)
    assert store.check() == []
    store.close()


def test_a_child_that_ends_leaves_the_parents_transaction_alone(tmp_path: Path) -> None:
    script = f"""
import os, sys
from oarlock.errors import ForkedProcess
from oarlock.state.store import SqliteStore
store = SqliteStore.create({str(tmp_path / "p")!r}, pipeline_name="p", worker="w")
with store.snapshot() as snapshot:
    with store.transaction("across a fork") as tx:
        tx.put(("big",), "x" * 100_000)
        pid = os.fork()
        if not pid:
            sys.exit(0)  # through both blocks, and the end of the interpreter: everything is finalized
        os.waitpid(pid, 0)
        tx.put(("n",), 2)
store = SqliteStore.open({str(tmp_path / "p")!r}, worker="w")
with store.snapshot() as snapshot:
    print(len(snapshot.get(("big",))), snapshot.get(("n",)), store.check())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)

    assert done.stdout == "100000 2 []\n", done.stderr


def test_a_child_cannot_go_on_with_the_parents_transaction(tmp_path: Path) -> None:
    store = SqliteStore.create(tmp_path / "p", pipeline_name="p", worker="w")

    def leave_it() -> None:
        with pytest.raises(ForkedProcess):
            turn.__exit__(None, None, None)

    turn = store.transaction("parent's")
    tx = turn.__enter__()
    tx.put(("n",), 1)
    assert in_child(leave_it) == 0
    turn.__exit__(None, None, None)
    with store.snapshot() as snapshot:
        assert snapshot.get(("n",)) == 1
    store.close()


def write_pairs(folder: Path, count: int) -> None:
    store = SqliteStore.open(folder, worker="writer")
    for number in range(count):
        with store.transaction("pair", durable=False) as tx:
            tx.put(("sources", "a", "n"), number)
            tx.put(("sources", "b", "n"), {"n": number})
            tx.put(("n",), number)
    store.close()


def test_snapshots_fit_together_while_others_write(tmp_path: Path) -> None:
    store = SqliteStore.create(tmp_path / "p", pipeline_name="p", worker="reader")
    writer = multiprocessing.get_context("spawn").Process(target=write_pairs, args=(tmp_path / "p", 2000))
    writer.start()
    seen = set()
    while writer.is_alive():
        with store.snapshot() as snapshot:
            one, version = snapshot.get(("n",)), snapshot.state_version
            two, three = snapshot.get(("sources", "b", "n")), snapshot.get(("sources", "a", "n"))
            everything = snapshot.documents()
        assert two == (None if one is None else {"n": one})
        assert three == one == everything.get(("n",))
        assert version == (0 if one is None else one + 1)
        seen.add(one)
    writer.join()

    assert writer.exitcode == 0
    assert len(seen) > 10
    store.close()


def test_a_log_does_not_grow_without_end(fast_folder: Path) -> None:
    store = SqliteStore.create(fast_folder / "p", pipeline_name="p", worker="w")
    for number in range(1500):
        with store.transaction("grow", durable=False) as tx:
            tx.put(("n",), "x" * 3000 + str(number))

    # Each transaction writes at least three pages; without moving the log it would have 18 MB by now.
    assert (fast_folder / "p" / "state.db-wal").stat().st_size < 9_000_000
    store.close()


def test_a_stopped_leader_does_not_stop_the_others(tmp_path: Path) -> None:
    store = SqliteStore.create(tmp_path / "p", pipeline_name="p", worker="w")
    with store.transaction("before") as tx:
        tx.put(("n",), 1)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        other = SqliteStore.open(tmp_path / "p", worker="other")

        def stop_inside(seq: int) -> None:
            os.write(write, b"!")
            time.sleep(60)

        other._sync._sync_log = stop_inside  # type: ignore[method-assign]
        with other.transaction("leads, and stops", durable=True) as tx:
            tx.put(("n",), 2)
        os._exit(0)
    try:
        assert os.read(read, 1) == b"!"
        os.kill(pid, signal.SIGSTOP)
        started = time.monotonic()
        with store.transaction("goes on") as tx:
            tx.put(("n",), 3)
        assert time.monotonic() - started < 10
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    started = time.monotonic()
    with store.transaction("the leader is dead") as tx:
        tx.put(("n",), 4)
    assert time.monotonic() - started < 0.9
    store.close()


def test_threads_share_syncs(tmp_path: Path) -> None:
    store = SqliteStore.create(tmp_path / "p", pipeline_name="p", worker="w")

    def count() -> None:
        for _ in range(40):
            with store.transaction("count") as tx:
                tx.put(("n",), tx.get(("n",), 0) + 1)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with store.snapshot() as snapshot:
        assert snapshot.get(("n",)) == 160
    assert 0 < store._sync.led <= 160
    store.close()


_needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace is needed to see or fail system calls"
)


@_needs_strace
def test_a_power_loss_at_any_moment_keeps_what_was_told(fast_folder: Path) -> None:
    seed = int.from_bytes(os.urandom(3), "big")

    done = run_program("power_loss.py", fast_folder / "p", seed)

    if done.returncode == _NOT_ALLOWED:
        pytest.skip("strace may not trace here, so that writes and syncs cannot be written down")
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.match(r"points=(\d+) lost=0 dup=0 stuck=0", done.stdout)
    assert found, done.stdout
    assert int(found[1]) > 500


def test_numbers_that_outlived_their_processes_are_not_believed(tmp_path: Path) -> None:
    """As after a power loss, or where an older copy of the database was put back."""
    SqliteStore.create(tmp_path / "p", pipeline_name="p", worker="w").close()
    synced_far_ahead = struct.pack("<QQ", 10**6, 10**6 ^ (2**64 - 1)) + bytes(32)
    (tmp_path / "p" / "state.db-sync").write_bytes(synced_far_ahead)
    store = SqliteStore.open(tmp_path / "p", worker="w")

    for number in range(1, 4):
        with store.transaction("count") as tx:
            tx.put(("n",), number)
        assert store._sync.led == number
    store.close()


@_needs_strace
def test_what_was_told_had_been_synced(tmp_path: Path) -> None:
    """Watch the system calls of several processes: each tells only what a sync that began after its writes covers."""
    calls = tmp_path / "calls"
    watch = ("strace", "-f", "-ttt", "-y", "-o", str(calls), "-e", "trace=pwrite64,fdatasync,write")

    done = run_program("told_after_sync.py", tmp_path / "p", 4, 25, wrapped_in=watch)

    if "Operation not permitted" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    told, syncs = audit(calls.read_text())
    assert told == 100
    assert syncs > 0


def audit(calls: str) -> tuple[int, int]:
    """Check that before each ``write`` of "told" a sync of the log began after the process's last write to it."""
    writing: dict[str, bool] = {}
    wrote: dict[str, int] = {}
    began: dict[str, int] = {}
    newest_ended_sync_began = -1
    told = syncs = 0
    for place, line in enumerate(calls.splitlines()):
        pid = line.split()[0]
        if "pwrite64(" in line:
            writing[pid] = "state.db-wal" in line
        if "pwrite64" in line and writing[pid]:
            wrote[pid] = place
        if "fdatasync(" in line and "state.db-wal" in line:
            began[pid] = place
        if "fdatasync" in line and "= 0" in line and pid in began:
            newest_ended_sync_began = max(newest_ended_sync_began, began.pop(pid))
            syncs += 1
        if "write(" in line and '"told\\n"' in line:
            assert newest_ended_sync_began > wrote[pid], line
            told += 1
    return told, syncs


@_needs_strace
def test_a_failed_sync_is_never_retried_into_success(tmp_path: Path) -> None:
    """The disk fails one sync; neither that process nor another that shares the store tells of a commit after it."""
    store = SqliteStore.create(tmp_path / "p", pipeline_name="p", worker="w")
    with store.transaction("before") as tx:
        tx.put(("n",), 1)

    fail = ("strace", "-f", "-o", str(tmp_path / "calls"), "-e", "inject=fdatasync:error=EIO:when=3")
    done = run_program("told_after_sync.py", tmp_path / "p", 1, 5, wrapped_in=fail)

    if "Operation not permitted" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.stderr.count("StorePoisoned") == 1, done.stderr
    assert done.stdout.count("told") == 2
    with pytest.raises(StorePoisoned, match="another process failed"):
        with store.transaction("after") as tx:
            tx.put(("n",), 2)
    with store.snapshot() as snapshot:
        assert snapshot.get(("n",)) == 1
    store.close()

    store = SqliteStore.open(tmp_path / "p", worker="w")
    with store.transaction("when all have ended, the next begins anew") as tx:
        tx.put(("n",), 3)
    store.close()
