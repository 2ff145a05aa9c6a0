"""The examples of the reference page, with ``import oarlock as dlt``."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

import oarlock as dlt
from oarlock.exceptions import CannotRestorePipelineException


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def create(name: str, **options: Any) -> dlt.Pipeline:
    return dlt.pipeline(pipeline_name=name, destination="duckdb", dataset_name="my_data", **options)


def test_attach_to_an_existing_pipeline(home: Path) -> None:
    create("my_pipeline")
    new_data = [{"id": 1}]

    pipeline = dlt.attach(pipeline_name="my_pipeline")
    load_info = pipeline.run(new_data, table_name="updates")

    assert load_info is not None
    assert load_info.row_counts == {"updates": 1}
    assert Path(pipeline.working_dir) == home / ".oarlock" / "pipelines" / "my_pipeline"


def test_attach_with_a_folder_of_ones_own(tmp_path: Path) -> None:
    create("production_pipeline", pipelines_dir=str(tmp_path / "opt"))

    pipeline = dlt.attach(pipeline_name="production_pipeline", pipelines_dir=str(tmp_path / "opt"))

    assert pipeline.pipelines_dir == str(tmp_path / "opt")


def test_attach_with_progress_monitoring(capsys: pytest.CaptureFixture[str]) -> None:
    create("monitored_pipeline")

    pipeline = dlt.attach(pipeline_name="monitored_pipeline", progress="tqdm")
    pipeline.run([{"id": 1}], table_name="items")

    assert importlib.util.find_spec("tqdm") is not None
    assert "items" in capsys.readouterr().err


def test_inspect_an_attached_pipeline(capsys: pytest.CaptureFixture[str]) -> None:
    create("my_pipeline").run([{"id": 1}], table_name="items", wait=False)

    pipeline = dlt.attach(pipeline_name="my_pipeline")
    print(f"Pipeline: {pipeline.pipeline_name}")
    print(f"Destination: {pipeline.destination}")
    print(f"Dataset: {pipeline.dataset_name}")
    print(f"Schemas: {pipeline.schema_names}")
    for package_info in pipeline.list_normalized_load_packages():
        print(f"Package {package_info.load_id}: {package_info.state}")
    assert pipeline.has_pending_data
    pipeline.run(None)

    assert not pipeline.has_pending_data
    assert pipeline.dataset()["items"].fetchall()[0][0] == 1
    out = capsys.readouterr().out
    assert "Dataset: my_data" in out
    assert ": normalized" in out
    state = pipeline.state
    print(f"Last run at: {state.get('_state_version')}")
    for schema_name in pipeline.schema_names:
        schema = pipeline.schemas[schema_name]
        print(f"Schema {schema_name} has {len(schema.tables)} tables")
    assert "Schema my has 3 tables" in capsys.readouterr().out


def test_handle_attachment_errors() -> None:
    try:
        pipeline = dlt.attach(pipeline_name="my_pipeline")
    except CannotRestorePipelineException as e:
        message = f"Cannot attach to pipeline: {e}"
        pipeline = dlt.pipeline(pipeline_name="my_pipeline", destination="duckdb", dataset_name="my_data")

    assert "my_pipeline" in message
    assert pipeline.run([{"id": 1}], table_name="items") is not None


def test_attach_in_production(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    create("nightly", pipelines_dir=str(tmp_path / "var"))
    monkeypatch.setenv("PIPELINE_NAME", "nightly")
    monkeypatch.setenv("PIPELINES_DIR", str(tmp_path / "var"))

    @dlt.source
    def my_source() -> Any:
        @dlt.resource
        def events() -> Iterator[dict[str, int]]:
            yield {"id": 1}

        return events

    pipeline = dlt.attach(
        pipeline_name=os.getenv("PIPELINE_NAME"), pipelines_dir=os.getenv("PIPELINES_DIR", "/var/lib/dlt/pipelines")
    )
    load_info = pipeline.run(my_source())

    assert load_info is not None
    assert load_info.row_counts == {"events": 1}
    assert pipeline.schema_names == ["my_source"]


def get_events() -> Any:
    @dlt.resource(name="events")
    def events() -> Iterator[list[dict[str, int]]]:
        state = dlt.current.resource_state()
        first = state.get("next", 0)
        state["next"] = first + 3
        yield [{"id": number} for number in range(first, first + 3)]

    return events()


def test_resuming_a_pipeline(postgres: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", postgres.url)
    pipeline = dlt.pipeline(pipeline_name="incremental_load", destination="postgres", dataset_name="events")
    pipeline.run(get_events())

    pipeline = dlt.attach(pipeline_name="incremental_load")
    pipeline.run(get_events())

    assert [row[0] for row in pipeline.dataset()["events"].select("id").fetchall()] == [0, 1, 2, 3, 4, 5]


def worker_process(pipeline_name: str, number: int) -> None:
    pipeline = dlt.attach(pipeline_name=pipeline_name)
    pipeline.run([{"worker": number, "n": n} for n in range(100)], table_name="work")


def test_multi_process_pipelines() -> None:
    pipeline = dlt.pipeline(pipeline_name="shared_pipeline", destination="duckdb", dataset_name="data")
    context = get_context("fork")

    processes = [context.Process(target=worker_process, args=("shared_pipeline", number)) for number in range(4)]
    for p in processes:
        p.start()
    for p in processes:
        p.join(120)

    assert [p.exitcode for p in processes] == [0, 0, 0, 0]
    counts = pipeline.dataset()("SELECT worker, count(*), count(DISTINCT n) FROM work GROUP BY worker ORDER BY worker")
    assert counts.fetchall() == [(number, 100, 100) for number in range(4)]
