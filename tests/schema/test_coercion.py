"""Values and types: the matrix of the specification, what is refused, and that Arrow takes what comes out."""

from __future__ import annotations

import dataclasses
import enum
import math
from collections import namedtuple
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oarlock.schema.coercion import CannotCoerce, coerce, decimal_hints, infer, nested, plain, type_of, variants
from oarlock.schema.conversions import decimal_digits
from oarlock.values import DataType

EAST = timezone(timedelta(hours=5, minutes=30))
BAD = object()

# existing type, new value, what the column gets (BAD: it goes to a variant)
MATRIX: list[tuple[DataType, Any, Any]] = [
    ("bigint", "5", 5),
    ("bigint", " -7 ", -7),
    ("bigint", "0x1f", 31),
    ("bigint", 1.0, 1),
    ("bigint", Decimal("3.00"), 3),
    ("bigint", 1.5, BAD),
    ("bigint", True, BAD),
    ("bigint", "abc", BAD),
    ("bigint", b"\x01", BAD),
    ("bigint", datetime(2024, 1, 1), BAD),
    ("bigint", [1], BAD),
    ("bigint", 2**63, BAD),
    ("bigint", 1e22, BAD),
    ("bigint", float("nan"), BAD),
    ("bigint", "007", BAD),
    ("bigint", "+5", BAD),
    ("bigint", "1_000", BAD),
    ("bigint", "١٢", BAD),
    ("bigint", "9" * 5000, BAD),
    ("text", 1, "1"),
    ("text", 1.5, "1.5"),
    ("text", True, "True"),
    ("text", datetime(2024, 1, 1), "2024-01-01T00:00:00"),
    ("text", b"ab", "YWI="),
    ("text", Decimal("1.50"), "1.50"),
    ("text", {"a": [1, date(2024, 1, 2)]}, '{"a":[1,"2024-01-02"]}'),
    ("text", {"a": float("nan")}, '{"a":NaN}'),
    ("text", 2**200, str(2**200)),
    ("text", "a\ud800", BAD),
    ("text", "a\0b", "a\0b"),
    ("double", 1, 1.0),
    ("double", "2.5", 2.5),
    ("double", "1e5", 1e5),
    ("double", "Infinity", math.inf),
    ("double", Decimal("0.1"), 0.1),
    ("double", "x", BAD),
    ("double", 2**53 + 1, BAD),
    ("double", Decimal("0.1000000000000000055511151231257827"), BAD),
    ("double", Decimal("1e400"), BAD),
    ("double", "1e400", BAD),
    ("double", "007", BAD),
    ("bool", 1, True),
    ("bool", "yes", True),
    ("bool", "F", False),
    ("bool", 0.0, False),
    ("bool", Decimal(1), True),
    ("bool", "foo", BAD),
    ("bool", 2, BAD),
    ("bool", 0.5, BAD),
    ("bool", float("nan"), BAD),
    ("timestamp", 1700000000, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
    ("timestamp", 0.5, datetime(1970, 1, 1, 0, 0, 0, 500000, tzinfo=UTC)),
    ("timestamp", -1, datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ("timestamp", date(2024, 1, 2), datetime(2024, 1, 2, tzinfo=UTC)),
    ("timestamp", "2024-01-02", datetime(2024, 1, 2, tzinfo=UTC)),
    ("timestamp", "2024-01-02 03:04:05", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ("timestamp", "2024-01-02T03:00+05:30", datetime(2024, 1, 1, 21, 30, tzinfo=UTC)),
    ("timestamp", "1700000000", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
    ("timestamp", datetime(2024, 1, 2, 3, tzinfo=EAST), datetime(2024, 1, 1, 21, 30, tzinfo=UTC)),
    ("timestamp", "soon", BAD),
    ("timestamp", "2024", BAD),
    ("timestamp", "2024-01-02T24:00:00", BAD),
    ("timestamp", "2016-12-31T23:59:60Z", BAD),
    ("timestamp", "10000-01-01T00:00:00Z", BAD),
    ("timestamp", "2024-01-02T03:04:05.1234567Z", BAD),
    ("timestamp", "2024-01-02T03:04:05.123456000Z", datetime(2024, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)),
    ("timestamp", 1e18, BAD),
    ("timestamp", float("nan"), BAD),
    ("timestamp", datetime(1, 1, 1, tzinfo=EAST), BAD),
    ("timestamp", time(1), BAD),
    ("date", "2024-01-02", date(2024, 1, 2)),
    ("date", "2024-01-02T00:00:00Z", date(2024, 1, 2)),
    ("date", datetime(2024, 1, 2), date(2024, 1, 2)),
    ("date", 86400, date(1970, 1, 2)),
    ("date", datetime(2024, 1, 2, 3), BAD),
    ("date", "2024-01-02T03:00:00Z", BAD),
    ("date", 86401, BAD),
    ("decimal", 1, Decimal(1)),
    ("decimal", 0.1, Decimal("0.1")),
    ("decimal", "1.25", Decimal("1.25")),
    ("decimal", "x", BAD),
    ("decimal", "NaN", BAD),
    ("decimal", Decimal("0.1234567891"), BAD),
    ("decimal", Decimal("0.12345678900000"), Decimal("0.123456789")),
    ("decimal", Decimal(10) ** 29, BAD),
    ("decimal", float("inf"), BAD),
    ("wei", 2**70, Decimal(2**70)),
    ("wei", "12345678901234567890", Decimal("12345678901234567890")),
    ("wei", Decimal("1E+5"), Decimal(100000)),
    ("wei", 1.5, BAD),
    ("wei", 10**38, BAD),
    ("json", '{"a": 1}', '{"a": 1}'),
    ("json", {"a": b"ab", 1: Decimal("1.5")}, '{"a":"YWI=","1":"1.5"}'),
    ("json", {"a": 2**70}, '{"a":1180591620717411303424}'),
    ("json", "{a}", BAD),
    ("json", 5, BAD),
    ("json", {"a": [float("inf")]}, BAD),
    ("json", {"a": "\ud800"}, BAD),
    ("binary", "YWI=", b"ab"),
    ("binary", "0x6162", b"ab"),
    ("binary", 258, b"\x02\x01"),
    ("binary", "no base64", BAD),
    ("binary", -1, BAD),
    ("time", "12:30", time(12, 30)),
    ("time", "12:30:00.5+05:30", time(7, 0, 0, 500000)),
    ("time", time(1, 0, tzinfo=EAST), time(19, 30)),
    ("time", "25:00", BAD),
    ("time", "noon", BAD),
    ("time", datetime(2024, 1, 2, 3), BAD),
]

ARROW = {
    "text": pa.string(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "bool": pa.bool_(),
    "timestamp": pa.timestamp("us", "UTC"),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "decimal": pa.decimal128(38, 9),
    "wei": pa.decimal128(38, 0),
    "binary": pa.binary(),
    "json": pa.string(),
}


def into(to_type: DataType, value: Any, **hints: Any) -> Any:
    from_type = type_of(value)
    assert from_type is not None
    return coerce(value, from_type, to_type, hints)


@pytest.mark.parametrize(("to_type", "value", "expected"), MATRIX)
def test_the_matrix(to_type: DataType, value: Any, expected: Any) -> None:
    if expected is BAD:
        with pytest.raises(CannotCoerce):
            into(to_type, value)
        return

    found = into(to_type, value)

    assert found == expected
    assert type(found) is type(expected)


class Colour(enum.Enum):
    RED = "red"
    FIVE = 5


class Level(enum.IntEnum):
    HIGH = 3


class Word(str):
    """A text by another name."""


@dataclasses.dataclass
class Move:
    san: str
    times: list[int]


Point = namedtuple("Point", "x y")

PLAIN = [
    ("a", "text", "a"),
    (Word("a"), "text", "a"),
    (Colour.RED, "text", "red"),
    (Colour.FIVE, "text", "5"),
    (Level.HIGH, "bigint", 3),
    (UUID(int=5), "text", "00000000-0000-0000-0000-000000000005"),
    (2**63 - 1, "bigint", 2**63 - 1),
    (-(2**63), "bigint", -(2**63)),
    (2**63, "wei", 2**63),
    (-(10**38) + 1, "wei", -(10**38) + 1),
    (10**38, "text", str(10**38)),
    (1.5, "double", 1.5),
    (Decimal("1.5"), "decimal", Decimal("1.5")),
    (Decimal("Infinity"), "double", math.inf),
    (True, "bool", True),
    (bytearray(b"x"), "binary", b"x"),
    (memoryview(b"x"), "binary", b"x"),
    (date(2024, 1, 2), "date", date(2024, 1, 2)),
    (datetime(2024, 1, 2, tzinfo=EAST), "timestamp", datetime(2024, 1, 2, tzinfo=EAST)),
    (time(1, 2), "time", time(1, 2)),
    ((1, 2), "json", [1, 2]),
    (Move("e4", [1]), "json", {"san": "e4", "times": [1]}),
    (Point(1, 2), "json", {"x": 1, "y": 2}),
    (np.int32(5), "bigint", 5),
    (np.uint64(2**63), "wei", 2**63),
    (np.float32(1.5), "double", 1.5),
    (np.bool_(True), "bool", True),
    (np.array([1, 2]), "json", [1, 2]),
    (np.datetime64("2024-01-02T03:04:05"), "timestamp", datetime(2024, 1, 2, 3, 4, 5)),
    (np.datetime64("2024-01-02T03:04:05.123456789"), "text", "2024-01-02T03:04:05.123456789"),
    (pd.Timestamp("2024-01-02T03:04:05Z"), "timestamp", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
    (pd.Timestamp("2024-01-02T03:04:05.123456789"), "text", "2024-01-02T03:04:05.123456789"),
    (pa.scalar({"a": 1}), "json", {"a": 1}),
]


@pytest.mark.parametrize(("value", "data_type", "bare"), PLAIN, ids=[repr(value)[:40] for value, *_ in PLAIN])
def test_classes_around_a_value_are_taken_away(value: Any, data_type: str, bare: Any) -> None:
    assert plain(value) == (data_type, bare)
    assert infer(value, ()) == data_type


@pytest.mark.parametrize("value", [None, pd.NaT, pd.NA, np.datetime64("NaT"), pa.scalar(None)], ids=repr)
def test_a_value_that_is_none_has_no_type(value: Any) -> None:
    assert plain(value) is None
    assert infer(value) is None


@pytest.mark.parametrize("value", [{1}, timedelta(1), 1j, object(), int, np.timedelta64(1, "s")], ids=repr)
def test_what_no_column_holds_is_refused(value: Any) -> None:
    with pytest.raises(CannotCoerce):
        infer(value)


def test_an_integer_too_long_to_be_written_is_refused() -> None:
    for value in (10**5000, -(10**5000)):
        with pytest.raises(CannotCoerce, match="bits"):
            infer(value)
        with pytest.raises(CannotCoerce):
            into("json", {"a": value})


@pytest.mark.parametrize(
    ("text", "data_type"),
    [
        ("2024-01-02T03:04:05Z", "timestamp"),
        ("2024-01-02 03:04", "timestamp"),
        ("2024/01/02 3:04", "timestamp"),
        ("20240102T030405", "timestamp"),
        ("2024-W01-1T10:00", "timestamp"),
        ("2024-01-02", "text"),
        ("03:04:05", "text"),
        ("1700000000", "text"),
        ("2024-01-02T03:04:05.1234567", "text"),
        ("0001-01-01T00:00:00+01:00", "text"),
        ("hello", "text"),
        ("", "text"),
    ],
)
def test_a_date_with_a_time_is_found_in_text(text: str, data_type: str) -> None:
    assert infer(text) == data_type
    assert infer(text, ()) == "text"
    assert type_of(text) == "text"


def test_other_detections_are_asked_for() -> None:
    now_s = 1_700_000_000.0

    assert infer("2024-01-02", ("iso_date",)) == "date"
    assert infer(1_690_000_000, ("timestamp",), now_s=now_s) == "timestamp"
    assert infer(1_000_000_000, ("timestamp",), now_s=now_s) == "bigint"
    assert infer(float("nan"), ("timestamp",), now_s=now_s) == "double"
    assert infer(True, ("timestamp",)) == "bool"


def test_a_declared_precision_allows_cutting_what_is_finer() -> None:
    text = "2024-01-02T03:04:05.1234567Z"

    assert into("timestamp", text, precision=6) == datetime(2024, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)
    assert into("time", "03:04:05.1234567", precision=6) == time(3, 4, 5, 123456)
    with pytest.raises(CannotCoerce):
        into("timestamp", text, precision=9)


def test_a_column_without_zone_gets_the_time_in_utc() -> None:
    assert into("timestamp", datetime(2024, 1, 2, 5, 30, tzinfo=EAST), timezone=False) == datetime(2024, 1, 2)
    assert into("timestamp", datetime(2024, 1, 2), timezone=False) == datetime(2024, 1, 2)
    assert into("timestamp", "2024-01-02T00:00Z", timezone=False).tzinfo is None


@pytest.mark.parametrize(("bits", "limit"), [(8, 2**7), (16, 2**15), (20, 2**31), (32, 2**31), (64, 2**63)])
def test_a_narrow_column_takes_what_fits(bits: int, limit: int) -> None:
    assert into("bigint", limit - 1, precision=bits) == limit - 1
    assert into("bigint", -limit, precision=bits) == -limit
    with pytest.raises(CannotCoerce):
        into("bigint", limit, precision=bits)


def test_a_decimal_column_takes_what_fits() -> None:
    assert into("decimal", Decimal("999.99"), precision=5, scale=2) == Decimal("999.99")
    for value in (Decimal("1000"), Decimal("0.001"), "1000", 1000, 0.001):
        with pytest.raises(CannotCoerce):
            into("decimal", value, precision=5, scale=2)


@pytest.mark.parametrize(
    ("values", "hints"),
    [
        (["1.5", "-2"], {}),
        (["0.1234567890123"], {"precision": 38, "scale": 13}),
        (["1E+31", "0.5"], {"precision": 38, "scale": 6}),
        (["1E+37"], {"precision": 38, "scale": 0}),
        (["1E+31", "0.123456789"], {}),
        (["1E+31", "0.123456789012"], {"precision": 38, "scale": 6}),
        (["1E+40", "0.1234567890"], {}),
        (["1E+40"], None),
        (["1E+400", "1E-400"], None),
        ([], {}),
    ],
)
def test_a_new_decimal_column_is_as_wide_as_it_must_be(values: list[str], hints: dict[str, int] | None) -> None:
    assert decimal_hints(map(Decimal, values)) == hints


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_digits_are_counted_as_written_out(value: Decimal) -> None:
    whole, _, after = f"{value:f}".lstrip("-").partition(".")

    assert decimal_digits(value) == (len(whole.lstrip("0")), len(after.rstrip("0")))


@pytest.mark.parametrize(
    ("value", "types"),
    [
        (1.5, ("double", "text")),
        (2**70, ("wei", "text")),
        (10**40, ("text",)),
        ("x", ("text",)),
        ({"a": float("nan")}, ("json", "text")),
        (Decimal("NaN"), ("double", "text")),
    ],
)
def test_a_variant_is_of_the_values_own_type_or_text(value: Any, types: tuple[str, ...]) -> None:
    assert variants(value) == types


def test_only_dicts_and_lists_and_what_stands_for_them_are_nested() -> None:
    one: dict[str, int] = {}
    many: list[int] = []

    assert nested(one) is one
    assert nested(many) is many
    assert nested(range(2)) == [0, 1]
    assert nested(Point(1, 2)) == {"x": 1, "y": 2}
    for value in ("text", b"bytes", 5, None, Colour.RED, {1}):
        assert nested(value) is None


def test_too_deep_a_value_is_refused_and_not_a_crash() -> None:
    deep: dict[str, Any] = {}
    inner = deep
    for _ in range(50_000):
        inner["a"] = {}
        inner = inner["a"]

    with pytest.raises(CannotCoerce, match="Recursion"):
        into("json", deep)
    while deep:  # taken apart level by level, or the interpreter would do it by recursion
        deep = deep["a"]


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.decimals()
    | st.text(max_size=20)
    | st.binary(max_size=8)
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.dates()
    | st.times()
    | st.uuids()
    | st.from_regex(r"-?[0-9]{1,20}(\.[0-9]{1,12})?", fullmatch=True)
    | st.datetimes().map(datetime.isoformat)
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


@settings(max_examples=800, deadline=None)
@given(values, st.sampled_from(sorted(ARROW)))
def test_arrow_takes_every_coerced_value_and_gives_it_back(value: Any, to_type: Any) -> None:
    try:
        found = plain(value)
        result = None if found is None else coerce(value, found[0], to_type)
    except CannotCoerce:
        return

    back = pa.array([result], ARROW[to_type]).to_pylist()[0]

    assert back == result or (isinstance(result, float) and math.isnan(result) and math.isnan(back))


@settings(max_examples=400, deadline=None)
@given(values)
def test_every_value_has_a_column_that_takes_it(value: Any) -> None:
    data_type = type_of(value)
    if data_type is None:
        return
    if data_type != "text":
        assert variants(value) == (data_type, "text")

    assert isinstance(coerce(value, data_type, "text"), str)
