"""Typed JSON: every value comes back as it was, in the form that dlt's datasets know."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oarlock.state.typed_json import HexBytes, Wei, dumps, hash_text, loads

VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -(2**63),
    2**64 - 1,
    1.5,
    "",
    "text",
    Decimal("1.50"),
    Decimal("-0.000000000000000000000000000001"),
    datetime(2026, 1, 2, 3, 4, 5, 678900),
    datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=5, minutes=45))),
    date(2026, 1, 2),
    time(1, 2, 3, 4),
    UUID("c4a760a8-dbcf-4e14-9f39-645a8e933d74"),
    b"",
    b"\x00\xff bytes",
    HexBytes(b"\x01\xab"),
    Wei(2**200),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
@pytest.mark.parametrize("place", ["alone", "in a list", "in a dict", "deep"])
def test_a_value_comes_back_with_its_type(value: Any, place: str) -> None:
    wrapped = {"alone": value, "in a list": [value], "in a dict": {"k": value}, "deep": {"a": [{"b": [value]}]}}[place]

    back = loads(dumps(wrapped))

    assert back == wrapped
    assert repr(back) == repr(wrapped)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("1.5"), "\uf0261.5"),
        (datetime(2026, 1, 2, tzinfo=UTC), "\uf0272026-01-02T00:00:00+00:00"),
        (date(2026, 1, 2), "\uf0282026-01-02"),
        (UUID("c4a760a8-dbcf-4e14-9f39-645a8e933d74"), "\uf029c4a760a8-dbcf-4e14-9f39-645a8e933d74"),
        (HexBytes(b"\x01\xab"), "\uf02a0x01ab"),
        (b"ab", "\uf02bYWI="),
        (Wei(7), "\uf02c7"),
        (time(1, 2), "\uf02d01:02:00"),
    ],
)
def test_markers_are_those_of_the_datasets(value: Any, text: str) -> None:
    assert orjson.loads(dumps(value)) == text


@pytest.mark.parametrize(
    "value", [math.inf, -math.inf, 2**64, -(2**63) - 1, 10**60, "\uf0261.5", "\uf02fx", "a\ud800b"]
)
def test_what_json_would_change_silently_comes_back(value: Any) -> None:
    assert loads(dumps({"k": [value]})) == {"k": [value]}


def test_nan_comes_back_as_nan_and_null_as_null() -> None:
    back = loads(dumps([math.nan, None]))

    assert math.isnan(back[0])
    assert back[1] is None


def test_text_that_looks_like_a_uuid_stays_text() -> None:
    text = "c4a760a8-dbcf-4e14-9f39-645a8e933d74"

    assert loads(dumps([text])) == [text]


def test_marked_text_that_does_not_read_as_its_type_stays_text() -> None:
    assert loads(orjson.dumps(["\uf026abc", "\uf0272026-99-99", "\uf026"])) == [
        "\uf026abc",
        "\uf0272026-99-99",
        "\uf026",
    ]


def test_markers_escaped_by_another_writer_are_read() -> None:
    assert loads(b'["\\uF0261.5"]') == [Decimal("1.5")]


def test_keys_that_are_no_text_become_text() -> None:
    assert loads(dumps({7: "a", None: "b", True: "c", date(2026, 1, 2): "d"})) == {
        "7": "a",
        "null": "b",
        "true": "c",
        "2026-01-02": "d",
    }


def test_two_keys_that_would_become_one_are_refused() -> None:
    with pytest.raises(TypeError, match="'1'"):
        dumps({1: "a", "1": "b"})


def test_objects_are_written_as_their_plain_values() -> None:
    class Colour(Enum):
        RED = "red"

    @dataclass
    class Point:
        x: int

    class Pair(NamedTuple):
        a: int
        b: Decimal

    assert loads(dumps([Colour.RED, Point(3), Pair(1, Decimal(2)), (1, 2)])) == [
        "red",
        {"x": 3},
        {"a": 1, "b": Decimal(2)},
        [1, 2],
    ]


@pytest.mark.parametrize("value", [{1, 2}, timedelta(1), object(), {"k": [object()]}, {("a", "b"): 1}])
def test_what_cannot_be_kept_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        dumps(value)


def test_depth_is_refused_by_name_not_by_a_crash() -> None:
    value: Any = []
    for _ in range(100_000):
        value = [value]

    with pytest.raises((TypeError, ValueError), match="nested too deeply"):
        dumps(value)


def test_the_hashed_form_is_sorted_and_plain() -> None:
    value = {"b": UUID("c4a760a8-dbcf-4e14-9f39-645a8e933d74"), "a": math.nan, "c": Decimal(1)}

    assert hash_text(value) == '{"a":null,"b":"c4a760a8-dbcf-4e14-9f39-645a8e933d74","c":"\uf0261"}'.encode()


_texts = st.text(st.characters(exclude_categories=[])) | st.text("\uf026\uf027\uf02e\uf02f\uf031a1")
_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | _texts
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.datetimes().map(lambda moment: moment.replace(fold=0))
    | st.dates()
    | st.times().map(lambda moment: moment.replace(fold=0))
    | st.uuids()
)
_keys = st.text(st.characters(exclude_categories=["Cs"]))
_trees = st.recursive(_scalars, lambda below: st.lists(below) | st.dictionaries(_keys, below), max_leaves=12)


@given(_trees)
def test_any_tree_comes_back(tree: Any) -> None:
    back = loads(dumps(tree))

    assert back == tree
    assert repr(back) == repr(tree)
