"""Schemas, packages and events in the store: history, order, bounds, and what is found without looking at the rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from store_records import package, schema

from oarlock.errors import StoreError
from oarlock.state.queries import QUERIES
from oarlock.state.store import SqliteStore
from oarlock.state.tables import VERSIONS_KEPT
from oarlock.state.writing import EVENTS_KEPT


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore.create(tmp_path / "p", pipeline_name="p", worker="worker-1", durability="none")
    yield made
    made.close()


def test_each_version_of_a_schema_is_kept_as_it_was(store: SqliteStore) -> None:
    one: dict[str, Any] = {"b": {"name": "b", "columns": {"x": {}}}, "a": {"name": "a", "columns": {}}}
    two: dict[str, Any] = {**one, "b": {"name": "b", "columns": {"x": {}, "y": {}}}, "c": {"name": "c"}}
    three: dict[str, Any] = {"c": {"name": "c"}, "b": one["b"]}
    four: dict[str, Any] = {"c": {"name": "c"}, "b": one["b"], "a": {"name": "a", "columns": {}}}
    for version, tables in [(1, one), (2, two), (3, three), (7, four)]:
        with store.transaction("schema") as tx:
            tx.put_schema(schema(version, tables, settings={"v": version}))

    with store.snapshot() as snapshot:
        assert (snapshot.schema_version("s"), snapshot.schema_hash("s")) == (7, "hash-7")
        assert [entry[0] for entry in snapshot.schema_history("s")] == [7, 3, 2, 1]
        assert snapshot.schema("s", 5) is None
        for version, tables in [(1, one), (2, two), (3, three), (7, four)]:
            record = snapshot.schema("s", version)
            assert record is not None
            assert record == schema(version, tables, settings={"v": version})
            assert list(record.document["tables"]) == list(tables)
            assert list(record.document) == ["version", "version_hash", "name", "tables", "settings"]


def test_a_version_of_a_schema_has_one_content(store: SqliteStore) -> None:
    with store.transaction("schema") as tx:
        tx.put_schema(schema(3, {}))
        tx.put_schema(schema(3, {}))
        for record in (replace(schema(3, {}), version_hash="other"), schema(2, {})):
            with pytest.raises(StoreError, match="at version 3"):
                tx.put_schema(record)
        tx.drop_schema("s")
        assert tx.schema("s") is None
        tx.put_schema(schema(1, {"t": {}}))

    with store.snapshot() as snapshot:
        assert snapshot.schema("s") == schema(1, {"t": {}})


def test_schemas_come_in_the_order_in_which_they_came(store: SqliteStore) -> None:
    for name in ("z", "a", "m"):
        with store.transaction("schema") as tx:
            tx.put_schema(schema(1, {}, name))

    with store.snapshot() as snapshot:
        assert snapshot.schema_names() == ["z", "a", "m"]


def test_the_history_of_a_schema_is_bounded(store: SqliteStore) -> None:
    count = VERSIONS_KEPT + 20
    for version in range(1, count + 1):
        with store.transaction("schema") as tx:
            tx.put_schema(schema(version, {"same": {"name": "same"}, "grows": {"columns": list(range(version))}}))

    with store.snapshot() as snapshot:
        kept = [entry[0] for entry in snapshot.schema_history("s")]
        assert kept == list(range(count, count - VERSIONS_KEPT, -1))
        oldest = snapshot.schema("s", kept[-1])
        assert oldest is not None
        assert oldest.document["tables"] == {"same": {"name": "same"}, "grows": {"columns": list(range(kept[-1]))}}
        rows = snapshot._connection.run("SELECT count(*) FROM schema_table")
    assert rows == [(VERSIONS_KEPT + 1,)]


def test_packages_go_through_their_states(store: SqliteStore) -> None:
    with store.transaction("commit") as tx:
        for load_id in ("2", "1", "3"):
            tx.put_package(package(load_id))
        tx.put_package(package("4", state="extracted"))
    with store.transaction("load") as tx:
        loaded = replace(package("2"), state="loaded", loaded_at=9.5, failure=None, rejected=2)
        tx.put_package(loaded)
        tx.delete_package("3")
        tx.delete_package("nothing")

    with store.snapshot() as snapshot:
        assert snapshot.package("1") == package("1")
        assert snapshot.package("2") == loaded
        assert snapshot.load_ids() == ["1", "2", "4"]
        assert snapshot.load_ids("normalized", "extracted") == ["1", "4"]
        assert [record.load_id for record in snapshot.packages("normalized", "loaded", "normalized")] == ["1", "2"]
        assert [record.load_id for record in snapshot.packages("normalized", "loaded", limit=1)] == ["1"]
        assert [record.load_id for record in snapshot.packages(limit=2)] == ["1", "2"]
        assert (snapshot.count_packages(), snapshot.count_packages("loaded"), snapshot.count_packages("aborted")) == (
            3,
            1,
            0,
        )
        assert loaded.rows == 5


@pytest.mark.parametrize("file", ["/etc/passwd", "../x", "a/../../x", ""])
def test_a_job_outside_of_its_package_is_refused(store: SqliteStore, file: str) -> None:
    jobs = (replace(package("1").jobs[0], file=file),)

    with pytest.raises(ValueError, match="not inside"):
        with store.transaction("commit") as tx:
            tx.put_package(package("1", jobs=jobs))


def test_a_package_in_an_unknown_state_is_refused(store: SqliteStore) -> None:
    with pytest.raises(ValueError, match="'lost'"):
        with store.transaction("commit") as tx:
            tx.put_package(package("1", state="lost"))


@pytest.mark.parametrize("query", ["packages_in", "load_ids_in", "count_packages_in"])
def test_the_pending_are_found_without_looking_at_the_finished(store: SqliteStore, query: str) -> None:
    sql = QUERIES[query].replace("?", "'normalized'", 1).replace("?", "-1")

    with store.snapshot() as snapshot:
        plan = str(snapshot._connection.run(f"EXPLAIN QUERY PLAN {sql}"))

    assert "package_by_state (state=?)" in plan
    assert "SCAN" not in plan


def test_events_are_bounded(store: SqliteStore) -> None:
    for number in range(EVENTS_KEPT + 5):
        with store.transaction(f"change {number}") as tx:
            tx.touch()

    with store.snapshot() as snapshot:
        events = snapshot.events(limit=10 * EVENTS_KEPT)
    assert len(events) == EVENTS_KEPT
    assert [event.seq for event in events] == list(range(EVENTS_KEPT + 5, 5, -1))
