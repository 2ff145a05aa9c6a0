"""Reading the store: what snapshots and transactions have in common, and the snapshot itself."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from oarlock.errors import StoreDamaged, StoreError
from oarlock.state.base import PackageRecord, SchemaRecord, StateKey, StoreEvent
from oarlock.state.connection import Connection
from oarlock.state.documents import document_key, is_level, join, key_text, read_key, shown
from oarlock.state.rows import read_package
from oarlock.state.typed_json import loads
from oarlock.values import LoadId, PackageState

#: As many rows as there are.
_ALL = -1


class Reading:
    """Questions to one connection that has a transaction of SQLite's open, so that all answers fit together."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _rows(self, name: str, *args: Any) -> list[tuple[Any, ...]]:
        return self._connection.rows(name, *args)

    def _row(self, name: str, *args: Any) -> tuple[Any, ...] | None:
        return self._connection.row(name, *args)

    def documents(self, prefix: StateKey = ()) -> dict[StateKey, Any]:
        """Give the documents at and below a path; inside a document, the value there."""
        if not prefix:
            return {read_key(key): self._read(key, value) for key, value in self._rows("all_documents")}
        if is_level(prefix):
            below = self._rows("documents_below", key_text(prefix)[:-1])
            return {read_key(key): self._read(key, value) for key, value in below}
        value = self.get(prefix, _NOTHING)
        return {} if value is _NOTHING else {prefix: value}

    def get(self, key: StateKey, default: Any = None) -> Any:
        """Give the value at a path: a document, what is inside of one, or a whole level as a dict."""
        if is_level(key):
            below = self.documents(key)
            return _walk(join(below), key, default) if below else default
        holder = document_key(key)
        text = key_text(holder)
        row = self._row("document", text)
        if row is None:
            return default
        return _walk(self._read(text, row[0]), key[len(holder) :], default)

    @property
    def state_version(self) -> int:
        """The number of transactions that changed the state's content."""
        row = self._row("meta")
        if row is None:
            raise StoreDamaged(self._connection.path, "its row of facts is missing")
        return int(row[2])

    def schema_names(self) -> list[str]:
        """Give the names of all schemas, in the order in which they came."""
        return [name for (name,) in self._rows("schema_names")]

    def schema_version(self, name: str) -> int | None:
        """Give the newest version of a schema."""
        head = self._row("schema_head", name)
        return None if head is None else int(head[0])

    def schema_hash(self, name: str) -> str | None:
        """Give the hash of the newest version of a schema."""
        head = self._row("schema_head", name)
        return None if head is None else str(head[1])

    def schema(self, name: str, version: int | None = None) -> SchemaRecord | None:
        """Give one version of a schema, the newest if none is named; old ones are forgotten some day."""
        newest = self.schema_version(name)
        if newest is None:
            return None
        wanted = newest if version is None else version
        row = self._row("schema_version", name, wanted)
        if row is None:
            return None
        found, version_hash, author, created_at, header = row
        tables = self._rows("tables_now", name) if wanted == newest else self._rows("tables_then", name, wanted)
        try:
            document = loads(header)
            document["tables"] = {table: _definition(table, definition) for table, definition, _ in tables}
        except (TypeError, ValueError) as error:
            raise StoreDamaged(self._connection.path, f"schema {name!r} version {wanted}: {error}") from error
        return SchemaRecord(name, int(found), version_hash, document, author, created_at)

    def schema_history(self, name: str) -> list[tuple[int, str, str, float]]:
        """Give the kept versions of a schema, newest first: version, hash, author, time."""
        return [(int(version), *facts) for version, *facts in self._rows("schema_versions", name)]

    def package(self, load_id: str) -> PackageRecord | None:
        """Give one package."""
        row = self._row("package", load_id)
        return None if row is None else read_package(row, self._connection.path)

    def packages(self, *states: PackageState, limit: int | None = None) -> list[PackageRecord]:
        """Give the packages in some states (in any, if none is named), oldest first."""
        count = _ALL if limit is None else limit
        if not states:
            rows = self._rows("packages", count)
        else:
            rows = [row for state in dict.fromkeys(states) for row in self._rows("packages_in", state, count)]
            rows = sorted(rows)[: None if limit is None else limit]
        return [read_package(row, self._connection.path) for row in rows]

    def load_ids(self, *states: PackageState) -> list[LoadId]:
        """Give the ids of the packages in some states (in any, if none is named), oldest first."""
        if not states:
            return [load_id for (load_id,) in self._rows("load_ids")]
        return sorted(load_id for state in dict.fromkeys(states) for (load_id,) in self._rows("load_ids_in", state))

    def count_packages(self, *states: PackageState) -> int:
        """Count the packages in some states (in any, if none is named)."""
        if not states:
            return sum(count for (count,) in self._rows("count_packages"))
        return sum(count for state in dict.fromkeys(states) for (count,) in self._rows("count_packages_in", state))

    def events(self, limit: int = 100) -> list[StoreEvent]:
        """Tell who changed what, newest first."""
        return [StoreEvent(*row) for row in self._rows("events", limit)]

    def _read(self, key: str, value: Any) -> Any:
        try:
            return loads(value)
        except (TypeError, ValueError) as error:
            named = shown(read_key(key))
            raise StoreDamaged(self._connection.path, f"state document {named!r} does not parse: {error}") from error


