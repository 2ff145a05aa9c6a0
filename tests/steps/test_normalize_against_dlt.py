"""The same rows through dlt and through the engine: the same tables, columns, types and values."""

from __future__ import annotations

import json
import os
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from rowwise import SYSTEM, Tables

os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    dlt = pytest.importorskip("dlt")

pytestmark = pytest.mark.filterwarnings("ignore")

DATA = Path(__file__).parents[2] / "examples" / "data"
#: Documents that are compared in the one run of the test.
DOCUMENTS = 60

Row = dict[str, Any]
#: A table's columns with their types, and its rows as text.
Contents = tuple[dict[str, str], list[dict[str, str]]]


def theirs(folder: Path, tables: dict[str, list[Any]], levels: dict[str, int]) -> dict[str, Contents]:
    """Load tables with dlt and read them from its database."""
    location = folder / "their.duckdb"
    pipeline = dlt.pipeline(
        "theirs", pipelines_dir=str(folder), destination=dlt.destinations.duckdb(str(location)), dataset_name="data"
    )
    pipeline.run(
        [dlt.resource(rows, name=name, max_table_nesting=levels.get(name)) for name, rows in tables.items()],
        loader_file_format="parquet",
    )
    found: dict[str, Contents] = {}
    with pipeline.sql_client() as client:
        for name, table in pipeline.default_schema.tables.items():
            columns = {c: d["data_type"] for c, d in table["columns"].items() if "data_type" in d}
            if not name.startswith("_dlt"):
                names = list(columns)
                with client.execute_query(f'SELECT {", ".join(map(_quoted, names))} FROM "{name}"') as cursor:
                    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
                found[name] = _contents(columns, rows)
    return found


def ours(tables: dict[str, list[Any]], levels: dict[str, int]) -> dict[str, Contents]:
    """Normalize tables with the engine."""
    normalized = Tables(max_identifier_length=65_536)
    for name, rows in tables.items():
        normalized.add(rows, table=name, max_table_nesting=levels.get(name))
    return {
        table: _contents(normalized.types(table, system=True), normalized.rows(table, system=True))
        for table in normalized.batches
    }


def _quoted(name: str) -> str:
    return f'"{name}"'


def _contents(types: dict[str, str], rows: list[Row]) -> Contents:
    kept = {name: kind for name, kind in types.items() if not name.startswith("_dlt_") or name == "_dlt_list_idx"}
    texts = [{name: str(value) for name, value in row.items() if name in kept and value is not None} for row in rows]
    return kept, texts


def differences(mine: dict[str, Contents], other: dict[str, Contents]) -> Iterator[str]:
    """Tell what differs, beside what is meant to."""
    if set(mine) != set(other):
        yield f"tables: {set(mine) ^ set(other)}"
    for table in set(mine) & set(other):
        types, rows = mine[table]
        their_types, their_rows = other[table]
        names = {name for name in {*types, *their_types} if types.get(name) != their_types.get(name)}
        if not all(_is_meant(name, types, their_types) for name in names):
            yield f"{table}: {[(name, types.get(name), their_types.get(name)) for name in names]}"
        elif _counted(rows, names) != _counted(their_rows, names):
            yield f"{table}: {_counted(rows, names) - _counted(their_rows, names)}"


def _counted(rows: list[dict[str, str]], left_out: set[str]) -> Counter[str]:
    return Counter(str(sorted((name, text) for name, text in row.items() if name not in left_out)) for row in rows)


def _is_meant(name: str, types: dict[str, str], their_types: dict[str, str]) -> bool:
    """Tell a variant called "text" that dlt has made a timestamp, because its first text was one.

    dlt stops at the first text that is none.
    """
    return name.endswith("__v_text") and (types.get(name), their_types.get(name)) == ("text", "timestamp")


@pytest.mark.parametrize("name", ["movies", "webhooks"])
def test_real_rows_make_the_same_tables(name: str, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text().splitlines()]
    mine, other = ours({name: rows}, {}), theirs(tmp_path, {name: rows}, {})

    assert list(differences(mine, other)) == []
    assert len(mine) == {"movies": 1, "webhooks": 51}[name]
    assert len(mine[name][1]) == len(rows)


# Values that both take alike: where dlt loses something (2 as a truth, "007" as a number), the engine means to differ.
NUMBERS = st.sampled_from([0, 1, 5, -3, 10**12, 2**63 - 1, 1.5, 2.0, -0.25, "abc", "5", "2.5", "", "é", None])
TRUTHS = st.sampled_from([True, False, "yes", "abc", "5", None])
MOMENTS = st.sampled_from(
    ["2024-01-02T03:04:05Z", "2024-01-02 03:04:05.25", "2024-01-02T03:04:05+05:30", "2024-01-02", "abc", None]
)
KEYS = st.sampled_from(["id", "userName", "a b", "HTTPCode", "2x", "x_", "n__m", "list", "value", "price($)"])


def _documents(scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Row]]:
    values = st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=10
    )
    return st.lists(st.dictionaries(KEYS, values, min_size=1, max_size=4), min_size=1, max_size=5)


DOCUMENT_LISTS = st.one_of(_documents(NUMBERS), _documents(TRUTHS), _documents(MOMENTS))


def _generated() -> list[tuple[list[Row], int]]:
    made: list[tuple[list[Row], int]] = []

    @seed(1)
    @settings(
        max_examples=DOCUMENTS,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(DOCUMENT_LISTS, st.sampled_from([0, 1, 2, 3, 1000]))
    def make(rows: list[Row], levels: int) -> None:
        made.append((rows, levels))

    make()
    return made


def test_generated_rows_make_the_same_tables(tmp_path: Path) -> None:
    generated = {f"t{number}": one for number, one in enumerate(_generated())}
    levels = {table: level for table, (_, level) in generated.items()}
    tables = {table: rows for table, (rows, _) in generated.items()}

    found = list(differences(ours(tables, levels), theirs(tmp_path, tables, levels)))

    assert found == []
    assert len(tables) >= DOCUMENTS * 0.9


def test_system_columns_stand_where_dlt_puts_them(tmp_path: Path) -> None:
    rows = [{"id": 1, "items": [{"n": 1}]}]
    pipeline = dlt.pipeline("theirs", pipelines_dir=str(tmp_path), destination=dlt.destinations.duckdb(":memory:"))
    pipeline.extract(rows, table_name="t", write_disposition="merge", primary_key="id")
    pipeline.normalize()

    mine = Tables().add(rows, write_disposition="merge", primary_key=("id",))

    assert {*mine.column_names("t"), *mine.column_names("t__items")} >= SYSTEM
    for table in ("t", "t__items"):
        assert mine.column_names(table) == list(pipeline.default_schema.get_table_columns(table))
        for name, column in pipeline.default_schema.get_table_columns(table).items():
            assert mine.stored.columns(table)[name] == column
