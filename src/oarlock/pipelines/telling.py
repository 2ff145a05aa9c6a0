"""Telling: what every call of a run has around it: its trace, its events, its collector, and the form of its errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from oarlock.errors import OarlockError, PipelineStepFailed
from oarlock.pipelines.info import LoadInfo
from oarlock.pipelines.trace import PipelineTrace, StepTrace, new_trace, traced, write_trace
from oarlock.settings import redact

if TYPE_CHECKING:
    from oarlock.pipelines.pipeline import Pipeline


@contextmanager
def tracing(pipeline: Pipeline, call: str) -> Iterator[PipelineTrace]:
    """Trace a call of ``run()`` or of a single step; its id stands on every event of it."""
    member, collector = pipeline.member, pipeline.collector
    trace = new_trace(pipeline.pipeline_name, member.worker)
    member.told("run.started", run=trace.transaction_id, source=call)
    _ask(collector.on_start_trace, trace, call, pipeline)
    try:
        yield trace
    except BaseException as error:
        took = time.time() - trace.started_at
        told = redact(f"{type(error).__name__}: {error}")
        step = trace.steps[-1].step if trace.steps else call
        member.told("run.failed", run=trace.transaction_id, step=step, error=told, duration_s=took)
        raise
    else:
        receipts = [step.step_info for step in trace.steps if isinstance(step.step_info, LoadInfo)]
        member.told(
            "run.finished",
            run=trace.transaction_id,
            rows=sum(one.rows for one in receipts),
            packages=sum(len(one.loads_ids) for one in receipts),
            duration_s=time.time() - trace.started_at,
        )
    finally:
        trace.finished_at = time.time()
        pipeline._trace = trace
        _ask(collector.on_end_trace, trace, pipeline, False)
        if pipeline._settings.enable_runtime_trace:
            write_trace(member.folder, trace)


@contextmanager
def stepping(pipeline: Pipeline, trace: PipelineTrace, step: str, load_id: str | None = None) -> Iterator[StepTrace]:
    """Trace a step; an error in it leaves as PipelineStepFailed, its cause chained."""
    member, collector = pipeline.member, pipeline.collector
    _ask(collector.on_start_trace_step, trace, step, pipeline)
    member.told("step.started", run=trace.transaction_id, step=step)
    try:
        with traced(trace, step) as one:
            yield one
    except PipelineStepFailed:
        raise
    except Exception as error:
        kept = step == "load" and load_id is not None and _is_pending(pipeline, load_id)
        cause = redact(str(error) if isinstance(error, OarlockError) else f"{type(error).__name__}: {error}")
        raise PipelineStepFailed(pipeline.pipeline_name, step, load_id, cause, kept) from error
    finally:
        one = trace.steps[-1]
        rows = one.step_info.rows if one.step_info is not None else 0
        member.told("step.finished", run=trace.transaction_id, step=step, rows=rows, duration_s=one.took_s)
        _ask(collector.on_end_trace_step, trace, one, pipeline, one.step_info, step == "load")


def _ask(callback: Callable[..., None], *arguments: Any) -> None:
    """Call a collector; what a progress bar raises must not stop a load."""
    try:
        callback(*arguments)
    except Exception:
        return


def _is_pending(pipeline: Pipeline, load_id: str) -> bool:
    try:
        with pipeline.member.store.snapshot() as snapshot:
            record = snapshot.package(load_id)
    except (OarlockError, OSError):
        return True  # it was committed, and nothing says that it is gone
    return record is not None and record.state in ("extracted", "normalized") and record.failure is None
