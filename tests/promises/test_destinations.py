"""What every destination promises of packages: rows and markers together, exactly once, the faulty set aside."""

from __future__ import annotations

from typing import Any

import pytest
from packages import Spool, group, schema, state, table
from targets import GAMES, Target, numbered

from oarlock.destinations.base import LoadOutcome
from oarlock.errors import DestinationUndefined, FencedOut
from oarlock.values import LoadId


def test_a_group_is_loaded_once_and_then_is_already_there(target: Target, spool: Spool) -> None:
    packages = [spool.package(f"1.{i}", {"games": numbered(i * 10, 10)}, GAMES) for i in range(3)]
    client = target.client()

    first = client.load(group(*packages, schemas=[GAMES]))
    second = client.load(group(*packages, schemas=[GAMES]))

    ids = [package.load_id for package in packages]
    assert first == LoadOutcome(ids, [], {}, {"games": ["id", "name"]})
    assert second == LoadOutcome([], ids)
    assert target.rows("SELECT count(*), count(DISTINCT id) FROM games") == [(30, 30)]
    assert target.rows("SELECT load_id, schema_name, status, schema_version_hash FROM _dlt_loads ORDER BY 1") == [
        (f"1.{i}", "games", 0, GAMES.version_hash) for i in range(3)
    ]
    assert client.loaded_ids(["1.0", "1.2", "9.9"]) == {"1.0", "1.2"}


def test_a_group_that_is_half_there_brings_the_other_half(target: Target, spool: Spool) -> None:
    packages = [spool.package(f"1.{i}", {"games": numbered(i * 10, 10)}, GAMES) for i in range(3)]
    client = target.client()
    client.load(group(packages[1], schemas=[GAMES]))

    outcome = client.load(group(*packages, schemas=[GAMES]))

    assert (outcome.loaded, outcome.already_there) == (["1.0", "1.2"], ["1.1"])
    assert target.rows("SELECT count(*), count(DISTINCT id) FROM games") == [(30, 30)]


def test_replace_empties_the_root_and_its_children_before_the_first_of_its_jobs(target: Target, spool: Spool) -> None:
    made_for = schema(
        table("games", {"id": "bigint"}),
        table("games__moves", {"move": "text"}, parent="games"),
        table("games__moves__notes", {"note": "text"}, parent="games__moves"),
        table("other", {"id": "bigint"}),
    )
    everything: dict[str, list[dict[str, Any]]] = {
        "games": [{"id": 1}],
        "games__moves": [{"move": "e4"}, {"move": "e5"}],
        "games__moves__notes": [{"note": "!"}],
        "other": [{"id": 7}],
    }
    replacing = {"games": "replace", "other": "append"}
    client = target.client()
    client.load(group(spool.package("1.0", everything, made_for), schemas=[made_for]))

    later = spool.package("2.0", {"games__moves": [{"move": "d4"}], "games": [{"id": 2}]}, made_for, replacing)
    last = spool.package("2.1", {"games": [{"id": 3}], "other": [{"id": 8}]}, made_for, replacing)
    outcome = client.load(group(later, last, schemas=[made_for]))

    assert outcome.loaded == ["2.0", "2.1"]
    assert target.rows("SELECT id FROM games") == [(3,)]
    assert target.rows("SELECT count(*) FROM games__moves") == [(0,)]
    assert target.rows("SELECT count(*) FROM games__moves__notes") == [(0,)]
    assert target.rows("SELECT id FROM other ORDER BY id") == [(7,), (8,)]


def test_two_jobs_of_one_replaced_table_are_both_kept(target: Target, spool: Spool) -> None:
    package = spool.package("1.0", {"games": numbered(0, 2)}, GAMES, {"games": "replace"})
    more = spool.package("other", {"games": numbered(5, 3)}, GAMES)
    both = type(package)(package.load_id, "games", [*package.jobs, *more.jobs], {"games": "replace"})

    target.client().load(group(both, schemas=[GAMES]))

    assert target.rows("SELECT count(*) FROM games") == [(5,)]


