"""Load packages as a pipeline shows them: listed, told of, and set aside."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from oarlock.errors import LoadPackageNotFound
from oarlock.pipelines.info import LoadPackageId, LoadPackageInfo, package_info
from oarlock.state.base import StateStore
from oarlock.steps.spool import remove_files
from oarlock.values import PackageState

if TYPE_CHECKING:
    from oarlock.pipelines.pipeline import Pipeline

#: A loader may be in the middle of the very packages that are to be set aside: wait for its turn to end.
DROP_TIMEOUT_S = 60.0


def listed(store: StateStore, state: PackageState) -> list[LoadPackageId]:
    """Give the load ids of the packages in one state, oldest first."""
    with store.snapshot() as snapshot:
        return [LoadPackageId(load_id, state) for load_id in snapshot.load_ids(state)]


def has_pending(store: StateStore) -> bool:
    """Say whether packages wait to be normalized or loaded; one that failed for good waits for a person."""
    with store.snapshot() as snapshot:
        return any(one.failure is None for one in snapshot.packages("extracted", "normalized"))


def info_of(pipeline: Pipeline, load_id: str) -> LoadPackageInfo:
    """Tell of one package.

    Raises:
        LoadPackageNotFound: the store has no package of this id.
    """
    with pipeline.member.store.snapshot() as snapshot:
        record = snapshot.package(load_id)
    if record is None:
        raise LoadPackageNotFound(pipeline.pipeline_name, load_id)
    return package_info(record, str(pipeline.member.packages_folder))


def drop_pending(pipeline: Pipeline) -> list[str]:
    """Set aside all packages that are not loaded: they become ``aborted``, and their files go.

    Taken under the loader's turn, so that no loader is in the middle of one of them.
    """
    member = pipeline.member
    with member.turn.hold("drop pending packages", timeout_s=DROP_TIMEOUT_S):
        with member.store.transaction("drop pending packages") as tx:
            records = tx.packages("extracted", "normalized")
            for record in records:
                tx.put_package(replace(record, state="aborted"))
        for record in records:
            remove_files(member.packages_folder, record.jobs)
            member.told("package.dropped", load=record.load_id, rows=record.rows)
    return [record.load_id for record in records]
