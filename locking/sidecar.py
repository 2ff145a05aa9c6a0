"""The sidecar: the owner's record and the epoch, in a file beside the lock file.

Not in the lock file itself, which any program may open, lock and truncate. Not mapped into memory, since a mapped
file that somebody truncates kills whoever touches it. The layout:

    0     head    magic, length of who, length and checksum of the body, epoch, epoch with all bits turned,
                  moment of the acquisition (by the clock that only runs forward)
    40    body    who (JSON: pid, started, host, worker, command), then why (text)
    1024  line    the processes that wait (see waiting.py)

The record stays when the lock is given back: it holds the newest epoch. It lies within one page, so a process that is
killed leaves either the old record or the new one. A record that does not check (power loss, or somebody's edit) or
that is missing is answered by starting again from the clock in microseconds: an acquisition takes longer than one
microsecond, so that is above every epoch ever counted from an earlier reading of the clock.
"""

from __future__ import annotations

import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import orjson

from oarlock.locking import owner as owners
from oarlock.locking.files import Identity, identity_at, identity_of, open_for_reading, open_private, read_at, write_at
from oarlock.locking.forks import no_fork
from oarlock.locking.owner import Owner

#: Where the line of those who wait begins; the record must end before.
LINE_OFFSET = 1024
#: Bytes of the whole file, had from the disk once so that a full disk cannot refuse a later record.
SIZE = 2048

_MAGIC = b"OAR1"
_FIXED = struct.Struct("<4sIII")
_CHANGING = struct.Struct("<Qqd")
_HEAD_SIZE = _FIXED.size + _CHANGING.size
_pack_changing = _CHANGING.pack
#: Bytes of each text, so that all of it lies before the line.
_NAME_SIZE, _WHO_SIZE, _WHY_SIZE = 160, 700, 240
#: A reader without the lock may meet a record while it is being written; so often it reads again.
_READINGS = 5


@dataclass(frozen=True, slots=True)
class _Record:
    head: bytes
    epoch: int
    moment: float
    who: bytes
    why: bytes


def _epoch_in(head: bytes) -> int | None:
    """Read the epoch, or None if this is not a whole head."""
    if len(head) < _HEAD_SIZE or not head.startswith(_MAGIC):
        return None
    epoch, inverse, _ = _CHANGING.unpack_from(head, _FIXED.size)
    return int(epoch) if inverse == ~epoch else None


def _read(fd: int) -> _Record | None:
    data = read_at(fd, LINE_OFFSET, 0)
    epoch = _epoch_in(data)
    if epoch is None:
        return None
    _, who_size, body_size, body_sum = _FIXED.unpack_from(data)
    body = data[_HEAD_SIZE : _HEAD_SIZE + body_size]
    if who_size > body_size or body_sum != crc32(body):
        return None
    return _Record(
        data[:_HEAD_SIZE], epoch, _CHANGING.unpack_from(data, _FIXED.size)[2], body[:who_size], body[who_size:]
    )


def _who(worker: str) -> bytes:
    pid = os.getpid()
    who: list[object] = [pid, owners.started_at(pid)]
    who += (_short(text) for text in (owners.this_host(), worker, owners.this_command()))
    line = orjson.dumps(who)
    return line if len(line) <= _WHO_SIZE else orjson.dumps([*who[:2], "", "", ""])


def _short(text: str) -> str:
    return text.encode("utf-8", "replace")[:_NAME_SIZE].decode("utf-8", "ignore")


