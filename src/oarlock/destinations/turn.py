"""Turns at a single-writer database: one thread of one process at a time, by a lock file beside the database."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from oarlock.locking.lock import Lock


class Turn:
    """The right to open one database. A thread that has it may take it again."""

    def __init__(self, database: Path) -> None:
        self._lock = Lock(lock_path(database), name=f"database {database}")
        self._thread: int | None = None
        self._depth = 0

    def take(self, why: str, *, timeout_s: float) -> None:
        """Take the turn, once more where this thread has it.

        Raises:
            LockTimeout: another thread or process kept it.
        """
        me = threading.get_ident()
        if self._thread != me:
            self._lock.acquire(why, timeout_s=timeout_s)
            self._thread = me
        self._depth += 1

    def give_back(self) -> None:
        """Give back what one ``take`` took."""
        self._depth -= 1
        if self._depth == 0:
            self._thread = None
            self._lock.release()


# One lock object a database and process: two would wait for each other in one thread.
_turns: dict[Path, Turn] = {}
_guard = threading.Lock()


def lock_path(database: Path) -> Path:
    """Give the lock file of a database: hidden, in the same folder, so that all who see the one see the other."""
    return database.parent / f".{database.name}.oarlock.lock"


def turn_at(database: Path) -> Turn:
    """Give this process's turn at a database; ``database`` is its real path."""
    with _guard:
        return _turns.setdefault(database, Turn(database))


def _forget_in_child() -> None:
    global _guard
    _guard = threading.Lock()
    _turns.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
