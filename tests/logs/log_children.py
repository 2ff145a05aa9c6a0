"""Children of a test: forked processes that run one function, and are waited for with a deadline."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable

#: A child that takes longer than this hangs.
DEADLINE_S = 20.0


def fork(run: Callable[[], object]) -> int:
    """Run a function in a forked child; its pid. An error there ends the child with exit code 1."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        run()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def wait(pid: int, deadline_s: float = DEADLINE_S) -> int:
    """Wait for a child; its exit code, or minus the signal that ended it. One that hangs is killed, and is an error."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise AssertionError(f"child {pid} did not end within {deadline_s} s")
