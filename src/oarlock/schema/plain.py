"""Plain values: what a Python value is once the classes around it are taken away, and which data type it has."""

from __future__ import annotations

import binascii
import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any, cast
from uuid import UUID

import orjson

from oarlock.values import DataType

#: A plain value beside its type; a value that is no value at all (None, NaT, NA) is None.
Plain = tuple[DataType, Any] | None

INT64_LIMIT = 1 << 63
#: ``wei`` holds whole numbers of at most this many digits.
WEI_DIGITS = 38
_WEI_LIMIT = 10**WEI_DIGITS
_NO_VALUES = frozenset({"NAType", "NaTType"})

_EXACT: dict[type, DataType] = {
    str: "text",
    float: "double",
    bool: "bool",
    bytes: "binary",
    dict: "json",
    list: "json",
    datetime: "timestamp",
    date: "date",
    time: "time",
}


class CannotCoerce(ValueError):
    """A value does not go into a type without loss: the caller finds it another column, or sets its row aside."""


def plain(value: Any) -> Plain:
    """Take the classes around a value away: enums, numpy and pandas scalars, subclasses, dataclasses.

    Integers over 64 bits are ``wei``, over 38 digits text; a decimal that is no number is a double, as NaN is.

    Raises:
        CannotCoerce: No column holds such a value.
    """
    kind = type(value)
    data_type = _EXACT.get(kind)
    if data_type is not None:
        return data_type, value
    if kind is int:
        return _integer(value)
    if kind is Decimal:
        return _decimal(value)
    return None if value is None or kind.__name__ in _NO_VALUES else _unwrapped(value)


def nested(value: Any) -> dict[Any, Any] | list[Any] | None:
    """Return the dict or list that a value is or stands for; None for all others.

    Dicts and lists come back as they are; other mappings, dataclasses, named tuples and models become dicts, other
    sequences become lists. What is inside them stays as it was.
    """
    if isinstance(value, dict | list):
        return value
    if isinstance(value, str | bytes | bytearray | memoryview | Enum):
        return None
    if isinstance(value, Mapping):
        return dict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    for method in ("_asdict", "model_dump", "asdict"):
        if callable(getattr(type(value), method, None)):
            return cast("dict[Any, Any]", getattr(value, method)())
    return list(value) if isinstance(value, Sequence) else None


def checked_text(value: str) -> str:
    """Return a text that can be written as UTF-8. Raises CannotCoerce for half a surrogate pair."""
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise CannotCoerce("the text holds half of a surrogate pair, which UTF-8 cannot write") from error
    return value


def json_text(value: Any) -> str:
    """Write a nested value as JSON: times in ISO form, bytes in base64, decimals as text.

    Raises:
        CannotCoerce: It holds NaN or Infinity, which JSON has not; is nested too deep; or holds an unknown class.
    """
    text = _dumps(value)
    if "null" in text and _has_odd_number(value):
        raise CannotCoerce("a nested value holds NaN or Infinity, which JSON cannot write")
    return text


def loose_json_text(value: Any) -> str:
    """Write a nested value as JSON with the words NaN, Infinity and -Infinity, which few readers take."""
    text = _dumps(value)
    return _dumps_slow(value) if "null" in text and _has_odd_number(value) else text


def _integer(value: int) -> Plain:
    if -INT64_LIMIT <= value < INT64_LIMIT:
        return "bigint", value
    if -_WEI_LIMIT < value < _WEI_LIMIT:
        return "wei", value
    try:
        return "text", str(value)
    except ValueError as error:
        raise CannotCoerce(f"an integer of {value.bit_length()} bits cannot be written out") from error


def _decimal(value: Decimal) -> Plain:
    if value.is_finite():
        return "decimal", value
    return "double", math.nan if value.is_nan() else float(value)


def _unwrapped(value: Any) -> Plain:
    if isinstance(value, Enum):
        return plain(value.value) if isinstance(value, int) else ("text", str(value.value))
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        return _from_numpy(value)
    if callable(getattr(value, "as_py", None)):
        return plain(value.as_py())
    if isinstance(value, datetime):
        return _datetime(value)
    for base, make in _BASES:
        if isinstance(value, base):
            return plain(make(value))
    inside = nested(value)
    if inside is None:
        raise CannotCoerce(f"no column holds a value of type {type(value).__module__}.{type(value).__qualname__}")
    return "json", inside


_BASES: tuple[tuple[Any, Any], ...] = (
    (str, lambda value: str.__str__(value)),
    (float, float),
    (int, int),
    (Decimal, lambda value: Decimal(value)),
    ((bytes, bytearray, memoryview), bytes),
    (date, lambda value: date(value.year, value.month, value.day)),
    (
        time,
        lambda value: time(value.hour, value.minute, value.second, value.microsecond, value.tzinfo, fold=value.fold),
    ),
    (UUID, str),
)


def _datetime(value: datetime) -> Plain:
    if getattr(value, "nanosecond", 0):
        return "text", value.isoformat()
    when = datetime.combine(value.date(), value.time(), value.tzinfo)
    return "timestamp", when.replace(fold=value.fold)


def _from_numpy(value: Any) -> Plain:
    kind = value.dtype.kind
    if kind == "m":
        raise CannotCoerce("no column holds a duration; make it a number of seconds")
    if kind != "M":
        return plain(value.tolist())
    if getattr(value, "shape", ()):
        return "json", list(value)
    micros = value.astype("datetime64[us]")
    return plain(micros.tolist()) if micros == value or value != value else ("text", str(value))


def _dumps(value: Any) -> str:
    try:
        return orjson.dumps(value, default=_for_json, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError as error:
        if "64-bit" in str(error):
            return _dumps_slow(value)
        raise CannotCoerce(f"a nested value cannot be written as JSON: {error}") from error


def _dumps_slow(value: Any) -> str:
    try:
        text = json.dumps(value, default=_for_json, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise CannotCoerce(f"a nested value cannot be written as JSON: {error}") from error
    return checked_text(text)


def _for_json(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    found = plain(value)
    if found is None:
        return None
    data_type, bare = found
    if data_type == "binary":
        return base64_text(bare)
    if data_type in ("timestamp", "date", "time"):
        return bare.isoformat()
    return str(bare) if data_type == "decimal" else bare


def base64_text(value: bytes) -> str:
    """Write bytes as base64."""
    return binascii.b2a_base64(value, newline=False).decode("ascii")


def _has_odd_number(value: Any) -> bool:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting.extend(each.values())
        elif isinstance(each, list | tuple):
            waiting.extend(each)
        elif isinstance(each, float):
            if not math.isfinite(each):
                return True
        elif each is not None and not isinstance(each, str | int | Decimal) and (found := plain(each)) is not None:
            data_type, bare = found
            if data_type in ("json", "double"):
                waiting.append(bare)
    return False
