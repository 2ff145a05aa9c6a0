"""The transaction: the one writer of the moment. All it writes is committed together, or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from oarlock.errors import StateInvalid, StateTooLarge, StoreDamaged, StoreError
from oarlock.state.base import Documents, PackageRecord, SchemaRecord, StateKey
from oarlock.state.connection import Connection
from oarlock.state.documents import (
    LIMIT_BYTES,
    LOCAL,
    WARN_BYTES,
    document_key,
    is_level,
    key_text,
    shown,
    split,
    split_at,
    unshared,
)
from oarlock.state.merge import MISSING, Rule, changed, merge_documents, same
from oarlock.state.reading import Reading
from oarlock.state.rows import package_row
from oarlock.state.tables import put_schema
from oarlock.state.typed_json import dumps, loads

#: Events that the store keeps: who changed what, when.
EVENTS_KEPT = 1000
#: Transactions for which the author of a deleted key is remembered.
DELETED_KEPT = 10_000
_BRACE = ord("{")
#: A reason is one line in a log.
_WHY_CHARS = 500


@dataclass(frozen=True, slots=True)
class LargeDocument:
    """A state document that is large enough to be told of."""

    key: StateKey
    size_bytes: int


class SqliteTransaction(Reading):
    """Reads what is there now and writes onto it; made by ``SqliteStore.transaction``."""

    def __init__(self, connection: Connection, why: str, *, worker: str, epoch: int) -> None:
        super().__init__(connection)
        self.why, self.worker, self.epoch = why, worker, epoch
        #: State documents written here that are over WARN_BYTES.
        self.large: list[LargeDocument] = []
        row = connection.row("meta")
        if row is None:
            raise StoreDamaged(connection.path, "its row of facts is missing")
        seq, self.recorded_epoch, self._version = row
        self.seq = int(seq) + 1
        self._before: dict[StateKey, bytes | None] = {}
        self._after: dict[StateKey, bytes | None] = {}
        self._least_version = 0
        #: Texts of documents as they stand in this transaction, by the text of their key.
        self._texts: dict[str, bytes | None] = {}
        self._written = False
        #: What was written so far, roughly.
        self.written_bytes = 0
        self._open = True

    @property
    def state_version(self) -> int:
        """The version of the state as this transaction would leave it now."""
        return max(self._least_version, int(self._version) + self._changes_state())

    def put(self, key: StateKey, value: Any) -> None:
        """Set the value at a path: a document, a value inside of one, or a whole level."""
        self._put(key, value, self.worker)

    def delete(self, key: StateKey) -> None:
        """Delete what is at a path and below it; nothing happens where nothing is."""
        holder = document_key(key)
        if is_level(key):
            for below in self.documents(key):
                self._set(below, MISSING, self.worker)
        elif holder == key:
            self._set(key, MISSING, self.worker)
        else:
            document = self.get(holder)
            inner = _parent(document, key[len(holder) :])
            if inner is not None and key[-1] in inner:
                del inner[key[-1]]
                self._set(holder, document, self.worker)

    def merge(
        self,
        base: Documents,
        ours: Documents,
        *,
        author: str,
        rules: Mapping[StateKey, Rule] | None = None,
    ) -> None:
        """Bring what one run did to ``base`` onto the state that is there now, as ``merge.py`` tells.

        Raises:
            StateConflict: Both changed one plain key to different values.
        """
        base, ours = changed(base, ours)
        touched = {**base, **ours}
        current: dict[StateKey, Any] = {}
        for key in touched:
            current.update(self.documents(key) if is_level(key) else self._document(key))
            for length in range(1, len(key)):
                current.update(self._document(key[:length]))
        authors = {key: self._author(key) for key in {*touched, *current}}
        changes = merge_documents(base, ours, current, author=author, authors=authors, rules=rules)
        for key, value in changes.items():
            self._set(key, value, author)

    def put_schema(self, record: SchemaRecord) -> None:
        """Add a version of a schema; the version that is there already is left as it is.

        Raises:
            StoreError: The version is not newer than the one that is there.
        """
        self._check_open()
        if put_schema(self._connection, record, self.seq):
            self._written = True

    def drop_schema(self, name: str) -> None:
        """Forget a schema with all its versions."""
        self._write("drop_schema_head", name)
        self._write("drop_schema_versions", name)
        self._write("drop_schema_tables", name)

    def put_package(self, record: PackageRecord) -> None:
        """Add a package, or set all that is known of it."""
        self._write("put_package", *package_row(record))

    def delete_package(self, load_id: str) -> None:
        """Forget a package."""
        self._write("delete_package", load_id)

    def raise_version(self, version: int) -> None:
        """Bring the state's version to at least this: a restore brings content together with the version it had."""
        self._check_open()
        if version > self.state_version:
            self._least_version = version
            self._written = True

    def touch(self) -> None:
        """Have this transaction commit though it may change nothing.

        Whoever will remove files that no committed package names must do so after a commit of its own: a writer that
        was killed at the end of its commit may have left one that nobody sees yet, and only a later commit ends that.
        """
        self._check_open()
        self._written = True

    def finish(self, check: Callable[[], None]) -> bool:
        """Commit; False where there was nothing to commit.

        ``check`` is the last thing that is asked before: it raises for a former owner of the guard.
        """
        version = self.state_version
        if self._written:
            event = (self.seq, time.time(), self.worker, self.why[:_WHY_CHARS])
            self._connection.rows("put_event", self.seq % EVENTS_KEPT, *event)
            if any(text is None for text in self._after.values()):
                self._connection.rows("forget_deleted", self.seq - DELETED_KEPT)
            self._connection.rows("set_meta", self.seq, self.epoch, version)
            check()
            self._connection.run("COMMIT")
        self.end()
        return self._written

    def end(self) -> None:
        """Take back what was not committed; what is asked of this transaction from now on raises."""
        self._open = False
        self._connection.rollback()

    def _rows(self, name: str, *args: Any) -> list[tuple[Any, ...]]:
        self._check_open()
        return self._connection.rows(name, *args)

    def _row(self, name: str, *args: Any) -> tuple[Any, ...] | None:
        self._check_open()
        if name != "document":
            return self._connection.row(name, *args)
        text = self._text(*args)
        return None if text is None else (text,)

    def _text(self, name: str) -> bytes | None:
        try:
            return self._texts[name]
        except KeyError:
            row = self._connection.row("document", name)
            text = self._texts[name] = None if row is None else row[0]
            return text

    def _write(self, name: str, *args: Any) -> None:
        self._rows(name, *args)
        self._written = True
        self.written_bytes += sum(len(value) for value in args if isinstance(value, bytes))

    def _check_open(self) -> None:
        if not self._open:
            raise StoreError(f"the transaction {self.why!r} has ended: use it inside its `with`")

    def _put(self, key: StateKey, value: Any, author: str) -> None:
        holder = document_key(key)
        if is_level(key):
            parts = split_at(key, value) if key else split(value)
            for below in self.documents(key):
                if below not in parts:
                    self._set(below, MISSING, author)
            for part, content in parts.items():
                self._set(part, content, author)
        elif holder == key:
            self._set(key, value, author)
        else:
            document = self.get(holder)
            document = unshared(document) if isinstance(document, dict) else {}
            _parent(document, key[len(holder) :], make=True)[key[-1]] = value  # type: ignore[index]
            self._set(holder, document, author)

    def _set(self, key: StateKey, value: Any, author: str) -> None:
        """Write one document, unless it is there just so; MISSING deletes it."""
        try:
            name = key_text(key)
            text = None if value is MISSING else dumps(value)
        except (TypeError, ValueError) as error:
            raise StateInvalid(shown(key), str(error)) from error
        self._check_open()
        before = self._text(name)
        if text == before:
            return
        self._check_size(key, text)
        if before is None:
            self._clear_above(key, author)
        self._before.setdefault(key, before)
        self._after[key] = self._texts[name] = text
        self._write("put_document", name, text, author, self.seq)

    def _clear_above(self, key: StateKey, author: str) -> None:
        """A level that was empty, or a plain value, gives way to the keys that come below it."""
        for length in range(1, len(key)):
            if self._document(key[:length]):
                self._set(key[:length], MISSING, author)

    def _check_size(self, key: StateKey, text: bytes | None) -> None:
        if text is None or len(text) <= WARN_BYTES:
            return
        if len(text) > LIMIT_BYTES:
            raise StateTooLarge(shown(key), len(text), LIMIT_BYTES)
        self.large.append(LargeDocument(key, len(text)))

    def _document(self, key: StateKey) -> dict[StateKey, Any]:
        name = key_text(key)
        text = self._text(name)
        return {} if text is None else {key: self._read(name, text)}

    def _author(self, key: StateKey) -> str:
        row = self._row("author", key_text(key))
        return "another run" if row is None else str(row[0])

    def _changes_state(self) -> bool:
        return any(
            key[0] != LOCAL and before != self._after[key] and not _alike(before, self._after[key])
            for key, before in self._before.items()
        )


def _alike(one: bytes | None, other: bytes | None) -> bool:
    """Tell whether two texts that differ say the same: only the order of keys may differ, so they are as long."""
    if one is None or other is None or len(one) != len(other) or _BRACE not in one:
        return False
    return same(loads(one), loads(other))


def _parent(value: Any, path: StateKey, *, make: bool = False) -> dict[str, Any] | None:
    """Walk to the dict that holds the last part of a path."""
    for part in path[:-1]:
        if make and not isinstance(value.get(part), dict):
            value[part] = {}
        value = value.get(part) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else None
