"""Streams: an input file as bytes, unpacked where it is compressed, its failures told as faults of the file."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pyarrow as pa

from oarlock.errors import InvalidFile

#: Bytes read at a time.
BLOCK_BYTES = 1024 * 1024
#: Some editors write this before the first character of a text file.
BOM = b"\xef\xbb\xbf"


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what reading a file raises into InvalidFile."""
    try:
        yield
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise InvalidFile(path, f"it cannot be unpacked: {error}") from error
    except pa.ArrowInvalid as error:
        raise InvalidFile(path, first_line(error)) from error
    except OSError as error:
        raise InvalidFile(path, error.strerror or first_line(error)) from error
    except (pa.ArrowException, MemoryError) as error:
        raise InvalidFile(path, first_line(error) or type(error).__name__) from error


def first_line(error: BaseException) -> str:
    """Give the first line of an error's text, without the full stop that the sentence around it brings."""
    return (str(error).strip().splitlines() or [""])[0].rstrip(".")


@contextmanager
def opened(path: Path, compression: str | None) -> Iterator[IO[bytes]]:
    """Open a file for reading its bytes, unpacked."""
    if compression == "gz":
        with gzip.open(path, "rb") as unpacked:
            yield unpacked  # type: ignore[misc]  # GzipFile reads as IO[bytes] does
    elif compression == "zst":
        with pa.OSFile(str(path), "rb") as packed, pa.CompressedInputStream(packed, "zstd") as unpacked:
            yield unpacked
    else:
        with path.open("rb") as plain:
            yield plain


def blocks(stream: IO[bytes], *, size: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Read to the end, a block at a time."""
    while block := stream.read(size):
        yield block


def size_of(path: Path) -> int:
    """Give a file's size in bytes."""
    with reading(path):
        return path.stat().st_size


def line_of_bad_utf8(path: Path, compression: str | None) -> int | None:
    """Find the first line that is not UTF-8."""
    with opened(path, compression) as stream:
        for number, line in enumerate(stream, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return None
