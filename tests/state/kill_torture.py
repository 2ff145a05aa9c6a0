"""Worker processes count in one store while they are killed at random; nothing that was told may be lost.

A program, not a test: ``python kill_torture.py FOLDER WORKERS SECONDS SEED``. Each worker adds one to a common counter
and to its own, in one transaction, and then tells its own count through a pipe. A reader checks all the while that
each snapshot fits together. Prints ``points=… lost=0 dup=0 stuck=0``: a point is a kill.
"""

from __future__ import annotations

import os
import random
import signal
import struct
import sys
import time
from pathlib import Path
from typing import NoReturn

from oarlock.state.store import SqliteStore

_TOLD = struct.Struct("<II")


def work(folder: Path, number: int, pipe: int) -> NoReturn:
    """Count until killed."""
    try:
        store = SqliteStore.create(folder, pipeline_name="p", worker=f"w{number}")
        while True:
            with store.transaction("count", timeout_s=30) as tx:
                own = tx.get(("counts", str(number)), 0) + 1
                tx.put(("counts", str(number)), own)
                tx.put(("sources", "s", "n"), tx.get(("sources", "s", "n"), 0) + 1)
            os.write(pipe, _TOLD.pack(number, own))
    except BaseException as error:
        os.write(2, f"worker {number}: {type(error).__name__}: {error}\n".encode())
    os._exit(1)


def torture(folder: Path, workers: int, seconds: float, seed: int) -> dict[str, int]:
    """Run workers, kill them and start them again until the time is up, and count what is wrong."""
    chance = random.Random(seed)
    told_by, tell = os.pipe()
    os.set_blocking(told_by, False)
    found = {"points": 0, "lost": 0, "dup": 0, "stuck": 0}
    told, pids = [0] * workers, dict.fromkeys(range(workers), 0)
    reader: SqliteStore | None = None
    deadline = time.monotonic() + seconds
    last_progress = time.monotonic()
    while time.monotonic() < deadline:
        for number, pid in pids.items():
            if not pid:
                pids[number] = os.fork() or work(folder, number, tell)
        if reader is None and SqliteStore.exists(folder):
            reader = SqliteStore.open(folder, worker="reader")
        if reader is not None:
            check_snapshot(reader, told, found)
        time.sleep(chance.random() * 0.02)
        if hear(told_by, told):
            last_progress = time.monotonic()
        found["stuck"] += time.monotonic() - last_progress > 10
        victim = chance.randrange(workers)
        os.kill(pids[victim], signal.SIGKILL)
        _, status = os.waitpid(pids[victim], 0)
        found["lost"] += not os.WIFSIGNALED(status)
        pids[victim] = 0
        found["points"] += 1
    for pid in pids.values():
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    hear(told_by, told)
    assert reader is not None
    check_snapshot(reader, told, found)
    found["lost"] += len(reader.check())
    reader.close()
    found["transactions"] = sum(told)
    return found


def check_snapshot(reader: SqliteStore, told: list[int], found: dict[str, int]) -> None:
    """A snapshot must fit together, and hold whatever was told before it was taken."""
    with reader.snapshot() as snapshot:
        counts = snapshot.get(("counts",), {})
        total = snapshot.get(("sources", "s", "n"), 0)
        version = snapshot.state_version
    found["dup"] += total != sum(counts.values()) or version != total
    found["lost"] += any(counts.get(str(number), 0) < own for number, own in enumerate(told))


def hear(pipe: int, told: list[int]) -> bool:
    """Read what workers told; True if anything."""
    heard = False
    while True:
        try:
            content = os.read(pipe, _TOLD.size * 1000)
        except BlockingIOError:
            return heard
        for number, own in _TOLD.iter_unpack(content):
            heard = True
            told[number] = max(told[number], own)


def main() -> int:
    folder, workers, seconds, seed = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    found = torture(folder, workers, seconds, seed)
    print(" ".join(f"{name}={count}" for name, count in found.items()), f"seed={seed}")
    return int(bool(found["lost"] or found["dup"] or found["stuck"]))


if __name__ == "__main__":
    sys.exit(main())
