"""Small files that are there whole or not at all, private whatever the umask, and on disk when the call returns."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from oarlock.errors import StoreDamaged
from oarlock.values import FILE_MODE, FOLDER_MODE


def make_folder(folder: Path) -> None:
    """Make a private folder, and those above it that are missing; one that is there is left as it is.

    Raises:
        StoreDamaged: The folder is a symbolic link.
    """
    if folder.is_symlink():
        raise StoreDamaged(folder, "the working folder is a symbolic link")
    if folder.is_dir():
        return
    if not folder.parent.is_dir():
        make_folder(folder.parent)
    try:
        folder.mkdir(FOLDER_MODE)
    except FileExistsError:
        return
    folder.chmod(FOLDER_MODE)
    sync_folder(folder.parent)


def make_file(path: Path) -> None:
    """Make an empty private file; one that is there is left as it is."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags, FILE_MODE)
    except FileExistsError:
        return
    try:
        os.fchmod(descriptor, FILE_MODE)
    finally:
        os.close(descriptor)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file aside, sync it, and rename it into place. The caller sees to it that only one does so at a time."""
    aside = path.with_name(path.name + ".part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(aside, flags, FILE_MODE)
    try:
        os.fchmod(descriptor, FILE_MODE)
        written = 0
        while written < len(content):
            written += os.write(descriptor, content[written:])
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    aside.replace(path)
    sync_folder(path.parent)


def read_small(path: Path, limit_bytes: int) -> bytes:
    """Read a small file that must be no symbolic link.

    Raises:
        FileNotFoundError: It is not there.
        StoreDamaged: It is a link, no regular file, or longer than it can be.
    """
    refuse_link(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        content = os.read(descriptor, limit_bytes + 1)
    finally:
        os.close(descriptor)
    if len(content) > limit_bytes:
        raise StoreDamaged(path, f"it is longer than {limit_bytes} bytes")
    return content


def refuse_link(path: Path) -> os.stat_result:
    """Raise StoreDamaged where a regular file should be and something else is; FileNotFoundError where nothing is."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise StoreDamaged(path, "it is a symbolic link" if stat.S_ISLNK(found.st_mode) else "it is no regular file")
    return found


def sync_folder(folder: Path) -> None:
    """Bring a folder's list of names to disk."""
    _sync(folder, os.O_DIRECTORY)


def sync_file(path: Path) -> None:
    """Bring a file to disk that nobody has open: closing it would drop the locks of who has."""
    _sync(path, os.O_NOFOLLOW)


def _sync(path: Path, flag: int) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flag)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
