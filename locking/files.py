"""Private files: opened without following links, closed on exec, mode 0600, read and written at an offset."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path

from filelock import lock_descriptor

from oarlock.errors import LockFileRefused
from oarlock.values import FILE_MODE

if sys.platform != "win32":
    import fcntl

#: Which file it is, whatever its name: device and inode.
Identity = tuple[int, int]

#: O_NONBLOCK: a pipe put in the file's place must not block the open. The rest: links refused, closed on exec.
_FLAGS = (
    os.O_RDWR
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
)
_READ_FLAGS = _FLAGS & ~os.O_RDWR | os.O_RDONLY


def open_private(path: Path) -> int:
    """Open the file, made with mode 0600 if it is not there; the descriptor is the caller's to close."""
    while True:
        try:
            return _regular(os.open(path, _FLAGS), path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise _refusal(path, error) from error
        try:
            fd = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, FILE_MODE)
        except FileExistsError:
            continue  # another process was first, or a link without a target, which the next round names
        if hasattr(os, "fchmod"):
            os.fchmod(fd, FILE_MODE)  # the umask may have taken even the owner's bits
        return fd


def open_for_reading(path: Path) -> int | None:
    """Open the file to look at it; None if there is no regular file of that name."""
    try:
        return _regular(os.open(path, _READ_FLAGS), path)
    except OSError:
        return None


def _regular(fd: int, path: Path) -> int:
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise LockFileRefused(path, "not a regular file")


def _refusal(path: Path, error: OSError) -> OSError:
    if isinstance(error, LockFileRefused):
        return error
    if error.errno in (errno.ELOOP, errno.EMLINK) and path.is_symlink():
        return LockFileRefused(path, "a symbolic link")
    if error.errno in (errno.EISDIR, errno.ENXIO):
        return LockFileRefused(path, "not a regular file")
    return error


def identity_of(fd: int) -> Identity:
    """Tell which file the descriptor is open on."""
    found = os.fstat(fd)
    return found.st_dev, found.st_ino


def identity_at(path: str) -> Identity | None:
    """Tell which file has this name now; None if there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def is_locked(path: Path) -> bool:
    """Try the native lock, shared and for a moment: a last resort, since it may get in another's way."""
    fd = open_for_reading(path)
    if fd is None:
        return False
    try:
        if sys.platform == "win32":
            return not lock_descriptor(fd, blocking=False)
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


if sys.platform != "win32":
    read_at, write_at = os.pread, os.pwrite
else:  # callers take turns, so moving the descriptor's position is safe

    def read_at(fd: int, length: int, offset: int, /) -> bytes:
        """Read up to that many bytes from the offset."""
        os.lseek(fd, offset, os.SEEK_SET)
        return os.read(fd, length)

    def write_at(fd: int, data: bytes, offset: int, /) -> int:
        """Write the bytes at the offset."""
        os.lseek(fd, offset, os.SEEK_SET)
        return os.write(fd, data)
