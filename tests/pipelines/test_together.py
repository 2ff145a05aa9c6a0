"""What crosses rooms: settings into sources, pipelines into other processes, run ids onto events."""

from __future__ import annotations

import json
import multiprocessing
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import oarlock
from oarlock.errors import ConfigFieldMissing, InvalidRow, PipelineStepFailed


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[oarlock.Pipeline]:
    destination = oarlock.destinations.duckdb(str(tmp_path / "x.duckdb"))
    made = oarlock.pipeline("demo", str(tmp_path / "p"), destination=destination, dataset_name="data")
    yield made
    made.close()


@oarlock.resource
def issues(repo: str = oarlock.config.value, token: str = oarlock.secrets.value) -> Iterator[dict[str, Any]]:
    yield {"repo": repo, "token_length": len(token)}


@oarlock.source
def github(org: str = oarlock.config.value) -> Any:
    return oarlock.resource([{"org": org}], name="orgs")


def test_arguments_that_wait_for_settings_are_filled(
    pipeline: oarlock.Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__ISSUES__REPO", "oarlock")
    monkeypatch.setenv("SOURCES__TOKEN", "t0ken-canary-12345")
    monkeypatch.setenv("SOURCES__TEST_TOGETHER__GITHUB__ORG", "rowers")

    pipeline.run(issues())
    pipeline.run(github())
    pipeline.run(issues(repo="given"))

    assert pipeline.dataset()["issues"].select("repo", "token_length").fetchall() == [("oarlock", 18), ("given", 18)]
    assert pipeline.dataset("github")["orgs"].select("org").fetchall() == [("rowers",)]
    for path in Path(pipeline.working_dir).rglob("*"):
        assert not path.is_file() or b"t0ken-canary-12345" not in path.read_bytes(), path


def test_an_argument_that_no_setting_fills_names_every_place(pipeline: oarlock.Pipeline) -> None:
    with pytest.raises(PipelineStepFailed) as caught:
        pipeline.run(issues())

    assert isinstance(caught.value.__cause__, ConfigFieldMissing)
    assert "SOURCES__ISSUES__REPO" in str(caught.value) or "SOURCES__TEST_TOGETHER__ISSUES__REPO" in str(caught.value)


def _use(pipeline: oarlock.Pipeline) -> None:
    pipeline.run([{"id": 1}], table_name="items")


def test_a_pipeline_travels_to_a_process_as_attached(pipeline: oarlock.Pipeline) -> None:
    child = multiprocessing.get_context("spawn").Process(target=_use, args=(pipeline,))
    child.start()
    child.join(60)

    assert child.exitcode == 0
    assert pipeline.dataset()["items"].fetchall()[0][0] == 1
    arrived = pickle.loads(pickle.dumps(pipeline))
    assert arrived.attached_pipeline
    assert arrived.worker_id != pipeline.worker_id


def test_the_events_of_one_call_carry_one_run_id(pipeline: oarlock.Pipeline) -> None:
    info = pipeline.run([{"id": 1}], table_name="items")
    assert info is not None
    (log,) = Path(pipeline.working_dir, "logs").glob("*.jsonl")
    events = [json.loads(line) for line in log.read_text().splitlines()]

    (finished,) = [one for one in events if one["event"] == "run.finished"]
    of_run = [one["event"] for one in events if one.get("run") == finished["run"]]
    assert {"run.started", "rows.extracted", "schema.changed", "package.committed", "package.loaded"} <= set(of_run)
    assert finished["rows"] == 1
    with pipeline.member.store.snapshot() as snapshot:
        record = snapshot.package(info.loads_ids[0])
    assert record is not None
    assert record.run_id == finished["run"]
    assert [one["seq"] for one in events] == list(range(1, len(events) + 1))


def test_an_extracted_package_that_cannot_be_normalized_holds_up_nothing(pipeline: oarlock.Pipeline) -> None:
    pipeline.extract([{"id": "\ud800"}], table_name="bad")
    (bad,) = pipeline.list_extracted_load_packages()

    info = pipeline.run([{"id": 1}], table_name="items")

    assert info is not None
    assert info.row_counts == {"items": 1}
    assert not pipeline.has_pending_data
    assert "bad" in str(pipeline.get_load_package_info(bad).failure)


def test_normalize_says_what_cannot_be_normalized(pipeline: oarlock.Pipeline) -> None:
    pipeline.extract([{"id": "\ud800"}], table_name="bad")

    with pytest.raises(PipelineStepFailed, match="bad") as caught:
        pipeline.normalize()

    assert isinstance(caught.value.__cause__, InvalidRow)


def test_a_collector_that_fails_stops_no_load(tmp_path: Path) -> None:
    class Broken(oarlock.Collector):
        def update(self, *arguments: Any, **options: Any) -> None:
            return

        def on_start_trace(self, trace: Any, step: str, pipeline: Any) -> None:
            raise ZeroDivisionError

    destination = oarlock.destinations.duckdb(str(tmp_path / "x.duckdb"))
    made = oarlock.pipeline("demo", str(tmp_path / "p"), destination=destination, progress=Broken())

    assert made.run([{"id": 1}], table_name="items") is not None
