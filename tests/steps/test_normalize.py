"""Rows become tables: flattening, child tables, types, variants, hints, and what is refused."""

from __future__ import annotations

import dataclasses
import enum
import uuid
from collections import OrderedDict, namedtuple
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import BaseModel
from rowwise import Tables

from oarlock.errors import InvalidName, InvalidRow
from oarlock.schema.document import Schema


class Colour(enum.Enum):
    """Text that is one of a few words."""

    RED = "red"


class Size(enum.IntEnum):
    """A number that has a name."""

    BIG = 3


NESTED = {
    "a": {"b": {"c": {"d": 1}}},
    "l": [{"m": [{"n": [1]}]}],
    "ll": [[1, 2], [3]],
    "mix": [1, "x", {"k": 2}, [5]],
}


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        (0, {"t": {"a": "json", "l": "json", "ll": "json", "mix": "json"}}),
        (
            1,
            {
                "t": {"a__b": "json"},
                "t__l": {"m": "json"},
                "t__ll": {"list": "json"},
                "t__mix": {"value": "bigint", "value__v_text": "text", "k": "bigint", "list": "json"},
            },
        ),
        (
            2,
            {
                "t": {"a__b__c": "json"},
                "t__l": {},
                "t__l__m": {"n": "json"},
                "t__ll": {"list": "json"},
                "t__mix": {"value": "bigint", "value__v_text": "text", "k": "bigint", "list": "json"},
            },
        ),
        (
            3,
            {
                "t": {"a__b__c__d": "bigint"},
                "t__l": {},
                "t__l__m": {},
                "t__l__m__n": {"value": "bigint"},
                "t__ll": {},
                "t__ll__list": {"value": "bigint"},
                "t__mix": {"value": "bigint", "value__v_text": "text", "k": "bigint"},
                "t__mix__list": {"value": "bigint"},
            },
        ),
    ],
)
def test_levels_say_how_far_rows_are_taken_apart(levels: int, expected: dict[str, dict[str, str]]) -> None:
    tables = Tables().add([NESTED], max_table_nesting=levels)

    assert {table: tables.types(table) for table in tables.batches} == expected


def test_system_columns_come_last_in_their_order() -> None:
    tables = Tables().add([{"id": 1, "items": [{"n": 1, "parts": [2]}]}])
    merged = Tables().add([{"id": 1, "items": [{"n": 1, "parts": [2]}]}], write_disposition="merge")

    assert tables.column_names("t") == ["id", "_dlt_load_id", "_dlt_id"]
    assert tables.column_names("t__items") == ["n", "_dlt_parent_id", "_dlt_list_idx", "_dlt_id"]
    assert merged.column_names("t__items") == ["n", "_dlt_root_id", "_dlt_parent_id", "_dlt_list_idx", "_dlt_id"]
    root = merged.rows("t", system=True)[0]["_dlt_id"]
    assert merged.rows("t__items__parts", system=True)[0]["_dlt_root_id"] == root
    assert merged.rows("t__items__parts", system=True)[0]["_dlt_parent_id"] != root
    assert tables.stored.table("t__items")["parent"] == "t"
    assert "resource" not in tables.stored.table("t__items")


def test_every_row_below_a_merged_table_names_its_root() -> None:
    rows = [{"id": number, "l": [{"m": [number]} for _ in range(number)]} for number in range(4)]
    tables = Tables().add(rows, write_disposition="merge", primary_key=("id",))

    roots = {row["_dlt_id"]: row["id"] for row in tables.rows("t", system=True)}
    assert [roots[row["_dlt_root_id"]] for row in tables.rows("t__l", system=True)] == [1, 2, 2, 3, 3, 3]
    for row in tables.rows("t__l__m", system=True):
        assert roots[row["_dlt_root_id"]] == row["value"]


def test_rows_of_nothing_but_null_are_kept_and_make_no_column() -> None:
    tables = Tables().add([{"a": None}, {}, {"a": None, "b": {}, "c": []}])

    assert tables.normalizer.rows == {"t": 3}
    assert tables.column_names() == ["_dlt_load_id", "_dlt_id"]


def test_the_first_value_in_row_order_says_the_type() -> None:
    assert Tables().add([{"v": None}, {"v": 1.5}, {"v": 1}]).types() == {"v": "double"}
    assert Tables().add([{"v": 1}, {"v": 1.5}]).types() == {"v": "bigint", "v__v_double": "double"}
    assert Tables().add([{"v": None}], [{"v": "x"}], [{"v": 1}]).types() == {"v": "text"}


