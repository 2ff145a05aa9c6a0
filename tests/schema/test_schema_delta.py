"""Growth: what a delta changes, what it does not, in whatever order the workers come."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest

from oarlock.errors import SchemaError
from oarlock.schema.delta import Conflict, Merged, SchemaDelta, merge, type_text
from oarlock.schema.document import Schema
from oarlock.schema.system import column


def delta(**columns: str) -> SchemaDelta:
    """A delta of table t with these columns of these types."""
    return {"t": {"columns": {name: column(name, data_type) for name, data_type in columns.items()}}}


def grown(*deltas: SchemaDelta) -> Schema:
    schema = Schema.new("s")
    for each in deltas:
        schema = merge(schema, each).schema
    return schema


def test_new_tables_and_columns_are_appended_in_their_order() -> None:
    schema = grown(delta(b="text", a="bigint"), delta(c="double", a="bigint"), {"u": {"columns": {}}})

    assert list(schema.columns("t")) == ["b", "a", "c"]
    assert schema.data_tables() == ["t", "u"]
    assert schema.table("t")["write_disposition"] == "append"
    assert schema.version == 4


def test_the_version_rises_by_one_where_the_content_changes_and_only_there() -> None:
    first = merge(Schema.new("s"), delta(a="text"))
    same = merge(first.schema, delta(a="text"))
    other = merge(first.schema, delta(b="text"))

    assert first.changed
    assert first.schema.version == 2
    assert not same.changed
    assert same.schema is first.schema
    assert other.schema.version == 3
    assert other.schema.previous_hashes == [first.schema.version_hash, Schema.new("s").version_hash]


def test_ten_former_hashes_are_remembered() -> None:
    schema = Schema.new("s")
    hashes: list[str] = []
    for i in range(15):
        hashes.insert(0, schema.version_hash)
        schema = merge(schema, delta(**{f"c{i}": "text"})).schema

    assert schema.previous_hashes == hashes[:10]
    assert schema.version == 16


def test_a_schema_does_not_change_when_another_grows_from_it() -> None:
    first = grown(delta(a="text"))
    text = first.to_json()

    merge(first, {"t": {"write_disposition": "merge", "columns": {"a": {"unique": True}, "b": column("b", "text")}}})

    assert first.to_json() == text
    assert Schema.from_json(text).stored_hash_ok()


def test_a_column_keeps_its_type_and_the_other_is_a_conflict() -> None:
    merged = merge(grown(delta(a="bigint")), delta(a="text", b="text"))

    assert merged.conflicts == [Conflict("t", "a", have="bigint", wanted="text")]
    assert merged.schema.columns("t")["a"]["data_type"] == "bigint"
    assert merged.schema.columns("t")["b"]["data_type"] == "text"
    assert merged.changed
    only = merge(merged.schema, delta(a="text"))
    assert (only.changed, len(only.conflicts)) == (False, 1)


@pytest.mark.parametrize(
    ("have", "wanted", "texts"),
    [
        ({"precision": 20, "scale": 2}, {"precision": 38, "scale": 12}, ("decimal(20,2)", "decimal(38,12)")),
        ({}, {"precision": 38, "scale": 12}, ("decimal", "decimal(38,12)")),
        ({}, {"precision": 38, "scale": 9}, None),
        ({"precision": 20, "scale": 2}, {}, None),
    ],
)
def test_precision_and_scale_are_part_of_the_type(
    have: dict[str, Any], wanted: dict[str, Any], texts: tuple[str, str] | None
) -> None:
    schema = grown({"t": {"columns": {"a": column("a", "decimal", **have)}}})

    merged = merge(schema, {"t": {"columns": {"a": column("a", "decimal", **wanted)}}})

    assert [(c.have, c.wanted) for c in merged.conflicts] == ([texts] if texts else [])
    assert merged.schema is schema


def test_a_zone_is_part_of_the_type() -> None:
    schema = grown({"t": {"columns": {"at": column("at", "timestamp", timezone=False)}}})

    assert merge(schema, delta(at="timestamp")).conflicts == []
    wanted = {"t": {"columns": {"at": column("at", "timestamp", timezone=True)}}}
    assert merge(schema, wanted).conflicts == [Conflict("t", "at", "timestamp without time zone", "timestamp")]
    assert type_text({"data_type": "bigint", "precision": 16}) == "bigint(16)"


@pytest.mark.parametrize(("have", "wanted"), [(True, False), (False, True)])
def test_a_column_goes_on_taking_null_or_not(have: bool, wanted: bool) -> None:
    schema = grown({"t": {"columns": {"a": column("a", "text", nullable=have)}}})

    merged = merge(schema, {"t": {"columns": {"a": column("a", "text", nullable=wanted)}}})

    assert merged.schema.columns("t")["a"]["nullable"] is have
    assert not merged.changed


def test_other_hints_are_taken_over() -> None:
    schema = grown(delta(a="text"))

    merged = merge(schema, {"t": {"columns": {"a": {"primary_key": True, "unique": False, "x-mine": {"k": 1}}}}})

    assert merged.schema.columns("t")["a"] == {**column("a", "text"), "primary_key": True, "x-mine": {"k": 1}}
    undone = merge(merged.schema, {"t": {"columns": {"a": {"primary_key": False}}}})
    assert undone.schema.columns("t")["a"]["primary_key"] is False


def test_hints_come_with_a_conflict_too() -> None:
    merged = merge(grown(delta(a="bigint")), {"t": {"columns": {"a": column("a", "text", primary_key=True)}}})

    assert merged.schema.columns("t")["a"] == column("a", "bigint", primary_key=True)
    assert len(merged.conflicts) == 1


def test_a_declared_column_is_completed_and_goes_to_the_end() -> None:
    declared = {"t": {"columns": {"id": {"name": "id", "primary_key": True, "nullable": False}}}}
    schema = grown(declared, delta(a="text"))

    merged = merge(schema, delta(id="bigint", b="text"))

    assert list(merged.schema.columns("t")) == ["a", "id", "b"]
    assert merged.schema.columns("t")["id"] == column("id", "bigint", nullable=False, primary_key=True)
    assert merged.conflicts == []


def test_table_hints_are_taken_over_and_nested_ones_joined() -> None:
    schema = grown({"t": {"x-normalizer": {"max_nesting": 2}, "columns": {}}})

    merged = merge(schema, {"t": {"write_disposition": "merge", "x-normalizer": {"seen-data": True}, "columns": {}}})

    assert merged.schema.table("t")["x-normalizer"] == {"max_nesting": 2, "seen-data": True}
    assert merged.schema.write_disposition("t") == "merge"


def test_references_are_joined_by_the_table_they_point_at() -> None:
    def reference(table: str, to: str) -> dict[str, Any]:
        return {"referenced_table": table, "columns": ["a"], "referenced_columns": [to]}

    schema = grown({"t": {"references": [reference("u", "x")], "columns": {}}})
    merged = merge(schema, {"t": {"references": [reference("v", "y"), reference("u", "z")], "columns": {}}})

    assert merged.schema.table("t")["references"] == [reference("u", "z"), reference("v", "y")]


def test_parents_are_added_before_their_children_in_whatever_order_they_come() -> None:
    tables: dict[str, dict[str, Any]] = {
        "t": {"columns": {}},
        "t__l": {"parent": "t", "columns": {}},
        "t__l__m": {"parent": "t__l", "columns": {}},
    }
    for order in itertools.permutations(tables):
        schema = grown({name: tables[name] for name in order})
        assert schema.data_tables() == ["t", "t__l", "t__l__m"]


def test_more_columns_of_a_nested_table_need_not_name_its_parent() -> None:
    schema = grown({"t": {"columns": {}}, "t__l": {"parent": "t", "columns": {}}})

    merged = merge(schema, {"t__l": {"columns": {"value": column("value", "text")}}})

    assert merged.schema.table("t__l")["parent"] == "t"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"u": {"parent": "nobody", "columns": {}}}, "'nobody'"),
        ({"u": {"parent": "u", "columns": {}}}, "own ancestor"),
        ({"t": {"parent": "v", "columns": {}}, "v": {"columns": {}}}, "a root table and cannot be nested"),
        ({"t__l": {"parent": "v", "columns": {}}, "v": {"columns": {}}}, "nested in 't' and cannot be nested"),
        ({"t__l": {"resource": "r", "columns": {}}}, "no resource of its own"),
        ({"u": {"parent": "t", "write_disposition": "merge", "columns": {}}}, "no write_disposition of its own"),
        ({"t": {"write_disposition": "upsert", "columns": {}}}, "'upsert'"),
        ({"t": {"columns": {"a": {"data_type": "varchar"}}}}, "'varchar'"),
        ({"u": {"columns": {"a": {"precision": "x"}}}}, "precision 'x'"),
    ],
)
def test_a_delta_that_cannot_be_is_refused(wrong: SchemaDelta, says: str) -> None:
    schema = grown({"t": {"columns": {}}, "t__l": {"parent": "t", "columns": {}}})

    with pytest.raises(SchemaError, match=says):
        merge(schema, wrong)


def test_workers_in_any_order_end_with_the_same_columns() -> None:
    deltas = [delta(a="text", x="bigint"), delta(b="text", x="bigint"), delta(c="text", d="json"), delta(a="text")]
    ends = [grown(*order) for order in itertools.permutations(deltas)]

    assert len({frozenset(end.columns("t")) for end in ends}) == 1
    assert {end.version for end in ends} <= {4, 5}, "one for each delta that brought something"
    assert all(Schema.from_json(end.to_json()).stored_hash_ok() for end in ends)


def wide(columns: int) -> Schema:
    return grown(delta(**{f"column_{i}": "text" for i in range(columns)}))


def many(tables: int) -> Schema:
    return grown({f"t{i}": {"columns": {f"c{j}": column(f"c{j}", "text") for j in range(10)}} for i in range(tables)})


def cost_s(work: Callable[[], Merged]) -> float:
    """CPU seconds of the best of several goes."""
    costs = []
    for _ in range(7):
        before = time.process_time()
        work()
        costs.append(time.process_time() - before)
    return min(costs)


def test_growth_costs_what_the_delta_costs() -> None:
    narrow, broad = many(10), many(1000)
    for schema in (narrow, broad):
        schema.to_json()
    one = {"t5": {"columns": {"new": column("new", "text")}}}

    assert cost_s(lambda: merge(broad, one)) < 10 * cost_s(lambda: merge(narrow, one)) + 0.001
    assert cost_s(lambda: merge(broad, {"t5": {"columns": {"c1": column("c1", "text")}}})) < 0.001


def test_a_table_of_3000_columns_grows_and_is_hashed_in_milliseconds() -> None:
    schema = wide(3000)
    schema.to_json()

    def step() -> Merged:
        merged = merge(schema, delta(new="text"))
        merged.schema.to_json()
        return merged

    assert cost_s(step) < 0.02


def test_a_hash_made_in_parts_is_the_hash_made_at_once() -> None:
    schema = many(50)
    for i in range(20):
        schema = merge(schema, {f"t{i}": {"columns": {f"new_{i}": column(f"new_{i}", "bigint")}}}).schema
        assert schema.version_hash == Schema.from_json(schema.to_json()).without_processing_hints().version_hash
        assert Schema.from_json(schema.to_json()).stored_hash_ok()
