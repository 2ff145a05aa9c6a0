"""Gathered rows: what shredding makes of a batch, and the engine makes Arrow columns of."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from oarlock.schema.keys import KeyPath
from oarlock.steps.rowids import Numbers


class BatchTooLarge(Exception):
    """A batch holds so much that it is better taken in parts."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Values of one column and the rows they stand in, rising; ``rows`` is None where every row has one."""

    values: Sequence[Any]
    rows: Numbers | None
    types: Set[type] | None = None  # of the values, where they have been looked at

    def value_types(self) -> set[type]:
        """Give the types of the values, without None's."""
        return set(map(type, self.values) if self.types is None else self.types) - {type(None)}

    def row_numbers(self) -> Numbers:
        """Give the rows as numbers."""
        return np.arange(len(self.values), dtype=np.int64) if self.rows is None else self.rows

    def compact(self) -> Cells:
        """Leave the rows without a value out."""
        places = [place for place, value in enumerate(self.values) if value is not None]
        return self if len(places) == len(self.values) else self.at(places)

    def at(self, places: Sequence[int]) -> Cells:
        """Take the cells at some places."""
        values = self.values
        return Cells([values[place] for place in places], self.row_numbers()[np.asarray(places, dtype=np.int64)])


@dataclass(frozen=True, slots=True)
class Piece:
    """Cells that one key path brought to a column, or to a child table if they are lists."""

    path: KeyPath
    cells: Cells
    level: int = 0  # levels left for the elements of the lists


@dataclass(slots=True)
class Gathered:
    """The rows of one batch that go into one table, column by column."""

    table: str
    parts: tuple[str, ...]  # the names of which the table's is made, not shortened
    count: int
    parent: Gathered | None = None
    parent_rows: Numbers | None = None
    list_indexes: Numbers | None = None
    columns: dict[str, Cells | pa.Array] = field(default_factory=dict)
    source_keys: dict[str, KeyPath] = field(default_factory=dict)  # columns that had to be told apart
    descended: set[str] = field(default_factory=set)  # columns whose dicts or lists were taken apart …
    kept: set[str] = field(default_factory=set)  # … or kept as they are


def joined(pieces: Sequence[Piece]) -> Cells:
    """Put cells of different rows together, in the order of rows."""
    if len(pieces) == 1:
        return pieces[0].cells
    parts = [piece.cells.compact() for piece in pieces]  # one's NULL must not hide another's value
    values = [value for part in parts for value in part.values]
    rows = np.concatenate([part.row_numbers() for part in parts])
    order = np.argsort(rows, kind="stable")
    return Cells([values[place] for place in order.tolist()], rows[order])
