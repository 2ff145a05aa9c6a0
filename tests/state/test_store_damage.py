"""Damaged, foreign and newer stores: an error that names the file, and not one byte changed."""

from __future__ import annotations

import hashlib
import itertools
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from store_records import package, schema

from oarlock.errors import StoreDamaged, StoreError, StoreTooNew, StoreUnavailable
from oarlock.schema.hashing import content_hash
from oarlock.state import creation
from oarlock.state.connection import Connection
from oarlock.state.exchange import export_store, import_store
from oarlock.state.queries import FORMAT, migration_scripts
from oarlock.state.store import SqliteStore


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store = SqliteStore.create(tmp_path / "p", pipeline_name="p", worker="w")
    with store.transaction("fill") as tx:
        for number in range(200):
            tx.put(("sources", "s", f"k{number}"), "x" * 200)
        tx.put_package(package("1"))
        tx.put_schema(schema(1, {"t": {"name": "t"}}))
    store.close()
    return tmp_path / "p"


def change(folder: Path, sql: str, *args: Any) -> None:
    connection = sqlite3.connect(folder / "state.db")
    connection.execute(sql, args)
    connection.commit()
    connection.close()


def prints(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.is_file() and not path.name.startswith(("guard.", "state.db-"))
    }


def cut(length: int) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "state.db"
        path.write_bytes(path.read_bytes()[:length])

    return damage


def overwrite(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


def make_link(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).rename(folder.parent / "elsewhere")
        (folder / name).symlink_to(folder.parent / "elsewhere")

    return damage


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "garbage": (overwrite("state.db", b"garbage " * 2000), "not a database"),
    "cut to half": (cut(20_000), "malformed"),
    "cut inside a page": (cut(5000), "malformed"),
    "empty": (cut(0), "is empty"),
    "missing": (lambda folder: (folder / "state.db").unlink(), "is missing"),
    "a link": (make_link("state.db"), "symbolic link"),
    "another program's": (lambda folder: change(folder, "PRAGMA application_id = 7"), "not one that oarlock made"),
    "without its facts": (lambda folder: change(folder, "DELETE FROM meta"), "row of facts is missing"),
    "of another pipeline": (lambda folder: change(folder, "UPDATE meta SET pipeline_name = 'q'"), "pipeline 'q'"),
    "without a table": (lambda folder: change(folder, "DROP TABLE meta"), "no such table"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_database_is_named_and_left_as_it_is(folder: Path, kind: str) -> None:
    damage, found = DAMAGE[kind]
    damage(folder)
    before = prints(folder)

    with pytest.raises(StoreDamaged, match=rf"state\.db' is damaged: .*{found}"):
        SqliteStore.open(folder, worker="w")
    with pytest.raises(StoreDamaged, match=rf"state\.db' is damaged: .*{found}"):
        SqliteStore.create(folder, pipeline_name="p", worker="w")
    assert prints(folder) == before


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"[]", b"{}", b'{"oarlock": "1"}', b'{"oarlock": 1}', b" " * 5000]
)
def test_a_damaged_marker_is_named_and_left_as_it_is(folder: Path, content: bytes) -> None:
    (folder / "oarlock.json").write_bytes(content)
    before = prints(folder)

    with pytest.raises(StoreDamaged, match=r"oarlock\.json' is damaged"):
        SqliteStore.open(folder, worker="w")
    with pytest.raises(StoreDamaged, match=r"oarlock\.json' is damaged"):
        SqliteStore.create(folder, pipeline_name="p", worker="w")
    assert prints(folder) == before


def test_a_marker_that_is_a_link_is_refused(folder: Path) -> None:
    make_link("oarlock.json")(folder)

    with pytest.raises(StoreDamaged, match="symbolic link"):
        SqliteStore.open(folder, worker="w")


def test_a_working_folder_that_is_a_link_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)

    with pytest.raises(StoreDamaged, match="symbolic link"):
        SqliteStore.create(tmp_path / "link", pipeline_name="p", worker="w")


