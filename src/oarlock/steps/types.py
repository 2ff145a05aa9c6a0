"""Types: the Arrow type of each data type, and the data type of each Arrow type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from oarlock.schema.system import DECIMAL

#: A column of the schema document.
ColumnDocument = Mapping[str, Any]

_UTC = pa.timestamp("us", "UTC")
_SIMPLE = {
    "text": pa.string(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "bool": pa.bool_(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "binary": pa.binary(),
    "json": pa.string(),
}
#: The widest decimal that Arrow's 128 bits and the destinations hold.
MAX_PRECISION = 38


def arrow_type(column: ColumnDocument) -> pa.DataType:
    """Give the Arrow type that a column's values have on their way to the destination."""
    data_type = column["data_type"]
    if data_type == "timestamp":
        return _UTC if column.get("timezone") is not False else pa.timestamp("us")
    if data_type == "decimal":
        precision, scale = column.get("precision"), column.get("scale")
        precision = min(DECIMAL[0] if precision is None else precision, MAX_PRECISION)
        return pa.decimal128(precision, min(DECIMAL[1] if scale is None else scale, precision))
    if data_type == "wei":
        return pa.decimal128(MAX_PRECISION, 0)
    return _SIMPLE[data_type]


def column_of(kind: pa.DataType) -> dict[str, Any] | None:
    """Give the data type of an Arrow type, with precision, scale and timezone where they are its own.

    None for the type of a column that holds nothing but NULL.
    """
    is_ = pa.types
    if is_.is_null(kind):
        return None
    if is_.is_dictionary(kind):
        return column_of(kind.value_type)
    if is_.is_boolean(kind):
        return {"data_type": "bool"}
    if is_.is_integer(kind):
        return {"data_type": "bigint"}
    if is_.is_floating(kind):
        return {"data_type": "double"}
    if is_.is_decimal(kind):
        return _decimal(kind)
    if is_.is_timestamp(kind):
        return {"data_type": "timestamp"} if kind.tz else {"data_type": "timestamp", "timezone": False}
    if is_.is_date(kind):
        return {"data_type": "date"}
    if is_.is_time(kind):
        return {"data_type": "time"}
    if is_binary(kind):
        return {"data_type": "binary"}
    # What is neither nested nor text, such as a duration, is looked at value by value.
    return {"data_type": "json"} if is_.is_nested(kind) else {"data_type": "text"}


def _decimal(kind: pa.DataType) -> dict[str, Any]:
    precision, scale = kind.precision, kind.scale
    if precision > MAX_PRECISION or not 0 <= scale <= precision:
        return {"data_type": "decimal"}
    if (precision, scale) == (MAX_PRECISION, 0):
        return {"data_type": "wei"}
    return {"data_type": "decimal", "precision": precision, "scale": scale}


def is_text(kind: pa.DataType) -> bool:
    """Tell whether an Arrow type is text of any layout."""
    is_ = pa.types
    return bool(is_.is_string(kind) or is_.is_large_string(kind) or is_.is_string_view(kind))


def is_binary(kind: pa.DataType) -> bool:
    """Tell whether an Arrow type is bytes of any layout."""
    is_ = pa.types
    views = is_.is_binary_view(kind) or is_.is_fixed_size_binary(kind)
    return bool(views or is_.is_binary(kind) or is_.is_large_binary(kind))
