"""Liveness: a process holds a lock file for its whole life, and the kernel frees it at death, however that comes.

No heartbeat and no timeout: a process that is stopped or slow is alive. The file is locked twice on one descriptor:
with the native lock, for anyone who tries it, and where there are such (Linux) with a lock on its first byte, which
can be *asked about* without being taken, so that looking at a process never gets in its way.
"""

from __future__ import annotations

import os
import struct
import sys
import time
from pathlib import Path

from filelock import lock_descriptor

from oarlock.errors import LockTimeout
from oarlock.locking.files import identity_at, identity_of, is_locked, open_for_reading, open_private
from oarlock.locking.forks import close_in_child, no_fork

#: Where looking means trying, a look may be met at the first try; after so long it is no look.
_TAKE_WITHIN_S = 1.0
_TRY_EVERY_S = 0.005

if sys.platform == "linux":
    import fcntl

    #: What fcntl takes on 64-bit Linux: type, whence, start, length, pid.
    _LOCK = struct.Struct("hhqqi4x")
    _FIRST_BYTE = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)


class Alive:
    """The sign that this process lives, from here to ``close()`` or its death."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._fd = -1
        close_in_child(self)
        deadline = time.monotonic() + _TAKE_WITHIN_S
        while not self._take():
            if time.monotonic() > deadline:
                raise LockTimeout(self.path.name, _TAKE_WITHIN_S, None)
            time.sleep(_TRY_EVERY_S)

    def _take(self) -> bool:
        with no_fork():
            fd = open_private(self.path)
            if lock_descriptor(fd, blocking=False) and identity_at(os.fspath(self.path)) == identity_of(fd):
                _mark(fd)
                self._fd = fd
                return True
            os.close(fd)
            return False

    def close(self) -> None:
        """Give the sign up; the file stays for whoever sweeps the dead."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def forget(self) -> None:
        """Close a forked child's copy: it is its parent's sign."""
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            self.close()


def is_alive(path: Path) -> bool:
    """Tell whether the process of this file lives; nothing is created, followed or disturbed."""
    if sys.platform != "linux":
        return is_locked(path)
    fd = open_for_reading(path)
    if fd is None:
        return False
    try:
        answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _FIRST_BYTE)
    finally:
        os.close(fd)
    return bool(_LOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def _mark(fd: int) -> None:
    if sys.platform == "linux":
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FIRST_BYTE)
