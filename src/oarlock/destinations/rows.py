"""Rows of jobs, read from Arrow streams inside package files, one record batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from oarlock.destinations.base import JobFile


class UnreadableJob(Exception):
    """A job's rows are not what its package says."""

    def __init__(self, job: JobFile, reason: str) -> None:
        self.job, self.reason = job, reason
        super().__init__(f"file {str(job.path)!r}, job {job.job_id}: {reason}")


@dataclass(slots=True)
class Segment:
    """Jobs that can be read as one stream: where two have a column of one name, it has one type."""

    fields: dict[str, pa.DataType] = field(default_factory=dict)
    jobs: list[JobFile] = field(default_factory=list)

    @property
    def schema(self) -> pa.Schema:
        return pa.schema(list(self.fields.items()))

    @property
    def rows(self) -> int:
        return sum(job.rows for job in self.jobs)

    def takes(self, schema: pa.Schema) -> bool:
        """Whether jobs of this schema can join."""
        return all(self.fields.get(f.name, f.type) == f.type for f in schema)

    def add(self, job: JobFile, schema: pa.Schema) -> None:
        self.jobs.append(job)
        for column in schema:
            self.fields.setdefault(column.name, column.type)


def segments(jobs: Sequence[JobFile]) -> list[Segment]:
    """Sort jobs into as few streams as their types allow; the order of rows means nothing in a table.

    Raises:
        UnreadableJob: a file is missing or is not an Arrow stream.
    """
    made: list[Segment] = []
    for job in jobs:
        with _opened(job) as reader:
            schema = reader.schema
        if len(set(schema.names)) != len(schema.names):
            raise UnreadableJob(job, "two of its columns have one name")
        home = next((s for s in made if s.takes(schema)), None)
        if home is None:
            made.append(home := Segment())
        home.add(job, schema)
    return made


def _opened(job: JobFile) -> pa.RecordBatchStreamReader:
    try:
        with pa.memory_map(str(job.path)) as file:
            if file.size() < job.offset + job.size_bytes:
                raise UnreadableJob(job, f"file has {file.size()} bytes, its job ends at {job.offset + job.size_bytes}")
            file.seek(job.offset)
            # The buffer holds the mapping: the pages go when the last batch of this file does.
            return pa.ipc.open_stream(pa.BufferReader(file.read_buffer(job.size_bytes)))
    except (OSError, pa.ArrowException) as error:
        raise UnreadableJob(job, _first_line(error)) from error


def batches(segment: Segment) -> Iterator[pa.RecordBatch]:
    """Read the jobs of a segment one after another, every batch with all columns of the segment.

    Raises:
        UnreadableJob: a file does not read, or has another number of rows than its package says.
    """
    schema = segment.schema
    for job in segment.jobs:
        rows = 0
        try:
            with _opened(job) as reader:
                for batch in reader:
                    batch.validate()
                    rows += batch.num_rows
                    if batch.num_rows:
                        yield _aligned(batch, schema)
        except (OSError, pa.ArrowException) as error:
            raise UnreadableJob(job, _first_line(error)) from error
        if rows != job.rows:
            raise UnreadableJob(job, f"has {rows} rows, its package says {job.rows}")


def _aligned(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    if batch.schema.equals(schema):
        return batch
    have = {name: i for i, name in enumerate(batch.schema.names)}
    columns = [batch.column(have[f.name]) if f.name in have else pa.nulls(batch.num_rows, f.type) for f in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
