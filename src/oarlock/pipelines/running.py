"""Running: extract, normalize and load as one call or one by one, and the receipt that each gives.

    run(data) = extract + normalize in one pass ─→ one store transaction (rows, state, schema) ─→ the loader's turn

Packages that were pending before are loaded first, in the same turn, because they are older; never instead of the data.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from oarlock.errors import DestinationTerminalError
from oarlock.hints import make_hints
from oarlock.pipelines.flush import remember
from oarlock.pipelines.info import ExtractInfo, LoadInfo, NormalizeInfo, moment, package_info
from oarlock.pipelines.intake import Intake
from oarlock.pipelines.options import RunOptions
from oarlock.pipelines.restoring import restore_if_fresh
from oarlock.pipelines.staterow import state_row
from oarlock.pipelines.telling import stepping, tracing
from oarlock.pipelines.trace import PipelineTrace
from oarlock.scope import state_of_run
from oarlock.settings import redact
from oarlock.state.base import PackageRecord
from oarlock.steps.load import Loaded, Loader

if TYPE_CHECKING:
    from oarlock.pipelines.pipeline import Pipeline


def run(pipeline: Pipeline, data: Any, options: RunOptions) -> LoadInfo | None:
    """Load data, or with ``None`` finish what is pending; see ``Pipeline.run``."""
    wait = pipeline.knobs.wait if options.wait is None else options.wait
    pipeline.activate()
    with tracing(pipeline, "run") as trace:
        with stepping(pipeline, trace, "sync"):
            _prepare(pipeline, options)
        first_run, started = pipeline.first_run, time.time()
        pending = _normalize_pending(pipeline, trace, raises=data is None)
        if data is None:
            return _load(pipeline, trace, pending, first_run, started, wait=True) if pending else None
        with stepping(pipeline, trace, "extract") as step:
            records = _take_in(pipeline, trace, data, options, normalize=True)
            told = _common(pipeline, records, first_run, started)
            step.step_info = ExtractInfo(**told)
        with stepping(pipeline, trace, "normalize") as step:
            step.step_info = NormalizeInfo(**told)  # done in the same pass as extract
        return _load(pipeline, trace, records, first_run, started, wait=wait, older=pending)


def extract(pipeline: Pipeline, data: Any, options: RunOptions) -> ExtractInfo:
    """Write rows into the working folder as they are."""
    pipeline.activate()
    with tracing(pipeline, "extract") as trace, stepping(pipeline, trace, "extract") as step:
        _prepare(pipeline, options, sync=False)
        first_run, started = pipeline.first_run, time.time()
        records = _take_in(pipeline, trace, data, options, normalize=False)
        info = ExtractInfo(**_common(pipeline, records, first_run, started))
        step.step_info = info
    return info


def normalize(pipeline: Pipeline) -> NormalizeInfo | None:
    """Turn extracted packages into tables."""
    pipeline.activate()
    with tracing(pipeline, "normalize") as trace:
        first_run, started = pipeline.first_run, time.time()
        records = _normalize_extracted(pipeline, trace, raises=True)
        return NormalizeInfo(**_common(pipeline, records, first_run, started)) if records else None


def load(
    pipeline: Pipeline,
    *,
    destination: Any = None,
    dataset_name: str | None = None,
    raise_on_failed_jobs: bool | None = None,
) -> LoadInfo | None:
    """Load all normalized packages."""
    pipeline.activate()
    with tracing(pipeline, "load") as trace:
        pipeline.use(destination=destination, dataset_name=dataset_name)
        first_run, started = pipeline.first_run, time.time()
        with pipeline.member.store.snapshot() as snapshot:
            pending = Loader.pending(snapshot)
        if not pending:
            return None
        raises = pipeline.knobs.raise_on_failed_jobs if raise_on_failed_jobs is None else raise_on_failed_jobs
        return _load(pipeline, trace, pending, first_run, started, wait=True, raises=raises)


def loader_of(pipeline: Pipeline, run_id: str | None = None) -> Loader:
    """Give the loader of this pipeline's working folder; what it does is told as part of a run."""
    member = pipeline.member
    return Loader(
        store=member.store,
        turn=member.turn,
        packages_folder=member.packages_folder,
        pipeline_name=pipeline.pipeline_name,
        worker=member.worker,
        target_of=pipeline.target,
        state_row=lambda snapshot, absent: state_row(pipeline.pipeline_name, snapshot, absent),
        told=partial(member.told, run=run_id) if run_id is not None else member.told,
        group_packages=pipeline.knobs.group_max_packages,
        group_bytes=pipeline.knobs.group_max_bytes,
    )


# --- the parts of a run -----------------------------------------------------------------------------------------------


def _prepare(pipeline: Pipeline, options: RunOptions, *, sync: bool = True) -> None:
    pipeline.use(destination=options.destination, staging=options.staging, dataset_name=options.dataset_name)
    pipeline.member.sweep_once()
    if sync and not pipeline._synced:
        restore_if_fresh(pipeline)
        pipeline._synced = True


def _normalize_pending(pipeline: Pipeline, trace: PipelineTrace, *, raises: bool) -> list[PackageRecord]:
    """Normalize what was extracted before; give all packages that wait to be loaded now."""
    _normalize_extracted(pipeline, trace, raises=raises)
    with pipeline.member.store.snapshot() as snapshot:
        return Loader.pending(snapshot)


def _normalize_extracted(pipeline: Pipeline, trace: PipelineTrace, *, raises: bool) -> list[PackageRecord]:
    """Normalize what was extracted; a package that cannot be is an error for who asked for it, not for new rows."""
    with pipeline.member.store.snapshot() as snapshot:
        if not snapshot.count_packages("extracted"):
            return []
    from oarlock.pipelines.pending import normalize_extracted

    with stepping(pipeline, trace, "normalize") as step:
        started = time.time()
        records, failed = normalize_extracted(pipeline, trace.transaction_id)
        step.step_info = NormalizeInfo(**_common(pipeline, records, pipeline.first_run, started))
        if failed and raises:
            raise failed[0]
    return records


def _take_in(
    pipeline: Pipeline, trace: PipelineTrace, data: Any, options: RunOptions, *, normalize: bool
) -> list[PackageRecord]:
    intake = Intake(pipeline, options, trace.transaction_id, normalize=normalize)
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
    raises: bool | None = None,
) -> LoadInfo:
    wanted = [record.load_id for record in records]
    done = Loaded()
    if wanted and not wait:
        pipeline._unflushed.extend(wanted)
        remember(pipeline)
    with stepping(pipeline, trace, "load", load_id=wanted[0] if wanted else None) as step:
        if wanted and wait:
            with pipeline.collector(f"Load {pipeline.pipeline_name}"):
                done = loader_of(pipeline, trace.transaction_id).load(
                    wanted, timeout_s=pipeline.knobs.lock_timeout_s + pipeline.knobs.destination_timeout_s
                )
                pipeline.collector.update("Packages", len(wanted), total=len(wanted))
        info = _receipt(pipeline, wanted, first_run, started, done, durable_only=not wait, older=older or [])
        step.step_info = info
        if info.has_failed_jobs and (pipeline.knobs.raise_on_failed_jobs if raises is None else raises):
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


__all__ = ["RunOptions", "extract", "load", "loader_of", "make_hints", "normalize", "run"]
