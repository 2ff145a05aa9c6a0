"""The engine takes short cuts; generated rows show that they change nothing."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from rowwise import Rowwise, Tables

from oarlock.errors import InvalidRow
from oarlock.schema.coercion import CannotCoerce

QUICK = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

KEYS = st.sampled_from(["a", "b", "A", "a b", "a_b", "b__a", "list", "value", "", "x", "ü", "a__v_text", "1"])
MOMENTS = st.datetimes(min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29))
ZONES = st.sampled_from([None, UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-8))])
TEXTS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(["5", "007", "2.5", "true", "no", "abc", "", "NaN", "0x1f", "[1]", "1e5", " 7 ", "-0", "12:30:00"]),
    st.sampled_from(
        [
            "2024-01-02T03:04:05Z",
            "2024-01-02 03:04:05",
            "2024-01-02T03:04:05.123456+05:30",
            "2024-01-02T03:04:05.1234567Z",
            "2024-01-02",
            "2024-01-02T03",
            "0000-01-02T03:04:05Z",
            "9999-12-31T23:59:59-05:00",
            "0001-01-01T00:00:00+05:00",
            "2024-02-30T00:00:00",
            "20240102T030405Z",
            "2024-01-02T03:04+01:00",
            "2024-01-02T24:00:00Z",
            "1700000000",
        ]
    ),
)
NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(2**63, 10**38 - 1),
    st.sampled_from([2**53, 2**53 + 1, -(2**53) - 1, 2**60, 10**38, 10**40, -(2**63) - 1]),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([1.0, -0.0, 2.0**62, 2.0**63, 1e300]),
)
DECIMALS = st.decimals(min_value=-(10**20), max_value=10**20, places=6) | st.sampled_from(
    [Decimal("NaN"), Decimal("Infinity"), Decimal("1E+3"), Decimal("-0.0")]
)
OTHERS = st.one_of(
    st.booleans(),
    st.none(),
    st.binary(max_size=4),
    DECIMALS,
    st.builds(lambda moment, zone: moment.replace(tzinfo=zone), MOMENTS, ZONES),
    st.dates(),
    st.times() | st.builds(lambda moment: moment.replace(tzinfo=UTC), st.times()),
    st.sampled_from([date(2024, 1, 2), time(1, 2), datetime(2024, 1, 2)]),
)
SCALARS = st.one_of(TEXTS, NUMBERS, OTHERS)


def documents(scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Rows that nest dicts and lists of the scalars."""
    values = st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
    )
    return st.dictionaries(KEYS, values, max_size=4)


# Few kinds of values in one example, so that columns of one type with rare exceptions are common.
ROWS = st.one_of(
    *(st.lists(documents(scalars), min_size=1, max_size=8) for scalars in (SCALARS, TEXTS, NUMBERS, NUMBERS | TEXTS)),
    st.lists(st.fixed_dictionaries({"a": NUMBERS, "b": TEXTS}), min_size=1, max_size=20),
    st.lists(st.fixed_dictionaries({"a": OTHERS, "b": MOMENTS | TEXTS, "x": DECIMALS}), min_size=1, max_size=20),
)


def outcome(batches: list[list[Any]], **options: Any) -> Any:
    """Normalize; give everything that came out, or the error."""
    tables = Tables(**options)
    try:
        tables.add(*batches)
    except InvalidRow as error:
        return type(error)
    return {
        table: (tables.types(table, system=True), [_comparable(row) for row in tables.rows(table, system=True)])
        for table in tables.batches
    }


def _comparable(row: dict[str, Any]) -> dict[str, Any]:
    # NaN is not equal to itself, -0.0 is equal to 0.0, and Decimal("1.0") to Decimal("1.00").
    return {name: repr(value) if isinstance(value, float) else value for name, value in row.items()}


@QUICK
@given(ROWS, ROWS, st.sampled_from([1000, 0, 1, 2, 3]))
def test_short_cuts_give_what_the_exact_way_gives(first: list[Any], second: list[Any], levels: int) -> None:
    fast = outcome([first, second], max_nesting=levels)
    exact = outcome([first, second], max_nesting=levels, exact=True)

    assert fast == exact


@QUICK
@given(ROWS, st.sampled_from([1000, 1, 2, 3]))
def test_batches_give_what_rows_one_at_a_time_give(rows: list[Any], levels: int) -> None:
    reference = Rowwise(levels=levels)
    try:
        reference.add("t", rows)
    except CannotCoerce:
        assert outcome([rows], max_nesting=levels) is InvalidRow
        return
    # A table that two tables would have as their child is two tables: the reference does not know how.
    assume(all(len(parents) == 1 for parents in reference.parents.values()))
    tables = Tables(max_nesting=levels).add(rows)

    assert {table: tables.types(table) for table in tables.batches} == reference.types
    for table, expected in reference.rows.items():
        found = Counter(_frozen(row) for row in tables.rows(table))
        assert found == Counter(
            _frozen({name: value for name, value in row.items() if name not in ("parent", "index")}) for row in expected
        )


def _frozen(row: dict[str, Any]) -> frozenset[tuple[str, str]]:
    return frozenset((name, _text(value)) for name, value in row.items())


def _text(value: Any) -> str:
    if isinstance(value, float) and math.isnan(value):
        return "nan"
    if isinstance(value, Decimal):
        return str(value.normalize()) if value else "0"
    return str(value)


@QUICK
@given(ROWS)
def test_every_child_row_finds_its_parent(rows: list[Any]) -> None:
    tables = Tables()
    try:
        tables.add(rows)
    except InvalidRow:
        return
    ids = {table: [row["_dlt_id"] for row in tables.rows(table, system=True)] for table in tables.batches}

    assert all(len(set(of_table)) == len(of_table) for of_table in ids.values())
    for table in tables.batches:
        parent = tables.stored.table(table).get("parent")
        places = [(row.get("_dlt_parent_id"), row.get("_dlt_list_idx")) for row in tables.rows(table, system=True)]
        if parent is not None:
            assert {parent_id for parent_id, _ in places} <= set(ids[parent])
            assert len(set(places)) == len(places)