@pytest.mark.parametrize(
    ("value", "data_type", "stored"),
    [
        ("x", "text", "x"),
        (1, "bigint", 1),
        (True, "bool", True),
        (1.5, "double", 1.5),
        (b"\x00\xff", "binary", b"\x00\xff"),
        (Decimal("1.50"), "decimal", Decimal("1.500000000")),
        (2**63, "wei", Decimal(2**63)),
        (datetime(2024, 1, 2, 3), "timestamp", datetime(2024, 1, 2, 3, tzinfo=UTC)),
        (
            datetime(2024, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))),
            "timestamp",
            datetime(2024, 1, 2, 1, tzinfo=UTC),
        ),
        (date(2024, 1, 2), "date", date(2024, 1, 2)),
        (time(1, 2, 3, 4), "time", time(1, 2, 3, 4)),
        ("2024-01-02T03:04:05Z", "timestamp", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2024-01-02 03:04:05", "timestamp", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2024-01-02", "text", "2024-01-02"),
        (uuid.UUID(int=5), "text", str(uuid.UUID(int=5))),
        (Colour.RED, "text", "red"),
        (Size.BIG, "bigint", 3),
        (np.int64(7), "bigint", 7),
        (np.float32(0.5), "double", 0.5),
        (np.str_("s"), "text", "s"),
        (bytearray(b"ab"), "binary", b"ab"),
    ],
)
def test_a_value_has_the_type_that_the_spec_says(value: Any, data_type: str, stored: Any) -> None:
    tables = Tables().add([{"v": value}])

    assert tables.types() == {"v": data_type}
    assert tables.rows() == [{"v": stored}]


def test_what_is_not_a_number_stays_what_it_is() -> None:
    rows = Tables().add([{"v": float("nan")}, {"v": float("inf")}, {"v": -0.0}]).rows()

    assert [repr(row["v"]) for row in rows] == ["nan", "inf", "-0.0"]


def test_a_value_of_another_type_goes_beside_its_column() -> None:
    rows = [{"v": 1}, {"v": "5"}, {"v": 2.0}, {"v": 1.5}, {"v": True}, {"v": "abc"}, {"v": b"x"}, {"v": 2**70}]

    found = Tables().add(rows).rows()

    assert found == [
        {"v": 1},
        {"v": 5},
        {"v": 2},
        {"v__v_double": 1.5},
        {"v__v_bool": True},
        {"v__v_text": "abc"},
        {"v__v_binary": b"x"},
        {"v__v_wei": Decimal(2**70)},
    ]


def test_a_list_where_a_number_was_makes_a_child_table() -> None:
    tables = Tables().add([{"v": 1}, {"v": [1, 2]}, {"v": {"a": 3}}])

    assert tables.rows() == [{"v": 1}, {}, {"v__a": 3}]
    assert tables.rows("t__v") == [{"value": 1}, {"value": 2}]


def test_keys_that_collide_in_a_row_are_told_apart() -> None:
    tables = Tables().add([{"userId": 1, "user_id": 2, "UserID": 3}, {"userId": 4}, {"a": {"b": 1}, "a__b": 2}])

    first, second, third = tables.rows()
    assert sorted(first.values()) == [1, 2, 3]
    assert first["user_id"] == 2
    assert second == {"user_id": 4}
    assert sorted(third.values()) == [1, 2]
    hints = {column.get("x-source-key") for column in tables.stored.columns("t").values()}
    assert {"userId", "UserID", "a__b"} - hints <= {"a__b"}


def test_lists_that_collide_in_a_row_are_told_apart() -> None:
    tables = Tables().add([{"items": [1], "Items": [2], "a": [{"b": [3]}], "a__b": [4]}])

    found = [row["value"] for table in tables.batches for row in tables.rows(table) if "value" in row]
    assert sorted(found) == [1, 2, 3, 4]
    assert len(tables.batches) == 6


def test_a_variant_and_a_key_of_its_name_do_not_meet() -> None:
    tables = Tables().add([{"v": 1}, {"v": "x"}], [{"v": 1, "v__v_text": 5}], [{"w": 1, "w__v_text": 7}, {"w": "y"}])

    rows = tables.rows()
    assert rows[1] == {"v__v_text": "x"}
    assert rows[2]["v"] == 1
    assert "v__v_text" not in rows[2]
    assert 5 in rows[2].values()
    assert rows[3] == {"w": 1, "w__v_text": 7}
    assert list(rows[4].values()) == ["y"]
    assert list(rows[4]) != ["w__v_text"]


def test_blank_keys_and_keys_that_are_no_text_have_names() -> None:
    tables = Tables().add([{"": 1, 5: 2, None: 3, True: 4, "__": {"  ": 5}}])

    assert tables.rows() == [{"_empty": 1, "_5": 2, "null": 3, "true": 4, "_empty___empty": 5}]


def test_two_keys_with_one_text_are_refused() -> None:
    with pytest.raises(InvalidRow, match="two keys of one dict are both '1'"):
        Tables().add([{1: "a", "1": "b"}])


