"""How the command talks: tables and words for people, JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson


class Failure(Exception):
    """The work failed; the message says why."""


class WrongUse(Exception):
    """The command was called with what cannot work; the message says why."""


def say(text: str) -> None:
    """Say something to the person: to stderr."""
    print(f"oarlock: {text}", file=sys.stderr)


def show_json(value: Any) -> None:
    """Print a JSON document to stdout."""
    sys.stdout.write(
        orjson.dumps(value, default=_plain, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode() + "\n"
    )


def show_table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows in columns, numbers to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max([len(head[at]), *(len(row[at]) for row in cells)]) for at in range(len(head))]
    right = [bool(rows) and all(isinstance(row[at], int | float) for row in rows) for at in range(len(head))]
    for row in ([*head], ["-" * width for width in widths], *cells):
        line = "  ".join(text.rjust(w) if r else text.ljust(w) for text, w, r in zip(row, widths, right, strict=True))
        print(line.rstrip())


def _cell(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return str(value)


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is lost; without a terminal to ask on, only ``--yes`` will do.

    Raises:
        Failure: the answer was no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise Failure(f"{question} Nothing was done: say --yes")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Failure("nothing was done")
