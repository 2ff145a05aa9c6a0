"""Ids, closed sets of words, and the clock that makes ids: plain values that every room shares."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Literal, NewType

LoadId = NewType("LoadId", str)
WorkerId = NewType("WorkerId", str)
RunId = NewType("RunId", str)

WriteDisposition = Literal["append", "replace", "merge", "skip"]
PackageState = Literal["extracted", "normalized", "loaded", "aborted"]
Step = Literal["extract", "normalize", "load", "run", "sync"]
Refresh = Literal["drop_sources", "drop_resources", "drop_data"]
Durability = Literal["full", "none"]
DataType = Literal["text", "double", "bool", "timestamp", "bigint", "binary", "json", "decimal", "wei", "date", "time"]

#: Words a user may write for a disposition; anything else is refused by name.
WRITE_DISPOSITIONS: tuple[WriteDisposition, ...] = ("append", "replace", "merge", "skip")
#: Folders and files are the user's own: rows are as private as the source they came from.
FOLDER_MODE = 0o700
FILE_MODE = 0o600

_last_us = 0
_id_turn = threading.Lock()


def _unlock_in_child() -> None:
    global _id_turn
    _id_turn = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock_in_child)


def new_load_id(clock: Callable[[], float] = time.time) -> LoadId:
    """Make a load id: unix seconds with sixteen decimals, unique among processes and sortable as text.

    Six decimals are the time, strictly rising within a process; ten are random, because a timestamp alone
    collides between processes. It still reads as a float, which is what other readers of the dataset expect.
    """
    global _last_us
    with _id_turn:
        _last_us = max(_last_us + 1, int(clock() * 1_000_000))
        now_us = _last_us
    seconds, micros = divmod(now_us, 1_000_000)
    return LoadId(f"{seconds:010d}.{micros:06d}{_random(8) % 10**10:010d}")


def new_worker_id() -> WorkerId:
    """Make the id of this process as a worker: host, pid, and a random tail (pids are used again)."""
    node = os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")
    host = "".join(c if c.isascii() and c.isalnum() else "-" for c in node)[:32] or "host"
    return WorkerId(f"{host}-{os.getpid()}-{_random(4):08x}")


def new_run_id() -> RunId:
    """Make the id of one call of ``run()``."""
    return RunId(f"{_random(8):016x}")


def _random(count: int) -> int:
    """Give that many random bytes as a number; the module ``secrets`` would cost more to import than all of this."""
    return int.from_bytes(os.urandom(count))
