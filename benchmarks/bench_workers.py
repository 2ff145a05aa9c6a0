"""Many processes on one pipeline: does every row arrive, and how fast? Beside dlt's own example.

    python benchmarks/bench_workers.py [--json] [--workers N] [--runs N] [--rows N]

Workers attach to one pipeline and run; the rows in the database are counted by an independent reader. dlt is given
the same example: its default, where all share one pipeline, and its work-around of a pipeline a worker, one after
another, which is the only way in which it loses nothing into one DuckDB file.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

Body = Callable[[str, str, int, int, int, str], None]


def rows_of(worker: int, run: int, rows: int) -> list[dict[str, Any]]:
    """Give the rows of one run."""
    return [
        {"id": f"{worker}-{run}-{row}", "worker": worker, "n": row, "name": f"name {row}", "at": 1.5 * row}
        for row in range(rows)
    ]


def attach_and_run(module: str, folder: str, worker: int, runs: int, rows: int, name: str) -> None:
    """Be a worker: attach and run; exits with the number of runs that raised."""
    oarlock = importlib.import_module(module)
    failed = 0
    try:
        pipeline = oarlock.attach(name, folder)
    except Exception:
        os._exit(min(runs, 250))
    for run in range(runs):
        try:
            pipeline.run(rows_of(worker, run, rows), table_name="items")
        except Exception:
            failed += 1
    os._exit(min(failed, 250))


def one_pipeline_each(module: str, folder: str, worker: int, runs: int, rows: int, database: str) -> None:
    """dlt's work-around: a pipeline of its own a worker, on the one database."""
    dlt = importlib.import_module(module)
    pipeline = dlt.pipeline(f"own_{worker}", folder, destination=dlt.destinations.duckdb(database), dataset_name="data")
    for run in range(runs):
        pipeline.run(rows_of(worker, run, rows), table_name="items")


def trial(module: str, scratch: Path, workers: int, runs: int, rows: int) -> dict[str, Any]:
    """Run the example once with ``module`` as the library."""
    database, folder = scratch / f"{module}.duckdb", scratch / module
    library = importlib.import_module(module)
    library.pipeline("shared", str(folder), destination=library.destinations.duckdb(str(database)), dataset_name="data")
    os.environ["DESTINATION__DUCKDB__CREDENTIALS"] = str(database)  # dlt's workers forget the path they were given
    return timed(attach_and_run, module, folder, workers, runs, rows, "shared", database, at_once=True)


def timed(
    body: Body,
    module: str,
    folder: Path,
    workers: int,
    runs: int,
    rows: int,
    last: str,
    database: Path,
    *,
    at_once: bool,
) -> dict[str, Any]:
    """Start the workers, wait for them, count the rows."""
    context = multiprocessing.get_context("spawn")
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    processes = [
        context.Process(target=body, args=(module, str(folder), worker, runs, rows, last)) for worker in range(workers)
    ]
    for process in processes:
        process.start()
        if not at_once:
            process.join()
    for process in processes:
        process.join()
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    failed = sum(process.exitcode or 0 for process in processes)
    return {
        "wall_s": wall,
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "runs": workers * runs,
        "runs_that_raised": failed,
        **counted(database, workers * runs * rows),
    }


def counted(database: Path, wanted: int) -> dict[str, int]:
    """Count what arrived."""
    try:
        with duckdb.connect(str(database), read_only=True) as connection:
            found = connection.execute("SELECT count(*), count(DISTINCT id) FROM data.items").fetchone() or (0, 0)
    except duckdb.Error:
        found = (0, 0)
    return {"rows_wanted": wanted, "rows_missing": wanted - found[1], "rows_doubled": found[0] - found[1]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--rows", type=int, default=1_000)
    arguments = parser.parse_args()
    size = (arguments.workers, arguments.runs, arguments.rows)
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="oarlock-bench-") as scratch:
        root = Path(scratch)
        result["oarlock"] = trial("oarlock", root, *size)
        if importlib.util.find_spec("dlt") is not None:
            os.environ["RUNTIME__LOG_LEVEL"] = "CRITICAL"  # its workers' tracebacks fill the screen
            result["dlt, one pipeline"] = trial("dlt", root, *size)
            database = root / "own.duckdb"
            result["dlt, a pipeline each, one after another"] = timed(
                one_pipeline_each, "dlt", root / "own", *size, str(database), database, at_once=False
            )
    if arguments.json:
        print(json.dumps(result, indent=2))
        return
    print(f"{size[0]} workers x {size[1]} runs x {size[2]} rows")
    for name, row in result.items():
        print(
            f"{name:<42} {row['wall_s']:6.1f} s wall {row['cpu_s']:6.1f} s CPU   raised "
            f"{row['runs_that_raised']}/{row['runs']}   "
            f"missing {row['rows_missing']}   doubled {row['rows_doubled']}"
        )


if __name__ == "__main__":
    main()