@pytest.mark.parametrize("newer", ["marker", "database"])
def test_a_newer_format_is_refused_and_left_as_it_is(folder: Path, newer: str) -> None:
    if newer == "marker":
        (folder / "oarlock.json").write_bytes(b'{"oarlock": 2, "pipeline_name": "p"}')
    else:
        change(folder, f"PRAGMA user_version = {FORMAT + 1}")
    before = prints(folder)

    with pytest.raises(
        StoreTooNew, match=r"(oarlock\.json|state\.db)' has format 2; this oarlock knows formats up to 1"
    ):
        SqliteStore.open(folder, worker="w")
    assert prints(folder) == before


def test_a_lost_marker_is_written_again_for_a_store_that_is_whole(folder: Path) -> None:
    (folder / "oarlock.json").unlink()

    with pytest.raises(FileNotFoundError):
        SqliteStore.open(folder, worker="w")
    store = SqliteStore.create(folder, pipeline_name="p", worker="w")
    with store.snapshot() as snapshot:
        assert snapshot.get(("sources", "s", "k1")) == "x" * 200
    store.close()


def test_a_store_without_a_marker_that_is_another_pipelines_is_left_alone(folder: Path) -> None:
    (folder / "oarlock.json").unlink()
    before = prints(folder)

    with pytest.raises(StoreDamaged, match="belongs to pipeline 'p', not 'q'"):
        SqliteStore.create(folder, pipeline_name="q", worker="w")
    assert prints(folder) == before


DOCUMENTS: dict[str, tuple[str, str, Callable[[Any], object]]] = {
    "a state document": (
        'UPDATE document SET value = \'gar\' WHERE key = \'["sources","s","k7"]\'',
        r"state document 'sources\.s\.k7' does not parse",
        lambda snapshot: snapshot.get(("sources", "s", "k7")),
    ),
    "jobs that are no list": (
        "UPDATE package SET jobs = '{}'' '",
        "package 1",
        lambda snapshot: snapshot.package("1"),
    ),
    "a job's field of the wrong type": (
        'UPDATE package SET jobs = replace(jobs, \'"rows":5\', \'"rows":"5"\')',
        r"package 1: jobs\.0\.rows: input should be a valid integer",
        lambda snapshot: snapshot.packages("normalized"),
    ),
    "a job's unknown field": (
        "UPDATE package SET jobs = replace(jobs, 'checksum', 'checksun')",
        r"package 1: jobs\.0\.checksum: field required; jobs\.0\.checksun",
        lambda snapshot: snapshot.packages(),
    ),
    "a job's file outside of the folder": (
        "UPDATE package SET jobs = replace(jobs, 'rows.arrow', '../../rows.arrow')",
        "not inside the package's folder",
        lambda snapshot: snapshot.packages(),
    ),
    "a table's definition": (
        "UPDATE schema_table SET definition = '[]'",
        "schema 's' version 1: the definition of table 't'",
        lambda snapshot: snapshot.schema("s"),
    ),
}


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_a_damaged_document_is_named(folder: Path, kind: str) -> None:
    sql, found, read = DOCUMENTS[kind]
    change(folder, sql.replace("replace(jobs", "replace(CAST(jobs AS TEXT)"))
    store = SqliteStore.open(folder, worker="w")

    with store.snapshot() as snapshot, pytest.raises(StoreDamaged, match=found):
        read(snapshot)
    assert any(found.split(":")[0].replace("\\", "") in problem for problem in store.check())
    store.close()


def test_the_check_tells_of_pages_and_hashes(folder: Path) -> None:
    store = SqliteStore.open(folder, worker="w")
    assert store.check() == ["schema 's' version 1: its content does not match its hash hash-1"]

    with store.transaction("right hash") as tx:
        tx.drop_schema("s")
        record = schema(2, {})
        right = content_hash({"name": "s"}, {})
        tx.put_schema(type(record)("s", 2, right, {"name": "s", "tables": {}}, "w", 1.0))
    assert store.check() == []
    store.close()
    with (folder / "state.db").open("r+b") as file:
        file.seek(3 * 4096)
        file.write(b"\xff" * 4096)
    store = SqliteStore.open(folder, worker="w")
    assert store.check()
    store.close()


