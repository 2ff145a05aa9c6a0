"""Running: extract, normalize and load as one call or one by one, and the receipt that each gives.

    run(data) = extract + normalize in one pass ─→ one store transaction (rows, state, schema) ─→ the loader's turn

Packages that were pending before are loaded first, in the same turn, because they are older; never instead of the data.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from oarlock.errors import DestinationTerminalError, OarlockError, PipelineStepFailed
from oarlock.pipelines.flush import remember
from oarlock.pipelines.info import ExtractInfo, LoadInfo, NormalizeInfo, moment, package_info
from oarlock.pipelines.intake import Intake, RunOptions, read_options
from oarlock.pipelines.restoring import restore_if_fresh
from oarlock.pipelines.staterow import state_row
from oarlock.pipelines.trace import PipelineTrace, new_trace, traced, write_trace
from oarlock.scope import state_of_run
from oarlock.settings import redact
from oarlock.state.base import PackageRecord
from oarlock.steps.load import Loaded, Loader

if TYPE_CHECKING:
    from oarlock.pipelines.pipeline import Pipeline


def run(pipeline: Pipeline, data: Any = None, **options: Any) -> LoadInfo | None:
    """Load data, or with ``None`` finish what is pending; see ``Pipeline.run``."""
    read = read_options(options, pipeline)
    pipeline.activate()
    with _tracing(pipeline) as trace:
        with _step(pipeline, trace, "sync"):
            _prepare(pipeline, read)
        first_run, started = pipeline.first_run, time.time()
        pending = _normalize_pending(pipeline, trace)
        if data is None:
            return _load(pipeline, trace, pending, first_run, started, wait=True) if pending else None
        with _step(pipeline, trace, "extract") as step:
            records = _take_in(pipeline, data, read, normalize=True)
            step.step_info = NormalizeInfo(**_common(pipeline, records, first_run, started))
        return _load(pipeline, trace, records, first_run, started, wait=read.wait, older=pending)


def extract(pipeline: Pipeline, data: Any, **options: Any) -> ExtractInfo:
    """Write rows into the working folder as they are."""
    read = read_options(options, pipeline)
    pipeline.activate()
    with _tracing(pipeline) as trace, _step(pipeline, trace, "extract") as step:
        _prepare(pipeline, read, sync=False)
        first_run, started = pipeline.first_run, time.time()
        records = _take_in(pipeline, data, read, normalize=False)
        info = ExtractInfo(**_common(pipeline, records, first_run, started))
        step.step_info = info
    return info


def normalize(pipeline: Pipeline) -> NormalizeInfo | None:
    """Turn extracted packages into tables."""
    pipeline.activate()
    with _tracing(pipeline) as trace:
        first_run, started = pipeline.first_run, time.time()
        records = _normalize_extracted(pipeline, trace)
        return NormalizeInfo(**_common(pipeline, records, first_run, started)) if records else None


def load(pipeline: Pipeline, *, destination: Any = None, dataset_name: str | None = None) -> LoadInfo | None:
    """Load all normalized packages."""
    pipeline.activate()
    with _tracing(pipeline) as trace:
        pipeline.use(destination=destination, dataset_name=dataset_name)
        first_run, started = pipeline.first_run, time.time()
        with pipeline.member.store.snapshot() as snapshot:
            pending = Loader.pending(snapshot)
        return _load(pipeline, trace, pending, first_run, started, wait=True) if pending else None


def loader_of(pipeline: Pipeline) -> Loader:
    """Give the loader of this pipeline's working folder."""
    member = pipeline.member
    return Loader(
        store=member.store,
        turn=member.turn,
        packages_folder=member.packages_folder,
        pipeline_name=pipeline.pipeline_name,
        worker=member.worker,
        target_of=pipeline.target,
        state_row=lambda snapshot: state_row(pipeline.pipeline_name, snapshot),
        told=member.told,
    )


# --- the parts of a run -----------------------------------------------------------------------------------------------


def _prepare(pipeline: Pipeline, options: RunOptions, *, sync: bool = True) -> None:
    pipeline.use(destination=options.destination, staging=options.staging, dataset_name=options.dataset_name)
    pipeline.member.sweep_once()
    if sync and not pipeline._synced:
        restore_if_fresh(pipeline)
        pipeline._synced = True


def _normalize_pending(pipeline: Pipeline, trace: PipelineTrace) -> list[PackageRecord]:
    """Normalize what was extracted before; give all packages that wait to be loaded now."""
    _normalize_extracted(pipeline, trace)
    with pipeline.member.store.snapshot() as snapshot:
        return Loader.pending(snapshot)


def _normalize_extracted(pipeline: Pipeline, trace: PipelineTrace) -> list[PackageRecord]:
    with pipeline.member.store.snapshot() as snapshot:
        if not snapshot.count_packages("extracted"):
            return []
    from oarlock.pipelines.pending import normalize_extracted

    with _step(pipeline, trace, "normalize") as step:
        started = time.time()
        records = normalize_extracted(pipeline)
        step.step_info = NormalizeInfo(**_common(pipeline, records, pipeline.first_run, started))
    return records


