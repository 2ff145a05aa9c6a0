"""Postgres: connections, and its errors sorted by what they call for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from oarlock.destinations.addresses import PostgresAddress
from oarlock.destinations.session import Again, Refused
from oarlock.errors import (
    DestinationError,
    DestinationTerminalError,
    DestinationTransientError,
    DestinationUndefined,
)

Connection = psycopg.Connection[TupleRow]
DatabaseError = psycopg.Error

#: Seconds after which a connection that is not answered is given up.
CONNECT_TIMEOUT_S = 15
#: SQLSTATE classes where the statement or its rows are at fault, and would be with the next try.
REFUSED_CLASSES = frozenset(("0A", "21", "22", "23", "2B", "42", "44", "54"))
#: SQLSTATEs that end a transaction only to keep two apart: serialization failure, deadlock.
AGAIN_STATES = frozenset(("40001", "40P01"))
#: SQLSTATEs and classes that no other try will mend, though no package is at fault: rights, passwords, names.
TERMINAL_STATES = frozenset(("42501", "28000", "28P01", "3D000"))
#: A statement that writes, over a connection that only reads; for the loader, a standby that may yet take over.
READ_ONLY_STATE = "25006"
#: What does not exist: table, column's table, schema, database.
UNDEFINED_STATES = frozenset(("42P01", "3F000", "3D000"))


@dataclass(frozen=True, slots=True)
class Server:
    """A Postgres database, and how to connect to it."""

    address: PostgresAddress
    timeout_s: float
    options: Mapping[str, Any] = field(default_factory=dict)

    @contextmanager
    def connected(self, *, read_only: bool = False) -> Iterator[Connection]:
        """Connect for a block.

        Raises:
            DestinationTransientError: the server does not answer.
            DestinationTerminalError: it does not let this user in.
        """
        connection = self._connect()
        try:
            self._settle(connection, read_only=read_only)
            yield connection
        finally:
            with suppress(DatabaseError):
                connection.close()

    def _connect(self) -> Connection:
        address = self.address
        parts: dict[str, Any] = {
            "connect_timeout": int(self.options.get("connect_timeout", CONNECT_TIMEOUT_S)),
            "application_name": "oarlock",
            **address.query,
            "host": address.host,
            "port": address.port,
            "dbname": address.database,
            "user": address.username,
            "password": address.password,
        }
        given = {name: value for name, value in parts.items() if value is not None}
        try:
            text = make_conninfo(**given)
            # Prepared statements would not survive a pooler between here and the server.
            return psycopg.connect(text, autocommit=True, prepare_threshold=None, cursor_factory=psycopg.RawCursor)
        except DatabaseError as error:
            where = address.shown()
            text = first_line(error)
            if address.password:
                text = text.replace(address.password, "***")
            if _cannot_enter(error, text):
                raise DestinationTerminalError(
                    f"{where} refused the connection: {text}. The password is looked for in "
                    "DESTINATION__POSTGRES__CREDENTIALS__PASSWORD and in secrets.toml"
                ) from error
            raise DestinationTransientError(f"{where} cannot be reached: {text}") from error

    def _settle(self, connection: Connection, *, read_only: bool) -> None:
        wait_ms = int(1000 * float(self.options.get("lock_timeout_s", self.timeout_s)))
        settings = {"TimeZone": "UTC", "lock_timeout": f"{max(1, wait_ms)}ms"}
        if read_only:
            settings["default_transaction_read_only"] = "on"
        for name, value in settings.items():
            connection.execute("SELECT set_config($1, $2, false)", [name, value])


def _cannot_enter(error: BaseException, text: str) -> bool:
    state = getattr(error, "sqlstate", None)
    # A failed start of a connection carries no SQLSTATE, only the server's words.
    words = ("authentication failed", "no password supplied", "does not exist", "no pg_hba.conf entry")
    return state in TERMINAL_STATES or any(word in text for word in words)


def sorted_error(error: BaseException) -> DestinationError | Refused | Again:
    """Tell a refused statement from a lost connection and from a lost race."""
    state = getattr(error, "sqlstate", None) or ""
    place = getattr(getattr(error, "diag", None), "context", None) or ""
    # Which line and column of the rows it was stands in the context alone.
    where = f"; {place.splitlines()[0]}" if place else ""
    text = f"postgres: {first_line(error)}{where}" + (f" (SQLSTATE {state})" if state else "")
    if state in AGAIN_STATES:
        return Again(text)
    if state in TERMINAL_STATES:
        return DestinationTerminalError(text)
    if state[:2] in REFUSED_CLASSES:
        return Refused(text)
    # Without a state the connection is gone, or the driver could not send what it was given.
    if not state and isinstance(error, psycopg.DataError | psycopg.ProgrammingError | psycopg.NotSupportedError):
        return Refused(text)
    return DestinationTransientError(text)


def told_error(error: BaseException) -> DestinationError:
    """Say to a user what happened to a query of their own."""
    state = getattr(error, "sqlstate", None) or ""
    if state in UNDEFINED_STATES:
        return DestinationUndefined(first_line(error).removesuffix(" does not exist"))
    found = sorted_error(error)
    if isinstance(found, Refused) or state == READ_ONLY_STATE:
        return DestinationTerminalError(str(error))
    return found if isinstance(found, DestinationError) else DestinationTransientError(str(error))


def run(connection: Connection, statement: str, args: list[Any]) -> list[tuple[Any, ...]]:
    """Run one statement of the loader and give its rows.

    Raises:
        Refused: for what it says or holds.
        Again: it lost a race, and the transaction with it.
        DestinationError: for another reason.
    """
    try:
        cursor = connection.execute(statement.encode(), args or None)
        return cursor.fetchall() if cursor.description is not None else []
    except DatabaseError as error:
        raise sorted_error(error) from error


def first_line(error: BaseException) -> str:
    """Give what an error says in its first line."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
