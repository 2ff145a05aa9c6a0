"""File systems: whether locks hold in a folder, before anything is trusted to them.

Types known to keep native locks are accepted by name, network types are refused by name, and for the rest two real
processes try it: this one holds a file, another must not get it, and must get it once it is free. The answer is kept
in the folder, with the device it was found on.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import orjson
from filelock import lock_descriptor, unlock_descriptor

from oarlock.errors import UnsupportedFileSystem
from oarlock.locking.files import open_for_reading, open_private


def _words(line: str) -> frozenset[str]:
    return frozenset(line.split())


#: Set to 1 to skip the check.
ALLOW_VARIABLE = "OARLOCK_ALLOW_UNSAFE_FS"
#: The kept answer, in the folder.
ANSWER_NAME = "filesystem.json"
#: Local file systems of Linux, macOS and the BSDs whose locks are the kernel's own.
HOLDING = _words("ext2 ext3 ext4 xfs btrfs tmpfs ramfs overlay zfs f2fs bcachefs jfs reiserfs nilfs2 apfs hfs ufs")
#: Here locks are the server's, a user program's, or nobody's; and a write-ahead log needs one memory for all.
NOT_HOLDING = _words(
    "nfs nfs3 nfs4 cifs smb smb2 smb3 smbfs 9p afs afpfs webdav ncpfs coda ceph glusterfs lustre beegfs gpfs "
    "davfs sshfs vboxsf prl_fs vmhgfs"
)
#: User-space file systems are refused, but for these, which lay a local folder over another and are tried.
TRIED_FUSE = frozenset(("fuse.fuse-overlayfs", "fuse.overlayfs"))
#: Where the kernel lists what is mounted where.
MOUNTS = Path("/proc/self/mountinfo")
#: A loaded machine may take long to start a process.
_ANSWER_WITHIN_S = 30.0

#: What the other process does: it says for each line it reads whether it got the lock.
_OTHER = """
import fcntl, os, sys
while os.read(0, 1):
    fd = os.open(sys.argv[1], os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        said = b"1"
    except BlockingIOError:
        said = b"0"
    except OSError:
        said = b"?"
    os.close(fd)
    os.write(1, said)
"""


def check_locks_hold(folder: Path) -> None:
    """Refuse a folder on a file system where native locks do not hold.

    Raises:
        UnsupportedFileSystem: with what was found. ``OARLOCK_ALLOW_UNSAFE_FS=1`` skips the check.
    """
    if os.environ.get(ALLOW_VARIABLE) == "1":
        return
    kind = filesystem_of(folder)
    if kind in HOLDING:
        return
    if kind in NOT_HOLDING or (kind.startswith("fuse") and kind != "fuseblk" and kind not in TRIED_FUSE):
        raise UnsupportedFileSystem(folder, f"file system {kind}")
    answer = folder / ANSWER_NAME
    device = os.stat(folder).st_dev
    if _kept(answer) == [kind, device]:
        return
    found = try_two_processes(folder)
    if found:
        raise UnsupportedFileSystem(folder, f"{found} on file system {kind or 'of unknown type'}")
    with suppress(OSError):  # a full disk: then the next process tries again
        _keep(answer, orjson.dumps([kind, device]))


def filesystem_of(folder: Path) -> str:
    """Name the type of the file system the folder is on; empty where the system does not tell."""
    try:
        lines = MOUNTS.read_bytes().splitlines()
    except OSError:
        return ""
    path = os.fsencode(os.path.realpath(folder))
    best, kind = b"", ""
    for line in lines:
        left, _, right = line.partition(b" - ")
        fields = left.split()
        if len(fields) < 5 or not right:
            continue
        point = _unescape(fields[4])
        # A later mount on the same point hides the earlier.
        if len(point) >= len(best) and (path == point or path.startswith(point.rstrip(b"/") + b"/")):
            best, kind = point, right.split()[0].decode("ascii", "replace")
    return kind


def _unescape(point: bytes) -> bytes:
    r"""Read a mount point as the kernel writes it.

    >>> _unescape(rb"/mnt/my\040disk")
    b'/mnt/my disk'
    """
    for written, meant in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        point = point.replace(written, meant)
    return point


def try_two_processes(folder: Path) -> str:
    """Let another process try for a lock that this one holds, and again once it is free; what failed, or nothing."""
    if not hasattr(os, "posix_spawn") or not sys.executable:
        return ""
    path = folder / f".locks-{os.getpid()}-{time.monotonic_ns()}"
    fd = open_private(path)
    try:
        lock_descriptor(fd, blocking=False)
        with_lock, without_lock = _ask_other(path, fd)
    except OSError as error:
        return f"a native lock could not be taken ({error.strerror})"
    finally:
        os.close(fd)
        with suppress(OSError):
            path.unlink()
    if with_lock != b"0":
        return "another process got a lock that was held"
    return "" if without_lock == b"1" else "another process did not get a lock that was free"


def _ask_other(path: Path, fd: int) -> tuple[bytes, bytes]:
    to_other, from_us = os.pipe()
    to_us, from_other = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, to_other, 0), (os.POSIX_SPAWN_DUP2, from_other, 1)]
    command = [sys.executable, "-I", "-S", "-c", _OTHER, os.fspath(path)]
    pid = os.posix_spawn(sys.executable, command, dict(os.environ), file_actions=actions)
    os.close(to_other)
    os.close(from_other)
    try:
        with_lock = _ask(from_us, to_us)
        unlock_descriptor(fd)
        return with_lock, _ask(from_us, to_us)
    finally:
        os.close(from_us)
        os.close(to_us)
        with suppress(OSError):  # a stopped process would not end by itself; ours is of no more use
            os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)


def _ask(from_us: int, to_us: int) -> bytes:
    os.write(from_us, b"\n")
    readable, _, _ = select.select([to_us], [], [], _ANSWER_WITHIN_S)
    return os.read(to_us, 1) if readable else b""


def _kept(answer: Path) -> object:
    fd = open_for_reading(answer)
    if fd is None:
        return None
    try:
        return orjson.loads(os.read(fd, 256))
    except orjson.JSONDecodeError:
        return None
    finally:
        os.close(fd)


def _keep(answer: Path, line: bytes) -> None:
    fd = open_private(answer)
    try:
        os.ftruncate(fd, 0)
        os.write(fd, line)
    finally:
        os.close(fd)
