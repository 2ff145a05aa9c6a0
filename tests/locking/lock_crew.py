"""Processes that hold, wait for and fight over a lock, for the tests beside this file."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from oarlock.errors import FencedOut, LockTimeout
from oarlock.locking import Alive, Lock, Owner
from oarlock.locking.sidecar import LINE_OFFSET

#: Nothing here takes long; a wait that reaches this has failed.
PATIENCE_S = 30.0

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["lock_crew"])


class Mate:
    """Another process, running one of the functions below, spoken to over a pipe."""

    def __init__(self, job: Callable[..., None], *arguments: Any) -> None:
        self.pipe, theirs = _context.Pipe()
        self.process: ForkServerProcess = _context.Process(target=job, args=(theirs, *arguments), daemon=True)
        self.process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        """Give the pid."""
        assert self.process.pid is not None
        return self.process.pid

    def hear(self) -> Any:
        """Wait for the next thing it says."""
        assert self.pipe.poll(PATIENCE_S), "the other process said nothing"
        return self.pipe.recv()

    def say(self, word: Any = "go") -> None:
        """Tell it something."""
        self.pipe.send(word)

    def signal(self, number: int) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it with SIGKILL and wait until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            self.signal(signal.SIGKILL)
        self.end()

    def end(self) -> None:
        """Wait until it has ended."""
        self.process.join(PATIENCE_S)
        assert not self.process.is_alive()


@contextlib.contextmanager
def crew(*jobs: tuple[Any, ...]) -> Iterator[list[Mate]]:
    """Start processes, and kill what is left of them at the end."""
    mates = [Mate(*job) for job in jobs]
    try:
        yield mates
    finally:
        for mate in mates:
            mate.kill()


def eventually(true: Callable[[], bool], within_s: float = PATIENCE_S) -> bool:
    """Wait until it is true."""
    deadline = time.monotonic() + within_s
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def hold(pipe: Connection, path: Path, why: str) -> None:
    """Acquire, tell the epoch; then do as told: check, go."""
    lock = Lock(path, worker="mate")
    epoch = lock.acquire(why, timeout_s=PATIENCE_S)
    pipe.send(epoch)
    while pipe.recv() == "check":
        try:
            lock.check(epoch)
            pipe.send("passed")
        except FencedOut as error:
            pipe.send(error)
    lock.release()
    pipe.send("released")
    pipe.recv()


def waiting(path: Path) -> int:
    """Count those who stand in line."""
    line = path.with_suffix(".owner").read_bytes()[LINE_OFFSET:]
    return sum(any(line[at : at + 8]) for at in range(0, len(line) // 2, 8))


def wait(pipe: Connection, path: Path, timeout_s: float | None, scarce: bool = False) -> None:
    """Acquire when told; tell the epoch or the error, and how long it took. Scarce: no descriptor is left to open."""
    lock = Lock(path)
    if scarce:
        lock.acquire("open the files", timeout_s=PATIENCE_S)
        lock.release()
        free = os.open(os.devnull, os.O_RDONLY)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    pipe.send("ready")
    pipe.recv()
    started = time.monotonic()
    try:
        pipe.send((lock.acquire("wait", timeout_s=timeout_s), time.monotonic() - started))
    except (LockTimeout, KeyboardInterrupt) as error:
        pipe.send((error if isinstance(error, LockTimeout) else "interrupted", time.monotonic() - started))
        pipe.recv()
        pipe.send(lock.acquire("once more", timeout_s=PATIENCE_S))
    pipe.recv()


def count(pipe: Connection, path: Path, times: int) -> None:
    """Add one to a number in a file, unguarded but for the lock, so many times; tell the epochs."""
    lock = Lock(path)
    number = os.open(path.with_suffix(".number"), os.O_RDWR | os.O_CREAT)
    pipe.send("ready")
    pipe.recv()
    epochs = []
    for _ in range(times):
        with lock.hold("count", timeout_s=PATIENCE_S) as epoch:
            seen = int(os.pread(number, 20, 0) or b"0")
            os.sched_yield()
            os.pwrite(number, b"%d" % (seen + 1), 0)
            lock.check(epoch)
        epochs.append(epoch)
    pipe.send(epochs)


def take_turns(pipe: Connection, path: Path, seconds: float, hold_s: float) -> None:
    """Acquire and release as fast as may be; tell how often, and the longest wait."""
    lock = Lock(path)
    pipe.send("ready")
    pipe.recv()
    turns, longest = 0, 0.0
    now = time.monotonic()
    end = now + seconds
    while now < end:
        lock.acquire("take turns", timeout_s=PATIENCE_S)
        had = time.monotonic()
        longest = max(longest, had - now)
        while time.monotonic() < had + hold_s:
            pass
        lock.release()
        turns += 1
        now = time.monotonic()
    pipe.send((turns, longest))


def churn(pipe: Connection, path: Path) -> None:
    """Acquire and release for ever, writing each epoch into a file before it is given back."""
    lock = Lock(path)
    newest = os.open(path.with_suffix(".newest"), os.O_RDWR | os.O_CREAT)
    pipe.send("ready")
    while True:
        with lock.hold("churn", timeout_s=PATIENCE_S) as epoch:
            os.pwrite(newest, b"%020d" % epoch, 0)


def be_interrupted(pipe: Connection, path: Path, times: int) -> None:
    """Acquire and release, interrupted once each time at whatever moment; then tell what is left held."""
    lock, armed, caught = Lock(path), False, 0

    def interrupt(number: int, frame: object) -> None:
        nonlocal armed
        if armed:
            armed = False
            raise KeyboardInterrupt

    def go_on() -> None:
        nonlocal armed
        armed = True
        while armed:
            with lock.hold("be interrupted", timeout_s=PATIENCE_S):
                pass

    signal.signal(signal.SIGINT, interrupt)
    pipe.send("ready")
    while caught < times:
        try:
            go_on()
        except KeyboardInterrupt:
            caught += 1
    pipe.send((lock.held_by_me(), Lock(path).try_acquire("see")))
    pipe.recv()


def fork_and_die(pipe: Connection, path: Path, hook: bool) -> None:
    """Hold, fork a child that lives on, and be killed; the child's pid is told."""
    lock = Lock(path)
    if not hook:
        lock.forget = lambda: None  # type: ignore[method-assign]  # the mutant: a child that keeps its copies
    lock.acquire("fork and die", timeout_s=PATIENCE_S)
    alive = Alive(path.with_suffix(".alive"))
    child = os.fork()
    if child == 0:
        signal.pause()
    pipe.send(child)
    signal.pause()
    alive.close()


