"""Run a pipeline on a disk that fills up, then give the disk room and run again: ``python full_disk.py SIZE…`` (bytes).

The disk is a small tmpfs in a mount namespace of this process, which most systems allow everyone. Prints one JSON
object a size; exits with 77 where no such disk can be had.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from boxes import Box
from programs import ALL
from reading import Reader
from runs import NewColumns
from sweeping import warm
from tracing import fork

#: What a refused disk means to a test.
NOT_ALLOWED = 77
_NEW_MOUNTS, _NEW_USER = 0x20000, 0x10000000
_REMOUNT, _PRIVATE, _RECURSIVE = 32, 1 << 18, 16384
#: Room enough for everything.
ROOMY = 256 * 1024 * 1024

_libc = ctypes.CDLL(None, use_errno=True)


def enter_namespace() -> None:
    """Get mounts of one's own; as root they are had at once, else with a user namespace."""
    user, group = os.getuid(), os.getgid()
    if _libc.unshare(_NEW_MOUNTS) != 0:
        _check(_libc.unshare(_NEW_MOUNTS | _NEW_USER))
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _check(_libc.mount(b"none", b"/", None, _PRIVATE | _RECURSIVE, None))


def set_size(folder: Path, size: int, *, again: bool = False) -> None:
    """Put a disk of a size at a folder, or give the one that is there another size."""
    options = f"size={size},mode=0700".encode()
    _check(_libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", _REMOUNT if again else 0, options))


def _check(answer: int) -> None:
    if answer:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def try_size(top: Path, size: int) -> dict[str, Any]:
    """Run on a disk of one size until it is full; then with room; and judge what is there."""
    box, scenario = Box(top), NewColumns()
    shutil.rmtree(box.here, ignore_errors=True)
    box.here.mkdir()
    set_size(box.here, ROOMY)
    box.database.parent.mkdir()
    box.home.mkdir(exist_ok=True)
    first = fork(_in(box, scenario.prepare))
    assert first.finished, first.error
    used = sum(path.stat().st_blocks * 512 for path in box.here.rglob("*") if path.is_file())
    set_size(box.here, used + size, again=True)
    full = fork(_in(box, scenario.act))
    set_size(box.here, ROOMY, again=True)
    reader = Reader(box.folder, box.database)
    findings = []
    for step in (scenario.restart, scenario.again):
        ended = fork(_in(box, step))
        if not ended.finished:
            findings.append(("stuck", ended.error))
            break
        facts = reader.read()
        findings += scenario.after_restart(facts, full.said)
    else:
        findings += scenario.after_all(facts, [ended.pid])
    reader.close()
    _check(_libc.umount(os.fsencode(box.here)))
    raised = full.error.strip().splitlines()[-1] if full.error else None
    return {"room": size, "raised": raised, "finished": full.finished, "said": full.said == [ALL], "found": findings}


def _in(box: Box, step: Callable[[Box, Callable[[Any], None]], None]) -> Callable[[Callable[[Any], None]], None]:
    def body(say: Callable[[Any], None]) -> None:
        box.enter()
        step(box, say)

    return body


def main() -> int:
    """Try each size."""
    top = Path(tempfile.mkdtemp(prefix="oarlock-disk-"))
    try:
        try:
            enter_namespace()
            (top / "box").mkdir()
            set_size(top / "box", ROOMY)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EINVAL, errno.ENOSPC, errno.EUSERS):
                raise
            print(f"no disk of one's own: {error}", file=sys.stderr)
            return NOT_ALLOWED
        _check(_libc.umount(os.fsencode(top / "box")))
        warm(NewColumns(), top / "warm")
        for size in map(int, sys.argv[1:]):
            print(json.dumps(try_size(top, size)), flush=True)
        return 0
    finally:
        shutil.rmtree(top, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
