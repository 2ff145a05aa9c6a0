"""The schema as a value: what it holds, how it is written, what it refuses."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import pytest

from oarlock.errors import InvalidName, SchemaError, TableNotFound
from oarlock.schema.delta import SchemaDelta, merge
from oarlock.schema.document import Schema
from oarlock.schema.system import column, pipeline_state_table


def games() -> Schema:
    """A schema with a root table, two levels below it, and another root table."""
    delta: SchemaDelta = {
        "games": {"columns": {"id": column("id", "bigint", nullable=False, primary_key=True)}},
        "games__moves": {"parent": "games", "columns": {"value": column("value", "text")}},
        "games__moves__eval": {"parent": "games__moves", "columns": {"value": column("value", "double")}},
        "players": {"write_disposition": "merge", "resource": "people", "columns": {"name": column("name", "text")}},
    }
    return merge(Schema.new("chess"), delta).schema


def broken(**changes: Any) -> dict[str, Any]:
    """A document with some of its keys changed, or taken away where the change is None."""
    document = {**games().document(), **changes}
    return {key: value for key, value in document.items() if value is not None}


def test_a_new_schema_holds_the_system_tables_and_is_version_one() -> None:
    schema = Schema.new("chess")

    assert (schema.name, schema.version, schema.engine_version, schema.previous_hashes) == ("chess", 1, 11, [])
    assert list(schema.tables) == ["_dlt_version", "_dlt_loads"]
    assert schema.data_tables() == []
    assert schema.detections == ("iso_timestamp",)
    assert schema.stored_hash_ok()
    assert schema == Schema.new("chess") != Schema.new("chess2")


def test_the_state_table_comes_with_the_first_state() -> None:
    table = pipeline_state_table()
    merged = merge(Schema.new("chess"), {table["name"]: table})

    assert list(merged.schema.columns("_dlt_pipeline_state")) == [
        "version",
        "engine_version",
        "pipeline_name",
        "state",
        "created_at",
        "version_hash",
        "_dlt_load_id",
        "_dlt_id",
    ]
    assert merged.schema.data_tables() == []


@pytest.mark.parametrize("name", ["", "a b", "1a", "a.b", "x" * 65])
def test_a_schema_name_is_an_identifier(name: str) -> None:
    with pytest.raises(InvalidName, match="schema name"):
        Schema.new(name)


def test_tables_know_their_family() -> None:
    schema = games()

    assert schema.root_of("games__moves__eval") == "games" == schema.root_of("games")
    assert schema.children_of("games") == ["games__moves"]
    assert schema.descendants_of("games") == ["games__moves", "games__moves__eval"]
    assert schema.children_of("players") == []
    assert schema.data_tables() == ["games", "games__moves", "games__moves__eval", "players"]


def test_nested_tables_follow_the_disposition_of_their_root() -> None:
    schema = games()

    assert schema.write_disposition("players") == "merge"
    assert schema.write_disposition("games__moves__eval") == "append"
    assert schema.table("players")["resource"] == "people"
    assert schema.table("games")["resource"] == "games"
    assert "resource" not in schema.table("games__moves")


def test_an_unknown_table_is_an_error_that_names_the_known_ones() -> None:
    for ask in (Schema.table, Schema.columns, Schema.root_of, Schema.children_of, Schema.descendants_of):
        with pytest.raises(TableNotFound, match="'games'"):
            ask(games(), "game")


def test_a_document_comes_back_as_it_was() -> None:
    schema = games()

    for again in (
        Schema.from_document(schema.document()),
        Schema.from_json(schema.to_json()),
        Schema.from_json(schema.to_json().encode()),
        pickle.loads(pickle.dumps(schema)),  # our own bytes
    ):
        assert again == schema
        assert again.version_hash == schema.version_hash
        assert list(again.columns("games")) == list(schema.columns("games"))


def test_a_document_is_the_callers_own() -> None:
    schema = games()
    document = schema.document()
    given = games().document()
    taken = Schema.from_document(given)

    document["tables"]["games"]["columns"].clear()
    given["tables"].clear()

    assert schema == games() == taken


def test_changed_by_hand_the_stored_hash_is_not_the_contents() -> None:
    document = games().document()
    document["tables"]["games"]["columns"]["id"]["data_type"] = "text"
    schema = Schema.from_document(document)

    assert not schema.stored_hash_ok()
    assert schema.version == games().version
    assert schema.version_hash == games().version_hash, "it is shown as it is stored"
    bumped = schema.bumped()
    assert bumped.stored_hash_ok()
    assert bumped.version == schema.version + 1
    assert bumped.previous_hashes[0] == schema.version_hash


def test_the_order_of_columns_counts_and_the_order_of_keys_does_not() -> None:
    two = {"a": column("a", "text"), "b": column("b", "text")}
    delta = {"t": {"columns": two}}
    turned = {"t": {"columns": dict(reversed(two.items()))}}
    keys_turned = {"t": {"columns": {name: dict(reversed(c.items())) for name, c in two.items()}}}
    hashes = [merge(Schema.new("s"), each).schema.version_hash for each in (delta, turned, keys_turned)]

    assert hashes[0] == hashes[2] != hashes[1]


def test_dropped_tables_go_with_all_that_is_nested_in_them() -> None:
    schema = games()

    left = schema.without_tables(["games"])

    assert left.data_tables() == ["players"]
    assert left.version == schema.version + 1
    assert schema.without_tables([]) is schema
    with pytest.raises(TableNotFound):
        schema.without_tables(["game"])


def test_yaml_leaves_out_what_goes_without_saying_and_comes_back_the_same() -> None:
    schema = games()
    text = schema.to_yaml()

    assert "name: id" not in text
    assert "name: id" in schema.to_yaml(remove_defaults=False)
    assert Schema.from_yaml(text) == schema
    assert Schema.from_yaml(schema.to_yaml(remove_defaults=False)) == schema


def test_yaml_by_hand_needs_only_a_name_and_tables() -> None:
    schema = Schema.from_yaml("name: chess\ntables:\n  games:\n    columns:\n      id: {data_type: bigint}\n      x:\n")

    assert schema.columns("games") == {"id": {"data_type": "bigint", "name": "id"}, "x": {"name": "x"}}
    assert schema.version == 1
    assert schema.stored_hash_ok()
    assert "_dlt_loads" in schema.tables
    assert Schema.from_yaml("name: chess\n").version_hash == Schema.new("chess").version_hash


def test_edited_yaml_is_a_later_version() -> None:
    schema = games()
    edited = Schema.from_yaml(schema.to_yaml().replace("data_type: double", "data_type: decimal"))

    assert edited.version == schema.version + 1
    assert edited.previous_hashes[0] == schema.version_hash


@pytest.mark.parametrize("text", ["a\x85b", "a\u2028b", "é\n\tb", "\x07", " x ", "日本語", "no", "1", "null", "~", ""])
def test_any_text_comes_back_from_yaml(text: str) -> None:
    schema = merge(games(), {"games": {"description": text, "columns": {"c": column("c", "text", description=text)}}})

    again = Schema.from_yaml(schema.schema.to_yaml())

    assert again.table("games")["description"] == again.columns("games")["c"]["description"] == text
    assert again == schema.schema


@pytest.mark.parametrize("text", ["- a\n", "a: [", "name: chess\ntables:\n  t:\n    columns:\n      on: {}\n"])
def test_yaml_that_is_no_schema_is_refused(text: str) -> None:
    with pytest.raises(SchemaError):
        Schema.from_yaml(text)


def test_an_imported_schema_becomes_the_next_version_of_the_stored_one() -> None:
    stored = games()
    imported = Schema.from_yaml("name: chess\ntables:\n  games:\n    columns:\n      id: {data_type: text}\n")

    replaced = stored.replaced_by(imported)

    assert replaced.data_tables() == ["games"]
    assert replaced.version == stored.version + 1
    assert replaced.previous_hashes[0] == stored.version_hash
    assert replaced.imported_version_hash == imported.version_hash
    again = Schema.from_document(replaced.document())
    assert again.imported_version_hash == imported.version_hash
    assert again.stored_hash_ok(), "where it came from is no part of the hash"
    assert replaced.replaced_by(imported).version == replaced.version, "the same content is no new version"


def test_processing_hints_can_be_left_out() -> None:
    hinted = merge(games(), {"games": {"x-normalizer": {"seen-data": True}, "columns": {}}}).schema

    assert hinted.version_hash != games().version_hash
    bare = hinted.without_processing_hints()
    assert "x-normalizer" not in bare.table("games")
    assert bare.version_hash == games().version_hash
    assert games().without_processing_hints() == games()


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ([], "mapping"),
        ({}, "no engine_version"),
        (broken(engine_version=12), "upgrade oarlock"),
        (broken(engine_version=9), "engine_version 9"),
        (broken(name="a b"), "'a b'"),
        (broken(name=None), "identifier"),
        (broken(version=0), "version 0"),
        (broken(version="3"), "version '3'"),
        (broken(version_hash=5), "version_hash"),
        (broken(previous_hashes="x"), "previous_hashes"),
        (broken(settings=[]), "settings"),
        (broken(settings={"detections": "iso"}), "detections"),
        (broken(settings={"preferred_types": {"id": "varchar"}}), "'varchar'"),
        (broken(tables=None), "no mapping of tables"),
        (broken(tables={}), "'_dlt_version'"),
    ],
)
def test_a_document_of_another_shape_is_refused_with_the_reason(document: Any, says: str) -> None:
    with pytest.raises(SchemaError, match=says):
        Schema.from_document(document)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ([], "not a mapping"),
        ({"name": "other", "columns": {}}, "'other'"),
        ({"columns": []}, "no mapping of columns"),
        ({"columns": {}, "parent": "nobody"}, "'nobody'"),
        ({"columns": {}, "parent": "t"}, "its own ancestor"),
        ({"columns": {}, "write_disposition": "upsert"}, "'upsert'"),
        ({"columns": {"c": "text"}}, "column 'c'"),
        ({"columns": {"c": {"name": "d"}}}, "'d'"),
        ({"columns": {"c": {"data_type": "varchar"}}}, "'varchar'"),
        ({"columns": {"c": {"data_type": ["text"]}}}, "data_type"),
        ({"columns": {"c": {"nullable": "no"}}}, "nullable 'no'"),
        ({"columns": {"c": {"precision": -1}}}, "precision -1"),
        ({"columns": {"c": {"scale": True}}}, "scale True"),
    ],
)
def test_a_table_of_another_shape_is_refused_with_the_reason(table: Any, says: str) -> None:
    document = games().document()
    document["tables"]["t"] = table

    with pytest.raises(SchemaError, match=says):
        Schema.from_document(document)


@pytest.mark.parametrize("text", ["", "{", "null", "[" * 100_000])
def test_text_that_is_no_document_is_refused(text: str) -> None:
    with pytest.raises(SchemaError):
        Schema.from_json(text)


def test_a_value_that_json_has_not_is_refused() -> None:
    with pytest.raises(SchemaError, match="JSON"):
        Schema.from_document(broken(description=object()))


def test_schemas_import_nothing_heavy() -> None:
    heavy = "numpy pyarrow pydantic duckdb yaml decimal dataclasses_json hypothesis structlog".split()  # noqa: SIM905
    modules = "naming document delta hashing keys system checks".split()  # noqa: SIM905
    code = "import sys; import " + ", ".join(f"oarlock.schema.{module}" for module in modules)
    code += f"; sys.exit(str([m for m in {heavy} if m in sys.modules] or ''))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stderr.strip() == ""
