"""Other workers of the swept pipeline: one that lives through the crash, and one that meets a program which is held."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from typing import Any

from boxes import DATASET, NAME, Box
from judging import Finding
from tracing import Ending, fork, run_and_say, wait_for

import oarlock
import oarlock.state.store

#: It finds nothing in its way, so it needs a tenth of a second.
GOES_ON_S = 30.0


class Companion:
    """A live process of the pipeline."""

    def __init__(self, box: Box) -> None:
        self._box = box
        hear, speak = os.pipe()
        go, self._go = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(hear)
            os.close(self._go)
            run_and_say(lambda say: self._be(go, say), speak)
        os.close(speak)
        os.close(go)
        self._hear = hear
        first = os.read(hear, 10_000)
        if first != b'"attached"\n':
            raise AssertionError(f"the companion could not attach: {first.decode()}")

    def goes_on(self) -> list[Finding]:
        """Have it finish what is pending; it must be able to at once."""
        os.write(self._go, b"!")
        os.close(self._go)
        ending = wait_for(self._pid, self._hear, GOES_ON_S)
        if ending.finished:
            return []
        return [Finding("stuck", f"a worker that lives on: {ending.error or 'it did not end'}")]

    def end(self) -> None:
        """End it without a word."""
        os.kill(self._pid, signal.SIGKILL)
        os.close(self._go)
        wait_for(self._pid, self._hear, GOES_ON_S)

    def _be(self, go: int, say: Callable[[Any], None]) -> None:
        self._box.enter()
        pipeline = oarlock.attach(NAME, str(self._box.pipelines))
        say("attached")
        os.read(go, 1)
        pipeline.run(None)
        pipeline.close()


class Other:
    """A worker that does its work while the program is held at one point: it works, or is told who is in its way."""

    #: It waits no longer for a lock; the holder does not move.
    PATIENCE_S = 0.3
    #: What it may be told: each names who has the lock, or says that SQLite's own is taken.
    EXPECTED = ("LockTimeout", "DestinationBusy")
    #: What the program may be told once another has overtaken it.
    OVERTAKEN = ("FencedOut", "LockTimeout", "DestinationBusy")

    def __init__(self, box: Box, *, overtakes: bool) -> None:
        self._box, self._overtakes = box, overtakes
        self._ending: Ending | None = None

    def work(self) -> None:
        """Do the work now. One that overtakes comes after somebody has deleted the locks' files."""
        if self._overtakes:
            for path in (*self._box.folder.glob("*.lock"), *self._box.database.parent.glob(".*.lock")):
                path.unlink()
        self._ending = fork(self._be, deadline_s=30.0)

    def judged(self, held: Ending) -> list[Finding]:
        """Judge how it went for both."""
        findings = []
        if self._ending is not None and not self._ending.finished:
            told = self._ending.error or "it did not end"
            if self._ending.stuck or not any(name in told for name in self.EXPECTED):
                findings.append(
                    Finding("stuck", f"a worker beside the one that is held: {told.strip().splitlines()[-1]}")
                )
            elif (
                f"pid {held.pid} " not in told and f"PID {held.pid})" not in told and "a program other than" not in told
            ):
                findings.append(Finding("bad", f"it is not told who holds the lock: {told.strip().splitlines()[-1]}"))
        if not held.finished:
            told = held.error or "it did not end"
            if not (self._overtakes and any(name in told for name in self.OVERTAKEN)):
                findings.append(Finding("stuck", f"the one that was held: {told.strip().splitlines()[-1]}"))
        return findings

    def judged_rows(self, facts: Mapping[str, Any]) -> list[Finding]:
        """Judge whether its own row is there once: surely if it was given a receipt."""
        rows = len(facts["tables"].get(f"{DATASET}.others", []))
        acknowledged = self._ending is not None and bool(self._ending.said)
        if rows > 1:
            return [Finding("dup", f"the other worker's row is there {rows} times")]
        if acknowledged and not rows:
            return [Finding("lost", "the other worker's row, for which it was given a receipt")]
        return []

    def _be(self, say: Callable[[Any], None]) -> None:
        self._box.enter()
        oarlock.state.store.GUARD_WAIT_S = self.PATIENCE_S
        os.environ["RUNTIME__LOCK_TIMEOUT_S"] = os.environ["RUNTIME__DESTINATION_TIMEOUT_S"] = str(self.PATIENCE_S)
        with oarlock.attach(NAME, str(self._box.pipelines)) as pipeline:
            pipeline.run([{"n": 1}], table_name="others")
            say("loaded")
