"""Packages and jobs as rows of the store, and back; what comes back is checked by hand, cheaply."""

from __future__ import annotations

import importlib
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any

from oarlock.errors import StoreDamaged
from oarlock.state.base import Job, PackageRecord
from oarlock.state.typed_json import dumps, loads

#: A package's states, in the order of its life.
PACKAGE_STATES = ("extracted", "normalized", "loaded", "aborted")


def package_row(record: PackageRecord) -> tuple[Any, ...]:
    """Give a package's columns in the order of the query ``put_package``.

    Raises:
        ValueError: The record could not be read back.
    """
    if record.state not in PACKAGE_STATES:
        raise ValueError(f"package {record.load_id} has state {record.state!r}; known are {', '.join(PACKAGE_STATES)}")
    for job in record.jobs:
        if not _lies_inside(job.file):
            raise ValueError(f"job {job.job_id} names the file {job.file!r}, which is not inside the package's folder")
    return (
        record.load_id,
        record.state,
        record.schema_name,
        record.schema_version,
        record.schema_hash,
        record.author,
        record.run_id,
        record.created_at,
        record.committed_at,
        record.loaded_at,
        record.rejected,
        record.failure,
        dumps(dict(record.dispositions)),
        dumps(dict(record.options)),
        dumps([asdict(job) for job in record.jobs]),
    )


def read_package(row: tuple[Any, ...], path: Path) -> PackageRecord:
    """Make a package of a row.

    Raises:
        StoreDamaged: The row is not what ``package_row`` wrote; the message says which field.
    """
    *plain, dispositions, options, jobs = row
    load_id, state, schema_name, schema_version, schema_hash, author, run_id, *rest = plain
    created_at, committed_at, loaded_at, rejected, failure = rest
    try:
        return PackageRecord(
            load_id=load_id,
            state=state,
            schema_name=schema_name,
            schema_version=schema_version,
            schema_hash=schema_hash,
            jobs=tuple(_read_job(fields) for fields in loads(jobs)),
            author=author,
            run_id=run_id,
            created_at=created_at,
            committed_at=committed_at,
            loaded_at=loaded_at,
            dispositions=_mapping(loads(dispositions)),
            options=_mapping(loads(options)),
            rejected=rejected,
            failure=failure,
        )
    except (TypeError, ValueError) as error:
        raise StoreDamaged(path, f"package {load_id}: {_explained(dispositions, options, jobs) or error}") from error


def _explained(dispositions: Any, options: Any, jobs: Any) -> str:
    """Name the fields that do not fit; empty where it is not a matter of fields."""
    models = importlib.import_module("oarlock.state.models")  # heavy: only for a package that is damaged
    try:
        value = {"dispositions": loads(dispositions), "options": loads(options), "jobs": loads(jobs)}
    except (TypeError, ValueError):
        return ""
    return str(models.what_is_wrong(models.PackageModel, value))


def _read_job(fields: Any) -> Job:
    job = Job(**fields)
    numbers, texts = (job.offset, job.size_bytes, job.rows), (job.job_id, job.table, job.file, job.checksum, job.format)
    if any(type(number) is not int or number < 0 for number in numbers) or any(type(text) is not str for text in texts):
        raise TypeError(f"job {job.job_id!r} has a field of the wrong type: {fields!r}"[:300])
    if not _lies_inside(job.file):
        raise ValueError(f"job {job.job_id!r} names the file {job.file!r}, which is not inside the package's folder")
    return job


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"a mapping was expected, not {type(value).__name__}")
    return value


def _lies_inside(file: str) -> bool:
    path = PurePosixPath(file)
    return not path.is_absolute() and ".." not in path.parts and file not in ("", ".")
