"""Conversions: for each pair of data types, the function that takes a value from the one to the other, or refuses."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Context, Decimal
from typing import Any

import orjson

from oarlock.schema.plain import (
    INT64_LIMIT,
    WEI_DIGITS,
    CannotCoerce,
    base64_text,
    checked_text,
    json_text,
    loose_json_text,
)
from oarlock.schema.system import DECIMAL
from oarlock.schema.times import from_seconds, in_utc, parse_date, parse_time, parse_timestamp

#: The hints of a column: precision, scale, timezone.
Hints = Mapping[str, Any]

#: Text that is a whole number, the way it is written out again.
INTEGER_TEXT = r"\s*-?(?:0|[1-9][0-9]*)\s*"
#: Text that is a number; leading zeros and a plus are signs of something else: a postal code, a telephone number.
NUMBER_TEXT = r"\s*-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?\s*"
TRUE_TEXTS = frozenset({"yes", "true", "t", "y", "1"})
FALSE_TEXTS = frozenset({"no", "false", "f", "n", "0"})

_INTEGER = re.compile(INTEGER_TEXT)
_NUMBER = re.compile(NUMBER_TEXT)
_HEXADECIMAL = re.compile(r"\s*0x[0-9a-fA-F]+\s*")
_UNIX_SECONDS = re.compile(r"-?[0-9]{9,10}(?:\.[0-9]{1,6})?")
_NO_NUMBERS = {
    "nan": math.nan,
    "NaN": math.nan,
    "inf": math.inf,
    "Infinity": math.inf,
    "-inf": -math.inf,
    "-Infinity": -math.inf,
}
#: Longer texts are not tried as numbers.
_LONGEST_NUMBER = 400
_DIGITS = Context(prec=100)
_NO_HINTS: Hints = {}
_MICROSECOND_DIGITS = 6


def decimal_digits(value: Decimal) -> tuple[int, int]:
    """Count the digits before and after the point, without zeros that say nothing.

    >>> decimal_digits(Decimal("12.50")), decimal_digits(Decimal("1E+3")), decimal_digits(Decimal("0.001"))
    ((2, 1), (4, 0), (0, 3))
    """
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int) or not value:
        return 0, 0
    zeros = 0
    while exponent + zeros < 0 and digits[-1 - zeros] == 0:
        zeros += 1
    return max(0, len(digits) + exponent), max(0, -(exponent + zeros))


def _lossy(value: object, to_type: str) -> CannotCoerce:
    shown = value[:100] if isinstance(value, str) else value
    return CannotCoerce(f"{shown!r:.100} does not go into {to_type} without loss")


def _text(value: str, hints: Hints) -> str:
    return checked_text(value)


def _written(value: object, hints: Hints) -> str:
    return str(value)


def _iso(value: Any, hints: Hints) -> str:
    text: str = value.isoformat()
    return text


def _bigint(value: int, hints: Hints) -> int:
    bits = hints.get("precision")
    limit = INT64_LIMIT if bits is None else 1 << (_container(bits) - 1)
    if -limit <= value < limit:
        return value
    raise CannotCoerce(f"{value!r:.100} does not fit into {bits or 64} bits")


def _container(bits: int) -> int:
    return next((size for size in (8, 16, 32) if bits <= size), 64)


def _whole(value: Decimal | float) -> int:
    if isinstance(value, Decimal):
        whole, after = decimal_digits(value)
        if after or whole > WEI_DIGITS:
            raise _lossy(value, "a whole number")
    elif not value.is_integer():
        raise _lossy(value, "a whole number")
    return int(value)


def _integer_text(value: str) -> int:
    if len(value) <= _LONGEST_NUMBER:
        if _INTEGER.fullmatch(value) and value.strip() != "-0":
            return int(value)
        if _HEXADECIMAL.fullmatch(value):
            return int(value, 16)
    raise _lossy(value, "a whole number")


def _number_text(value: str) -> Decimal:
    if len(value) <= _LONGEST_NUMBER:
        if _NUMBER.fullmatch(value):
            return Decimal(value.strip())
        if _HEXADECIMAL.fullmatch(value):
            return Decimal(int(value, 16))
    raise _lossy(value, "a number")


def _double(value: int | Decimal) -> float:
    try:
        found = float(value)
    except OverflowError as error:
        raise _lossy(value, "double") from error
    if math.isfinite(found) and (int(found) if isinstance(value, int) else Decimal(repr(found))) == value:
        return found
    raise _lossy(value, "double")


def _double_from_text(value: str, hints: Hints) -> float:
    odd = _NO_NUMBERS.get(value.strip()) if len(value) <= _LONGEST_NUMBER else None
    return odd if odd is not None else _double(_number_text(value))


def _decimal(value: Decimal, hints: Hints) -> Decimal:
    precision, scale = (hints.get(hint) for hint in ("precision", "scale"))
    return _fitted(value, DECIMAL[0] if precision is None else precision, DECIMAL[1] if scale is None else scale)


def _wei(value: Decimal, hints: Hints) -> Decimal:
    return _fitted(value, WEI_DIGITS, 0)


def _fitted(value: Decimal, precision: int, scale: int) -> Decimal:
    whole, after = decimal_digits(value)
    if after > scale or whole > precision - scale:
        raise CannotCoerce(f"{value!s:.100} does not fit into decimal({precision},{scale})")
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and not -scale <= exponent <= 0:
        return value.quantize(Decimal(1).scaleb(-scale), context=_DIGITS)
    return value


def _decimal_from_double(value: float) -> Decimal:
    if not math.isfinite(value):
        raise _lossy(value, "decimal")
    return Decimal(repr(value))


def _bool_from_number(value: int | float | Decimal, hints: Hints) -> bool:
    if value == 0 or value == 1:
        return bool(value)
    raise _lossy(value, "bool")


def _bool_from_text(value: str, hints: Hints) -> bool:
    word = value.lower()
    if word in TRUE_TEXTS:
        return True
    if word in FALSE_TEXTS:
        return False
    raise _lossy(value, "bool")


def _binary_from_text(value: str, hints: Hints) -> bytes:
    try:
        return bytes.fromhex(value[2:]) if value.startswith("0x") else base64.b64decode(value, validate=True)
    except (ValueError, binascii.Error) as error:
        raise _lossy(value, "binary") from error


def _binary_from_int(value: int, hints: Hints) -> bytes:
    if value < 0:
        raise _lossy(value, "binary")
    return value.to_bytes((value.bit_length() + 7) // 8, "little")


def _json_from_text(value: str, hints: Hints) -> str:
    try:
        orjson.loads(value)
    except ValueError as error:
        raise _lossy(value, "json") from error
    return checked_text(value)


def _timestamp(value: datetime, hints: Hints) -> datetime:
    try:
        found = in_utc(value)
    except OverflowError as error:
        raise _lossy(value, "timestamp") from error
    return found.replace(tzinfo=None) if hints.get("timezone") is False else found


def _timestamp_from_text(value: str, hints: Hints) -> datetime:
    found = parse_timestamp(value, cut=_may_cut(hints))
    if found is None and (day := parse_date(value)) is not None:
        found = datetime.combine(day, time())
    if found is None and _UNIX_SECONDS.fullmatch(value):
        found = from_seconds(float(value) if "." in value else int(value))
    if found is None:
        raise _lossy(value, "timestamp")
    return _timestamp(found, hints)


def _may_cut(hints: Hints) -> bool:
    """Only a column that says its precision has asked for what is finer to be cut."""
    precision = hints.get("precision")
    return precision is not None and precision <= _MICROSECOND_DIGITS


def _timestamp_from_number(value: int | float, hints: Hints) -> datetime:
    found = from_seconds(value)
    if found is None:
        raise _lossy(value, "timestamp")
    return _timestamp(found, hints)


def _date_from_timestamp(value: datetime, hints: Hints) -> date:
    found = _timestamp(value, hints)
    if found.time() != time():
        raise _lossy(value.isoformat(), "date")
    return found.date()


def _date_from_text(value: str, hints: Hints) -> date:
    found = parse_date(value)
    if found is not None:
        return found
    when = parse_timestamp(value)
    if when is None:
        raise _lossy(value, "date")
    return _date_from_timestamp(when, hints)


def _time(value: time, hints: Hints) -> time:
    return value if value.tzinfo is None else in_utc(datetime.combine(date(1970, 1, 2), value)).time()


def _time_from_text(value: str, hints: Hints) -> time:
    found = parse_time(value, cut=_may_cut(hints))
    if found is None:
        raise _lossy(value, "time")
    return found


#: (to, from) -> the function of a plain value and the column's hints.
CONVERTERS: Mapping[tuple[str, str], Callable[[Any, Hints], Any]] = {
    ("text", "text"): _text,
    ("text", "bigint"): _written,
    ("text", "wei"): _written,
    ("text", "double"): _written,
    ("text", "decimal"): _written,
    ("text", "bool"): _written,
    ("text", "binary"): lambda value, hints: base64_text(value),
    ("text", "timestamp"): _iso,
    ("text", "date"): _iso,
    ("text", "time"): _iso,
    ("text", "json"): lambda value, hints: loose_json_text(value),
    ("bigint", "bigint"): _bigint,
    ("bigint", "text"): lambda value, hints: _bigint(_integer_text(value), hints),
    ("bigint", "double"): lambda value, hints: _bigint(_whole(value), hints),
    ("bigint", "decimal"): lambda value, hints: _bigint(_whole(value), hints),
    ("double", "double"): lambda value, hints: value,
    ("double", "text"): _double_from_text,
    ("double", "bigint"): lambda value, hints: _double(value),
    ("double", "wei"): lambda value, hints: _double(value),
    ("double", "decimal"): lambda value, hints: _double(value),
    ("decimal", "decimal"): _decimal,
    ("decimal", "text"): lambda value, hints: _decimal(_number_text(value), hints),
    ("decimal", "bigint"): lambda value, hints: _decimal(Decimal(value), hints),
    ("decimal", "wei"): lambda value, hints: _decimal(Decimal(value), hints),
    ("decimal", "double"): lambda value, hints: _decimal(_decimal_from_double(value), hints),
    ("wei", "wei"): lambda value, hints: Decimal(value),
    ("wei", "text"): lambda value, hints: _wei(_number_text(value), hints),
    ("wei", "bigint"): lambda value, hints: Decimal(value),
    ("wei", "double"): lambda value, hints: _wei(_decimal_from_double(value), hints),
    ("wei", "decimal"): _wei,
    ("bool", "bool"): lambda value, hints: value,
    ("bool", "text"): _bool_from_text,
    ("bool", "bigint"): _bool_from_number,
    ("bool", "double"): _bool_from_number,
    ("bool", "decimal"): _bool_from_number,
    ("binary", "binary"): lambda value, hints: value,
    ("binary", "text"): _binary_from_text,
    ("binary", "bigint"): _binary_from_int,
    ("binary", "wei"): _binary_from_int,
    ("json", "json"): lambda value, hints: json_text(value),
    ("json", "text"): _json_from_text,
    ("timestamp", "timestamp"): _timestamp,
    ("timestamp", "text"): _timestamp_from_text,
    ("timestamp", "bigint"): _timestamp_from_number,
    ("timestamp", "double"): _timestamp_from_number,
    ("timestamp", "date"): lambda value, hints: _timestamp(datetime.combine(value, time()), hints),
    ("date", "date"): lambda value, hints: value,
    ("date", "timestamp"): _date_from_timestamp,
    ("date", "text"): _date_from_text,
    ("date", "bigint"): lambda value, hints: _date_from_timestamp(_timestamp_from_number(value, _NO_HINTS), hints),
    ("date", "double"): lambda value, hints: _date_from_timestamp(_timestamp_from_number(value, _NO_HINTS), hints),
    ("time", "time"): _time,
    ("time", "text"): _time_from_text,
}
