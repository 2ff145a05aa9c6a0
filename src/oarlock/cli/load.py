"""``oarlock load``: files into tables by several processes, with progress and a report."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from oarlock.cli.talk import Failure, say, show_json, show_table
from oarlock.logs.collector import Collector
from oarlock.logs.faces.choice import resolve_collector
from oarlock.logs.faces.log import LogCollector
from oarlock.pipelines.bulk import BulkReport, load_files
from oarlock.pipelines.creating import pipeline as make_pipeline

if TYPE_CHECKING:
    from oarlock.pipelines.pipeline import Pipeline


def load(
    paths: list[str],
    name: str,
    table: str | None,
    destination: str | None,
    dataset: str | None,
    workers: int,
    replace: bool,
    progress: str,
    pipelines_dir: str | None,
    as_json: bool,
) -> None:
    """Load files and report; exit code 1 where a part of them could not be loaded."""
    collector = _collector(progress)
    pipeline = make_pipeline(name, pipelines_dir, destination=destination, dataset_name=dataset)
    if pipeline.destination is None:
        pipeline.use(destination="duckdb")
    say(f"loading {len(paths)} path(s) with {workers} worker(s) into pipeline {name!r}")
    with collector("Load files"):
        report = load_files(
            pipeline,
            paths,
            table=table,
            write_disposition="replace" if replace else None,
            workers=workers,
            on_rows=lambda rows_of, rows: collector.update(rows_of, rows),
        )
    if as_json:
        show_json(report.asdict())
    else:
        _print(report, pipeline)
    for failure in report.failures:
        say(f"not loaded: {failure.path}: {failure.error}")
    if report.failures or report.pending:
        raise Failure(
            f"{len(report.failures)} part(s) failed, {len(report.pending)} package(s) pending; all others are loaded"
        )


def _collector(progress: str) -> Collector:
    if progress == "log":
        return LogCollector(logger=sys.stderr, dump_system_stats=False)
    return resolve_collector(None if progress == "none" else progress)


def _print(report: BulkReport, pipeline: Pipeline) -> None:
    show_table(["table", "rows"], [[table, rows] for table, rows in sorted(report.tables.items())])
    print()
    print(
        f"{report.rows:,} rows in {len(report.tables)} table(s), {len(report.load_ids)} package(s), "
        f"{report.files} file(s), {report.workers} worker(s), {report.took_s:.2f} s"
    )
    print(f"dataset {report.dataset_name!r} at {report.destination}")
    first = max(report.tables, key=lambda table: report.tables[table], default=None)
    if first is not None:
        print("\nLook at it:")
        print(f"  oarlock pipeline {pipeline.pipeline_name} info")
        print(
            f"  python -c \"import oarlock; print(oarlock.attach('{pipeline.pipeline_name}'"
            f"{_dir_argument(pipeline)}).dataset()['{first}'].df())\""
        )


def _dir_argument(pipeline: Pipeline) -> str:
    explicit = pipeline._settings.sources.get("pipelines_dir")
    return f", '{pipeline.pipelines_dir}'" if explicit else ""