class Model(BaseModel):
    """A row as a model."""

    id: int
    tags: list[str] = []


@dataclasses.dataclass
class Point:
    """A row as a dataclass."""

    id: int
    inner: Any = None


Pair = namedtuple("Pair", "id other")


@pytest.mark.parametrize(
    "row",
    [
        Model(id=1),
        Point(1),
        Pair(1, None),
        OrderedDict(id=1),
        MappingProxyType({"id": 1}),
        {"id": 1},
    ],
    ids=lambda row: type(row).__name__,
)
def test_rows_may_be_any_record(row: Any) -> None:
    assert Tables().add([row]).rows() == [{"id": 1}]
    assert Tables().add([{"r": row}, {"r": [row]}]).rows("t__r") == [{"id": 1}]


def test_plain_values_are_rows_of_one_column() -> None:
    tables = Tables().add([1, 2.0, "x", (1, 2)])

    assert tables.rows() == [{"value": 1}, {"value": 2}, {"value__v_text": "x"}, {}]
    assert tables.rows("t__value") == [{"value": 1}, {"value": 2}]


def test_tuples_sequences_and_arrays_are_lists() -> None:
    tables = Tables().add([{"v": (1, 2)}, {"v": np.array([3, 4])}, {"v": range(5, 7)}])

    assert [row["value"] for row in tables.rows("t__v")] == [1, 2, 3, 4, 5, 6]


def test_json_columns_keep_what_is_inside() -> None:
    columns = {"j": {"data_type": "json"}}
    tables = Tables().add([{"j": {"b": [1, {"c": "é"}]}, "k": {"x": 1}}, {"j": [1]}, {"j": "[2]"}], columns=columns)

    assert tables.rows() == [{"j": '{"b":[1,{"c":"é"}]}', "k__x": 1}, {"j": "[1]"}, {"j": "[2]"}]
    assert list(tables.batches) == ["t"]


def test_what_is_too_deep_in_one_row_is_json_in_all() -> None:
    tables = Tables().add([{"a": [[], {"list": ["x"]}]}], max_table_nesting=2)

    assert tables.rows("t__a") == [{"list": "[]"}, {"list": '["x"]'}]
    assert list(tables.batches) == ["t", "t__a"]


def test_hints_declare_columns() -> None:
    columns = {"Amount": {"data_type": "decimal", "precision": 10, "scale": 2}, "at": {"timezone": False}}
    tables = Tables().add(
        [{"ID": 1, "Amount": "12.5", "at": "2024-01-02T03:04:05+01:00", "small": 1}],
        primary_key=("ID",),
        merge_key=("at",),
        columns=columns,
        resource="orders",
        max_table_nesting=2,
    )

    assert tables.rows() == [{"id": 1, "amount": Decimal("12.50"), "at": datetime(2024, 1, 2, 2, 4, 5), "small": 1}]
    found = tables.stored.columns("t")
    assert (found["id"]["primary_key"], found["id"]["nullable"]) == (True, False)
    assert (found["at"]["merge_key"], found["at"]["data_type"]) == (True, "timestamp")
    assert (found["amount"]["precision"], found["amount"]["scale"]) == (10, 2)
    table = tables.stored.table("t")
    assert (table["resource"], table["x-normalizer"]) == ("orders", {"max_nesting": 2, "seen-data": True})


def test_narrow_integers_keep_within_their_bits() -> None:
    tables = Tables().add([{"v": 100}, {"v": 300}, {"v": -128}], columns={"v": {"data_type": "bigint", "precision": 8}})

    assert tables.rows() == [{"v": 100}, {"v__v_bigint": 300}, {"v": -128}]


def test_a_key_without_a_value_is_refused() -> None:
    with pytest.raises(InvalidRow, match="column 'id' the value None: the column must have a value"):
        Tables().add([{"id": 1}, {"id": None}], primary_key=("id",))
    with pytest.raises(InvalidRow, match="column 'id'"):
        Tables().add([{"other": 1}], primary_key=("id",))


def test_ids_that_rows_bring_are_kept_and_named_by_their_children() -> None:
    tables = Tables().add(
        [{"_dlt_id": "mine", "_dlt_load_id": "theirs", "l": [{"_dlt_id": "child", "m": [1]}]}, {"l": [1]}]
    )

    first, second = tables.rows("t", system=True)
    assert (first["_dlt_id"], first["_dlt_load_id"]) == ("mine", "1700000000.5")
    assert len(second["_dlt_id"]) == 22
    children = tables.rows("t__l", system=True)
    assert [row["_dlt_parent_id"] for row in children] == ["mine", second["_dlt_id"]]
    assert tables.rows("t__l__m", system=True)[0]["_dlt_parent_id"] == "child"


