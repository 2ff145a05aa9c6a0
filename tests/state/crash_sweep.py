"""Kill a process before each of its system calls, one after the other, and look at what is left with fresh eyes.

A program, not a test: ``python crash_sweep.py SCENARIO FOLDER [EVERY]``. It forks a child that goes through a scenario
under ptrace, and kills it with SIGKILL as it is about to make its first system call, then its second, and so on, until
a child comes through. After each kill a fresh process checks the store. Needs Linux; exits with 77 where tracing is
not allowed.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from oarlock.schema.hashing import TableText, content_hash
from oarlock.state.base import Job, PackageRecord, SchemaRecord
from oarlock.state.store import SqliteStore
from oarlock.values import LoadId

_TRACE_ME, _SYSCALL, _SET_OPTIONS = 0, 24, 0x4200
_MARK_SYSCALLS, _KILL_WITH_TRACER = 0x1, 0x100000
_SYSCALL_STOP = signal.SIGTRAP | 0x80
NOT_ALLOWED = 77

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request: int, pid: int, data: int = 0) -> None:
    if _libc.ptrace(request, pid, None, data) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def run_killed(body: Callable[[], None], at_call: int) -> bool:
    """Run ``body`` in a child that is killed before its system call number ``at_call``; False if it had no so many."""
    pid = os.fork()
    if pid == 0:
        try:
            _ptrace(_TRACE_ME, 0)
        except OSError:
            os._exit(NOT_ALLOWED)
        os.kill(os.getpid(), signal.SIGSTOP)
        try:
            body()
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if os.WIFEXITED(status):
        sys.exit(os.WEXITSTATUS(status))
    _ptrace(_SET_OPTIONS, pid, _MARK_SYSCALLS | _KILL_WITH_TRACER)
    calls, entering, deliver = 0, True, 0
    while True:
        _ptrace(_SYSCALL, pid, deliver)
        _, status = os.waitpid(pid, 0)
        if os.WIFEXITED(status):
            if os.WEXITSTATUS(status):
                raise SystemExit("the scenario itself failed")
            return False
        stopped_by = os.WSTOPSIG(status)
        deliver = 0 if stopped_by in (_SYSCALL_STOP, signal.SIGSTOP) else stopped_by
        if stopped_by == _SYSCALL_STOP:
            calls += entering
            if entering and calls == at_call:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return True
            entering = not entering


def asked_afresh(question: Callable[[], Any]) -> Any:
    """Ask a question in a process that has never seen the store."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            answer = {"answer": question()}
        except BaseException as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        os.write(write, json.dumps(answer).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        answer = json.loads(pipe.read())
    os.waitpid(pid, 0)
    if "error" in answer:
        raise AssertionError(answer["error"])
    return answer["answer"]


def change(store: SqliteStore, number: int) -> None:
    """One transaction that writes everything a store keeps; all of it says ``number``."""
    tables: dict[str, Any] = {f"t{number}": {"name": f"t{number}"}, "same": {"name": "same"}}
    version_hash = content_hash({"name": "s"}, {name: TableText(table) for name, table in tables.items()})
    with store.transaction(f"change {number}") as tx:
        tx.put(("sources", "s", "n"), number)
        tx.put(("sources", "s", "resources", "r", "incremental", "c"), {"last_value": number})
        tx.put_schema(SchemaRecord("s", number, version_hash, {"name": "s", "tables": tables}, "w", 1.0))
        jobs = (Job("j", "t", "f", 0, number, number, "c:0", "arrow"),)
        tx.put_package(PackageRecord(LoadId(f"{number:06d}"), "normalized", "s", number, "h", jobs, "w", "r", 1.0, 2.0))


def look(folder: Path) -> list[int]:
    """Give the number that each part of the store says, or fail where it is damaged."""
    store = SqliteStore.open(folder, worker="reader")
    with store.snapshot() as snapshot:
        schema = snapshot.schema("s")
        packages = snapshot.packages()
        numbers = [
            snapshot.get(("sources", "s", "n"), 0),
            snapshot.get(("sources", "s", "resources", "r", "incremental", "c", "last_value"), 0),
            0 if schema is None else max(int(name[1:]) for name in schema.document["tables"] if name != "same"),
            snapshot.schema_version("s") or 0,
            max((int(package.load_id) for package in packages), default=0),
            sum(package.rows for package in packages[-1:]),
            snapshot.state_version,
            len(packages),
            next((int(event.why.split()[1]) for event in snapshot.events() if event.why.startswith("change")), 0),
        ]
    problems = store.check()
    if problems:
        raise AssertionError(problems)
    store.close()
    return numbers


def create_then_change(folder: Path, number: int) -> None:
    store = SqliteStore.create(folder, pipeline_name="p", worker="writer")
    change(store, number)
    store.close()


def created_and_seen(folder: Path) -> list[int]:
    create_then_change(folder, 1)
    return look(folder)


def sweep_creation(folder: Path, every: int) -> dict[str, int]:
    """Kill the very first creation everywhere; the next process just creates, and finds an empty, whole store."""
    found = {"points": 0, "lost": 0, "dup": 0, "stuck": 0}
    at_call, came_to_an_end = 1, False
    while not came_to_an_end:
        shutil.rmtree(folder, ignore_errors=True)
        came_to_an_end = not run_killed(
            lambda: SqliteStore.create(folder, pipeline_name="p", worker="writer").close(), at_call
        )
        started = time.monotonic()
        numbers = asked_afresh(lambda: created_and_seen(folder))
        found["stuck"] += time.monotonic() - started > 5
        found["lost"] += numbers != [1] * len(numbers)
        found["points"] += 1
        at_call += every
    return found


def sweep_commit(folder: Path, every: int) -> dict[str, int]:
    """Kill open, transaction and close everywhere; all of the transaction is there, or nothing; told means there."""
    found = {"points": 0, "lost": 0, "dup": 0, "stuck": 0}
    shutil.rmtree(folder, ignore_errors=True)
    asked_afresh(lambda: create_then_change(folder, 1))
    number, at_call, came_to_an_end = 1, 1, False
    while not came_to_an_end:
        told_by, tell = os.pipe()

        def body(tell: int = tell, number: int = number) -> None:
            store = SqliteStore.open(folder, worker="writer")
            change(store, number + 1)
            os.write(tell, b"!")
            store.close()

        came_to_an_end = not run_killed(body, at_call)
        os.close(tell)
        told = os.read(told_by, 1) == b"!"
        os.close(told_by)
        numbers = asked_afresh(lambda: look(folder))
        found["lost"] += numbers[0] < number + told
        found["dup"] += numbers != [numbers[0]] * len(numbers) or numbers[0] > number + 1
        number = numbers[0] + 1
        started = time.monotonic()
        asked_afresh(partial(create_then_change, folder, number))
        found["stuck"] += time.monotonic() - started > 5
        found["points"] += 1
        at_call += every
    return found


def main() -> int:
    scenario, folder = sys.argv[1], Path(sys.argv[2])
    every = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    found = {"creation": sweep_creation, "commit": sweep_commit}[scenario](folder, every)
    print(" ".join(f"{name}={count}" for name, count in found.items()))
    return int(bool(found["lost"] or found["dup"] or found["stuck"]))


if __name__ == "__main__":
    sys.exit(main())
