"""Extract: take what resources yield, in batches bounded by rows and bytes, and hand them on with their hints."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import orjson
import pyarrow as pa

from oarlock.errors import InvalidName, UnsupportedData
from oarlock.hints import Hints
from oarlock.resources import Resource, is_tabular
from oarlock.scope import ResourceScope, entered
from oarlock.steps.files import read
from oarlock.steps.normalize import TableHints
from oarlock.values import WriteDisposition

#: Rows are handed on in batches of this many: enough for the columns to pay, few enough to stay small.
BATCH_ROWS = 10_000
#: … or of about this many bytes of JSON, measured on one row in fifty.
BATCH_BYTES = 8_000_000
_MEASURED_EVERY = 50


class Taker(Protocol):
    """What takes batches: the normalizer, or the writer of rows that are normalized later."""

    def add_rows(self, hints: TableHints, rows: list[Any]) -> None: ...
    def add_arrow(self, hints: TableHints, table: pa.Table | pa.RecordBatch, *, system_columns: bool) -> None: ...


def extract_resource(
    resource: Resource,
    taker: Taker,
    *,
    batch_rows: int = BATCH_ROWS,
    batch_bytes: int = BATCH_BYTES,
    progress: Callable[[str, int], None] = lambda table, rows: None,
) -> dict[str, WriteDisposition]:
    """Run one resource to its end; give the root tables it has (or would have) rows for, and their dispositions.

    Raises:
        DataError: what it yields cannot be rows; whatever the resource's own code raises passes through.
    """
    dispositions: dict[str, WriteDisposition] = {}
    disposition = resource.hints.write_disposition or "append"
    if not callable(resource.hints.table_name):
        dispositions[_table(resource.hints.table_name or resource.name)] = disposition
    with entered(ResourceScope(resource.source_name, resource.name)):
        for batch in _batches(resource, batch_rows, batch_bytes):
            for name, part in _by_table(resource, batch):
                hints = table_hints(resource.name, name, resource.hints)
                dispositions[hints.table] = hints.write_disposition
                if isinstance(part, list):
                    taker.add_rows(hints, part)
                    progress(hints.table, len(part))
                else:
                    table, with_system = part
                    taker.add_arrow(hints, table, system_columns=with_system)
                    progress(hints.table, table.num_rows)
    return dispositions


def table_hints(resource_name: str, table: str, hints: Hints) -> TableHints:
    """Put a resource's hints into the form that the engine takes, for one of its tables."""
    return TableHints(
        table=_table(table),
        write_disposition=hints.write_disposition or "append",
        primary_key=hints.primary_key,
        merge_key=hints.merge_key,
        columns=hints.columns,
        max_table_nesting=hints.max_table_nesting,
        resource=resource_name,
    )


def _table(name: Any) -> str:
    if not isinstance(name, str) or not name.strip():
        raise InvalidName("table", repr(name), "it is not a text with at least one visible character")
    return name


#: A batch is a list of rows, or an Arrow table and whether it gets the system columns.
Batch = list[Any] | tuple[pa.Table, bool]


def _batches(resource: Resource, batch_rows: int, batch_bytes: int) -> Iterator[Batch]:
    rows: list[Any] = []
    measured = size = 0
    for item in resource.items():
        for one in _parts(item):
            if isinstance(one, tuple):
                if rows:
                    yield rows
                    rows, measured, size = [], 0, 0
                yield one
                continue
            rows.extend(one)
            if len(rows) // _MEASURED_EVERY >= measured:
                measured = len(rows) // _MEASURED_EVERY + 1
                size = max(size, _weight(one[-1]))
            while len(rows) >= batch_rows or size * len(rows) > batch_bytes:
                take = min(len(rows), batch_rows, max(1, batch_bytes // max(size, 1)))
                yield rows[:take]
                rows = rows[take:]
                measured = 0
            if not rows:
                size = 0
    if rows:
        yield rows


def _weight(row: Any) -> int:
    """Tell about how many bytes a row has as JSON; what JSON cannot tell counts as little."""
    try:
        return len(orjson.dumps(row, default=str, option=orjson.OPT_NON_STR_KEYS))
    except (TypeError, ValueError, RecursionError):
        return 1024


def _parts(item: Any) -> Iterator[Batch]:
    """Take one yielded item apart: a page of rows, one row, a table, or a file's batches."""
    if type(item) is dict:
        yield [item]
    elif isinstance(item, list):
        plain: list[Any] = []
        for one in item:
            if type(one) is dict:
                plain.append(one)
            elif isinstance(one, Path) or (not isinstance(one, Mapping) and is_tabular(one)):
                if plain:
                    yield plain
                    plain = []
                yield from _parts(one)
            else:
                plain.append(one)
        if plain:
            yield plain
    elif isinstance(item, Path) or hasattr(item, "__oarlock_file__"):
        for batch in read(item):
            yield batch if isinstance(batch, list) else (as_table(batch), True)
    elif not isinstance(item, Mapping) and is_tabular(item):
        yield from _tables(item)
    elif callable(item):
        raise UnsupportedData(type(item).__name__, "a resource yielded a function; yield rows")
    elif item is not None:
        yield [item]


def _tables(value: Any) -> Iterator[Batch]:
    if isinstance(value, pa.RecordBatchReader):
        for batch in value:
            if batch.num_rows:
                yield pa.Table.from_batches([batch]), False
        return
    if type(value).__module__.startswith("pandas"):
        try:
            yield pa.Table.from_pandas(value, preserve_index=False), False
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
            # Columns of mixed Python values: only row by row can tell what they are.
            yield _records(value)
        return
    if isinstance(value, pa.Table | pa.RecordBatch):
        yield as_table(value), False
    elif hasattr(value, "to_arrow"):
        yield as_table(value.to_arrow()), False
    else:
        yield from _tables(pa.RecordBatchReader.from_stream(value))


def _records(frame: Any) -> list[Any]:
    missing = frame.isna().to_numpy()
    return [
        {str(key): (None if missing[at][place] else value) for place, (key, value) in enumerate(row.items())}
        for at, row in enumerate(frame.to_dict("records"))
    ]


def as_table(value: pa.Table | pa.RecordBatch) -> pa.Table:
    """Give Arrow data as a table."""
    return pa.Table.from_batches([value]) if isinstance(value, pa.RecordBatch) else value


def _by_table(resource: Resource, batch: Batch) -> Iterator[tuple[str, Batch]]:
    """Tell which table each part of a batch goes to; a table name that is a function is asked for each row."""
    name = resource.hints.table_name
    if not callable(name):
        yield name or resource.name, batch
        return
    if not isinstance(batch, list):
        batch = batch[0].to_pylist()
    parts: dict[str, list[Any]] = {}
    for row in batch:
        parts.setdefault(_table(name(row)), []).append(row)
    yield from parts.items()
