"""Parts of the swept programs: the source that counts, how the pipeline is made or joined, and what rows belong there.

Every program takes rows from one source whose cursor is in the resource's state, so that running it again goes on where
the last committed run ended. What must be there is then a function of the cursor alone.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from boxes import DATASET, NAME, Box

import oarlock
from oarlock.exceptions import CannotRestorePipelineException
from oarlock.pipelines.pipeline import Pipeline

#: Rows of the first state, and of the source when it is run again.
FIRST, ALL = 10, 20


def row(n: int, *, wide: bool) -> dict[str, Any]:
    """Give one row of the source; a wide one brings another column and a child table."""
    made: dict[str, Any] = {"id": n, "body": f"row {n}"}
    return {**made, "note": f"note {n}", "tags": [{"tag": 10 * n}, {"tag": 10 * n + 1}]} if wide else made


def numbers(upto: int, *, wide_from: int = 10**9, **hints: Any) -> Any:
    """A source of the numbers up to a bound, which goes on from its cursor."""

    @oarlock.resource(name="items", **hints)
    def items() -> Iterator[dict[str, Any]]:
        state = oarlock.current.resource_state()
        for n in range(state.get("next", 0), upto):
            yield row(n, wide=n >= wide_from)
        state["next"] = upto

    return items


def generation(number: int, *, rows: int = FIRST) -> Any:
    """A source that replaces all rows by those of its newest generation."""

    @oarlock.resource(name="items", write_disposition="replace")
    def items() -> Iterator[dict[str, Any]]:
        yield from ({**row(n, wide=True), "note": f"generation {number}"} for n in range(rows))
        oarlock.current.resource_state()["generation"] = number

    return items


def make(box: Box, **options: Any) -> Pipeline:
    """Create the pipeline or open it, as a program does at each of its starts."""
    destination = oarlock.destinations.duckdb(str(box.database))
    return oarlock.pipeline(NAME, str(box.pipelines), destination=destination, dataset_name=DATASET, **options)


def join(box: Box) -> Pipeline:
    """Attach to it; where its creation did not come to its end, create it."""
    try:
        return oarlock.attach(NAME, str(box.pipelines))
    except CannotRestorePipelineException:
        if was_created(box):
            raise
        return make(box)


def was_created(box: Box) -> bool:
    """Tell whether the transaction that creates the pipeline was committed."""
    if not (box.folder / "oarlock.json").exists():
        return False
    with closing(sqlite3.connect(box.folder / "state.db")) as connection:
        return bool(connection.execute("SELECT count(*) FROM document").fetchone()[0])


def rows_until(end: int, wide_from: int = 10**9) -> Counter[tuple[Any, ...]]:
    """Give the rows that a reader must find once the source has come to an end."""
    wanted: Counter[tuple[Any, ...]] = Counter()
    for one in (row(n, wide=n >= wide_from) for n in range(end)):
        wanted["items", one["id"], one["body"], one.get("note")] += 1
        wanted.update(("tags", one["id"], tag["tag"], None) for tag in one.get("tags", ()))
    return wanted
