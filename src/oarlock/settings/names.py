"""Pipeline names: what may be the name of a folder on every system, and the name a script gets by default."""

from __future__ import annotations

import sys
from pathlib import Path

from oarlock.errors import InvalidPipelineName

#: Characters that separate paths, name streams or drives, expand in shells, or end an extension.
FORBIDDEN = frozenset('./\\.%{}:*?"<>|')
#: A folder name is at most 255 bytes on common file systems; the rest is for what stands beside it (`_dataset`, …).
MAX_CHARACTERS = 128
MAX_BYTES = 200
#: Names that are devices on Windows, whatever their case.
DEVICES = frozenset(
    (
        *("CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"),
        *(f"{port}{digit}" for port in ("COM", "LPT") for digit in "0123456789¹²³"),
    )
)
#: The name of a pipeline in a program that is no script (an interactive one).
NAMELESS = "oarlock_pipeline"


def check_pipeline_name(name: str) -> str:
    """Give the name back if it can be a folder of its own on every system.

    >>> check_pipeline_name("Größe 2")
    'Größe 2'

    Raises:
        InvalidPipelineName: It cannot, and why.
    """
    if not isinstance(name, str):
        raise InvalidPipelineName(repr(name), f"it must be a text, not {type(name).__name__}")
    if reason := _objection(name):
        raise InvalidPipelineName(name, reason)
    return name


def default_pipeline_name(script: str | None = None) -> str:
    """Name a pipeline after the running script: ``oarlock_<stem>``, or ``oarlock_pipeline`` where there is none."""
    path = Path(sys.argv[0] if script is None and sys.argv else script or "")
    if not path.name or not path.is_file():
        return NAMELESS
    stem = "".join("_" if c in FORBIDDEN or not c.isprintable() else c for c in path.stem)
    name = f"oarlock_{stem}".encode()[:MAX_BYTES].decode("utf-8", "ignore")[:MAX_CHARACTERS].rstrip()
    return NAMELESS if _objection(name) else name


def _objection(name: str) -> str:
    if not name or name != name.strip():
        return "it must not be empty, nor begin or end with a space"
    if found := sorted(FORBIDDEN.intersection(name)):
        return f"it must not hold {' '.join(found)}; use letters, digits, _ - or spaces"
    if not name.isprintable():
        return "it holds a control character or another one that cannot be seen"
    if name.upper() in DEVICES:
        return "it is the name of a device on Windows"
    if len(name) > MAX_CHARACTERS or len(name.encode()) > MAX_BYTES:
        return f"it is longer than {MAX_CHARACTERS} characters or {MAX_BYTES} bytes"
    return ""
