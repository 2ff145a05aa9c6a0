"""What does the lock cost? Alone, in waking up, after kill -9 of its owner, and shared by many processes.

    python benchmarks/bench_locking.py [--json] [--rounds N] [--folder DIR]

Everything is told beside the raw native lock (flock) in the same run, in alternating rounds, as medians. The rivals:

    blocking   flock that waits in the kernel: the fastest way to wait, but one that no deadline can end
    polling    flock tried again and again, 50 µs to 2 ms apart
    parking    flock that waits in the kernel in a second thread, so that the first can leave
    FileLock   filelock.FileLock with its defaults (tries every 50 ms)

None of the rivals writes an owner's record, counts epochs or looks whether the file was replaced. What the figures do
not show: a machine with many processors, where waking up costs less; and one with other work, where it costs more.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import multiprocessing
import os
import platform
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import filelock

from oarlock.locking import Lock

#: Like a commit: so long inside, so long outside.
COMMIT_S, BETWEEN_S = 0.000_1, 0.000_3
SLICE_S = 0.6
PROCESSES = (4, 16)
BATCHES, BATCH = 60, 200
WAKES, KILLS = 40, 12

# Forked: a start costs little, and what is measured begins after it.
_context = multiprocessing.get_context("fork")


class Rival(Protocol):
    """Something to take turns with."""

    def acquire(self) -> object:
        """Wait for the turn."""

    def release(self) -> object:
        """Give it back."""


class Blocking:
    """The kernel's own wait."""

    def __init__(self, folder: Path) -> None:
        self.fd = os.open(folder / f"{type(self).__name__}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def acquire(self) -> None:
        """Wait for the turn."""
        fcntl.flock(self.fd, fcntl.LOCK_EX)

    def release(self) -> None:
        """Give it back."""
        fcntl.flock(self.fd, fcntl.LOCK_UN)

    def try_acquire(self) -> bool:
        """Take the turn if it is free."""
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class Polling(Blocking):
    """Tried again and again, at growing intervals."""

    def acquire(self) -> None:
        """Wait for the turn."""
        pause = 0.000_05
        while not self.try_acquire():
            time.sleep(pause)
            pause = min(pause * 2, 0.002)


class Parking(Blocking):
    """A second thread waits in the kernel."""

    def acquire(self) -> None:
        """Wait for the turn."""
        if not self.try_acquire():
            had = threading.Lock()
            had.acquire()
            threading.Thread(target=self._park, args=(had,), daemon=True).start()
            had.acquire(timeout=60)

    def _park(self, had: threading.Lock) -> None:
        fcntl.flock(self.fd, fcntl.LOCK_EX)
        had.release()


class Ours:
    """The lock of this project."""

    def __init__(self, folder: Path) -> None:
        self.lock = Lock(folder / "guard.lock")

    def acquire(self) -> None:
        """Wait for the turn."""
        self.lock.acquire("bench", timeout_s=60)

    def release(self) -> None:
        """Give it back."""
        self.lock.release()


def theirs(folder: Path) -> Rival:
    """Make the strongest rival that can be had: filelock as it comes."""
    return filelock.FileLock(folder / "theirs.lock")


RIVALS: dict[str, Callable[[Path], Rival]] = {
    "blocking": Blocking,
    "oarlock": Ours,
    "polling": Polling,
    "parking": Parking,
    "FileLock": theirs,
}


def median_of(rounds: Iterable[dict[str, float]]) -> dict[str, float]:
    """Take the median of each figure over the rounds."""
    found = list(rounds)
    return {key: round(statistics.median(each[key] for each in found), 3) for key in found[0]}


# One process


def uncontended(folder: Path, rounds: int) -> dict[str, float]:
    """Time of acquire + release, nobody else there, in µs; and as a ratio to the raw lock."""
    raw, ours, theirs = Blocking(folder), Lock(folder / "guard.lock"), filelock.FileLock(folder / "theirs.lock")
    epoch = 0

    def raw_pair() -> None:
        fcntl.flock(raw.fd, fcntl.LOCK_EX)
        fcntl.flock(raw.fd, fcntl.LOCK_UN)

    def descriptor_pair() -> None:
        filelock.lock_descriptor(raw.fd, blocking=False)
        filelock.unlock_descriptor(raw.fd)

    def our_pair() -> None:
        ours.acquire("bench", timeout_s=60)
        ours.release()

    def our_block() -> None:
        with ours.hold("bench", timeout_s=60):
            pass

    def our_try() -> None:
        ours.try_acquire("bench")
        ours.release()

    def their_pair() -> None:
        theirs.acquire()
        theirs.release()

    def our_check() -> None:
        ours.check(epoch)

    jobs = {
        "raw flock": (raw_pair, BATCH),
        "filelock.lock_descriptor": (descriptor_pair, BATCH),
        "oarlock": (our_pair, BATCH),
        "oarlock, with block": (our_block, BATCH),
        "oarlock, try_acquire": (our_try, BATCH),
        "filelock.FileLock": (their_pair, 20),
    }

    def one_round() -> dict[str, float]:
        nonlocal epoch
        found = {name: 1e6 * best_of(job, batch) for name, (job, batch) in jobs.items()}
        with ours.hold("check", timeout_s=60) as epoch:
            found["oarlock, check"] = 1e6 * best_of(our_check, BATCH)
        ratios = {f"{name}, ratio": took / found["raw flock"] for name, took in found.items()}
        pauses = {
            "raw flock, after a pause": after_a_pause(raw_pair),
            "oarlock, after a pause": after_a_pause(our_pair),
        }
        ratios["oarlock, after a pause, ratio"] = pauses["oarlock, after a pause"] / pauses["raw flock, after a pause"]
        return found | {name: 1e6 * took for name, took in pauses.items()} | ratios

    return median_of(one_round() for _ in range(rounds))


def best_of(job: Callable[[], None], batch: int) -> float:
    """Seconds of one call in the best of many batches: what it costs where nothing else runs."""
    best = 1.0
    for _ in range(BATCHES):
        started = time.perf_counter()
        for _ in range(batch):
            job()
        best = min(best, time.perf_counter() - started)
    return best / batch


def after_a_pause(job: Callable[[], None]) -> float:
    """Seconds of one call that comes after two milliseconds of something else; the median of many."""
    took = []
    for _ in range(100):
        until = time.perf_counter() + 0.002
        while time.perf_counter() < until:
            pass
        started = time.perf_counter()
        job()
        took.append(time.perf_counter() - started)
    return statistics.median(took)


# Two processes


def _wake(pipe: Connection, make: Callable[[Path], Rival], folder: Path) -> None:
    lock, moments = make(folder), []
    for _ in range(WAKES):
        pipe.recv()
        pipe.send("waiting")
        lock.acquire()
        moments.append(time.monotonic_ns())
        lock.release()
        pipe.send("had it")
    pipe.send(moments)


def waking(make: Callable[[Path], Rival], folder: Path) -> float:
    """Microseconds from the begin of a release to the end of another process's acquisition, median."""
    ours, theirs = _context.Pipe()
    other = _context.Process(target=_wake, args=(theirs, make, folder), daemon=True)
    other.start()
    lock, moments = make(folder), list[int]()
    for _ in range(WAKES):
        lock.acquire()
        ours.send("wait")
        ours.recv()
        time.sleep(0.002)
        moments.append(time.monotonic_ns())
        lock.release()
        ours.recv()
    had: list[int] = ours.recv()
    other.join()
    return statistics.median(end - begin for begin, end in zip(moments, had, strict=True)) / 1e3


def _hold_for_ever(pipe: Connection, make: Callable[[Path], Rival], folder: Path) -> None:
    lock = make(folder)
    lock.acquire()
    pipe.send("held")
    signal.pause()


def handing_over(make: Callable[[Path], Rival], folder: Path) -> list[float]:
    """Milliseconds from SIGKILL of the owner to the acquisition of one who waits."""
    took = []
    for _ in range(KILLS):
        ours, theirs = _context.Pipe()
        owner = _context.Process(target=_hold_for_ever, args=(theirs, make, folder), daemon=True)
        owner.start()
        ours.recv()
        lock, killed = make(folder), [0.0]
        killer = threading.Timer(0.02, _kill, (owner.pid, killed))
        killer.start()
        lock.acquire()
        had = time.monotonic()
        lock.release()
        killer.join()
        owner.join()
        took.append(1e3 * (had - killed[0]))
    return took


def _kill(pid: int, killed: list[float]) -> None:
    killed[0] = time.monotonic()
    os.kill(pid, signal.SIGKILL)


# Many processes


def _take_turns(pipe: Connection, make: Callable[[Path], Rival], folder: Path, between_s: float) -> None:
    lock, waits = make(folder), []
    pipe.send("ready")
    pipe.recv()
    now = time.perf_counter()
    end = now + SLICE_S
    while now < end:
        lock.acquire()
        had = time.perf_counter()
        waits.append(had - now)
        while time.perf_counter() < had + COMMIT_S:
            pass
        lock.release()
        if between_s:
            time.sleep(between_s)
        now = time.perf_counter()
    pipe.send(waits)


def sharing(make: Callable[[Path], Rival], folder: Path, processes: int, between_s: float) -> dict[str, float]:
    """Turns a second of all, smallest share over largest, and waits in ms."""
    pipes, crew = [], []
    for _ in range(processes):
        ours, theirs = _context.Pipe()
        crew.append(_context.Process(target=_take_turns, args=(theirs, make, folder, between_s), daemon=True))
        pipes.append(ours)
        crew[-1].start()
    for pipe in pipes:
        pipe.recv()
    for pipe in pipes:
        pipe.send("go")
    told: list[list[float]] = [pipe.recv() for pipe in pipes]
    for each in crew:
        each.join()
    shares = [len(waits) for waits in told]
    waits = sorted(wait for each in told for wait in each)
    return {
        "turns/s": sum(shares) / SLICE_S,
        "fairness": min(shares) / max(shares),
        "p99 ms": 1e3 * waits[int(len(waits) * 0.99)],
        "worst ms": 1e3 * waits[-1],
    }


def run(folder: Path, rounds: int) -> dict[str, Any]:
    """Measure everything."""
    found: dict[str, Any] = {
        "machine": f"{os.cpu_count()} cpus, {platform.platform()}, Python {platform.python_version()}"
    }
    found["load before"] = os.getloadavg()[0]
    found["uncontended, µs"] = uncontended(folder, rounds)
    wakes = median_of({name: waking(make, folder) for name, make in RIVALS.items()} for _ in range(rounds))
    found["waking up, µs"] = wakes | {"oarlock, ratio to blocking": round(wakes["oarlock"] / wakes["blocking"], 2)}
    found["hand-over after kill -9, ms"] = {}
    for name in ("blocking", "oarlock", "FileLock"):
        took = sorted(each for _ in range(2) for each in handing_over(RIVALS[name], folder))
        found["hand-over after kill -9, ms"][name] = {
            "median": round(statistics.median(took), 2),
            "p95": round(took[int(len(took) * 0.95)], 2),
            "max": round(took[-1], 2),
        }
    for between_s, kind in ((BETWEEN_S, "like commits"), (0.0, "in a tight loop")):
        for processes in PROCESSES:
            slices: dict[str, list[dict[str, float]]] = {name: [] for name in RIVALS}
            for _ in range(max(2, rounds - 1)):
                for name, make in RIVALS.items():
                    slices[name].append(sharing(make, folder, processes, between_s))
            found[f"{processes} processes {kind}"] = {name: median_of(each) for name, each in slices.items()}
    return found


def show(found: dict[str, Any]) -> None:
    """Print it for a person."""
    for title, figures in found.items():
        if not isinstance(figures, dict):
            print(f"{title}: {figures}")
            continue
        print(f"\n{title}")
        for name, figure in figures.items():
            told = "  ".join(f"{k} {v:g}" for k, v in figure.items()) if isinstance(figure, dict) else f"{figure:g}"
            print(f"  {name:32} {told}")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--rounds", type=int, default=3, help="alternating rounds (default 3)")
    parser.add_argument(
        "--folder", type=Path, default=None, help="where the lock files lie (default: a temporary folder)"
    )
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        found = run(Path(folder), chosen.rounds)
    if chosen.json:
        print(json.dumps(found, ensure_ascii=False))
    else:
        show(found)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
