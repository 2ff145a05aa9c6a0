"""Judging what a reader found after a crash, a restart and the next run: lost, doubled, stuck, left over."""

from __future__ import annotations

import base64
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from boxes import DATASET, NAME

Facts = Mapping[str, Any]
#: What may be in a working folder when no process of the pipeline lives.
_AT_HOME = frozenset(
    (
        *("oarlock.json", "state.db", "state.db-sync", "trace.json", "packages", "workers", "logs"),
        *(f"{lock}.{end}" for lock in ("guard", "loader", "normalize") for end in ("lock", "owner")),
    )
)


class Finding(NamedTuple):
    """One broken promise."""

    kind: str  # lost, dup, stuck, litter or bad
    text: str


def cursor(facts: Facts, field: str = "next") -> int:
    """Give the resource's cursor in the store; 0 where there is none."""
    return _cursor_in(facts["state"], field)


def _cursor_in(state: Mapping[str, Any], field: str) -> int:
    for key, value in state.items():
        if key.endswith(f"resources/items/{field}"):
            return int(value)
        if key.endswith("resources/items") and isinstance(value, dict):
            return int(value.get(field, 0))
    return 0


def sent_cursor(facts: Facts, field: str = "next", dataset: str = DATASET) -> int | None:
    """Give the cursor in the newest complete state at the destination; None where no state is there."""
    states = facts["tables"].get(f"{dataset}._dlt_pipeline_state", [])
    complete = {row["load_id"] for row in facts["tables"].get(f"{dataset}._dlt_loads", [])}
    found = [row for row in states if row["_dlt_load_id"] in complete and row["pipeline_name"] == NAME]
    if not found:
        return None
    newest = max(found, key=lambda row: (row["_dlt_load_id"], row["version"]))
    state = json.loads(zlib.decompress(base64.b64decode(newest["state"])))
    for source in state.get("sources", {}).values():
        items = source.get("resources", {}).get("items", {})
        if field in items:
            return int(items[field])
    return 0


def rows_of(facts: Facts, dataset: str = DATASET) -> Counter[tuple[Any, ...]]:
    """Give root rows and child rows as plain tuples, each as often as it is there."""
    roots = facts["tables"].get(f"{dataset}.items", [])
    found = Counter(("items", row["id"], row["body"], row.get("note")) for row in roots)
    ids = {row["_dlt_id"]: row["id"] for row in roots}
    for row in facts["tables"].get(f"{dataset}.items__tags", []):
        found["tags", ids.get(row["_dlt_parent_id"], "orphan"), row["tag"], None] += 1
    return found


def compared(found: Counter[tuple[Any, ...]], wanted: Counter[tuple[Any, ...]]) -> list[Finding]:
    """Compare rows with what was committed."""
    findings = []
    if lost := wanted - found:
        findings.append(Finding("lost", f"{lost.total()} row(s), such as {next(iter(lost))}"))
    if more := found - wanted:
        doubled = [row for row in more if row in wanted]
        what = "twice" if doubled else "of no committed package"
        findings.append(Finding("dup", f"{more.total()} row(s) {what}, such as {next(iter(doubled or more))}"))
    return findings


def judged_loads(facts: Facts, *, store_is_whole: bool, dataset: str = DATASET) -> list[Finding]:
    """Check load ids against packages, one another, and the rows that carry them."""
    tables, findings = facts["tables"], []
    loads = Counter(row["load_id"] for row in tables.get(f"{dataset}._dlt_loads", []))
    findings += [Finding("dup", f"load id {one} is there {times} times") for one, times in loads.items() if times > 1]
    findings += [
        Finding("bad", f"load {row['load_id']} has status {row['status']}")
        for row in tables.get(f"{dataset}._dlt_loads", [])
        if row["status"] != 0
    ]
    states = {row["_dlt_load_id"] for row in tables.get(f"{dataset}._dlt_pipeline_state", [])}
    loaded = {package["load_id"] for package in facts["packages"] if package["state"] == "loaded"}
    if store_is_whole:
        findings += [Finding("bad", f"load {one} is no loaded package") for one in loads if one not in loaded | states]
    if missing := loaded - set(loads):
        findings.append(Finding("lost", f"packages {sorted(missing)} are marked loaded and are not"))
    for name in ("items", "items__tags"):
        if (
            strange := {row.get("_dlt_load_id", "-") for row in tables.get(f"{dataset}.{name}", [])}
            - set(loads)
            - {"-"}
        ):
            findings.append(Finding("bad", f"rows of {name} carry load ids {sorted(strange)}, which are not there"))
    return findings


def judged_store(facts: Facts) -> list[Finding]:
    """Check that the store is whole and nothing in it waits or has failed."""
    findings = [Finding("bad", f"store: {fault}") for fault in facts["store_faults"]]
    for package in facts["packages"]:
        if package["failure"]:
            findings.append(Finding("bad", f"package {package['load_id']} failed: {package['failure']}"))
        elif package["state"] in ("extracted", "normalized"):
            findings.append(Finding("stuck", f"package {package['load_id']} stays {package['state']}"))
    return findings


def judged_modes(facts: Facts) -> list[Finding]:
    """Check that nobody else may read what is there."""
    return [
        Finding("bad", f"{name!r} has mode {mode:04o}")
        for name, mode in {**facts["files"], **facts["above"]}.items()
        if mode & 0o077
    ]


def judged_litter(facts: Facts, *, ended: Iterable[int]) -> list[Finding]:
    """Check that nothing is left over. Of the processes that ended last only the lock file of a member may stay."""
    findings = []
    for name in facts["files"]:
        parts = name.split("/")
        if parts[0] != NAME:
            findings.append(Finding("litter", f"{name!r} among the pipelines"))
        elif len(parts) == 2 and parts[1] not in _AT_HOME:
            findings.append(Finding("litter", f"{name!r} in the working folder"))
        elif len(parts) > 2 and parts[1] == "packages":
            findings.append(Finding("litter", f"{name!r}: no package names it"))
        elif len(parts) > 2 and parts[1] == "workers" and not any(f"-{pid}-" in parts[2] for pid in ended):
            findings.append(Finding("litter", f"{name!r} of a worker that is long dead"))
    # The database's own log is part of it until somebody next writes to it.
    known = ("boat.duckdb", "boat.duckdb.wal", ".boat.duckdb.oarlock.lock", ".boat.duckdb.oarlock.owner")
    findings += [Finding("litter", f"{name!r} beside the database") for name in facts["beside"] if name not in known]
    return findings
