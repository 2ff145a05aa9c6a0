"""The lock: one native lock on a file that is never deleted, with a fair bounded wait, an owner's name and an epoch.

    acquire   the turn among this process's threads, then the native lock, then the file's identity, then epoch + 1
    check     at the moment of a commit: is this still the newest epoch, and is the locked file still at the path?
    release   the native lock, the first of those who wait is rung, the turn among threads

What each part keeps out: the turn among threads, because two threads on one descriptor both "get" a native lock; the
identity, because a file that was replaced is locked by nobody who comes now; the epoch, because a process that was
paused does not know that another took over; the list of forks, because a child shares the lock without knowing it.

A process that gives the lock back and wants it again at once would win every time against those who first have to wake
up. It may, for the length of a quantum; then it stands in line behind them.
"""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from threading import get_ident
from time import monotonic
from types import TracebackType

from filelock import lock_descriptor, unlock_descriptor

from oarlock.errors import FencedOut, LockMisuse
from oarlock.locking import owner as owners
from oarlock.locking import sidecar as sidecars
from oarlock.locking.deadline import Deadline, OnWait
from oarlock.locking.files import Identity, identity_at, identity_of, is_locked, open_private
from oarlock.locking.forks import close_in_child, no_fork
from oarlock.locking.owner import Owner
from oarlock.locking.sidecar import Sidecar
from oarlock.locking.waiting import Line

#: So long a process may take the lock again and again without looking whether others wait, or at the file's identity.
QUANTUM_S = 0.001
#: Who waits sleeps at least twice so long, so a shorter hold does not look whether there is somebody to ring.
UNNOTICED_HOLD_S = 0.000_02


