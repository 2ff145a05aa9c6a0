"""run(): receipts that are true, pending packages that are finished first, and rows that are never swallowed."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

import oarlock
from oarlock.errors import (
    ConfigurationError,
    DestinationBusy,
    InvalidFile,
    LoadPackageNotFound,
    PipelineConfigMissing,
    PipelineStepFailed,
    ResourceNameMissing,
    StateConflict,
    UnsupportedData,
)


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[oarlock.Pipeline]:
    made = oarlock.pipeline(
        "demo",
        str(tmp_path / "p"),
        destination=oarlock.destinations.duckdb(str(tmp_path / "x.duckdb")),
        dataset_name="data",
    )
    yield made
    made.close()


def rows(pipeline: oarlock.Pipeline, table: str) -> list[tuple[Any, ...]]:
    with pipeline.sql_client() as client:
        return client.execute_sql(f"SELECT * EXCLUDE (_dlt_load_id, _dlt_id) FROM {table} ORDER BY ALL") or []


def test_a_receipt_names_the_packages_tables_and_rows_of_its_call(pipeline: oarlock.Pipeline) -> None:
    pipeline.run([{"id": 0}], table_name="items")

    info = pipeline.run([{"id": 1, "tags": ["a", "b"]}, {"id": 2}], table_name="items")

    assert info is not None
    (load_id,) = info.loads_ids
    assert info.row_counts == {"items": 2, "items__tags": 2}
    assert info.dataset_name == "data"
    assert not info.has_failed_jobs
    package = pipeline.get_load_package_info(load_id)
    assert package.state == "loaded"
    assert package.row_counts == info.row_counts
    assert load_id in str(info)
    assert "4 row(s)" in str(info)
    assert info.asdict()["loads_ids"] == [load_id]


def test_pending_packages_are_finished_and_then_the_new_rows_are_loaded(pipeline: oarlock.Pipeline) -> None:
    """dlt loads what is pending and swallows the data it was given."""
    pipeline.extract([{"id": 1}], table_name="items")
    pipeline.run([{"id": 2}], table_name="items", wait=False)
    waiting = [*pipeline.list_extracted_load_packages(), *pipeline.list_normalized_load_packages()]

    info = pipeline.run([{"id": 3}], table_name="items")

    assert info is not None
    assert rows(pipeline, "items") == [(1,), (2,), (3,)]
    assert len(info.loads_ids) == 1
    assert info.row_counts == {"items": 1}
    assert sorted(info.recovered) == sorted(waiting)
    assert not set(waiting) & set(info.loads_ids)


def test_run_none_finishes_what_is_pending(pipeline: oarlock.Pipeline) -> None:
    assert pipeline.run(None) is None
    pipeline.extract([{"id": 1}], table_name="items")
    assert pipeline.has_pending_data
    (waiting,) = pipeline.list_extracted_load_packages()
    assert (waiting.load_id, waiting.state) == (str(waiting), "extracted")

    info = pipeline.run(None)

    assert info is not None
    assert info.loads_ids == [waiting.load_id]
    assert not pipeline.has_pending_data
    assert rows(pipeline, "items") == [(1,)]


def test_extract_normalize_and_load_one_by_one(pipeline: oarlock.Pipeline) -> None:
    extracted = pipeline.extract(
        [{"id": 1, "at": "2024-01-02T03:04:05Z", "n": float("nan"), "big": 2**70}], table_name="items"
    )
    assert pipeline.list_extracted_load_packages() == extracted.loads_ids

    normalized = pipeline.normalize()
    assert normalized is not None
    assert normalized.row_counts == {"items": 1}
    assert pipeline.list_normalized_load_packages() == extracted.loads_ids

    loaded = pipeline.load()
    assert loaded is not None
    assert loaded.loads_ids == extracted.loads_ids
    assert pipeline.list_completed_load_packages() == extracted.loads_ids
    assert pipeline.normalize() is None
    assert pipeline.load() is None
    assert [str(value) for value in rows(pipeline, "items")[0]][2:] == ["nan", str(2**70)]


def test_wait_false_is_durable_and_loaded_by_the_next_turn(pipeline: oarlock.Pipeline) -> None:
    info = pipeline.run([{"id": 1}], table_name="items", wait=False)

    assert info is not None
    assert info.durable_only
    assert pipeline.list_normalized_load_packages() == info.loads_ids

    pipeline.run([{"id": 2}], table_name="items")

    assert rows(pipeline, "items") == [(1,), (2,)]


def _run_and_end(folder: str) -> None:
    pipeline = oarlock.attach("demo", folder)
    pipeline.run([{"id": 1}], table_name="items", wait=False)


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_a_process_that_ends_flushes(method: str, pipeline: oarlock.Pipeline, tmp_path: Path) -> None:
    context: Any = multiprocessing.get_context(method)
    child = context.Process(target=_run_and_end, args=(str(tmp_path / "p"),))
    child.start()
    child.join(60)

    assert child.exitcode == 0
    assert pipeline.list_normalized_load_packages() == []
    assert rows(pipeline, "items") == [(1,)]


def test_replace_replaces_and_an_empty_replace_empties(pipeline: oarlock.Pipeline) -> None:
    pipeline.run([{"id": 1, "l": [1, 2]}, {"id": 2}], table_name="items")
    pipeline.run([{"id": 3, "l": [3]}], table_name="items", write_disposition="replace")
    assert rows(pipeline, "items") == [(3,)]
    assert pipeline.dataset()["items__l"].row_count() == 1

    pipeline.run([], table_name="items", write_disposition="replace")

    assert rows(pipeline, "items") == []
    assert pipeline.dataset()["items__l"].row_count() == 0


def test_all_forms_of_data_are_taken(pipeline: oarlock.Pipeline, tmp_path: Path) -> None:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "lines.jsonl").write_text('{"id": 1}\n{"id": 2}\n')
    (tmp_path / "files" / "table.csv").write_text("id,name\n1,a\n2,b\n")

    def generator() -> Iterator[dict[str, int]]:
        yield {"id": 1}
        yield {"id": 2}

    table = pa.table({"id": [1, 2]})
    forms: dict[str, Any] = {
        "a_list": [{"id": 1}, {"id": 2}],
        "a_tuple": ({"id": 1}, {"id": 2}),
        "a_generator": generator(),
        "a_dict": {"id": 1},
        "scalars": [1, 2],
        "pandas_frame": pd.DataFrame({"id": [1, 2]}),
        "polars_frame": pl.DataFrame({"id": [1, 2]}),
        "arrow": table,
        "batches": table.to_reader(),
        "a_batch": table.to_batches()[0],
        "list_of_tables": [table, table],
        "json_lines": tmp_path / "files" / "lines.jsonl",
        "text_path": str(tmp_path / "files" / "table.csv"),
    }
    for name, data in forms.items():
        info = pipeline.run(data, table_name=name)
        assert info is not None
        expected = {"a_dict": 1, "list_of_tables": 4}.get(name, 2)
        assert info.row_counts == {name: expected}, name
    assert pipeline.dataset()["scalars"].select("value").fetchall() == [(1,), (2,)]
    pipeline.run(generator)
    assert pipeline.dataset()["generator"].row_count() == 2
    pipeline.run(tmp_path / "files")
    assert pipeline.dataset().row_counts()["table"] == 2


@pytest.mark.parametrize(
    ("data", "options", "kind"),
    [
        (42, {"table_name": "t"}, UnsupportedData),
        ([{"id": 1}], {}, ResourceNameMissing),
        ("no/such/file.jsonl", {}, InvalidFile),
        ([{"id": 1}], {"table_name": "t", "write_disposition": "skip"}, ConfigurationError),
        ([{"id": 1}], {"table_name": "t", "write_disposition": "upsert"}, ConfigurationError),
        ([{"id": 1}], {"table_name": "t", "write_disposition": "merge", "primary_key": "id"}, ConfigurationError),
        ([{"id": 1}], {"table_name": "t", "wait": 3}, ConfigurationError),
    ],
)
def test_bad_input_is_told_and_nothing_is_loaded(
    data: Any, options: dict[str, Any], kind: type[Exception], pipeline: oarlock.Pipeline
) -> None:
    with pytest.raises((kind, PipelineStepFailed)) as caught:
        pipeline.run(data, **options)

    assert isinstance(caught.value, kind) or isinstance(caught.value.__cause__, kind)
    assert not pipeline.has_pending_data


def test_an_error_in_the_middle_of_a_resource_loads_nothing_of_it(pipeline: oarlock.Pipeline) -> None:
    @oarlock.resource(name="items")
    def broken() -> Iterator[dict[str, int]]:
        oarlock.current.resource_state()["seen"] = 1
        yield {"id": 1}
        raise ZeroDivisionError("in the resource")

    with pytest.raises(PipelineStepFailed, match="ZeroDivisionError") as caught:
        pipeline.run(broken())

    assert caught.value.step == "extract"
    assert not caught.value.has_pending_data
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert "sources" not in pipeline.state
    assert not pipeline.has_pending_data
    assert list(pipeline.member.packages_folder.iterdir()) == []


def test_a_pipeline_without_a_destination_says_so_and_extracts_all_the_same(tmp_path: Path) -> None:
    made = oarlock.pipeline("nowhere", str(tmp_path / "p"))
    with pytest.raises(PipelineStepFailed) as caught:
        made.run([{"id": 1}], table_name="t")
    assert isinstance(caught.value.__cause__, PipelineConfigMissing)

    made.extract([{"id": 1}], table_name="t")
    info = made.run(None, destination=oarlock.destinations.duckdb(str(tmp_path / "y.duckdb")))

    assert info is not None
    assert info.row_counts == {"t": 1}


def test_state_of_resources_is_kept_with_their_rows(pipeline: oarlock.Pipeline) -> None:
    @oarlock.resource(name="items")
    def counted() -> Iterator[dict[str, int]]:
        state = oarlock.current.resource_state()
        state["n"] = state.get("n", 0) + 1
        yield {"id": state["n"]}

    for _ in range(3):
        pipeline.run(counted())

    assert rows(pipeline, "items") == [(1,), (2,), (3,)]
    assert pipeline.state["sources"] == {"demo": {"resources": {"items": {"n": 3}}}}


def test_two_runs_that_change_one_plain_key_conflict_by_name(pipeline: oarlock.Pipeline, tmp_path: Path) -> None:
    other = oarlock.attach("demo", str(tmp_path / "p"))

    @oarlock.resource(name="items")
    def outer() -> Iterator[dict[str, int]]:
        oarlock.current.source_state()["who"] = "outer"
        other.run(inner())
        yield {"id": 1}

    @oarlock.resource(name="items")
    def inner() -> Iterator[dict[str, int]]:
        oarlock.current.source_state()["who"] = "inner"
        yield {"id": 2}

    with pytest.raises(PipelineStepFailed) as caught:
        pipeline.run(outer())

    assert isinstance(caught.value.__cause__, StateConflict)
    assert "who" in str(caught.value)
    assert rows(pipeline, "items") == [(2,)]


def test_state_transaction_is_read_modify_write(pipeline: oarlock.Pipeline) -> None:
    with pipeline.state_transaction() as state:
        state["counter"] = 1
    with pytest.raises(KeyError), pipeline.state_transaction() as state:
        state["counter"] = state["counter"] + 1 + state["nowhere"]
    with pipeline.state_transaction() as state:
        state["counter"] += 1

    assert pipeline.state["counter"] == 2


def test_local_values_stay_here(pipeline: oarlock.Pipeline) -> None:
    pipeline.set_local_state_val("note", {"a": 1})

    assert pipeline.get_local_state_val("note") == {"a": 1}
    with pytest.raises(KeyError):
        pipeline.get_local_state_val("other")


def test_dropped_packages_are_not_loaded(pipeline: oarlock.Pipeline) -> None:
    pipeline.run([{"id": 1}], table_name="items", wait=False)
    waiting = pipeline.list_normalized_load_packages()

    assert pipeline.drop_pending_packages() == waiting
    assert not pipeline.has_pending_data
    assert pipeline.get_load_package_info(waiting[0]).state == "aborted"
    with pytest.raises(LoadPackageNotFound, match=r"1\.5"):
        pipeline.get_load_package_info("1.5")


def _hold_database(path: str, ready: Any, done: Any) -> None:
    with duckdb.connect(path):
        ready.set()
        done.wait(60)


def test_a_database_held_by_another_is_named_with_its_pid(
    pipeline: oarlock.Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.run([{"id": 1}], table_name="items")
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    holder = context.Process(target=_hold_database, args=(str(tmp_path / "x.duckdb"), ready, done))
    holder.start()
    monkeypatch.setenv("RUNTIME__DESTINATION_TIMEOUT_S", "0.5")
    try:
        assert ready.wait(60)
        waiting = oarlock.attach("demo", str(tmp_path / "p"))
        with pytest.raises(PipelineStepFailed, match=str(holder.pid)) as caught:
            waiting.run([{"id": 2}], table_name="items")
    finally:
        done.set()
        holder.join(60)

    assert caught.value.has_pending_data
    assert isinstance(caught.value.__cause__, DestinationBusy)
    assert caught.value.__cause__.pid == holder.pid
    assert waiting.list_normalized_load_packages() == [caught.value.load_id]
    waiting.run(None)
    assert rows(pipeline, "items") == [(1,), (2,)]


def test_a_damaged_package_is_set_aside_and_the_others_load(pipeline: oarlock.Pipeline, tmp_path: Path) -> None:
    pipeline.run([{"id": 1}], table_name="items", wait=False)
    (damaged,) = pipeline.list_normalized_load_packages()
    (path,) = pipeline.member.packages_folder.glob(f"{damaged}*")
    path.write_bytes(path.read_bytes()[:-8])
    other = oarlock.attach("demo", str(tmp_path / "p"))

    info = other.run([{"id": 2}], table_name="items")

    assert info is not None
    assert info.row_counts == {"items": 1}
    assert rows(pipeline, "items") == [(2,)]
    (job,) = other.list_failed_jobs_in_package(damaged)
    assert "bytes" in str(job.failed_message)
    assert not other.has_pending_data


def test_the_trace_tells_what_ran_and_no_secret(pipeline: oarlock.Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "s3cr3t-canary-value")
    oarlock.secrets.get("my_token")

    @oarlock.resource(name="items")
    def leaks() -> Iterator[dict[str, int]]:
        raise ValueError(f"refused: {os.environ['MY_TOKEN']}")
        yield {}

    with pytest.raises(PipelineStepFailed) as caught:
        pipeline.run(leaks())

    assert "s3cr3t-canary-value" not in str(caught.value)
    assert "s3cr3t-canary-value" not in str(pipeline.last_trace)
    for path in Path(pipeline.working_dir).rglob("*"):
        assert not path.is_file() or b"s3cr3t-canary-value" not in path.read_bytes(), path
    trace = oarlock.attach("demo", pipeline.pipelines_dir).last_trace
    assert trace is not None
    assert [step.step for step in trace.steps] == ["sync", "extract"]


def test_schemas_are_exported_and_imported(tmp_path: Path) -> None:
    export, given = tmp_path / "export", tmp_path / "given"
    made = oarlock.pipeline(
        "demo",
        str(tmp_path / "p"),
        destination=oarlock.destinations.duckdb(str(tmp_path / "x.duckdb")),
        import_schema_path=str(given),
        export_schema_path=str(export),
    )
    made.run([{"id": 1}], table_name="items")
    exported = export / "demo.schema.yaml"
    assert "items" in exported.read_text()

    wanted = given / "demo.schema.yaml"
    text = wanted.read_text()
    assert "data_type: bigint" in text
    wanted.write_text(text.replace("items:\n", "items:\n    description: games of chess\n", 1))
    made.run([{"id": 2}], table_name="items")

    assert made.default_schema.table("items")["description"] == "games of chess"


def test_refresh_drops_and_empties(pipeline: oarlock.Pipeline) -> None:
    pipeline.run([{"id": 1, "old": 1}], table_name="items")
    pipeline.run([{"id": 2}], table_name="items", refresh="drop_data")
    assert rows(pipeline, "items") == [(2, None)]

    pipeline.run([{"id": 3}], table_name="items", refresh="drop_resources")
    assert rows(pipeline, "items") == [(3,)]

    pipeline.run([{"id": 4}], table_name="others", refresh="drop_sources")
    assert pipeline.default_schema.data_tables() == ["others"]
