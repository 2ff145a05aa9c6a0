"""attach(): what comes from the store, what from the arguments, what is refused, and that nothing is ever wiped."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

import oarlock
from oarlock.errors import (
    CannotRestorePipelineException,
    ForeignFolder,
    InvalidPipelineName,
    PipelineInUse,
    SaltMismatch,
    StoreDamaged,
)

ROWS = [{"id": 1}, {"id": 2}]


def make(tmp_path: Path, **options: Any) -> oarlock.Pipeline:
    destination = oarlock.destinations.duckdb(str(tmp_path / "here.duckdb"))
    return oarlock.pipeline(
        "demo", str(tmp_path / "p"), **{"destination": destination, "dataset_name": "data", **options}
    )


def count(database: Path, table: str = "data.items") -> int:
    with duckdb.connect(str(database), read_only=True) as connection:
        found = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert found is not None
    return int(found[0])


def test_an_attached_worker_writes_where_the_pipeline_was_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """dlt forgets an explicit path and writes to another file in the current folder."""
    make(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)

    attached = oarlock.attach("demo", str(tmp_path / "p"))
    attached.run(ROWS, table_name="items")

    assert count(tmp_path / "here.duckdb") == 2
    assert list(elsewhere.iterdir()) == []


def test_the_default_database_stays_where_the_pipeline_was_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    born, elsewhere = tmp_path / "born", tmp_path / "elsewhere"
    born.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(born)
    oarlock.pipeline("demo", str(tmp_path / "p"), destination="duckdb", dataset_name="data")
    monkeypatch.chdir(elsewhere)

    oarlock.attach("demo", str(tmp_path / "p")).run(ROWS, table_name="items")

    assert count(born / "demo.duckdb") == 2
    assert list(elsewhere.iterdir()) == []


def test_destination_dataset_and_options_come_from_the_state(tmp_path: Path) -> None:
    database = str(tmp_path / "x.duckdb")
    make(tmp_path, destination=oarlock.destinations.duckdb(database, threads=1))

    attached = oarlock.attach("demo", str(tmp_path / "p"))

    assert attached.destination is not None
    assert attached.destination.reference().options == {"threads": 1, "location": database}
    assert attached.dataset_name == "data"
    assert attached.attached_pipeline
    assert attached.is_active
    assert oarlock.current.pipeline() is attached


def test_arguments_hold_for_the_object_that_was_given_them(tmp_path: Path) -> None:
    make(tmp_path)

    other = oarlock.attach("demo", str(tmp_path / "p"), dataset_name="other")
    other.run(ROWS, table_name="items")

    assert count(tmp_path / "here.duckdb", "other.items") == 2
    assert oarlock.attach("demo", str(tmp_path / "p")).dataset_name == "data"


def test_attach_shows_dev_mode_and_never_wipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(tmp_path, dev_mode=True)
    made.run(ROWS, table_name="items")
    dataset = made.dataset_name
    monkeypatch.setenv("DEV_MODE", "true")

    attached = oarlock.attach("demo", str(tmp_path / "p"))

    assert attached.dev_mode
    assert attached.dataset_name == dataset
    assert dataset is not None
    assert dataset.startswith("data_")
    assert len(attached.list_completed_load_packages()) == 1


def test_another_salt_is_an_error_that_says_so(tmp_path: Path) -> None:
    made = make(tmp_path, pipeline_salt="pepper-and-salt")

    assert (
        oarlock.attach("demo", str(tmp_path / "p"), pipeline_salt="pepper-and-salt").pipeline_salt == "pepper-and-salt"
    )
    with pytest.raises(SaltMismatch, match="another pipeline_salt"):
        oarlock.attach("demo", str(tmp_path / "p"), pipeline_salt="other")
    with pytest.raises(SaltMismatch):
        _ = oarlock.attach("demo", str(tmp_path / "p")).pipeline_salt
    assert "pepper-and-salt" not in str(made.state)
    for path in Path(made.working_dir).rglob("*"):
        assert not path.is_file() or b"pepper-and-salt" not in path.read_bytes()


def test_the_default_salt_depends_on_the_name_alone(tmp_path: Path) -> None:
    made = make(tmp_path)

    assert oarlock.attach("demo", str(tmp_path / "p")).pipeline_salt == made.pipeline_salt
    with pytest.raises(SaltMismatch):
        oarlock.attach("demo", str(tmp_path / "p"), pipeline_salt="given")


def test_what_is_not_there_is_told_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(CannotRestorePipelineException) as caught:
        oarlock.attach("missing", str(tmp_path / "p"))

    assert caught.value.pipeline_name == "missing"
    for part in ("missing", str(tmp_path / "p"), "does not exist", "no destination was given", "oarlock.pipeline("):
        assert part in str(caught.value)
    assert not (tmp_path / "p").exists()


def test_a_destination_without_its_state_leaves_no_ghost(tmp_path: Path) -> None:
    with pytest.raises(CannotRestorePipelineException, match="has no state of it in dataset 'data'"):
        oarlock.attach(
            "missing", str(tmp_path / "p"), destination=f"duckdb:///{tmp_path}/none.duckdb", dataset_name="data"
        )

    assert not (tmp_path / "p" / "missing").exists()
    assert not (tmp_path / "none.duckdb").exists()


def test_a_destination_that_cannot_be_asked_is_the_same_error_with_its_cause(tmp_path: Path) -> None:
    (tmp_path / "not.duckdb").write_text("this is no database, and must not become one")

    with pytest.raises(CannotRestorePipelineException, match="failed") as caught:
        oarlock.attach("missing", str(tmp_path / "p"), destination=f"duckdb:///{tmp_path}/not.duckdb")

    assert caught.value.__cause__ is not None
    assert not (tmp_path / "p" / "missing").exists()
    assert (tmp_path / "not.duckdb").read_text().startswith("this is no database")


def test_a_lost_folder_is_restored_from_duckdb(tmp_path: Path) -> None:
    made = make(tmp_path)

    @oarlock.resource(name="items")
    def items() -> Any:
        state = oarlock.current.resource_state()
        start = state.get("last", 0)
        state["last"] = start + 10
        yield [{"id": n} for n in range(start, start + 10)]

    made.run(items())
    before = made.state
    made.close()
    shutil.rmtree(tmp_path / "p")

    restored = oarlock.attach(
        "demo", str(tmp_path / "p"), destination=f"duckdb:///{tmp_path}/here.duckdb", dataset_name="data"
    )
    restored.run(items())

    assert not restored.first_run
    assert restored.state["sources"] == {"demo": {"resources": {"items": {"last": 20}}}}
    assert before["sources"] == {"demo": {"resources": {"items": {"last": 10}}}}
    with duckdb.connect(str(tmp_path / "here.duckdb")) as connection:
        found = connection.execute("SELECT count(*), count(DISTINCT id), max(id) FROM data.items").fetchall()
    assert found == [(20, 20, 19)]


def test_a_foreign_folder_is_not_touched(tmp_path: Path) -> None:
    folder = tmp_path / "p" / "demo"
    folder.mkdir(parents=True)
    (folder / "thesis.txt").write_text("ten years of work")

    with pytest.raises(ForeignFolder, match=r"thesis\.txt"):
        make(tmp_path)
    with pytest.raises(ForeignFolder):
        make(tmp_path, dev_mode=True)
    with pytest.raises(CannotRestorePipelineException, match=r"not one of oarlock's"):
        oarlock.attach("demo", str(tmp_path / "p"))

    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [("thesis.txt", "ten years of work")]


def test_a_link_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "demo").symlink_to(tmp_path / "target")

    with pytest.raises(ForeignFolder, match="symbolic link"):
        make(tmp_path)

    assert list((tmp_path / "target").iterdir()) == []


def test_a_damaged_store_is_told_and_kept(tmp_path: Path) -> None:
    made = make(tmp_path)
    made.run(ROWS, table_name="items")
    made.close()
    store = Path(made.working_dir, "state.db")
    store.write_bytes(b"garbage" * 1000)
    for beside in ("state.db-wal", "state.db-shm"):
        Path(made.working_dir, beside).unlink(missing_ok=True)

    with pytest.raises(StoreDamaged, match=r"state\.db"):
        oarlock.attach("demo", str(tmp_path / "p"))
    with pytest.raises(StoreDamaged):
        make(tmp_path)

    assert store.read_bytes() == b"garbage" * 1000


@pytest.mark.parametrize("name", ["a/b", "..", "a.b", "CON", "x" * 300, "new\nline", "{x}", "a%b", " "])
def test_bad_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidPipelineName):
        oarlock.attach(name, str(tmp_path))
    with pytest.raises(InvalidPipelineName):
        oarlock.pipeline(name, str(tmp_path))

    assert list(tmp_path.iterdir()) == []


def test_name_folder_and_dataset_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path)
    monkeypatch.setenv("PIPELINE_NAME", "demo")
    monkeypatch.setenv("PIPELINES_DIR", str(tmp_path / "p"))
    monkeypatch.setenv("PIPELINES__DEMO__DATASET_NAME", "from_environment")

    attached = oarlock.attach()

    assert attached.pipeline_name == "demo"
    assert attached.dataset_name == "from_environment"


def test_folders_and_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        made = make(tmp_path)
        made.run(ROWS, table_name="items")
        made.run(ROWS, table_name="items", wait=False)
    finally:
        os.umask(before)

    modes = {path: path.stat().st_mode & 0o777 for path in [Path(made.working_dir), *Path(made.working_dir).rglob("*")]}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {path.name: oct(mode) for path, mode in modes.items() if path.is_file() and mode != 0o600} == {}


def _hold(folder: str, ready: Any, done: Any) -> None:
    oarlock.attach("demo", folder)
    ready.set()
    done.wait(60)


def test_a_folder_that_a_live_worker_holds_is_not_wiped(tmp_path: Path) -> None:
    made = make(tmp_path)
    made.run(ROWS, table_name="items")
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(str(tmp_path / "p"), ready, done))
    other.start()
    try:
        assert ready.wait(60)
        with pytest.raises(PipelineInUse, match="live worker"):
            made.drop()
        with pytest.raises(PipelineInUse, match="live worker"):
            make(tmp_path, dev_mode=True)
    finally:
        done.set()
        other.join(60)
    assert oarlock.attach("demo", str(tmp_path / "p")).list_completed_load_packages()

    dropped = made.drop()

    assert dropped is made
    assert made.first_run
    assert made.list_completed_load_packages() == []
    assert count(tmp_path / "here.duckdb") == 2


def test_unknown_arguments_are_type_errors(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="foo"):
        oarlock.attach("demo", str(tmp_path), foo=1)


def test_a_former_dev_pipeline_begins_anew(tmp_path: Path) -> None:
    """Its cursors are those of a dataset that is no longer written to."""
    made = make(tmp_path, dev_mode=True)
    with made.state_transaction() as state:
        state["cursor"] = 10
    made.run(ROWS, table_name="items")
    made.close()

    again = make(tmp_path)

    assert again.dataset_name == "data"
    assert "cursor" not in again.state
    assert again.first_run


def test_a_restore_that_was_left_half_way_is_done_again(tmp_path: Path) -> None:
    make(tmp_path).run(ROWS, table_name="items")
    destination = f"duckdb:///{tmp_path}/here.duckdb"
    folder = str(tmp_path / "other")
    half = oarlock.attach("demo", folder, destination=destination, dataset_name="data")
    with half.member.store.transaction("undo the restore") as tx:
        tx.put(("_local", "restoring"), True)
        tx.put(("_local", "first_run"), True)
        tx.drop_schema("demo")
    half.close()

    again = oarlock.attach("demo", folder, destination=destination, dataset_name="data")

    assert not again.first_run
    assert again.schema_names == ["demo"]
    assert not oarlock.attach("demo", folder).first_run
