"""A dataset is one that dlt knows: dlt goes on where oarlock stopped, and oarlock where dlt did."""

from __future__ import annotations

import base64
import json
import secrets
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packages import Spool, group
from postgres_server import Postgres
from tcp_to_socket import forwarded

from oarlock.destinations import duckdb
from oarlock.destinations import postgres as make_postgres
from oarlock.destinations.base import Destination, DestinationClient, SchemaToLoad, StateRow
from oarlock.values import new_load_id

dlt: Any = pytest.importorskip("dlt")

pytestmark = pytest.mark.filterwarnings("ignore")

NAME = "games_pipeline"


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("DLT_PROJECT_DIR", str(tmp_path))
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    monkeypatch.setenv("RUNTIME__LOG_LEVEL", "CRITICAL")
    monkeypatch.chdir(tmp_path)
    yield
    dlt.pipeline(pipeline_name="other", pipelines_dir=str(tmp_path / "other")).deactivate()


def games_of(last: int) -> Any:
    @dlt.resource(name="games", write_disposition="append")  # type: ignore[untyped-decorator]  # dlt is Any here
    def games(cursor: Any = dlt.sources.incremental("id", initial_value=0)) -> Iterator[list[dict[str, Any]]]:  # noqa: B008
        first = (cursor.last_value or 0) + 1
        yield [{"id": i, "name": f"g{i}", "moves": [{"m": "e4"}]} for i in range(first, last + 1)]

    return games()


class Place:
    """One database, as each of the two reaches it."""

    def __init__(self, theirs: Any, ours: Destination, folder: Path) -> None:
        self.theirs = {"destination": theirs, "dataset_name": f"d{secrets.token_hex(6)}"}
        self._ours, self._folder = ours, folder

    def client(self) -> DestinationClient:
        return self._ours.client(
            self.theirs["dataset_name"],
            pipeline_name=NAME,
            default_folder=self._folder,
            working_dir=self._folder,
            timeout_s=10,
        )

    def shape(self) -> list[tuple[Any, ...]]:
        with self.client().sql_client(read_only=True) as client:
            shape = client.execute_sql(
                "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns "
                f"WHERE table_schema = '{client.dataset_name}' ORDER BY table_name, ordinal_position"
            )
        return shape or []


@pytest.fixture(params=["duckdb", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "duckdb":
        path = tmp_path / "games.duckdb"
        yield Place(dlt.destinations.duckdb(str(path)), duckdb(path), tmp_path)
        return
    pytest.importorskip("psycopg2", reason="dlt reaches Postgres by psycopg2")
    server: Postgres = request.getfixturevalue("postgres")
    with forwarded(server.folder / ".s.PGSQL.5432") as port:
        url = f"postgresql://postgres:none@127.0.0.1:{port}/postgres"
        yield Place(dlt.destinations.postgres(url), make_postgres(server.url), tmp_path)


def state_after(found: StateRow, last: int) -> StateRow:
    """Give the next state, encoded as dlt's is, with the cursor at another place."""
    from dlt.pipeline.state_sync import compress_state, generate_pipeline_state_version_hash

    document = json.loads(zlib.decompress(base64.b64decode(found.state)))
    document["sources"]["games"]["resources"]["games"]["incremental"]["id"]["last_value"] = last
    document["_state_version"] += 1
    document["_version_hash"] = generate_pipeline_state_version_hash(document)
    return StateRow(
        document["_state_version"], 4, NAME, compress_state(document), document["_version_hash"], 1_700_000_000.0
    )


def test_oarlock_continues_a_dataset_of_dlt_and_dlt_continues_that(place: Place, tmp_path: Path) -> None:
    dlt.pipeline(NAME, pipelines_dir=str(tmp_path / "one"), **place.theirs).run(games_of(3))

    client = place.client()
    found, stored = client.read_state(NAME), client.read_schema("games")
    assert found is not None
    assert stored is not None
    text = json.dumps(stored.document)
    schema = SchemaToLoad("games", stored.version, stored.version_hash, 11, stored.document["tables"], text)
    load_id = new_load_id()
    rows = {
        "games": [{"id": 4, "name": "ours", "_dlt_load_id": load_id, "_dlt_id": "g4"}],
        "games__moves": [{"m": "d4", "_dlt_parent_id": "g4", "_dlt_list_idx": 0, "_dlt_id": "m4"}],
    }
    package = Spool(tmp_path).package(load_id, rows, schema)
    outcome = client.load(group(package, schemas=[schema], state=state_after(found, 4)))
    assert outcome.loaded == [load_id]
    assert outcome.schema_update == {}

    other = dlt.attach(NAME, pipelines_dir=str(tmp_path / "two"), **place.theirs)
    assert other.state["sources"]["games"]["resources"]["games"]["incremental"]["id"]["last_value"] == 4
    other.run(games_of(6))

    with other.sql_client() as sql:
        assert sql.execute_sql("SELECT id FROM games ORDER BY id") == [(i,) for i in range(1, 7)]
        assert sql.execute_sql("SELECT count(*) FROM games__moves") == [(6,)]
        assert sql.execute_sql("SELECT count(*) FROM _dlt_loads WHERE status = 0") == [(3,)]
        assert sql.execute_sql("SELECT count(DISTINCT version_hash), count(*) FROM _dlt_version") == [(1, 1)]
    assert (client.read_state(NAME) or found).version == found.version + 2


def test_system_tables_have_the_very_columns_of_dlts(place: Place, tmp_path: Path) -> None:
    dlt.pipeline(NAME, pipelines_dir=str(tmp_path / "one"), **place.theirs).run(games_of(1))
    stored, theirs = place.client().read_schema("games"), place.shape()
    assert stored is not None
    schema = SchemaToLoad("games", 1, "h", 11, stored.document["tables"], json.dumps(stored.document))

    place.theirs["dataset_name"] += "_ours"
    client = place.client()
    client.load(group(schemas=[schema], state=StateRow(1, 4, NAME, "{}", "h", 0.0)))
    rows = {"games": [{"id": 1, "name": "g1", "_dlt_load_id": "1.0", "_dlt_id": "x"}]}
    client.load(group(Spool(tmp_path).package("1.0", rows, schema), schemas=[schema]))

    assert place.shape() == theirs
    assert len(theirs) > 20
