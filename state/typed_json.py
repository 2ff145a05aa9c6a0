"""Typed JSON: JSON whose strings may carry a decimal, a time, bytes and the like behind one private-use character.

A value that JSON lacks is written as a string: one marker, then its text. The markers up to TIME are those of
dlt's datasets; those after it are ours, for what would else change silently on its way through a file:

    U+F026 decimal   U+F027 datetime   U+F028 date   U+F029 UUID   U+F02A hex bytes   U+F02B base64 bytes
    U+F02C wei       U+F02D time       | U+F02E float that is not finite   U+F02F plain text that begins with
    a marker         U+F030 integer over 64 bits       U+F031 text that UTF-8 cannot hold

Plain values take the fast path: one call of orjson and three scans of its output. Only where a scan finds a hint
of something special is the value walked.
"""

from __future__ import annotations

import base64
import math
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import orjson

DECIMAL, DATETIME, DATE, UUID, HEX_BYTES, BYTES, WEI, TIME = (chr(0xF026 + place) for place in range(8))
FLOAT, TEXT, INTEGER, BROKEN_TEXT = (chr(0xF02E + place) for place in range(4))

#: Every marker starts with these two bytes in UTF-8; a document without them has nothing to decode.
_MARK = "\uf026".encode()[:2]
#: Another writer may have escaped its markers; such a document is decoded the long way.
_ESCAPED_MARK = re.compile(rb"\\uf0[23]", re.IGNORECASE)
#: orjson writes a UUID as plain text without asking; only text of this form makes a walk worth while.
_UUID_LIKE = re.compile(rb'"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-')
#: Asked for first: one byte is found, or not, many times faster than two.
_DASH, _BACKSLASH = ord("-"), ord("\\")
#: Datetimes are ours to mark; everything else that orjson knows is written as it knows it.
_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME
_MAX_64_BITS, _MIN_64_BITS = 2**64 - 1, -(2**63)


class Wei(Decimal):
    """A whole number of the smallest unit of a currency, up to 256 bits."""


class HexBytes(bytes):
    """Bytes that are shown and written in hexadecimal."""


def dumps(value: Any, *, sort_keys: bool = False) -> bytes:
    """Write a value so that ``loads`` gives it back, type and all.

    Raises:
        TypeError: A value has a type that cannot be kept (a set, a timedelta), or two keys would become one.
        ValueError: The value is nested too deeply, or holds itself.
    """
    options = _OPTIONS | orjson.OPT_SORT_KEYS if sort_keys else _OPTIONS
    try:
        text = orjson.dumps(value, _mark, options)
    except TypeError:
        # A key that is no text, an integer over 64 bits, text that is not UTF-8: or what cannot be written at all.
        return _dump_plain(_replaced(value), options)
    if b"null" in text or (_MARK[0] in text and _MARK in text) or (_DASH in text and _UUID_LIKE.search(text)):
        return _dump_plain(_replaced(value), options)
    return text


def hash_text(value: Any) -> bytes:
    """Write a value with sorted keys exactly as dlt writes it to be hashed: UUIDs and NaN lose their type."""
    options = _OPTIONS | orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
    try:
        return orjson.dumps(value, _mark, options)
    except TypeError:
        return _dump_plain(_replaced(value), options)


