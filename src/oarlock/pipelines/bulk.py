"""Bulk: files loaded by several worker processes at once, which is what ``oarlock load`` does.

files ─→ slices ─→ workers, each attached: extract, normalize, commit (durable) ─→ this process loads all of them
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oarlock.errors import OarlockError, PipelineStepFailed
from oarlock.hints import make_hints
from oarlock.pipelines.creating import attach
from oarlock.pipelines.options import RunOptions
from oarlock.pipelines.running import loader_of, run
from oarlock.resources import resource
from oarlock.steps.files import Slice, split, table_name_of
from oarlock.workers.local import LocalWorkers, StartMethod

if TYPE_CHECKING:
    from oarlock.pipelines.pipeline import Pipeline

#: A worker gets about so many slices, so that a slow one does not keep the others waiting at the end.
SLICES_PER_WORKER = 3


@dataclass(frozen=True, slots=True)
class FileFailure:
    """A file, or a part of it, that was not loaded."""

    path: str
    error: str


@dataclass(slots=True)
class BulkReport:
    """What a bulk load did."""

    pipeline_name: str
    destination: str
    dataset_name: str
    workers: int
    files: int
    took_s: float = 0.0
    tables: dict[str, int] = field(default_factory=dict)
    load_ids: list[str] = field(default_factory=list)
    failures: list[FileFailure] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Rows in all tables that are in the destination."""
        return sum(self.tables.values())

    def asdict(self) -> dict[str, Any]:
        """Give plain values."""
        return {
            "pipeline_name": self.pipeline_name,
            "destination": self.destination,
            "dataset_name": self.dataset_name,
            "workers": self.workers,
            "files": self.files,
            "took_s": round(self.took_s, 3),
            "rows": self.rows,
            "tables": dict(sorted(self.tables.items())),
            "packages": len(self.load_ids),
            "load_ids": self.load_ids,
            "failures": [{"path": one.path, "error": one.error} for one in self.failures],
            "pending": self.pending,
        }


def load_files(
    pipeline: Pipeline,
    files: Sequence[Path],
    *,
    table: str | None = None,
    replace: bool = False,
    workers: int = 2,
    start_method: StartMethod = "forkserver",
    on_rows: Callable[[str, int], None] = lambda table, rows: None,
) -> BulkReport:
    """Load files with several worker processes; all that could be loaded is, and the report tells what could not.

    With ``replace`` the tables of all files are emptied first: once, not by each part of a file.

    Raises:
        PipelineStepFailed: the destination refused; the rows stay pending.
    """
    slices = _slices(files, workers)
    target = pipeline.target(step="load")
    started = time.monotonic()
    report = BulkReport(
        pipeline.pipeline_name,
        target.client().displayable_location(),
        target.dataset_name,
        min(workers, len(slices)),
        len(files),
    )
    loading = _Loading(pipeline)
    if replace:
        for name in dict.fromkeys(table or table_name_of(file) for file in files):
            pipeline.run([], table_name=name, write_disposition="replace", wait=False)
    crew = LocalWorkers(
        "oarlock.pipelines.bulk:file_worker",
        (pipeline.pipeline_name, pipeline.pipelines_dir, {"table_name": table} if table else {}),
        workers,
        start_method=start_method,
        was_done=lambda task: _committed(pipeline, task),
        told=pipeline.member.told,
    )
    command = pipeline.member.worker
    tasks = [(f"{command}:{started}:{number}", one) for number, one in enumerate(slices)]
    committed: list[str] = []
    try:
        with loading:
            for outcome in crew.run(tasks):
                if outcome.error is not None:
                    report.failures.append(FileFailure(_described(outcome.task[1]), outcome.error))
                    continue
                committed.extend(outcome.result["load_ids"])
                for name, rows in outcome.result["rows"].items():
                    on_rows(name, rows)
                loading.wake()
    finally:
        crew.stop()
    _account(pipeline, committed, report)
    report.took_s = time.monotonic() - started
    if loading.error is not None:
        raise PipelineStepFailed(
            pipeline.pipeline_name, "load", None, str(loading.error), bool(report.pending)
        ) from loading.error
    return report


def _described(part: Slice) -> str:
    if part.start == 0 and part.stop is None:
        return str(part.path)
    return f"{part.path} (bytes {part.start:,} to {part.stop or 'the end'})"


def _slices(files: Sequence[Path], workers: int) -> list[Slice]:
    total = sum(file.stat().st_size for file in files)
    want = max(1, total // max(1, workers * SLICES_PER_WORKER))
    return [one for file in files for one in split(file, max(1, round(file.stat().st_size / want)))]


def file_worker(
    pipeline_name: str, pipelines_dir: str, options: dict[str, Any]
) -> Callable[[tuple[str, Slice]], dict[str, Any]]:
    """Be a worker: attach, and give the function that takes a slice in."""
    pipeline = attach(pipeline_name, pipelines_dir)

    def take(task: tuple[str, Slice]) -> dict[str, Any]:
        name, part = task
        rows = resource(part, name=options.get("table_name") or table_name_of(part.path))
        info = run(pipeline, rows, RunOptions(make_hints(**options), wait=False, task=name))
        assert info is not None
        pipeline._unflushed.clear()  # the coordinator loads
        return {"load_ids": info.loads_ids, "rows": info.row_counts}

    return take


def _committed(pipeline: Pipeline, task: tuple[str, Slice]) -> dict[str, Any] | None:
    """Look up whether a task's package was committed before its worker died."""
    with pipeline.member.store.snapshot() as snapshot:
        records = [one for one in snapshot.packages("normalized", "loaded") if one.options.get("task") == task[0]]
    if not records:
        return None
    rows: dict[str, int] = {}
    for job in (job for record in records for job in record.jobs):
        rows[job.table] = rows.get(job.table, 0) + job.rows
    return {"load_ids": [record.load_id for record in records], "rows": rows}


def _account(pipeline: Pipeline, committed: list[str], report: BulkReport) -> None:
    with pipeline.member.store.snapshot() as snapshot:
        for load_id in committed:
            record = snapshot.package(load_id)
            if record is None or record.state != "loaded":
                report.pending.append(load_id)
                if record is not None and record.failure:
                    report.failures.append(FileFailure(f"package {load_id}", record.failure))
                continue
            report.load_ids.append(load_id)
            for job in record.jobs:
                report.tables[job.table] = report.tables.get(job.table, 0) + job.rows


class _Loading:
    """Loads committed packages in a thread of its own, while the workers make more; leaving loads the rest."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._wanted = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="oarlock-loader", daemon=True)
        self.error: OarlockError | None = None

    def wake(self) -> None:
        self._wanted.set()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._ended = True
        self._wanted.set()
        self._thread.join()

    def _run(self) -> None:
        knobs = self._pipeline.knobs
        while True:
            self._wanted.wait()
            self._wanted.clear()
            last = self._ended  # read after the clearing, so that the last wake is never missed
            try:
                loader_of(self._pipeline).load(None, timeout_s=knobs.lock_timeout_s + knobs.destination_timeout_s)
                self.error = None
            except OarlockError as error:
                self.error = error
            if last:
                return
