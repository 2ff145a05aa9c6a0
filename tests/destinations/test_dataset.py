"""Datasets and relations: the loaded rows as a user reads them, at every destination alike."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from packages import Spool, group, schema, table
from postgres_server import Postgres

from oarlock.destinations import resolve
from oarlock.destinations.base import DestinationClient
from oarlock.destinations.dataset import Dataset
from oarlock.errors import ConfigurationError, DestinationTerminalError, DestinationUndefined, TableNotFound

GAMES = schema(
    table("games", {"id": "bigint", "white": "text", "elo": "bigint"}),
    table("odd name", {'a "b"': "bigint"}),
    table("empty", {"id": "bigint"}),
)
ROWS = [{"id": i, "white": f"player {i % 3}", "elo": 2000 + i * 10} for i in range(10)]


@pytest.fixture(params=["duckdb", "postgres"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> DestinationClient:
    url = f"duckdb:///{tmp_path / 'games.duckdb'}"
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        url = server.url
    destination = resolve(url)
    assert destination is not None
    client = destination.client(
        f"d{secrets.token_hex(6)}", pipeline_name="games", default_folder=tmp_path, working_dir=tmp_path, timeout_s=10
    )
    package = Spool(tmp_path).package("1.0", {"games": ROWS, "odd name": [{'a "b"': 1}]}, GAMES)
    client.load(group(package, schemas=[GAMES]))
    return client


@pytest.fixture
def dataset(client: DestinationClient) -> Dataset:
    return Dataset(client, GAMES.tables, schema_name="games")


def test_tables_by_every_way_of_naming_them(dataset: Dataset) -> None:
    for relation in (dataset["games"], dataset.table("games"), dataset.games, dataset("SELECT * FROM games")):
        assert len(relation.fetchall()) == relation.row_count() == len(relation) == 10
        assert relation.columns == ["id", "white", "elo"]
    assert dataset.tables == ["games", "odd name", "empty", "_dlt_loads", "_dlt_version", "_dlt_pipeline_state"]
    assert "games" in dataset
    assert "never" not in dataset
    assert dataset["odd name"].fetchall() == [(1,)]
    assert dataset["odd name"].where('a "b"', "=", 1).select('a "b"').fetchall() == [(1,)]


def test_what_is_not_there_is_named(dataset: Dataset) -> None:
    with pytest.raises(TableNotFound, match="never"):
        dataset["never"]
    with pytest.raises(AttributeError, match="never"):
        dataset.never  # noqa: B018
    with pytest.raises(DestinationUndefined, match="never"):
        dataset("SELECT * FROM never").fetchall()
    with pytest.raises(DestinationTerminalError, match="rating"):
        dataset["games"].select("rating").fetchall()
    with pytest.raises(DestinationTerminalError):
        dataset("SELEC 1").fetchall()


def test_rows_are_counted(dataset: Dataset) -> None:
    assert dataset.row_counts() == {"games": 10, "odd name": 1, "empty": 0}
    assert dataset.row_counts(system=True)["_dlt_loads"] == 1


def test_relations_are_narrowed(dataset: Dataset) -> None:
    games = dataset["games"]

    assert games.where("id", ">", 7).select("id").fetchall() == [(8,), (9,)]
    assert games.where("elo > 2070").where("white", "=", "player 2").fetchall() == [(8, "player 2", 2080)]
    assert sorted(games.where("id", "in", [1, 3, 99])["id"].fetchall()) == [(1,), (3,)]
    assert games.where("id", "not_in", [1, 3]).row_count() == 8
    assert games.where("white", "like", "%1").row_count() == 3
    assert len(games.head().fetchall()) == 5
    assert len(games.limit(3).limit(7).fetchall()) == 3
    assert games.limit(3).where("id", ">=", 0).row_count() == 3, "a condition after a limit acts on its rows"
    assert games.limit(0).columns == ["id", "white", "elo"]
    assert dataset("SELECT max(elo) FROM games WHERE id < $1;", 5).fetchscalar() == 2040
    assert dataset("SELECT id FROM games WHERE id < %s -- five", 5).where("id", ">", 2).fetchall() == [(3,), (4,)]
    assert games  # without counting its rows


def test_values_never_become_sql(dataset: Dataset) -> None:
    assert dataset["games"].where("white", "=", "x' OR '1'='1").fetchall() == []
    with pytest.raises(ConfigurationError, match="operator"):
        dataset["games"].where("white", "= '' OR 1=", "x")
    with pytest.raises(DestinationTerminalError):
        dataset["games"].where('white" IS NOT NULL OR "id', "=", 1).fetchall()


@pytest.mark.parametrize("bad", [lambda r: r.select(), lambda r: r.limit(-1), lambda r: r.where("id", "in", [])])
def test_what_makes_no_question_is_refused(dataset: Dataset, bad: object) -> None:
    assert callable(bad)
    with pytest.raises(ConfigurationError):
        bad(dataset["games"])
    with pytest.raises(ConfigurationError):
        dataset["games"].fetchscalar()


def test_rows_come_in_every_form(dataset: Dataset) -> None:
    games = dataset["games"].where("id", "<", 7)

    assert games.fetchone() == (0, "player 0", 2000)
    assert games.fetchmany(2) == [(0, "player 0", 2000), (1, "player 1", 2010)]
    assert games.arrow().to_pylist() == ROWS[:7]
    assert games.df().to_dict("records") == ROWS[:7]
    assert games.pl().to_dicts() == ROWS[:7]
    assert [len(rows) for rows in games.iter_fetch(3)] == [3, 3, 1]
    assert [len(frame) for frame in games.iter_df(4)] == [4, 3]
    assert [row for piece in games.iter_arrow(2) for row in piece.to_pylist()] == ROWS[:7]
    assert dataset["empty"].where("id", ">", 0).sql()
    assert dataset["games"].where("id", "<", 0).arrow().num_rows == 0


def test_a_loop_that_is_left_gives_the_database_back(dataset: Dataset, client: DestinationClient) -> None:
    for rows in dataset["games"].iter_fetch(2):
        assert len(rows) == 2
        break

    with client.sql_client() as sql:
        sql.execute_sql(f"DELETE FROM {sql.qualified('games')} WHERE id < 5")
    assert dataset["games"].row_count() == 5


def test_the_clients_cursor(client: DestinationClient) -> None:
    with client.sql_client() as sql:
        assert sql.has_dataset()
        with sql.execute_query("SELECT id, white FROM games WHERE id < %s ORDER BY id", 4) as cursor:
            assert cursor.columns == ["id", "white"]
            assert cursor.fetchone() == (0, "player 0")
            assert cursor.fetchmany(2) == [(1, "player 1"), (2, "player 2")]
            assert cursor.fetchall() == [(3, "player 0")]
            assert cursor.fetchone() is None
        assert sql.execute_sql("SELECT '%s', \"elo\" FROM games WHERE id = %s", 3) == [("%s", 2030)]
        sql.execute_sql("UPDATE games SET elo = 1 WHERE id = 3")
        assert sql.execute_sql("SELECT elo FROM games WHERE id = 3") == [(1,)]
    with client.sql_client(read_only=True) as sql, pytest.raises(DestinationTerminalError):
        sql.execute_sql("DELETE FROM games")


def test_a_result_is_read_on_while_other_statements_run(client: DestinationClient) -> None:
    with client.sql_client() as sql:
        with sql.execute_query("SELECT id FROM games ORDER BY id") as outer:
            assert outer.fetchone() == (0,)
            sql.execute_sql("UPDATE games SET elo = 0")
            with sql.execute_query("SELECT count(*) FROM games WHERE elo = 0") as inner:
                assert inner.fetchall() == [(10,)]
            assert outer.fetchmany(2) == [(1,), (2,)]
            assert outer.fetchall() == [(i,) for i in range(3, 10)]
            assert outer.fetchall() == []
