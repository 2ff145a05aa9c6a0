"""JSON: lines and whole documents to rows, every number exactly as it is written or refused.

The fast parser turns integers of more than 64 bits into floats and refuses NaN and Infinity, which many programs
write. A line where it could be wrong, or fails, is read again by the standard library's parser. Of two equal keys in
one object the last one counts, as for every common parser; nothing marks the first.
"""

from __future__ import annotations

import gc
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import orjson

from oarlock.errors import InvalidFile
from oarlock.steps.streams import BOM, blocks, opened, reading

#: A line longer than this is refused rather than read: a file without line ends would fill the memory.
MAX_LINE_BYTES = 256 * 1024 * 1024
#: Batches that a document is handed on in.
DOCUMENT_BATCH_ROWS = 10_000
#: An integer of as many digits may not fit 64 bits.
_LONG_NUMBER = b"0" * 19
_DIGITS_TO_ZERO = bytes(0x30 if chr(byte).isdecimal() and byte < 128 else 0x20 for byte in range(256))


def read_lines(path: Path, compression: str | None, start: int = 0, stop: int | None = None) -> Iterator[list[Any]]:
    """Give the rows of a JSON lines file, or of the lines from one byte to another, a block at a time.

    Raises:
        InvalidFile: a line is not JSON; it names the line.
    """
    with reading(path), opened(path, compression) as stream:
        if start:
            stream.seek(start)
        before = 0
        for block in _whole_lines(path, stream, None if stop is None else stop - start):
            if before == 0 and start == 0 and block.startswith(BOM):
                block = block[len(BOM) :]
            lines = block.split(b"\n")
            ends = len(lines) - 1
            rows = _rows(path, block, lines, before, start)
            if rows:
                yield rows
            before += ends


def read_document(path: Path, compression: str | None) -> Iterator[list[Any]]:
    """Give the rows of a JSON file: the elements of its array, its one object, or its lines if it has several values.

    Raises:
        InvalidFile: it is none of these.
    """
    with reading(path), opened(path, compression) as stream:
        head = _first_line(path, stream)
    if _is_lines(head):
        yield from read_lines(path, compression)
        return
    with reading(path), opened(path, compression) as stream:
        text = b"".join(blocks(stream)).removeprefix(BOM)
    if not text.strip():
        return
    with _calm_collector():
        try:
            value = orjson.loads(text) if not _may_be_inexact(text) else _exact(text)
        except ValueError:
            value = _exact_or_invalid(path, text)
    del text
    if isinstance(value, list):
        for first in range(0, len(value), DOCUMENT_BATCH_ROWS):
            yield value[first : first + DOCUMENT_BATCH_ROWS]
    else:
        yield [value]


def _whole_lines(path: Path, stream: IO[bytes], length: int | None) -> Iterator[bytes]:
    """Give blocks that end at line ends; only the last may end without one."""
    rest: list[bytes] = []
    held = 0
    for block in blocks(stream):
        if length is not None:
            block = block[:length]
            length -= len(block)
        cut = block.rfind(b"\n") + 1
        if cut:
            yield b"".join((*rest, block[:cut]))
            rest, held = [], 0
        if cut < len(block):
            rest.append(block[cut:])
            held += len(block) - cut
        if held > MAX_LINE_BYTES:
            raise InvalidFile(path, f"a line is longer than {MAX_LINE_BYTES} bytes; is it JSON lines?")
        if length == 0:
            break
    if rest:
        yield b"".join(rest)


def _rows(path: Path, block: bytes, lines: list[bytes], before: int, start: int) -> list[Any]:
    if not lines[-1]:
        lines.pop()
    if not _may_be_inexact(block):
        try:
            with _calm_collector():
                return list(map(orjson.loads, lines))
        except ValueError:
            pass  # an empty line, NaN, or a mistake: each line tells
    rows = []
    for number, line in enumerate(lines, before + 1):
        if line.strip():
            try:
                rows.append(_exact(line) if _may_be_inexact(line) else orjson.loads(line))
            except ValueError:
                where = number if start == 0 else number + _lines_before(path, start)
                rows.append(_exact_or_invalid(path, line, where))
    return rows


def _lines_before(path: Path, start: int) -> int:
    count = 0
    with path.open("rb") as stream:
        for block in blocks(stream):
            count += block[:start].count(b"\n")
            start -= len(block)
            if start <= 0:
                break
    return count


def _may_be_inexact(text: bytes) -> bool:
    return _LONG_NUMBER in text.translate(_DIGITS_TO_ZERO)


def _exact(text: bytes) -> Any:
    """Parse with integers of any length, NaN and Infinity."""
    return json.loads(text.decode("utf-8"), parse_float=_finite)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text[:50]} is too large for a float")
    return number


def _exact_or_invalid(path: Path, text: bytes, line: int | None = None) -> Any:
    try:
        value = _exact(text)
        if b"\\u" in text:
            # Half of a surrogate pair can be written in JSON, but in no table.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        where = line if line is not None else text[: error.start].count(b"\n") + 1
        raise InvalidFile(path, f"it is not UTF-8 ({error.reason} at byte {error.start})", where) from error
    except UnicodeEncodeError as error:
        raise InvalidFile(path, "a text holds half of a surrogate pair, which is no character", line) from error
    except RecursionError as error:
        raise InvalidFile(path, "its values are nested too deeply", line) from error
    except json.JSONDecodeError as error:
        where = line if line is not None else error.lineno
        raise InvalidFile(path, f"it is not JSON: {error.msg} at column {error.colno}", where) from error
    except ValueError as error:
        raise InvalidFile(path, f"it cannot be read: {error}", line) from error
    return value


def _first_line(path: Path, stream: IO[bytes]) -> bytes:
    """Give the first line that is not blank, and nothing if more than a block comes before its end."""
    text = stream.read(64 * 1024).removeprefix(BOM).lstrip()
    while b"\n" not in text and len(text) <= MAX_LINE_BYTES and (more := stream.read(1024 * 1024)):
        text += more
    return text.partition(b"\n")[0]


def _is_lines(line: bytes) -> bool:
    """Tell whether a file whose first line this is holds one value a line: the line is an object by itself."""
    if not line.startswith(b"{"):
        return False
    try:
        _exact(line)
    except (ValueError, RecursionError):
        return False
    return True


@contextmanager
def _calm_collector() -> Iterator[None]:
    """Keep the garbage collector from walking the rows while they are made: what JSON makes has no circles."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
