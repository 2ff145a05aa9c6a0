"""Coercion against dlt's own: what we give, dlt gives too; where dlt gives and we refuse, something would be lost.

The deliberate differences, each a rule below:

* bigint takes what fits into 64 bits; wei whole numbers of 38 digits; decimal what fits into (38, 9).
* Text is a number only as a number is written: no leading zeros, plus signs, underscores, or digits of other scripts.
* bool takes only the numbers 0 and 1. double takes what it gives back.
* date takes a timestamp at midnight only. timestamp and date take a year or a few digits for text, not for seconds.
* Nothing finer than a microsecond is cut from text. Half a surrogate pair is no text.
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, get_args

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oarlock.schema.coercion import CannotCoerce, coerce, infer, type_of
from oarlock.schema.conversions import decimal_digits
from oarlock.schema.times import parse_timestamp
from oarlock.values import DataType

pytest.importorskip("dlt")

from dlt.common.data_types.type_helpers import coerce_value, py_type_to_sc_type
from dlt.common.schema.utils import autodetect_sc_type

TYPES: tuple[Any, ...] = get_args(DataType)
NUMBERS = frozenset({"bigint", "double", "decimal", "wei"})

numbers = st.integers(-(2**80), 2**80) | st.integers(-3, 300) | st.floats() | st.sampled_from([0.0, 1.0, 2.0, 86400.0])
digits = st.from_regex(r"[ ]?[-+]?[0-9]{1,22}(\.[0-9]{0,12})?(e[0-9]{1,3})?[ ]?", fullmatch=True)
moments = st.datetimes(timezones=st.none() | st.just(UTC) | st.just(timezone(timedelta(hours=5, minutes=30))))
texts = (
    st.text(max_size=12)
    | digits
    | st.sampled_from(["yes", "No", "T", "0x1f", "0xZ", "nan", "Infinity", "null", '{"a":[1]}', "YWI=", "1_0", "12:30"])
    | moments.map(datetime.isoformat)
    | st.dates().map(date.isoformat)
    | st.times().map(time.isoformat)
    | st.from_regex(
        r"20[0-9]{2}-0[1-9]-[01][0-9][T ][0-2][0-9](:[0-5][0-9](:[0-5][0-9](\.[0-9]{1,9})?)?)?Z?", fullmatch=True
    )
)
decimals = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**40), max_value=10**40)
values = numbers | texts | decimals | st.booleans() | st.binary(max_size=6) | moments | st.dates() | st.times()


def theirs(value: Any, to_type: str) -> Any:
    """What dlt makes of it, put into UTC; an exception where it refuses."""
    found = coerce_value(to_type, py_type_to_sc_type(type(value)), value)
    if to_type == "timestamp":
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    if to_type == "date":
        return date(found.year, found.month, found.day)
    if to_type == "time":
        return time(found.hour, found.minute, found.second, found.microsecond)
    return found


def same(ours: Any, others: Any, to_type: str) -> bool:
    if to_type == "json":
        return bool(orjson.loads(ours) == others)
    if isinstance(ours, float) and math.isnan(ours):
        return math.isnan(others)
    return bool(ours == others)


def out_of_range(value: str) -> bool:
    try:
        theirs(value, "timestamp")
    except OverflowError:
        return True
    return False


def is_number_text(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True


def written_otherwise(value: object) -> bool:
    """A text that Python reads as a number, written as no number is written."""
    if not is_number_text(value):
        return False
    bare = str(value).strip().lstrip("-")
    return (
        not bare.isascii() or "_" in bare or bare[0] == "+" or (bare[0] == "0" and bare[1:2].isdigit()) or bare == "0"
    )


def something_would_be_lost(value: Any, others: Any, to_type: str) -> bool:
    """The deliberate differences: each gives the reason for which we refuse what dlt takes."""
    if isinstance(value, str) and not value.isprintable() and any("\ud800" <= c <= "\udfff" for c in value):
        return True
    if isinstance(value, int) and not -(2**63) <= value < 2**63 and to_type in ("bool", "bigint", "decimal", "double"):
        return True
    if to_type in NUMBERS and (written_otherwise(value) or not math.isfinite(others)):
        return True
    if to_type == "bigint":
        return not -(2**63) <= others < 2**63
    if to_type == "wei":
        whole, after = decimal_digits(Decimal(others))
        return whole > 38 or after > 0
    if to_type == "decimal":
        whole, after = decimal_digits(Decimal(others))
        return whole > 29 or after > 9
    if to_type == "double":
        given = Decimal(value.strip()) if isinstance(value, str) else Decimal(value)
        return Decimal(repr(others)) != given
    if to_type == "bool":
        return value not in (0, 1)
    if to_type in ("timestamp", "date"):
        finer = isinstance(value, str) and parse_timestamp(value, cut=True) is not None
        unclear = isinstance(value, str) and (is_number_text(value) or len(value) == 4)
        later = to_type == "date" and theirs(value, "timestamp").time() != time()
        return finer or unclear or later
    return to_type == "time" and isinstance(value, str) and len(value.rpartition(".")[2]) > 6


@settings(max_examples=2000, deadline=None)
@given(values, st.sampled_from(TYPES))
@example("007", "bigint")
@example(2**53 + 1, "double")
@example(datetime(2024, 1, 2, 3), "date")
@example(2, "bool")
@example("2024-01-02T03:04:05.1234567", "timestamp")
def test_we_coerce_as_dlt_does_or_refuse_what_would_be_lost(value: Any, to_type: DataType) -> None:
    try:
        others = theirs(value, to_type)
        they_refuse = False
    except (ValueError, TypeError, OverflowError, ArithmeticError, OSError):
        they_refuse = True
    from_type = type_of(value)
    assert from_type is not None
    try:
        ours = coerce(value, from_type, to_type)
    except CannotCoerce:
        assert they_refuse or something_would_be_lost(value, others, to_type)
        return

    if to_type == from_type == "time":
        return  # dlt keeps a zone that no column of times has
    assert not they_refuse or not isinstance(value, str | float | Decimal | datetime), "we take nothing dlt does not"
    assert they_refuse or same(ours, others, to_type)


@settings(max_examples=1000, deadline=None)
@given(values)
def test_a_new_column_has_the_type_dlt_gives_it(value: Any) -> None:
    others = autodetect_sc_type(["iso_timestamp"], type(value), value) or py_type_to_sc_type(type(value))

    ours = infer(value)

    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        assert (ours, others) == ("wei", "bigint"), "dlt finds out at the destination that it does not fit"
    elif isinstance(value, str) and ours == "text" and others == "timestamp":
        finer = parse_timestamp(value, cut=True) is not None
        assert finer or out_of_range(value), "dlt finds out later that it is no timestamp in UTC"
    else:
        assert ours == others
