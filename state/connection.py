"""One SQLite connection: how it is opened, how its errors are told, and how it is left alone after a fork."""

from __future__ import annotations

import os
import sqlite3
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from oarlock.errors import ForkedProcess, LockTimeout, OarlockError, StoreDamaged, StorePoisoned, StoreUnavailable
from oarlock.state.queries import QUERIES

#: Long enough for another process to recover a killed one's log, or to close as the last; nothing else waits here.
BUSY_S = 2.0
#: NORMAL: the log is synced before its content moves into the database; commits are synced by ``sync.py``.
_SETTINGS = ("synchronous=NORMAL", "wal_autocheckpoint=0", "trusted_schema=OFF", "cell_size_check=ON")

_FSYNC_ERRORS = (sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC)
#: A disk with less room is as good as full.
_LITTLE_ROOM_BYTES = 1024 * 1024
_REASONS = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "it may not be written to",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_PERM: "access is denied",
    sqlite3.SQLITE_IOERR: "the disk reported an error",
    sqlite3.SQLITE_NOMEM: "memory ran out",
}


class Connection:
    """A connection that asks by name, and tells what went wrong in oarlock's own errors."""

    def __init__(self, path: Path, *, busy_s: float = BUSY_S) -> None:
        self.path = path
        self._busy_s = busy_s
        try:
            self._sqlite = sqlite3.connect(
                f"{path.as_uri()}?mode=rw", timeout=busy_s, isolation_level=None, check_same_thread=False, uri=True
            )
            for setting in _SETTINGS:
                self._sqlite.execute(f"PRAGMA {setting}")
        except sqlite3.Error as error:
            raise explained(error, path, busy_s) from error
        self._execute: Callable[..., sqlite3.Cursor] = self._sqlite.execute
        #: The process was forked since: the connection is the parent's.
        self.is_inherited = False
        _open.add(self)

    def rows(self, name: str, *args: Any) -> list[tuple[Any, ...]]:
        """Ask a query of ``queries.sql`` for all its rows."""
        try:
            return self._execute(QUERIES[name], args).fetchall()
        except sqlite3.Error as error:
            raise explained(error, self.path, self._busy_s) from error

    def row(self, name: str, *args: Any) -> tuple[Any, ...] | None:
        """Ask a query of ``queries.sql`` for its first row."""
        try:
            found: tuple[Any, ...] | None = self._execute(QUERIES[name], args).fetchone()
        except sqlite3.Error as error:
            raise explained(error, self.path, self._busy_s) from error
        return found

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        """Run one statement that is no query of ``queries.sql``: BEGIN, COMMIT, a PRAGMA, a migration."""
        try:
            return self._execute(sql).fetchall()
        except sqlite3.Error as error:
            raise explained(error, self.path, self._busy_s) from error

    def pin(self) -> int:
        """Begin to see the store as it is now, and tell by a number whether it has changed since the last time."""
        try:
            self._execute("BEGIN")
            return int(self._execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error as error:
            raise explained(error, self.path, self._busy_s) from error

    def rollback(self) -> None:
        """End a transaction without a trace, also where SQLite has done so already."""
        if self._sqlite.in_transaction and not self.is_inherited:
            self.run("ROLLBACK")

    def close(self) -> None:
        """Close the connection; the last one of all moves the log into the database."""
        if not self.is_inherited:
            _open.discard(self)
            self._sqlite.close()

    def leave_alone(self) -> None:
        """Never be used or closed again: what a forked child does with its parent's connections."""
        self.is_inherited = True
        self._execute = _refuse_inherited

    def __del__(self) -> None:
        sqlite = getattr(self, "_sqlite", None)
        if sqlite is not None:
            sqlite.close()


def explained(error: sqlite3.Error, path: Path, waited_s: float) -> Exception:
    """Turn an error of SQLite into the error of oarlock that says what it means for the store."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return error
    primary = code & 0xFF
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or "no such" in str(error):
        return StoreDamaged(path, str(error))
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL):
        return LockTimeout(str(path), waited_s, "a program other than oarlock")
    if code in _FSYNC_ERRORS:
        return StorePoisoned(path, str(error))
    if primary in _REASONS:
        return StoreUnavailable(path, f"{_REASONS[primary]} ({error}{_room(path)})")
    return error


def _room(path: Path) -> str:
    """Tell how much room is left where there is next to none: SQLite has several names for a full disk."""
    try:
        found = os.statvfs(path.parent)
    except (OSError, AttributeError):
        return ""
    left = found.f_bavail * found.f_frsize
    return f"; its disk has {left} bytes left" if left < _LITTLE_ROOM_BYTES else ""


def is_busy(error: OarlockError) -> bool:
    """Tell whether an error says that somebody outside has SQLite's own lock."""
    return isinstance(error, LockTimeout) and isinstance(error.__cause__, sqlite3.Error)


def _refuse_inherited(*args: object) -> sqlite3.Cursor:
    raise ForkedProcess("a transaction or snapshot of the state store")


#: Connections of this process. A forked child must neither use nor close them: it shares memory and file offsets
#: with the parent, and a close in the child would undo a transaction that the parent is writing.
_open: weakref.WeakSet[Connection] = weakref.WeakSet()


def _leave_alone() -> None:
    left = list(_open)
    _open.clear()
    if not left:
        return
    import ctypes  # only a child that was forked with open connections pays for it

    for connection in left:
        connection.leave_alone()
        # One reference more than anybody holds: not even the end of the interpreter closes it.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_alone)
