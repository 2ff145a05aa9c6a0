"""Owners: who holds a lock, since when and what for, in words for a person."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from oarlock.locking.files import Identity


@dataclass(frozen=True, slots=True)
class Owner:
    """The holder of a lock; ``epoch`` is 0 for a foreign program that took it without leaving a record."""

    pid: int
    #: Start of the process in seconds after boot, 0 where the system does not tell: pids are used again.
    started: float
    host: str
    worker: str
    #: Program and script without arguments: those may carry secrets.
    command: str
    why: str
    #: Unix time of the acquisition.
    since: float
    epoch: int

    def __str__(self) -> str:
        """Say it in one line.

        >>> str(Owner(4711, 0.0, "host", "", "python load.py", "commit package", 0.0, 0))
        "pid 4711 (python load.py) on host, for 'commit package'"
        """
        worker = f"worker {self.worker}, " if self.worker else ""
        command = f" ({self.command})" if self.command else ""
        since = f" since {_clock(self.since)}" if self.since else ""
        why = f", for {self.why!r}" if self.why else ""
        return f"{worker}pid {self.pid}{command} on {self.host}{since}{why}"


def _clock(moment: float) -> str:
    then, now = time.localtime(moment), time.localtime()
    return time.strftime("%H:%M:%S" if then[:3] == now[:3] else "%Y-%m-%d %H:%M:%S", then)


def this_host() -> str:
    """Name this machine as owners' records do."""
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")


def this_command() -> str:
    """Name this program without its arguments."""
    return _without_arguments(sys.orig_argv)


def started_at(pid: int) -> float:
    """Tell when the process started, in seconds after boot; 0 if it is gone or the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        # The numbers follow the command in brackets; the 22nd field of the whole line is the start.
        return int(fields[19]) / float(os.sysconf("SC_CLK_TCK"))
    except (OSError, IndexError, ValueError):
        return 0.0


def is_same_process(pid: int, started: float) -> bool:
    """Tell whether the process of this pid is the one that started then, as far as the system lets anyone know."""
    found = started_at(pid)
    return found == started or not found or not started


def holders(identity: Identity, *, likely: int) -> list[int] | None:
    """List the pids that hold the native lock, as the kernel tells without being disturbed; None where it does not.

    A file system may show another device number here than to ``stat``. So the pid that is likely, because it left a
    record, is believed by the inode number alone.
    """
    try:
        lines = Path("/proc/locks").read_text("ascii", "replace").splitlines()
    except OSError:
        return None
    device, inode = identity
    found = []
    for line in lines:
        fields = line.split()
        # "1: FLOCK  ADVISORY  WRITE 4711 fe:00:1234 0 EOF"; those who wait have an arrow for their second field.
        if len(fields) < 6 or fields[1] != "FLOCK" or not fields[4].isdigit():
            continue
        major, minor, number = fields[5].split(":")
        pid = int(fields[4])
        same_device = (int(major, 16), int(minor, 16)) == (os.major(device), os.minor(device))
        if int(number) == inode and (same_device or pid == likely):
            found.append(pid)
    return found


def foreign(pid: int) -> Owner:
    """Describe a holder that left no record."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        command = []
    return Owner(pid, started_at(pid), this_host(), "", _without_arguments(command), "", 0.0, 0)


def _without_arguments(command: Sequence[str]) -> str:
    """Keep program and script of a command line.

    >>> _without_arguments(["/usr/bin/python3", "-X", "dev", "/home/me/load.py", "--password", "secret"])
    'python3 load.py'
    >>> _without_arguments(["python", "-c", "print('secret')"])
    'python -c'
    >>> _without_arguments(["python", "-m", "oarlock", "load"])
    'python -m oarlock'
    >>> _without_arguments(["/usr/bin/psql", "postgresql://me:secret@host/db"])
    'psql'
    """
    if not command or not command[0]:
        return ""
    words = [os.path.basename(command[0])]
    if not words[0].startswith(("python", "pypy")):
        return words[0][:80]
    rest = iter(command[1:])
    for word in rest:
        if word in ("-X", "-W"):
            next(rest, None)
        elif word == "-c":
            words.append(word)
            break
        elif word == "-m":
            words += [word, next(rest, "")]
            break
        elif word and not word.startswith("-"):
            words.append(os.path.basename(word))
            break
    return " ".join(words)[:80]
