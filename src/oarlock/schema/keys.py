"""Keys: which column each key of a row goes to, so that no two keys of one row share a column.

``a b``, ``a_b``, ``A B`` and ``a-b`` all normalize to ``a_b``. The rule looks at one row alone, never at the schema or
at the rows before it, so every worker, in whatever order, gives a row the same columns:

1. Keys collide only where *one row* holds values for both (NULL is no value). Rows that spell a key now one way and
   now another, each row one way, go on sharing the column.
2. Of the keys that collide in a row, the first takes the plain name: the one that is spelled like the column, if it is
   there, else the one with the fewest parts, else the first in the order of code points.
3. Each other takes a column of its own, ``<name>_<tag of its raw key>``, with the raw key in the column's hint
   ``x-source-key``. Should that name be taken in the row too, the next tag is tried.

A key is the whole path to a value: ``("a", "b")`` for ``{"a": {"b": 1}}``. It collides with the key ``("a__b",)`` too.
A list's path names a child table; the rule among the lists of one row is the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import orjson

from oarlock.schema.naming import SEPARATOR, TAG_LENGTH, Naming, tag

#: The raw keys from a row's top down to one value.
KeyPath = tuple[str, ...]

#: The hint that keeps the raw key of a column that had to be told apart.
SOURCE_KEY_HINT = "x-source-key"

_CACHED_SHAPES = 1_024
_CACHED_SHAPE_KEYS = 512
_CACHED_PATHS = 65_536
_MAX_SOURCE_KEY_LENGTH = 200
# Parts of a raw path are joined by a character that no one puts in a key, so that ("a", "b") is not ("a__b",).
_JOINT = "\x1f"


def key_text(key: object) -> str:
    """Write a key that is not text as JSON would: 1 as "1", None as "null", a date in ISO form.

    Raises:
        TypeError: JSON has no such key.
    """
    if isinstance(key, str):
        return str(key)
    text: str = next(iter(orjson.loads(orjson.dumps({key: 0}, option=orjson.OPT_NON_STR_KEYS))))
    return text


def precedence(path: KeyPath, name: str) -> tuple[bool, int, KeyPath]:
    """Give the order in which keys that collide in a row take names; the least takes the plain one."""
    return SEPARATOR.join(path) != name, len(path), path


def source_key(path: KeyPath) -> str:
    """Write a raw key so that any schema document can hold it."""
    text = SEPARATOR.join(path).encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _MAX_SOURCE_KEY_LENGTH else text[: _MAX_SOURCE_KEY_LENGTH - 1] + "…"


class KeyMap:
    """Maps the key paths of the rows of one table to column names; remembers a bounded number of them.

    Where a method takes ``taken``, those are columns that no key may have, such as the variants of other columns.

    >>> keys = KeyMap(Naming(63))
    >>> keys.assign([("user_id",), ("n", "x")])
    ['user_id', 'n__x']
    >>> keys.assign([("userId",), ("user_id",)])
    ['user_id_blr0jg', 'user_id']
    """

    __slots__ = ("_names", "_shapes", "naming")

    def __init__(self, naming: Naming) -> None:
        self.naming = naming
        self._names: dict[KeyPath, str] = {}
        self._shapes: dict[tuple[KeyPath, ...], list[str]] = {}

    def name(self, path: KeyPath) -> str:
        """Name the column that a key takes where nothing collides with it."""
        found = self._names.get(path)
        if found is None:
            column = self.naming.column
            found = column(path[0]) if len(path) == 1 else self.naming.make_path(*map(column, path))
            if len(self._names) >= _CACHED_PATHS:
                self._names.clear()
            self._names[path] = found
        return found

    def spare(self, path: KeyPath, taken: Collection[str] = ()) -> str:
        """Name the column that a key takes where another key of its row has the plain one."""
        raw, name = _JOINT.join(path), self.name(path)
        limit = self.naming.max_length
        if limit:
            name = name[: limit - TAG_LENGTH - 1]
        stem = name.rstrip("_") or "x"
        spare = f"{stem}_{tag(raw)}"
        while spare in taken:
            raw += _JOINT
            spare = f"{stem}_{tag(raw)}"
        return spare

    def assign(self, paths: Sequence[KeyPath], taken: Collection[str] = ()) -> list[str]:
        """Name the column of each key of one row, all of them keys with values and no two the same."""
        if taken:
            return self._assign(paths, taken)
        shape = tuple(paths)
        found = self._shapes.get(shape)
        if found is None:
            found = self._assign(paths, taken)
            if len(shape) <= _CACHED_SHAPE_KEYS:
                if len(self._shapes) >= _CACHED_SHAPES:
                    self._shapes.clear()
                self._shapes[shape] = found
        return found

    def _assign(self, paths: Sequence[KeyPath], taken: Collection[str]) -> list[str]:
        names = [self.name(path) for path in paths]
        used = {*names, *taken}
        if len(used) == len(names) + len(taken):
            return names
        owned = set(taken)
        for at in sorted(range(len(names)), key=lambda at: precedence(paths[at], names[at])):
            name = names[at]
            if name in owned:
                names[at] = name = self.spare(paths[at], used)
            owned.add(name)
            used.add(name)
        return names


def source_hints(keys: KeyMap, paths: Iterable[KeyPath], names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Give the hints of those columns of a row that had to be told apart, by column."""
    return {
        name: {SOURCE_KEY_HINT: source_key(path)}
        for path, name in zip(paths, names, strict=True)
        if name != keys.name(path)
    }


def variant_column(naming: Naming, columns: Mapping[str, Mapping[str, Any]], column: str, data_type: str) -> str:
    """Name the variant of a column, not a column that a user's own key has made.

    >>> variant_column(Naming(0), {}, "v", "text")
    'v__v_text'
    """
    name = naming.variant(column, data_type)
    raw = column
    while name in columns and columns[name].get("data_type") and not columns[name].get("variant"):
        name, raw = naming.make_path(column, f"v_{data_type}_{tag(raw)}"), raw + _JOINT
    return name
