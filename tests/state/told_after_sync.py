"""Processes that each count in one store and say "told" after every transaction: ``FOLDER PROCESSES TRANSACTIONS``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from oarlock.state.store import SqliteStore


def count(folder: Path, number: int, transactions: int) -> int:
    """Count; the exit code."""
    try:
        store = SqliteStore.open(folder, worker=f"w{number}")
        for _ in range(transactions):
            with store.transaction("count") as tx:
                tx.put(("counts", str(number)), tx.get(("counts", str(number)), 0) + 1)
            os.write(1, b"told\n")
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
        return 1
    store.close()
    return 0


def main() -> int:
    folder, processes, transactions = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    SqliteStore.create(folder, pipeline_name="p", worker="creator").close()
    pids = []
    for number in range(processes):
        pid = os.fork()
        if pid == 0:
            os._exit(count(folder, number, transactions))
        pids.append(pid)
    return max(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids)


if __name__ == "__main__":
    sys.exit(main())
