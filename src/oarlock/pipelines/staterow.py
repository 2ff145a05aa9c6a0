"""The state as the destination keeps it: one row, made from the same snapshot as the packages it travels with."""

from __future__ import annotations

import time
from collections.abc import Sequence

from oarlock.destinations.base import StateRow
from oarlock.state.base import PackageRecord, Snapshot
from oarlock.state.documents import join
from oarlock.state.versions import STATE_ENGINE_VERSION, encode_state, state_hash
from oarlock.steps.undo import state_without


def state_row(pipeline_name: str, snapshot: Snapshot, absent: Sequence[PackageRecord]) -> StateRow | None:
    """Encode the state of a snapshot, less what absent packages did to it; ``_local`` stays on this machine."""
    state = join(state_without(snapshot.documents(), absent))
    state.pop("_local", None)
    state["pipeline_name"] = pipeline_name
    state["schema_names"] = snapshot.schema_names()
    state["_state_version"] = snapshot.state_version
    state["_state_engine_version"] = STATE_ENGINE_VERSION
    version_hash = state["_version_hash"] = state_hash(state)
    return StateRow(
        version=snapshot.state_version,
        engine_version=STATE_ENGINE_VERSION,
        pipeline_name=pipeline_name,
        state=encode_state(state),
        version_hash=version_hash,
        created_at=time.time(),
    )
