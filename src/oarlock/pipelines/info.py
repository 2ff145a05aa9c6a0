"""What a step tells of itself: packages, tables, rows and times, of this call alone; printed for a person to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from oarlock.errors import DestinationHasFailedJobs
from oarlock.state.base import Job, PackageRecord


class LoadPackageId(str):
    """A load id that also knows the state its package was in when it was listed."""

    __slots__ = ("state",)
    state: str

    def __new__(cls, load_id: str, state: str) -> LoadPackageId:
        """Make one from a load id and a package state."""
        made = super().__new__(cls, load_id)
        made.state = state
        return made

    @property
    def load_id(self) -> str:
        """The load id as plain text."""
        return str(self)

    def __reduce__(self) -> tuple[type[LoadPackageId], tuple[str, str]]:
        """Travel with the state."""
        return type(self), (str(self), self.state)


@dataclass(frozen=True, slots=True)
class JobFileInfo:
    """What a job is named after."""

    table_name: str
    file_id: str
    retry_count: int
    file_format: str

    def job_id(self) -> str:
        """Give the job's id."""
        return self.file_id


@dataclass(frozen=True, slots=True)
class LoadJobInfo:
    """One table's rows in a package."""

    state: str
    file_path: str
    file_size: int
    rows: int
    created_at: datetime
    job_file_info: JobFileInfo
    failed_message: str | None = None

    def asdict(self) -> dict[str, Any]:
        """Give plain values."""
        return {
            "state": self.state,
            "file_path": self.file_path,
            "file_size": self.file_size,
            "rows": self.rows,
            "created_at": self.created_at,
            "table_name": self.job_file_info.table_name,
            "file_format": self.job_file_info.file_format,
            "failed_message": self.failed_message,
        }

    def __str__(self) -> str:
        why = f": {self.failed_message}" if self.failed_message else ""
        table = self.job_file_info.table_name
        return f"Job {self.job_file_info.file_id}: {self.rows} row(s) for table {table}, {self.state}{why}"