class Sidecar:
    """One process's view of the record; everything but ``look`` is for whoever has the lock."""

    def __init__(self, path: Path, *, worker: str) -> None:
        self.path = path
        self._place = os.fspath(path)
        self.fd = -1
        #: The highest epoch this object has met; a record below it is never believed.
        self.seen = 0
        self._worker = worker
        self._identity: Identity | None = None
        self._who = b""
        #: The head last written by this object: if it is still there, nobody else was owner since.
        self._mine = b""
        #: What of that record stays as it is as long as the reason is the same.
        self._body, self._fixed = b"", b""
        self._why: str | None = None

    def open(self) -> None:
        """Open the file, made at its full size if it is not there."""
        with no_fork():
            self.fd = open_private(self.path)
        self._identity = identity_of(self.fd)
        self._mine = b""
        if os.fstat(self.fd).st_size < SIZE:
            # The last byte alone: this is not under the lock, and another process may have written a record by now.
            self._put(b"\0", SIZE - 1)
        self._who = self._who or _who(self._worker)

    def _put(self, data: bytes, offset: int) -> None:
        try:
            write_at(self.fd, data, offset)
        except OSError as error:
            raise self._named(error) from error

    def _named(self, error: OSError) -> OSError:
        """Name the file, which the system does not."""
        return OSError(error.errno, error.strerror, self._place)

    def close(self) -> None:
        """Close the file; what was seen is remembered."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1
        self._mine = b""

    def forget(self) -> None:
        """Close the file and become another process's view; what was seen is remembered."""
        self.close()
        self._who, self._why = b"", None

    def is_current(self) -> bool:
        """Tell whether the open file is still the one at the path."""
        return self._identity is not None and identity_at(self._place) == self._identity

    def step(self, why: str, moment: float) -> int:
        """Raise the epoch by one if nobody else was owner since this object was; else return 0 and write nothing."""
        mine = self._mine
        if read_at(self.fd, _HEAD_SIZE, 0) != mine or not mine:
            return 0
        epoch = self.seen + 1
        if why != self._why:
            return self._write(epoch, why, moment)
        # The body beside it stays. Should the write fail, the next reading differs from what is remembered here.
        self._mine = mine = self._fixed + _pack_changing(epoch, ~epoch, moment)
        try:
            write_at(self.fd, mine, 0)
        except OSError as error:
            raise self._named(error) from error
        self.seen = epoch
        return epoch

    def prepare(self, why: str) -> None:
        """Make what the next record needs beside its epoch, while there is time: before a wait, not after."""
        if why != self._why:
            self._body = self._who + why.encode("utf-8", "replace")[:_WHY_SIZE]
            self._fixed = _FIXED.pack(_MAGIC, len(self._who), len(self._body), crc32(self._body))
            self._why = why

    def advance(self, why: str, moment: float) -> int:
        """Raise the epoch above every one that was."""
        newest = _epoch_in(read_at(self.fd, _HEAD_SIZE, 0))
        if newest is None:
            newest = int(time.time() * 1_000_000)
        return self._write(max(newest, self.seen) + 1, why, moment)

    def lift(self, floor: int) -> int:
        """Raise the owner's epoch above the floor."""
        return self._write(max(floor, self.seen) + 1, self._why or "", time.monotonic())

    def newest(self, epoch: int) -> int:
        """Tell the newest epoch to the owner with this one, and write its record again if it is gone.

        Whoever has the lock wrote the newest record; a lower or unreadable one is damage, mended here.
        """
        if read_at(self.fd, _HEAD_SIZE, 0) == self._mine and self.is_current():
            return epoch
        if not self.is_current():
            mine = self._mine
            self.close()
            self.open()
            self._mine = mine
        found = _read(self.fd)
        if found is not None and found.head != self._mine and found.epoch >= epoch:
            self.seen = max(self.seen, found.epoch)
            return max(found.epoch, epoch + 1)
        self._put(self._mine + self._body, 0)
        return epoch

    def _write(self, epoch: int, why: str, moment: float) -> int:
        self.prepare(why)
        self._mine = mine = self._fixed + _pack_changing(epoch, ~epoch, moment)
        self._put(mine + self._body, 0)
        self.seen = epoch
        return epoch


def newest_at(path: Path) -> int:
    """Read the newest epoch at the path; 0 if there is none."""
    fd = open_for_reading(path)
    if fd is None:
        return 0
    try:
        for _ in range(_READINGS):
            epoch = _epoch_in(read_at(fd, _HEAD_SIZE, 0))
            if epoch is not None:
                return epoch
    finally:
        os.close(fd)
    return 0


def look(path: Path) -> Owner | None:
    """Read the newest record at the path, whoever has the lock; None if there is none that checks."""
    fd = open_for_reading(path)
    if fd is None:
        return None
    try:
        for _ in range(_READINGS):
            found = _read(fd)
            if found is not None:
                return _owner(found)
    finally:
        os.close(fd)
    return None


def _owner(found: _Record) -> Owner | None:
    try:
        pid, started, host, worker, command = orjson.loads(found.who)
        return Owner(
            int(pid),
            float(started),
            str(host),
            str(worker),
            str(command),
            found.why.decode("utf-8", "replace"),
            time.time() - (time.monotonic() - found.moment),
            found.epoch,
        )
    except (ValueError, TypeError):
        return None
