"""Arrow data becomes tables: types, names, system columns, and the columns that are there already."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rowwise import Tables

from oarlock.errors import InvalidRow

TEXTS = pa.array(["x", None])


@pytest.mark.parametrize(
    ("array", "column", "first"),
    [
        (pa.array([1, None], pa.int8()), {"data_type": "bigint"}, 1),
        (pa.array([2**32 - 1, None], pa.uint32()), {"data_type": "bigint"}, 2**32 - 1),
        (pa.array([2**63 - 1, None], pa.uint64()), {"data_type": "bigint"}, 2**63 - 1),
        (pa.array([2**64 - 1, None], pa.uint64()), {"data_type": "wei"}, Decimal(2**64 - 1)),
        (pa.array([1.5, None], pa.float32()), {"data_type": "double"}, 1.5),
        (pa.array([1.5, None]).cast(pa.float16()), {"data_type": "double"}, 1.5),
        (pa.array([True, None]), {"data_type": "bool"}, True),
        (
            pa.array([Decimal("1.5")], pa.decimal128(5, 1)),
            {"data_type": "decimal", "precision": 5, "scale": 1},
            Decimal("1.5"),
        ),
        (
            pa.array([Decimal("1.5")], pa.decimal32(5, 1)),
            {"data_type": "decimal", "precision": 5, "scale": 1},
            Decimal("1.5"),
        ),
        (
            pa.array([Decimal("1500")], pa.decimal128(3, -2)),
            {"data_type": "decimal", "precision": 5, "scale": 0},
            Decimal(1500),
        ),
        (
            pa.array([Decimal("1.5")], pa.decimal256(60, 9)),
            {"data_type": "decimal", "precision": 38, "scale": 9},
            Decimal("1.5"),
        ),
        (
            pa.array([1], pa.timestamp("s")),
            {"data_type": "timestamp", "timezone": False},
            datetime(1970, 1, 1, 0, 0, 1),
        ),
        (
            pa.array([1_000_000_000], pa.timestamp("ns", "Europe/Berlin")),
            {"data_type": "timestamp"},
            datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC),
        ),
        (
            pa.array([-1], pa.timestamp("ns", "UTC")),
            {"data_type": "timestamp"},
            datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC),
        ),
        (pa.array([86_400_000], pa.date64()), {"data_type": "date"}, date(1970, 1, 2)),
        (pa.array([1], pa.date32()), {"data_type": "date"}, date(1970, 1, 2)),
        (pa.array([61], pa.time32("s")), {"data_type": "time"}, time(0, 1, 1)),
        (pa.array([61_000_000_000], pa.time64("ns")), {"data_type": "time"}, time(0, 1, 1)),
        (TEXTS, {"data_type": "text"}, "x"),
        (TEXTS.cast(pa.large_string()), {"data_type": "text"}, "x"),
        (TEXTS.cast(pa.string_view()), {"data_type": "text"}, "x"),
        (TEXTS.dictionary_encode(), {"data_type": "text"}, "x"),
        (pa.compute.run_end_encode(TEXTS), {"data_type": "text"}, "x"),
        (pa.array([b"x"], pa.large_binary()), {"data_type": "binary"}, b"x"),
        (pa.array([b"xy"], pa.binary(2)), {"data_type": "binary"}, b"xy"),
        (pa.array([b"x"], pa.binary_view()), {"data_type": "binary"}, b"x"),
        (pa.array([b"0" * 16], pa.uuid()), {"data_type": "text"}, "30303030-3030-3030-3030-303030303030"),
        (pa.array(['{"a":1}'], pa.json_()), {"data_type": "text"}, '{"a":1}'),
        (pa.array([[1, None]]), {"data_type": "json"}, "[1,null]"),
        (pa.array([{"a": 1, "b": datetime(2024, 1, 1)}]), {"data_type": "json"}, '{"a":1,"b":"2024-01-01T00:00:00"}'),
        (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())), {"data_type": "json"}, '{"a":1}'),
        (
            pa.array([[("a", 1), ("a", 2)]], pa.map_(pa.string(), pa.int64())),
            {"data_type": "json"},
            '[["a",1],["a",2]]',
        ),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_every_type_has_a_column(array: pa.Array, column: dict[str, Any], first: Any) -> None:
    tables = Tables().add_arrow(pa.table({"v": array}))

    found = tables.stored.columns("t")["v"]
    assert {key: value for key, value in found.items() if key not in ("name", "nullable")} == column
    assert tables.rows()[0] == {"v": first}
    assert len(tables.batches["t"][0]) == len(array)


def test_a_column_of_nothing_is_left_out_and_its_rows_are_not() -> None:
    tables = Tables().add_arrow(pa.table({"n": pa.nulls(2), "v": [1, 2], "t": pa.nulls(2, pa.string())}))

    assert tables.types() == {"v": "bigint", "t": "text"}
    assert tables.normalizer.rows == {"t": 2}


def test_system_columns_come_when_asked_for_and_when_the_table_has_them() -> None:
    data = pa.table({"v": [1, 2]})

    assert Tables().add_arrow(data).column_names() == ["v"]
    asked = Tables().add_arrow(data, system_columns=True)
    assert asked.column_names() == ["v", "_dlt_load_id", "_dlt_id"]
    mixed = Tables().add([{"v": 0}]).add_arrow(data).add([{"v": 3}])
    ids = [row["_dlt_id"] for row in mixed.rows(system=True)]
    assert len(set(ids)) == 4
    assert {row["_dlt_load_id"] for row in mixed.rows(system=True)} == {"1700000000.5"}
    assert ids == [row["_dlt_id"] for row in Tables().add([{"v": n} for n in range(4)]).rows(system=True)]


def test_ids_that_the_data_brings_are_kept() -> None:
    data = pa.table({"v": [1, 2], "_dlt_id": ["mine", None], "_dlt_load_id": ["a", "b"]})

    plain = Tables().add_arrow(data).rows(system=True)
    first, second = Tables().add_arrow(data, system_columns=True).rows(system=True)

    assert plain == [{"v": 1, "_dlt_id": "mine", "_dlt_load_id": "a"}, {"v": 2, "_dlt_load_id": "b"}]
    assert (first["_dlt_id"], first["_dlt_load_id"]) == ("mine", "1700000000.5")
    assert len(second["_dlt_id"]) == 22


def test_names_are_normalized_and_told_apart() -> None:
    data = pa.Table.from_arrays([pa.array([n]) for n in range(5)], names=["User ID", "user_id", "x", "x", ""])

    (row,) = Tables().add_arrow(data).rows()

    assert row["user_id"] == 1
    assert sorted(row.values()) == [0, 1, 2, 3, 4]
    assert row["_empty"] == 4


@pytest.mark.parametrize(
    ("column", "array", "expected"),
    [
        ({"data_type": "bigint"}, pa.array([1.0, 2.5, None]), [{"v": 1}, {"v__v_double": 2.5}, {}]),
        ({"data_type": "bigint"}, pa.array([1.0, 2.0, None]), [{"v": 1}, {"v": 2}, {}]),
        ({"data_type": "bigint"}, pa.array(["5", "007"]), [{"v": 5}, {"v__v_text": "007"}]),
        ({"data_type": "bigint"}, pa.array([True, False]), [{"v__v_bool": True}, {"v__v_bool": False}]),
        ({"data_type": "bigint", "precision": 16}, pa.array([1, 70_000]), [{"v": 1}, {"v__v_bigint": 70_000}]),
        ({"data_type": "bigint"}, pa.array([2**64 - 1, 1], pa.uint64()), [{"v__v_wei": Decimal(2**64 - 1)}, {"v": 1}]),
        ({"data_type": "double"}, pa.array([1, 2**53 + 1]), [{"v": 1.0}, {"v__v_bigint": 2**53 + 1}]),
        ({"data_type": "text"}, pa.array([1, 2]), [{"v": "1"}, {"v": "2"}]),
        ({"data_type": "text"}, pa.array([1.5, 1e20]), [{"v": "1.5"}, {"v": "1e+20"}]),
        ({"data_type": "text"}, pa.array([True]), [{"v": "True"}]),
        ({"data_type": "text"}, pa.array([date(2024, 1, 2)]), [{"v": "2024-01-02"}]),
        ({"data_type": "decimal"}, pa.array([1, 2]), [{"v": Decimal(1)}, {"v": Decimal(2)}]),
        (
            {"data_type": "decimal", "precision": 4, "scale": 2},
            pa.array([Decimal("1.5"), Decimal("100.5")]),
            [{"v": Decimal("1.5")}, {"v__v_decimal": Decimal("100.5")}],
        ),
        ({"data_type": "timestamp"}, pa.array([date(2024, 1, 2)]), [{"v": datetime(2024, 1, 2, tzinfo=UTC)}]),
        ({"data_type": "timestamp"}, pa.array([datetime(2024, 1, 2)]), [{"v": datetime(2024, 1, 2, tzinfo=UTC)}]),
        (
            {"data_type": "timestamp", "timezone": False},
            pa.array([datetime(2024, 1, 2, 3, tzinfo=UTC)], pa.timestamp("us", "Asia/Tokyo")),
            [{"v": datetime(2024, 1, 2, 3)}],
        ),
        (
            {"data_type": "timestamp"},
            pa.array(["2024-01-02T03:00:00Z", "x"]),
            [{"v": datetime(2024, 1, 2, 3, tzinfo=UTC)}, {"v__v_text": "x"}],
        ),
        ({"data_type": "json"}, pa.array(["[1]", "x"]), [{"v": "[1]"}, {"v__v_text": "x"}]),
        ({"data_type": "text"}, pa.array([[1]]), [{"v": "[1]"}]),
        ({"data_type": "bigint"}, pa.nulls(2), [{}, {}]),
    ],
)
def test_a_column_that_is_there_keeps_its_type(column: dict[str, Any], array: pa.Array, expected: list[Any]) -> None:
    tables = Tables().add_arrow(pa.table({"v": array}), columns={"v": column}, system_columns=True)

    assert tables.rows() == expected
    assert tables.types().get("v", column["data_type"]) == column["data_type"]


def test_rows_and_arrow_share_a_table() -> None:
    tables = Tables().add([{"id": 1, "at": "2024-01-02T00:00:00Z"}]).add_arrow(pa.table({"ID": ["2"], "at": ["x"]}))

    assert tables.rows() == [{"id": 1, "at": datetime(2024, 1, 2, tzinfo=UTC)}, {"id": 2, "at__v_text": "x"}]


@pytest.mark.parametrize(
    "array",
    [pa.array([timedelta(1)]), pa.array([2**60], pa.timestamp("s")), pa.array(["a\0"])],
    ids=["a duration", "a time beyond microseconds", "a NUL"],
)
def test_what_no_column_holds_is_refused(array: pa.Array) -> None:
    with pytest.raises(InvalidRow, match="'t' has in column 'v'"):
        Tables(supports_nul=False).add_arrow(pa.table({"v": array}))


def test_a_column_without_null_must_have_values() -> None:
    with pytest.raises(InvalidRow, match="must have a value"):
        Tables().add_arrow(pa.table({"id": [1, None]}), primary_key=("id",))


def test_large_tables_come_in_batches_with_rising_row_numbers() -> None:
    data = pa.table({"v": range(300_000)})

    tables = Tables().add_arrow(data, system_columns=True)

    assert len(tables.batches["t"]) == 3
    whole = pa.Table.from_batches(tables.batches["t"])
    assert whole["v"].to_pylist() == list(range(300_000))
    assert len(set(whole["_dlt_id"].to_pylist())) == 300_000


VALUES = {
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "double": st.floats(allow_nan=False),
    "text": st.text(max_size=5) | st.sampled_from(["5", "1.5", "true", "2024-01-02T03:04:05Z", "[1]"]),
    "bool": st.booleans(),
    "decimal": st.decimals(-(10**6), 10**6, places=9),
    "timestamp": st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)).map(lambda one: one.replace(tzinfo=UTC)),
    "date": st.dates(),
    "binary": st.binary(max_size=4),
}
TYPES = {
    "bigint": pa.int64(),
    "double": pa.float64(),
    "text": pa.string(),
    "bool": pa.bool_(),
    "decimal": pa.decimal128(38, 9),
    "timestamp": pa.timestamp("us", "UTC"),
    "date": pa.date32(),
    "binary": pa.binary(),
}


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from(list(VALUES)), st.sampled_from(list(VALUES)))
def test_a_cast_column_holds_what_its_values_one_by_one_would(data: Any, have: str, comes: str) -> None:
    values = data.draw(st.lists(VALUES[comes] | st.none(), min_size=1, max_size=5))
    columns = {"v": {"data_type": have}}

    whole = Tables().add_arrow(pa.table({"v": pa.array(values, TYPES[comes])}), system_columns=True, columns=columns)
    single = Tables(exact=True).add([{"v": value} for value in values], columns=columns)

    assert [_texts(row) for row in whole.rows()] == [_texts(row) for row in single.rows()]


def _texts(row: dict[str, Any]) -> dict[str, str]:
    return {name: repr(value) for name, value in row.items()}
