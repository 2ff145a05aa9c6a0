"""``oarlock pipeline NAME …``: look at a pipeline, and set aside, restore or drop what it holds."""

from __future__ import annotations

from typing import Any, NamedTuple

from oarlock.cli.talk import Failure, confirm, show_json, show_table
from oarlock.errors import CannotRestorePipelineException, ConfigurationError
from oarlock.pipelines.creating import attach
from oarlock.pipelines.pipeline import Pipeline


class Place(NamedTuple):
    """Which pipeline is meant, and where its folder is."""

    name: str
    pipelines_dir: str | None


def _attach(at: Place) -> Pipeline:
    return attach(at.name, at.pipelines_dir)


def info(at: Place, as_json: bool) -> None:
    """Show what the pipeline is, and what waits."""
    pipeline = _attach(at)
    found: dict[str, Any] = {
        "pipeline_name": pipeline.pipeline_name,
        "working_dir": pipeline.working_dir,
        "destination": pipeline.destination.name if pipeline.destination else None,
        "location": pipeline.target().client().displayable_location() if pipeline.destination else None,
        "dataset_name": pipeline.dataset_name,
        "default_schema": pipeline.default_schema_name,
        "schemas": pipeline.schema_names,
        "state_version": pipeline.state["_state_version"],
        "first_run": pipeline.first_run,
        "dev_mode": pipeline.dev_mode,
        "extracted_packages": len(pipeline.list_extracted_load_packages()),
        "normalized_packages": len(pipeline.list_normalized_load_packages()),
        "completed_packages": len(pipeline.list_completed_load_packages()),
        "other_live_workers": pipeline.member.others_alive(),
    }
    if as_json:
        show_json(found)
    else:
        show_table(["what", "value"], [[key.replace("_", " "), _words(value)] for key, value in found.items()])


def _words(value: Any) -> Any:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or None
    if isinstance(value, dict):
        return ", ".join(f"{key}={one}" for key, one in value.items()) or None
    return value


def state(at: Place) -> None:
    """Print the state as JSON."""
    show_json(_attach(at).state)


def schema(at: Place, schema_name: str | None, form: str) -> None:
    """Print a schema as YAML or JSON."""
    pipeline = _attach(at)
    found = pipeline.schemas[schema_name] if schema_name else pipeline.default_schema
    if form == "json":
        show_json(found.document())
    elif form == "yaml":
        print(found.to_yaml())
    else:
        raise ConfigurationError(f"--format {form!r} is neither 'yaml' nor 'json'")


def trace(at: Place, as_json: bool) -> None:
    """Show what the last run did."""
    found = _attach(at).last_trace
    if found is None:
        raise Failure(f"pipeline {at.name!r} has no trace: nothing ran yet")
    if as_json:
        show_json(found.asdict())
    else:
        print(found)


def packages(at: Place, load_id: str | None, as_json: bool) -> None:
    """List load packages, or tell of one."""
    pipeline = _attach(at)
    if load_id is not None:
        one = pipeline.get_load_package_info(load_id)
        if as_json:
            show_json(one.asdict())
        else:
            print(one)
        return
    with pipeline.member.store.snapshot() as snapshot:
        records = sorted(snapshot.packages("extracted", "normalized", "loaded", "aborted"), key=lambda one: one.load_id)
    rows = [
        {
            "load_id": one.load_id,
            "state": "failed" if one.failure else one.state,
            "schema": one.schema_name,
            "rows": one.rows,
            "bytes": sum(job.size_bytes for job in one.jobs),
            "author": one.author,
        }
        for one in records
    ]
    if as_json:
        show_json(rows)
    else:
        show_table(["load_id", "state", "schema", "rows", "bytes", "author"], [list(row.values()) for row in rows])


def failed_jobs(at: Place, as_json: bool) -> None:
    """List packages that cannot be loaded."""
    pipeline = _attach(at)
    with pipeline.member.store.snapshot() as snapshot:
        failed = [one for one in snapshot.packages("extracted", "normalized") if one.failure]
    if as_json:
        show_json([{"load_id": one.load_id, "rows": one.rows, "failure": one.failure} for one in failed])
    else:
        show_table(["load_id", "rows", "failure"], [[one.load_id, one.rows, one.failure] for one in failed])
    if failed:
        raise Failure(f"{len(failed)} package(s) cannot be loaded")


def drop_pending_packages(at: Place, yes: bool) -> None:
    """Set aside all packages that wait to be loaded."""
    pipeline = _attach(at)
    waiting = [*pipeline.list_extracted_load_packages(), *pipeline.list_normalized_load_packages()]
    if not waiting:
        print("no package waits")
        return
    confirm(f"{len(waiting)} package(s) would be dropped, their rows gone for good.", yes=yes)
    for load_id in pipeline.drop_pending_packages():
        print(load_id)


def sync(at: Place, destination: str | None, dataset: str | None) -> None:
    """Take over state and schemas from the destination."""
    try:
        pipeline = attach(at.name, at.pipelines_dir)
    except CannotRestorePipelineException:
        if destination is None:
            raise
        pipeline = attach(at.name, at.pipelines_dir, destination=destination, dataset_name=dataset)
    else:
        pipeline.sync_destination(destination=destination, dataset_name=dataset)
    print(
        f"pipeline {at.name!r} has state version {pipeline.state['_state_version']}, schemas "
        f"{', '.join(pipeline.schema_names) or 'none'}"
    )


def drop(at: Place, yes: bool) -> None:
    """Remove the working folder."""
    from oarlock.pipelines.membership import wipe

    pipeline = _attach(at)
    waiting = len(pipeline.list_extracted_load_packages()) + len(pipeline.list_normalized_load_packages())
    lost = f" {waiting} package(s) that wait to be loaded go with it." if waiting else ""
    confirm(f"Folder {pipeline.working_dir} would be removed.{lost}", yes=yes)
    wipe(pipeline.member.folder, at.name, mine=pipeline.member)
    print(f"pipeline {at.name!r} is dropped; its data at the destination is still there")
