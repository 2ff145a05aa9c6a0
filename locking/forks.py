"""Forks: a child must neither keep its parent's locks alive nor drop them.

A native lock belongs to the open file, which a forked child shares: while the child lives, the lock of a dead
parent stays held; and an unlock in the child frees the parent's. So everything that holds such a descriptor is
listed here, and the child closes its copies first of all. A copy that is closed, not unlocked, changes nothing for
the parent.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol
from weakref import WeakSet


class Inherited(Protocol):
    """Something whose descriptors a forked child must close."""

    def forget(self) -> None:
        """Close this process's copies and become as new."""


_listed: WeakSet[Inherited] = WeakSet()
_turn = threading.RLock()


@contextmanager
def no_fork() -> Iterator[None]:
    """Hold off forks while a descriptor is open but not yet listed: the child would never close its copy."""
    with _turn:
        yield


def close_in_child(inherited: Inherited) -> None:
    """List the object for as long as it lives."""
    with _turn:
        _listed.add(inherited)


def _before() -> None:
    _turn.acquire()


def _after_in_parent() -> None:
    _turn.release()


def _after_in_child() -> None:
    global _turn
    _turn = threading.RLock()
    for inherited in list(_listed):
        inherited.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
