"""Restoring: state and schemas that the destination has come back into a working folder that lacks them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oarlock.destinations.base import DestinationClient, StateRow
from oarlock.errors import CannotRestorePipelineException, PipelineStepFailed
from oarlock.schema.document import Schema
from oarlock.settings import redact
from oarlock.state.base import Snapshot, StateKey
from oarlock.state.documents import split
from oarlock.state.versions import decode_state
from oarlock.steps.commit import put_if_other
from oarlock.steps.schemas import record_of

if TYPE_CHECKING:
    from oarlock.pipelines.membership import Membership
    from oarlock.pipelines.pipeline import Pipeline

#: What of a destination's state belongs to the machine that reads it, not to the one that wrote it.
_OWN_KEYS = ("destination_type", "destination_name", "staging_type", "staging_name", "dataset_name", "pipeline_name")
_BOOKKEEPING = ("schema_names", "_state_version", "_state_engine_version", "_version_hash", "_local")


class Found:
    """What a destination holds of a pipeline."""

    def __init__(self, row: StateRow, schemas: list[Schema]) -> None:
        self.row, self.schemas = row, schemas
        self.state = decode_state(row.state)

    def documents(self) -> dict[StateKey, Any]:
        """Give the state as documents, less what is this machine's own."""
        kept = {key: value for key, value in self.state.items() if key not in (*_OWN_KEYS, *_BOOKKEEPING)}
        return dict(split(kept))


def look(client: DestinationClient, pipeline_name: str) -> Found | None:
    """Read what a destination holds of a pipeline; ``None`` where it holds nothing.

    Raises:
        CannotRestorePipelineException: the state names another pipeline.
        DestinationError: it could not be asked.
    """
    row = client.read_state(pipeline_name)
    if row is None:
        return None
    state = decode_state(row.state)
    named = state.get("pipeline_name", pipeline_name)
    if named != pipeline_name:
        raise CannotRestorePipelineException(
            pipeline_name, client.displayable_location(), f"its state there is of pipeline {named!r}"
        )
    schemas = []
    for name in state.get("schema_names", []):
        stored = client.read_schema(name)
        if stored is not None:
            schemas.append(Schema.from_document(stored.document))
    return Found(row, schemas)


def take_over(member: Membership, found: Found, *, only_if_fresh: bool = False) -> None:
    """Write what was found into the store: state keys and schemas that are newer or missing here.

    A schema that has more here stays: the destination follows it with the next load. With ``only_if_fresh`` nothing is
    written where another worker was faster: what it has committed since is newer than what was found.
    """
    with member.store.transaction("restore from destination") as tx:
        if only_if_fresh and not is_fresh(tx):
            return
        local_version = tx.state_version
        for key, value in found.documents().items():
            if found.row.version >= local_version or tx.get(key) is None:
                put_if_other(tx, key, value)
        for schema in found.schemas:
            version = tx.schema_version(schema.name)
            if version is None or version < schema.version:
                tx.put_schema(record_of(schema, member.worker))
        tx.raise_version(found.row.version)
        tx.put(("_local", "first_run"), False)
        tx.delete(("_local", "restoring"))
    member.told("pipeline.restored", state_version=found.row.version)


def restore_if_fresh(pipeline: Pipeline) -> None:
    """Before the first run of a new folder: go on from what the destination has, as after a lost machine."""
    if not pipeline._settings.restore_from_destination or pipeline.destination is None or pipeline.dev_mode:
        return
    with pipeline.member.store.snapshot() as snapshot:
        if not is_fresh(snapshot):
            return
    found = look(pipeline.target(step="sync").client(), pipeline.pipeline_name)
    if found is not None:
        take_over(pipeline.member, found, only_if_fresh=True)


def is_fresh(snapshot: Snapshot) -> bool:
    """Say whether nothing ever ran in a working folder."""
    ran = snapshot.count_packages("extracted", "normalized", "loaded")
    return bool(snapshot.get(("_local", "first_run"), True)) and not ran


def sync_destination(pipeline: Pipeline, *, destination: Any, staging: Any, dataset_name: str | None) -> None:
    """Take over what the destination has; pending packages stay as they are.

    Raises:
        PipelineStepFailed: the destination could not be asked; the cause is chained.
    """
    pipeline.use(destination=destination, staging=staging, dataset_name=dataset_name)
    try:
        found = look(pipeline.target(step="sync").client(), pipeline.pipeline_name)
        if found is not None:
            take_over(pipeline.member, found)
        version = None if found is None else found.row.version
        pipeline.member.told("pipeline.synced", dataset=pipeline.dataset_name, state_version=version)
    except Exception as error:
        raise PipelineStepFailed(pipeline.pipeline_name, "sync", None, redact(str(error)), False) from error
