"""A companion: a worker that attached before the crash, lives through it, and then finishes what is pending."""

from __future__ import annotations

import os
import signal

from boxes import NAME, Box
from judging import Finding
from tracing import run_and_say, wait_for

import oarlock

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

    def _be(self, go: int, say: object) -> None:
        assert callable(say)
        self._box.enter()
        pipeline = oarlock.attach(NAME, str(self._box.pipelines))
        say("attached")
        os.read(go, 1)
        pipeline.run(None)
        pipeline.close()
