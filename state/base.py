"""What a state store is: the Protocol that every store keeps, and the values it speaks in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from oarlock.values import LoadId, PackageState

#: One value of the state, addressed by its path: ("sources", "github", "resources", "issues", "cursor").
StateKey = tuple[str, ...]
#: The state as one document a key; ``join`` makes the nested dict that users see, ``split`` takes it apart.
Documents = Mapping[StateKey, Any]


@dataclass(frozen=True, slots=True)
class SchemaRecord:
    """One version of one schema."""

    name: str
    version: int
    version_hash: str
    document: dict[str, Any]
    author: str
    created_at: float


@dataclass(frozen=True, slots=True)
class Job:
    """One table's rows in a package: a slice of one of the package's files (an Arrow IPC stream or JSON lines)."""

    job_id: str
    table: str
    file: str  # relative to the package's folder
    offset: int
    size_bytes: int
    rows: int
    checksum: str  # of the slice, "<algorithm>:<hex>"
    format: str  # "arrow" (IPC stream) or "typed-jsonl" (extracted rows, not normalized yet)
    error: str | None = None  # set when the job failed for good


@dataclass(frozen=True, slots=True)
class PackageRecord:
    """A load package as the store knows it: the store says whether it exists, its files only carry the rows."""

    load_id: LoadId
    state: PackageState
    schema_name: str
    schema_version: int
    schema_hash: str
    jobs: Sequence[Job]
    author: str  # worker id
    run_id: str
    created_at: float
    committed_at: float  # when the rows became durable in the working folder
    loaded_at: float | None = None
    dispositions: Mapping[str, str] = field(default_factory=dict)  # root table -> write disposition
    options: Mapping[str, Any] = field(default_factory=dict)  # refresh, dropped tables, destination override, …
    rejected: int = 0
    failure: str | None = None  # why the package cannot be loaded; it is then neither retried nor forgotten

    @property
    def rows(self) -> int:
        """Rows in all tables, system tables left out."""
        return sum(job.rows for job in self.jobs if not job.table.startswith("_dlt_"))


@dataclass(frozen=True, slots=True)
class StoreEvent:
    """Who changed what, when."""

    seq: int
    at: float
    worker: str
    why: str


class Snapshot(Protocol):
    """One consistent view of the store; never blocks a writer and is never blocked by one."""

    def documents(self, prefix: StateKey = ()) -> dict[StateKey, Any]: ...
    def get(self, key: StateKey, default: Any = None) -> Any: ...
    @property
    def state_version(self) -> int: ...
    def schema_names(self) -> list[str]: ...
    def schema(self, name: str, version: int | None = None) -> SchemaRecord | None: ...
    def schema_version(self, name: str) -> int | None: ...
    def package(self, load_id: str) -> PackageRecord | None: ...
    def packages(self, *states: PackageState, limit: int | None = None) -> list[PackageRecord]: ...
    def load_ids(self, *states: PackageState) -> list[LoadId]: ...
    def count_packages(self, *states: PackageState) -> int: ...
    def events(self, limit: int = 100) -> list[StoreEvent]: ...


class Transaction(Snapshot, Protocol):
    """The one writer of the moment: sees what is there now, and all it writes is committed together or not at all."""

    epoch: int

    def put(self, key: StateKey, value: Any) -> None: ...
    def delete(self, key: StateKey) -> None: ...
    def merge(self, base: Documents, ours: Documents, *, author: str) -> None: ...
    def put_schema(self, record: SchemaRecord) -> None: ...
    def drop_schema(self, name: str) -> None: ...
    def put_package(self, record: PackageRecord) -> None: ...
    def delete_package(self, load_id: str) -> None: ...
    def raise_version(self, version: int) -> None: ...
    def touch(self) -> None: ...


class StateStore(Protocol):
    """Every access to pipeline state, schemas and load packages goes through here."""

    @property
    def folder(self) -> Path: ...
    def transaction(
        self, why: str, *, timeout_s: float | None = None, durable: bool = True
    ) -> AbstractContextManager[Transaction]: ...
    def snapshot(self) -> AbstractContextManager[Snapshot]: ...
    def sync(self) -> None: ...
    def close(self) -> None: ...
