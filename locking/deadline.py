"""Deadlines: the clock of one wait, which reports a long one and ends it with an error that names the owner."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from math import inf
from typing import NoReturn, Protocol

from oarlock.errors import LockTimeout
from oarlock.locking.owner import Owner

#: A wait is reported after the first so many seconds, and again each time it has doubled.
REPORT_AFTER_S = 1.0
#: Who waits looks so often whether the files at the paths are still the ones it waits for.
IDENTITY_EVERY_S = 0.01
#: The longest single sleep, so that reports are in time.
LONGEST_SLEEP_S = 1.0
#: Called with the lock's name, the seconds waited so far, and who holds it.
OnWait = Callable[[str, float, Owner | None], None]


class Awaited(Protocol):
    """What a deadline asks about the lock that is waited for."""

    name: str
    on_wait: OnWait | None

    def owner(self) -> Owner | None:
        """Tell who holds it."""

    def is_current(self) -> bool:
        """Tell whether the open file is still the one at the path."""


class Deadline:
    """When one wait ends, and who is told while it lasts."""

    __slots__ = ("_end", "_lock", "_look_at", "_report_at", "_started")

    def __init__(self, lock: Awaited, timeout_s: float | None) -> None:
        self._lock = lock
        self._started = now = time.monotonic()
        self._end = inf if timeout_s is None else now + timeout_s
        self._report_at = now + REPORT_AFTER_S
        self._look_at = now + IDENTITY_EVERY_S

    def for_turn(self, turn: threading.RLock) -> None:
        """Get a turn among this process's threads."""
        if turn.acquire(False):
            return
        while (left_s := self.left()) > 0:
            if turn.acquire(timeout=left_s):
                return
        self.give_up()

    def left(self) -> float:
        """Tell how many seconds to wait before asking again, 0 or less at the end; report the wait when that is due."""
        now = time.monotonic()
        if now >= self._report_at:
            waited_s = now - self._started
            self._report_at = now + waited_s
            if self._lock.on_wait is not None:
                self._lock.on_wait(self._lock.name, waited_s, self._lock.owner())
        return min(self._end - now, LONGEST_SLEEP_S)

    def left_in_line(self) -> float:
        """Do the same for those who wait for a file, 0 as soon as it is no longer the one at the path."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + IDENTITY_EVERY_S
            if not self._lock.is_current():
                return 0.0
        return self.left()

    def give_up(self) -> NoReturn:
        """Raise the error that names the owner."""
        owner = self._lock.owner()
        waited_s = round(time.monotonic() - self._started, 3)
        raise LockTimeout(self._lock.name, waited_s, str(owner) if owner else None)
