"""System calls that change files, per machine, and the kernel filter that stops a traced process at no others."""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: Calls by what they do, each with its number on x86_64 and aarch64; None where a machine has no such call.
_NUMBERS: Mapping[str, tuple[int | None, int | None]] = {
    "write": (1, 64),
    "pwrite64": (18, 68),
    "writev": (20, 66),
    "pwritev": (296, 70),
    "pwritev2": (328, 287),
    "sendfile": (40, 71),
    "copy_file_range": (326, 285),
    "open": (2, None),
    "openat": (257, 56),
    "creat": (85, None),
    "truncate": (76, 45),
    "ftruncate": (77, 46),
    "fallocate": (285, 47),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "link": (86, None),
    "linkat": (265, 37),
    "symlink": (88, None),
    "symlinkat": (266, 36),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "rmdir": (84, None),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fsync": (74, 82),
    "fdatasync": (75, 83),
    "msync": (26, 227),
    "flock": (73, 32),
    "fcntl": (72, 25),
}
#: Calls that bring bytes into a file: they can be torn, and a full disk refuses them.
WRITES = frozenset(("write", "pwrite64"))
#: Calls that need room on the disk.
GROWS = WRITES | frozenset(
    (
        *("writev", "pwritev", "pwritev2", "sendfile", "copy_file_range", "open", "openat", "creat", "ftruncate"),
        *("fallocate", "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "mkdir", "mkdirat"),
    )
)
#: A dead process loses nothing by them, and they change no file: no point to kill at, but one to fail at.
SYNCS = frozenset(("fsync", "fdatasync", "msync"))
#: They bracket what is written through mapped memory, which no call tells of.
LOCKS = frozenset(("flock", "fcntl"))
#: Which argument is a descriptor, and which are paths (after a folder's descriptor where the name ends in "at").
_ON_DESCRIPTORS = {
    **dict.fromkeys(("write", "pwrite64", "writev", "pwritev", "pwritev2", "sendfile", "ftruncate", "fallocate"), 0),
    **dict.fromkeys(("fchmod", "fsync", "fdatasync", "flock", "fcntl"), 0),
    "copy_file_range": 2,
}
_PATHS = {
    **dict.fromkeys(("open", "creat", "truncate", "unlink", "mkdir", "rmdir", "chmod"), (0,)),
    **dict.fromkeys(("rename", "link", "symlink"), (0, 1)),
    **dict.fromkeys(("openat", "unlinkat", "mkdirat", "fchmodat"), (1,)),
    **dict.fromkeys(("renameat", "renameat2", "linkat"), (1, 3)),
    "symlinkat": (0, 2),
}

#: Stands for the working directory where a folder's descriptor is asked for: -100.
_AT_CWD = 2**32 - 100
_RET_TRACE, _RET_ALLOW = 0x7FF00000, 0x7FFF0000
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16
_MAKES = os.O_CREAT | os.O_TRUNC
_LOCK_COMMANDS = (fcntl.F_SETLK, fcntl.F_SETLKW, getattr(fcntl, "F_OFD_SETLK", 37), getattr(fcntl, "F_OFD_SETLKW", 38))


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a kernel keeps the number, the arguments and the result of a call in the registers of a stopped thread."""

    name: str
    audit_arch: int
    column: int
    registers: int
    number_at: int
    arguments_at: tuple[int, ...]
    result_at: int

    def names(self) -> dict[int, str]:
        """Give the traced calls by number."""
        found = {numbers[self.column]: name for name, numbers in _NUMBERS.items()}
        return {number: name for number, name in found.items() if number is not None}

    def filter(self) -> ctypes.Array[ctypes.c_char]:
        """Build the program that has the kernel stop the thread at each call that changes files."""
        made = [_step(_LOAD, _ARCH_AT), _step(_EQUAL, self.audit_arch, 1, 0), _step(_RETURN, _RET_ALLOW)]
        made.append(_step(_LOAD, _NUMBER_AT))
        for number, name in self.names().items():
            test = _test(name)
            made += [_step(_EQUAL, number, 0, len(test)), *test]
        made.append(_step(_RETURN, _RET_ALLOW))
        return ctypes.create_string_buffer(b"".join(made), len(made) * 8)


def _test(name: str) -> list[bytes]:
    if name in ("open", "openat"):
        flags = 1 if name == "open" else 2
        steps = [_step(_LOAD, _ARGUMENTS_AT + 8 * flags), _step(_ANY_BIT, _MAKES, 0, 1), _step(_RETURN, _RET_TRACE)]
        return [*steps, _step(_RETURN, _RET_ALLOW)]
    if name == "fcntl":
        steps = [_step(_LOAD, _ARGUMENTS_AT + 8)]
        for command in _LOCK_COMMANDS:
            steps += [_step(_EQUAL, command, 0, 1), _step(_RETURN, _RET_TRACE)]
        return [*steps, _step(_RETURN, _RET_ALLOW)]
    return [_step(_RETURN, _RET_TRACE)]


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)


_MACHINES = {
    "x86_64": Machine("x86_64", 0xC000003E, 0, 27, 15, (14, 13, 12, 7, 9, 8), 10),
    "aarch64": Machine("aarch64", 0xC00000B7, 1, 34, 8, (0, 1, 2, 3, 4, 5), 0),
}


def this_machine() -> Machine | None:
    """Give the machine this runs on; None where calls cannot be traced."""
    return _MACHINES.get(platform.machine()) if platform.system() == "Linux" else None


def files_of(name: str, arguments: Sequence[int], thread: int) -> list[str]:
    """Name the files that a call is about, as the stopped thread sees them."""
    if name in _ON_DESCRIPTORS:
        return [_descriptor(thread, arguments[_ON_DESCRIPTORS[name]])]
    found = []
    for at in _PATHS.get(name, ()):
        path = _path(thread, arguments[at])
        if not path.startswith("/"):
            path = os.path.join(_folder(thread, arguments[at - 1] if "at" in name else None), path)
        found.append(path)
    return found


def _folder(thread: int, descriptor: int | None) -> str:
    """Tell what a relative path is relative to."""
    if descriptor is None or descriptor & 0xFFFFFFFF == _AT_CWD:
        return os.readlink(f"/proc/{thread}/cwd")
    return _descriptor(thread, descriptor & 0xFFFFFFFF)


def _descriptor(thread: int, number: int) -> str:
    try:
        return os.readlink(f"/proc/{thread}/fd/{number}")
    except OSError:
        return f"descriptor {number}"


def _path(thread: int, address: int) -> str:
    try:
        with open(f"/proc/{thread}/mem", "rb", buffering=0) as memory:
            memory.seek(address)
            # A path may end right before memory that is not there: one page at a time.
            text = memory.read(4096 - address % 4096)
            if b"\0" not in text:
                text += memory.read(4096)
    except OSError:
        return "?"
    return os.fsdecode(text.partition(b"\0")[0])
