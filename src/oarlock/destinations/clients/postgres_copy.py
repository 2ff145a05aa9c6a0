"""Arrow rows as the CSV that Postgres's COPY reads: NULL is nothing, every text is quoted, bytes are hexadecimal."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.csv as pa_csv

#: Texts are always quoted, so an empty one is "" and never NULL; what is not a text never needs quotes.
_WRITE = pa_csv.WriteOptions(include_header=False, quoting_style="needed")

#: Rows that are text at one time: what bounds the memory that a large batch takes.
PIECE_ROWS = 20_000
#: The form of COPY that reads what ``csv_of`` writes.
COPY_OPTIONS = "(FORMAT csv, NULL '', ENCODING 'UTF8')"


def csv_of(batch: pa.RecordBatch) -> Iterator[memoryview]:
    """Give the rows of a batch as CSV, in pieces."""
    for start in range(0, batch.num_rows, PIECE_ROWS):
        yield memoryview(_csv(batch.slice(start, PIECE_ROWS)))


def _csv(batch: pa.RecordBatch) -> pa.Buffer:
    columns = [_writable(column) for column in batch.columns]
    sink = pa.BufferOutputStream()
    pa_csv.write_csv(pa.RecordBatch.from_arrays(columns, names=batch.schema.names), sink, _WRITE)
    return sink.getvalue()


def _writable(column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_decimal(kind):
        return column.cast(pa.string())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return pa.array([None if v is None else "\\x" + v.hex() for v in column.to_pylist()], pa.string())
    if pa.types.is_null(kind):
        return column.cast(pa.string())
    return column
