"""The face of alive_progress."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from oarlock.errors import MissingExtra
from oarlock.logs.collector import Counter
from oarlock.logs.faces.bars import Bars

try:
    from alive_progress import alive_bar
except ImportError as error:
    raise MissingExtra("progress='alive_progress'", "progress", "alive_progress") from error


class AliveCollector(Bars):
    """Shows one bar, as the library draws one at a time: a step's first counter, and on wish the others behind it."""

    def __init__(self, single_bar: bool = True, **alive_options: Any) -> None:
        super().__init__(alive_options.pop("file", None), alive_options)
        self.single_bar = single_bar
        self._drawing: Any = None
        self._bar: Any = None
        self._of_total = False

    @property
    def stream(self) -> TextIO:
        """Where the bar is drawn: stdout, as the library keeps it below what is printed there."""
        return sys.stdout if self._given is None else self._given

    def _open(self, step: str) -> None:
        self._drawing = self._bar = None

    def _changed(self, counter: Counter, inc: int) -> None:
        first = self._first()
        if self._bar is None:
            self._begin(first)
        if counter is first:
            self._move(first, inc)
        self._bar.text = self._text(first)

    def _begin(self, first: Counter) -> None:
        # A total may still rise, and the library's may not: the bar is told the part done, and the text the figures.
        self._of_total = first.total is not None
        title = f"{self.step}: {first.title}"
        figures = {"stats": not self._of_total, "stats_end": not self._of_total}  # its rate would be in per cent
        options = {"title": title, "file": self.stream, "receipt_text": True, **figures, **self.options}
        self._drawing = alive_bar(manual=self._of_total, **options)
        self._bar = self._drawing.__enter__()

    def _move(self, first: Counter, inc: int) -> None:
        if self._of_total:
            self._bar(min(first.count / first.total, 1.0) if first.total else 0.0)
        elif inc:
            self._bar(inc)

    def _text(self, first: Counter) -> str:
        figures = f"{first.count}/{first.total}" if first.total is not None else ""
        parts = (figures, first.message or "", "" if self.single_bar else self._others())
        return " ".join(part for part in parts if part)

    def _close(self) -> None:
        if self._drawing is not None:
            self._drawing.__exit__(None, None, None)
        self._drawing = self._bar = None
