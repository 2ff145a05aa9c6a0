"""What does it cost to join a pipeline? CPU of a fresh process over the bare interpreter, beside dlt's.

    python benchmarks/bench_attach.py [--json] [--rounds N]

A folder with 1, 100 and 1,000 tables, and one with 1, 100 and 1,000 finished packages, is made once; then processes
that only import and attach are started in turn with bare ones, and the CPU that the kernel counted for each is taken.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

BARE = "pass"
OURS = "import oarlock; oarlock.attach({name!r}, {folder!r})"
OURS_WARM = (
    "import oarlock, time; oarlock.attach({name!r}, {folder!r}); t = time.process_time()\n"
    "for _ in range(50): oarlock.attach({name!r}, {folder!r})\n"
    "print((time.process_time() - t) / 50 * 1000)"
)
DLT = "import dlt; dlt.attach({name!r}, {folder!r})"
SIZES = (1, 100, 1_000)
#: Byte code is kept, as wherever Python is installed the usual way.
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}


def cpu_ms(code: str) -> float:
    """Run code in a fresh interpreter; CPU milliseconds, user and system, of it and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) * 1000


def make_tables(folder: Path, tables: int, module: str) -> str:
    """Make a pipeline whose schema has that many tables."""
    name = f"tables_{tables}"
    code = (
        f"import {module} as m\n"
        f"p = m.pipeline({name!r}, {str(folder)!r}, destination=m.destinations.duckdb({str(folder / 'x')!r} + "
        f"{name!r}))\n"
        f"def rows():\n"
        f"    for n in range({tables}): yield {{'id': 1, 'value': 'x', 'at': 1.5, 't': f't{{n}}'}}\n"
        f"p.run(m.resource(rows, name='r', table_name=lambda row: row['t']))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    return name


def make_packages(folder: Path, packages: int) -> str:
    """Make a pipeline with that many finished packages."""
    name = f"packages_{packages}"
    code = (
        f"import oarlock\n"
        f"p = oarlock.pipeline({name!r}, {str(folder)!r}, "
        f"destination=oarlock.destinations.duckdb({str(folder / 'y')!r} + {name!r}))\n"
        f"for n in range({packages}): p.run([{{'id': n}}], table_name='t', wait=False)\n"
        f"p.run(None)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    return name


def measured(cases: dict[str, str], rounds: int) -> dict[str, float]:
    """Median CPU of each case, the cases taken in turn."""
    for code in cases.values():
        cpu_ms(code)  # byte code and disk cache warm
    seen: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, code in cases.items():
            seen[name].append(cpu_ms(code))
    return {name: statistics.median(values) for name, values in seen.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    with_dlt = importlib.util.find_spec("dlt") is not None
    result: dict[str, Any] = {"tables": {}, "packages": {}, "warm_ms": {}}
    with tempfile.TemporaryDirectory(prefix="oarlock-bench-") as scratch:
        root = Path(scratch)
        ours, theirs = root / "ours", root / "dlt"
        cases = {"bare": BARE, "import": "import oarlock"}
        for size in SIZES:
            cases[f"ours_tables_{size}"] = OURS.format(name=make_tables(ours, size, "oarlock"), folder=str(ours))
            cases[f"ours_packages_{size}"] = OURS.format(name=make_packages(ours, size), folder=str(ours))
            if with_dlt:
                cases[f"dlt_tables_{size}"] = DLT.format(name=make_tables(theirs, size, "dlt"), folder=str(theirs))
        medians = measured(cases, arguments.rounds)
        for size in SIZES:
            code = OURS_WARM.format(name=f"tables_{size}", folder=str(ours))
            out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
            result["warm_ms"][size] = float(out)
    bare = medians["bare"]
    result["bare_ms"] = bare
    result["import_ms"] = medians["import"] - bare
    for kind in ("tables", "packages"):
        for size in SIZES:
            row = {"ours_ms": medians[f"ours_{kind}_{size}"] - bare}
            if f"dlt_{kind}_{size}" in medians:
                row["dlt_ms"] = medians[f"dlt_{kind}_{size}"] - bare
                row["ratio"] = row["dlt_ms"] / row["ours_ms"]
            result[kind][size] = row
    if arguments.json:
        print(json.dumps(result, indent=2))
        return
    print(
        f"CPU over the bare interpreter ({bare:.0f} ms), median of {arguments.rounds}; import alone "
        f"{result['import_ms']:.0f} ms"
    )
    for kind in ("tables", "packages"):
        for size, row in result[kind].items():
            beside = f"   dlt {row['dlt_ms']:6.0f} ms   {row['ratio']:.1f}x" if "dlt_ms" in row else ""
            print(f"attach, {size:>5} {kind:<8}  {row['ours_ms']:6.1f} ms{beside}")
    print(
        "attach again in one process: "
        + ", ".join(f"{size} tables {ms:.2f} ms" for size, ms in result["warm_ms"].items())
    )


if __name__ == "__main__":
    main()
