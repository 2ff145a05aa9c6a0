"""The plain face: counters as lines of text, at a period."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from oarlock.errors import ConfigurationError
from oarlock.logs.collector import Counter, Counting
from oarlock.settings.secret import redact

#: Width of the line that carries the step's title.
WIDTH = 80
#: Where lines may go by name; "dlt_logger" is what programs that come from dlt say for the library's own logger.
LOGGERS = {"oarlock": "oarlock", "dlt_logger": "oarlock"}


class LogCollector(Counting):
    """Prints all counters of a step at its first update, then at most once a period, and at its end."""

    def __init__(
        self,
        log_period: float = 1.0,
        logger: logging.Logger | TextIO | str = "stdout",
        log_level: int = logging.INFO,
        dump_system_stats: bool = True,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(clock)
        if isinstance(logger, str) and logger not in ("stdout", "stderr", *LOGGERS):
            known = ", ".join(map(repr, ("stdout", "stderr", *LOGGERS)))
            raise ConfigurationError(f"logger={logger!r} is unknown; known are {known}, a Logger or a text stream")
        self.log_period, self.logger, self.log_level = log_period, logger, log_level
        self._load = _Load() if dump_system_stats else None
        self._printed_at: float | None = None

    def _start(self, step: str) -> None:
        super()._start(step)
        self._printed_at = None

    def _changed(self, counter: Counter, inc: int) -> None:
        now = self._clock()
        if self._printed_at is None or now - self._printed_at >= self.log_period:
            self._print(now)

    def _stop(self) -> None:
        self._print(self._clock())

    def _print(self, now: float) -> None:
        self._printed_at = now
        lines = [f" {self.step} ".center(WIDTH, "-")]
        lines += [describe(counter, now) for counter in self.counters.values()]
        if self._load is not None:
            lines.append(self._load.describe())
        text = redact("\n".join(lines)) + "\n"
        if isinstance(self.logger, logging.Logger):
            self.logger.log(self.log_level, text)
        elif self.logger in LOGGERS:
            logging.getLogger(LOGGERS[str(self.logger)]).log(self.log_level, text)
        else:
            self._write(text)

    def _write(self, text: str) -> None:
        stream = self.logger
        if isinstance(stream, str):
            # Asked for at each print: who redirects stdout means these lines too.
            stream = sys.stdout if stream == "stdout" else sys.stderr
        try:
            print(text, file=stream, flush=True)  # type: ignore[arg-type]  # loggers were answered before
        except (OSError, ValueError):
            # The reader of the pipe is gone, or the stream was closed: progress is no reason to fail a load.
            return


def describe(counter: Counter, now: float) -> str:
    """Say in one line how far a counter is, how long it took and how fast that was."""
    elapsed = max(now - counter.started, 0.0)
    rate = counter.count / elapsed if elapsed > 0 else 0.0
    progress = f"{counter.count} "
    if counter.total is not None:
        part = f" ({100 * counter.count / counter.total:.1f}%)" if counter.total > 0 else ""
        progress = f"{counter.count}/{counter.total}{part}"
    message = f" [{counter.message}]" if counter.message else ""
    return f"{counter.title}: {progress} | Time: {elapsed:.2f}s | Rate: {rate:.2f}/s{message}"


class _Load:
    """Memory and processor use of this process, from the system itself."""

    def __init__(self) -> None:
        self._cpu_s, self._at = time.process_time(), time.monotonic()

    def describe(self) -> str:
        cpu_s, at = time.process_time(), time.monotonic()
        used = 100 * (cpu_s - self._cpu_s) / (at - self._at) if at > self._at else 0.0
        self._cpu_s, self._at = cpu_s, at
        memory = _memory()
        shown = f"Memory usage: {memory[0] / 2**20:.2f} MB ({memory[1]:.2f}%) | " if memory else ""
        return f"{shown}CPU usage: {used:.2f}%"


def _memory() -> tuple[int, float] | None:
    """Give the resident bytes of this process and their part of the machine; None where that cannot be read."""
    try:
        page, total = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError, AttributeError):
        return None
    return pages * page, 100 * pages / total
