"""Collectors: who hears how far a step is. A step is ``with collector("Extract x"):`` around calls of ``update``."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from oarlock.errors import ConfigurationError
from oarlock.logs.events import Log


class Collector:
    """What every face of progress keeps to; a face writes those methods that it shows something of."""

    step: str = ""

    def update(
        self,
        name: str,
        inc: int = 1,
        total: int | None = None,
        inc_total: int | None = None,
        message: str | None = None,
        label: str | None = None,
    ) -> None:
        """Move the counter ``name`` (of ``label``) on by ``inc``; a total may be set, or raised by ``inc_total``."""

    def _start(self, step: str) -> None:
        """Begin to show a step."""

    def _stop(self) -> None:
        """End showing it."""

    def __call__(self, step: str) -> Self:
        self.step = step
        return self

    def __enter__(self) -> Self:
        self._start(self.step)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None
    ) -> None:
        self._stop()

    def on_start_trace(self, trace: Any, step: str, pipeline: Any) -> None:
        """Hear that a trace begins."""

    def on_start_trace_step(self, trace: Any, step: str, pipeline: Any) -> None:
        """Hear that a step of a trace begins."""

    def on_end_trace_step(self, trace: Any, step: Any, pipeline: Any, step_info: Any, send_state: bool) -> None:
        """Hear that a step of a trace ended, and with what."""

    def on_end_trace(self, trace: Any, pipeline: Any, send_state: bool) -> None:
        """Hear that a trace ended."""


class NullCollector(Collector):
    """Shows nothing."""


class DictCollector(Collector):
    """Keeps the counters of the last step in a dict, for tests and programs."""

    def __init__(self) -> None:
        self.counters: defaultdict[str, int] = defaultdict(int)

    def update(
        self,
        name: str,
        inc: int = 1,
        total: int | None = None,
        inc_total: int | None = None,
        message: str | None = None,
        label: str | None = None,
    ) -> None:
        """Add to the counter; labels are not told apart here, so they are refused."""
        if label is not None:
            raise ValueError(f"DictCollector takes no labels; counter {name!r} came with {label!r}")
        self.counters[name] += inc

    def _start(self, step: str) -> None:
        self.counters = defaultdict(int)


@dataclass(slots=True)
class Counter:
    """One counter of a step."""

    title: str
    started: float
    count: int = 0
    total: int | None = None
    message: str | None = None


class Counting(Collector):
    """A collector that keeps the counters of its step and is told of each change."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.counters: dict[tuple[str, str | None], Counter] = {}

    def update(
        self,
        name: str,
        inc: int = 1,
        total: int | None = None,
        inc_total: int | None = None,
        message: str | None = None,
        label: str | None = None,
    ) -> None:
        """Keep the counter and hand the change on."""
        counter = self.counters.get((name, label))
        if counter is None:
            counter = Counter(f"{name} ({label})" if label else name, self._clock())
            self.counters[name, label] = counter
        counter.count += inc
        counter.total = counter.total if total is None else total
        if inc_total is not None:
            counter.total = (counter.total or 0) + inc_total
        counter.message = counter.message if message is None else message
        self._changed(counter, inc)

    def _start(self, step: str) -> None:
        self.counters = {}

    def _changed(self, counter: Counter, inc: int) -> None:
        """Show a counter that moved by ``inc``."""


class EventCollector(Counting):
    """Writes progress as events, at most one a period, and hands every update on to a face."""

    def __init__(
        self, log: Log, face: Collector, *, period_s: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(clock)
        self._log, self._face, self._period_s = log, face, period_s
        self._written_at: float | None = None
        self._unwritten = False

    def update(
        self,
        name: str,
        inc: int = 1,
        total: int | None = None,
        inc_total: int | None = None,
        message: str | None = None,
        label: str | None = None,
    ) -> None:
        """Count, and show."""
        super().update(name, inc, total, inc_total, message, label)
        self._face.update(name, inc, total, inc_total, message, label)

    def _changed(self, counter: Counter, inc: int) -> None:
        self._unwritten = True
        now = self._clock()
        if self._written_at is None:
            self._written_at = now  # the first line of a step comes after a period: most steps are over before
        elif now - self._written_at >= self._period_s:
            self._write(now)

    def _write(self, now: float) -> None:
        counters = {counter.title: counter.count for counter in self.counters.values()}
        totals = {counter.title: counter.total for counter in self.counters.values() if counter.total is not None}
        self._log.info("progress.updated", step=self.step, counters=counters, totals=totals)
        self._written_at, self._unwritten = now, False

    def _start(self, step: str) -> None:
        super()._start(step)
        self._written_at, self._unwritten = None, False
        self._face(step)._start(step)

    def _stop(self) -> None:
        if self._unwritten:
            self._write(self._clock())
        self._face._stop()


#: The default of every ``progress`` argument.
NULL_COLLECTOR = NullCollector()
#: The faces that are known by name.
FACES = ("log", "tqdm", "enlighten", "alive_progress")


def is_collector(value: object) -> bool:
    """Tell whether an object can be used as a collector."""
    return all(callable(getattr(value, name, None)) for name in ("update", "__call__", "__enter__", "__exit__"))


def unknown_collector(value: object) -> ConfigurationError:
    """Make the error for what is no collector."""
    known = ", ".join(map(repr, FACES))
    return ConfigurationError(f"progress={value!r} is no collector; known are {known}, or give a Collector instance")
