"""Shredding: rows with dicts and lists inside, taken apart into flat columns and child tables, a column at a time.

A batch is not walked row by row. All dicts that stand at the same place are one node; a node gives one list of values
for each key, and a list that holds values of several kinds is split by kind: dicts are a node of their own, lists are
the rows of a child table, everything else is a column. Work waits on a stack, never in the interpreter's own, so depth
costs nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np

from oarlock.errors import InvalidRow
from oarlock.schema.keys import KeyMap, KeyPath
from oarlock.schema.system import LIST, VALUE
from oarlock.steps.collisions import apart, by_level
from oarlock.steps.gathered import BatchTooLarge, Cells, Gathered, Piece, joined
from oarlock.steps.rowids import Numbers
from oarlock.steps.transpose import columns_of, picked, with_types, without_empty, without_nested

#: Elements of lists that one batch may bring to one child table, if it can be cut …
MANY_ELEMENTS = 500_000
#: … and if it is one row.
MAX_ELEMENTS = 50_000_000
#: Lists this deep with so many elements are looked through for one that holds itself.
_DEEP = 12
_MANY_DEEP = 500_000

#: Answers a question about a table and a name in it.
Asks = Callable[[str, str], bool]


@dataclass(frozen=True, slots=True)
class _Node:
    """Dicts at one place of a table's rows."""

    path: KeyPath
    dicts: Sequence[dict[str, Any]]
    rows: Numbers | None
    level: int  # levels left for what is inside the dicts
    list_level: int  # levels left for the elements of lists inside, however deep the dict


@dataclass(slots=True)
class _Table:
    """A table whose rows are being taken apart."""

    into: Gathered
    nodes: list[_Node] = field(default_factory=list)
    values: dict[str, list[Piece]] = field(default_factory=dict)  # by column
    lists: dict[str, list[Piece]] = field(default_factory=dict)  # by the column that they would be


