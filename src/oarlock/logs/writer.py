"""The writer: one JSON line an event, one write a line, one append-only file a process.

It takes no lock, so a signal that arrives inside a write, and a child forked inside one, can write too. It never
raises for want of disk: lines that cannot be written are counted, and the next line that can says how many.
"""

from __future__ import annotations

import itertools
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from oarlock.errors import ConfigurationError
from oarlock.logs.events import RANKS, check
from oarlock.settings.secret import knows_secrets, redact_all
from oarlock.values import FILE_MODE, FOLDER_MODE, new_worker_id

#: A line is cut to this: a killed process can tear a write only between two pages, so short lines are whole lines.
MAX_LINE_BYTES = 32_768
#: How often a writer looks whether its file is still the one in the folder (a pipeline that was dropped takes it away).
CHECK_EVERY_S = 1.0
#: How many structures inside a value are written where JSON cannot hold it as it is; they may be in circles.
MAX_PARTS = 1_000
#: What stands behind a text that was cut.
CUT = "…[cut, {} characters in all]"
#: Set to 1 where tests run: an event that is not in the catalogue is then an error.
STRICT_VARIABLE = "OARLOCK_STRICT_EVENTS"

_OPEN = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
_FORMAT = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z | orjson.OPT_PASSTHROUGH_DATACLASS

# Two writers of one file in one process number their lines together.
_numbers: dict[Path | None, Iterator[int]] = {}


class _Descriptor:
    """An open file that is closed when its last user lets go of it, be that a thread in the middle of a write."""

    def __init__(self, fd: int) -> None:
        self.fd, self._close = fd, os.close

    def __del__(self) -> None:
        try:
            self._close(self.fd)
        except OSError:
            return


