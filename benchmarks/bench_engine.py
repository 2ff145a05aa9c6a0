"""What do rows cost on their way into DuckDB? CPU for the same rows through oarlock and through dlt.

    python benchmarks/bench_engine.py [--json] [--rows N] [--case flat|nested|lines|arrow ...]

Each measurement is a process of its own: it makes the rows first, then loads them, and tells the CPU seconds (user and
system, its children's too), the wall time, and how far its memory grew. dlt runs as it comes ("default") and with
Parquet as its file format and large buffers ("best"); "engine" is ours without the destination: rows to Arrow batches.
The arrow case hands both an Arrow table. What the figures do not show: many processes, and databases across a network.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

CASES = {"flat": 200_000, "nested": 40_000, "lines": 100_000, "arrow": 1_000_000}
WAYS = ("engine", "oarlock", "dlt best", "dlt default")
#: dlt's default sends SQL text, which takes minutes for what the others do in seconds.
DEFAULT_SHARE = 10


def flat(number: int) -> dict[str, Any]:
    """Make one row of ten columns."""
    return {
        "id": number,
        "name": f"customer {number}",
        "email": f"c{number}@example.org",
        "amount": number * 1.25,
        "quantity": number % 50,
        "active": number % 3 == 0,
        "created_at": f"2024-03-{number % 28 + 1:02d}T12:{number % 60:02d}:00Z",
        "note": None if number % 4 else f"note {number % 100}",
        "country": ("NL", "DE", "FR", "US")[number % 4],
        "score": number / 7,
    }


def nested(number: int) -> dict[str, Any]:
    """Make one order: two dicts inside, a list of dicts, a list of words."""
    return {
        "id": number,
        "placed_at": f"2024-03-{number % 28 + 1:02d}T12:{number % 60:02d}:00Z",
        "customer": {
            "id": number % 1000,
            "name": f"customer {number % 1000}",
            "address": {"city": "Rotterdam", "zip": "3011"},
        },
        "payment": {"method": "card", "paid": number % 5 > 0, "fee": None if number % 2 else 0.25},
        "lines": [
            {"sku": f"sku-{(number * 7 + line) % 500}", "quantity": line + 1, "price": 9.5 + line, "tags": ["a", "b"]}
            for line in range(number % 4 + 1)
        ],
        "labels": [f"label {number % 10}", "all"],
    }


def make(case: str, count: int, folder: Path) -> Any:
    """Make the input of a case."""
    if case == "arrow":
        import pyarrow as pa

        table = pa.Table.from_pylist([flat(number) for number in range(10_000)])
        return pa.concat_tables([table] * (count // 10_000)).combine_chunks()
    rows = [(nested if case == "nested" else flat)(number) for number in range(count)]
    if case != "lines":
        return rows
    path = folder / "events.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def engine(case: str, data: Any, folder: Path) -> None:
    """Normalize, and throw the batches away."""
    from oarlock.schema.delta import merge
    from oarlock.schema.document import Schema
    from oarlock.steps.files import read
    from oarlock.steps.normalize import Normalizer, TableHints

    stored = Schema.new("bench")

    def grow(delta: Any) -> Schema:
        nonlocal stored
        stored = merge(stored, delta).schema
        return stored

    taker = Normalizer(stored, load_id="1.5", grow=grow, sink=lambda table, batch: None, max_identifier_length=65_536)
    if case == "arrow":
        taker.add_arrow(TableHints("t"), data, system_columns=False)
        return
    for rows in read(data) if case == "lines" else [data]:
        taker.add_rows(TableHints("t"), rows)


def ours(case: str, data: Any, folder: Path) -> None:
    """Load with oarlock."""
    import oarlock

    destination = oarlock.destinations.duckdb(str(folder / "ours.duckdb"))
    oarlock.pipeline("ours", str(folder), destination=destination, dataset_name="data").run(data, table_name="t")


def theirs(case: str, data: Any, folder: Path, *, best: bool) -> None:
    """Load with dlt."""
    import dlt

    if best:
        os.environ |= {"DATA_WRITER__BUFFER_MAX_ITEMS": "50000", "DATA_WRITER__DISABLE_COMPRESSION": "true"}
    destination = dlt.destinations.duckdb(str(folder / "theirs.duckdb"))
    pipeline = dlt.pipeline("theirs", pipelines_dir=str(folder), destination=destination, dataset_name="data")
    options = {"loader_file_format": "parquet"} if best and case != "arrow" else {}
    if case == "lines":
        data = _lines(data)
    elif case != "arrow":
        data = _pages(data)
    pipeline.run(data, table_name="t", **options)


def _pages(rows: list[Any]) -> Any:
    for first in range(0, len(rows), 10_000):
        yield rows[first : first + 10_000]


def _lines(path: Path) -> Any:
    import orjson

    with path.open("rb") as lines:
        while page := lines.readlines(4_000_000):
            yield [orjson.loads(line) for line in page]


def measure_here(case: str, way: str, count: int) -> dict[str, float]:
    """Make the rows and load them, in this process."""
    ways: dict[str, Callable[[str, Any, Path], None]] = {
        "engine": engine,
        "oarlock": ours,
        "dlt best": partial(theirs, best=True),
        "dlt default": partial(theirs, best=False),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for warm in (_warm_input(case, folder), None):
            data = make(case, count, folder) if warm is None else warm
            memory, cpu, wall = _memory_mb(), _cpu(), time.perf_counter()
            ways[way](case, data, folder)
            measured = {"cpu_s": _cpu() - cpu, "wall_s": time.perf_counter() - wall, "memory_mb": _memory_mb() - memory}
    return {name: round(value, 3) for name, value in measured.items()}


def _warm_input(case: str, folder: Path) -> Any:
    """Give a few rows: imports and a first commit are not what is measured."""
    return make(case, 10_000 if case == "arrow" else 10, folder)


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024 * 1024)


def measure(case: str, way: str, count: int) -> dict[str, Any]:
    """Measure in a fresh process."""
    command = [sys.executable, __file__, "--measure", case, way, str(count)]
    quiet = {**os.environ, "RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "CRITICAL"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=quiet)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {"case": case, "way": way, "rows": count, "rows_per_cpu_s": round(count / figures["cpu_s"]), **figures}


def main() -> None:
    """Measure what is asked for and print it."""
    parser = argparse.ArgumentParser(description="CPU of rows on their way into DuckDB, beside dlt's.")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--rows", type=int, help="rows of each case, in place of its own number")
    parser.add_argument("--case", nargs="*", choices=list(CASES), default=list(CASES))
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        case, way, count = options.measure
        print(json.dumps(measure_here(case, way, int(count))))
        return
    ways = WAYS if importlib.util.find_spec("dlt") else WAYS[:2]
    results = []
    for case in options.case:
        count = options.rows or CASES[case]
        for way in ways:
            if way == "dlt default" and case == "arrow":
                continue  # its default and its best are the same
            results.append(measure(case, way, max(count // DEFAULT_SHARE, 1) if way == "dlt default" else count))
            if not options.json:
                print(_line(results[-1], results), flush=True)
    if options.json:
        print(json.dumps(results, indent=2))


def _line(one: dict[str, Any], results: list[dict[str, Any]]) -> str:
    ours = next((r for r in results if r["case"] == one["case"] and r["way"] == "oarlock"), None)
    ratio = f"  oarlock {ours['rows_per_cpu_s'] / one['rows_per_cpu_s']:.1f}x" if ours and "dlt" in one["way"] else ""
    return (
        f"{one['case']:7} {one['way']:12} {one['rows']:>9,} rows {one['cpu_s']:>8.2f} CPU s"
        f" {one['rows_per_cpu_s']:>10,} rows/CPU s {one['memory_mb']:>7.0f} MB{ratio}"
    )


if __name__ == "__main__":
    main()
