"""DuckDB as the loader and the readers of a dataset use it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import pyarrow as pa

from oarlock.destinations.base import JobFile, LoadGroup, LoadOutcome, SqlClient, StateRow, StoredSchema
from oarlock.destinations.clients.duckdb import Connection, Database, DatabaseError, run
from oarlock.destinations.clients.duckdb_sql import DuckDbSqlClient
from oarlock.destinations.dialect import DUCKDB, Dialect
from oarlock.destinations.loading import load_group
from oarlock.destinations.reading import drop_tables, read_loaded_ids, read_schema, read_state
from oarlock.destinations.rows import UnreadableJob, batches, segments
from oarlock.destinations.session import CommitUnknown, Session

#: The name under which the rows of the moment are seen by a statement.
ROWS = "_oarlock_rows"


class DuckDbSession:
    """One connection to one dataset of a DuckDB database."""

    dialect: Dialect = DUCKDB
    ddl_apart = False  # one writer at a time anyway

    def __init__(self, connection: Connection, dataset: str) -> None:
        self._connection = connection
        self.dataset = dataset

    def begin(self) -> None:
        run(self._connection, "BEGIN TRANSACTION", [])

    def commit(self) -> None:
        try:
            self._connection.execute("COMMIT")
        except DatabaseError as error:
            raise CommitUnknown from error

    def rollback(self) -> None:
        # Some errors have ended the transaction already; a broken database cannot roll back, and need not.
        with suppress(DatabaseError):
            self._connection.execute("ROLLBACK")
        with suppress(DatabaseError):
            self._connection.unregister(ROWS)

    def query(self, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        return run(self._connection, sql, list(args)).fetchall()

    def claim(self, names: Iterable[str]) -> None:
        """Nothing to claim: who has the database open is alone."""

    def make_dataset(self) -> None:
        self.query(f"CREATE SCHEMA IF NOT EXISTS {self.dialect.quote(self.dataset)}")

    def insert(self, table: str, jobs: Sequence[JobFile]) -> int:
        """Append the rows of all jobs, read one batch at a time."""
        return sum(self._insert(table, segment.schema, batches(segment)) for segment in segments(jobs))

    def _insert(self, table: str, schema: pa.Schema, rows: Iterator[pa.RecordBatch]) -> int:
        unreadable: list[UnreadableJob] = []

        def read() -> Iterator[pa.RecordBatch]:
            try:
                yield from rows
            except UnreadableJob as error:
                unreadable.append(error)
                raise

        self._connection.register(ROWS, pa.RecordBatchReader.from_batches(schema, read()))
        sql = f"INSERT INTO {self.dialect.path(self.dataset, table)} BY NAME SELECT * FROM {ROWS}"
        try:
            count = int(self.query(sql)[0][0])
        except Exception:
            # DuckDB tells a failing reader by an error of its own; the reader's says which job it was.
            if unreadable:
                raise unreadable[0] from None
            raise
        self._connection.unregister(ROWS)
        return count


class DuckDbClient:
    """A dataset in a DuckDB database. Opens the database for each call, and never keeps it open."""

    def __init__(self, database: Database, dataset_name: str) -> None:
        self._database = database
        self.dataset_name = dataset_name

    def load(self, group: LoadGroup) -> LoadOutcome:
        """Load what is not there yet; see ``loading``."""
        with self._database.turn_taken(f"load of pipeline {group.pipeline_name}"):
            return load_group(lambda: self._session("load"), group)

    def sql_client(self, *, read_only: bool = False) -> AbstractContextManager[SqlClient]:
        """Give a client that has the database open for the length of a ``with``, others waiting."""
        return DuckDbSqlClient.opened(self._database, self.dataset_name, read_only=read_only)

    def read_state(self, pipeline_name: str) -> StateRow | None:
        """Read the newest complete state of a pipeline."""
        return read_state(self._reading, pipeline_name)

    def read_schema(self, name: str) -> StoredSchema | None:
        """Read the newest version of a schema."""
        return read_schema(self._reading, name)

    def loaded_ids(self, load_ids: Sequence[str]) -> set[str]:
        """Give those of the load ids that are there."""
        return read_loaded_ids(self._reading, load_ids)

    def drop_tables(self, tables: Sequence[str]) -> None:
        """Drop tables; those that are not there are left out."""
        if self._database.exists():
            drop_tables(lambda: self._session("drop tables"), tables)

    def displayable_location(self) -> str:
        """Give the location without secrets."""
        return f"duckdb:///{self._database.location}" if self._database.is_file else self._database.location

    def _reading(self) -> AbstractContextManager[Session]:
        return self._session("read", read_only=True)

    @contextmanager
    def _session(self, why: str, *, read_only: bool = False) -> Iterator[Session]:
        with self._database.opened(why, read_only=read_only) as connection:
            yield DuckDbSession(connection, self.dataset_name)


def make_client(location: str, dataset_name: str, options: Mapping[str, Any], timeout_s: float) -> DuckDbClient:
    """Make a client of the database at a location."""
    return DuckDbClient(Database(location, timeout_s, options), dataset_name)