def _take_in(pipeline: Pipeline, data: Any, options: RunOptions, *, normalize: bool) -> list[PackageRecord]:
    intake = Intake(pipeline, options, normalize=normalize)
    with state_of_run(intake.state.get, intake.default_schema):
        try:
            intake.take(data)
            return intake.commit()
        except BaseException:
            intake.discard()
            raise


def _load(
    pipeline: Pipeline,
    trace: PipelineTrace,
    records: list[PackageRecord],
    first_run: bool,
    started: float,
    *,
    wait: bool,
    older: list[PackageRecord] | None = None,
) -> LoadInfo:
    wanted = [record.load_id for record in records]
    done = Loaded()
    if wanted and not wait:
        pipeline._unflushed.extend(wanted)
        remember(pipeline)
    with _step(pipeline, trace, "load", load_id=wanted[0] if wanted else None) as step:
        if wanted and wait:
            with pipeline.collector(f"Load {pipeline.pipeline_name}"):
                done = loader_of(pipeline).load(
                    wanted, timeout_s=pipeline.knobs.lock_timeout_s + pipeline.knobs.destination_timeout_s
                )
                pipeline.collector.update("Packages", len(wanted), total=len(wanted))
        info = _receipt(pipeline, wanted, first_run, started, done, durable_only=not wait, older=older or [])
        step.step_info = info
        if info.has_failed_jobs and pipeline.knobs.raise_on_failed_jobs:
            failed = next(package for package in info.load_packages if package.failure)
            raise DestinationTerminalError(f"package {failed.load_id} cannot be loaded: {failed.failure}")
    return info


def _receipt(
    pipeline: Pipeline,
    wanted: list[Any],
    first_run: bool,
    started: float,
    done: Loaded,
    *,
    durable_only: bool,
    older: list[PackageRecord],
) -> LoadInfo:
    with pipeline.member.store.snapshot() as snapshot:
        records = [record for load_id in wanted if (record := snapshot.package(load_id)) is not None]
    mine = {*wanted}
    target = pipeline.target(records[0].options if records else None)
    destination = target.destination
    staging = pipeline.staging
    return LoadInfo(
        **_common(pipeline, records, first_run, started, done),
        destination_type=destination.type,
        destination_name=destination.name,
        destination_displayable_credentials=redact(target.client().displayable_location()),
        dataset_name=target.dataset_name,
        staging_type=staging.type if staging else None,
        staging_name=staging.name if staging else None,
        durable_only=durable_only,
        recovered=[
            record.load_id for record in older if record.load_id in done.load_ids and record.load_id not in mine
        ],
    )


def _common(
    pipeline: Pipeline, records: list[PackageRecord], first_run: bool, started: float, done: Loaded | None = None
) -> dict[str, Any]:
    folder = str(pipeline.member.packages_folder)
    update = done.schema_update if done else None
    return {
        "pipeline_name": pipeline.pipeline_name,
        "loads_ids": [record.load_id for record in records],
        "load_packages": [package_info(record, folder, update) for record in records],
        "first_run": first_run,
        "started_at": moment(started),
        "finished_at": moment(time.time()),
    }


# --- traces and errors ------------------------------------------------------------------------------------------------


@contextmanager
def _tracing(pipeline: Pipeline) -> Iterator[PipelineTrace]:
    trace = new_trace(pipeline.pipeline_name, pipeline.member.worker)
    pipeline.member.told("run.started", run=trace.transaction_id)
    try:
        yield trace
    except BaseException as error:
        pipeline.member.told("run.failed", run=trace.transaction_id, error=redact(f"{type(error).__name__}: {error}"))
        raise
    else:
        rows = sum(step.step_info.rows for step in trace.steps if isinstance(step.step_info, LoadInfo))
        pipeline.member.told("run.finished", run=trace.transaction_id, rows=rows)
    finally:
        trace.finished_at = time.time()
        pipeline._trace = trace
        if pipeline._settings.enable_runtime_trace:
            write_trace(pipeline.member.folder, trace)


@contextmanager
def _step(pipeline: Pipeline, trace: PipelineTrace, step: str, load_id: str | None = None) -> Iterator[Any]:
    """Trace a step; an error in it leaves as PipelineStepFailed, its cause chained."""
    try:
        with traced(trace, step) as one:
            yield one
    except PipelineStepFailed:
        raise
    except Exception as error:
        kept = step == "load" and load_id is not None and _is_pending(pipeline, load_id)
        cause = redact(str(error) if isinstance(error, OarlockError) else f"{type(error).__name__}: {error}")
        raise PipelineStepFailed(pipeline.pipeline_name, step, load_id, cause, kept) from error


def _is_pending(pipeline: Pipeline, load_id: str) -> bool:
    try:
        with pipeline.member.store.snapshot() as snapshot:
            record = snapshot.package(load_id)
    except (OarlockError, OSError):
        return True  # it was committed, and nothing says that it is gone
    return record is not None and record.state in ("extracted", "normalized") and record.failure is None
