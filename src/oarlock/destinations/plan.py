"""What a group of packages does to the tables, step by step: pure, so that its order can be tested alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from oarlock.destinations.base import JobFile, PackageToLoad, SchemaToLoad
from oarlock.destinations.ddl import family, root_of
from oarlock.values import LoadId


@dataclass(frozen=True, slots=True)
class Drop:
    """Drop a table if it is there."""

    table: str


@dataclass(frozen=True, slots=True)
class Empty:
    """Take all rows out of a table if it is there."""

    table: str


@dataclass(slots=True)
class Write:
    """Append the rows of some packages' jobs to a table."""

    table: str
    jobs: list[JobFile] = field(default_factory=list)
    load_ids: list[LoadId] = field(default_factory=list)  # of each job


Step = Drop | Empty | Write


@dataclass(slots=True)
class Plan:
    """Steps in the order in which they are run."""

    clearing: dict[str, Drop | Empty] = field(default_factory=dict)
    writes: dict[str, Write] = field(default_factory=dict)

    @property
    def steps(self) -> list[Step]:
        return [*self.clearing.values(), *self.writes.values()]

    @property
    def dropped(self) -> set[str]:
        """Tables that are dropped, and made again only where rows follow."""
        return {step.table for step in self.clearing.values() if isinstance(step, Drop)}

    def drop(self, table: str) -> None:
        self.writes.pop(table, None)
        self.clearing[table] = Drop(table)

    def empty(self, table: str) -> None:
        """Rows of earlier packages that a later one of the group replaces are not written at all."""
        self.writes.pop(table, None)
        self.clearing.setdefault(table, Empty(table))

    def write(self, load_id: LoadId, job: JobFile) -> None:
        write = self.writes.setdefault(job.table, Write(job.table))
        write.jobs.append(job)
        write.load_ids.append(load_id)


def plan(packages: Sequence[PackageToLoad], schemas: Mapping[str, SchemaToLoad]) -> Plan:
    """Say what the packages do, oldest first; appends of several packages to one table become one step.

    A package's ``replace`` empties the root table and all tables nested below it where the first of its jobs
    comes, whichever table of the family that job is for.
    """
    made = Plan()
    for package in packages:
        tables = schemas[package.schema_name].tables
        for table in package.drop_tables:
            made.drop(table)
        for table in package.truncate_tables:
            made.empty(table)
        replaced: set[str] = set()
        for job in package.jobs:
            root = root_of(tables, job.table)
            if package.dispositions.get(root) == "skip" or job.table not in tables:  # the latter is dropped later
                continue
            if package.dispositions.get(root) == "replace" and root not in replaced:
                replaced.add(root)
                for member in family(tables, root):
                    made.empty(member)
            made.write(package.load_id, job)
    return made


def unsupported(package: PackageToLoad, schema: SchemaToLoad, dropped: Collection[str] = ()) -> str | None:
    """Say why a package cannot be loaded by this version, if it cannot.

    Args:
        dropped: tables that later packages of the group drop; the schema may not have them any more.
    """
    for job in package.jobs:
        root = root_of(schema.tables, job.table)
        if package.dispositions.get(root) == "merge":
            return (
                f"table {root!r} has write_disposition 'merge', which is not available in this version; "
                "use 'append' or 'replace'"
            )
        if job.table not in schema.tables and job.table not in dropped:
            return f"job {job.job_id} is for table {job.table!r}, which schema {schema.name!r} does not have"
    return None