def fork_and_release(pipe: Connection, path: Path, hook: bool) -> None:
    """Hold, fork a child that leaves the block and ends; tell what the child met."""
    lock = Lock(path)
    if not hook:
        lock.forget = lambda: None  # type: ignore[method-assign]  # the mutant: a child that keeps its copies
    alive = Alive(path.with_suffix(".alive"))
    told, tell = os.pipe()
    child = 0
    with lock.hold("fork and release", timeout_s=PATIENCE_S) as epoch:
        child = os.fork()
        if child == 0:
            try:
                lock.check(epoch)
                os.write(tell, b"may commit")
            except FencedOut:
                os.write(tell, b"fenced out")
            alive.close()
        else:
            os.waitpid(child, 0)
            pipe.send(os.read(told, 100).decode())
            pipe.recv()
    if child == 0:
        os._exit(0)


def watch(pipe: Connection, path: Path) -> None:
    """Hold a sign of life until told."""
    alive = Alive(path)
    pipe.send("alive")
    pipe.recv()
    alive.close()
    pipe.send("closed")
    pipe.recv()


def report(told: list[tuple[str, float, Owner | None]]) -> Callable[[str, float, Owner | None], None]:
    """Make a listener that keeps what it is told."""
    return lambda name, waited_s, owner: told.append((name, waited_s, owner))
