"""Postgres: who is let in, who waits for whom, what is worth another try, and what COPY must not change."""

from __future__ import annotations

import secrets
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from packages import Spool, group, schema, state, table
from postgres_server import WITH_PASSWORD, Postgres

from oarlock.destinations import postgres as make_postgres
from oarlock.destinations.base import DestinationClient
from oarlock.destinations.clients.postgres_load import PostgresSession
from oarlock.errors import DestinationTerminalError, DestinationTransientError, MissingExtra
from oarlock.values import LoadId

DEADLINE_S = 30
GAMES = schema(table("games", {"id": "bigint", "name": "text"}), table("players", {"id": "bigint", "doc": "json"}))


@pytest.fixture
def dataset() -> str:
    return f"d{secrets.token_hex(6)}"


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path)


def client_of(url: str, dataset: str, tmp_path: Path, timeout_s: float = 10, **options: Any) -> DestinationClient:
    return make_postgres(url, **options).client(
        dataset, pipeline_name="games", default_folder=tmp_path, working_dir=tmp_path, timeout_s=timeout_s
    )


@pytest.fixture
def client(postgres: Postgres, dataset: str, tmp_path: Path) -> DestinationClient:
    return client_of(postgres.url, dataset, tmp_path)


@pytest.fixture
def role(postgres: Postgres) -> Iterator[str]:
    """A user with a password and no rights."""
    with postgres.connect() as admin:
        admin.execute(f"CREATE ROLE {WITH_PASSWORD} LOGIN PASSWORD 'right'")
        yield WITH_PASSWORD
        admin.execute(f"DROP OWNED BY {WITH_PASSWORD}")
        admin.execute(f"DROP ROLE {WITH_PASSWORD}")


def test_a_wrong_password_is_said_without_showing_it(
    postgres: Postgres, role: str, dataset: str, tmp_path: Path
) -> None:
    client = client_of(postgres.url_for(f"{role}:wrong-pw@"), dataset, tmp_path)

    with pytest.raises(DestinationTerminalError) as caught:
        client.loaded_ids(["1.0"])

    assert "DESTINATION__POSTGRES__CREDENTIALS__PASSWORD" in str(caught.value)
    assert "wrong-pw" not in str(caught.value) + client.displayable_location()