class Shredder:
    """Takes batches apart.

    Args:
        keys: names columns and tables by the keys of rows.
        is_json: tells whether a table's column keeps its dicts and lists as JSON.
        is_variant: tells whether a table's column holds what another column could not, so that no key may have it.
        is_free: tells whether a child table of this name may hang from this parent.
    """

    def __init__(self, keys: KeyMap, *, is_json: Asks, is_variant: Asks, is_free: Asks) -> None:
        self._keys, self._is_json, self._is_variant, self._is_free = keys, is_json, is_variant, is_free
        self._too_deep: set[tuple[str, str]] = set()
        self._most_elements = MAX_ELEMENTS

    def shred(self, table: str, rows: Sequence[dict[str, Any]], *, levels: int) -> list[Gathered]:
        """Take rows apart; the root table comes first, parents always before their children."""
        self._too_deep.clear()
        while True:
            done = self._shred(table, rows, levels)
            in_some = {(one.table, name) for one in done for name in one.descended & one.kept}
            if not in_some:
                return done
            # What is too deep to be taken apart in some rows is JSON in all of them.
            self._too_deep |= in_some

    def _shred(self, table: str, rows: Sequence[dict[str, Any]], levels: int) -> list[Gathered]:
        root = _Table(Gathered(table, (table,), len(rows)))
        self._most_elements = MANY_ELEMENTS if len(rows) > 1 else MAX_ELEMENTS
        root.nodes.append(_Node((), rows, None, levels, levels - 1))
        known, waiting, done = {table}, deque([root]), list[Gathered]()
        while waiting:
            one = waiting.popleft()
            while one.nodes:
                self._take_node(one, one.nodes.pop())
            self._settle_columns(one)
            waiting.extend(self._children(one, known))
            done.append(one.into)
        return done

    def _take_node(self, table: _Table, node: _Node) -> None:
        if not node.dicts:
            return
        nested: list[_Node] = []
        for key, values, places in columns_of(node.dicts, table.into.table):
            rows = places if node.rows is None else (node.rows if places is None else node.rows[places])
            inner = self._take_values(table, (*node.path, key), values, rows, node)
            if inner is not None:
                nested.append(inner)
        table.nodes.extend(reversed(nested))

    def _take_values(
        self, table: _Table, path: KeyPath, values: list[Any], rows: Numbers | None, node: _Node
    ) -> _Node | None:
        """Keep plain values as a column and lists for a child table; give the dicts as a node yet to be taken."""
        name = self._keys.name(path)
        values, types = with_types(values, table.into.table, name)
        is_nested = dict in types or list in types
        if is_nested and (node.level <= 0 or self._stays_json(table.into.table, name)):
            table.into.kept.add(name)
            is_nested = False
        if not is_nested:
            table.values.setdefault(name, []).append(Piece(path, Cells(values, rows, types)))
            return None
        table.into.descended.add(name)
        if list in types:
            lists = picked(values, rows, types, list)
            table.lists.setdefault(name, []).append(Piece(path, without_empty(lists), node.list_level))
        if types - {dict, list, type(None)}:
            table.values.setdefault(name, []).append(Piece(path, Cells(without_nested(values), rows)))
        if dict not in types:
            return None
        dicts = picked(values, rows, types, dict)
        return _Node(path, dicts.values, dicts.rows, node.level - 1, node.list_level)

    def _stays_json(self, table: str, column: str) -> bool:
        return (table, column) in self._too_deep or self._is_json(table, column)

    def _settle_columns(self, table: _Table) -> None:
        into = table.into
        taken = {name for name in table.values if self._is_variant(into.table, name)}
        if not taken and all(len(pieces) == 1 for pieces in table.values.values()):
            into.columns = {name: pieces[0].cells for name, pieces in table.values.items()}
            return
        for name, path, pieces in apart(table.values, self._keys, taken):
            into.columns[name] = joined(pieces)
            if path is not None:
                into.source_keys[name] = path

    def _children(self, table: _Table, known: set[str]) -> list[_Table]:
        made = []
        for name, path, pieces in apart(table.lists, self._keys, frozenset()):
            parts = (name,) if path is not None else tuple(map(self._keys.naming.column, pieces[0].path))
            child = self._child(table.into, pieces[0].path, parts, by_level(pieces), known)
            if child is not None:
                known.add(child.into.table)
                made.append(child)
        return made

    def _child(
        self, parent: Gathered, path: KeyPath, parts: tuple[str, ...], lists: list[tuple[int, Cells]], known: set[str]
    ) -> _Table | None:
        """Make a child table of the elements of lists; None if all lists are empty."""
        lengths = [np.fromiter(map(len, cells.values), np.int64, len(cells.values)) for _, cells in lists]
        counts = [int(each.sum()) for each in lengths]
        if not sum(counts):
            return None
        self._check_size(parent, path, sum(counts), lists)
        full = self._keys.naming.make_path(*parent.parts, *parts)
        if full in known or not self._is_free(full, parent.table):
            # Another parent's table, or a root table of the user's: this one gets a name of its own.
            parts = (self._keys.spare(path),)
            full = self._keys.naming.make_path(*parent.parts, *parts)
        child = _Table(Gathered(full, (*parent.parts, *parts), sum(counts), parent=parent))
        into = child.into
        parents = np.concatenate(
            [np.repeat(cells.row_numbers(), each) for (_, cells), each in zip(lists, lengths, strict=True)]
        )
        # Rows stand in the order of their parents, whichever lists they come from.
        order = np.argsort(parents, kind="stable")
        places = np.empty_like(order)
        places[order] = np.arange(into.count, dtype=np.int64)
        into.parent_rows = parents[order]
        into.list_indexes = np.concatenate([_indexes(each) for each in lengths])[order]
        first = 0
        for (level, cells), count in zip(lists, counts, strict=True):
            rows = None if count == into.count else places[first : first + count]
            self._take_elements(child, list(chain.from_iterable(cells.values)), rows, level)
            first += count
        return child

    def _check_size(self, parent: Gathered, path: KeyPath, count: int, lists: list[tuple[int, Cells]]) -> None:
        if len(parent.parts) > _DEEP and count > _MANY_DEEP:
            _refuse_circles(parent.table, self._keys.name(path), [cells.values for _, cells in lists])
        if count > self._most_elements:
            if self._most_elements < MAX_ELEMENTS:
                raise BatchTooLarge
            reason = f"its lists have {count} elements; {MAX_ELEMENTS} in one row are the limit"
            raise InvalidRow(parent.table, self._keys.name(path), "[…]", reason)

    def _take_elements(self, child: _Table, values: list[Any], rows: Numbers | None, level: int) -> None:
        values, types = with_types(values, child.into.table, VALUE)
        if types - {dict, list, type(None)}:
            is_flat = dict not in types and list not in types
            cells = Cells(values, rows, types) if is_flat else Cells(without_nested(values), rows)
            child.values.setdefault(VALUE, []).append(Piece((VALUE,), cells))
        if dict in types:
            dicts = picked(values, rows, types, dict)
            child.nodes.append(_Node((), dicts.values, dicts.rows, level, level - 1))
        if list in types:
            # A list in a list is the key "list" of a row between the two, which takes a level of its own.
            lists = picked(values, rows, types, list)
            between = _Node((), (), None, level - 1, level - 2)
            self._take_values(child, (LIST,), list(lists.values), lists.rows, between)


def _indexes(lengths: Numbers) -> Numbers:
    """Number the elements of lists, starting anew with each list."""
    return np.arange(int(lengths.sum()), dtype=np.int64) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def _refuse_circles(table: str, column: str, values: Any) -> None:
    """Raise InvalidRow if a list or dict holds itself, however deep."""
    done: set[int] = set()
    open_: set[int] = set()
    work: list[tuple[Any, bool]] = [(values, False)]
    while work:
        value, is_left = work.pop()
        if is_left:
            open_.discard(id(value))
            done.add(id(value))
        elif id(value) in open_:
            raise InvalidRow(table, column, "[…]", "it holds itself")
        elif isinstance(value, dict | list | tuple) and id(value) not in done:
            open_.add(id(value))
            work.append((value, True))
            work.extend((one, False) for one in (value.values() if isinstance(value, dict) else value))