@dataclass(frozen=True, slots=True)
class LoadPackageInfo:
    """One load package: its state, and its jobs by state."""

    load_id: str
    package_path: str
    state: str
    schema_name: str
    schema_version: int
    schema_hash: str
    author: str
    created_at: datetime
    completed_at: datetime | None
    jobs: Mapping[str, Sequence[LoadJobInfo]]
    row_counts: Mapping[str, int]
    failure: str | None = None
    schema_update: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows in all tables."""
        return sum(self.row_counts.values())

    def asdict(self) -> dict[str, Any]:
        """Give plain values."""
        return {
            "load_id": self.load_id,
            "package_path": self.package_path,
            "state": self.state,
            "schema_name": self.schema_name,
            "schema_version": self.schema_version,
            "schema_hash": self.schema_hash,
            "author": self.author,
            "created_at": self.created_at,
            "completed_at": self.completed_at,
            "row_counts": dict(self.row_counts),
            "failure": self.failure,
            "jobs": [job.asdict() for jobs in self.jobs.values() for job in jobs],
            "schema_update": {table: list(columns) for table, columns in self.schema_update.items()},
        }

    def asstr(self, verbosity: int = 0) -> str:
        """Say it in a line; with ``verbosity`` above zero, a line a table as well."""
        failed = self.jobs.get("failed_jobs", ())
        where = "LOADED" if self.state == "loaded" else f"{self.state.upper()} and NOT YET LOADED"
        ends = f"has {len(failed)} FAILED job(s): {self.failure}" if self.failure else "contains no failed jobs"
        lines = [f"Load package {self.load_id} is {where}, {self.rows} row(s), and {ends}"]
        if verbosity > 0:
            lines += [f"- {table}: {rows} row(s)" for table, rows in self.row_counts.items()]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.asstr(verbosity=1)


def package_info(
    record: PackageRecord, package_path: str, schema_update: Mapping[str, Sequence[str]] | None = None
) -> LoadPackageInfo:
    """Tell of a package what the store knows."""
    made = {"loaded": "completed_jobs", "aborted": "failed_jobs"}.get(record.state, "new_jobs")
    where = "failed_jobs" if record.failure else made
    created_at = moment(record.created_at)
    jobs: dict[str, list[LoadJobInfo]] = {"new_jobs": [], "started_jobs": [], "completed_jobs": [], "failed_jobs": []}
    counts: dict[str, int] = {}
    for job in record.jobs:
        counts[job.table] = counts.get(job.table, 0) + job.rows
        jobs[where].append(_job_info(job, where, package_path, created_at, record.failure))
    return LoadPackageInfo(
        load_id=record.load_id,
        package_path=package_path,
        state=record.state,
        schema_name=record.schema_name,
        schema_version=record.schema_version,
        schema_hash=record.schema_hash,
        author=record.author,
        created_at=created_at,
        completed_at=None if record.loaded_at is None else moment(record.loaded_at),
        jobs=jobs,
        row_counts=counts,
        failure=record.failure,
        schema_update=schema_update or {},
    )


def _job_info(job: Job, where: str, folder: str, created_at: datetime, failure: str | None) -> LoadJobInfo:
    return LoadJobInfo(
        state=where,
        file_path=f"{folder}/{job.file}",
        file_size=job.size_bytes,
        rows=job.rows,
        created_at=created_at,
        job_file_info=JobFileInfo(job.table, job.job_id, 0, job.format),
        failed_message=job.error or failure,
    )


def moment(at: float) -> datetime:
    """Give unix seconds as a time in UTC."""
    return datetime.fromtimestamp(at, UTC)


@dataclass(frozen=True, slots=True)
class StepInfo:
    """What the three steps have in common."""

    pipeline_name: str
    loads_ids: list[str]
    load_packages: list[LoadPackageInfo]
    first_run: bool
    started_at: datetime
    finished_at: datetime

    #: What a person reads as the name of the step.
    STEP = "step"

    @property
    def is_empty(self) -> bool:
        """Whether the call had nothing to do."""
        return not self.loads_ids

    @property
    def row_counts(self) -> dict[str, int]:
        """Rows by table, in the packages of this call alone."""
        counts: dict[str, int] = {}
        for package in self.load_packages:
            for table, rows in package.row_counts.items():
                counts[table] = counts.get(table, 0) + rows
        return counts

    @property
    def rows(self) -> int:
        """Rows in all tables together."""
        return sum(self.row_counts.values())

    @property
    def metrics(self) -> dict[str, list[dict[str, Any]]]:
        """Rows and bytes by load id."""
        return {
            package.load_id: [
                {
                    "row_counts": dict(package.row_counts),
                    "bytes": sum(job.file_size for jobs in package.jobs.values() for job in jobs),
                }
            ]
            for package in self.load_packages
        }

    def asdict(self) -> dict[str, Any]:
        """Give plain values."""
        return {
            "pipeline_name": self.pipeline_name,
            "loads_ids": list(self.loads_ids),
            "load_packages": [package.asdict() for package in self.load_packages],
            "first_run": self.first_run,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "row_counts": self.row_counts,
        }

    def asstr(self, verbosity: int = 0) -> str:
        """Say it in a few lines, more with more ``verbosity``."""
        took = (self.finished_at - self.started_at).total_seconds()
        lines = [f"Pipeline {self.pipeline_name} {self.STEP} step finished in {took:.2f} seconds"]
        lines += self._details()
        lines += [package.asstr(verbosity) for package in self.load_packages]
        return "\n".join(lines)

    def _details(self) -> list[str]:
        return [f"- {table}: {rows} row(s)" for table, rows in self.row_counts.items()]

    def __str__(self) -> str:
        return self.asstr()


@dataclass(frozen=True, slots=True)
class ExtractInfo(StepInfo):
    """What ``extract()`` wrote into the working folder."""

    STEP = "extract"


@dataclass(frozen=True, slots=True)
class NormalizeInfo(StepInfo):
    """What ``normalize()`` turned into tables."""

    STEP = "normalize"


@dataclass(frozen=True, slots=True)
class LoadInfo(StepInfo):
    """The receipt of a run: the packages, tables and rows that this call committed, never another worker's.

    ``recovered`` are load ids of older packages that were pending and that this call finished on the way.
    """

    STEP = "load"

    destination_type: str = ""
    destination_name: str = ""
    destination_displayable_credentials: str = ""
    dataset_name: str | None = None
    staging_type: str | None = None
    staging_name: str | None = None
    durable_only: bool = False
    recovered: list[str] = field(default_factory=list)

    @property
    def has_failed_jobs(self) -> bool:
        """Whether a package of this call cannot be loaded."""
        return any(package.failure for package in self.load_packages)

    def raise_on_failed_jobs(self) -> None:
        """Raise ``DestinationHasFailedJobs`` for the first package that cannot be loaded."""
        for package in self.load_packages:
            if package.failure:
                jobs = [job.job_file_info.file_id for job in package.jobs["failed_jobs"]]
                raise DestinationHasFailedJobs(self.destination_name, package.load_id, jobs)

    def asdict(self) -> dict[str, Any]:
        """Give plain values."""
        return {
            **super(LoadInfo, self).asdict(),
            "destination_type": self.destination_type,
            "destination_name": self.destination_name,
            "destination_displayable_credentials": self.destination_displayable_credentials,
            "dataset_name": self.dataset_name,
            "durable_only": self.durable_only,
            "recovered": list(self.recovered),
        }

    def _details(self) -> list[str]:
        done = "are durable in the working folder, to be loaded" if self.durable_only else "were loaded"
        lines = [
            f"{len(self.loads_ids)} load package(s) with {self.rows} row(s) {done} to destination "
            f"{self.destination_name} and into dataset {self.dataset_name}",
            f"The {self.destination_name} destination used {self.destination_displayable_credentials} location "
            "to store data",
        ]
        if self.recovered:
            lines.append(f"{len(self.recovered)} older package(s) that were pending were loaded on the way")
        return lines
