"""Input files: which there are, which table each is for, and their rows in batches, whole or a slice at a time.

| suffix | what |
| --- | --- |
| .jsonl .ndjson | JSON lines, one row each |
| .json | an array of rows, one row, or JSON lines |
| .csv .tsv | delimited text; the first line names the columns |
| .parquet | Parquet |
| .arrow .ipc .feather .arrows | Arrow IPC, as a file or as a stream |

The text kinds may be compressed: ``.gz``, ``.zst``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from oarlock.errors import InvalidFile
from oarlock.steps.delimited import read_delimited
from oarlock.steps.jsons import read_document, read_lines
from oarlock.steps.streams import first_line, reading, size_of

Format = Literal["lines", "json", "csv", "tsv", "parquet", "arrow"]

#: Readers by suffix.
FORMATS: dict[str, Format] = {
    ".jsonl": "lines",
    ".ndjson": "lines",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".ipc": "arrow",
    ".feather": "arrow",
    ".arrows": "arrow",
}
#: Second suffixes of compressed text.
COMPRESSIONS = {".gz": "gz", ".zst": "zst"}
#: Rows of a Parquet file that are read at a time.
PARQUET_BATCH_ROWS = 65_536
#: A slice of fewer bytes is not worth a worker's turn.
MIN_SLICE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Kind:
    """How a file is read."""

    format: Format
    compression: str | None = None


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a file that one worker reads: whole lines from one byte to another, or all of it."""

    #: Marks the class for those who take files from resources without importing readers.
    __oarlock_file__: ClassVar[bool] = True

    path: Path
    start: int = 0
    stop: int | None = None


def kind_of(path: Path | str) -> Kind:
    """Tell how a file is read, by its suffix.

    >>> kind_of("events.jsonl.gz")
    Kind(format='lines', compression='gz')

    Raises:
        InvalidFile: no reader has this suffix.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    compression = COMPRESSIONS.get(suffix)
    if compression:
        suffix = path.with_suffix("").suffix.lower()
    found = FORMATS.get(suffix)
    if found is None or (compression and found in ("parquet", "arrow")):
        known = ", ".join(FORMATS)
        raise InvalidFile(path, f"its suffix {suffix!r} is not known. Known are {known}, and .gz or .zst after text")
    return Kind(found, compression)


def is_known(path: Path | str) -> bool:
    """Tell whether a file has a suffix that a reader knows."""
    try:
        kind_of(path)
    except InvalidFile:
        return False
    return True


def table_name_of(path: Path | str) -> str:
    """Name the table that a file's rows go to if nothing else is said: the file's name without its suffixes.

    >>> table_name_of("data/events.2024.jsonl.gz")
    'events.2024'
    """
    path = Path(path)
    kind = kind_of(path)
    return path.with_suffix("").stem if kind.compression else path.stem


def read(item: Path | Slice) -> Iterator[list[Any] | pa.RecordBatch]:
    """Give the rows of a file or slice in batches: lists of rows for JSON, Arrow batches for everything else.

    Raises:
        InvalidFile: it cannot be read; names the file, and the line where there is one.
    """
    part = item if isinstance(item, Slice) else Slice(Path(item))
    kind = kind_of(part.path)
    if kind.format == "lines" or part.stop is not None:
        yield from read_lines(part.path, kind.compression, part.start, part.stop)
    elif kind.format == "json":
        yield from read_document(part.path, kind.compression)
    elif kind.format == "parquet":
        yield from _read_parquet(part.path)
    elif kind.format == "arrow":
        yield from _read_arrow(part.path)
    else:
        separator = "," if kind.format == "csv" else "\t"
        yield from read_delimited(part.path, kind.compression, separator=separator)


def split(path: Path | str, parts: int) -> list[Slice]:
    """Cut a file into at most ``parts`` slices of about one size; only plain JSON lines can be cut.

    Raises:
        InvalidFile: the file cannot be opened.
    """
    path = Path(path)
    kind = kind_of(path)
    size = size_of(path)
    parts = min(parts, max(1, size // MIN_SLICE_BYTES))
    if parts <= 1 or kind != Kind("lines"):
        return [Slice(path)]
    cuts = [0]
    with reading(path), path.open("rb") as stream:
        for part in range(1, parts):
            stream.seek(max(size * part // parts - 1, 0))
            stream.readline()
            if cuts[-1] < stream.tell() < size:
                cuts.append(stream.tell())
    return [Slice(path, start, stop) for start, stop in zip(cuts, [*cuts[1:], size], strict=True)]


def _read_parquet(path: Path) -> Iterator[pa.RecordBatch]:
    with reading(path), pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=PARQUET_BATCH_ROWS):
            yield _checked(batch)


def _read_arrow(path: Path) -> Iterator[pa.RecordBatch]:
    with reading(path), pa.OSFile(str(path), "rb") as source:
        try:
            reader = pa.ipc.open_file(source)
        except pa.ArrowInvalid as not_a_file:
            source.seek(0)
            try:
                stream = pa.ipc.open_stream(source)
            except pa.ArrowInvalid as error:
                raise InvalidFile(path, f"it is no Arrow file ({first_line(not_a_file)})") from error
            yield from map(_checked, stream)
            return
        for place in range(reader.num_record_batches):
            yield _checked(reader.get_batch(place))


def _checked(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Refuse a batch whose offsets point elsewhere or whose text is not UTF-8, as a file can have been made."""
    batch.validate(full=True)
    return batch
