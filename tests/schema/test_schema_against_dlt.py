"""Schemas against dlt's own: the same hash, and each reads what the other has written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from oarlock.schema.delta import merge
from oarlock.schema.document import Schema
from oarlock.schema.system import column, pipeline_state_table

dlt = pytest.importorskip("dlt")

TYPES = ["text", "double", "bool", "timestamp", "bigint", "binary", "json", "decimal", "wei", "date", "time"]
HINTS = ["primary_key", "merge_key", "unique", "sort", "cluster", "partition", "hard_delete", "variant"]

names = st.from_regex("[a-z_][a-z0-9_]{0,20}[a-z]", fullmatch=True).filter(lambda name: not name.startswith("_dlt"))
columns = st.dictionaries(
    names,
    st.fixed_dictionaries(
        {"data_type": st.sampled_from(TYPES), "nullable": st.booleans()},
        optional={
            "precision": st.integers(1, 38),
            "scale": st.integers(0, 9),
            "description": st.text(st.characters(codec="utf-8", exclude_characters="\x85\u2028\u2029"), max_size=10),
            "x-any": st.dictionaries(names, st.integers(0, 9) | st.none(), max_size=2),
            **dict.fromkeys(HINTS, st.booleans()),
        },
    ),
    max_size=6,
)
tables = st.dictionaries(names, columns, min_size=1, max_size=4)


def theirs(document: dict[str, Any]) -> Any:
    return dlt.Schema.from_dict(document)


def with_names(table: dict[str, Any]) -> dict[str, Any]:
    return {name: {"name": name, **hints} for name, hints in table.items()}


@settings(max_examples=25, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(tables)
def test_dlt_takes_our_documents_and_finds_the_same_hash(some: dict[str, Any]) -> None:
    state = pipeline_state_table()
    schema = merge(Schema.new("s"), {name: {"columns": with_names(table)} for name, table in some.items()}).schema
    schema = merge(schema, {state["name"]: state}).schema

    there = theirs(schema.document())

    assert there.stored_version == schema.version, "dlt saw no reason to raise it"
    assert there.version_hash == schema.version_hash
    assert there.previous_hashes == schema.previous_hashes
    assert there.to_dict() == schema.document()
    assert dlt.Schema.from_stored_schema(schema.document()).version_hash == schema.version_hash


@settings(max_examples=25, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(tables)
def test_we_take_dlts_documents_and_find_the_same_hash(some: dict[str, Any]) -> None:
    there = dlt.Schema("s")
    for name, table in some.items():
        there.update_table({"name": name, "columns": with_names(table)}, normalize_identifiers=False)
    document = theirs(there.to_dict()).to_dict()

    schema = Schema.from_document(document)

    assert schema.stored_hash_ok()
    assert schema.version_hash == there.version_hash
    assert schema.document() == document
    assert Schema.from_yaml(there.to_pretty_yaml()).version_hash == there.version_hash


def test_growth_gives_the_same_versions_and_hashes_as_saving_in_dlt() -> None:
    schema, there = Schema.new("s"), theirs(Schema.new("s").document())
    for i in range(14):
        table: dict[str, Any] = {
            "name": f"t{i % 3}",
            "columns": with_names({f"c{i}": {"data_type": "text", "nullable": True}}),
        }
        there.update_table({"write_disposition": "append", "resource": table["name"], **table})
        there = theirs(there.to_dict())

        schema = merge(schema, {table["name"]: table}).schema

        assert (schema.version, schema.version_hash) == (there.version, there.version_hash)
        assert schema.previous_hashes == there.previous_hashes


def test_settings_and_normalizers_are_those_of_a_new_dlt_schema() -> None:
    here, there = Schema.new("s").document(), dlt.Schema("s").to_dict()

    assert here["settings"] == there["settings"]
    assert here["engine_version"] == there["engine_version"]
    assert here["normalizers"]["json"] == there["normalizers"]["json"]
    assert here["normalizers"]["names"] == there["normalizers"]["names"]


def test_system_tables_have_dlts_columns() -> None:
    here, there = Schema.new("s"), dlt.Schema("s").tables
    for name in ("_dlt_version", "_dlt_loads"):
        bare = {
            c: {k: v for k, v in hints.items() if k != "description"} for c, hints in there[name]["columns"].items()
        }
        assert here.columns(name) == bare
        assert list(here.columns(name)) == list(bare)


def test_dlt_reads_our_yaml() -> None:
    yaml = pytest.importorskip("yaml")
    schema = merge(Schema.new("s"), {"t": {"columns": {"a": column("a", "decimal", precision=20)}}}).schema

    assert theirs(yaml.safe_load(schema.to_yaml())).version_hash == schema.version_hash
