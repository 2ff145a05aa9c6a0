"""Packages to load, made of plain rows: what the tests of destinations hand to them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from oarlock.destinations.base import JobFile, LoadGroup, PackageToLoad, SchemaToLoad, StateRow
from oarlock.values import LoadId

#: Arrow types that the engine gives for each data type.
ARROW: dict[str, pa.DataType] = {
    "text": pa.string(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "bool": pa.bool_(),
    "timestamp": pa.timestamp("us", "UTC"),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "decimal": pa.decimal128(38, 9),
    "wei": pa.decimal128(38, 0),
    "binary": pa.binary(),
    "json": pa.string(),
}

PIPELINE = "games"


def table(name: str, columns: Mapping[str, str], **hints: Any) -> dict[str, Any]:
    """Make a table of the schema document: column -> data type."""
    document = {c: {"name": c, "data_type": kind, "nullable": True} for c, kind in columns.items()}
    return {"name": name, "columns": document, **hints}


def schema(*tables: dict[str, Any], name: str = "games", version: int = 1) -> SchemaToLoad:
    """Make a schema of tables."""
    document = {"name": name, "version": version, "engine_version": 11, "tables": {t["name"]: t for t in tables}}
    text = json.dumps(document)
    version_hash = hashlib.sha256(text.encode()).hexdigest()
    return SchemaToLoad(name, version, version_hash, 11, {t["name"]: t for t in tables}, text)


class Spool:
    """Writes jobs as slices of one file a package."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def package(
        self,
        load_id: str,
        rows: Mapping[str, Sequence[Mapping[str, Any]]],
        made_for: SchemaToLoad,
        dispositions: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> PackageToLoad:
        """Write a package: table -> rows. A column is written only where a row has it."""
        jobs = []
        path = self.folder / f"{load_id}.arrow"
        with path.open("wb") as file:
            for number, (name, some) in enumerate(rows.items()):
                start = file.tell()
                columns = made_for.tables[name]["columns"]
                present = [c for c in columns if any(c in row for row in some)]
                arrow = pa.table({c: pa.array([row.get(c) for row in some], more_type(columns[c])) for c in present})
                with pa.ipc.new_stream(file, arrow.schema) as writer:
                    writer.write_table(arrow)
                jobs.append(JobFile(f"{name}.{number}", name, path, start, file.tell() - start, len(some)))
        chosen = dispositions or dict.fromkeys(rows, "append")
        return PackageToLoad(LoadId(load_id), made_for.name, jobs, chosen, **more)


def more_type(column: Mapping[str, Any]) -> pa.DataType:
    """Give the Arrow type of a column's rows."""
    if column["data_type"] == "timestamp" and column.get("timezone") is False:
        return pa.timestamp("us")
    return ARROW[column["data_type"]]


def group(
    *packages: PackageToLoad,
    schemas: Sequence[SchemaToLoad],
    state: StateRow | None = None,
    fence: Callable[[], None] = lambda: None,
) -> LoadGroup:
    """Put packages into one group."""
    return LoadGroup(packages, {s.name: s for s in schemas}, state, fence, PIPELINE)


def state(version: int = 1, text: str = "{}", pipeline_name: str = PIPELINE) -> StateRow:
    """Make a state row; its hash is that of its text."""
    return StateRow(version, 4, pipeline_name, text, hashlib.sha256(text.encode()).hexdigest(), 1_700_000_000.5)
