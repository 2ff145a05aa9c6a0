"""Making a store and finding one: private files, one store a folder, nothing of anybody else's touched."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from oarlock.errors import ForeignFolder, StoreDamaged
from oarlock.state.store import SqliteStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore.create(tmp_path / "p", pipeline_name="p", worker="worker-1")
    yield made
    made.close()


def test_files_and_folders_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = SqliteStore.create(tmp_path / "a" / "b" / "p", pipeline_name="p", worker="w")
        with store.transaction("write") as tx:
            tx.put(("a",), 1)
        found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a").rglob("*")}
        store.close()
    finally:
        os.umask(before)

    assert {"state.db", "state.db-wal", "state.db-shm", "state.db-sync", "oarlock.json", "guard.lock"} <= found.keys()
    assert {name for name, mode in found.items() if mode != 0o600} == {"b", "p"}
    assert found["b"] == found["p"] == 0o700


def test_creating_again_opens_what_is_there(store: SqliteStore, tmp_path: Path) -> None:
    with store.transaction("write") as tx:
        tx.put(("a",), 1)

    again = SqliteStore.create(tmp_path / "p", pipeline_name="p", worker="w2")

    with again.snapshot() as snapshot:
        assert snapshot.get(("a",)) == 1
    again.close()
    with pytest.raises(StoreDamaged, match="names pipeline 'p', not 'q'"):
        SqliteStore.create(tmp_path / "p", pipeline_name="q", worker="w2")


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "thesis.txt").write_text("years of work")

    with pytest.raises(ForeignFolder, match=r"thesis\.txt"):
        SqliteStore.create(tmp_path / "p", pipeline_name="p", worker="w")
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["thesis.txt"]


def test_there_is_no_store_where_none_was_made(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()

    assert not SqliteStore.exists(tmp_path / "p")
    for folder in (tmp_path / "p", tmp_path / "q"):
        with pytest.raises(FileNotFoundError):
            SqliteStore.open(folder, worker="w")
    assert list((tmp_path / "p").iterdir()) == []