def _definition(table: str, text: Any) -> dict[str, Any]:
    definition = loads(text)
    if not isinstance(definition, dict):
        raise TypeError(f"the definition of table {table!r} is no object")
    return definition


class _Nothing:
    """Told apart from every value."""


_NOTHING = _Nothing()


def _walk(value: Any, path: StateKey, default: Any) -> Any:
    for part in path:
        if not isinstance(value, dict) or part not in value:
            return default
        value = value[part]
    return value


class Reader:
    """A connection for snapshots, and the answers that it has heard since the store last changed."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.version = -1
        self.answers: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}

    def pin(self) -> None:
        """Begin to see the store as it is now."""
        version = self.connection.pin()
        if version != self.version:
            self.answers.clear()
            self.version = version


#: Questions whose answers are kept while nothing changes: small, and asked over and over.
_KEPT = frozenset(
    (
        "meta",
        "document",
        "all_documents",
        "documents_below",
        "schema_names",
        "schema_head",
        "schema_version",
        "tables_now",
    )
)
#: Answers that one connection keeps at most.
_KEPT_ANSWERS = 1000


class SqliteSnapshot(Reading):
    """One consistent view of the store, from entering its ``with`` to leaving it."""

    def __init__(self, take: Callable[[], Reader], give_back: Callable[[Reader], None]) -> None:
        self._take, self._give_back = take, give_back
        self._reader: Reader | None = None

    def __enter__(self) -> SqliteSnapshot:
        reader = self._take()
        try:
            reader.pin()
        except BaseException:
            reader.connection.rollback()
            self._give_back(reader)
            raise
        self._reader = reader
        self._connection = reader.connection
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.connection.rollback()
            self._give_back(reader)

    def _rows(self, name: str, *args: Any) -> list[tuple[Any, ...]]:
        reader = self._reader
        if reader is None:
            raise StoreError("this snapshot has ended: read it inside its `with`")
        if name not in _KEPT:
            return reader.connection.rows(name, *args)
        asked = (name, *args)
        answer = reader.answers.get(asked)
        if answer is None:
            answer = reader.connection.rows(name, *args)
            if len(reader.answers) >= _KEPT_ANSWERS:
                reader.answers.clear()
            reader.answers[asked] = answer
        return answer

    def _row(self, name: str, *args: Any) -> tuple[Any, ...] | None:
        rows = self._rows(name, *args)
        return rows[0] if rows else None
