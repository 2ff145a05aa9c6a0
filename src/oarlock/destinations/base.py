"""What a destination is: the Protocols that every destination keeps, and the values they speak in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from oarlock.destinations.reference import DestinationReference
from oarlock.values import LoadId, WriteDisposition

#: A table of the schema document: {"name": …, "columns": {name: {"name", "data_type", "nullable", …}}, …}.
TableDocument = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a destination can hold."""

    max_identifier_length: int
    max_column_length: int
    supports_nul: bool = True  # NUL characters in text
    supports_multiple_writers: bool = False  # packages of several workers may be loaded side by side
    sql: bool = True
    supports_staging: bool = False  # can hold files between the workers and another destination


@dataclass(frozen=True, slots=True)
class JobFile:
    """One table's rows, ready to load: an Arrow IPC stream in ``path`` from ``offset``, ``size_bytes`` long."""

    job_id: str
    table: str
    path: Path
    offset: int
    size_bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class PackageToLoad:
    """One committed package, its jobs in the order in which they were written."""

    load_id: LoadId
    schema_name: str
    jobs: Sequence[JobFile]
    dispositions: Mapping[str, WriteDisposition]  # root table -> what its rows do to the rows that are there
    drop_tables: Sequence[str] = ()  # dropped before the rows are written (refresh)
    truncate_tables: Sequence[str] = ()  # emptied, though the package may bring no rows for them


@dataclass(frozen=True, slots=True)
class SchemaToLoad:
    """The newest version of a schema: tables that the packages of the group need are made or altered to match."""

    name: str
    version: int
    version_hash: str
    engine_version: int
    tables: Mapping[str, TableDocument]
    text: str  # the whole schema document as JSON, for the version table


@dataclass(frozen=True, slots=True)
class StateRow:
    """One row of the state table."""

    version: int
    engine_version: int
    pipeline_name: str
    state: str  # encoded
    version_hash: str
    created_at: float


@dataclass(frozen=True, slots=True)
class LoadGroup:
    """Packages that are committed to the destination together, in one transaction."""

    packages: Sequence[PackageToLoad]  # oldest first
    schemas: Mapping[str, SchemaToLoad]
    state: StateRow | None  # written only where the newest row of this pipeline has another hash
    fence: Callable[[], None]  # called right before the commit; raises FencedOut for a former owner
    pipeline_name: str


@dataclass(frozen=True, slots=True)
class LoadOutcome:
    """What one group's transaction did. A package is in exactly one of these."""

    loaded: Sequence[LoadId]
    already_there: Sequence[LoadId]  # the marker was there: loaded before, nothing written again
    failed: Mapping[LoadId, str] = field(default_factory=dict)  # cannot ever load: why
    schema_update: Mapping[str, Sequence[str]] = field(default_factory=dict)  # table -> columns that were added


@dataclass(frozen=True, slots=True)
class StoredSchema:
    """A schema as the destination's version table holds it."""

    name: str
    version: int
    version_hash: str
    document: dict[str, Any]


class Cursor(Protocol):
    """The result of one query."""

    @property
    def columns(self) -> list[str]: ...
    def fetchall(self) -> list[tuple[Any, ...]]: ...
    def fetchmany(self, size: int) -> list[tuple[Any, ...]]: ...
    def fetchone(self) -> tuple[Any, ...] | None: ...
    def df(self) -> Any: ...
    def arrow(self) -> Any: ...
    def iter_arrow(self, chunk_size: int) -> Iterator[Any]: ...


class SqlClient(Protocol):
    """A connection to the dataset for the length of a ``with``."""

    dataset_name: str

    def execute_sql(self, sql: str, *args: Any) -> list[tuple[Any, ...]] | None: ...
    def execute_query(self, sql: str, *args: Any) -> AbstractContextManager[Cursor]: ...
    def qualified(self, table: str) -> str: ...
    def has_dataset(self) -> bool: ...
    @property
    def native_connection(self) -> Any: ...


class DestinationClient(Protocol):
    """A destination bound to one dataset. Making one imports the driver; its methods connect when called."""

    dataset_name: str  # normalized

    def load(self, group: LoadGroup) -> LoadOutcome: ...
    def sql_client(self, *, read_only: bool = False) -> AbstractContextManager[SqlClient]: ...
    def read_state(self, pipeline_name: str) -> StateRow | None: ...
    def read_schema(self, name: str) -> StoredSchema | None: ...
    def loaded_ids(self, load_ids: Sequence[str]) -> set[str]: ...
    def drop_tables(self, tables: Sequence[str]) -> None: ...
    def displayable_location(self) -> str: ...


@runtime_checkable
class Destination(Protocol):
    """A factory: knows its options, imports no driver and reads no secret until ``client()`` is called."""

    @property
    def type(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def capabilities(self) -> Capabilities: ...
    def reference(self) -> DestinationReference: ...
    def client(
        self, dataset_name: str, *, pipeline_name: str, default_folder: Path, working_dir: Path, timeout_s: float
    ) -> DestinationClient: ...
