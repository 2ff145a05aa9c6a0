"""The trace: what the last run did, step by step, kept beside the state as one JSON file."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from oarlock.pipelines.info import ExtractInfo, LoadInfo, NormalizeInfo, StepInfo, moment
from oarlock.pipelines.membership import TRACE_ASIDE
from oarlock.settings import redact
from oarlock.values import FILE_MODE

FILE = "trace.json"
#: A trace is for people; one that grew beyond this was not written by us.
MAX_BYTES = 16 * 1024 * 1024


@dataclass(slots=True)
class StepTrace:
    """One step: when, how long, what it told, and the error it ended with."""

    step: str
    started_at: float
    finished_at: float | None = None
    info: dict[str, Any] | None = None
    exception: str | None = None
    step_info: StepInfo | None = field(default=None, repr=False)

    @property
    def took_s(self) -> float:
        """Seconds the step took."""
        return 0.0 if self.finished_at is None else self.finished_at - self.started_at

    def __str__(self) -> str:
        ends = "FAILED" if self.exception else "COMPLETED"
        lines = [f"Step {self.step} {ends} in {self.took_s:.2f} seconds."]
        if self.info and self.info.get("row_counts"):
            lines += [f"- {table}: {rows} row(s)" for table, rows in self.info["row_counts"].items()]
        if self.exception:
            lines.append(self.exception)
        return "\n".join(lines)


@dataclass(slots=True)
class PipelineTrace:
    """What one call of ``run()`` (or of a single step) did."""

    transaction_id: str
    pipeline_name: str
    worker: str
    started_at: float
    finished_at: float | None = None
    steps: list[StepTrace] = field(default_factory=list)

    def _last(self, kind: type[StepInfo]) -> Any:
        return next((one.step_info for one in reversed(self.steps) if isinstance(one.step_info, kind)), None)

    @property
    def last_extract_info(self) -> ExtractInfo | None:
        """What extract told, in the process that ran it."""
        found: ExtractInfo | None = self._last(ExtractInfo)
        return found

    @property
    def last_normalize_info(self) -> NormalizeInfo | None:
        """What normalize told, in the process that ran it."""
        found: NormalizeInfo | None = self._last(NormalizeInfo)
        return found

    @property
    def last_load_info(self) -> LoadInfo | None:
        """What load told, in the process that ran it."""
        found: LoadInfo | None = self._last(LoadInfo)
        return found

    def asdict(self) -> dict[str, Any]:
        """Give plain values."""
        return {
            **{
                key: getattr(self, key)
                for key in ("transaction_id", "pipeline_name", "worker", "started_at", "finished_at")
            },
            "steps": [
                {key: getattr(step, key) for key in ("step", "started_at", "finished_at", "info", "exception")}
                for step in self.steps
            ],
        }

    def asstr(self, verbosity: int = 0) -> str:
        """Say it in a few lines."""
        failed = any(step.exception for step in self.steps)
        took = (self.finished_at or time.time()) - self.started_at
        ends = "FAILED" if failed else "COMPLETED"
        began = f"{moment(self.started_at):%Y-%m-%d %H:%M:%S}"
        head = f"Run started at {began} UTC and {ends} in {took:.2f} seconds with {len(self.steps)} step(s)."
        return "\n".join([head, *map(str, self.steps)])

    def __str__(self) -> str:
        return self.asstr()


@contextmanager
def traced(trace: PipelineTrace, step: str) -> Iterator[StepTrace]:
    """Trace a block as one step."""
    one = StepTrace(step=step, started_at=time.time())
    trace.steps.append(one)
    try:
        yield one
    except BaseException as error:
        one.exception = redact(f"{type(error).__name__}: {error}")
        raise
    finally:
        one.finished_at = time.time()
        if one.step_info is not None:
            one.info = one.step_info.asdict()


def new_trace(pipeline_name: str, worker: str) -> PipelineTrace:
    """Begin a trace."""
    return PipelineTrace(secrets.token_hex(8), pipeline_name, worker, time.time())


def write_trace(folder: Path, trace: PipelineTrace) -> None:
    """Write the trace aside and put it in place; the last run of several wins, and a full disk costs only the trace."""
    text = redact(orjson.dumps(trace.asdict(), default=_plain).decode())
    aside = folder / f"{TRACE_ASIDE}{trace.worker}-{trace.transaction_id}"
    try:
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        with os.fdopen(fd, "wb") as file:
            file.write(text.encode())
        os.replace(aside, folder / FILE)
    except OSError:
        # The run itself is done and told of; its trace must never turn that into an error.
        aside.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "__dataclass_fields__"):
        return asdict(value)
    return str(value)


def read_trace(folder: Path) -> PipelineTrace | None:
    """Read the last trace that was written into a working folder; ``None`` where there is none that reads."""
    path = folder / FILE
    try:
        if path.stat().st_size > MAX_BYTES:
            return None
        found = orjson.loads(path.read_bytes())
        steps = [
            StepTrace(**{key: one.get(key) for key in ("step", "started_at", "finished_at", "info", "exception")})
            for one in found["steps"]
        ]
        return PipelineTrace(
            **{
                **{
                    key: found.get(key)
                    for key in ("transaction_id", "pipeline_name", "worker", "started_at", "finished_at")
                },
                "steps": steps,
            }
        )
    except (FileNotFoundError, orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return None
