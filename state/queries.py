"""The store's SQL, read from ``sql/``: named queries, and the numbered migrations that build each format."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

_SQL = Path(__file__).parent / "sql"
_NAME = "-- name: "


def _read_queries(text: str) -> Iterator[tuple[str, str]]:
    for block in text.split(_NAME)[1:]:
        name, _, body = block.partition("\n")
        lines = (line for line in body.splitlines() if not line.startswith("--"))
        yield name.strip(), " ".join(line.strip() for line in lines if line.strip()).rstrip(";")


def statements(script: str) -> Iterator[str]:
    """Part a script into its statements, so that they can run in a transaction of the caller's."""
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""


def migration_scripts() -> list[str]:
    """Give the script that leads to each format, the first format's first."""
    return [path.read_text("utf-8") for path in sorted((_SQL / "migrations").glob("[0-9]*.sql"))]


#: Every named query.
QUERIES: dict[str, str] = dict(_read_queries((_SQL / "queries.sql").read_text("utf-8")))
#: The newest format that this oarlock knows: that of the last migration.
FORMAT = 1