def test_a_new_column_is_added_and_older_rows_have_none(target: Target, spool: Spool) -> None:
    wider = schema(
        table("games", {"id": "bigint", "name": "text", "elo": "bigint"}), table("players", {"id": "bigint"}), version=2
    )
    wider.tables["games"]["columns"]["elo"]["nullable"] = False
    client = target.client()
    client.load(group(spool.package("1.0", {"games": numbered(0, 1)}, GAMES), schemas=[GAMES]))

    outcome = client.load(
        group(spool.package("2.0", {"games": [{"id": 9, "elo": 2800}], "players": [{"id": 1}]}, wider), schemas=[wider])
    )

    assert outcome.schema_update == {"games": ["elo"], "players": ["id"]}
    assert target.rows("SELECT id, name, elo FROM games ORDER BY id") == [(0, "game 0", None), (9, None, 2800)]
    assert target.rows("SELECT version_hash FROM _dlt_version ORDER BY inserted_at") == [
        (GAMES.version_hash,),
        (wider.version_hash,),
    ]


def test_a_package_that_cannot_load_is_set_aside_and_the_others_load(target: Target, spool: Spool) -> None:
    made_for = schema(table("games", {"id": "bigint", "extra": "json"}))
    good = [spool.package(f"1.{i}", {"games": [{"id": i, "extra": "{}"}]}, made_for) for i in (0, 2, 4)]
    unreadable = spool.package("1.1", {"games": [{"id": 1}]}, made_for)
    unreadable.jobs[0].path.unlink()
    refused = spool.package("1.3", {"games": [{"id": 3, "extra": "{not json"}]}, made_for)

    outcome = target.client().load(
        group(good[0], unreadable, good[1], refused, good[2], schemas=[made_for], state=state(text="kept"))
    )

    assert outcome.loaded == ["1.0", "1.2", "1.4"]
    assert set(outcome.failed) == {"1.1", "1.3"}
    assert "1.1.arrow" in outcome.failed[LoadId("1.1")]
    assert "json" in outcome.failed[LoadId("1.3")].lower()
    assert target.rows("SELECT id FROM games ORDER BY id") == [(0,), (2,), (4,)]
    assert target.rows("SELECT load_id FROM _dlt_loads ORDER BY load_id") == [("1.0",), ("1.2",), ("1.4",)]
    assert target.client().read_state("games") == state(text="kept")


def test_a_torn_file_or_a_wrong_count_is_the_fault_of_its_package(target: Target, spool: Spool) -> None:
    torn = spool.package("1.0", {"games": numbered(0, 100)}, GAMES)
    torn.jobs[0].path.write_bytes(torn.jobs[0].path.read_bytes()[:-200])
    short = spool.package("1.1", {"games": numbered(0, 100)}, GAMES)
    job = short.jobs[0]
    lying = type(job)(job.job_id, job.table, job.path, job.offset, job.size_bytes, 101)
    short = type(short)(short.load_id, "games", [lying], short.dispositions)

    outcome = target.client().load(
        group(torn, short, spool.package("1.2", {"games": numbered(0, 1)}, GAMES), schemas=[GAMES])
    )

    assert outcome.loaded == ["1.2"]
    assert "bytes" in outcome.failed[LoadId("1.0")]
    assert "100 rows, its package says 101" in outcome.failed[LoadId("1.1")]
    assert target.rows("SELECT count(*) FROM games") == [(1,)]


def test_merge_is_refused_by_name(target: Target, spool: Spool) -> None:
    package = spool.package("1.0", {"games": numbered(0, 1)}, GAMES, {"games": "merge"})

    outcome = target.client().load(group(package, schemas=[GAMES]))

    assert "'merge'" in outcome.failed[LoadId("1.0")]
    assert not target.client().loaded_ids(["1.0"])


