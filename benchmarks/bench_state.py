"""What does the store cost? Durable transactions of many processes, reads, changes of large states, opening.

    python benchmarks/bench_state.py [--json] [--seconds S] [--folder DIR]

Durable transactions are told as ratios to what the same disk does in syncs of as many bytes, measured by one process
right before and right after each slice, because a disk's speed changes while one looks. Where dlt is installed, its
own change of the state (neither synced nor safe among processes) stands beside.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from oarlock.state.base import Job, PackageRecord, SchemaRecord
from oarlock.state.store import SqliteStore
from oarlock.values import LoadId

#: What a transaction on a state of one kilobyte adds to the log: three pages and their headers.
COMMIT_BYTES = 3 * (4096 + 24)
PROCESSES = (1, 4, 16)
SLICES = 3
#: Transactions before a slice: SQLite's log has then been through its first round, and is written over, not longer.
WARM_UP = 520
KEY = ("sources", "s", "counter")
DLT = """
import sys, time, dlt
pipeline = dlt.pipeline("bench", pipelines_dir=sys.argv[1])
with pipeline.managed_state() as state:
    state["sources"] = {"s": {"text": "x" * 1000, "n": 0}}
started, count = time.perf_counter(), 0
while time.perf_counter() - started < 1:
    with pipeline.managed_state() as state:
        state["sources"]["s"]["n"] += 1
    count += 1
print(count / (time.perf_counter() - started))
"""


def disk_syncs_per_s(folder: Path, seconds: float = 0.25) -> float:
    """How often a second one process can write as much as a transaction does, and have it on disk."""
    path = folder / "disk"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.pwrite(descriptor, bytes(200 * COMMIT_BYTES), 0)
    os.fsync(descriptor)
    content = os.urandom(COMMIT_BYTES)
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        os.pwrite(descriptor, content, count % 200 * COMMIT_BYTES)
        os.fdatasync(descriptor)
        count += 1
    elapsed = time.perf_counter() - started
    os.close(descriptor)
    return count / elapsed


def count(folder: Path, number: int, start_at: float, seconds: float, told: Connection) -> None:
    """One process's transactions: how many, and how long each took."""
    store = SqliteStore.open(folder, worker=f"w{number}")
    times: list[float] = []
    time.sleep(max(0.0, start_at - time.monotonic()))
    end_at = start_at + seconds
    while True:
        began = time.perf_counter()
        with store.transaction("count") as tx:
            value = tx.get(KEY)
            tx.put(KEY, {**value, "n": value["n"] + 1})
        times.append(time.perf_counter() - began)
        if time.monotonic() > end_at:
            break
    told.send((times, store._sync.led))
    store.close()


