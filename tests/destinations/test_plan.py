"""What a group of packages does to the tables, and which statements make the tables fit: no database needed."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from packages import schema, table

from oarlock.destinations import system
from oarlock.destinations.base import JobFile, PackageToLoad
from oarlock.destinations.ddl import add_column, change_tables, create_table, family, root_of, seen_tables
from oarlock.destinations.dialect import DUCKDB, POSTGRES
from oarlock.destinations.plan import Drop, Empty, plan
from oarlock.destinations.system import load_id_after, read_document
from oarlock.errors import DestinationTerminalError, InvalidName
from oarlock.values import LoadId, new_load_id

SCHEMA = schema(
    table("a", {"id": "bigint"}),
    table("a__b", {"id": "bigint"}, parent="a"),
    table("a__b__c", {"id": "bigint"}, parent="a__b"),
    table("z", {"id": "bigint"}),
)


def package(load_id: str, *tables: str, **more: Any) -> PackageToLoad:
    jobs = [JobFile(f"{load_id}.{i}", name, Path("x"), 0, 0, 1) for i, name in enumerate(tables)]
    dispositions = more.pop("dispositions", {})
    return PackageToLoad(LoadId(load_id), "games", jobs, dispositions, **more)


def written(*packages: PackageToLoad) -> dict[str, list[str]]:
    made = plan(packages, {"games": SCHEMA})
    return {name: list(write.load_ids) for name, write in made.writes.items()}


def test_appends_of_many_packages_to_one_table_are_one_step() -> None:
    assert written(package("1", "a", "z"), package("2", "z"), package("3", "a", "a")) == {
        "a": ["1", "3", "3"],
        "z": ["1", "2"],
    }


def test_rows_that_a_later_package_replaces_are_not_written() -> None:
    replacing = package("2", "a__b", "a", dispositions={"a": "replace"})

    assert written(package("1", "a", "a__b", "a__b__c", "z"), replacing) == {"z": ["1"], "a__b": ["2"], "a": ["2"]}
    made = plan([replacing], {"games": SCHEMA})
    assert list(made.clearing.values()) == [Empty("a"), Empty("a__b"), Empty("a__b__c")]


def test_a_dropped_table_is_dropped_once_and_before_its_rows() -> None:
    made = plan(
        [package("1", "a", truncate_tables=["a"]), package("2", "a", drop_tables=["a"], truncate_tables=["a"])],
        {"games": SCHEMA},
    )

    assert list(made.clearing.values()) == [Drop("a")]
    assert made.dropped == {"a"}
    assert made.writes["a"].load_ids == ["2"]


def test_rows_to_be_skipped_are_skipped() -> None:
    assert written(package("1", "a", "z", dispositions={"a": "skip"})) == {"z": ["1"]}


def test_families() -> None:
    assert family(SCHEMA.tables, "a") == ["a", "a__b", "a__b__c"]
    assert root_of(SCHEMA.tables, "a__b__c") == "a"
    assert root_of({"x": {"parent": "y"}, "y": {"parent": "x"}}, "x") in ("x", "y")


def test_only_what_is_missing_is_made() -> None:
    wanted = {
        "a": table("a", {"id": "bigint", "NAME": "text", "New": "text"}),
        "b": {"name": "b", "columns": {"id": {"data_type": "bigint", "nullable": False}, "never": {"name": "never"}}},
        "empty": {"name": "empty", "columns": {"never": {"name": "never"}}},
    }
    there = {"A": ["ID", "name"]}

    change = change_tables(DUCKDB, "d", wanted, there)

    assert change.statements == [
        'ALTER TABLE "d"."a" ADD COLUMN IF NOT EXISTS "New" VARCHAR',
        'CREATE TABLE IF NOT EXISTS "d"."b" ("id" BIGINT NOT NULL)',
    ]
    assert change.added == {"a": ["New"], "b": ["id"]}
    assert len(change_tables(POSTGRES, "d", wanted, there).statements) == 2, "Postgres tells A from a"


def test_a_column_is_added_nullable_whatever_the_schema_says() -> None:
    column = {"name": "c", "data_type": "bigint", "nullable": False}

    assert add_column(DUCKDB, "d", "t", "c", column).endswith('"c" BIGINT')
    assert create_table(DUCKDB, "d", "t", {"columns": {"c": column}}).endswith('("c" BIGINT NOT NULL)')


@pytest.mark.parametrize(
    ("column", "duck", "post"),
    [
        ({"data_type": "text"}, "VARCHAR", "varchar"),
        ({"data_type": "text", "precision": 10}, "VARCHAR", "varchar(10)"),
        ({"data_type": "bigint"}, "BIGINT", "BIGINT"),
        ({"data_type": "bigint", "precision": 16}, "SMALLINT", "smallint"),
        ({"data_type": "bigint", "precision": 32}, "INTEGER", "integer"),
        ({"data_type": "double"}, "DOUBLE", "double precision"),
        ({"data_type": "bool"}, "BOOLEAN", "boolean"),
        ({"data_type": "timestamp"}, "TIMESTAMP WITH TIME ZONE", "timestamp with time zone"),
        ({"data_type": "timestamp", "timezone": False}, "TIMESTAMP", "timestamp without time zone"),
        (
            {"data_type": "timestamp", "timezone": False, "precision": 3},
            "TIMESTAMP_MS",
            "timestamp (3) without time zone",
        ),
        ({"data_type": "date"}, "DATE", "date"),
        ({"data_type": "time"}, "TIME", "time without time zone"),
        ({"data_type": "decimal"}, "DECIMAL(38,9)", "numeric(38,9)"),
        ({"data_type": "decimal", "precision": 10, "scale": 2}, "DECIMAL(10,2)", "numeric(10,2)"),
        ({"data_type": "wei"}, "DECIMAL(38,0)", "numeric(78,0)"),
        ({"data_type": "binary"}, "BLOB", "bytea"),
        ({"data_type": "json"}, "JSON", "jsonb"),
    ],
)
def test_types(column: dict[str, Any], duck: str, post: str) -> None:
    assert (DUCKDB.type_of(column), POSTGRES.type_of(column)) == (duck, post)


def test_types_and_names_that_a_database_cannot_hold_are_refused() -> None:
    with pytest.raises(InvalidName):
        POSTGRES.type_of({"name": "c", "data_type": "bigint", "precision": 128})
    with pytest.raises(InvalidName):
        DUCKDB.type_of({"name": "c", "data_type": "tensor"})
    with pytest.raises(InvalidName, match="NUL"):
        POSTGRES.quote("a\0b")
    with pytest.raises(InvalidName, match="63 bytes"):
        POSTGRES.quote("ä" * 32)
    assert DUCKDB.quote('a"\0b') == '"a""\0b"'


def test_tables_that_never_saw_a_row_are_not_seen() -> None:
    seen = table("a", {"id": "bigint"}, **{"x-normalizer": {"seen-data": True}})

    assert list(seen_tables({"a": seen, "b": table("b", {"id": "bigint"})})) == ["a"]


def test_a_load_id_sorts_after_the_newest_even_when_that_came_from_a_clock_ahead() -> None:
    ahead = new_load_id(lambda: 9_000_000_000.0)

    assert load_id_after("1700000000.1", "1700000001.1") == "1700000001.1"
    assert load_id_after(ahead, new_load_id()) > ahead
    assert load_id_after("no number", "1700000001.1") > "no number"


def test_schema_documents_are_read_in_both_forms_and_never_unpacked_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    document = {"name": "games", "tables": {}}
    text = json.dumps(document)
    packed = base64.b64encode(zlib.compress(text.encode())).decode()

    assert read_document(text, "schema") == read_document(packed, "schema") == document
    monkeypatch.setattr(system, "MAX_DOCUMENT_BYTES", 1024 * 1024)
    bomb = base64.b64encode(zlib.compress(b" " * (2 * 1024 * 1024), 9)).decode()
    for bad in ("[1]", "no base64!", base64.b64encode(b"no zlib").decode(), bomb):
        with pytest.raises(DestinationTerminalError):
            read_document(bad, "schema")