class Lock:
    """A lock among processes and threads, by the name of a file; nothing is opened before the first acquisition.

    It does not nest: the thread that has it cannot acquire it again, only be told so. Only the thread that acquired it
    can give it back. In a forked child the object is as new, and held by nobody.
    """

    def __init__(self, path: Path, *, name: str | None = None, worker: str = "", on_wait: OnWait | None = None) -> None:
        self.path = Path(path)
        self._place = os.fspath(self.path)
        self.name = name or self.path.stem
        self.worker = worker
        self.on_wait = on_wait
        self._sidecar = Sidecar(self.path.with_suffix(".owner"), worker=worker)
        #: How many forks this object has been through: a block that a child leaves was entered by its parent.
        self.life = 0
        self._reset()
        close_in_child(self)

    def _reset(self) -> None:
        self._fd = -1
        self._identity: Identity | None = None
        self._line = Line()
        #: Re-entrant locks because giving back what this thread does not have is then an error, not a theft; that is
        #: what a clean-up after Ctrl-C needs. Who waits for the turn has the gate, so that it is next.
        self._turn, self._gate = threading.RLock(), threading.RLock()
        #: The thread that has the turn: it is acquiring, holds the lock, or is giving it back.
        self._thread = 0
        #: The epoch while the lock is held, else 0.
        self._epoch = 0
        self._since = self._quantum_ends = 0.0
        #: The last release rang nobody, though somebody may wait.
        self._rings_due = False
        #: The epoch of the last release that woke somebody. If the next epoch is this process's too, it was faster than
        #: the one who woke: then it does not wake them again and again until its quantum ends.
        self._rung_at = 0

    def acquire(self, why: str, *, timeout_s: float | None) -> int:
        """Get the lock and return its epoch, one higher at every acquisition by anyone.

        Args:
            why: what for, in a few words: others read it while they wait.
            timeout_s: the bound of the wait; None waits for ever. Ctrl-C ends any wait.

        Raises:
            LockTimeout: it was not had in time; the message names the owner.
            LockMisuse: this thread has it already.
            LockFileRefused: the lock file is a link or no regular file.
        """
        me = get_ident()
        if self._thread == me:
            raise self._misuse("is already held by this thread")
        try:
            now = monotonic()
            if now < self._quantum_ends and self._turn.acquire(False):
                self._thread = me
                if lock_descriptor(self._fd, blocking=False):
                    epoch = self._sidecar.step(why, now)
                    if not epoch and self.is_current():
                        epoch = self._sidecar.advance(why, now)
                    if epoch:
                        self._since, self._epoch = monotonic(), epoch
                        return epoch
                    self._close()
            return self._acquire_in_line(me, why, Deadline(self, timeout_s))
        except BaseException:
            self._back_out(me)
            raise

    def try_acquire(self, why: str) -> int | None:
        """Get the lock if nobody has it; else return None at once."""
        me = get_ident()
        if self._thread == me:
            raise self._misuse("is already held by this thread")
        try:
            if self._turn.acquire(False):
                self._thread = me
                while True:
                    self._open()
                    if not lock_descriptor(self._fd, blocking=False):
                        break
                    if self.is_current():
                        return self._own(why)
                    self._close()
            self._back_out(me)
        except BaseException:
            self._back_out(me)
            raise
        return None

    def release(self) -> None:
        """Give the lock back and wake the first of those who wait."""
        me = get_ident()
        if self._thread != me or not self._epoch:
            raise self._misuse("is not held by this thread")
        try:
            epoch, self._epoch = self._epoch, 0
            unlock_descriptor(self._fd)
            # After the unlock: who stands in line before it finds the lock held, and must be rung.
            self._rings_due = monotonic() - self._since < UNNOTICED_HOLD_S or not self._ring(epoch)
            self._thread = 0
            self._turn.release()
        except BaseException:
            self._back_out(me)
            raise

    def hold(self, why: str, *, timeout_s: float | None) -> AbstractContextManager[int]:
        """Hold the lock for a ``with`` block, which is given the epoch."""
        return _Hold(self, why, timeout_s)

    def held_by_me(self) -> bool:
        """Tell whether the calling thread holds the lock."""
        return self._epoch != 0 and self._thread == get_ident()

    def owner(self) -> Owner | None:
        """Tell who holds the lock, this process or any other; None if nobody does."""
        at_path = identity_at(self._place)
        if at_path is None:
            return None
        record = sidecars.look(self._sidecar.path)
        pids = owners.holders(at_path, likely=record.pid if record is not None else 0)
        if pids is None or (not pids and record is not None and record.host != owners.this_host()):
            # No word from the kernel, or the owner may be in another container, of which it does not speak here.
            return record if is_locked(self.path) else None
        if record is not None and record.pid in pids and owners.is_same_process(record.pid, record.started):
            return record
        return owners.foreign(pids[0]) if pids else None

    def is_current(self) -> bool:
        """Tell whether the files that are open are still the ones at their paths."""
        return identity_at(self._place) == self._identity and self._sidecar.is_current()

    def newest_epoch(self) -> int:
        """Tell the newest epoch that anyone was given; 0 if nobody ever was."""
        return max(sidecars.newest_at(self._sidecar.path), self._sidecar.seen)

    def check(self, epoch: int) -> None:
        """Refuse an epoch that is not the newest: to be asked inside the transaction that is to be fenced.

        Raises:
            FencedOut: this process does not hold the lock with this epoch (any more, or since it was forked), another
                owner has taken over, or the lock file was replaced.
        """
        if self._epoch != epoch:
            newest = self.newest_epoch()
            raise FencedOut(self.name, epoch, newest, "" if newest > epoch else "this process does not hold it")
        if identity_at(self._place) != self._identity:
            raise FencedOut(self.name, epoch, self.newest_epoch(), f"its file {str(self.path)!r} was replaced")
        newest = self._sidecar.newest(epoch)
        if newest != epoch:
            raise FencedOut(self.name, epoch, newest)

    def lift(self, floor: int) -> int:
        """Raise the held lock's epoch above the floor, for a store that has met higher ones than the sidecar knows."""
        if not self.held_by_me():
            raise self._misuse("is not held by this thread")
        if self._epoch <= floor:
            self._epoch = self._sidecar.lift(floor)
        return self._epoch

    def close(self) -> None:
        """Close the files, which gives the lock back if this thread holds it; the next acquisition opens them again."""
        me = get_ident()
        if self._thread != me and not self._turn.acquire(False):
            raise self._misuse("cannot be closed: another thread is using it")
        self._thread = me
        self._close()
        self._line.close()
        self._back_out(me)

    def forget(self) -> None:
        """Become as new in a forked child: its copies are closed, the parent keeps what it holds."""
        with suppress(OSError):
            self._close()
        self._sidecar.forget()
        self._line.close()
        self._reset()
        self.life += 1

    def __del__(self) -> None:
        with suppress(Exception):
            self._close()
            self._line.close()

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (self.path, self.name, self.worker, self.on_wait)

    def __repr__(self) -> str:
        return f"<Lock {self.name!r} on {str(self.path)!r}>"

    def _acquire_in_line(self, me: int, why: str, deadline: Deadline) -> int:
        if self._thread != me:
            deadline.for_turn(self._gate)
            deadline.for_turn(self._turn)
            self._thread = me
            self._gate.release()
        while True:
            self._open()
            fd = self._sidecar.fd
            if self._line.lets_pass(fd) and self._take():
                good = self.is_current()
            else:
                if self._rings_due:
                    self._line.ring(fd)
                self._sidecar.prepare(why)
                # The last try is for who has no time left, and found a line of the dead.
                taken = self._line.wait(fd, self._take, deadline.left_in_line) or self._take()
                # The sidecar was looked at while waiting. The lock file is looked at again: its last owner may have
                # moved the whole folder.
                good = taken and identity_at(self._place) == self._identity
                if not taken and self.is_current():
                    deadline.give_up()
            if good:
                epoch = self._own(why)
                self._quantum_ends = self._since + QUANTUM_S
                return epoch
            self._close()  # the file was replaced: the one to wait for is the one that is there now

    def _ring(self, epoch: int) -> bool:
        """Wake the first in line after this epoch's hold; False if that was put off."""
        if self._rung_at == epoch - 1:
            self._rung_at = epoch
            return False
        with suppress(OSError):  # the sidecar is gone: the lock is given back all the same, and they look themselves
            if self._line.ring(self._sidecar.fd):
                self._rung_at = epoch
        return True

    def _take(self) -> bool:
        return lock_descriptor(self._fd, blocking=False)

    def _own(self, why: str) -> int:
        self._since, self._rung_at = monotonic(), 0
        self._epoch = epoch = self._sidecar.advance(why, self._since)
        return epoch

    def _open(self) -> None:
        if self._fd < 0:
            with no_fork():
                self._fd = open_private(self.path)
                self._identity = identity_of(self._fd)
        if self._sidecar.fd < 0:
            self._sidecar.open()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        self._quantum_ends = 0.0
        self._sidecar.close()
        if fd >= 0:
            os.close(fd)

    def _back_out(self, me: int) -> None:
        """Leave nothing of this thread's behind, wherever it was interrupted."""
        if self._thread == me:
            self._epoch = 0
            if self._fd >= 0:
                with suppress(OSError):
                    unlock_descriptor(self._fd)
            self._thread = 0
        for turn in (self._gate, self._turn):
            with suppress(RuntimeError):
                turn.release()

    def _misuse(self, found: str) -> LockMisuse:
        return LockMisuse(self.name, found)


