"""Transposing: dicts to one list of values for each key, and lists of mixed values to one list for each kind."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np

from oarlock.errors import InvalidRow
from oarlock.schema import coercion
from oarlock.schema.coercion import CannotCoerce
from oarlock.schema.keys import key_text
from oarlock.schema.system import VALUE
from oarlock.steps.gathered import Cells
from oarlock.steps.plain import KNOWN, plain
from oarlock.steps.rowids import Numbers

#: Keys are asked of every dict while at least one of this many answers is a value; else each dict tells its own keys.
_DENSE = 4

#: One key's values, and the places of the dicts that have it; None where there is a value for every dict.
KeyValues = tuple[str, list[Any], Numbers | None]


def columns_of(dicts: Sequence[dict[str, Any]], table: str) -> list[KeyValues]:
    """Turn dicts into one list of values for each key; None stands where a dict lacks the key."""
    first = dicts[0]
    if set(map(type, first)) <= {str} and set(map(len, dicts)) == {len(first)}:
        try:
            return [(key, list(map(itemgetter(key), dicts)), None) for key in first]
        except KeyError:
            pass  # as many keys, but others
    keys = dict.fromkeys(chain.from_iterable(dicts))
    if not set(map(type, keys)) <= {str}:
        dicts = [_with_text_keys(one, table) for one in dicts]
        keys = dict.fromkeys(chain.from_iterable(dicts))
    if len(keys) * len(dicts) <= _DENSE * sum(map(len, dicts)):
        return [(key, [one.get(key) for one in dicts], None) for key in keys]
    return _sparse(dicts)


def _sparse(dicts: Sequence[dict[str, Any]]) -> list[KeyValues]:
    values: dict[str, list[Any]] = {}
    places: dict[str, list[int]] = {}
    for place, one in enumerate(dicts):
        for key, value in one.items():
            if key in values:
                values[key].append(value)
                places[key].append(place)
            else:
                values[key], places[key] = [value], [place]
    return [(key, found, np.array(places[key], dtype=np.int64)) for key, found in values.items()]


def _with_text_keys(one: dict[Any, Any], table: str) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in one.items():
        text = key if type(key) is str else _text(key)
        if text in made:
            raise InvalidRow(table, text, repr(value), f"two keys of one dict are both {text!r} as text")
        made[text] = value
    return made


def _text(key: object) -> str:
    try:
        return str.__str__(key) if isinstance(key, str) else key_text(key)
    except (TypeError, ValueError):
        return str(key)


def with_types(values: list[Any], table: str, column: str) -> tuple[list[Any], set[type]]:
    """Give values with unusual types made plain, and the set of their types.

    Raises:
        InvalidRow: no column holds such a value.
    """
    types = set(map(type, values))
    if types <= KNOWN:
        return values, types
    values = [value if type(value) in KNOWN else _plain(value, table, column) for value in values]
    return values, set(map(type, values))


def _plain(value: Any, table: str, column: str) -> Any:
    turned = plain(value)
    if type(turned) in KNOWN:
        return turned
    try:
        coercion.plain(turned)
    except CannotCoerce as error:
        raise InvalidRow(table, column, shown(value), str(error)) from error
    raise InvalidRow(table, column, shown(value), f"no column holds a value of type {type(value).__qualname__}")


def shown(value: Any) -> str:
    """Write a value for an error's text, whatever its class makes of that."""
    try:
        return repr(value)
    except Exception:
        return f"<{type(value).__qualname__}>"


def picked(values: list[Any], rows: Numbers | None, types: set[type], wanted: type) -> Cells:
    """Take the values of one type, with their rows."""
    if len(types) == 1:
        return Cells(values, rows)
    places = np.flatnonzero(np.fromiter((type(value) is wanted for value in values), np.bool_, len(values)))
    return Cells([values[place] for place in places.tolist()], places if rows is None else rows[places])


def without_empty(lists: Cells) -> Cells:
    """Leave empty lists out: they bring no rows, and so collide with nothing."""
    if all(lists.values):
        return lists
    return lists.at([place for place, value in enumerate(lists.values) if value])


def without_nested(values: list[Any]) -> list[Any]:
    """Put NULL where dicts and lists were."""
    return [None if type(value) is dict or type(value) is list else value for value in values]


def as_dicts(rows: Sequence[Any], table: str) -> Sequence[dict[str, Any]]:
    """Give rows as dicts: records of other classes are turned into one, a plain value becomes the key ``value``."""
    if set(map(type, rows)) == {dict}:
        return rows
    return [row if type(row) is dict else _as_dict(row, table) for row in rows]


def _as_dict(row: Any, table: str) -> dict[str, Any]:
    value = row if type(row) in KNOWN else _plain(row, table, VALUE)
    return value if type(value) is dict else {VALUE: value}