def test_the_password_of_the_settings_lets_in(
    postgres: Postgres, role: str, dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS__PASSWORD", "right")

    assert client_of(postgres.url_for(f"{role}@"), dataset, tmp_path).loaded_ids(["1.0"]) == set()


def test_missing_rights_are_nobodys_fault_and_the_packages_wait(
    postgres: Postgres, role: str, dataset: str, tmp_path: Path, spool: Spool, client: DestinationClient
) -> None:
    package = spool.package("1.0", {"games": [{"id": 1}]}, GAMES)
    poor = client_of(postgres.url_for(f"{role}:right@"), dataset, tmp_path)

    with pytest.raises(DestinationTerminalError, match="permission denied"):
        poor.load(group(package, schemas=[GAMES]))
    client.load(group(spool.package("0.1", {"games": [{"id": 1}]}, GAMES), schemas=[GAMES]))
    with postgres.connect() as admin:
        admin.execute(f"GRANT USAGE ON SCHEMA {dataset} TO {role}")
        admin.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {dataset} TO {role}")
    with pytest.raises(DestinationTerminalError, match="permission denied"):
        poor.load(group(package, schemas=[GAMES]))
    with postgres.connect() as admin:
        admin.execute(f"GRANT INSERT ON ALL TABLES IN SCHEMA {dataset} TO {role}")

    assert poor.load(group(package, schemas=[GAMES])).loaded == ["1.0"], "no right to create is needed to load"


def test_what_is_not_there_and_what_does_not_answer(postgres: Postgres, dataset: str, tmp_path: Path) -> None:
    with pytest.raises(DestinationTerminalError, match="does not exist"):
        client_of(postgres.url_for("postgres@", "nowhere"), dataset, tmp_path).read_state("games")
    with pytest.raises(DestinationTransientError, match="cannot be reached"):
        client_of(f"postgresql://postgres@/postgres?host={tmp_path}", dataset, tmp_path).read_state("games")


def test_a_driver_that_is_not_installed_is_named(dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(MissingExtra, match=r"pip install 'oarlock\[postgres\]'"):
        client_of("postgresql://h/d", dataset, tmp_path)


def test_a_table_that_is_held_is_waited_for_with_a_bound(
    postgres: Postgres, dataset: str, tmp_path: Path, spool: Spool, client: DestinationClient
) -> None:
    client.load(group(spool.package("1.0", {"games": [{"id": 1}]}, GAMES), schemas=[GAMES]))
    package = spool.package("1.1", {"games": [{"id": 2}]}, GAMES)
    patient = client_of(postgres.url, dataset, tmp_path, timeout_s=0.3)

    with postgres.connect() as holder, holder.transaction():
        holder.execute(f"LOCK TABLE {dataset}.games")
        started = time.monotonic()
        with pytest.raises(DestinationTransientError, match="55P03"):
            patient.load(group(package, schemas=[GAMES]))
        assert time.monotonic() - started < 5

    assert patient.load(group(package, schemas=[GAMES])).loaded == ["1.1"]


def test_a_lost_race_is_run_again(postgres: Postgres, dataset: str, spool: Spool, client: DestinationClient) -> None:
    rows: dict[str, list[dict[str, Any]]] = {"games": [{"id": 1}], "players": [{"id": 1}]}
    client.load(group(spool.package("1.0", rows, GAMES), schemas=[GAMES]))
    outcomes: list[Any] = []
    package = spool.package("1.1", rows, GAMES)

    with postgres.connect() as rival:
        with rival.transaction():
            rival.execute(f"LOCK TABLE {dataset}.players")
            loader = threading.Thread(target=lambda: outcomes.append(client.load(group(package, schemas=[GAMES]))))
            loader.start()
            _wait_for_lock(rival, f"{dataset}.players")
            # Now each waits for the other: the server ends the loader's transaction, which waited first.
            rival.execute(f"LOCK TABLE {dataset}.games")
        loader.join(DEADLINE_S)

    assert outcomes[0].loaded == ["1.1"]
    with client.sql_client() as sql:
        assert sql.execute_sql("SELECT count(*) FROM games") == [(2,)]


def _wait_for_lock(connection: psycopg.Connection[Any], table_name: str) -> None:
    until = time.monotonic() + DEADLINE_S
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = %s::regclass"
    while connection.execute(waits, [table_name]).fetchone() == (0,):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_connection_that_is_cut_leaves_all_or_nothing(
    postgres: Postgres, spool: Spool, client: DestinationClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = spool.package("1.0", {"games": [{"id": i} for i in range(100)]}, GAMES)
    for step in ("begin", "query", "claim", "insert", "commit"):
        inner = getattr(PostgresSession, step)

        def cut(self: Any, *args: Any, inner: Any = inner) -> Any:
            pid = self._connection.info.backend_pid
            with postgres.connect() as admin:
                admin.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
            return inner(self, *args)

        monkeypatch.setattr(PostgresSession, step, cut)
        with pytest.raises(DestinationTransientError):
            client.load(group(package, schemas=[GAMES], state=state()))
        monkeypatch.setattr(PostgresSession, step, inner)
        assert client.loaded_ids(["1.0"]) == set()

    assert client.load(group(package, schemas=[GAMES], state=state())).loaded == ["1.0"]
    with client.sql_client() as sql:
        assert sql.execute_sql("SELECT count(*) FROM games") == [(100,)]


def test_what_postgres_cannot_hold_is_refused_with_the_place(spool: Spool, client: DestinationClient) -> None:
    nul = spool.package("1.0", {"games": [{"id": 1, "name": "a\0b"}]}, GAMES)
    escaped = spool.package("1.1", {"players": [{"id": 1, "doc": '"\\u0000"'}]}, GAMES)
    fine = spool.package("1.2", {"games": [{"id": 2, "name": "\\x00"}]}, GAMES)

    outcome = client.load(group(nul, escaped, fine, schemas=[GAMES]))

    assert outcome.loaded == ["1.2"]
    assert "0x00" in outcome.failed[LoadId("1.0")]
    assert "column name" in outcome.failed[LoadId("1.0")] or "line 1" in outcome.failed[LoadId("1.0")]
    assert "players" in outcome.failed[LoadId("1.1")]


def test_many_rows_come_piece_by_piece(spool: Spool, client: DestinationClient) -> None:
    client.load(group(spool.package("1.0", {"games": [{"id": i} for i in range(5000)]}, GAMES), schemas=[GAMES]))

    with client.sql_client() as sql:
        with sql.execute_query("SELECT id FROM games ORDER BY id") as cursor:
            assert cursor.fetchmany(10) == [(i,) for i in range(10)]
            held = sql.execute_sql("SELECT count(*) FROM pg_cursors WHERE name LIKE 'oarlock%'")
            assert held == [(1,)]
            assert len(cursor.fetchall()) == 4990
        assert sql.execute_sql(
            "WITH gone AS (DELETE FROM games WHERE id < 10 RETURNING id) SELECT count(*) FROM gone"
        ) == [(10,)]


def test_types_that_no_package_writes_read_as_arrow(client: DestinationClient) -> None:
    question = (
        "SELECT 1::numeric AS n, 'NaN'::numeric AS nan, gen_random_uuid() AS u, ARRAY[1, 2] AS a, 1.5::real AS r, "
        "'12:00'::time AS t, NULL::numeric AS nothing"
    )
    with client.sql_client() as sql, sql.execute_query(question) as cursor:
        row = cursor.arrow().to_pylist()[0]

    assert (row["n"], row["a"], row["r"], str(row["t"]), row["nothing"]) == (1, "[1, 2]", 1.5, "12:00:00", None)
    assert row["nan"] != row["nan"]
    assert len(row["u"]) == 36
