"""The sweeper: one warm process that does all sweeps which the tests of a session ask for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
#: Every so-manieth point is taken; 1 takes all, which takes the better part of an hour.
EVERY = int(os.environ.get("OARLOCK_SWEEP_EVERY", "17"))
LANES = int(os.environ.get("OARLOCK_SWEEP_LANES", str(min(4, os.cpu_count() or 1))))


class Sweeper:
    """Asks the warm process for sweeps."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def sweep(self, **asked: Any) -> dict[str, Any]:
        """Have one sweep done, and print its line."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"lanes": LANES, "every": EVERY, **asked}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the sweeper ended; its output above says why"
        told: dict[str, Any] = json.loads(line)
        print(told["told"], *told["lines"], sep="\n")
        return told


def clean(told: dict[str, Any]) -> None:
    """Assert that a sweep took points and found nothing."""
    assert told["points"] > 0, "no point was reached: the tracer saw no call"
    assert not any(told["found"].values()), "\n".join(told["lines"])


@contextmanager
def running() -> Iterator[Sweeper]:
    """Start the sweeper, and end it."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / "sweep.py"), "--serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    with process:
        yield Sweeper(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 0
