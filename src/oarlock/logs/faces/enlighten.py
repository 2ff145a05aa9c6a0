"""The face of enlighten."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from oarlock.errors import MissingExtra
from oarlock.logs.collector import Counter
from oarlock.logs.faces.bars import Bars

try:
    import enlighten
except ImportError as error:
    raise MissingExtra("progress='enlighten'", "progress", "enlighten") from error


class EnlightenCollector(Bars):
    """Shows a bar a counter under the step's title, or one bar for the first counter."""

    def __init__(self, single_bar: bool = False, **enlighten_options: Any) -> None:
        super().__init__(enlighten_options.pop("stream", None), enlighten_options)
        self.single_bar = single_bar
        self._screen: Any = None
        self._title: Any = None
        self._bars: dict[str, Any] = {}

    @property
    def stream(self) -> TextIO:
        """Where the bars are drawn: stdout, as enlighten keeps them below what is printed there."""
        return sys.stdout if self._given is None else self._given

    def _open(self, step: str) -> None:
        self._bars = {}
        self._screen = enlighten.get_manager(stream=self.stream)
        self._title = self._screen.status_bar(step, leave=False, justify=enlighten.Justify.CENTER, fill="-")

    def _changed(self, counter: Counter, inc: int) -> None:
        if self.single_bar and counter is not self._first():
            self._title.update(f"{self.step}: {self._others()}")
            return
        bar = self._bars.get(counter.title)
        if bar is None:
            options = {"leave": False, "unit": "", **self.options}
            bar = self._screen.counter(desc=counter.title, total=counter.total, **options)
            self._bars[counter.title] = bar
        bar.total = counter.total
        if counter.message:
            bar.desc = f"{counter.title} [{counter.message}]"
        bar.update(inc)

    def _close(self) -> None:
        for bar in self._bars.values():
            bar.close()
        self._title.close()
        self._screen.stop()
        self._bars, self._title, self._screen = {}, None, None
