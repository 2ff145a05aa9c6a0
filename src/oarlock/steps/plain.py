"""Plain values: what rows may hold besides the kinds of JSON, made dicts, lists and scalars, a level at a time."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from oarlock.schema import coercion
from oarlock.schema.coercion import CannotCoerce, nested

#: Types whose values are taken as they are; a value of any other is made plain first.
KNOWN: frozenset[type] = frozenset(
    {type(None), bool, int, float, str, bytes, dict, list, Decimal, datetime, date, time}
)


def plain(value: Any) -> Any:
    """Turn a value of an unusual type into one of a known type; what is inside it is left for its own turn.

    A value that stands for nothing that a column holds comes back as it is.

    >>> plain((1, {2})), plain(float("inf")), plain({1, 2})
    ([1, {2}], inf, {1, 2})
    """
    if type(value) in KNOWN:
        return value
    inside = nested(value)
    if inside is not None:
        return dict(inside) if isinstance(inside, dict) else list(inside)
    try:
        found = coercion.plain(value)
    except CannotCoerce:
        return value
    return None if found is None else found[1]