class Writer:
    """Writes the lines of one process into ``<folder>/<worker>.jsonl``; without a folder it writes nothing."""

    def __init__(
        self,
        folder: Path | None,
        worker: str,
        *,
        level: str = "info",
        strict: bool | None = None,
        max_line_bytes: int = MAX_LINE_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if level not in RANKS:
            raise ConfigurationError(f"log level {level!r} is unknown; known are {', '.join(RANKS)}")
        self.folder, self.worker = folder, worker
        self.dropped = 0
        self.strict = os.environ.get(STRICT_VARIABLE) == "1" if strict is None else strict
        self.max_line_bytes = max(max_line_bytes, 1024)
        self._rank, self._clock = RANKS[level], clock
        self._path = self._named()
        self._pid = os.getpid()
        self._file: _Descriptor | None = None
        self._checked_at = 0.0
        self._unsaid = 0  # lines dropped since the last one written
        self._torn = False

    @property
    def path(self) -> Path | None:
        """The file of this process."""
        return self._path

    def keeps(self, level: str) -> bool:
        """Tell whether events of this level are written."""
        return self.folder is not None and RANKS[level] >= self._rank

    def write(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        """Write one event; nothing that happens to the disk is raised."""
        if self.strict:
            check(event, level, dict(fields))
        if not self.keeps(level):
            return
        if os.getpid() != self._pid:
            self._begin_in_child(fields)
        file = self._open()
        if file is None:
            self._drop()
            return
        line = self._line(level, event, fields)
        start = b"\n" if self._torn else b""
        try:
            written = os.write(file.fd, start + line)
        except OSError:
            self._drop()
            return
        self._torn = written < len(start) + len(line)
        if self._torn:
            self._drop()
        else:
            self._unsaid = 0

    def close(self) -> None:
        """Let go of the file; a later event opens it again."""
        self._file = None

    def _named(self) -> Path | None:
        return None if self.folder is None else self.folder / f"{self.worker}.jsonl"

    def _line(self, level: str, event: str, fields: Mapping[str, Any]) -> bytes:
        shown = _shown(fields)
        head: dict[str, Any] = {
            "at": round(self._clock(), 6),
            "mono": round(time.monotonic(), 6),
            "seq": next(_numbers.setdefault(self._path, itertools.count(1))),
            "level": level,
            "event": event,
        }
        if "pipeline" in shown:
            head["pipeline"] = shown["pipeline"]
        head["worker"] = self.worker
        body = {name: value for name, value in shown.items() if name not in head}
        if self._unsaid:
            body["dropped"] = self._unsaid
        return encode(head, body, self.max_line_bytes)

    def _drop(self) -> None:
        self.dropped += 1
        self._unsaid += 1

    def _begin_in_child(self, fields: Mapping[str, Any]) -> None:
        # A forked child is a worker of its own: its parent's file and numbers stay the parent's.
        parent, self.worker = self.worker, new_worker_id()
        self._path, self._pid, self._file = self._named(), os.getpid(), None
        self.dropped = self._unsaid = 0
        self._torn = False
        ids = {name: fields[name] for name in ("pipeline",) if name in fields}
        self.write("info", "worker.started", {**ids, "pid": self._pid, "parent": parent})

    def _open(self) -> _Descriptor | None:
        path = self._path
        if path is None:
            return None
        now = time.monotonic()
        file = self._file
        if file is not None and now - self._checked_at < CHECK_EVERY_S:
            return file
        self._checked_at = now
        try:
            if file is not None and os.path.samestat(os.fstat(file.fd), os.stat(path, follow_symlinks=False)):
                return file
        except OSError:
            pass  # taken away: a pipeline that was dropped and made again has another folder of the same name
        self._file = self._open_file(path)
        return self._file

    def _open_file(self, path: Path) -> _Descriptor | None:
        try:
            # The working folder itself is never made here: a line must not bring a dropped pipeline back.
            with suppress(FileExistsError):
                os.mkdir(path.parent, FOLDER_MODE)
            file = _Descriptor(os.open(path, _OPEN, FILE_MODE))
            status = os.fstat(file.fd)
            if not stat.S_ISREG(status.st_mode):
                return None
            self._torn = status.st_size > 0 and os.pread(file.fd, 1, status.st_size - 1) != b"\n"
        except OSError:
            return None
        return file


class Lines:
    """The light log: structlog's way of writing events without its import, for what every attach does."""

    __slots__ = ("_bound", "_writer")

    def __init__(self, writer: Writer, bound: Mapping[str, Any] | None = None) -> None:
        self._writer, self._bound = writer, dict(bound or {})

    @property
    def writer(self) -> Writer:
        """Where the lines go."""
        return self._writer

    @property
    def bound(self) -> dict[str, Any]:
        """The ids that stand on every line."""
        return dict(self._bound)

    def bind(self, **ids: Any) -> Lines:
        """Give a log whose every line carries these ids too."""
        return Lines(self._writer, {**self._bound, **ids})

    def info(self, event: str, **fields: Any) -> None:
        """Write that a state changed."""
        self._writer.write("info", event, {**self._bound, **fields})

    def warning(self, event: str, **fields: Any) -> None:
        """Write that something went wrong and was mended."""
        self._writer.write("warning", event, {**self._bound, **fields})

    def error(self, event: str, **fields: Any) -> None:
        """Write that someone must act."""
        self._writer.write("error", event, {**self._bound, **fields})


#: A log that goes nowhere, for what is used outside of any pipeline.
SILENT = Lines(Writer(None, "none"))


def encode(head: Mapping[str, Any], body: Mapping[str, Any], limit: int = MAX_LINE_BYTES) -> bytes:
    """Make one line of JSON, cut to the limit; whatever is in it, a line comes out."""
    line = _dumps({**head, **body})
    if len(line) <= limit:
        return line
    # The longest texts lose first: the room they share is halved until the line fits.
    room = limit // 2
    while room > 16:
        line = _dumps({**head, **{name: _cut(value, room) for name, value in body.items()}, "truncated": True})
        if len(line) <= limit:
            return line
        room //= 2
    return _dumps({**{name: _cut(value, 64) for name, value in head.items()}, "truncated": True})


def _cut(value: Any, room: int) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else _dumps(value).decode("utf-8", "replace")
    # Texts are cut by what they take in the line: four bytes a character, or six where it is escaped.
    if len(text) * 6 <= room or len(_dumps(text)) <= room:
        return value
    return text[: max(room // 6, 8)] + CUT.format(len(text))


def _shown(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the fields as they may be shown: errors as texts, secrets masked."""
    for name, value in fields.items():
        if isinstance(value, BaseException):
            fields = {**fields, name: f"{type(value).__name__}: {_text(value)}"}
    # Written and read back first: what is masked then is what will stand in the line, be it an object's text.
    return redact_all(orjson.loads(_dumps(fields))) if knows_secrets() else fields


def _dumps(value: Any) -> bytes:
    try:
        return orjson.dumps(value, default=_text, option=_FORMAT)
    except (TypeError, ValueError, RecursionError):
        # Integers over 64 bits, lone surrogates, structures too deep or in a circle.
        return orjson.dumps(_plain(value, 8, itertools.count()), option=_FORMAT)


def _text(value: Any) -> str:
    try:
        text = repr(value) if isinstance(value, bytes | bytearray) else str(value)
    except Exception:
        return f"<{type(value).__name__} that has no text>"
    return text.encode("utf-8", "backslashreplace").decode()


def _plain(value: Any, depth: int, parts: Iterator[int]) -> Any:
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**64 else str(value)
    if isinstance(value, str | bytes | bytearray) or depth == 0 or next(parts) > MAX_PARTS:
        # A structure that is left off here may be in a circle: its text is not asked for.
        nested = isinstance(value, Mapping | list | tuple | set | frozenset)
        return f"<{type(value).__name__}>" if nested else _text(value)
    if isinstance(value, Mapping):
        return {str(_plain(k, 0, parts)): _plain(v, depth - 1, parts) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, depth - 1, parts) for item in value]
    return _text(value)
