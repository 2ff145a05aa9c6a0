"""From whatever a user writes for a destination to the destination, nothing imported and no secret read."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import oarlock.destinations
from oarlock.destinations import (
    DuckDbDestination,
    PostgresDestination,
    duckdb,
    from_reference,
    known,
    postgres,
    resolve,
)
from oarlock.destinations.base import Destination
from oarlock.destinations.reference import DestinationReference
from oarlock.errors import ConfigFieldMissing, ConfigurationError, DestinationNoStaging, UnknownDestination
from oarlock.settings import Settings


def settings(**environ: str) -> Settings:
    return Settings(environ=environ)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("DESTINATION", "CREDENTIALS")):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    "value",
    [
        *("duckdb", "dlt.destinations.duckdb", "oarlock.destinations.duckdb", "oarlock.destinations.factories.duckdb"),
        *(duckdb, duckdb(), lambda: duckdb(), DuckDbDestination),
    ],
)
def test_duckdb_by_every_way_of_naming_it(value: Any) -> None:
    found = resolve(value, settings=settings())

    assert isinstance(found, DuckDbDestination)
    assert isinstance(found, Destination)
    assert (found.type, found.name, found.location) == ("duckdb", "duckdb", None)
    assert resolve(None) is None


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("duckdb:////data/x.duckdb", "/data/x.duckdb"),
        ("duckdb:///x%20y.duckdb", "{here}/x y.duckdb"),
        ("md:games?motherduck_token=abc", "md:games?motherduck_token=abc"),
    ],
)
def test_duckdb_urls(url: str, location: str, tmp_path: Path) -> None:
    found = resolve(url, settings=settings())

    assert isinstance(found, DuckDbDestination)
    assert found.location == location.format(here=tmp_path)
    assert "abc" not in repr(found.reference())


def test_an_explicit_path_is_kept_where_the_pipeline_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = duckdb("sub/x.duckdb", threads=2).reference()
    monkeypatch.chdir("/")

    again = from_reference(reference)

    assert reference.options == {"location": str(tmp_path / "sub" / "x.duckdb"), "threads": 2}
    assert isinstance(again, DuckDbDestination)
    assert again == duckdb(tmp_path / "sub" / "x.duckdb", threads=2)
    assert again.reference() == reference


def where(destination: Any, tmp_path: Path) -> str:
    client = destination.client(
        "d", pipeline_name="games", default_folder=tmp_path / "a", working_dir=tmp_path / "w", timeout_s=1
    )
    return str(client.displayable_location())


def test_the_default_location_and_the_one_in_the_working_folder(tmp_path: Path) -> None:
    assert where(duckdb(), tmp_path) == f"duckdb:///{tmp_path}/a/games.duckdb"
    assert where(duckdb(":pipeline:"), tmp_path) == f"duckdb:///{tmp_path}/w/games.duckdb"
    assert where(from_reference(duckdb(":pipeline:").reference()), tmp_path) == f"duckdb:///{tmp_path}/w/games.duckdb"


def test_a_location_of_the_settings_is_remembered_but_the_settings_of_the_moment_win(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", "set.duckdb")
    reference = duckdb().reference()
    assert where(duckdb(), tmp_path) == f"duckdb:///{tmp_path}/set.duckdb"

    monkeypatch.delenv("DESTINATION__DUCKDB__CREDENTIALS")
    assert where(from_reference(reference), tmp_path) == f"duckdb:///{tmp_path}/set.duckdb"
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", "/other.duckdb")
    assert where(from_reference(reference), tmp_path) == "duckdb:////other.duckdb"
    assert where(duckdb("/mine.duckdb"), tmp_path) == "duckdb:////mine.duckdb"


@pytest.mark.parametrize("value", [":memory:", "duckdb:///:memory:", "", "postgresql://h/d", 7, object()])
def test_a_location_that_workers_could_not_share_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError):
        duckdb(value)


def test_an_open_connection_is_refused() -> None:
    connection = __import__("duckdb").connect()
    try:
        with pytest.raises(ConfigurationError, match="open connection"):
            duckdb(connection)
    finally:
        connection.close()


def test_named_destinations_stand_in_the_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = resolve("warehouse", settings=settings(DESTINATION__WAREHOUSE__DESTINATION_TYPE="duckdb"))
    monkeypatch.setenv("DESTINATION__WAREHOUSE__CREDENTIALS", "/w.duckdb")

    assert isinstance(found, DuckDbDestination)
    assert found.name == "warehouse"
    assert where(found, tmp_path) == "duckdb:////w.duckdb"
    assert found.reference().name == from_reference(found.reference()).name == "warehouse"


def test_a_setting_for_all_destinations_does_not_make_every_name_known() -> None:
    with pytest.raises(UnknownDestination):
        resolve("nonsense", settings=settings(DESTINATION_TYPE="duckdb", DESTINATION__DESTINATION_TYPE="duckdb"))


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("snowflake", "Known are duckdb, postgres"),
        ("dlt.destinations.bigquery", "Known are duckdb, postgres"),
        ("s3://bucket", "no destination has this kind of URL"),
        ("games.db", "duckdb:///games.db"),
        ("os.path.nothing", "cannot be imported"),
        (7, "neither a name"),
        (lambda: 7, "it gave a int"),
        ("", ""),
    ],
)
def test_what_is_no_destination_is_said_so(value: Any, says: str) -> None:
    with pytest.raises(UnknownDestination) as caught:
        resolve(value, settings=settings())

    assert says in str(caught.value)


def test_a_single_word_is_never_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "myscript.py").write_text("raise SystemExit('it ran')")
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(UnknownDestination):
        resolve("myscript", settings=settings())


def test_a_reference_imports_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evil.py").write_text("raise SystemExit('it ran')")
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(UnknownDestination, match="not registered"):
        from_reference(DestinationReference("evil.destination", "evil"))


def test_what_cannot_stage_is_no_staging() -> None:
    with pytest.raises(DestinationNoStaging):
        resolve("duckdb", role="staging", settings=settings())


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="'thread'"):
        duckdb(thread=1)
    with pytest.raises(ConfigurationError, match="'ssl'"):
        postgres(ssl=1)


@pytest.mark.parametrize(
    "credentials",
    [
        "postgresql://loader:pw%40x@db.example:5433/games?sslmode=require",
        "host=db.example port=5433 dbname=games user=loader password='pw@x' sslmode=require",
        {"host": "db.example", "port": 5433, "database": "games", "username": "loader", "password": "pw@x"}
        | {"sslmode": "require"},
    ],
)
def test_a_postgres_address_in_every_form_keeps_its_password_to_itself(credentials: Any) -> None:
    destination = postgres(credentials, connect_timeout=5)

    reference = destination.reference()

    assert destination.address.password == "pw@x"
    assert reference.options == {
        "connect_timeout": 5,
        "host": "db.example",
        "port": 5433,
        "database": "games",
        "username": "loader",
        "query": {"sslmode": "require"},
    }
    assert "pw" not in repr(destination) + repr(reference) + destination.address.shown()
    again = from_reference(reference)
    assert isinstance(again, PostgresDestination)
    assert again.reference() == reference


@pytest.mark.parametrize("credentials", ["postgresql://u:secret@h:port/d", "secret", "mysql://u:secret@h/d", 7])
def test_a_postgres_address_that_does_not_read_is_not_shown(credentials: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        postgres(credentials)

    assert "secret" not in str(caught.value)


def test_the_password_is_resolved_again_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = from_reference(postgres("postgresql://loader:pw@db/games").reference())
    assert isinstance(kept, PostgresDestination)
    assert kept._resolved(settings(), "games").password is None

    one = kept._resolved(settings(DESTINATION__POSTGRES__CREDENTIALS__PASSWORD="one"), "games")
    whole = kept._resolved(settings(DESTINATION__POSTGRES__CREDENTIALS="postgresql://else:two@other/x"), "games")
    own = kept._resolved(settings(GAMES__DESTINATION__POSTGRES__CREDENTIALS__PASSWORD="three"), "games")

    assert (one.password, one.host) == ("one", "db")
    assert (whole.password, whole.host, whole.username, whole.database) == ("two", "db", "loader", "games")
    assert own.password == "three"


def test_no_address_at_all_lists_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigFieldMissing, match="DESTINATION__POSTGRES__CREDENTIALS"):
        where(postgres(), tmp_path)


def test_destinations_travel_to_other_processes() -> None:
    for one in (duckdb("x.duckdb", threads=1), postgres("postgresql://a:b@h/d")):
        assert pickle.loads(pickle.dumps(one)) == one


def test_naming_destinations_imports_no_driver() -> None:
    code = (
        "import sys, oarlock.destinations as d\n"
        "from oarlock.destinations import dataset\n"
        "for one in ('duckdb', 'postgres', 'duckdb:////x', 'postgresql://u:p@h/d'):\n"
        "    d.from_reference(d.resolve(one).reference())\n"
        "heavy = {'duckdb', 'pyarrow', 'psycopg', 'numpy', 'pandas', 'polars', 'structlog', 'pydantic', 'email'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    source = Path(oarlock.destinations.__file__ or "").parents[2]

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(source)}
    )

    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_the_factory_is_not_hidden_by_the_module_that_imports_its_driver(tmp_path: Path) -> None:
    where(duckdb(), tmp_path)

    assert oarlock.destinations.duckdb is duckdb
    assert known() == ["duckdb", "postgres"]
