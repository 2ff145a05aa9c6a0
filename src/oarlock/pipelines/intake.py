"""Intake: what one call of ``run()`` or ``extract()`` takes in becomes packages, committed together with the state."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from oarlock.errors import ConfigurationError, InvalidName, OarlockError
from oarlock.pipelines.files import export_schemas, import_schema
from oarlock.pipelines.options import RunOptions
from oarlock.pipelines.target import reference_to_document
from oarlock.resources import Resource
from oarlock.schema.naming import Naming, default_schema_name
from oarlock.settings import check_pipeline_name
from oarlock.state.base import PackageRecord, Transaction
from oarlock.steps.commit import RunState, commit_packages, put_if_other, with_schema
from oarlock.steps.extract import extract_resource
from oarlock.steps.normalize import Normalizer
from oarlock.steps.plan import Plan, plan
from oarlock.steps.raw import RawWriter
from oarlock.steps.refresh import refreshed
from oarlock.steps.schemas import SchemaInHand
from oarlock.steps.spool import PackageWriter
from oarlock.values import LoadId, PackageState, WriteDisposition, new_load_id

if TYPE_CHECKING:
    from oarlock.pipelines.pipeline import Pipeline

#: Progress is told to the collector and the log at most this often, so that rows cost nothing.
PROGRESS_EVERY_S = 0.5


class Taker(Protocol):
    """What batches are handed to."""

    def add_rows(self, hints: Any, rows: list[Any]) -> None: ...
    def add_arrow(self, hints: Any, table: Any, *, system_columns: bool) -> None: ...


@dataclass(slots=True)
class OpenPackage:
    """A package that is being written."""

    load_id: LoadId
    schema_name: str
    writer: PackageWriter
    hand: SchemaInHand | None
    created_at: float
    dispositions: dict[str, WriteDisposition] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


class Intake:
    """Takes in the data of one call; ``commit`` makes all its packages and its state change durable at once."""

    def __init__(self, pipeline: Pipeline, options: RunOptions, run_id: str, *, normalize: bool) -> None:
        self._pipeline, self._options, self._normalize = pipeline, options, normalize
        self._member = pipeline.member
        self._run_id = run_id
        self._told = partial(self._member.told, run=run_id)
        self._open: list[OpenPackage] = []
        self._committed = False
        self._told_at = 0.0
        self._progress: dict[str, int] = {}
        self.state = RunState(self._member.store)
        self.default_schema = pipeline.default_schema_name or default_schema_name(pipeline.pipeline_name)
        self._first_source: str | None = None
        destination = pipeline.destination
        self._length = destination.capabilities.max_identifier_length if destination else NO_LIMIT
        self._supports_nul = destination.capabilities.supports_nul if destination else True
        if normalize:
            pipeline.target(step="run")  # refuses to take rows in that could go nowhere

    def take(self, data: Any) -> None:
        """Run all resources to their ends, their rows into the files of packages."""
        plans = plan(
            data, hints=self._options.hints, default_schema=self.default_schema, forced_schema=self._options.schema_name
        )
        for one in plans:
            with self._pipeline.collector(f"Extract {one.schema_name}"):
                self._take_plan(one)

    def _take_plan(self, one: Plan) -> None:
        if self._first_source is None:
            self._first_source = one.schema_name
        package = self._begin(check_schema_name(one.schema_name), [resource.name for resource in one.resources])
        taker = self._taker(package)
        naming = Naming(self._length)
        for resource in one.resources:
            refuse_merge(resource)
            if resource.hints.write_disposition == "replace":
                self.state.forget_resource(one.schema_name, resource.name)
            found = extract_resource(
                resource,
                taker,
                batch_rows=self._pipeline.knobs.batch_max_rows,
                batch_bytes=self._pipeline.knobs.batch_max_bytes,
                progress=self._progressed,
            )
            for table, disposition in found.items():
                package.dispositions[naming.table(table)] = disposition
        self._tell_progress()
        if isinstance(taker, RawWriter):
            taker.finish()
        package.options.update(self._clearing(package))

    def _begin(self, schema_name: str, resources: list[str]) -> OpenPackage:
        load_id = new_load_id()
        writer = PackageWriter(
            self._member.packages_folder,
            load_id,
            self._member.worker,
            file_bytes=self._pipeline.knobs.file_max_bytes,
            file_rows=self._pipeline.knobs.file_max_rows,
        )
        hand = None
        if self._normalize:
            import_schema(self._pipeline, schema_name)
            hand = SchemaInHand(self._member.store, schema_name, worker=self._member.worker, told=self._told)
        package = OpenPackage(load_id, schema_name, writer, hand, time.time())
        self._open.append(package)
        if hand is not None and self._options.refresh is not None:
            package.options.update(refreshed(self._options.refresh, hand, self.state, resources))
        return package

    def _taker(self, package: OpenPackage) -> Any:
        if package.hand is None:
            return RawWriter(package.writer, package.options)
        return Normalizer(
            package.hand.schema,
            load_id=package.load_id,
            grow=package.hand.grow,
            sink=package.writer.add,
            max_identifier_length=self._length,
            supports_nul=self._supports_nul,
        )

    def _clearing(self, package: OpenPackage) -> dict[str, Any]:
        if package.hand is None:
            return {}
        emptied = [*package.options.get("truncate_tables", ()), *package.hand.emptied(package.dispositions)]
        return {"truncate_tables": emptied} if emptied else {}

    def _progressed(self, table: str, rows: int) -> None:
        self._progress[table] = self._progress.get(table, 0) + rows
        if time.monotonic() - self._told_at >= PROGRESS_EVERY_S:
            self._tell_progress()

    def _tell_progress(self) -> None:
        self._told_at = time.monotonic()
        for table, rows in self._progress.items():
            self._pipeline.collector.update(table, rows)
            self._told("rows.extracted", table=table, rows=rows)
        self._progress.clear()

    def commit(self) -> list[PackageRecord]:
        """Make the files durable, then commit packages and state in one transaction; give the packages."""
        records = [record for package in self._open if (record := self._record(package)) is not None]
        if not records and self.state.changes() is None:
            return []
        # Before the commit: if the folder cannot be written to, the call fails and nothing of it is loaded.
        export_schemas(self._pipeline, [package.hand.schema for package in self._open if package.hand is not None])
        try:
            records = commit_packages(
                self._member.store, records, self.state, author=self._member.worker, complete=self._complete
            )
        except BaseException:
            # Past the point of no return an error means "unknown": only the store can tell.
            self._committed = self._may_be_in_store(records)
            raise
        self._committed = True
        for package in self._open:
            if package.hand is not None:
                package.hand.tell_dropped()
        for record in records:
            self._told(
                "package.committed",
                load=record.load_id,
                rows=record.rows,
                bytes=sum(job.size_bytes for job in record.jobs),
                schema=record.schema_name,
                version=record.schema_version,
            )
        return records

    def _record(self, package: OpenPackage) -> PackageRecord | None:
        jobs = package.writer.seal()
        clears = package.options.get("truncate_tables") or package.options.get("drop_tables")
        if not jobs and not clears and self.state.changes() is None:
            return None
        state: PackageState = "normalized" if package.hand is not None else "extracted"
        options = dict(package.options)
        if self._options.task is not None:
            options["task"] = self._options.task
        if self._pipeline.destination is not None:
            target = self._pipeline.target()
            options["destination"] = reference_to_document(target.destination.reference())
            options["dataset_name"] = target.dataset_name
        return PackageRecord(
            load_id=package.load_id,
            state=state,
            schema_name=package.schema_name,
            schema_version=0,
            schema_hash="",
            jobs=jobs,
            author=self._member.worker,
            run_id=self._run_id,
            created_at=package.created_at,
            committed_at=time.time(),
            dispositions=package.dispositions,
            options=options,
        )

    def _complete(self, tx: Transaction, records: Sequence[PackageRecord]) -> list[PackageRecord]:
        """Put what belongs to the packages, and name in each the schema that it needs, as it is then."""
        if tx.get(("default_schema_name",)) is None:
            put_if_other(tx, ("default_schema_name",), self._first_source or self.default_schema)
        # Told under the guard, so that this is the order of the commits: packages are loaded in it.
        now = time.time()
        by_load_id = {record.load_id: replace(record, committed_at=now) for record in records}
        for package in self._open:
            record = by_load_id.get(package.load_id)
            if package.hand is not None:
                schema = package.hand.keep(tx, {job.table for job in record.jobs} if record is not None else ())
                if record is not None:
                    by_load_id[package.load_id] = with_schema(record, schema)
        return list(by_load_id.values())

    def _may_be_in_store(self, records: list[PackageRecord]) -> bool:
        try:
            with self._member.store.snapshot() as snapshot:
                return any(snapshot.package(record.load_id) is not None for record in records)
        except (OarlockError, OSError):
            return True

    def discard(self) -> None:
        """Take the files back, unless the store may name them."""
        if not self._committed:
            for package in self._open:
                package.writer.discard()


#: Identifiers of a pipeline without a destination may have any length that a destination takes.
NO_LIMIT = 65_536


def refuse_merge(resource: Resource) -> None:
    """Refuse a disposition that no destination of this version has, before a row is taken.

    Raises:
        ConfigurationError: it names the resource.
    """
    if resource.hints.write_disposition in ("merge", "skip"):
        raise ConfigurationError(
            f"resource {resource.name!r} has write_disposition {resource.hints.write_disposition!r}, which this "
            "version "
            "does not have; it has 'append' and 'replace'. Nothing was loaded"
        )


def check_schema_name(name: str) -> str:
    """Refuse a schema name that could not name a file or a section.

    Raises:
        InvalidName: with the reason.
    """
    try:
        check_pipeline_name(name)
    except OarlockError as error:
        raise InvalidName("schema", name, str(error)) from error
    return name
