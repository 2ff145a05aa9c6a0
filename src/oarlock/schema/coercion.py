"""Coercion: which data type a value has, and what it becomes in a column of another type.

A value goes into a column only where it can be had back: 1.0 into ``bigint`` as 1, "2.5" into ``double``, midnight into
``date``. Where something would be lost (1.5 into ``bigint``, 2 into ``bool``, "007" into ``bigint``, 2**53 + 1 into
``double``, a time of day into ``date``, a nanosecond into ``timestamp``) the answer is :class:`CannotCoerce`, and the
caller puts the value into a column beside it: ``<column>__v_<type>``, of the first type in :func:`variants` that takes
it. Text takes whatever UTF-8 can write.

What comes back is what Arrow takes for the column: str, int, float, bool, bytes, Decimal (``decimal`` and ``wei``), a
datetime in UTC (naive in a column whose ``timezone`` is False), date, a naive time, JSON text for ``json``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from oarlock.schema.conversions import CONVERTERS, Hints, decimal_digits
from oarlock.schema.plain import CannotCoerce, nested, plain
from oarlock.schema.system import DECIMAL
from oarlock.schema.times import parse_date, parse_timestamp
from oarlock.values import DataType

__all__ = [
    "CannotCoerce",
    "Hints",
    "coerce",
    "converter",
    "decimal_hints",
    "infer",
    "nested",
    "plain",
    "type_of",
    "variants",
]

_NO_HINTS: Hints = {}
_YEAR_SECONDS = 31_536_000
_NOW_YEARS = 5

#: The Python class that a plain value of each type has.
_CLASSES: Mapping[str, type] = {
    "text": str,
    "bigint": int,
    "wei": int,
    "double": float,
    "bool": bool,
    "binary": bytes,
    "decimal": Decimal,
    "timestamp": datetime,
    "date": date,
    "time": time,
}


def type_of(value: Any) -> DataType | None:
    """Return the data type a value has by its class; None for a value that is none. Raises CannotCoerce."""
    found = plain(value)
    return None if found is None else found[0]


def infer(value: Any, detections: Sequence[str] = ("iso_timestamp",), *, now_s: float = 0.0) -> DataType | None:
    """Return the data type of a new column whose first value this is; None for a value that is none.

    ``detections`` are those of the schema's settings: iso_timestamp, iso_date, and timestamp, which takes numbers
    within five years of ``now_s``.

    >>> infer("2024-01-02T03:04:05Z"), infer("2024-01-02"), infer(2**70), infer(float("nan"))
    ('timestamp', 'text', 'wei', 'double')

    Raises:
        CannotCoerce: No column holds such a value.
    """
    found = plain(value)
    if found is None:
        return None
    data_type, bare = found
    if data_type == "text":
        if "iso_timestamp" in detections and parse_timestamp(bare) is not None:
            return "timestamp"
        if "iso_date" in detections and parse_date(bare) is not None:
            return "date"
    if (
        "timestamp" in detections
        and data_type in ("bigint", "double")
        and abs(bare - now_s) <= _NOW_YEARS * _YEAR_SECONDS
    ):
        return "timestamp"
    return data_type


def variants(value: Any) -> tuple[DataType, ...]:
    """Name the types of the columns to try, in turn, for a value that its own column does not take."""
    data_type = type_of(value)
    return ("text",) if data_type in (None, "text") else (data_type, "text")


def coerce(value: Any, from_type: DataType, to_type: DataType, hints: Hints = _NO_HINTS) -> Any:
    """Turn a value of type ``from_type`` (see :func:`type_of`) into one that a column of ``to_type`` takes.

    >>> coerce("5", "text", "bigint"), coerce(1, "bigint", "text"), coerce("yes", "text", "bool")
    (5, '1', True)

    Raises:
        CannotCoerce: It cannot, or not without loss.
    """
    expected = _CLASSES.get(from_type)
    if expected is not None and type(value) is not expected:
        found = plain(value)
        if found is None or found[0] != from_type:
            raise CannotCoerce(f"the value is {found and found[0]}, not {from_type}")
        value = found[1]
    return converter(from_type, to_type)(value, hints)


def converter(from_type: DataType, to_type: DataType) -> Callable[[Any, Hints], Any]:
    """Return the function of a plain value and the column's hints that coerces from one type to another."""
    found = CONVERTERS.get((to_type, from_type))
    return found if found is not None else _refuse(from_type, to_type)


def decimal_hints(values: Iterable[Decimal]) -> dict[str, int] | None:
    """Choose precision and scale for a new column of these values; None where no decimal column holds any of them.

    The usual (38, 9) needs no hints. Where that is too small, the precision is 38 and the scale as small as holds
    every value, but 9 if that leaves room. Where no scale holds them all, the usual if it holds one of them, else what
    holds the first that can be held; those left out go to variants.

    >>> decimal_hints([Decimal("1.5")]), decimal_hints([Decimal("0.1234567890123")])
    ({}, {'precision': 38, 'scale': 13})
    >>> decimal_hints([Decimal(10) ** 31, Decimal("0.5")])
    {'precision': 38, 'scale': 6}
    """
    shapes = [decimal_digits(value) for value in values]
    held = [shape for shape in shapes if sum(shape) <= DECIMAL[0]]
    if not held:
        return {} if not shapes else None
    whole, after = max(shape[0] for shape in shapes), max(shape[1] for shape in shapes)
    if whole + after > DECIMAL[0]:
        if any(shape[0] <= DECIMAL[0] - DECIMAL[1] and shape[1] <= DECIMAL[1] for shape in held):
            return {}
        whole, after = held[0]
    scale = max(after, min(DECIMAL[1], DECIMAL[0] - whole))
    return {} if scale == DECIMAL[1] else {"precision": DECIMAL[0], "scale": scale}


def _refuse(from_type: str, to_type: str) -> Callable[[Any, Hints], Any]:
    def refuse(value: Any, hints: Hints) -> Any:
        raise CannotCoerce(f"{from_type} does not go into {to_type}")

    return refuse
