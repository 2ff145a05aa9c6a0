"""Commit: a call's packages, their state change and their place in the store, all at once or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from oarlock.schema.document import Schema
from oarlock.state.base import Documents, PackageRecord, StateKey, StateStore, Transaction
from oarlock.state.documents import join, split
from oarlock.state.merge import changed
from oarlock.steps.spool import PackageWriter
from oarlock.steps.undo import touched, with_undo


class RunState:
    """The state as one run sees and changes it: read once, when first asked for; changes are joined at commit."""

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self._base: Documents | None = None
        self._state: dict[str, Any] | None = None

    def get(self) -> dict[str, Any]:
        """Give the state as a nested dict, which the run's code may change."""
        if self._state is None:
            with self._store.snapshot() as snapshot:
                self._base = snapshot.documents()
            self._state = join(self._base)
        return self._state

    def forget_resource(self, source: str, resource: str) -> None:
        """Empty the state of a resource whose rows are replaced as a whole."""
        if self._state is None:
            with self._store.snapshot() as snapshot:
                if not snapshot.documents(("sources", source, "resources", resource)):
                    return
        self.get().get("sources", {}).get(source, {}).get("resources", {}).pop(resource, None)

    def changes(self) -> tuple[Documents, Documents] | None:
        """Give the documents that differ, before and after, or ``None`` where nothing was changed."""
        if self._state is None or self._base is None:
            return None
        base, ours = changed(self._base, split(self._state))
        return (base, ours) if base or ours else None


@dataclass(slots=True)
class OpenPackage:
    """A package that is being written."""

    record: PackageRecord
    writer: PackageWriter
    schema: Schema | None = None
    extras: dict[str, Any] = field(default_factory=dict)


def commit_packages(
    store: StateStore,
    packages: Sequence[PackageRecord],
    state: RunState | None,
    *,
    author: str,
    complete: Callable[[Transaction, Sequence[PackageRecord]], Sequence[PackageRecord]] = lambda tx, packages: packages,
) -> list[PackageRecord]:
    """Commit packages whose files are sealed, with the state change that they carry, in one durable transaction.

    Args:
        complete: called in the transaction: what else belongs to the packages is put there, and what is only known
            there is filled in.

    Raises:
        StateConflict: the run and another writer changed one plain key to different values; nothing was committed.
    """
    changes = None if state is None else state.changes()
    keys = {*changes[0], *changes[1]} if changes is not None else set()
    with store.transaction("commit package") as tx:
        before = touched(tx, keys)
        if changes is not None:
            tx.merge(changes[0], changes[1], author=author)
        after = touched(tx, keys)
        made = [with_undo(record, before, after) for record in complete(tx, packages)]
        for record in made:
            tx.put_package(record)
    return made


def with_schema(record: PackageRecord, schema: Schema) -> PackageRecord:
    """Name in a package the schema that it needs."""
    return replace(record, schema_version=schema.version, schema_hash=schema.version_hash)


def put_if_other(tx: Transaction, key: StateKey, value: Any) -> None:
    """Write a document only where it says something else, so that the state's version does not rise for nothing."""
    if tx.get(key) != value:
        tx.put(key, value)
