"""Arrays: lists of values to Arrow columns in one call, where all values are plainly what the column holds.

A typed conversion is only trusted with values whose Python types have been looked at: Arrow itself would make 1 of
1.5, and drop the zone of a time. Whatever does not fit gives None, and is then converted value by value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from oarlock.steps.gathered import BatchTooLarge
from oarlock.steps.types import ColumnDocument, arrow_type

#: What Arrow raises about values that it cannot convert as they are.
UNFIT = (pa.ArrowException, OverflowError, ValueError, TypeError)

#: The Python types that a data type takes without a look at each value.
_PLAINLY: Mapping[str, frozenset[type]] = {
    "text": frozenset({str}),
    "bigint": frozenset({int}),
    "double": frozenset({float, int}),
    "bool": frozenset({bool}),
    "binary": frozenset({bytes}),
    "timestamp": frozenset({datetime}),
    "date": frozenset({date}),
    "decimal": frozenset({Decimal}),
}
#: A moment as text has at least the characters of 2024-01-31T12:30:59; shorter forms are read one by one.
_MOMENT_LENGTH = 19
#: The years of Python's datetime, in microseconds from 1970.
_YEAR_1, _YEAR_10000 = -62_135_596_800_000_000, 253_402_300_800_000_000
#: Integers are held in 8, 16, 32 or 64 bits; only up to 32 there is something to check.
_LARGEST_HINTED_BITS = 32


def array_of(values: Sequence[Any], types: set[type], column: ColumnDocument) -> pa.Array | None:
    """Convert values to a column, or give None where that takes a look at each.

    Args:
        values: the values, None for NULL.
        types: the types among them, without None's.
        column: the column's document, with its data type.
    """
    data_type = column["data_type"]
    plainly = _PLAINLY.get(data_type)
    try:
        if plainly is not None and types <= plainly:
            array = one_array(values, arrow_type(column))
            return array if data_type != "bigint" or fits(array, column.get("precision")) else None
        if types == {str} and data_type == "timestamp":
            first = next(value for value in values if value is not None)
            return _moments(one_array(values, pa.string()), first, arrow_type(column))
        if types == {time} and data_type == "time" and all(one is None or one.tzinfo is None for one in values):
            return pa.array(values, arrow_type(column))
    except UNFIT:
        pass
    return None


def one_array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Make an array of values.

    Raises:
        BatchTooLarge: text or bytes of more than 2 GiB.
    """
    array = pa.array(values, kind)
    if isinstance(array, pa.ChunkedArray):
        raise BatchTooLarge
    return array


def fits(numbers: pa.Array, bits: int | None) -> bool:
    """Tell whether all integers of a column can be held in so many bits, or rather in the 8, 16, 32 or 64 above."""
    if bits is None or bits > _LARGEST_HINTED_BITS:
        return True
    limits = pc.min_max(numbers).as_py()
    limit = 1 << (next(size for size in (8, 16, 32) if bits <= size) - 1)
    return limits["min"] is None or (-limit <= limits["min"] and limits["max"] < limit)


def _moments(texts: pa.Array, first: str, kind: pa.DataType) -> pa.Array | None:
    """Read ISO 8601 texts, all with an offset or all without, as moments; None if some are of another form."""
    if pc.min(pc.binary_length(texts)).as_py() < _MOMENT_LENGTH:
        return None
    zoned = first[-1] == "Z" or "+" in first or first.count("-") > 2
    moments = pc.cast(texts, pa.timestamp("us", "UTC") if zoned else pa.timestamp("us"))
    # The instant in UTC is the number that both kinds of column hold.
    numbers = moments.view(pa.int64())
    limits = pc.min_max(numbers).as_py()
    if limits["min"] < _YEAR_1 or limits["max"] >= _YEAR_10000:
        return None
    return numbers.view(kind)
