"""Frames: Arrow columns of any type to columns of the dataset's types, whole columns at a time where nothing is lost.

Integers of every width are ``bigint``, or ``wei`` where an unsigned one needs its 64th bit; half and single floats are
``double``; times of every unit come to microseconds, what is finer is cut; a time without a zone makes a column without
one. Structs, lists and maps become JSON text. A column of nothing but NULL without a type is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from oarlock.errors import InvalidRow
from oarlock.schema.keys import KeyMap, KeyPath
from oarlock.steps.arrays import fits
from oarlock.steps.gathered import Cells
from oarlock.steps.transpose import shown
from oarlock.steps.types import ColumnDocument, arrow_type, column_of, is_binary, is_text

#: Rows of a table taken at a time.
BATCH_ROWS = 131_072
#: A batch of more bytes is halved: a text column holds at most 2 GiB.
BATCH_BYTES = 256 * 1024 * 1024
_INT64_MAX = (1 << 63) - 1
_MAX_PRECISION = 38

#: Type changes that lose nothing or fail, by data type: from what to what Arrow may cast a whole column.
_CASTS = frozenset(
    {
        ("bigint", "double"),
        ("double", "bigint"),
        ("bigint", "decimal"),
        ("bigint", "wei"),
        ("bigint", "text"),
        ("decimal", "decimal"),
        ("decimal", "wei"),
        ("wei", "decimal"),
        ("date", "timestamp"),
    }
)


def batches(table: pa.Table | pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Cut a table into batches of bounded size."""
    whole = [table] if isinstance(table, pa.RecordBatch) else table.to_batches(max_chunksize=BATCH_ROWS)
    for batch in whole:
        pieces = max(1, -(-batch.num_rows // BATCH_ROWS), -(-batch.nbytes // BATCH_BYTES))
        step = max(1, -(-batch.num_rows // pieces))
        for first in range(0, batch.num_rows, step):
            yield batch.slice(first, step)


def named_columns(
    batch: pa.RecordBatch, keys: KeyMap, taken: frozenset[str]
) -> tuple[dict[str, pa.Array], dict[str, KeyPath]]:
    """Name a batch's columns; of columns that collide, all but one get names of their own, given second."""
    columns = [(name, array) for name, array in zip(batch.schema.names, batch.columns, strict=True)]
    paths: list[KeyPath] = []
    for name, _ in columns:
        path, number = (str(name),), 2
        while path in paths:
            path, number = (f"{name}_{number}",), number + 1
        paths.append(path)
    names = keys.assign(paths, taken)
    told_apart = {name: path for name, path in zip(names, paths, strict=True) if name != keys.name(path)}
    return {name: array for name, (_, array) in zip(names, columns, strict=True)}, told_apart


def simplified(array: pa.Array, table: str, column: str) -> pa.Array:
    """Bring an Arrow array to one of the few types that values of the dataset have on their way.

    Raises:
        InvalidRow: it holds a time that microseconds cannot count.
    """
    array = _decoded(array)
    kind = array.type
    is_ = pa.types
    try:
        if is_.is_uint64(kind):
            largest = pc.max(array).as_py()
            wide = largest is not None and largest > _INT64_MAX
            return array.cast(pa.decimal128(_MAX_PRECISION, 0) if wide else pa.int64())
        if is_.is_integer(kind):
            return array.cast(pa.int64())
        if is_.is_floating(kind):
            return array.cast(pa.float64())
        if is_.is_timestamp(kind):
            return _in_microseconds(array)
        if is_.is_date(kind):
            return array.cast(pa.date32(), safe=False)
        if is_.is_time(kind):
            return array.cast(pa.time64("us"), safe=False)
        if is_.is_decimal(kind):
            return _narrow_decimal(array)
    except pa.ArrowInvalid as error:
        raise InvalidRow(table, column, shown(array), str(error)) from error
    return array.cast(pa.string()) if is_text(kind) else array.cast(pa.binary()) if is_binary(kind) else array


def converted(array: pa.Array, column: ColumnDocument) -> pa.Array | None:
    """Convert a simplified array to a column's type; None where that takes a look at each value."""
    wanted, own = arrow_type(column), column_of(array.type)
    if own is None:
        return pa.nulls(len(array), wanted)
    if own["data_type"] == column["data_type"] and array.type == wanted:
        narrow = column.get("precision") if column["data_type"] == "bigint" else None
        return array if fits(array, narrow) else None
    if own["data_type"] == column["data_type"] == "timestamp":
        return array.cast(pa.int64()).cast(wanted)
    if (own["data_type"], column["data_type"]) not in _CASTS:
        return None
    if column["data_type"] == "bigint" and column.get("precision"):
        return None  # narrower than 64 bits
    try:
        return array.cast(wanted)
    except pa.ArrowInvalid:
        return None


def cells(array: pa.Array, table: str, column: str) -> Cells:
    """Give an array's values one by one."""
    try:
        values = _values(array)
        if (column_of(array.type) or {}).get("data_type") == "wei":
            values = [None if value is None else int(value) for value in values]
        return Cells(values, None)
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise InvalidRow(table, column, shown(array), str(error)) from error


def _values(array: pa.Array) -> list[Any]:
    if not pa.types.is_nested(array.type):
        return list(array.to_pylist())
    try:
        return list(array.to_pylist(maps_as_pydicts="strict"))
    except KeyError:
        return [_value(one) for one in array]


def _value(one: pa.Scalar) -> Any:
    try:
        return one.as_py(maps_as_pydicts="strict")
    except KeyError:
        return one.as_py()  # a key twice in one map: only pairs can hold that


def _decoded(array: pa.Array) -> pa.Array:
    """Take encodings away: dictionaries, runs, extension types."""
    while True:
        kind = array.type
        if isinstance(kind, pa.BaseExtensionType) and kind.extension_name != "arrow.uuid":
            array = array.storage
        elif isinstance(kind, pa.BaseExtensionType):
            return pa.array([None if one is None else str(one) for one in array.to_pylist()], pa.string())
        elif pa.types.is_dictionary(kind):
            array = array.dictionary_decode()
        elif pa.types.is_run_end_encoded(kind):
            array = pc.run_end_decode(array)
        else:
            return array


def _in_microseconds(array: pa.Array) -> pa.Array:
    """Bring moments to microseconds, rounding down, those with a zone to UTC."""
    kind = array.type
    wanted = pa.timestamp("us", "UTC") if kind.tz else pa.timestamp("us")
    if kind.unit == "ns":
        nanoseconds = array.cast(pa.int64())
        whole = pc.divide(nanoseconds, 1000)
        is_late = pc.greater(pc.multiply(whole, 1000), nanoseconds)  # division rounds towards 1970
        return pc.subtract(whole, is_late.cast(pa.int64())).cast(wanted)
    return array.cast(wanted)


def _narrow_decimal(array: pa.Array) -> pa.Array:
    kind = array.type
    precision, scale = kind.precision, kind.scale
    if scale < 0:
        precision, scale = precision - scale, 0
    try:
        return array.cast(pa.decimal128(min(precision, _MAX_PRECISION), scale))
    except (pa.ArrowInvalid, ValueError):
        return array  # wider than a column: value by value
