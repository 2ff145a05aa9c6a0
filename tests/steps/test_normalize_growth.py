"""Schemas that grow elsewhere meanwhile: a batch is aligned to what other workers have made of its columns."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from rowwise import Tables

from oarlock.errors import SchemaError
from oarlock.schema.delta import SchemaDelta, merge
from oarlock.schema.document import Schema
from oarlock.steps.normalize import Normalizer, TableHints


class Race(Tables):
    """A schema that another worker grows right before this one's first delta comes."""

    def __init__(self, *theirs: SchemaDelta, **options: Any) -> None:
        super().__init__(**options)
        self._theirs = list(theirs)

    def _grow(self, delta: SchemaDelta) -> Schema:
        if self._theirs:
            self.stored = merge(self.stored, self._theirs.pop(0)).schema
        return super()._grow(delta)


def column(name: str, data_type: str, **hints: Any) -> dict[str, Any]:
    return {"name": name, "data_type": data_type, "nullable": True, **hints}


def table(*columns: dict[str, Any], **hints: Any) -> SchemaDelta:
    return {"t": {"columns": {one["name"]: one for one in columns}, **hints}}


def test_nothing_new_touches_no_schema() -> None:
    tables = Tables().add([{"a": 1, "l": [1]}])
    assert len(tables.deltas) == 1

    tables.add([{"a": 2, "l": [3]}], [{"a": None}], [{"a": "5"}])

    assert len(tables.deltas) == 1


def test_a_column_that_another_made_text_takes_numbers_as_text() -> None:
    tables = Race(table(column("v", "text"))).add([{"v": 1}, {"v": 2.5}, {"w": 1}])

    assert tables.rows() == [{"v": "1"}, {"v": "2.5"}, {"w": 1}]
    assert tables.types() | {"v": "text", "w": "bigint"} == tables.types()


def test_a_column_that_another_made_narrower_sends_the_rest_beside() -> None:
    tables = Race(table(column("v", "bigint"))).add([{"v": "x"}, {"v": "7"}])

    assert tables.rows() == [{"v__v_text": "x"}, {"v": 7}]


def test_variants_that_another_made_are_shared() -> None:
    theirs = table(column("v", "bigint"), column("v__v_text", "text", variant=True))
    tables = Race(theirs).add([{"v": "x"}])

    assert tables.rows() == [{"v__v_text": "x"}]


def test_a_variant_of_another_program_with_a_type_of_its_own_is_used_where_it_fits() -> None:
    theirs = table(column("v", "bigint"), column("v__v_text", "timestamp", variant=True))
    tables = Race(theirs).add([{"v": "2024-01-02T03:04:05Z"}, {"v": "abc"}])

    first, second = tables.rows()
    assert list(first) == ["v__v_text"]
    assert list(second.values()) == ["abc"]
    assert next(iter(second)).startswith("v__v_text_")


def test_a_variant_s_name_that_another_made_a_column_of_is_avoided() -> None:
    tables = Race(table(column("v", "bigint"), column("v__v_text", "text"))).add([{"v": "x"}])

    (row,) = tables.rows()
    assert list(row.values()) == ["x"]
    assert not row.keys() & {"v", "v__v_text"}


def test_dicts_where_another_declared_json_stay_whole() -> None:
    tables = Race(table(column("d", "json"))).add([{"d": {"a": [1]}}, {"d": [1, 2]}])

    assert tables.rows() == [{"d": '{"a":[1]}'}, {"d": "[1,2]"}]
    assert list(tables.batches) == ["t"]


def test_a_decimal_of_another_s_precision_is_kept_or_goes_beside() -> None:
    tables = Race(table(column("v", "decimal", precision=5, scale=2))).add(
        [{"v": Decimal("1.25")}, {"v": Decimal(10000)}]
    )

    first, second = tables.rows()
    assert first == {"v": Decimal("1.25")}
    assert list(second.values()) == [Decimal(10000)]


def test_a_child_table_that_is_another_s_root_is_told_apart() -> None:
    theirs: SchemaDelta = {"t__l": {"columns": {"x": column("x", "text")}, "resource": "other"}}
    tables = Tables()
    tables.stored = merge(tables.stored, theirs).schema
    tables.normalizer.schema = tables.stored

    tables.add([{"l": [1]}])

    (child,) = set(tables.batches) - {"t"}
    assert child.startswith("t__l_")
    assert tables.rows(child) == [{"value": 1}]


def test_a_schema_that_never_settles_is_an_error_in_the_end() -> None:
    stored = Schema.new("tests")
    normalizer = Normalizer(
        stored, load_id="1", grow=lambda delta: stored, sink=lambda name, batch: None, max_identifier_length=63
    )

    with pytest.raises(SchemaError, match="still brings new columns after 20 rounds"):
        normalizer.add_rows(TableHints("t"), [{"a": 1}])


def test_many_workers_that_grow_one_schema_end_with_all_columns() -> None:
    """Each adds to the schema as it knows it, and the store merges: in any order the values are all there."""
    shared = Tables()
    workers = [Tables(load_id=str(number)) for number in range(4)]
    for worker in workers:
        worker.normalizer._grow = shared._grow
    rows = [{"v": 1}, {"v": "x"}, {"v": 2.5}, {"v": {"a": 1}}]

    for number, worker in enumerate(workers):
        worker.normalizer.add_rows(TableHints("t"), rows[number:] + rows[:number])

    assert shared.types() == {
        "v": "bigint",
        "v__v_text": "text",
        "v__v_double": "double",
        "v__a": "bigint",
    }
    for worker in workers:
        found = [batch.to_pylist() for batch in worker.batches["t"]]
        kept = [
            value
            for row in found[0]
            for name, value in row.items()
            if value is not None and not name.startswith("_dlt")
        ]
        assert sorted(map(str, kept)) == ["1", "1", "2.5", "x"]
