"""``oarlock doctor``: look whether the machine and a working folder are as they must be; change nothing."""

from __future__ import annotations

import sqlite3
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from oarlock.cli.talk import Failure, show_json, show_table
from oarlock.errors import CannotRestorePipelineException, OarlockError, PackageDamaged, UnsupportedFileSystem
from oarlock.locking.filesystem import check_locks_hold
from oarlock.pipelines.membership import Membership, marker_of
from oarlock.settings import Settings, resolve_pipeline
from oarlock.steps.spool import SUFFIX, check_job


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    check: str
    ok: bool
    found: str
    way_out: str = ""


def doctor(name: str | None, pipelines_dir: str | None, as_json: bool) -> None:
    """Look at the machine, and at a pipeline where one is named; exit 1 where anything is wrong."""
    settings = resolve_pipeline(pipeline_name=name, pipelines_dir=pipelines_dir)
    findings = _machine(settings.pipelines_dir)
    if name is not None:
        findings += _pipeline(settings.working_dir, settings.pipeline_name)
    if as_json:
        show_json([{"check": one.check, "ok": one.ok, "found": one.found, "way_out": one.way_out} for one in findings])
    else:
        show_table(["check", "ok", "found"], [[one.check, one.ok, one.found] for one in findings])
        for one in findings:
            if not one.ok and one.way_out:
                print(f"\n{one.check}: {one.way_out}")
    wrong = [one for one in findings if not one.ok]
    if wrong:
        raise Failure(f"{len(wrong)} of {len(findings)} checks failed")


def _machine(folder: Path) -> list[Finding]:
    versions = ", ".join(f"{package} {_version(package)}" for package in ("oarlock", "duckdb", "pyarrow", "filelock"))
    findings = [
        Finding("versions", True, f"python {sys.version.split()[0]}, sqlite {sqlite3.sqlite_version}, {versions}"),
        Finding("project folder", True, str(Settings.current().folders.project)),
    ]
    there = next((one for one in (folder, *folder.parents) if one.exists()), Path("/"))
    try:
        check_locks_hold(there)
        findings.append(Finding("locks", True, f"native locks hold on {there}"))
    except UnsupportedFileSystem as error:
        findings.append(Finding("locks", False, error.found, str(error)))
    return findings


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _pipeline(folder: Path, name: str) -> list[Finding]:
    if marker_of(folder) is None:
        return [
            Finding(
                "working folder",
                False,
                f"no pipeline in {folder}",
                "create it with oarlock.pipeline(), or look for it with --pipelines-dir",
            )
        ]
    try:
        member = Membership.open(folder, name, durability="full")
    except (FileNotFoundError, OarlockError, sqlite3.Error) as error:
        return [
            Finding(
                "store",
                False,
                str(error),
                "restore it from the destination: move the folder away, then oarlock pipeline NAME sync",
            )
        ]
    try:
        return [_store(member), *_packages(member), _litter(member), _workers(member)]
    except CannotRestorePipelineException as error:
        return [Finding("store", False, str(error))]
    finally:
        member.close()


def _store(member: Membership) -> Finding:
    problems = member.store.check()
    return Finding(
        "store",
        not problems,
        "; ".join(problems) or "reads and is consistent",
        "move the folder away, then oarlock pipeline NAME sync restores state and schemas",
    )


def _packages(member: Membership) -> list[Finding]:
    with member.store.snapshot() as snapshot:
        records = snapshot.packages("extracted", "normalized")
    damaged, failed = [], [one for one in records if one.failure]
    for record in records:
        for job in record.jobs:
            try:
                check_job(
                    member.packages_folder,
                    job,
                    contents=True,
                    pipeline_name=member.pipeline_name,
                    load_id=record.load_id,
                )
            except PackageDamaged as error:
                damaged.append(str(error))
                break
    return [
        Finding("pending packages", not damaged, f"{len(records)} wait, {len(damaged)} damaged", "; ".join(damaged)),
        Finding(
            "failed packages",
            not failed,
            f"{len(failed)} cannot be loaded",
            "oarlock pipeline NAME failed-jobs tells why; drop-pending-packages sets them aside",
        ),
    ]


def _litter(member: Membership) -> Finding:
    with member.store.snapshot() as snapshot:
        wanted = {job.file for record in snapshot.packages("extracted", "normalized") for job in record.jobs}
    there = {one.name for one in member.packages_folder.glob(f"*{SUFFIX}")}
    return Finding("files of dead workers", True, f"{len(there - wanted)} (the next run sweeps them)")


def _workers(member: Membership) -> Finding:
    others = member.others_alive()
    return Finding("live workers", True, ", ".join(others) or "none besides this command")