def test_a_torn_log_costs_only_what_was_not_whole(folder: Path, tmp_path: Path) -> None:
    store = SqliteStore.open(folder, worker="w")
    for number in range(20):
        with store.transaction("count") as tx:
            tx.put(("n",), number)
    database, log = (folder / "state.db").read_bytes(), (folder / "state.db-wal").read_bytes()
    store.close()

    seen = []
    for length in range(len(log), -1, -4999):
        torn = tmp_path / f"torn-{length}"
        torn.mkdir()
        (torn / "state.db").write_bytes(database)
        (torn / "state.db-wal").write_bytes(log[:length])
        reader = Connection(torn / "state.db")
        row = reader.row("document", '["n"]')
        seen.append(-1 if row is None else int(row[0]))
        assert reader.run("PRAGMA quick_check") == [("ok",)]
        reader.close()

    assert (seen[0], seen[-1]) == (19, -1)
    assert all(0 <= earlier - later <= 2 for earlier, later in itertools.pairwise(seen))


def test_a_migration_sets_a_copy_aside_and_is_all_or_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = migration_scripts()
    connection = Connection(folder / "state.db")
    broken = [*first, "CREATE TABLE more (a);\nINSERT INTO nowhere VALUES (1);\n"]
    with pytest.raises(StoreError, match="no such table"):
        creation.migrate(connection, scripts=broken)
    assert connection.run("PRAGMA user_version") == [(1,)]
    assert connection.run("SELECT name FROM sqlite_master WHERE name = 'more'") == []

    creation.migrate(connection, scripts=[*first, "CREATE TABLE more (a);\n"])

    assert connection.run("PRAGMA user_version") == [(2,)]
    assert connection.run("SELECT count(*) FROM more") == [(0,)]
    connection.close()
    copy = Connection(folder / "state.db.format-1")
    assert copy.run("PRAGMA user_version") == [(1,)]
    assert copy.run("SELECT count(*) FROM document") == [(200,)]
    copy.close()
    assert (folder / "state.db.format-1").stat().st_mode & 0o777 == 0o600


def test_there_is_a_migration_for_each_format() -> None:
    assert len(migration_scripts()) == FORMAT


def test_a_store_that_cannot_be_written_says_why(folder: Path) -> None:
    store = SqliteStore.open(folder, worker="w")

    def write_too_much() -> None:
        with store.transaction("too much") as tx:
            tx._connection.run("PRAGMA max_page_count = 1")
            tx.put(("big",), "x" * 1_000_000)

    with pytest.raises(StoreUnavailable, match="disk is full"):
        write_too_much()
    with store.snapshot() as snapshot:
        assert snapshot.get(("big",)) is None
    store.close()


def test_an_export_brings_state_and_schemas_to_another_store(folder: Path, tmp_path: Path) -> None:
    store = SqliteStore.open(folder, worker="w")
    with store.snapshot() as snapshot:
        exported = export_store(snapshot, "p")
        state = snapshot.documents()
    other = SqliteStore.create(tmp_path / "q", pipeline_name="q", worker="w")
    with other.transaction("before") as tx:
        tx.put(("old",), 1)

    with other.transaction("import") as tx:
        import_store(tx, exported)

    with other.snapshot() as snapshot:
        assert snapshot.documents() == state
        assert snapshot.schema("s") == schema(1, {"t": {"name": "t"}})
    with pytest.raises(StoreDamaged, match=r"backup\.json' is damaged: state_version: input should be"):
        with other.transaction("bad import") as tx:
            import_store(tx, exported.replace(b'"state_version":1', b'"state_version":"1"'), source="backup.json")
    store.close()
    other.close()
