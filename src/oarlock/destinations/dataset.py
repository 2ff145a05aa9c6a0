"""Datasets: the loaded tables of a pipeline, to be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oarlock.destinations.base import DestinationClient, TableDocument
from oarlock.destinations.relation import Relation, quoted
from oarlock.destinations.system import SYSTEM_TABLES
from oarlock.errors import DestinationUndefined, TableNotFound


class Dataset:
    """The tables of one dataset.

    Example:
        ``pipeline.dataset()["games"].where("elo", ">", 2000).df()``
    """

    def __init__(
        self,
        client: DestinationClient,
        tables: Mapping[str, TableDocument],
        *,
        schema_name: str = "",
        schema: Any = None,
    ) -> None:
        self._client = client
        self._tables = tables
        self._schema_name = schema_name
        self.schema = schema

    @property
    def dataset_name(self) -> str:
        """The name of the dataset at the destination."""
        return self._client.dataset_name

    @property
    def tables(self) -> list[str]:
        """Names of the tables that the schema has, data first, the system's after."""
        data = [name for name in self._tables if name not in SYSTEM_TABLES]
        return [*data, *SYSTEM_TABLES]

    def table(self, name: str) -> Relation:
        """Give a table as a relation.

        Raises:
            TableNotFound: the schema has no such table.
        """
        if name not in self._tables and name not in SYSTEM_TABLES:
            raise TableNotFound(name, self._schema_name, self.tables)
        return Relation(self._client, f"{quoted(self.dataset_name)}.{quoted(name)}")

    def query(self, sql: str, *args: Any) -> Relation:
        """Give a question of the user's own as a relation; plain table names are the dataset's."""
        return Relation(self._client, f"({sql.strip().rstrip(';')}\n) AS asked", args=args)

    def __call__(self, sql: str, *args: Any) -> Relation:
        """Do what ``query`` does."""
        return self.query(sql, *args)

    def __getitem__(self, name: str) -> Relation:
        return self.table(name)

    def __getattr__(self, name: str) -> Relation:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self.table(name)
        except TableNotFound as error:
            raise AttributeError(str(error)) from error

    def __contains__(self, name: object) -> bool:
        return name in self._tables or name in SYSTEM_TABLES

    def row_counts(self, *, system: bool = False) -> dict[str, int]:
        """Count the rows of every table that is there; one that never had a row counts none."""
        counts: dict[str, int] = {}
        with self._client.sql_client(read_only=True) as client:
            for name in self.tables:
                if name in SYSTEM_TABLES and not system:
                    continue
                try:
                    rows = client.execute_sql(f"SELECT count(*) FROM {client.qualified(name)}")
                except DestinationUndefined:
                    counts[name] = 0
                    continue
                counts[name] = int(rows[0][0]) if rows else 0
        return counts

    def __repr__(self) -> str:
        return f"<Dataset {self.dataset_name!r} at {self._client.displayable_location()}: {', '.join(self.tables)}>"
