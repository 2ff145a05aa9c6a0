"""Pending: packages that ``extract()`` left are normalized here, each by one process."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from oarlock.errors import DataError, PackageDamaged
from oarlock.pipelines.intake import NO_LIMIT
from oarlock.schema.naming import Naming
from oarlock.settings import redact
from oarlock.state.base import PackageRecord
from oarlock.steps.commit import with_schema
from oarlock.steps.normalize import Normalizer
from oarlock.steps.raw import HINTS, normalize_jobs
from oarlock.steps.schemas import SchemaInHand
from oarlock.steps.spool import PackageWriter, check_job, remove_files

if TYPE_CHECKING:
    from oarlock.pipelines.pipeline import Pipeline

#: Files of a normalized package are numbered from here, so that they never meet those of the extracted one.
FIRST_FILE = 1_000


def normalize_extracted(
    pipeline: Pipeline, run_id: str
) -> tuple[list[PackageRecord], list[DataError | PackageDamaged]]:
    """Normalize all extracted packages, oldest first; who waited for another to do so finds none left.

    One that cannot be normalized is kept as failed, with its reason, and holds up no other: its error is given back.
    """
    member = pipeline.member
    done, failed = [], []
    with member.normalizing.hold("normalize packages", timeout_s=pipeline.knobs.lock_timeout_s):
        with member.store.snapshot() as snapshot:
            waiting = snapshot.packages("extracted")
        for record in (one for one in waiting if one.failure is None):
            try:
                done.append(_normalize(pipeline, record, run_id))
            except (DataError, PackageDamaged) as error:
                failed.append(error)
                with member.store.transaction("mark package failed") as tx:
                    tx.put_package(replace(record, failure=redact(str(error))))
                member.told("package.failed", run=run_id, load=record.load_id, error=str(error), state="extracted")
    return done, failed


def _normalize(pipeline: Pipeline, record: PackageRecord, run_id: str) -> PackageRecord:
    member = pipeline.member
    for job in record.jobs:
        check_job(
            member.packages_folder, job, contents=True, pipeline_name=pipeline.pipeline_name, load_id=record.load_id
        )
    destination = pipeline.target(record.options, step="normalize").destination
    length = destination.capabilities.max_identifier_length
    hand = SchemaInHand(member.store, record.schema_name, worker=member.worker, told=partial(member.told, run=run_id))
    writer = PackageWriter(member.packages_folder, record.load_id, member.worker, first_file=FIRST_FILE)
    try:
        normalizer = Normalizer(
            hand.schema,
            load_id=record.load_id,
            grow=hand.grow,
            sink=writer.add,
            max_identifier_length=min(length, NO_LIMIT),
            supports_nul=destination.capabilities.supports_nul,
        )
        normalize_jobs(member.packages_folder, list(record.jobs), record.options, normalizer)
        jobs = writer.seal()
    except BaseException:
        writer.discard()
        raise
    dispositions = {Naming(length).table(table): how for table, how in record.dispositions.items()}
    made = replace(
        record,
        state="normalized",
        jobs=jobs,
        author=member.worker,
        dispositions=dispositions,
        options=_options(record, hand, dispositions),
    )
    with member.store.transaction("commit normalized package") as tx:
        made = with_schema(made, hand.keep(tx, {job.table for job in jobs}))
        tx.put_package(made)
    remove_files(member.packages_folder, record.jobs)
    member.told("package.committed", run=run_id, load=record.load_id, rows=made.rows, schema=record.schema_name)
    return made


def _options(record: PackageRecord, hand: SchemaInHand, dispositions: dict[str, str]) -> dict[str, object]:
    options = {key: value for key, value in record.options.items() if key != HINTS}
    emptied = hand.emptied(dispositions)
    return {**options, "truncate_tables": emptied} if emptied else options
