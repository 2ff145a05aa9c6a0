"""Rows made to break things: they become tables or a clear error, in seconds and within bounds."""

from __future__ import annotations

import gc
import resource
import sys
import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from rowwise import Tables

from oarlock.errors import InvalidRow
from oarlock.steps import shred
from oarlock.steps.batches import BATCH_CELLS

#: CPU seconds that no bomb may take.
SECONDS = 20.0


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    before = time.process_time()
    yield
    gc.collect()
    assert time.process_time() - before < SECONDS


def deep_dict(depth: int) -> Any:
    inner: Any = 1
    for _ in range(depth):
        inner = {"a": inner}
    return inner


def deep_list(depth: int) -> Any:
    inner: Any = [1]
    for _ in range(depth):
        inner = [inner]
    return inner


def test_deep_dicts_are_columns_up_to_the_limit() -> None:
    assert Tables().add([deep_dict(1000)]).rows()[0].popitem()[1] == 1
    assert Tables().add([deep_dict(150)], max_table_nesting=3).rows()[0]["a__a__a__a"].startswith('{"a":{"a":')


def test_deep_lists_are_tables_up_to_the_limit() -> None:
    tables = Tables().add([{"l": deep_list(300)}])

    assert len(tables.batches) == 302
    assert [row for table in tables.batches for row in tables.rows(table)][-1] == {"value": 1}


@pytest.mark.parametrize("levels", [1000, 0])
@pytest.mark.parametrize("value", [deep_dict(50_000), {"l": deep_list(50_000)}], ids=["dict", "list"])
def test_what_is_deeper_than_json_can_be_written_is_refused(value: Any, levels: int) -> None:
    with pytest.raises(InvalidRow):
        Tables(max_nesting=levels).add([value])


def test_a_hundred_thousand_keys_in_a_row_are_columns() -> None:
    tables = Tables().add([{f"k{number}": number for number in range(100_000)}])

    assert sum(len(batch.schema) for batch in tables.batches["t"]) == 100_002


def test_keys_that_differ_in_every_row_do_not_make_a_full_table() -> None:
    rows = 3_000
    tables = Tables().add([{f"k{number}": number} for number in range(rows)])

    assert [sorted(row.values()) for row in tables.rows()] == [[number] for number in range(rows)]
    assert max(batch.num_rows * batch.num_columns for batch in tables.batches["t"]) <= BATCH_CELLS
    assert sum(batch.nbytes for batch in tables.batches["t"]) < rows * rows * 8


def test_long_text_and_long_keys_come_through() -> None:
    text = "é" * 2_500_000
    (row,) = Tables().add([{"a": text, "k" * 1_000_000: 1}]).rows()

    assert row.pop("a") == text
    assert list(row.values()) == [1]


def test_many_keys_that_collide_are_all_told_apart() -> None:
    row = {"a" + " " * (number % 50) + "-" * (number // 50 + 1) + "b": number for number in range(2_000)}
    (found,) = Tables().add([row]).rows()

    assert sorted(found.values()) == list(range(2_000))


def test_a_row_that_holds_itself_is_refused() -> None:
    row: dict[str, Any] = {"a": 1}
    row["self"] = row
    one: list[Any] = []
    one.append(one)
    two: list[Any] = []
    two += [two, two]

    for value in (row, {"l": one}, {"l": two}):
        with pytest.raises(InvalidRow):
            Tables().add([value])


def test_more_elements_than_a_row_may_have_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shred, "MAX_ELEMENTS", 100_000)
    shared: list[Any] = [1] * 10
    for _ in range(5):
        shared = [shared] * 10

    with pytest.raises(InvalidRow, match="elements"):
        Tables().add([{"l": shared}])


def test_rows_with_many_elements_are_taken_in_parts() -> None:
    rows = [{"l": list(range(20_000))} for _ in range(60)]
    tables = Tables().add(rows)

    assert tables.normalizer.rows == {"t": 60, "t__l": 1_200_000}
    assert max(batch.num_rows for batch in tables.batches["t__l"]) <= shred.MANY_ELEMENTS
    ids = pa.Table.from_batches(tables.batches["t"])["_dlt_id"].to_pylist()
    assert ids == [row["_dlt_id"] for row in Tables().add([{"x": 1}] * 60).rows(system=True)]


def test_a_value_that_cannot_be_shown_is_refused_all_the_same() -> None:
    class Hidden:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    with pytest.raises(InvalidRow, match="Hidden"):
        Tables().add([{"a": Hidden()}])


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in other units elsewhere")
def test_memory_does_not_grow_with_the_number_of_rows() -> None:
    tables = Tables()
    tables.normalizer._sink = lambda table, batch: None
    page = [{"id": number, "name": f"n{number}", "l": [{"x": 1.5}]} for number in range(10_000)]
    tables.add(page)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    for _ in range(30):
        tables.add(page)

    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mb < 40
    assert tables.normalizer.rows == {"t": 310_000, "t__l": 310_000}