class _Hold(AbstractContextManager[int]):
    """One ``with`` block's hold."""

    __slots__ = ("_epoch", "_life", "_lock", "_timeout_s", "_why")

    def __init__(self, lock: Lock, why: str, timeout_s: float | None) -> None:
        self._lock, self._why, self._timeout_s, self._life, self._epoch = lock, why, timeout_s, lock.life, 0

    def __enter__(self) -> int:
        try:
            self._epoch = self._lock.acquire(self._why, timeout_s=self._timeout_s)
        except LockMisuse:
            raise  # what an outer block of this thread holds stays held
        except BaseException:
            # Ctrl-C between the acquisition and the block: no __exit__ would come.
            if self._lock.held_by_me():
                self._lock.release()
            raise
        return self._epoch

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._lock.life == self._life:  # else the block is left in a forked child, which never had the lock
            self._lock.release()
        self._epoch = 0

    def __del__(self) -> None:
        # Ctrl-C at the very first instruction of __exit__ ends it; this is called all the same.
        if self._epoch and self._lock.held_by_me() and self._lock.newest_epoch() == self._epoch:
            self._lock.release()


def _restore(path: Path, name: str, worker: str, on_wait: OnWait | None) -> Lock:
    return Lock(path, name=name, worker=worker, on_wait=on_wait)
