"""Raw rows: what ``extract()`` keeps for a ``normalize()`` to come. Typed JSON lines, or Arrow as it was given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from oarlock.errors import InvalidRow
from oarlock.state.base import Job
from oarlock.state.typed_json import dumps, loads
from oarlock.steps.normalize import Normalizer, TableHints
from oarlock.steps.plain import plain
from oarlock.steps.spool import PackageWriter, read_slice

ROWS = "typed-jsonl"
TABLES = "arrow-raw"
#: The job's table is a hint set's number, so that two resources with other hints may share a table.
HINTS = "hints"


class RawWriter:
    """Takes batches as the normalizer does, and writes them down as they are."""

    def __init__(self, writer: PackageWriter, options: dict[str, Any]) -> None:
        self._writer = writer
        self._options = options
        self._hints: list[dict[str, Any]] = []

    def add_rows(self, hints: TableHints, rows: list[Any]) -> None:
        """Write rows as typed JSON lines."""
        lines = b"\n".join(_line(hints, row) for row in rows)
        self._writer.add_bytes(hints.table, lines, len(rows), form=f"{ROWS}:{self._number(hints, False)}")

    def add_arrow(self, hints: TableHints, table: pa.Table | pa.RecordBatch, *, system_columns: bool) -> None:
        """Write a table as it is."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write(table)
        data = memoryview(sink.getvalue())
        self._writer.add_bytes(
            hints.table, data, table.num_rows, form=f"{TABLES}:{self._number(hints, system_columns)}"
        )

    def _number(self, hints: TableHints, system_columns: bool) -> int:
        document = {
            "table": hints.table,
            "write_disposition": hints.write_disposition,
            "primary_key": list(hints.primary_key),
            "merge_key": list(hints.merge_key),
            "columns": {name: dict(column) for name, column in hints.columns.items()},
            "max_table_nesting": hints.max_table_nesting,
            "resource": hints.resource,
            "system_columns": system_columns,
        }
        if document not in self._hints:
            self._hints.append(document)
        return self._hints.index(document)

    def finish(self) -> None:
        """Put the hints into the package's options."""
        self._options[HINTS] = self._hints


def normalize_jobs(folder: Path, jobs: list[Job], options: Mapping[str, Any], normalizer: Normalizer) -> None:
    """Hand raw jobs to the normalizer, in the order in which they were written."""
    for job in jobs:
        form, _, number = job.format.partition(":")
        document = dict(options[HINTS][int(number)])
        system_columns = document.pop("system_columns")
        document["primary_key"] = tuple(document["primary_key"])
        document["merge_key"] = tuple(document["merge_key"])
        hints = TableHints(**document)
        data = read_slice(folder, job)
        if form == TABLES:
            with pa.ipc.open_stream(data) as stream:
                for batch in stream:
                    normalizer.add_arrow(hints, pa.Table.from_batches([batch]), system_columns=system_columns)
        else:
            normalizer.add_rows(hints, list(_rows(data)))


def _line(hints: TableHints, row: Any) -> bytes:
    try:
        return dumps(_deep(row))
    except RecursionError:
        raise InvalidRow(
            hints.table, "", repr(type(row)), "it is nested too deep to be written down; use run()"
        ) from None


def _deep(value: Any) -> Any:
    turned = plain(value)
    if isinstance(turned, dict):
        return {key: _deep(inner) for key, inner in turned.items()}
    if isinstance(turned, list):
        return [_deep(inner) for inner in turned]
    return turned


def _rows(data: bytes) -> Iterator[Any]:
    return (loads(line) for line in data.split(b"\n"))
