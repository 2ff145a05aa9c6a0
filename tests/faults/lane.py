"""A lane: one box in which faults are injected one after another, each followed by one restart and the next run."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from boxes import Box
from companion import Companion, Other
from judging import Finding
from reading import Reader
from results import Point, Result
from scenario import Scenario
from syscalls import GROWS, SYNCS, WRITES
from tracing import Call, Ending, Fail, Fault, Hold, Kill, Shorten, Tear, fork, trace

#: A restart that takes longer is stuck; it takes a tenth of a second.
RESTART_S = 30.0
#: Kinds of points at which the program dies.
KILLS = ("before", "after", "torn")
_FAULTS: dict[str, Fault] = {
    "before": Kill(),
    "after": Kill(after=True),
    "torn": Tear(),
    "full": Fail(errno.ENOSPC),
    "broken": Fail(errno.EIO),
    "short": Shorten(),
    "interrupted": Fail(errno.EINTR),
    "no-descriptor": Fail(errno.EMFILE),
}
#: Kinds at which the program is held while another worker does its work; the latter after the locks' files are gone.
HOLDS = ("held", "overtaken")
#: One of these must stand in the error of a call that failed. SQLite keeps some reasons to itself; the store then says
#: what could not be done to which file.
_STORE = (
    "could not be used: it cannot be opened",
    "could not be used: it may not be written to",
    "what reached the disk",
)
_REASONS = {
    "full": ("No space left", "disk is full", "the disk reported an error", *_STORE),
    "broken": ("Input/output error", "fsync failed", "the disk reported an error", *_STORE),
    "short": (),
    "interrupted": ("Interrupted system call", "the disk reported an error", *_STORE),
    "no-descriptor": ("Too many open files", *_STORE),
}


#: Calls that can fail so.
_COUNTED = {
    "full": GROWS | SYNCS,
    "broken": GROWS | SYNCS | {"unlink", "unlinkat", "rmdir"},
    "short": WRITES,
    "interrupted": WRITES | SYNCS | {"open", "openat", "flock"},
    "no-descriptor": {"open", "openat"},
}


@dataclass(slots=True)
class Counter:
    """Decides on each call of a traced program: none is touched until the n-th that counts."""

    box: Box
    point: Point
    counted: int = 0
    call: str = ""
    calls: list[str] = field(default_factory=list)
    meanwhile: Callable[[], None] = lambda: None

    def __call__(self, call: Call) -> Fault | None:
        """Count the call, and give the fault where it is its turn."""
        if not self._counts(call):
            return None
        self.counted += 1
        self.calls.append(self._short(call))
        turn = self.counted == self.point.number or (self.point.sticky and self.counted > self.point.number)
        if not turn or (self.point.kind in ("torn", "short") and call.size < 2):
            return None
        self.call = self.call or self._short(call)
        return Hold(self.meanwhile) if self.point.kind in HOLDS else _FAULTS[self.point.kind]

    def _counts(self, call: Call) -> bool:
        if not any(file.startswith(f"{self.box.here}/") for file in call.files):
            return False
        if self.point.kind in KILLS + HOLDS:
            return call.name not in SYNCS
        return call.name in _COUNTED[self.point.kind]

    def _short(self, call: Call) -> str:
        return str(call).replace(str(self.box.here), "").replace(str(self.box.folder), "")


class Lane:
    """One box with its scenario; faults are injected into it one after another."""

    def __init__(self, scenario: Scenario, top: Path, *, mutate: Callable[[], None] = lambda: None) -> None:
        self.scenario, self.box, self._mutate = scenario, Box(top), mutate
        #: Whether the last point was reached before the program came to its end.
        self.reached = True
        top.mkdir(parents=True, exist_ok=True)
        self.box.empty()
        ended = self._run(scenario.prepare)
        if not ended.finished:
            raise AssertionError(f"the first state of {scenario.name!r} could not be made: {ended.error}")
        self.box.keep()
        self._reader = Reader(self.box.folder, self.box.database)

    def close(self) -> None:
        """End the lane's reader."""
        self._reader.close()

    def count(self, kind: str = "before") -> list[str]:
        """Run the program without a fault, and list its calls."""
        counter = Counter(self.box, Point(0, kind))
        self.box.restore()
        companion = Companion(self.box) if self.scenario.has_companion else None
        ending = trace(self._body(self.scenario.act), counter, deadline_s=RESTART_S)
        if companion is not None:
            companion.end()
        if not ending.finished:
            raise AssertionError(f"{self.scenario.name!r} does not even run without a fault: {ending.error or ending}")
        return counter.calls

    def take(self, point: Point) -> Result:
        """Inject one fault, restart, run again, and judge each time what a reader finds."""
        self.box.restore()
        companion = Companion(self.box) if self.scenario.has_companion else None
        counter = Counter(self.box, point)
        other = Other(self.box, overtakes=point.kind == "overtaken") if point.kind in HOLDS else None
        if other is not None:
            counter.meanwhile = other.work
        ending = trace(self._body(self.scenario.act), counter, deadline_s=RESTART_S)
        result = Result(point, counter.call, reached=bool(counter.call))
        self.reached = result.reached
        if other is not None:
            result.findings += other.judged(ending)
        elif point.kind not in KILLS:
            self._judge_failure(ending, result)
        self.scenario.lose(self.box)
        if companion is not None:
            result.findings += companion.goes_on()
        self._go_on(ending, result)
        if other is not None:
            result.findings += other.judged_rows(self._reader.read())
        return result

    def take_twice(self, point: Point, second: Point) -> Result:
        """Kill the program, and kill the restart too; the restart after that must do."""
        self.box.restore()
        first = Counter(self.box, point)
        ending = trace(self._body(self.scenario.act), first, deadline_s=RESTART_S)
        counter = Counter(self.box, second)
        restart = trace(self._body(self.scenario.restart), counter, deadline_s=RESTART_S)
        result = Result(point, f"{first.call}, then {second} {counter.call}", reached=bool(counter.call))
        self.reached = result.reached
        if not restart.killed and not restart.finished:
            result.findings.append(Finding("stuck", f"the first restart: {_last_line(restart)}"))
        self._go_on(ending, result)
        return result

    def _go_on(self, ending: Ending, result: Result) -> None:
        scenario = self.scenario
        started = time.monotonic()
        first = self._run(scenario.restart)
        result.restart_s = time.monotonic() - started
        if not first.finished:
            result.findings.append(Finding("stuck", f"the restart: {_last_line(first)}"))
            return
        result.findings += scenario.after_restart(self._reader.read(), ending.said)
        second = self._run(scenario.again)
        if not second.finished:
            result.findings.append(Finding("stuck", f"the next run: {_last_line(second)}"))
            return
        result.findings += scenario.after_all(self._reader.read(), [second.pid])

    def _judge_failure(self, ending: Ending, result: Result) -> None:
        """A call that fails may raise and must then say why; it must not hang, and not kill."""
        if ending.stuck:
            result.findings.append(Finding("stuck", "the program did not end"))
        elif ending.error is not None:
            result.told = ending.error
            if "SecondTryFailed" in ending.error:
                result.findings.append(Finding("stuck", f"the same process: {_last_line(ending)}"))
                return
            if not any(reason in ending.error for reason in _REASONS[result.point.kind]):
                result.findings.append(Finding("bad", f"the error does not say why: {_last_line(ending)}"))
        elif not ending.finished:
            result.findings.append(Finding("bad", f"the program died with status {ending.status}"))

    def _run(self, step: Callable[[Box, Callable[[Any], None]], None]) -> Ending:
        return fork(self._body(step), deadline_s=RESTART_S)

    def _body(self, step: Callable[[Box, Callable[[Any], None]], None]) -> Callable[[Callable[[Any], None]], None]:
        def body(say: Callable[[Any], None]) -> None:
            self.box.enter()
            self._mutate()
            step(self.box, say)

        return body


def _last_line(ending: Ending) -> str:
    if ending.stuck:
        return "it did not end"
    lines = (ending.error or f"it died with status {ending.status}").strip().splitlines()
    return lines[-1][:500]
