"""Batches: settled columns put together to rows; a wide table with few values in a row in several narrow batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from oarlock.steps.rowids import Numbers
from oarlock.steps.settle import SettledColumn

#: Cells of one batch, NULLs among them: a batch is dense, however sparse its rows are.
BATCH_CELLS = 4_000_000
#: Below this many rows a batch is not cut further.
MIN_ROWS = 16


def batches_of(
    columns: Sequence[SettledColumn], system: Mapping[str, pa.Array], count: int
) -> Iterator[pa.RecordBatch]:
    """Give the rows of a table as batches: one, unless it had too many cells."""
    if count * (len(columns) + len(system)) <= BATCH_CELLS:
        yield _batch({column.name: spread(column.array, column.rows, count) for column in columns}, system)
        return
    length = max(MIN_ROWS, BATCH_CELLS // (len(columns) + len(system)))
    parts: dict[int, dict[str, pa.Array]] = {first: {} for first in range(0, count, length)}
    for column in columns:
        for first, array, rows in _cut(column, count, length):
            parts[first][column.name] = spread(array, rows, min(length, count - first))
    for first, arrays in parts.items():
        yield _batch(arrays, {name: array.slice(first, length) for name, array in system.items()})


def _batch(arrays: Mapping[str, pa.Array], system: Mapping[str, pa.Array]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([*arrays.values(), *system.values()], names=[*arrays, *system])


def spread(array: pa.Array, rows: Numbers | None, count: int) -> pa.Array:
    """Place a column's values in their rows among ``count``, NULL elsewhere."""
    if rows is None or len(rows) == count:
        return array
    places = np.full(count, -1, dtype=np.int64)
    places[rows] = np.arange(len(rows), dtype=np.int64)
    return array.take(pa.array(places, mask=places < 0))


def _cut(column: SettledColumn, count: int, length: int) -> Iterator[tuple[int, pa.Array, Numbers | None]]:
    """Give the parts of a column that stand in each run of rows, without the runs where it has none."""
    rows = column.rows
    if rows is None:
        for first in range(0, count, length):
            yield first, column.array.slice(first, length), None
        return
    runs, starts = np.unique(rows // length, return_index=True)
    stops = [*starts[1:].tolist(), len(rows)]
    for run, start, stop in zip(runs.tolist(), starts.tolist(), stops, strict=True):
        first = run * length
        yield first, column.array.slice(start, stop - start), rows[start:stop] - first
