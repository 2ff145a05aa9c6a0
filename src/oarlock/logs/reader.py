"""Reading the lines of all processes back, joined by time, with what a killed process tore left out."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

import orjson

#: One event as it was written.
Line = dict[str, Any]
#: Where a line stands among all lines: time, worker, number.
Place = tuple[float, str, int]


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one file held from an offset on."""

    lines: list[Line]
    offset: int  # where the next reading begins: after the last whole line
    torn: int  # pieces before that which are no JSON objects: writes that a kill or a full disk cut short


@dataclass(slots=True)
class Report:
    """What was wrong with the files of a reading; filled as the files are read."""

    torn: dict[Path, int] = field(default_factory=dict)  # pieces of lines
    lost: dict[Path, int] = field(default_factory=dict)  # numbers that are missing


def log_files(folder: Path) -> list[Path]:
    """List the log files of a working folder's ``logs/``; links are not followed."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.glob("*.jsonl") if path.is_file() and not path.is_symlink())


def read_file(path: Path, offset: int = 0, *, to_end: bool = False) -> Chunk:
    """Read the whole lines of a file from an offset on; call it again with the offset returned to follow the file.

    A last piece without its newline is left for the next reading; ``to_end`` says that there will be none.
    """
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read()
    pieces = data.split(b"\n")
    rest = b"" if to_end else pieces.pop()
    found = [(piece, _parsed(piece)) for piece in pieces if piece]
    lines = [line for _, line in found if line is not None]
    return Chunk(lines, offset + len(data) - len(rest), len(found) - len(lines))


def read(paths: Iterable[Path], report: Report | None = None) -> Iterator[Line]:
    """Give the lines of several files as one, by time, then worker, then number.

    Lines of one file never change places, even where the clock was set back between them.
    """
    report = Report() if report is None else report
    files = (_placed(path, report) for path in paths)
    return (line for _, line in heapq.merge(*files, key=itemgetter(0)))


def read_folder(folder: Path, report: Report | None = None) -> Iterator[Line]:
    """Give the lines of all processes of a ``logs/`` folder."""
    return read(log_files(folder), report)


def _placed(path: Path, report: Report) -> Iterator[tuple[Place, Line]]:
    chunk = read_file(path, to_end=True)
    report.torn[path], report.lost[path] = chunk.torn, _missing(chunk.lines)
    for line in chunk.lines:
        at, seq = line.get("at"), line.get("seq")
        time = at if isinstance(at, int | float) else 0.0
        yield (time, str(line.get("worker", path.stem)), seq if isinstance(seq, int) else 0), line


def _missing(lines: Sequence[Line]) -> int:
    numbers = {line["seq"] for line in lines if isinstance(line.get("seq"), int)}
    return max(numbers) - len(numbers) if numbers else 0


def _parsed(piece: bytes) -> Line | None:
    try:
        line = orjson.loads(piece)
    except orjson.JSONDecodeError:
        return None
    return line if isinstance(line, dict) else None
