"""Worker bodies for tests of many processes: importable, so that a spawned child finds them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import duckdb

import oarlock


def attach_and_run(name: str, folder: str, worker: int, runs: int, rows: int, columns: bool, receipts: str) -> None:
    """Attach to a pipeline, run, and write down what each receipt said."""
    pipeline = oarlock.attach(pipeline_name=name, pipelines_dir=folder)
    told = []
    for run in range(runs):
        batch = [{"id": f"{worker}-{run}-{row}", "worker": worker, "run": run, "n": row} for row in range(rows)]
        if columns:
            for row in batch:
                row[f"col_{worker}_{run}"] = run
        info = pipeline.run(batch, table_name="items")
        assert info is not None
        told.append({"load_ids": info.loads_ids, "rows": info.row_counts.get("items"), "failed": info.has_failed_jobs})
    Path(receipts, f"{worker}.json").write_text(json.dumps(told))


def attach_and_run_for_ever(name: str, folder: str, worker: int, journal: str, wait: bool) -> None:
    """Run batches until killed; each receipt is written to a journal once it was given."""
    pipeline = oarlock.attach(pipeline_name=name, pipelines_dir=folder)
    fd = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    run = 0
    while True:
        batch = f"{worker}-{os.getpid()}-{run}"
        os.write(fd, f"begin {batch}\n".encode())
        info = pipeline.run([{"batch": batch, "n": n} for n in range(20)], table_name="items", wait=wait)
        assert info is not None
        os.write(fd, f"done {batch} {info.loads_ids[0]}\n".encode())
        run += 1


def rows_of(database: Path, query: str) -> list[tuple[Any, ...]]:
    """Ask a database that nobody holds."""
    with duckdb.connect(str(database), read_only=True) as connection:
        return connection.execute(query).fetchall()
