"""Group commit: many commits become durable with one sync of SQLite's log.

A transaction commits unsynced under the guard, writes its number (``seq``) as "committed", gives the guard back, and
then waits here until the log is on disk past that number:

    leader    has the lead (a lock on one byte): reads "committed", syncs the log, writes what it read as "synced",
              gives the lead back. Whoever finds the lead free leads.
    heir      found a leader, whose sync may have begun before the heir's commit; has the lock on the next byte, looks
              often, and is the next to lead, for itself and all who committed meanwhile.
    others    sleep for about as long as a sync takes, and look whether "synced" has reached their seq.

The locks belong to open files: the kernel frees them when their holder dies, and the next one leads. A leader that is
alive but does not move (stopped, frozen) is not waited for beyond STALLED_S: to sync twice is harmless.

The numbers stand in a small file beside the store, whose first user of the moment sets them to zero: they never
outlive the processes that wrote them, so neither a power loss nor a restored copy of the store can make them claim
too much. A failed sync is written there too, and every process that shares the store then refuses to write.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import threading
import time
from pathlib import Path

from oarlock.errors import StorePoisoned, StoreUnavailable
from oarlock.state.files import sync_folder
from oarlock.values import FILE_MODE

#: A leader that has not finished by then is not waited for any longer.
STALLED_S = 1.0
#: What a sync is taken to last until one was measured.
FIRST_GUESS_S = 0.0003
#: The heir looks so many times while the leader syncs.
HEIRS_LOOKS = 8
#: Between two looks: not less, for a sleep takes longer than that, and not more, however slow the disk.
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.00005, 0.005

#: Where the numbers stand in the file; each is written with its complement, so that a torn one is known.
_SYNCED_AT, _POISONED_AT, _COMMITTED_AT = 0, 16, 32
_NUMBER, _NUMBERS = struct.Struct("<QQ"), struct.Struct("<QQQQQQ")
_ALL_BITS = 2**64 - 1
#: Bytes that are locked, far behind the numbers: the first is shared by all users, the others have one holder each.
_USERS, _LEAD, _HEIR = 4096, 4097, 4098

_FLOCKS = {
    (kind, place): struct.pack("hhqqi4x", kind, os.SEEK_SET, place, 1, 0)
    for kind in (fcntl.F_RDLCK, fcntl.F_WRLCK, fcntl.F_UNLCK)
    for place in (_USERS, _LEAD, _HEIR)
}
_SET_LOCK: int | None = getattr(fcntl, "F_OFD_SETLK", None)


class Sync:
    """Brings commits to disk, together with those of every other process on the same store."""

    def __init__(self, log: Path, numbers: Path) -> None:
        self._log, self._numbers = log, numbers
        self._turn = threading.Lock()
        self._log_fd = self._numbers_fd = -1
        self._shared = _SET_LOCK is not None
        self._sync_s = FIRST_GUESS_S
        self._own_synced = self._seen_committed = 0
        self._failure: str | None = None
        #: Syncs that this process made, for itself and others.
        self.led = 0

    def prepare(self) -> None:
        """Open what a later ``wait`` needs, so that nothing can fail between a commit and its sync.

        Raises:
            StorePoisoned: An earlier sync failed.
            StoreUnavailable: A file cannot be opened.
        """
        if self._log_fd < 0:
            with self._turn:
                self._open()
        self._synced()

    def committed(self, seq: int) -> None:
        """Tell that a transaction has committed, so that whoever syncs next does so for it too; under the guard."""
        if self._numbers_fd >= 0:
            self._write_number(_COMMITTED_AT, seq)

    def wait(self, seq: int) -> None:
        """Return once every transaction up to ``seq`` is on disk.

        Raises:
            StorePoisoned: A sync failed; the transaction is there for now, and may be gone after a power loss.
        """
        with self._turn:
            self._open()
            if not self._lead(seq):
                self._follow(seq)

    def close(self) -> None:
        """Close the files."""
        with self._turn:
            self.forget()

    def forget(self) -> None:
        """Close the files; in a forked child, which shares the parent's locks until it has closed its copies."""
        for descriptor in (self._log_fd, self._numbers_fd):
            if descriptor >= 0:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        self._log_fd = self._numbers_fd = -1

    def __del__(self) -> None:
        self.forget()

    def after_fork(self) -> None:
        """Begin anew in a forked child, where no other thread has a turn."""
        self._turn = threading.Lock()
        self.forget()

    def _lead(self, seq: int) -> bool:
        """Sync as the leader, unless another leads; True once ``seq`` is on disk."""
        if not self._take(_LEAD):
            return False
        try:
            if self._synced() < seq:
                self._sync_log(seq)
        finally:
            self._give_back(_LEAD)
        return True

    def _follow(self, seq: int) -> None:
        """Wait for a leader's sync, or be the next leader."""
        stalled_at = time.monotonic() + STALLED_S
        is_heir = False
        try:
            while self._synced() < seq:
                is_heir = is_heir or self._take(_HEIR)
                pause = self._sync_s / HEIRS_LOOKS if is_heir else self._sync_s
                time.sleep(max(SHORTEST_PAUSE_S, min(pause, LONGEST_PAUSE_S)))
                if self._synced() >= seq or self._lead(seq):
                    return
                if time.monotonic() > stalled_at:
                    self._sync_log(seq)
        finally:
            if is_heir:
                self._give_back(_HEIR)

    def _take(self, place: int) -> bool:
        try:
            return not self._shared or _lock(self._numbers_fd, fcntl.F_WRLCK, place)
        except OSError:
            # The kernel has no lock to give: to sync for oneself needs none.
            self._shared = False
            return True

    def _give_back(self, place: int) -> None:
        if self._numbers_fd >= 0:
            with contextlib.suppress(OSError):
                _lock(self._numbers_fd, fcntl.F_UNLCK, place)

    def _sync_log(self, seq: int) -> None:
        # Read before the sync begins: what commits during it may not be covered.
        newest = max(seq, self._seen_committed)
        self._reopen_replaced_log()
        began = time.monotonic()
        try:
            _sync_data(self._log_fd)
        except OSError as error:
            self.fail(str(error))
            raise StorePoisoned(self._log, str(error)) from error
        self._sync_s += (time.monotonic() - began - self._sync_s) / 8
        self.led += 1
        self._write_number(_SYNCED_AT, newest)

    def fail(self, reason: str) -> None:
        """Write down that a sync failed: no process that shares the store writes from now on."""
        self._failure = reason
        self._write_number(_POISONED_AT, 1)

    def _synced(self) -> int:
        """Give the seq up to which all is on disk.

        Raises:
            StorePoisoned: A sync failed, here or in another process.
        """
        if self._failure is None and self._shared and self._numbers_fd >= 0:
            synced, poisoned, self._seen_committed = _numbers(os.pread(self._numbers_fd, _NUMBERS.size, 0))
            if not poisoned:
                return synced
            self._failure = "a sync of another process failed"
        if self._failure is not None:
            raise StorePoisoned(self._log, self._failure)
        return self._own_synced

    def _write_number(self, place: int, number: int) -> None:
        if place == _SYNCED_AT:
            self._own_synced = max(number, self._own_synced)
        if self._numbers_fd >= 0:
            try:
                os.pwrite(self._numbers_fd, _NUMBER.pack(number, number ^ _ALL_BITS), place)
            except OSError:
                # Nobody learns of this sync; each then syncs for itself.
                self._shared = False

    def _open(self) -> None:
        try:
            if self._shared and self._numbers_fd < 0:
                self._numbers_fd = _open_numbers(self._numbers)
                self._shared = self._numbers_fd >= 0
            if self._log_fd < 0:
                self._log_fd = os.open(self._log, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
                # The log's name must be on disk as well as its content.
                sync_folder(self._log.parent)
        except OSError as error:
            raise StoreUnavailable(self._log, str(error)) from error

    def _reopen_replaced_log(self) -> None:
        if os.fstat(self._log_fd).st_nlink == 0:
            os.close(self._log_fd)
            self._log_fd = -1
            self._open()


def _open_numbers(path: Path) -> int:
    """Open the shared numbers as one of their users, the first of whom sets them to zero; -1 where that cannot be."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    try:
        os.fchmod(descriptor, FILE_MODE)
        if _lock(descriptor, fcntl.F_WRLCK, _USERS):
            os.pwrite(descriptor, bytes(_NUMBERS.size), 0)
        deadline = time.monotonic() + STALLED_S
        while not _lock(descriptor, fcntl.F_RDLCK, _USERS):
            if time.monotonic() > deadline:
                os.close(descriptor)
                return -1
            time.sleep(0.0005)
    except OSError:
        os.close(descriptor)
        return -1
    return descriptor


def _numbers(content: bytes) -> tuple[int, int, int]:
    """Read synced, poisoned, committed; one that was never written, or is torn, is zero."""
    if len(content) < _NUMBERS.size:
        return 0, 0, 0
    synced, not_synced, poisoned, not_poisoned, committed, not_committed = _NUMBERS.unpack(content)
    return (
        synced if synced ^ not_synced == _ALL_BITS else 0,
        poisoned if poisoned ^ not_poisoned == _ALL_BITS else 0,
        committed if committed ^ not_committed == _ALL_BITS else 0,
    )


def _lock(descriptor: int, kind: int, place: int) -> bool:
    """Take (F_WRLCK, F_RDLCK) or give back (F_UNLCK) the lock on one byte; False where another holds it."""
    assert _SET_LOCK is not None
    try:
        fcntl.fcntl(descriptor, _SET_LOCK, _FLOCKS[kind, place])
    except (BlockingIOError, PermissionError):
        return False
    return True


def _sync_data(descriptor: int) -> None:
    if hasattr(fcntl, "F_FULLFSYNC"):
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # macOS: a plain fsync stops at the drive's own memory
    elif hasattr(os, "fdatasync"):
        os.fdatasync(descriptor)
    else:
        os.fsync(descriptor)
