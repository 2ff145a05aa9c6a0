"""The face of tqdm."""

from __future__ import annotations

from typing import Any

from oarlock.errors import MissingExtra
from oarlock.logs.collector import Counter
from oarlock.logs.faces.bars import Bars

try:
    from tqdm import tqdm
except ImportError as error:
    raise MissingExtra("progress='tqdm'", "progress", "tqdm") from error


class TqdmCollector(Bars):
    """Shows a bar a counter, or one bar for the first counter with the others behind it."""

    def __init__(self, single_bar: bool = False, **tqdm_options: Any) -> None:
        super().__init__(tqdm_options.pop("file", None), tqdm_options)
        self.single_bar = single_bar
        self._bars: dict[str, Any] = {}

    def _open(self, step: str) -> None:
        self._bars = {}

    def _changed(self, counter: Counter, inc: int) -> None:
        if self.single_bar and counter is not self._first():
            self._bars[self._first().title].set_postfix_str(self._others())
            return
        bar = self._bars.get(counter.title)
        if bar is None:
            title = counter.title if self._bars else f"{self.step}: {counter.title}"
            options = {"leave": False, "file": self.stream, **self.options}
            bar = self._bars[counter.title] = tqdm(desc=title, total=counter.total, **options)
        if counter.total != bar.total:
            bar.total = counter.total
            bar.refresh()
        bar.update(inc)
        if counter.message and counter.message != bar.postfix:
            bar.set_postfix_str(counter.message)

    def _close(self) -> None:
        for bar in reversed(self._bars.values()):
            bar.close()
        self._bars = {}
