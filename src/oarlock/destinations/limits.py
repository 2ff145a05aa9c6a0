"""How much of the machine one process may take: processors and memory, as the kernel grants them."""

from __future__ import annotations

import os
from pathlib import Path

#: A group of packages rarely feeds more threads than this, and each thread takes memory of its own.
MAX_THREADS = 4
#: One worker's part of the memory: the others, and their rows, need the rest.
MEMORY_PART = 4
#: Below this a database cannot sort or compress anything.
MIN_MEMORY_BYTES = 256 * 1024 * 1024


def processors() -> int:
    """Count the processors that this process may use: its affinity, and the quota of its control group."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _read("/sys/fs/cgroup/cpu.max").split()
    if len(quota) == 2 and quota[0].isdigit() and int(quota[1]) > 0:
        allowed = min(allowed, -(-int(quota[0]) // int(quota[1])))
    return max(1, allowed)


def memory_bytes() -> int:
    """Give the memory that this process may use: the machine's, or the limit of its control group."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _read("/sys/fs/cgroup/memory.max").strip()
    return min(total, int(limit)) if limit.isdigit() else total


def default_threads() -> int:
    """Threads for one worker's database."""
    return min(MAX_THREADS, processors())


def default_memory_bytes() -> int:
    """Memory for one worker's database."""
    return max(MIN_MEMORY_BYTES, memory_bytes() // MEMORY_PART)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
