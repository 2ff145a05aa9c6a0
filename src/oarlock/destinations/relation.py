"""Relations: questions about a dataset that can be narrowed, and are asked when their rows are wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from oarlock.destinations.base import Cursor, DestinationClient
from oarlock.destinations.extras import require
from oarlock.errors import ConfigurationError

T = TypeVar("T")

#: Rows in a piece where an iteration is not told how many.
CHUNK_ROWS = 50_000
#: How a condition may compare; what a user writes beside the SQL signs.
OPERATORS: Mapping[str, str] = {
    **{sign: sign for sign in ("=", "<>", "<", "<=", ">", ">=")},
    "==": "=",
    "!=": "<>",
    "eq": "=",
    "ne": "<>",
    "lt": "<",
    "lte": "<=",
    "gt": ">",
    "gte": ">=",
    "in": "IN",
    "not_in": "NOT IN",
    "not in": "NOT IN",
    "like": "LIKE",
}


def quoted(name: str) -> str:
    """Quote the name of a column, as every SQL destination reads it."""
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class Relation:
    """One question. Every fetch opens a connection of its own and closes it: nobody is kept out in between."""

    client: DestinationClient
    source: str  # a quoted table name, or a query in parentheses
    chosen: Sequence[str] = ()
    conditions: Sequence[str] = ()
    args: Sequence[Any] = ()
    at_most: int | None = None

    def select(self, *columns: str) -> Relation:
        """Keep only these columns.

        Example:
            ``dataset["games"].select("id", "white").df()``
        """
        if not columns:
            raise ConfigurationError("select() needs the names of columns")
        return replace(self._settled(), chosen=columns)

    def __getitem__(self, columns: str | Sequence[str]) -> Relation:
        """Keep only one column, or these: ``relation["id"]``, ``relation[["id", "white"]]``."""
        return self.select(columns) if isinstance(columns, str) else self.select(*columns)

    def where(self, condition: str, operator: str | None = None, value: Any = None) -> Relation:
        """Keep only rows for which a condition holds: SQL text, or a column, an operator and a value.

        Example:
            ``relation.where("elo > 2000")``, ``relation.where("elo", ">", 2000)``, ``where("id", "in", [1, 2])``
        """
        base = self if self.at_most is None else self._settled()
        if operator is None:
            return replace(base, conditions=(*base.conditions, f"({condition})"))
        sign = OPERATORS.get(operator.lower())
        if sign is None:
            raise ConfigurationError(f"operator {operator!r} is not known; use one of {', '.join(OPERATORS)}")
        values = list(value) if sign.endswith("IN") else [value]
        if value is None or not values:
            raise ConfigurationError(f"where({condition!r}, {operator!r}, …) needs a value; for NULL write it as SQL")
        marks = [f"${len(base.args) + i + 1}" for i in range(len(values))]
        right = f"({', '.join(marks)})" if sign.endswith("IN") else marks[0]
        text = f"{quoted(condition)} {sign} {right}"
        return replace(base, conditions=(*base.conditions, text), args=(*base.args, *values))

    def limit(self, rows: int) -> Relation:
        """Keep at most this many rows."""
        if rows < 0:
            raise ConfigurationError(f"limit({rows}) is below zero")
        return replace(self, at_most=rows if self.at_most is None else min(rows, self.at_most))

    def head(self, rows: int = 5) -> Relation:
        """Keep the first rows."""
        return self.limit(rows)

    def _settled(self) -> Relation:
        """Put all that was narrowed so far into a query of its own, so that what follows acts on its rows."""
        if not self.chosen and not self.conditions and self.at_most is None:
            return self
        return Relation(self.client, f"({self.sql()}) AS narrowed", args=self.args)

    def sql(self) -> str:
        """Give the SQL of the question."""
        columns = ", ".join(quoted(column) for column in self.chosen) or "*"
        text = f"SELECT {columns} FROM {self.source}"
        if self.conditions:
            text += f" WHERE {' AND '.join(self.conditions)}"
        if self.at_most is not None:
            text += f" LIMIT {self.at_most}"
        return text

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Give all rows."""
        return self._fetched(lambda cursor: cursor.fetchall())

    def fetchmany(self, size: int) -> list[tuple[Any, ...]]:
        """Give the first rows, at most ``size``; each call starts at the first."""
        return self.limit(size).fetchall()

    def fetchone(self) -> tuple[Any, ...] | None:
        """Give the first row, None where there is none."""
        return next(iter(self.fetchmany(1)), None)

    def fetchscalar(self) -> Any:
        """Give the value of a question with one row and one column."""
        rows = self.fetchmany(2)
        if len(rows) != 1 or len(rows[0]) != 1:
            raise ConfigurationError("fetchscalar() is for a question with one row and one column")
        return rows[0][0]

    def df(self) -> Any:
        """Give all rows as a pandas DataFrame."""
        return self._fetched(lambda cursor: cursor.df())

    def arrow(self) -> Any:
        """Give all rows as an Arrow table."""
        return self._fetched(lambda cursor: cursor.arrow())

    def pl(self) -> Any:
        """Give all rows as a polars DataFrame."""
        return require("polars", "pl()").from_arrow(self.arrow())

    def iter_fetch(self, chunk_size: int = CHUNK_ROWS) -> Iterator[list[tuple[Any, ...]]]:
        """Give the rows in lists; the database stays open until the last one or the end of the loop."""
        with self.asked() as cursor:
            while rows := cursor.fetchmany(chunk_size):
                yield rows

    def iter_arrow(self, chunk_size: int = CHUNK_ROWS) -> Iterator[Any]:
        """Give the rows as Arrow tables; the database stays open until the last one or the end of the loop."""
        pyarrow = require("pyarrow", "iter_arrow()")
        with self.asked() as cursor:
            for batch in cursor.iter_arrow(chunk_size):
                yield pyarrow.Table.from_batches([batch])

    def iter_df(self, chunk_size: int = CHUNK_ROWS) -> Iterator[Any]:
        """Give the rows as pandas DataFrames; the database stays open until the last one or the end of the loop."""
        require("pandas", "iter_df()")
        for table in self.iter_arrow(chunk_size):
            yield table.to_pandas()

    @contextmanager
    def asked(self, around: str = "{}") -> Iterator[Cursor]:
        """Ask the question for the length of a ``with``; ``around`` is SQL around its own."""
        with self.client.sql_client(read_only=True) as client:
            with client.execute_query(around.replace("{}", self.sql()), *self.args) as cursor:
                yield cursor

    def _fetched(self, fetch: Callable[[Cursor], T]) -> T:
        with self.asked() as cursor:
            return fetch(cursor)

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in order."""
        with self.limit(0).asked() as cursor:
            return cursor.columns

    def row_count(self) -> int:
        """Count the rows."""
        with self.asked("SELECT count(*) FROM ({}) AS counted") as cursor:
            return int(cursor.fetchall()[0][0])

    def __len__(self) -> int:
        return self.row_count()

    def __bool__(self) -> bool:
        # Without it, `if relation:` would count the rows.
        return True

    def __str__(self) -> str:
        return self.sql()