def transactions(folder: Path, processes: int, seconds: float) -> dict[str, float]:
    """Let processes count in one store for a while."""
    fork = multiprocessing.get_context("fork")
    start_at = time.monotonic() + 0.1 + 0.02 * processes
    pipes, workers = [], []
    for number in range(processes):
        hear, tell = fork.Pipe(duplex=False)
        worker = fork.Process(target=count, args=(folder, number, start_at, seconds, tell))
        worker.start()
        pipes.append(hear)
        workers.append(worker)
    found = [hear.recv() for hear in pipes]
    for worker in workers:
        worker.join()
    shares = [len(times) for times, _ in found]
    every = sorted(one for times, _ in found for one in times)
    return {
        "per_s": sum(shares) / seconds,
        "fairness": min(shares) / max(shares),
        "p50_ms": every[len(every) // 2] * 1000,
        "p99_ms": every[int(len(every) * 0.99)] * 1000,
        "worst_ms": every[-1] * 1000,
        "syncs_per_transaction": sum(led for _, led in found) / len(every),
    }


def bench_transactions(folder: Path, seconds: float) -> list[dict[str, float]]:
    """Durable transactions at 1, 4 and 16 processes, each slice between two looks at the disk."""
    rows = []
    for processes in PROCESSES:
        slices = []
        for number in range(SLICES):
            place = folder / f"t{processes}-{number}"
            store = SqliteStore.create(place, pipeline_name="p", worker="w")
            for warm_up in range(WARM_UP):
                with store.transaction("start", durable=False) as tx:
                    tx.put(KEY, {"text": "x" * 1000, "n": warm_up})
            before = disk_syncs_per_s(folder)
            one = transactions(place, processes, seconds)
            store.close()
            one["disk_per_s"] = (before + disk_syncs_per_s(folder)) / 2
            one["ratio"] = one["per_s"] / one["disk_per_s"]
            one["p99_in_syncs"] = one["p99_ms"] / 1000 * one["disk_per_s"]
            slices.append(one)
        row = {name: statistics.median(one[name] for one in slices) for name in slices[0]}
        rows.append({"processes": processes, **row})
    return rows


def microseconds(action: Callable[[], object], repeat: int, rounds: int = 5) -> float:
    """CPU of one action, the best of some rounds: others on the machine do not count."""
    best = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        for _ in range(repeat):
            action()
        best = min(best, (time.process_time() - started) / repeat)
    return best * 1e6


def bench_reads(folder: Path) -> dict[str, float]:
    """A snapshot when nothing has changed, and when something has."""
    store = SqliteStore.create(folder / "reads", pipeline_name="p", worker="w", durability="none")
    with store.transaction("start") as tx:
        tx.put(KEY, 1)

    def look() -> object:
        with store.snapshot() as snapshot:
            return snapshot.get(KEY)

    def change_and_look() -> object:
        with store.transaction("change") as tx:
            tx.put(KEY, tx.get(KEY) + 1)
        return look()

    def change() -> None:
        with store.transaction("change") as tx:
            tx.put(KEY, tx.get(KEY) + 1)

    found = {"unchanged_us": microseconds(look, 5000), "transaction_not_durable_us": microseconds(change, 500)}
    found["after_a_change_us"] = max(0.0, microseconds(change_and_look, 500) - found["transaction_not_durable_us"])
    store.close()
    return found


def bench_state_size(folder: Path) -> dict[str, float]:
    """One key changed in a state of 1 KB and of 1 MB: put, and merge of a run's whole state."""
    found = {}
    for name, keys in (("1KB", 1), ("1MB", 1000)):
        store = SqliteStore.create(folder / name, pipeline_name="p", worker="w", durability="none")
        with store.transaction("fill") as tx:
            for number in range(keys):
                tx.put(("sources", "s", f"k{number}"), {"text": "x" * 1000, "n": 0})

        def change(store: SqliteStore = store) -> None:
            with store.transaction("change") as tx:
                tx.put(("sources", "s", "k0"), {"text": "x" * 1000, "n": tx.seq})

        found[f"{name}_us"] = microseconds(change, 300)
        store.close()
    found["ratio"] = found["1MB_us"] / found["1KB_us"]
    return found


def fill_tables(store: SqliteStore, tables: int) -> None:
    """One schema with that many tables of ten columns."""
    columns = {f"c{number}": {"name": f"c{number}", "data_type": "text", "nullable": True} for number in range(10)}
    document = {
        "name": "s",
        "tables": {f"t{number}": {"name": f"t{number}", "columns": columns} for number in range(tables)},
    }
    with store.transaction("schema") as tx:
        tx.put_schema(SchemaRecord("s", 1, "hash", document, "w", 1.0))


def fill_packages(store: SqliteStore, packages: int) -> None:
    """That many finished packages, and one that is pending."""
    jobs = tuple(Job(f"j{number}", f"t{number}", "rows", 0, 10, 10, "crc32:0", "arrow") for number in range(5))
    with store.transaction("packages") as tx:
        for number in range(packages + 1):
            state: Any = "loaded" if number < packages else "normalized"
            load_id = LoadId(f"{number:010d}.0")
            tx.put_package(PackageRecord(load_id, state, "s", 1, "h", jobs, "w", "r", 1.0, 2.0))


def bench_open(folder: Path) -> dict[str, float]:
    """CPU to open a store whose modules are imported, and to read what an attach reads."""
    found = {}
    for kind, size in (("tables", 1), ("tables", 100), ("tables", 1000), ("packages", 1), ("packages", 1000)):
        place = folder / f"{kind}-{size}"
        store = SqliteStore.create(place, pipeline_name="p", worker="w", durability="none")
        with store.transaction("state") as tx:
            tx.put((), {"dataset_name": "d", "sources": {"s": {"n": 1}}, "_local": {"first_run": False}})
        fill_tables(store, size if kind == "tables" else 1)
        fill_packages(store, size if kind == "packages" else 1)
        times = []
        for _ in range(30):
            began = time.process_time()
            joined = SqliteStore.open(place, worker="w2")
            with joined.snapshot() as snapshot:
                assert snapshot.documents()
                assert snapshot.schema_names() == ["s"]
                assert snapshot.schema_version("s") == 1
                assert len(snapshot.packages("extracted", "normalized")) == 1
            times.append(time.process_time() - began)
            joined.close()
        found[f"{kind}_{size}_ms"] = statistics.median(times) * 1000
        store.close()
    return found


def bench_dlt(folder: Path) -> float | None:
    """Changes of the state a second in one process of dlt's; None where it is not installed."""
    done = subprocess.run([sys.executable, "-c", DLT, str(folder / "dlt")], capture_output=True, text=True, check=False)
    return float(done.stdout) if done.returncode == 0 else None


def main() -> None:
    """Run everything, print a table or JSON."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--json", action="store_true", help="print one JSON object")
    arguments.add_argument("--seconds", type=float, default=1.0, help="length of each of the nine slices (1.0)")
    arguments.add_argument("--folder", type=Path, help="a folder on the disk to measure (a temporary one)")
    given = arguments.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="oarlock-bench-", dir=given.folder))
    try:
        found: dict[str, Any] = {
            "durable_transactions": bench_transactions(folder, given.seconds),
            "snapshot": bench_reads(folder),
            "one_key_changed": bench_state_size(folder),
            "warm_open_cpu": bench_open(folder),
            "dlt_state_changes_per_s": bench_dlt(folder),
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(found) if given.json else as_text(found))


def as_text(found: dict[str, Any]) -> str:
    """Lay the figures out for people."""
    lines = ["durable transactions   /s   disk syncs/s   ratio   fairness   p50 ms   p99 ms (in syncs)   syncs/tx"]
    for row in found["durable_transactions"]:
        lines.append(
            f"{row['processes']:>9} process(es) {row['per_s']:>8.0f} {row['disk_per_s']:>10.0f} {row['ratio']:>9.2f}"
            f" {row['fairness']:>9.2f} {row['p50_ms']:>9.2f} {row['p99_ms']:>9.2f} ({row['p99_in_syncs']:.1f})"
            f" {row['syncs_per_transaction']:>10.2f}"
        )
    for name in ("snapshot", "one_key_changed", "warm_open_cpu"):
        lines.append(f"{name}: " + ", ".join(f"{key} {value:.3g}" for key, value in found[name].items()))
    dlt = found["dlt_state_changes_per_s"]
    lines.append("dlt, one process, not synced: " + (f"{dlt:.0f} state changes/s" if dlt else "not installed"))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
