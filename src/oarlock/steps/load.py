"""Load: who holds the loader's turn writes all committed packages, its own and the others', in one transaction.

    committed in the store ─→ [turn] one transaction of the destination: rows, schema, state, load ids ─→ marked loaded

What the store says of loading is only a cache of the destination's load ids: a crash between the destination's commit
and the mark is answered by the load id that is already there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from oarlock.destinations.base import (
    DestinationClient,
    JobFile,
    LoadGroup,
    LoadOutcome,
    PackageToLoad,
    SchemaToLoad,
    StateRow,
)
from oarlock.destinations.reference import DestinationReference
from oarlock.errors import PackageDamaged, SchemaNotFound
from oarlock.locking.lock import Lock
from oarlock.schema.document import Schema
from oarlock.state.base import PackageRecord, Snapshot, StateStore
from oarlock.steps.spool import check_job, remove_files
from oarlock.steps.undo import without_undo

#: A group stays small enough that the first of its callers does not wait for ever.
GROUP_PACKAGES = 1_000
GROUP_BYTES = 1024 * 1024 * 1024


class Target(Protocol):
    """Where the packages of one destination and dataset go."""

    @property
    def key(self) -> str: ...
    def client(self) -> DestinationClient: ...


@dataclass(slots=True)
class Loaded:
    """What one turn of the loader did."""

    load_ids: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    schema_update: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Loader:
    """Loads committed packages, oldest first, whoever made them."""

    store: StateStore
    turn: Lock
    packages_folder: Path
    pipeline_name: str
    worker: str
    target_of: Callable[[Mapping[str, Any]], Target]
    state_row: Callable[[Snapshot, Sequence[PackageRecord]], StateRow | None]
    told: Callable[..., None]
    group_packages: int = GROUP_PACKAGES
    group_bytes: int = GROUP_BYTES

    def load(self, wanted: Iterable[str] | None, *, timeout_s: float) -> Loaded:
        """Load until the wanted packages are in the destination (``None``: all that are pending now).

        Raises:
            LockTimeout: the loader's turn was not had in time; the packages stay pending.
            DestinationError: the destination refused; the packages stay pending.
        """
        done = Loaded()
        missing = set(wanted) if wanted is not None else None
        while True:
            asked = time.monotonic()
            with self.turn.hold("load packages", timeout_s=timeout_s) as epoch:
                waited_s = time.monotonic() - asked
                with self.store.snapshot() as snapshot:
                    pending = self.pending(snapshot)
                    if missing is None:
                        missing = {package.load_id for package in pending}
                    missing = self._still_missing(snapshot, missing, done)
                    if not missing:
                        return done
                    group, target = self._group(pending)
                    prepared = self._prepare(snapshot, group, pending)
                self.told("loader.took_turn", pending=len(pending), waited_s=waited_s)
                began = time.monotonic()
                self._load_group(group, target, prepared, epoch, done)
                self.told("loader.gave_turn", packages=len(group), held_s=time.monotonic() - began)

    @staticmethod
    def pending(snapshot: Snapshot) -> list[PackageRecord]:
        """Give the packages that wait to be loaded, in the order of their commits, without those that failed for good.

        Not in the order of their ids: one that was begun before a replace and committed after it comes after it.
        """
        waiting = [one for one in snapshot.packages("normalized") if one.failure is None]
        return sorted(waiting, key=lambda one: (one.committed_at, one.load_id))

    @staticmethod
    def _still_missing(snapshot: Snapshot, missing: set[str], done: Loaded) -> set[str]:
        still = set()
        for load_id in missing:
            record = snapshot.package(load_id)
            if record is None or record.state in ("loaded", "aborted"):
                continue
            if record.failure is not None:
                done.failed[load_id] = record.failure
            else:
                still.add(load_id)
        return still

    def _group(self, pending: Sequence[PackageRecord]) -> tuple[list[PackageRecord], Target]:
        """Take the oldest packages that go to one destination and dataset, up to the group's bounds."""
        target = self.target_of(pending[0].options)
        group: list[PackageRecord] = []
        size = 0
        for package in pending:
            if len(group) >= self.group_packages or (group and size > self.group_bytes):
                break
            if self.target_of(package.options).key == target.key:
                group.append(package)
                size += sum(job.size_bytes for job in package.jobs)
        return group, target

    def _prepare(
        self, snapshot: Snapshot, group: list[PackageRecord], pending: list[PackageRecord]
    ) -> tuple[dict[str, SchemaToLoad], StateRow | None]:
        # State and schemas are read in the same snapshot as the packages. What packages that are not among these have
        # done to the state is taken back, so that no cursor arrives before its rows.
        schemas = {}
        for name in {package.schema_name for package in group}:
            record = snapshot.schema(name)
            if record is None:
                raise SchemaNotFound(name, snapshot.schema_names())
            schema = Schema.from_document(record.document)
            schemas[name] = SchemaToLoad(
                name=name,
                version=schema.version,
                version_hash=schema.version_hash,
                engine_version=int(record.document["engine_version"]),
                tables=schema.tables,
                text=schema.to_json(),
            )
        mine = {package.load_id for package in group}
        extracted = [one for one in snapshot.packages("extracted") if one.failure is None]
        return schemas, self.state_row(snapshot, [one for one in (*extracted, *pending) if one.load_id not in mine])

    def _load_group(
        self,
        group: list[PackageRecord],
        target: Target,
        prepared: tuple[dict[str, SchemaToLoad], StateRow | None],
        epoch: int,
        done: Loaded,
    ) -> None:
        damaged = self._damaged(group)
        # A package that has arrived needs its files no more, whatever state they are in.
        there = target.client().loaded_ids(list(damaged)) if damaged else set()
        damaged = {load_id: reason for load_id, reason in damaged.items() if load_id not in there}
        good = [package for package in group if package.load_id not in damaged and package.load_id not in there]
        outcome = LoadOutcome(loaded=(), already_there=())
        if good:
            schemas, state = prepared
            outcome = target.client().load(
                LoadGroup(
                    packages=[self._to_load(package) for package in good],
                    schemas=schemas,
                    state=state,
                    fence=lambda: self._fence(epoch),
                    pipeline_name=self.pipeline_name,
                )
            )
        arrived_before = [package.load_id for package in group if package.load_id in there]
        outcome = replace(outcome, already_there=[*outcome.already_there, *arrived_before])
        self._mark({package.load_id: package for package in group}, outcome, damaged, done)

    def _fence(self, epoch: int) -> None:
        """Right before the destination's commit: what it is made of is on disk, and the turn is still this worker's."""
        self.store.sync()
        self.turn.check(epoch)

    def _damaged(self, group: list[PackageRecord]) -> dict[str, str]:
        found: dict[str, str] = {}
        for package in group:
            try:
                for job in package.jobs:
                    # Its own slices were synced by this very process; another's may have met a broken disk since.
                    check_job(
                        self.packages_folder,
                        job,
                        contents=package.author != self.worker,
                        pipeline_name=self.pipeline_name,
                        load_id=package.load_id,
                    )
            except PackageDamaged as error:
                found[package.load_id] = str(error)
        return found

    def _to_load(self, package: PackageRecord) -> PackageToLoad:
        return PackageToLoad(
            load_id=package.load_id,
            schema_name=package.schema_name,
            jobs=[
                JobFile(job.job_id, job.table, self.packages_folder / job.file, job.offset, job.size_bytes, job.rows)
                for job in package.jobs
            ],
            dispositions=package.dispositions,  # type: ignore[arg-type]  # the store keeps plain text
            drop_tables=package.options.get("drop_tables", ()),
            truncate_tables=package.options.get("truncate_tables", ()),
        )

    def _mark(
        self, group: dict[str, PackageRecord], outcome: LoadOutcome, damaged: dict[str, str], done: Loaded
    ) -> None:
        arrived: list[str] = [*outcome.loaded, *outcome.already_there]
        failed = {str(load_id): reason for load_id, reason in outcome.failed.items()} | damaged
        now = time.time()
        with self.store.transaction("mark packages loaded") as tx:
            for load_id in arrived:
                tx.put_package(replace(without_undo(group[load_id]), state="loaded", loaded_at=now))
            for load_id, reason in failed.items():
                tx.put_package(replace(group[load_id], failure=reason))
            if arrived and tx.get(("_local", "first_run"), True):
                tx.put(("_local", "first_run"), False)
        for load_id in arrived:
            remove_files(self.packages_folder, group[load_id].jobs)
            self.told("package.loaded", load=load_id, rows=group[load_id].rows)
        for load_id, reason in failed.items():
            self.told("package.failed", load=load_id, error=reason)
        done.load_ids.extend(arrived)
        done.failed.update(failed)
        rows = sum(group[load_id].rows for load_id in arrived)
        self.told("group.loaded", packages=len(arrived), rows=rows)
        for table, columns in outcome.schema_update.items():
            self.told("table.changed", table=table, columns=len(columns))
            done.schema_update.setdefault(table, []).extend(columns)


def reference_of(options: Mapping[str, Any]) -> DestinationReference | None:
    """Give the destination that a package was made for, if it was made for one."""
    kept = options.get("destination")
    return None if kept is None else DestinationReference(kept["type"], kept["name"], kept.get("options", {}))
