"""SQL of a user's own on a DuckDB database."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from oarlock.destinations.base import Cursor
from oarlock.destinations.clients.duckdb import Connection, Database, DatabaseError, is_query, told_error
from oarlock.destinations.dialect import DUCKDB
from oarlock.destinations.extras import require
from oarlock.errors import DestinationTerminalError, DestinationUndefined

#: Statements that look and change nothing: a database that is not there is not made for one of them.
LOOKS = re.compile(
    r"\s*(?:--[^\n]*\n\s*)*\(*\s*(select|with|from|show|describe|explain|summarize|values|table)\b", re.I
)
#: Quoted text, a comment, or the mark that other database clients write for an argument.
_MARKS = re.compile(r"""('(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/)|%s""", re.DOTALL)


class DuckDbCursor:
    """The result of one query. A question is bound at once and run when its rows are first asked for."""

    def __init__(self, client: DuckDbSqlClient, connection: Connection, sql: str, args: list[Any]) -> None:
        self._client, self._connection, self._sql, self._args = client, connection, sql, args
        self._result: Connection | None = None
        self._question: Any = None
        self._kept: list[tuple[Any, ...]] | None = None
        client.make_way(self)
        with _told():
            if is_query(connection, sql):
                self._question = connection.sql(sql, params=args or None)
            else:
                self._run()

    def _run(self) -> Connection:
        if self._kept is not None:
            raise DestinationTerminalError("another statement of this client came between; use a client for each")
        if self._result is None:
            self._client.make_way(self)
            with _told():
                self._result = self._connection.execute(self._sql, self._args or None)
        return self._result

    def make_way(self) -> None:
        """Keep the rows that are left, because a connection has one result at a time and another is to come."""
        if self._result is not None and self._kept is None:
            with _told():
                self._kept = self._result.fetchall()

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in order."""
        if self._question is not None:
            return list(self._question.columns)
        return [column[0] for column in self._run().description or []]

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Give all rows that are left."""
        if self._kept is not None:
            return self._next_kept(len(self._kept))
        with _told():
            return self._run().fetchall()

    def fetchmany(self, size: int) -> list[tuple[Any, ...]]:
        """Give the next rows, at most ``size``."""
        if self._kept is not None:
            return self._next_kept(size)
        with _told():
            return self._run().fetchmany(size)

    def fetchone(self) -> tuple[Any, ...] | None:
        """Give the next row, None after the last."""
        return next(iter(self.fetchmany(1)), None)

    def _next_kept(self, size: int) -> list[tuple[Any, ...]]:
        kept = self._kept or []
        given, self._kept = kept[:size], kept[size:]
        return given

    def df(self) -> Any:
        """Give the rows as a pandas DataFrame."""
        require("pandas", "df()")
        with _told():
            return self._run().df()

    def arrow(self) -> Any:
        """Give the rows as an Arrow table."""
        with _told(), _quiet():
            return self._source().to_arrow_table()

    def iter_arrow(self, chunk_size: int) -> Iterator[Any]:
        """Give the rows as Arrow record batches of at most ``chunk_size`` rows."""
        with _told(), _quiet():
            reader = self._source().to_arrow_reader(chunk_size)
        with _told():
            yield from reader

    def _source(self) -> Any:
        """Give what Arrow is read from: a question that is not running yet streams without a copy."""
        if self._question is None or self._result is not None:
            return self._run()
        self._client.make_way(self)
        return self._question


class DuckDbSqlClient:
    """Runs SQL on a database that is open for the length of a ``with``; plain table names are the dataset's."""

    def __init__(self, database: Database, dataset_name: str, *, read_only: bool) -> None:
        self.dataset_name = dataset_name
        self._database = database
        self._read_only = read_only
        self._stack = ExitStack()
        self._connection: Connection | None = None
        self._running: DuckDbCursor | None = None

    @classmethod
    @contextmanager
    def opened(cls, database: Database, dataset_name: str, *, read_only: bool) -> Iterator[DuckDbSqlClient]:
        """Open the database for a block; one that is not there is made by the first statement that writes."""
        client = cls(database, dataset_name, read_only=read_only)
        with client._stack:
            if database.exists():
                client._connect()
            yield client

    def _connect(self) -> Connection:
        if self._connection is None:
            opened = self._database.opened("sql client", read_only=self._read_only)
            self._connection = self._stack.enter_context(opened)
            self._use_dataset()
        return self._connection

    def _use_dataset(self) -> None:
        if self._connection is not None and self.has_dataset():
            catalog = self._connection.execute("SELECT current_database()").fetchall()[0][0]
            self._connection.execute(f"USE {DUCKDB.path(catalog, self.dataset_name)}")

    def execute_sql(self, sql: str, *args: Any) -> list[tuple[Any, ...]] | None:
        """Run a statement and give its rows. Arguments stand for ``?``, ``$1`` or ``%s``.

        Raises:
            DestinationUndefined: the database, the dataset or a table is not there.
            DestinationTerminalError: the statement is wrong.
        """
        with self.execute_query(sql, *args) as cursor:
            return cursor.fetchall()

    @contextmanager
    def execute_query(self, sql: str, *args: Any) -> Iterator[Cursor]:
        """Run a statement and give its result for the length of a ``with``; see ``execute_sql``."""
        if self._connection is None and not self._database.exists() and LOOKS.match(sql):
            raise DestinationUndefined(f"database {self._database.location!r}")
        connection = self._connect()
        cursor = DuckDbCursor(self, connection, _with_marks(sql) if args else sql, list(args))
        try:
            yield cursor
        finally:
            if self._running is cursor:
                connection.abort()
                self._running = None

    def make_way(self, coming: DuckDbCursor) -> None:
        """Let another result be the one that is read."""
        if self._running is not None and self._running is not coming:
            self._running.make_way()
        self._running = coming

    def qualified(self, table: str) -> str:
        """Give the quoted name of a table, dataset included."""
        return DUCKDB.path(self.dataset_name, table)

    def has_dataset(self) -> bool:
        """Whether the dataset is there."""
        if self._connection is None:
            return False
        rows = self._connection.execute(
            "SELECT 1 FROM information_schema.schemata "
            "WHERE catalog_name = current_database() AND lower(schema_name) = lower($1)",
            [self.dataset_name],
        ).fetchall()
        return bool(rows)

    @property
    def native_connection(self) -> Any:
        """DuckDB's own connection; it is closed when the block ends."""
        return self._connect()


def _with_marks(sql: str) -> str:
    return _MARKS.sub(lambda found: found[1] or "?", sql)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        raise told_error(error) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """DuckDB warns that a result which was begun is copied on its way to Arrow; here that is meant."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield
