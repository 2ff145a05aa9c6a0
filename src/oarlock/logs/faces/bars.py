"""What the faces with bars share: a bar a counter on a terminal, plain lines where there is none."""

from __future__ import annotations

import os
import sys
from typing import Any, TextIO

from oarlock.logs.collector import Counter, Counting
from oarlock.logs.faces.log import LogCollector

#: Options that colour a bar; left out where the user wants no colours (https://no-color.org).
COLOURS = ("colour", "color", "dual_line_color")


class Bars(Counting):
    """A face with bars; what is no terminal gets the lines of the plain face instead."""

    def __init__(self, stream: TextIO | None, options: dict[str, Any]) -> None:
        super().__init__()
        self._given = stream
        self.options = {k: v for k, v in options.items() if not (os.environ.get("NO_COLOR") and k in COLOURS)}
        self._plain: LogCollector | None = None

    @property
    def stream(self) -> TextIO:
        """Where the bars are drawn."""
        return sys.stderr if self._given is None else self._given

    def _start(self, step: str) -> None:
        super()._start(step)
        self._plain = None
        if self.stream.isatty():
            self._open(step)
        else:
            self._plain = LogCollector(logger=self.stream, dump_system_stats=False)
            self._plain(step)._start(step)

    def update(
        self,
        name: str,
        inc: int = 1,
        total: int | None = None,
        inc_total: int | None = None,
        message: str | None = None,
        label: str | None = None,
    ) -> None:
        """Move a bar, or print a line."""
        if self._plain is not None:
            self._plain.update(name, inc, total, inc_total, message, label)
        else:
            super().update(name, inc, total, inc_total, message, label)

    def _stop(self) -> None:
        if self._plain is not None:
            self._plain._stop()
            self._plain = None
        else:
            self._close()

    def _first(self) -> Counter:
        return next(iter(self.counters.values()))

    def _others(self) -> str:
        """Say of all counters but the first how far they are."""
        return ", ".join(f"{counter.title} {counter.count}" for counter in list(self.counters.values())[1:])

    def _open(self, step: str) -> None:
        """Begin to draw."""

    def _close(self) -> None:
        """Take the bars away."""
