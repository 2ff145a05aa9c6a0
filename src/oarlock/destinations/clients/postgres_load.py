"""Postgres as the loader and the readers of a dataset use it: any number of workers load side by side.

A load id is claimed by an advisory lock that ends with the transaction; its marker is read after, so two workers with
one package cannot both write it. Tables are changed under another such lock, in a short transaction before the rows'.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

from oarlock.destinations.addresses import PostgresAddress
from oarlock.destinations.base import JobFile, LoadGroup, LoadOutcome, SqlClient, StateRow, StoredSchema
from oarlock.destinations.clients.postgres import Connection, DatabaseError, Server, run, sorted_error
from oarlock.destinations.clients.postgres_copy import COPY_OPTIONS, csv_of
from oarlock.destinations.clients.postgres_sql import PostgresSqlClient
from oarlock.destinations.dialect import POSTGRES, Dialect
from oarlock.destinations.loading import load_group
from oarlock.destinations.reading import drop_tables, read_loaded_ids, read_schema, read_state
from oarlock.destinations.rows import Segment, batches, segments
from oarlock.destinations.session import CommitUnknown, Session

#: Load ids share this many locks: a group of thousands must not fill the server's table of locks.
LOCKS = 1024


class PostgresSession:
    """One connection to one dataset of a Postgres database."""

    dialect: Dialect = POSTGRES
    ddl_apart = True

    def __init__(self, connection: Connection, dataset: str) -> None:
        self._connection = connection
        self.dataset = dataset

    def begin(self) -> None:
        run(self._connection, "BEGIN", [])

    def commit(self) -> None:
        try:
            answer = self._connection.execute("COMMIT").statusmessage
        except DatabaseError as error:
            raise CommitUnknown from error
        if answer != "COMMIT":  # a transaction that had failed answers ROLLBACK, and that is no error
            raise CommitUnknown from RuntimeError(f"the server answered {answer}")

    def rollback(self) -> None:
        # A lost connection cannot roll back; the server does it.
        with suppress(DatabaseError):
            self._connection.execute("ROLLBACK")

    def query(self, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        return run(self._connection, sql, list(args))

    def claim(self, names: Iterable[str]) -> None:
        """Take the locks of some names until the transaction ends, always in one order."""
        keys = sorted({_number(name) % LOCKS if not name.startswith("tables") else LOCKS for name in names})
        room = _number(f"oarlock {self.dataset}") - 2**31
        if keys:
            self.query("SELECT pg_advisory_xact_lock($1::int, k) FROM unnest($2::int[]) AS k", room, keys)

    def make_dataset(self) -> None:
        # CREATE SCHEMA asks for a right on the database even where there is nothing to create.
        if not self.query("SELECT 1 FROM pg_namespace WHERE nspname = $1", self.dataset):
            self.query(f"CREATE SCHEMA IF NOT EXISTS {self.dialect.quote(self.dataset)}")

    def insert(self, table: str, jobs: Sequence[JobFile]) -> int:
        """Append the rows of all jobs, read one batch at a time."""
        return sum(self._copy(table, segment) for segment in segments(jobs))

    def _copy(self, table: str, segment: Segment) -> int:
        columns = ", ".join(self.dialect.quote(name) for name in segment.fields)
        statement = f"COPY {self.dialect.path(self.dataset, table)} ({columns}) FROM STDIN {COPY_OPTIONS}"
        try:
            with self._connection.cursor() as cursor:
                with cursor.copy(statement.encode()) as copy:
                    for batch in batches(segment):
                        for piece in csv_of(batch):
                            copy.write(piece)
                return cursor.rowcount
        except DatabaseError as error:
            raise sorted_error(error) from error


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:4], "big")


class PostgresClient:
    """A dataset in a Postgres database. Connects for each call."""

    def __init__(self, server: Server, dataset_name: str) -> None:
        self._server = server
        self.dataset_name = dataset_name

    def load(self, group: LoadGroup) -> LoadOutcome:
        """Load what is not there yet; see ``loading``."""
        return load_group(self._session, group)

    def sql_client(self, *, read_only: bool = False) -> AbstractContextManager[SqlClient]:
        """Give a client that is connected for the length of a ``with``."""
        return PostgresSqlClient.opened(self._server, self.dataset_name, read_only=read_only)

    def read_state(self, pipeline_name: str) -> StateRow | None:
        """Read the newest complete state of a pipeline."""
        return read_state(self._session, pipeline_name)

    def read_schema(self, name: str) -> StoredSchema | None:
        """Read the newest version of a schema."""
        return read_schema(self._session, name)

    def loaded_ids(self, load_ids: Sequence[str]) -> set[str]:
        """Give those of the load ids that are there."""
        return read_loaded_ids(self._session, load_ids)

    def drop_tables(self, tables: Sequence[str]) -> None:
        """Drop tables; those that are not there are left out."""
        drop_tables(self._session, tables)

    def displayable_location(self) -> str:
        """Give the location without secrets."""
        return self._server.address.shown()

    @contextmanager
    def _session(self) -> Iterator[Session]:
        with self._server.connected() as connection:
            yield PostgresSession(connection, self.dataset_name)


def make_client(
    address: PostgresAddress, dataset_name: str, options: Mapping[str, Any], timeout_s: float
) -> PostgresClient:
    """Make a client of the database at an address."""
    return PostgresClient(Server(address, timeout_s, options), dataset_name)
