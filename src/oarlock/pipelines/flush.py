"""Flush: what ``run(…, wait=False)`` left in the spool is loaded at the latest when its process ends."""

from __future__ import annotations

import atexit
import os
import sys
from typing import TYPE_CHECKING

from oarlock.errors import OarlockError
from oarlock.settings import redact

if TYPE_CHECKING:
    from oarlock.pipelines.pipeline import Pipeline

_kept: set[Pipeline] = set()  # strong: a pipeline that nobody holds any more still has rows to load
_registered_pid = 0


def remember(pipeline: Pipeline) -> None:
    """Flush this pipeline when its process ends."""
    global _registered_pid
    if _registered_pid != os.getpid():
        _registered_pid = os.getpid()
        _kept.clear()
        _register()
    _kept.add(pipeline)


def _register() -> None:
    atexit.register(_flush_all, os.getpid())
    # Children of multiprocessing end without running atexit functions; its own finalizers they do run.
    for module in ("multiprocessing.util", "multiprocess.util"):
        util = sys.modules.get(module)
        if util is not None:
            util.Finalize(None, _flush_all, args=(os.getpid(),), exitpriority=100)


def _flush_all(pid: int) -> None:
    if pid != os.getpid():
        return
    while _kept:
        flush(_kept.pop(), at_exit=True)


def flush(pipeline: Pipeline, *, at_exit: bool = False) -> list[str]:
    """Load what this pipeline object left in the spool; give the load ids.

    At the end of a process an error is logged, not raised: the packages stay pending, and the next run loads them.
    """
    wanted = list(pipeline._unflushed)
    if not wanted:
        return []
    from oarlock.pipelines.running import loader_of

    try:
        done = loader_of(pipeline).load(wanted, timeout_s=pipeline.knobs.flush_timeout_s)
    except OarlockError as error:
        pipeline.member.told("group.postponed", packages=len(wanted), error=redact(str(error)))
        if not at_exit:
            raise
        sys.stderr.write(
            f"oarlock: {len(wanted)} package(s) of pipeline {pipeline.pipeline_name!r} stay pending: {error}\n"
        )
        return []
    pipeline._unflushed.clear()
    _kept.discard(pipeline)
    return done.load_ids
