"""SIGKILL at random moments: committed packages are there once, uncommitted ones not at all, attach always works."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import fleet
import pytest

import oarlock

KILLS = int(os.environ.get("OARLOCK_KILLS", "100"))
WORKERS = 4
SEED = int(os.environ.get("OARLOCK_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)


def _spawn(folder: Path, worker: int, journal: Path, wait: bool) -> Any:
    process = multiprocessing.get_context("forkserver").Process(
        target=fleet.attach_and_run_for_ever, args=("killed", str(folder), worker, str(journal), wait)
    )
    process.start()
    return process


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kills_at_random_moments_lose_and_double_nothing(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    choose = random.Random(SEED)
    database, folder = tmp_path / "killed.duckdb", tmp_path / "p"
    pipeline = oarlock.pipeline(
        "killed", str(folder), destination=oarlock.destinations.duckdb(str(database)), dataset_name="data"
    )
    pipeline.run([{"batch": "first", "n": n} for n in range(20)], table_name="items")
    journals = [tmp_path / f"journal-{worker}" for worker in range(WORKERS)]
    waits = [worker % 2 == 0 for worker in range(WORKERS)]
    processes = [_spawn(folder, worker, journals[worker], waits[worker]) for worker in range(WORKERS)]
    try:
        for _ in range(KILLS):
            victim = choose.randrange(WORKERS)
            # The moment of the kill is what is random here: nothing is waited for.
            time.sleep(choose.uniform(0.02, 0.25))
            os.kill(processes[victim].pid, signal.SIGKILL)
            processes[victim].join(30)
            oarlock.attach("killed", str(folder)).close()
            processes[victim] = _spawn(folder, victim, journals[victim], waits[victim])
    finally:
        for process in processes:
            process.kill()
            process.join(30)

    after = oarlock.attach("killed", str(folder))
    after.run(None)

    assert not after.has_pending_data
    found = dict(fleet.rows_of(database, "SELECT batch, count(*) FROM data.items GROUP BY batch"))
    assert set(found.values()) == {20}
    lines = [line.split() for journal in journals if journal.exists() for line in journal.read_text().splitlines()]
    done = {line[1] for line in lines if line[0] == "done"}
    begun = {line[1] for line in lines if line[0] == "begin"}
    assert done <= set(found)
    assert set(found) <= begun | {"first"}
    with after.member.store.snapshot() as snapshot:
        committed = {record.load_id for record in snapshot.packages("loaded")}
    loaded = fleet.rows_of(database, "SELECT load_id, count(*) FROM data._dlt_loads GROUP BY 1")
    assert {load_id for load_id, _ in loaded} == committed
    assert {count for _, count in loaded} == {1}
    assert len(done) > WORKERS
    after.close()