def test_the_same_package_has_the_same_ids_and_another_has_others() -> None:
    rows = [{"l": [1, {"m": [2]}]} for _ in range(5)]
    ids = [
        {table: [row["_dlt_id"] for row in one.rows(table, system=True)] for table in one.batches}
        for one in (
            Tables().add(rows),
            Tables().add(rows[:2], rows[2:]),
            Tables(load_id="1700000000.6").add(rows),
            Tables().add([rows[0]] * 5, table="u"),
        )
    ]

    assert ids[0] == ids[1]
    flat = [one for made in (ids[0], *ids[2:]) for of_table in made.values() for one in of_table]
    assert len(set(flat)) == len(flat)


def test_long_names_are_shortened() -> None:
    tables = Tables(max_identifier_length=20).add([{"a" * 30: 1, "b" * 15: [{"c" * 15: 1}]}])

    names = [name for table in tables.batches for name in (table, *tables.column_names(table))]
    assert max(map(len, names)) == 20
    assert len(tables.batches) == 2


@pytest.mark.parametrize("name", ["", "  ", "__", "_dlt_loads"])
def test_a_table_needs_a_name_of_its_own(name: str) -> None:
    with pytest.raises(InvalidName):
        Tables().add([{"a": 1}], table=name)


@pytest.mark.parametrize(
    ("row", "options", "reason"),
    [
        ({"a": {"b": "\ud800"}}, {}, "half of a surrogate pair"),
        ({"a": ["\ud800"]}, {"max_nesting": 0}, "surrogate"),
        ({"a": "x\0"}, {"supports_nul": False}, "NUL"),
        ({"a": ["x\0"]}, {"supports_nul": False, "max_nesting": 0}, "NUL"),
        ({"a": {1, 2}}, {}, "set"),
        ({"a": object()}, {}, "object"),
        ({"a": timedelta(1)}, {}, "timedelta"),
        ({"a": [lambda: 1]}, {}, "function"),
        ({"a": 10**5000}, {}, "integer"),
    ],
)
def test_a_value_that_no_column_holds_is_refused_with_its_place(row: Any, options: Any, reason: str) -> None:
    with pytest.raises(InvalidRow, match=reason) as caught:
        Tables(**options).add([{"a": 1}, row])

    assert caught.value.column.partition("__")[0] in ("a", "value")
    assert caught.value.table in ("t", "t__a")


def test_nul_stays_where_text_can_hold_it() -> None:
    assert Tables().add([{"a": "x\0y"}]).rows() == [{"a": "x\0y"}]


def test_nothing_is_told_of_rows_that_were_refused() -> None:
    tables = Tables()
    with pytest.raises(InvalidRow):
        tables.add([{"a": 1}, {"a": {1}}])

    assert tables.batches == {}
    assert tables.normalizer.rows == {}


def test_every_arrow_type_is_the_column_s() -> None:
    row: Mapping[str, Any] = {
        "text": "x",
        "bigint": 1,
        "double": 1.5,
        "bool": True,
        "timestamp": datetime(2024, 1, 1),
        "date": date(2024, 1, 1),
        "time": time(1),
        "decimal": Decimal(1),
        "wei": 2**64,
        "binary": b"x",
    }
    tables = Tables().add([row, {"j": [1]}], columns={"j": {"data_type": "json"}})

    schema = tables.batches["t"][0].schema
    assert {name: schema.field(name).type for name in (*row, "j", "_dlt_id", "_dlt_load_id")} == {
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
        "j": pa.string(),
        "_dlt_id": pa.string(),
        "_dlt_load_id": pa.string(),
    }


def test_settings_of_the_schema_say_what_new_columns_are() -> None:
    tables = Tables()
    document = tables.stored.document()
    document["settings"] |= {
        "preferred_types": {"re:_at$": "timestamp", "blob": "json", "code": "text"},
        "detections": ["iso_timestamp", "iso_date", "timestamp"],
    }
    document["settings"]["default_hints"]["not_null"].append("id")
    document.pop("version_hash")
    tables = Tables(schema=Schema.from_document(document))

    tables.add([{"id": 1, "made_at": 5, "code": 7, "blob": {"a": 1}, "day": "2024-01-02", "seen": 1_700_000_000}])

    assert tables.types() == {
        "id": "bigint",
        "made_at": "timestamp",
        "code": "text",
        "blob": "json",
        "day": "date",
        "seen": "timestamp",
    }
    with pytest.raises(InvalidRow, match="column 'id'"):
        tables.add([{"id": None}])


def test_rows_that_lack_what_they_must_have_grow_no_schema() -> None:
    tables = Tables()

    with pytest.raises(InvalidRow):
        tables.add([{"other": 1}], primary_key=("id",))

    assert tables.deltas == []
