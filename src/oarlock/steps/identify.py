"""Identity: the system columns of a batch's rows, which name each row, its parent, its root and its package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from oarlock.errors import InvalidRow
from oarlock.schema import system
from oarlock.schema.coercion import CannotCoerce, coerce, type_of
from oarlock.steps import rowids
from oarlock.steps.gathered import Cells, Gathered
from oarlock.steps.rowids import Ids, Numbers

#: Columns that are always the system's own: what a row says of them is not taken.
_ALWAYS_OURS = {
    False: (system.PARENT_ID, system.LIST_INDEX, system.ROOT_ID),
    True: (system.LOAD_ID,),
}


@dataclass(slots=True)
class _Identity:
    """The ids of one table's rows in a batch."""

    ids: Ids
    texts: NDArray[np.bytes_] | None  # None where the user supplied some: then only the array has them
    array: pa.Array
    roots: Numbers  # the root row of each row


@dataclass(slots=True)
class Identities:
    """Makes the system columns of one batch, parents before their children."""

    load_id: str
    first_row: int
    with_root_ids: bool
    _made: dict[str, _Identity] = field(default_factory=dict)

    def columns(self, gathered: Gathered, supplied: Cells | pa.Array | None) -> dict[str, pa.Array]:
        """Give the system columns of a table's rows, in their order; ``supplied`` are ids that the user gave."""
        parent = None if gathered.parent is None else self._made[gathered.parent.table]
        if parent is None or gathered.parent_rows is None or gathered.list_indexes is None:
            ids = rowids.root_ids(self.load_id, gathered.table, self.first_row, gathered.count)
            roots = np.arange(gathered.count, dtype=np.int64)
            own = self._made[gathered.table] = _identity(gathered.table, ids, roots, supplied)
            return {system.LOAD_ID: repeated(self.load_id, gathered.count), system.ROW_ID: own.array}
        rows, indexes = gathered.parent_rows, gathered.list_indexes
        ids = rowids.child_ids(parent.ids[rows], gathered.table, indexes)
        own = self._made[gathered.table] = _identity(gathered.table, ids, parent.roots[rows], supplied)
        columns = {}
        if self.with_root_ids:
            root = next(iter(self._made.values()))
            columns[system.ROOT_ID] = _taken(root, own.roots)
        columns[system.PARENT_ID] = _taken(parent, rows)
        columns[system.LIST_INDEX] = pa.array(indexes)
        columns[system.ROW_ID] = own.array
        return columns


def system_columns_of(*, is_root: bool, with_root_id: bool) -> dict[str, dict[str, Any]]:
    """Give the system columns that a table has, in their order."""
    if is_root:
        columns = [system.load_id_column(), system.row_id_column()]
    else:
        columns = [system.parent_id_column(), system.list_index_column(), system.row_id_column()]
        if with_root_id:
            columns.insert(0, system.root_id_column())
    return {column["name"]: column for column in columns}


def set_aside(gathered: Gathered) -> Cells | pa.Array | None:
    """Take what rows say of system columns out of their columns; give the ids among it."""
    for name in _ALWAYS_OURS[gathered.parent is None]:
        gathered.columns.pop(name, None)
    return gathered.columns.pop(system.ROW_ID, None)


def repeated(text: str, count: int) -> pa.Array:
    """Give a text column that is the same in every row."""
    size = len(text.encode())
    offsets = np.arange(0, (count + 1) * size, size, dtype=np.int32) if size else np.zeros(count + 1, np.int32)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(text.encode() * count))


def _identity(table: str, ids: Ids, roots: Numbers, supplied: Cells | pa.Array | None) -> _Identity:
    given = {} if supplied is None else _given(table, supplied)
    texts = rowids.texts(ids)
    if not given:
        return _Identity(ids, texts, rowids.string_array(texts), roots)
    rows = np.fromiter(given, np.int64, len(given))
    ids[rows] = rowids.ids_of_texts(list(given.values()))
    every = [text.decode("ascii") for text in texts.tolist()]
    for row, text in given.items():
        every[row] = text
    return _Identity(ids, None, pa.array(every, pa.string()), roots)


def _given(table: str, supplied: Cells | pa.Array) -> Mapping[int, str]:
    """Give the ids that rows brought themselves, by row."""
    given: dict[int, str] = {}
    if not isinstance(supplied, Cells):
        supplied = Cells(supplied.to_pylist(), None)
    for row, value in zip(supplied.row_numbers().tolist(), supplied.values, strict=True):
        if value is None or value == "":
            continue
        try:
            kind = type_of(value)
            text = None if kind is None else coerce(value, kind, "text")
        except CannotCoerce as error:
            raise InvalidRow(table, system.ROW_ID, repr(value), str(error)) from error
        if text:
            given[row] = text
    return given


def _taken(identity: _Identity, rows: Numbers) -> pa.Array:
    if identity.texts is None:
        return identity.array.take(pa.array(rows))
    return rowids.string_array(np.take(identity.texts, rows))
