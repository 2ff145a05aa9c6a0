"""What the sweeps found, each as a small story of its own that once ended badly."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

import oarlock
from oarlock.exceptions import PipelineStepFailed
from oarlock.pipelines.pipeline import Pipeline
from oarlock.pipelines.trash import TRASH


def _make(folder: Path, name: str = "boat", **options: Any) -> Pipeline:
    destination = oarlock.destinations.duckdb(str(folder / "boat.duckdb"))
    return oarlock.pipeline(
        name, str(folder / "pipelines"), destination=destination, **{"dataset_name": "data", **options}
    )


def _rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(folder / "boat.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


def _numbers(upto: int) -> Any:
    @oarlock.resource(name="items")
    def items() -> Any:
        state = oarlock.current.resource_state()
        yield from ({"id": n} for n in range(state.get("next", 0), upto))
        state["next"] = upto

    return items


def _failing() -> Any:
    @oarlock.resource(name="items")
    def items() -> Any:
        yield {"id": 1}
        raise ValueError("the source broke off")

    return items


def test_a_refresh_that_fails_takes_nothing_away(tmp_path: Path) -> None:
    """It once took the tables out of the schema at once; the next refresh then found none to drop, and rows doubled."""
    with _make(tmp_path) as pipeline:
        pipeline.run(_numbers(3))
        before = pipeline.default_schema.version_hash

        with pytest.raises(PipelineStepFailed, match="broke off"):
            pipeline.run(_failing(), refresh="drop_sources")

        assert pipeline.default_schema.version_hash == before
        pipeline.run(_numbers(4), refresh="drop_sources")
    assert _rows(tmp_path, "SELECT id FROM data.items ORDER BY id") == [(0,), (1,), (2,), (3,)]


def test_a_package_that_a_refresh_overtakes_is_not_at_fault(tmp_path: Path) -> None:
    """Its table is gone from the schema, and its rows would be dropped at once: it once failed for good."""
    with _make(tmp_path) as pipeline:
        pipeline.run(_numbers(3))
        pipeline.run([{"n": 1}], table_name="others", wait=False)

        pipeline.run(_numbers(4), refresh="drop_sources")

        assert not pipeline.has_pending_data
        with pipeline.member.store.snapshot() as snapshot:
            assert [one.failure for one in snapshot.packages()] == [None, None, None]
    assert _rows(
        tmp_path, "SELECT table_name FROM information_schema.tables WHERE table_name IN ('items', 'others')"
    ) == [("items",)]


def test_packages_are_loaded_in_the_order_of_their_commits(tmp_path: Path) -> None:
    """Rows that were begun before a replace and committed after it once went with the rows that it replaced."""
    with _make(tmp_path) as pipeline:

        @oarlock.resource(name="items")
        def slow() -> Any:
            yield {"id": 1}
            pipeline.run([{"id": 2}], table_name="items", write_disposition="replace", wait=False)
            yield {"id": 3}

        pipeline.run(slow, wait=False)
        pipeline.run(None)
    assert _rows(tmp_path, "SELECT id FROM data.items ORDER BY id") == [(1,), (2,), (3,)]


def test_a_worker_keeps_the_columns_it_needs_when_a_refresh_takes_them_away(tmp_path: Path) -> None:
    """Its rows were shaped by a schema that was gone when it committed; they were once refused for good."""
    with _make(tmp_path) as pipeline:
        pipeline.run([{"id": 1, "note": "a"}], table_name="items")

        @oarlock.resource(name="items")
        def slow() -> Any:
            yield {"id": 2, "note": "b"}
            pipeline.run([{"id": 3}], table_name="items", refresh="drop_sources", wait=False)

        pipeline.run(slow)
    assert _rows(tmp_path, "SELECT id, note FROM data.items ORDER BY id") == [(2, "b"), (3, None)]


def test_the_state_that_travels_is_not_ahead_of_the_rows(tmp_path: Path) -> None:
    """The cursor of rows that were only extracted once went with other rows, and a lost machine lost them."""
    with _make(tmp_path) as pipeline:
        pipeline.run(_numbers(3))
        pipeline.run([{"n": 1}], table_name="others", wait=False)
        pipeline.extract(_numbers(5))
        pipeline.load()
        pipeline._unflushed.clear()
    os.rename(tmp_path / "pipelines", tmp_path / "lost")

    destination = oarlock.destinations.duckdb(str(tmp_path / "boat.duckdb"))
    with oarlock.attach("boat", str(tmp_path / "pipelines"), destination=destination, dataset_name="data") as restored:
        restored.run(_numbers(5))

    assert _rows(tmp_path, "SELECT id FROM data.items ORDER BY id") == [(n,) for n in range(5)]


def test_the_state_that_travels_catches_up_with_the_last_rows(tmp_path: Path) -> None:
    with _make(tmp_path) as pipeline:
        pipeline.run([{"n": 1}], table_name="others", wait=False)
        pipeline.extract(_numbers(5))
        pipeline.load()
        pipeline.run(None)
        pipeline._unflushed.clear()
    os.rename(tmp_path / "pipelines", tmp_path / "lost")

    destination = oarlock.destinations.duckdb(str(tmp_path / "boat.duckdb"))
    with oarlock.attach("boat", str(tmp_path / "pipelines"), destination=destination, dataset_name="data") as restored:
        assert restored.state["sources"]["boat"]["resources"]["items"] == {"next": 5}


def test_a_package_that_arrived_needs_no_files(tmp_path: Path) -> None:
    """The store may not know yet that it arrived; with its files gone it was once set aside as failed."""
    with _make(tmp_path) as pipeline:
        pipeline.run([{"id": 1}], table_name="items")
        with pipeline.member.store.transaction("forget the mark") as tx:
            (record,) = tx.packages("loaded")
            tx.put_package(replace(record, state="normalized", loaded_at=None))

        pipeline.run(None)

        assert not pipeline.has_pending_data
        assert len(pipeline.list_completed_load_packages()) == 1
    assert _rows(tmp_path, "SELECT id FROM data.items") == [(1,)]


def test_dev_mode_twice_in_a_second_takes_two_datasets(tmp_path: Path) -> None:
    """The dataset is named after the second; two that began in one once wrote into one."""
    names = []
    for _ in range(2):
        with _make(tmp_path, dev_mode=True) as pipeline:
            pipeline.run([{"id": 1}], table_name="items")
            names.append(pipeline.dataset_name)

    assert names[0] != names[1]
    assert [_rows(tmp_path, f"SELECT count(*) FROM {name}.items") for name in names] == [[(1,)], [(1,)]]


def test_what_killed_removers_left_is_taken_out(tmp_path: Path) -> None:
    with _make(tmp_path) as pipeline:
        left = Path(pipeline.pipelines_dir, f"{TRASH}left")
        left.mkdir()
        (left / "oarlock.json").write_text('{"oarlock": 1}')
        (left / "logs").mkdir()
        foreign = Path(pipeline.pipelines_dir, f"{TRASH}foreign")
        foreign.mkdir()
        (foreign / "letters").write_text("not ours")

        pipeline.run([{"id": 1}], table_name="items")

    assert not left.exists()
    assert (foreign / "letters").exists()


def test_files_that_a_killed_loader_left_go_while_their_worker_lives(tmp_path: Path) -> None:
    with _make(tmp_path) as pipeline:
        pipeline.run([{"id": 1}], table_name="items", wait=False)
        (left,) = pipeline.member.packages_folder.iterdir()
        content = left.read_bytes()
        pipeline.run(None)
        left.write_bytes(content)
        kept = pipeline.member.packages_folder / f"0-1.{pipeline.worker_id}.rows"
        kept.write_bytes(b"a package that is being written")

        removed = pipeline.member.sweep()

        assert removed == [left.name]
        assert kept.exists()
