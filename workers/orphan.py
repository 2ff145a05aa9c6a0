"""No orphans: a worker ends when the process that started it is gone, whatever it is doing."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

#: prctl(2): ask the kernel for a signal at the death of the parent.
_PR_SET_PDEATHSIG = 1
#: What a worker that lost its coordinator ends with.
ORPHANED = 71


def end_with(coordinator_pid: int, lifeline: Any, orphaned: Callable[[], None] = lambda: None) -> None:
    """End this process once its coordinator is gone.

    ``lifeline`` is the reading end of a pipe whose other end only the coordinator holds: it closes when the
    coordinator dies, however it dies. On Linux the kernel is asked as well, for the case that a child of the
    coordinator has inherited the other end.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # Under forkserver the parent is the server, which dies with the coordinator as well; under spawn it is the
        # coordinator itself, and it may have died before the kernel was asked.
        if os.getppid() == 1 != coordinator_pid:
            os._exit(ORPHANED)

    def watch() -> None:
        with suppress(EOFError, OSError):
            lifeline.recv()
        orphaned()
        os._exit(ORPHANED)

    threading.Thread(target=watch, name="oarlock-lifeline", daemon=True).start()
