"""Merging what one run did to the state onto what is there now: key by key, against the state both started from.

A key changed on one side only takes that side. A key changed on both sides alike is no conflict. Beyond that:

    a cursor                 joins by its own rule: the greater last value wins (the smaller under "min"), at equal
                             values the hashes of both are kept
    two dicts                are merged key by key, one level deeper
    schema_names             names of both sides
    default_schema_name      the one that is there stays
    _local bookkeeping       the later writer wins; first_run, once False, stays False
    anything else            StateConflict, naming the key and both writers
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from oarlock.errors import StateConflict, StateInvalid
from oarlock.state.base import Documents, StateKey
from oarlock.state.documents import is_cursor, is_level, shown
from oarlock.state.typed_json import dumps


class _Missing:
    """The value of a key that is not there."""

    def __repr__(self) -> str:
        return "MISSING"

    def __reduce__(self) -> str:
        return "MISSING"


#: Stands for "no such key": what a rule is given for it, and what it gives to have the key deleted.
MISSING: Final = _Missing()
#: Joins two changes of one key: (base, ours, current) -> the value to keep. Raises Clash where it cannot.
Rule = Callable[[Any, Any, Any], Any]


class Clash(Exception):
    """A rule cannot join two values; becomes a StateConflict."""

    def __init__(self, inner: tuple[str, ...] = ()) -> None:
        self.inner = inner
        super().__init__(inner)


def merge_documents(
    base: Documents,
    ours: Documents,
    current: Documents,
    *,
    author: str,
    authors: Mapping[StateKey, str],
    rules: Mapping[StateKey, Rule] | None = None,
) -> dict[StateKey, Any]:
    """Give the changes that bring ``current`` to hold what ``ours`` did to ``base``; MISSING stands for a deletion.

    Raises:
        StateConflict: Both sides changed one plain key to different values.
        StateInvalid: A value cannot be kept as JSON.
    """
    changes: dict[StateKey, Any] = {}
    for key in [*ours, *(key for key in base if key not in ours)]:
        was, mine = base.get(key, MISSING), ours.get(key, MISSING)
        try:
            if same(was, mine):
                continue
            now = current.get(key, MISSING)
            value = _joined(key, was, mine, now, rules or {})
            if not same(value, now):
                changes[key] = value
        except Clash as clash:
            raise StateConflict(shown((*key, *clash.inner)), author, authors.get(key, "another run")) from None
        except (TypeError, ValueError) as error:
            raise StateInvalid(shown(key), str(error)) from error
    _check_levels(changes, current, author, authors)
    return changes


def changed(base: Documents, ours: Documents) -> tuple[dict[StateKey, Any], dict[StateKey, Any]]:
    """Give both sides with only the keys that differ: what a merge needs, worked out before the guard is taken."""
    keys = [*ours, *(key for key in base if key not in ours)]
    differing = [key for key in keys if not _same(key, base.get(key, MISSING), ours.get(key, MISSING))]
    return (
        {key: base[key] for key in differing if key in base},
        {key: ours[key] for key in differing if key in ours},
    )


def _same(key: StateKey, one: Any, other: Any) -> bool:
    try:
        return same(one, other)
    except (TypeError, ValueError) as error:
        raise StateInvalid(shown(key), str(error)) from error


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are written alike, whatever the order of their keys: 1, 1.0 and True are three values."""
    if one is other:
        return True
    if one is MISSING or other is MISSING or type(one) is not type(other):
        return False
    if isinstance(one, str | bool | int):
        return bool(one == other)
    return dumps(one, sort_keys=True) == dumps(other, sort_keys=True)