def loads(text: bytes | str) -> Any:
    """Read what ``dumps`` or dlt wrote; a marked text that does not read as its type stays text."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    value = orjson.loads(data)
    if (_MARK[0] in data and _MARK in data) or (_BACKSLASH in data and _ESCAPED_MARK.search(data)):
        return _unmarked(value)
    return value


def _dump_plain(value: Any, options: int) -> bytes:
    try:
        return orjson.dumps(value, _mark, options)
    except orjson.JSONEncodeError as error:
        if "recursion" in str(error).lower():
            raise ValueError(f"a value is nested too deeply to be written as JSON ({error})") from error
        raise


def _mark(value: Any) -> Any:
    """Give the marked text of a value that JSON lacks, or a plainer value to write in its place."""
    for kind, marker, form in _FORMS:
        if isinstance(value, kind):
            return marker + form(value)
    for method in ("asdict", "_asdict", "model_dump"):
        plainer = getattr(value, method, None)
        if callable(plainer):
            return plainer()
    raise TypeError(f"a value of type {type(value).__name__} cannot be kept as JSON: {str(value)[:80]!r}")


_FORMS: tuple[tuple[type, str, Callable[[Any], str]], ...] = (
    (Wei, WEI, str),
    (Decimal, DECIMAL, str),
    (datetime, DATETIME, datetime.isoformat),
    (date, DATE, date.isoformat),
    (time, TIME, time.isoformat),
    (uuid.UUID, UUID, str),
    (HexBytes, HEX_BYTES, lambda value: "0x" + value.hex()),
    (bytes, BYTES, lambda value: base64.b64encode(value).decode("ascii")),
)


def _replaced(value: Any, depth: int = 0) -> Any:
    """Copy a value, with marked text in place of what orjson would change or refuse."""
    if depth > 250:
        raise ValueError("a value is nested too deeply to be written as JSON (more than 250 levels)")
    if isinstance(value, Mapping):
        return _replaced_keys(value, depth)
    if isinstance(value, list | tuple) and not hasattr(value, "_asdict"):
        return [_replaced(item, depth + 1) for item in value]
    if isinstance(value, str):
        return _replaced_text(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return FLOAT + repr(float(value))
    if isinstance(value, int) and not _MIN_64_BITS <= value <= _MAX_64_BITS:
        return INTEGER + str(int(value))
    if isinstance(value, uuid.UUID):
        return UUID + str(value)
    return value


def _replaced_text(value: str) -> str:
    if value and DECIMAL <= value[0] <= BROKEN_TEXT:
        value = TEXT + value
    try:
        value.encode()
    except UnicodeEncodeError:
        return BROKEN_TEXT + base64.b64encode(value.encode("utf-8", "surrogatepass")).decode("ascii")
    return value


def _replaced_keys(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    copy: dict[str, Any] = {}
    for key, item in value.items():
        name = key if isinstance(key, str) else _key_text(key)
        if name in copy:
            raise TypeError(f"two keys of a mapping would both be written as {name!r}")
        copy[name] = _replaced(item, depth + 1)
    return copy


def _key_text(key: Any) -> str:
    names = orjson.loads(orjson.dumps({key: None}, option=orjson.OPT_NON_STR_KEYS))
    return str(next(iter(names)))


def _unmarked(value: Any) -> Any:
    """Turn marked text back into values, in place."""
    if isinstance(value, str):
        return _read(value)
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, str | dict | list):
                value[key] = _unmarked(item)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            if isinstance(item, str | dict | list):
                value[place] = _unmarked(item)
    return value


def _read(text: str) -> Any:
    reader = _READERS.get(text[:1])
    if reader is None or (len(text) == 1 and text not in _MAY_BE_EMPTY):
        return text
    try:
        return reader(text[1:])
    except (ValueError, ArithmeticError):
        return text


def _hex_bytes(text: str) -> HexBytes:
    return HexBytes(bytes.fromhex(text.removeprefix("0x")))


def _broken_text(text: str) -> Any:
    return _read(base64.b64decode(text, validate=True).decode("utf-8", "surrogatepass"))


#: Types of which an empty text is a value.
_MAY_BE_EMPTY = (BYTES, HEX_BYTES)
_READERS: dict[str, Callable[[str], Any]] = {
    DECIMAL: Decimal,
    DATETIME: datetime.fromisoformat,
    DATE: date.fromisoformat,
    UUID: uuid.UUID,
    HEX_BYTES: _hex_bytes,
    BYTES: lambda text: base64.b64decode(text, validate=True),
    WEI: Wei,
    TIME: time.fromisoformat,
    FLOAT: float,
    TEXT: str,
    INTEGER: int,
    BROKEN_TEXT: _broken_text,
}
