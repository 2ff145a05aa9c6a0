"""The reference's multi-process example: workers that attach and run. Every row once, every receipt true, no error."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import fleet
import pytest

import oarlock

WORKERS, RUNS, ROWS = 8, 10, 1_000
#: Trials a start method; the full twenty are asked for by the environment, as they take minutes on two cores.
TRIALS = int(os.environ.get("OARLOCK_TRIALS", "1"))
DEADLINE_S = 240


def _start(
    context: Any, folder: Path, receipts: Path, *, columns: bool, workers: int = WORKERS, runs: int = RUNS
) -> None:
    processes = [
        context.Process(
            target=fleet.attach_and_run, args=("shared", str(folder), worker, runs, ROWS, columns, str(receipts))
        )
        for worker in range(workers)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(DEADLINE_S)
    codes = [process.exitcode for process in processes]
    for process in processes:
        if process.is_alive():
            process.kill()
            process.join()
    assert codes == [0] * workers


def _check(database: Path, receipts: Path, *, workers: int = WORKERS, runs: int = RUNS) -> None:
    total = workers * runs * ROWS
    assert fleet.rows_of(database, "SELECT count(*), count(DISTINCT id) FROM data.items") == [(total, total)]
    by_load = dict(fleet.rows_of(database, "SELECT _dlt_load_id, count(*) FROM data.items GROUP BY 1"))
    told = [one for worker in range(workers) for one in json.loads((receipts / f"{worker}.json").read_text())]
    assert len(told) == workers * runs
    for one in told:
        (load_id,) = one["load_ids"]
        assert not one["failed"]
        assert one["rows"] == ROWS == by_load.pop(load_id)
    assert by_load == {}
    marked = fleet.rows_of(database, "SELECT count(*), count(DISTINCT load_id) FROM data._dlt_loads WHERE status = 0")
    assert marked == [(workers * runs, workers * runs)]


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
@pytest.mark.parametrize("trial", range(TRIALS))
def test_every_row_of_every_worker_is_there_once(method: str, trial: int, tmp_path: Path) -> None:
    database, receipts = tmp_path / "shared.duckdb", tmp_path / "receipts"
    receipts.mkdir()
    oarlock.pipeline(
        "shared", str(tmp_path / "p"), destination=oarlock.destinations.duckdb(str(database)), dataset_name="data"
    )

    _start(multiprocessing.get_context(method), tmp_path / "p", receipts, columns=False)

    _check(database, receipts)


@pytest.mark.parametrize("trial", range(TRIALS))
def test_every_column_of_every_worker_is_there(trial: int, tmp_path: Path) -> None:
    """Each run brings a column of its own: eighty columns at the end, one schema, versions that only rise."""
    database, receipts = tmp_path / "shared.duckdb", tmp_path / "receipts"
    receipts.mkdir()
    pipeline = oarlock.pipeline(
        "shared", str(tmp_path / "p"), destination=oarlock.destinations.duckdb(str(database)), dataset_name="data"
    )

    _start(multiprocessing.get_context("spawn"), tmp_path / "p", receipts, columns=True)

    _check(database, receipts)
    columns = [f"col_{worker}_{run}" for worker in range(WORKERS) for run in range(RUNS)]
    for column in columns:
        worker, run = column.split("_")[1:]
        query = f"SELECT count(*), min(worker), min(run) FROM data.items WHERE {column} IS NOT NULL"
        assert fleet.rows_of(database, query) == [(ROWS, int(worker), int(run))]
    assert set(columns) <= set(pipeline.default_schema.columns("items"))
    stored = fleet.rows_of(
        database, "SELECT version, version_hash FROM data._dlt_version ORDER BY inserted_at, version"
    )
    versions = [version for version, _ in stored]
    assert versions == sorted(set(versions))
    assert stored[-1] == (pipeline.default_schema.version, pipeline.default_schema.version_hash)
