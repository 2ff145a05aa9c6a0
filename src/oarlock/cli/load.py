"""``oarlock load``: files into tables by several processes, with progress and a report."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from oarlock.cli.talk import Failure, WrongUse, say, show_json, show_table
from oarlock.errors import InvalidFile
from oarlock.logs.collector import Collector
from oarlock.logs.faces.choice import resolve_collector
from oarlock.logs.faces.log import LogCollector
from oarlock.pipelines.bulk import BulkReport, load_files
from oarlock.pipelines.creating import pipeline as make_pipeline
from oarlock.steps.plan import expand

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
    try:
        files = [file for path in paths for file in expand(Path(path))]
    except InvalidFile as error:
        raise WrongUse(str(error)) from error
    pipeline = make_pipeline(name, pipelines_dir, destination=destination, dataset_name=dataset)
    if pipeline.destination is None:
        pipeline.use(destination="duckdb")
    say(f"loading {len(files)} file(s) with {workers} worker(s) into pipeline {name!r}")
    with collector("Load files"):
        report = load_files(
            pipeline,
            files,
            table=table,
            replace=replace,
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
        explicit = "pipelines_dir" in pipeline._settings.sources
        option, argument = (
            (f" --pipelines-dir {pipeline.pipelines_dir}", f", {pipeline.pipelines_dir!r}") if explicit else ("", "")
        )
        rows = f"oarlock.attach({pipeline.pipeline_name!r}{argument}).dataset()[{first!r}].head().fetchall()"
        code = f"import oarlock; print(*{rows}, sep='\\n')"
        print(f"  {_as_typed('oarlock', sys.argv[0])} pipeline{option} {shlex.quote(pipeline.pipeline_name)} info")
        print(f'  {_as_typed("python", sys.executable)} -c "{code}"')


def _as_typed(command: str, path: str) -> str:
    """Give a command as a person can type it here: its name where the shell finds this one, else its path."""
    if path.endswith("__main__.py"):
        return f"{_as_typed('python', sys.executable)} -m oarlock.cli"
    found = shutil.which(command)
    if found is not None and os.path.realpath(found) == os.path.realpath(path):
        return command
    return os.path.relpath(path) if path.startswith(os.getcwd() + os.sep) else path
