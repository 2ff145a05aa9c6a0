"""A schema and a package to put into a store."""

from __future__ import annotations

from typing import Any

from oarlock.state.base import Job, PackageRecord, SchemaRecord
from oarlock.values import LoadId


def schema(version: int, tables: dict[str, Any], name: str = "s", **more: Any) -> SchemaRecord:
    document = {"version": version, "version_hash": f"hash-{version}", "name": name, "tables": tables, **more}
    return SchemaRecord(name, version, f"hash-{version}", document, "worker-1", 1.5)


def package(load_id: str, **more: Any) -> PackageRecord:
    jobs = [
        Job("j1", "games", "rows.arrow", 0, 10, 5, "crc32:00", "arrow"),
        Job("j2", "_dlt_x", "x", 10, 1, 1, "c:0", "arrow"),
    ]
    facts: dict[str, Any] = {
        "state": "normalized",
        "schema_name": "s",
        "schema_version": 1,
        "schema_hash": "hash-1",
        "jobs": tuple(jobs),
        "author": "worker-1",
        "run_id": "run",
        "created_at": 1.0,
        "committed_at": 2.0,
        "dispositions": {"games": "append"},
        "options": {"refresh": None},
    }
    return PackageRecord(LoadId(load_id), **{**facts, **more})