def join_cursors(base: Any, ours: Any, current: Any) -> Any:
    """Join two moves of one cursor by the cursor's rule."""
    if not (isinstance(ours, dict) and isinstance(current, dict)):
        raise Clash
    rule = ours.get("last_value_func", current.get("last_value_func", "max"))
    if rule not in ("max", "min") or current.get("last_value_func", rule) != rule:
        raise Clash(("last_value_func",))
    mine, theirs = ours.get("last_value"), current.get("last_value")
    if theirs is None or mine is None:
        return current if mine is None else ours
    order = _compare(mine, theirs)
    if order == 0:
        hashes = [*(current.get("unique_hashes") or ()), *(ours.get("unique_hashes") or ())]
        return {**ours, **current, "unique_hashes": list(dict.fromkeys(hashes))}
    return ours if (order > 0) == (rule == "max") else current


def join_dicts(base: Any, ours: Any, current: Any) -> Any:
    """Merge two dicts key by key, and the dicts in them likewise."""
    if not (isinstance(ours, dict) and isinstance(current, dict)):
        raise Clash
    was = base if isinstance(base, dict) else {}
    merged = dict(current)
    for name in [*ours, *(name for name in was if name not in ours)]:
        before, mine = was.get(name, MISSING), ours.get(name, MISSING)
        now = current.get(name, MISSING)
        if same(before, mine) or same(mine, now):
            continue
        if not same(before, now):
            try:
                mine = join_dicts(before, mine, now)
            except Clash as clash:
                raise Clash((name, *clash.inner)) from None
        if mine is MISSING:
            merged.pop(name, None)
        else:
            merged[name] = mine
    return merged


def _joined(key: StateKey, base: Any, ours: Any, current: Any, rules: Mapping[StateKey, Rule]) -> Any:
    if same(base, current) or same(ours, current):
        return ours
    rule = rules.get(key) or _RULES.get(key)
    if rule is None and is_cursor(key):
        rule = join_cursors
    if rule is None and key[0] == "_local" and (key[-1].startswith("_") or key[-1] in _BOOKKEEPING):
        rule = _latest
    return (rule or join_dicts)(base, ours, current)


def _compare(one: Any, other: Any) -> int:
    if isinstance(one, datetime) and isinstance(other, datetime) and (one.tzinfo is None) != (other.tzinfo is None):
        one, other = _aware(one), _aware(other)
    try:
        return int(one > other) - int(one < other)
    except TypeError:
        raise Clash(("last_value",)) from None


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _union(base: Any, ours: Any, current: Any) -> Any:
    if not (isinstance(ours, list) and isinstance(current, list)):
        raise Clash
    was = base if isinstance(base, list) else []
    dropped = [name for name in was if name not in ours or name not in current]
    return [name for name in dict.fromkeys([*current, *ours]) if name not in dropped]


def _keep(base: Any, ours: Any, current: Any) -> Any:
    return ours if current in (MISSING, None) else current


def _latest(base: Any, ours: Any, current: Any) -> Any:
    return ours


def _both(base: Any, ours: Any, current: Any) -> Any:
    return bool(ours) and bool(current)


#: Keys that every run of a pipeline writes, and that therefore must never conflict.
_RULES: dict[StateKey, Rule] = {
    ("schema_names",): _union,
    ("default_schema_name",): _keep,
    ("_local", "first_run"): _both,
}
#: Facts of the folder that each run writes anew.
_BOOKKEEPING = ("initial_cwd", "last_run_context")


def _check_levels(
    changes: Mapping[StateKey, Any], current: Documents, author: str, authors: Mapping[StateKey, str]
) -> None:
    """Refuse a plain value where another run has put keys below it, and the other way round."""
    plain = {key for key, value in changes.items() if is_level(key) and value is not MISSING and not _is_empty(value)}
    for key in changes:
        for length in range(1, len(key)):
            above = key[:length]
            value = changes.get(above, current.get(above, MISSING))
            if changes[key] is not MISSING and value is not MISSING and not _is_empty(value):
                raise StateConflict(shown(above), author, authors.get(above, "another run"))
    if not plain:
        return
    for key in current:
        if changes.get(key) is not MISSING and any(key[: len(level)] == level and key != level for level in plain):
            raise StateConflict(shown(key), author, authors.get(key, "another run"))


def _is_empty(value: Any) -> bool:
    return isinstance(value, dict) and not value
