"""SQL of a user's own on a Postgres database."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from itertools import count
from typing import Any

import pyarrow as pa
from psycopg.raw_cursor import RawServerCursor

from oarlock.destinations.base import Cursor
from oarlock.destinations.clients.postgres import Connection, DatabaseError, Server, told_error
from oarlock.destinations.dialect import POSTGRES
from oarlock.destinations.extras import require

#: Questions whose rows are fetched piece by piece from the server instead of all at once.
LOOKS = re.compile(r"\s*(?:--[^\n]*\n\s*)*(select|values|table)\b(?!.*\binto\b)", re.IGNORECASE | re.DOTALL)
#: Quoted text, a comment, or a mark that other database clients write for an argument.
_MARKS = re.compile(r"""('(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/)|%s""", re.DOTALL)

#: Arrow types of Postgres's own, by their numbers in the catalogue; others are told as text.
ARROW_TYPES: dict[int, pa.DataType] = {
    16: pa.bool_(),
    17: pa.binary(),
    20: pa.int64(),
    21: pa.int16(),
    23: pa.int32(),
    25: pa.string(),
    700: pa.float32(),
    701: pa.float64(),
    1042: pa.string(),
    1043: pa.string(),
    1082: pa.date32(),
    1083: pa.time64("us"),
    1114: pa.timestamp("us"),
    1184: pa.timestamp("us", "UTC"),
}
NUMERIC = 1700
JSON_TYPES = (114, 3802)


class PostgresCursor:
    """The result of one query."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in order."""
        return [column.name for column in self._cursor.description or []]

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Give all rows that are left."""
        with _told():
            return [] if self._cursor.description is None else self._cursor.fetchall()

    def fetchmany(self, size: int) -> list[tuple[Any, ...]]:
        """Give the next rows, at most ``size``."""
        with _told():
            return [] if self._cursor.description is None else self._cursor.fetchmany(size)

    def fetchone(self) -> tuple[Any, ...] | None:
        """Give the next row, None after the last."""
        return next(iter(self.fetchmany(1)), None)

    def df(self) -> Any:
        """Give the rows as a pandas DataFrame."""
        require("pandas", "df()")
        return self.arrow().to_pandas()

    def arrow(self) -> Any:
        """Give the rows as an Arrow table."""
        return pa.Table.from_batches([self._batch(self.fetchall())])

    def iter_arrow(self, chunk_size: int) -> Iterator[Any]:
        """Give the rows as Arrow record batches of at most ``chunk_size`` rows."""
        while rows := self.fetchmany(chunk_size):
            yield self._batch(rows)

    def _batch(self, rows: Sequence[tuple[Any, ...]]) -> pa.RecordBatch:
        description = self._cursor.description or []
        values = list(zip(*rows, strict=True)) if rows else [()] * len(description)
        columns = [_array(column, cells) for column, cells in zip(description, values, strict=True)]
        return pa.RecordBatch.from_arrays(columns, names=self.columns)


def _array(column: Any, cells: Sequence[Any]) -> pa.Array:
    code = column.type_code
    if code in ARROW_TYPES:
        return pa.array(cells, ARROW_TYPES[code])
    if code == NUMERIC:
        return _numbers(column, cells)
    tell: Callable[[Any], str] = json.dumps if code in JSON_TYPES else str
    return pa.array([None if cell is None else tell(cell) for cell in cells], pa.string())


def _numbers(column: Any, cells: Sequence[Decimal | None]) -> pa.Array:
    finite = all(cell is None or cell.is_finite() for cell in cells)
    if not finite:
        return pa.array([None if cell is None else float(cell) for cell in cells], pa.float64())
    precision, scale = column.precision, column.scale
    if precision is not None and precision <= 76:
        kind = pa.decimal128 if precision <= 38 else pa.decimal256
        return pa.array(cells, kind(precision, scale or 0))
    return pa.array(cells) if any(cell is not None for cell in cells) else pa.array(cells, pa.decimal128(38, 9))


class PostgresSqlClient:
    """Runs SQL over one connection; plain table names are the dataset's. Every statement commits by itself."""

    def __init__(self, connection: Connection, dataset_name: str) -> None:
        self.dataset_name = dataset_name
        self._connection = connection
        self._numbers = count(1)

    @classmethod
    @contextmanager
    def opened(cls, server: Server, dataset_name: str, *, read_only: bool) -> Iterator[PostgresSqlClient]:
        """Connect for a block."""
        with server.connected(read_only=read_only) as connection:
            connection.execute("SELECT set_config('search_path', $1, false)", [POSTGRES.quote(dataset_name)])
            yield cls(connection, dataset_name)

    def execute_sql(self, sql: str, *args: Any) -> list[tuple[Any, ...]] | None:
        """Run a statement and give its rows, None where it has none to give. Arguments stand for ``$1`` or ``%s``.

        Raises:
            DestinationUndefined: the dataset or a table is not there.
            DestinationTerminalError: the statement is wrong.
        """
        with self._told_cursor(sql, args) as cursor:
            return None if cursor.description is None else cursor.fetchall()

    @contextmanager
    def execute_query(self, sql: str, *args: Any) -> Iterator[Cursor]:
        """Run a statement and give its result for the length of a ``with``; see ``execute_sql``.

        The rows of a question come from the server piece by piece, however many there are.
        """
        if not LOOKS.match(sql):
            with self._told_cursor(sql, args) as cursor:
                yield PostgresCursor(cursor)
            return
        with _told(), self._connection.transaction():
            # A name of its own: a question may be asked while another's rows are read.
            with RawServerCursor(self._connection, f"oarlock_{next(self._numbers)}") as cursor:
                cursor.execute(_with_marks(sql, args).encode(), list(args) or None)
                yield PostgresCursor(cursor)

    @contextmanager
    def _told_cursor(self, sql: str, args: Sequence[Any]) -> Iterator[Any]:
        with _told(), self._connection.cursor() as cursor:
            cursor.execute(_with_marks(sql, args).encode(), list(args) or None)
            yield cursor

    def qualified(self, table: str) -> str:
        """Give the quoted name of a table, dataset included."""
        return POSTGRES.path(self.dataset_name, table)

    def has_dataset(self) -> bool:
        """Whether the dataset is there."""
        return bool(self.execute_sql("SELECT 1 FROM pg_namespace WHERE nspname = $1", self.dataset_name))

    @property
    def native_connection(self) -> Any:
        """psycopg's own connection; it is closed when the block ends."""
        return self._connection


def _with_marks(sql: str, args: Sequence[Any]) -> str:
    if not args:
        return sql
    numbers = count(1)
    return _MARKS.sub(lambda found: found[1] or f"${next(numbers)}", sql)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        raise told_error(error) from error
