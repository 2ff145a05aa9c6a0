"""Undo: the state as it was before packages that are not at the destination yet.

A destination's state must not run ahead of its rows: a machine that goes on from it would skip what was extracted and
never arrived. So each package remembers, until it is loaded, what its commit changed in the state, and the state that
travels with other packages is that of the store, less the changes of those that stay behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from oarlock.state.base import Documents, PackageRecord, StateKey, Transaction

#: Where a package's options keep it: the keys that the commit changed, and the documents that were there before.
UNDO = "state_before"


def touched(tx: Transaction, keys: Iterable[StateKey]) -> dict[StateKey, Any]:
    """Give the documents at some keys and below them, as they are at this point of a transaction."""
    found: dict[StateKey, Any] = {}
    for key in keys:
        found.update(tx.documents(key))
    return found


def with_undo(record: PackageRecord, before: Documents, after: Documents) -> PackageRecord:
    """Have a package remember what its commit did to the state."""
    differing = [
        key for key in {**before, **after} if key not in before or key not in after or before[key] != after[key]
    ]
    if not differing:
        return record
    kept = {
        "keys": [list(key) for key in differing],
        "documents": [[list(key), before[key]] for key in differing if key in before],
    }
    return replace(record, options={**record.options, UNDO: kept})


def without_undo(record: PackageRecord) -> PackageRecord:
    """Have a package forget it: its rows and the state that belongs to them have arrived."""
    return replace(record, options={name: value for name, value in record.options.items() if name != UNDO})


def state_without(documents: Documents, absent: Iterable[PackageRecord]) -> dict[StateKey, Any]:
    """Give the state less what the commits of some packages changed."""
    state = dict(documents)
    for record in sorted(absent, key=lambda one: (one.committed_at, one.load_id), reverse=True):
        undo: Mapping[str, Any] = record.options.get(UNDO, {})
        for key in undo.get("keys", ()):
            state.pop(tuple(key), None)
        state.update({tuple(key): value for key, value in undo.get("documents", ())})
    return state