def test_tables_are_dropped_and_emptied_before_the_rows(target: Target, spool: Spool) -> None:
    both = schema(table("games", {"id": "bigint", "name": "text"}), table("players", {"id": "bigint"}))
    client = target.client()
    rows = {"games": numbered(0, 3), "players": [{"id": 1}]}
    client.load(group(spool.package("1.0", rows, both), schemas=[both]))

    fresh = schema(table("games", {"id": "text"}), table("players", {"id": "bigint"}), version=2)
    package = spool.package(
        "2.0", {"games": [{"id": "a"}]}, fresh, drop_tables=["games", "never"], truncate_tables=["players", "none"]
    )
    outcome = client.load(group(package, schemas=[fresh]))

    assert outcome.loaded == ["2.0"]
    assert target.rows("SELECT * FROM games") == [("a",)]
    assert target.rows("SELECT count(*) FROM players") == [(0,)]


def test_a_former_owner_writes_nothing(target: Target, spool: Spool) -> None:
    def fenced() -> None:
        raise FencedOut("loader", 1, 2)

    package = spool.package("1.0", {"games": numbered(0, 5)}, GAMES)

    with pytest.raises(FencedOut):
        target.client().load(group(package, schemas=[GAMES], fence=fenced, state=state()))

    assert target.client().loaded_ids(["1.0"]) == set()
    assert target.client().read_state("games") is None
    assert target.client().load(group(package, schemas=[GAMES])).loaded == ["1.0"]


def test_state_is_written_when_it_changed_and_the_newest_complete_one_is_read(target: Target, spool: Spool) -> None:
    client = target.client()
    first, second = state(1, "one"), state(2, "two")
    packages = [spool.package(f"1.{i}", {"games": numbered(i, 1)}, GAMES) for i in range(4)]

    client.load(group(packages[2], schemas=[GAMES], state=first))
    client.load(group(packages[3], schemas=[GAMES], state=first))
    assert target.rows("SELECT version, _dlt_load_id FROM _dlt_pipeline_state") == [(1, "1.2")]

    # A package of a lower id that is loaded later: its state must not be shadowed by the one that is there.
    client.load(group(packages[0], schemas=[GAMES], state=second))
    assert client.read_state("games") == second
    assert client.read_state("others") is None

    with client.sql_client() as sql:
        sql.execute_sql(
            "INSERT INTO _dlt_pipeline_state SELECT 9, 4, 'games', 'x', created_at, 'h', '9.9', 'r' "
            "FROM _dlt_pipeline_state LIMIT 1"
        )
    assert client.read_state("games") == second, "a state whose load is not complete is no state"


def test_state_alone_is_written_with_a_load_of_its_own(target: Target, spool: Spool) -> None:
    client = target.client()
    client.load(group(spool.package("1.0", {"games": numbered(0, 1)}, GAMES), schemas=[GAMES], state=state()))

    client.load(group(schemas=[GAMES], state=state(2, "later")))

    assert client.read_state("games") == state(2, "later")


def test_a_dataset_that_is_not_there_reads_as_nothing_and_is_not_made(target: Target) -> None:
    client = target.client()

    assert client.read_state("games") is None
    assert client.read_schema("games") is None
    assert client.loaded_ids(["1.0"]) == set()
    client.drop_tables(["games"])
    with client.sql_client(read_only=True) as sql:
        assert not sql.has_dataset()
        with pytest.raises(DestinationUndefined):
            sql.execute_sql(f"SELECT * FROM {sql.qualified('games')}")
    assert not list(target.folder.glob("*.duckdb*"))


def test_the_newest_schema_is_read_back(target: Target, spool: Spool) -> None:
    second = schema(table("games", {"id": "bigint", "name": "text", "at": "timestamp"}), version=2)
    client = target.client()
    for number, one in enumerate((GAMES, second, GAMES)):
        client.load(group(spool.package(f"1.{number}", {"games": numbered(0, 1)}, one), schemas=[one]))

    found = client.read_schema("games")

    assert found is not None
    assert (found.version, found.version_hash) == (2, second.version_hash)
    assert found.document["tables"]["games"]["columns"]["at"]["data_type"] == "timestamp"
    assert len(target.rows("SELECT 1 FROM _dlt_version")) == 2
