"""Delimited text: CSV files to Arrow batches, each column with the one type that every value of the file has.

Every value is read as text first. A column is given a type only if all its values are written as that type writes
them, so that nothing is lost: ``007`` and ``1,5`` stay text, and so does a number too long for 64 bits. A file that is
larger than a block is therefore read twice: once for the types, once for the rows. Empty values are NULL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from oarlock.errors import InvalidFile
from oarlock.steps.streams import BLOCK_BYTES, BOM, first_line, line_of_bad_utf8, opened, reading

#: Separators that are looked for in the first line of a .csv file that has no comma.
OTHER_SEPARATORS = (";", "\t", "|")

_INTEGER = r"^(0|-?[1-9][0-9]{0,18})$"
_FLOAT = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$|^-?[Ii]nf(inity)?$|^[Nn]a[Nn]$"
_ANY_INTEGER = r"^-?[0-9]+$"
_TRUTH = r"^([Tt]rue|[Ff]alse|TRUE|FALSE)$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_TIME = r"^[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?$"
_MOMENT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
_ZONED = _MOMENT + r"(Z|[+-][0-9]{2}:?[0-9]{2})$"
_NAIVE = _MOMENT + "$"

_UTC = pa.timestamp("us", "UTC")


def read_delimited(path: Path, compression: str | None, *, separator: str) -> Iterator[pa.RecordBatch]:
    """Give the rows of a file whose first line names its columns.

    Raises:
        InvalidFile: a row has too few or too many values, or the file is not UTF-8.
    """
    separator = _separator(path, compression, separator)
    with reading(path):
        first: list[pa.RecordBatch] = []
        kinds: list[_Kinds] = []
        is_whole = True
        for batch in _texts(path, compression, separator):
            kinds = kinds or [_Kinds() for _ in range(batch.num_columns)]
            for kind, column in zip(kinds, batch.columns, strict=True):
                kind.look_at(column)
            if is_whole and len(first) < 2:
                first.append(batch)
            else:
                is_whole = False
        for batch in first if is_whole else _texts(path, compression, separator):
            arrays = [kind.convert(column) for kind, column in zip(kinds, batch.columns, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def _separator(path: Path, compression: str | None, separator: str) -> str:
    if separator != ",":
        return separator
    with reading(path), opened(path, compression) as stream:
        head = stream.readline(64 * 1024).decode("utf-8", "replace")
    if "," in head:
        return ","
    return max(OTHER_SEPARATORS, key=head.count) if any(one in head for one in OTHER_SEPARATORS) else ","


def _texts(path: Path, compression: str | None, separator: str) -> Iterator[pa.RecordBatch]:
    """Read the file with every column as text."""
    with opened(path, compression) as stream:
        names, blank_lines = _names(path, stream, separator)
    if not names:
        return
    unreadable: list[str] = []

    def refuse(row: Any) -> str:
        unreadable.append(f"row {row.number} has {row.actual_columns} values where {row.expected_columns} are expected")
        return "error"

    # Columns are read by place, because two may have one name.
    places = [f"f{place}" for place in range(len(names))]
    try:
        with opened(path, compression) as stream:
            reader = pacsv.open_csv(
                stream,
                read_options=pacsv.ReadOptions(
                    block_size=BLOCK_BYTES,
                    use_threads=False,
                    column_names=places,
                    skip_rows=blank_lines,
                    skip_rows_after_names=1,
                ),
                parse_options=pacsv.ParseOptions(
                    delimiter=separator, newlines_in_values=True, invalid_row_handler=refuse
                ),
                convert_options=pacsv.ConvertOptions(
                    column_types=dict.fromkeys(places, pa.string()),
                    strings_can_be_null=True,
                    null_values=[""],
                ),
            )
            for batch in reader:
                yield pa.RecordBatch.from_arrays(batch.columns, names=names)
    except pa.ArrowInvalid as error:
        if unreadable:
            raise InvalidFile(path, unreadable[0]) from error
        if "UTF8" in str(error):
            line = line_of_bad_utf8(path, compression)
            raise InvalidFile(path, "it is not UTF-8", line) from error
        raise InvalidFile(path, first_line(error)) from error


def _names(path: Path, stream: IO[bytes], separator: str) -> tuple[list[str], int]:
    """Give the names in the first row, none for a file without a row, and the number of empty lines before it."""
    head = b""
    while block := stream.read(64 * 1024):
        head += block
        if len(_first_row(head.lstrip(b"\r\n"))) < len(head):
            break
    text = head.removeprefix(BOM)
    head = text.lstrip(b"\r\n")
    if not head.strip():
        return [], 0
    blank_lines = text.count(b"\n", 0, len(text) - len(head))
    try:
        table = pacsv.read_csv(
            pa.BufferReader(_first_row(head)),
            read_options=pacsv.ReadOptions(autogenerate_column_names=True, use_threads=False),
            parse_options=pacsv.ParseOptions(delimiter=separator, newlines_in_values=True),
            convert_options=pacsv.ConvertOptions(
                null_values=[],
                column_types={f"f{place}": pa.string() for place in range(head.count(separator.encode()) + 1)},
            ),
        )
    except pa.ArrowInvalid as error:
        raise InvalidFile(path, f"its first row cannot be read: {first_line(error)}", 1) from error
    return [str(column[0].as_py() or "") for column in table.columns], blank_lines


def _first_row(text: bytes) -> bytes:
    """Cut after the first line end that is not inside quotes."""
    quotes = 0
    at = 0
    while (end := text.find(b"\n", at)) >= 0:
        quotes += text.count(b'"', at, end)
        if quotes % 2 == 0:
            return text[: end + 1]
        at = end + 1
    return text


class _Kinds:
    """What the values of one column may be, fewer with each block that is looked at."""

    def __init__(self) -> None:
        self.left: list[Callable[[pa.Array], pa.Array | None]] = list(_CONVERSIONS)
        self.is_empty = True

    def look_at(self, column: pa.Array) -> None:
        texts = column.drop_null()
        if not len(texts):
            return
        self.is_empty = False
        self.left = [convert for convert in self.left if convert(texts) is not None]

    def convert(self, column: pa.Array) -> pa.Array:
        """Convert a column to the first kind that fits every block."""
        if self.is_empty:
            return pa.nulls(len(column))
        for conversion in self.left:
            converted = conversion(column)
            if converted is not None:
                return converted
        return column


def _all_match(texts: pa.Array, pattern: str) -> bool:
    return pc.all(pc.match_substring_regex(texts, pattern)).as_py() is not False


def _cast(texts: pa.Array, kind: pa.DataType) -> pa.Array | None:
    try:
        return pc.cast(texts, kind)
    except pa.ArrowInvalid:
        return None


def _integers(texts: pa.Array) -> pa.Array | None:
    return _cast(texts, pa.int64()) if _all_match(texts, _INTEGER) else None


def _floats(texts: pa.Array) -> pa.Array | None:
    if not _all_match(texts, _FLOAT):
        return None
    numbers = _cast(texts, pa.float64())
    if numbers is None:
        return None
    # Whole numbers a float cannot hold, and numbers it can only call infinite, stay as they are written.
    written_whole = pc.match_substring_regex(texts, _ANY_INTEGER)
    if pc.any(pc.and_(written_whole, pc.greater_equal(pc.abs(numbers), 2.0**53))).as_py():
        return None
    if pc.any(pc.and_(pc.is_inf(numbers), pc.match_substring_regex(texts, "[0-9]"))).as_py():
        return None
    return numbers


def _truths(texts: pa.Array) -> pa.Array | None:
    return pc.equal(pc.utf8_lower(texts), "true") if _all_match(texts, _TRUTH) else None


def _dates(texts: pa.Array) -> pa.Array | None:
    return _cast(texts, pa.date32()) if _all_match(texts, _DATE) else None


def _times(texts: pa.Array) -> pa.Array | None:
    if not _all_match(texts, _TIME):
        return None
    # Arrow reads no times of day from text, but moments: those of any one day will do.
    moments = _cast(pc.binary_join_element_wise(pa.scalar("1970-01-01T"), texts, ""), pa.timestamp("us"))
    return None if moments is None else pc.cast(moments, pa.time64("us"))


def _zoned(texts: pa.Array) -> pa.Array | None:
    return _cast(texts, _UTC) if _all_match(texts, _ZONED) else None


def _naive(texts: pa.Array) -> pa.Array | None:
    if not _all_match(texts, _NAIVE):
        return None
    moments = _cast(texts, pa.timestamp("us"))
    return None if moments is None else pc.assume_timezone(moments, "UTC")


#: Tried in this order.
_CONVERSIONS = (_truths, _integers, _floats, _dates, _zoned, _naive, _times)
