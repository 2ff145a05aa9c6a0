"""DuckDB: its file made, opened by one process at a time, and its errors sorted.

Never ``open()`` the file of a database here: closing any descriptor of it drops the lock that DuckDB holds on it.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from oarlock.destinations.limits import default_memory_bytes, default_threads
from oarlock.destinations.session import Refused
from oarlock.destinations.turn import turn_at
from oarlock.errors import (
    DestinationBusy,
    DestinationError,
    DestinationTerminalError,
    DestinationTransientError,
    DestinationUndefined,
    ForkedProcess,
    LockTimeout,
)
from oarlock.locking.filesystem import check_locks_hold

Connection = duckdb.DuckDBPyConnection
DatabaseError = duckdb.Error

#: First and longest wait between two tries at a database that a foreign process holds.
RETRY_S = (0.005, 0.1)
#: Options that become settings of the connection, under DuckDB's own names.
SETTINGS = ("threads", "memory_limit", "temp_directory", "checkpoint_threshold", "preserve_insertion_order")

_HELD = re.compile(r"held in (?:(?P<exe>\S.*?) )?\(?PID (?P<pid>\d+)\)?")
#: The statement or its rows are at fault, and would be with the next try.
_REFUSALS = (
    duckdb.DataError,
    duckdb.IntegrityError,
    duckdb.ProgrammingError,
    duckdb.NotSupportedError,
    duckdb.SequenceException,
    duckdb.DependencyException,
)

# Databases that a thread of this process has open. A child forked meanwhile must not open them: DuckDB would hand it
# the parent's instance, whose threads it does not have.
_open: dict[str, int] = {}
_broken_by_fork: set[str] = set()


def _note_fork() -> None:
    _broken_by_fork.update(_open)
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


@dataclass(frozen=True, slots=True)
class Database:
    """One DuckDB database: a file, or a remote one by its ``md:`` address."""

    location: str
    timeout_s: float
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_file(self) -> bool:
        return not self.location.startswith(("md:", "motherduck:"))

    @property
    def path(self) -> Path:
        """The real path: two names of one file share one lock."""
        return Path(os.path.realpath(self.location))

    @property
    def target(self) -> str:
        """What DuckDB is told to open."""
        return str(self.path) if self.is_file else self.location

    def exists(self) -> bool:
        """Whether there is a database; an empty file is none."""
        if not self.is_file:
            return True
        try:
            return self.path.stat().st_size > 0
        except FileNotFoundError:
            return False

    @contextmanager
    def opened(self, why: str, *, read_only: bool = False) -> Iterator[Connection]:
        """Open the database for a block, in turn with all others; make it if it is to be written and not there.

        Raises:
            DestinationBusy: others kept it for longer than the timeout.
            DestinationUndefined: there is none, and it is only to be read.
            DestinationTerminalError: it cannot be opened as a database.
        """
        until = time.monotonic() + self.timeout_s
        if read_only and not self.exists():
            raise DestinationUndefined(f"database {self.location!r}")
        with self._turn(why, read_only=read_only):
            if self.exists():
                self._drop_second_name()
            else:
                self._create()
            connection = self._connect(until, read_only=read_only)
            try:
                _open[self.target] = _open.get(self.target, 0) + 1
                self._settle(connection)
                yield connection
            finally:
                with suppress(DatabaseError):
                    connection.close()
                _open[self.target] -= 1
                if not _open[self.target]:
                    del _open[self.target]

    @contextmanager
    def turn_taken(self, why: str) -> Iterator[None]:
        """Keep others out for a block that opens the database several times."""
        with self._turn(why, read_only=False):
            yield

    @contextmanager
    def _turn(self, why: str, *, read_only: bool) -> Iterator[None]:
        if not self.is_file:
            yield
            return
        if self.target in _broken_by_fork:
            raise ForkedProcess(f"a connection to database {self.location!r}")
        if not self.path.parent.is_dir():
            missing = f"folder {str(self.path.parent)!r} of database {self.path.name!r}"
            if read_only:
                raise DestinationUndefined(missing)
            raise DestinationTerminalError(f"{missing} does not exist; make it, or give another path")
        if not read_only:
            check_locks_hold(self.path.parent)
        turn = turn_at(self.path)
        try:
            turn.take(why, timeout_s=self.timeout_s)
        except LockTimeout as error:
            raise DestinationBusy(self.location, error.waited_s, error.owner or "another worker", None) from error
        except PermissionError:
            # A database that may only be read: nobody loads into it from here, so there is nobody to wait for.
            if not read_only:
                raise
            yield
            return
        try:
            yield
        finally:
            turn.give_back()

    def _connect(self, until: float, *, read_only: bool) -> Connection:
        started, pause_s = time.monotonic(), RETRY_S[0]
        while True:
            try:
                return duckdb.connect(self.target, read_only=read_only)
            except duckdb.ConnectionException as error:
                if not read_only:
                    raise DestinationTransientError(
                        f"database {self.location!r} is open read-only in this very program; close that first"
                    ) from error
                # This program has it open for writing: a reader joins that connection's database.
                read_only = False
                continue
            except duckdb.IOException as error:
                held = _HELD.search(str(error))
                if held is None:
                    raise DestinationTerminalError(
                        f"{self.location!r} cannot be opened: {first_line(error)}"
                    ) from error
                if time.monotonic() + pause_s > until:
                    holder = f"{held['exe'] or 'a process'} (PID {held['pid']})"
                    waited_s = round(time.monotonic() - started, 3)
                    raise DestinationBusy(self.location, waited_s, holder, int(held["pid"])) from error
            time.sleep(pause_s * (0.5 + secrets.randbelow(1000) / 1000))
            pause_s = min(pause_s * 2, RETRY_S[1])

    def _settle(self, connection: Connection) -> None:
        settings: dict[str, Any] = {"threads": default_threads(), "memory_limit": f"{default_memory_bytes() >> 20}MiB"}
        settings |= {name: self.options[name] for name in SETTINGS if self.options.get(name) is not None}
        # A table that is not there must not be looked for among the variables of this program.
        settings["python_enable_replacements"] = False
        settings["TimeZone"] = "UTC"  # the same rows on every machine
        try:
            for name, value in settings.items():
                connection.execute(f"SET {name} = $1", [value])
        except DatabaseError as error:
            raise DestinationTerminalError(
                f"duckdb option {name} = {value!r} was refused: {first_line(error)}"
            ) from error

    def _drop_second_name(self) -> None:
        """Take away the name that the database had while it was made, where its maker died before doing so."""
        if not self.is_file or self.path.stat().st_nlink == 1:
            return
        for left in self.path.parent.glob(f".{glob_safe(self.path.name)}.new-*"):
            with suppress(OSError):  # gone meanwhile, or a reader that may not write here
                if left.samefile(self.path):
                    left.unlink()

    def _create(self) -> None:
        """Make an empty database beside, whole and on disk, and give it its name: a crash leaves all or nothing."""
        path = self.path
        for left in path.parent.glob(f".{glob_safe(path.name)}.new-*"):
            left.unlink(missing_ok=True)
        beside = path.parent / f".{path.name}.new-{secrets.token_hex(4)}"
        try:
            with duckdb.connect(str(beside)) as connection:
                connection.execute("FORCE CHECKPOINT")
        except DatabaseError as error:
            beside.unlink(missing_ok=True)
            raise DestinationTerminalError(f"database {self.location!r} cannot be made: {first_line(error)}") from error
        if Path(f"{beside}.wal").exists():
            raise DestinationTransientError(f"database {self.location!r} cannot be made: its checkpoint failed")
        log = Path(f"{path}.wal")
        if log.exists():
            # A log of a database that is gone: it belongs to no other, and must not be replayed into this one.
            log.rename(log.with_name(f"{log.name}.orphan-{secrets.token_hex(4)}"))
        _sync(beside)
        _name(beside, path)
        _sync(path.parent)


def _name(beside: Path, path: Path) -> None:
    """Give a new database its name, unless another program made one there meanwhile."""
    try:
        path.hardlink_to(beside)
    except FileExistsError:
        if path.stat().st_size == 0:
            beside.rename(path)
    except OSError:  # a file system without hard links
        beside.rename(path)
    beside.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise DestinationTransientError(f"{str(path)!r} could not be brought to disk: {error}") from error
    finally:
        os.close(descriptor)


def glob_safe(name: str) -> str:
    """Give a pattern that matches a name and nothing else."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def run(connection: Connection, sql: str, args: list[Any]) -> Connection:
    """Run one statement of the loader.

    Raises:
        Refused: for what it says or holds.
        DestinationError: for another reason.
    """
    try:
        return connection.execute(sql, args) if args else connection.execute(sql)
    except DatabaseError as error:
        raise sorted_error(error) from error


def is_query(connection: Connection, sql: str) -> bool:
    """Whether a text is one statement that only asks: it may then be bound first and run later."""
    try:
        statements = connection.extract_statements(sql)
    except DatabaseError:
        return False
    return len(statements) == 1 and statements[0].type == duckdb.StatementType.SELECT


def sorted_error(error: BaseException) -> DestinationError | Refused:
    """Tell a refused statement from a database that cannot work now."""
    if isinstance(error, _REFUSALS):
        return Refused(first_line(error))
    return DestinationTransientError(f"duckdb: {first_line(error)}")


def told_error(error: BaseException) -> DestinationError:
    """Say to a user what happened to a query of their own."""
    text = str(error)
    if isinstance(error, duckdb.CatalogException) and "does not exist" in text:
        return DestinationUndefined(first_line(error).removeprefix("Catalog Error: ").removesuffix(" does not exist!"))
    if isinstance(error, _REFUSALS):
        return DestinationTerminalError(text)
    return DestinationTransientError(text)


def first_line(error: BaseException) -> str:
    """Give what an error says, without the lines that point into the statement."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
