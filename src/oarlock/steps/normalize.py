"""Normalizing: rows of any shape to typed Arrow batches of one table each, and the schema that grows with them.

    rows ── shred ──▶ columns of each table ── settle ──▶ Arrow columns ── identify ──▶ batches for the sink
                                                 │ ▲
                            new tables, columns  ▼ │  the newest schema
                                               grow(delta)

The schema is only grown where the batch brings something new. What comes back may hold columns that another worker
made meanwhile, of other types: the batch is settled again until nothing is new to the schema.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from oarlock.errors import InvalidRow, SchemaError
from oarlock.schema import system
from oarlock.schema.delta import SchemaDelta, complete
from oarlock.schema.document import Schema
from oarlock.schema.keys import SOURCE_KEY_HINT, KeyMap, source_key
from oarlock.schema.naming import Naming
from oarlock.steps import frames
from oarlock.steps.batches import batches_of
from oarlock.steps.gathered import BatchTooLarge, Gathered
from oarlock.steps.hints import Declared, TableHints
from oarlock.steps.identify import Identities, set_aside, system_columns_of
from oarlock.steps.settle import Columns, Rules, SettledColumn, SettledTable, Settler
from oarlock.steps.shred import Shredder
from oarlock.steps.transpose import as_dicts

__all__ = ["Normalizer", "TableHints"]

#: Rows taken apart at a time: enough for columns to pay, few enough for their values to stay in the cache.
BATCH_ROWS = 4_096
#: Each round ends with another worker's columns or with none; more rounds than this are no coincidence.
MAX_ROUNDS = 20

_SYSTEM = frozenset({system.LOAD_ID, system.ROW_ID, system.PARENT_ID, system.LIST_INDEX, system.ROOT_ID})

Sink = Callable[[str, "pa.RecordBatch | pa.Table"], None]


@dataclass(frozen=True, slots=True)
class _Batch:
    """Rows on their way into a root table and the tables below it."""

    table: str
    hints: TableHints
    declared: Declared
    gather: Callable[[], list[Gathered]]
    system_columns: bool  # whether the rows get them if the table has none


class Normalizer:
    """Turns rows into batches, for one load package.

    Args:
        schema: the schema as it is known now.
        load_id: the package.
        grow: merges what a batch brings into the stored schema and returns the newest.
        sink: takes the batches, each with its table.
        max_identifier_length: what the destination allows.
        supports_nul: whether the destination's text holds NUL characters.
        max_nesting: how many levels of dicts and lists are taken apart where a table says nothing else.
        exact: take no short cuts; what comes out is the same.
    """

    def __init__(
        self,
        schema: Schema,
        *,
        load_id: str,
        grow: Callable[[SchemaDelta], Schema],
        sink: Sink,
        max_identifier_length: int,
        supports_nul: bool = True,
        max_nesting: int = 1000,
        exact: bool = False,
    ) -> None:
        self.schema = schema
        self.rows: dict[str, int] = {}
        self._load_id, self._grow, self._sink = load_id, grow, sink
        self._supports_nul, self._max_nesting, self._exact = supports_nul, max_nesting, exact
        self._naming = Naming(max_identifier_length)
        self._keys = KeyMap(self._naming)
        self._overlay: tuple[str, Columns] = ("", {})
        self._now_s = _seconds(load_id)
        self._rules = Rules.of(schema, now_s=self._now_s)

    def add_rows(self, hints: TableHints, rows: Sequence[Any]) -> None:
        """Take rows: mappings, models, dataclasses; a plain value is a row with one column, ``value``.

        Raises:
            InvalidRow: a value that no column holds, or NULL where a column must have a value.
            InvalidName: the table's name leaves nothing to name it by.
        """
        table = self._naming.table(hints.table)
        shredder = Shredder(self._keys, is_json=self._is_json, is_variant=self._is_variant, is_free=self._is_free)
        declared = Declared.of(hints, self._naming)
        waiting = [rows[first : first + BATCH_ROWS] for first in range(0, len(rows), BATCH_ROWS)]
        waiting.reverse()
        while waiting:
            dicts = as_dicts(waiting.pop(), table)

            def gather(dicts: Sequence[dict[str, Any]] = dicts) -> list[Gathered]:
                return shredder.shred(table, dicts, levels=self._levels(hints, table))

            try:
                self._add(_Batch(table, hints, declared, gather, system_columns=True))
            except BatchTooLarge as error:
                half = len(dicts) // 2
                if not half:
                    raise InvalidRow(table, "", "{…}", "it alone is too large for a batch") from error
                waiting += [dicts[half:], dicts[:half]]

    def add_arrow(self, hints: TableHints, table: pa.Table | pa.RecordBatch, *, system_columns: bool) -> None:
        """Take Arrow data, a column at a time; ``system_columns`` gives the rows ids though the table has none yet.

        Raises:
            InvalidRow: a value that no column holds, or NULL where a column must have a value.
            InvalidName: the table's name leaves nothing to name it by.
        """
        name = self._naming.table(hints.table)
        for batch in frames.batches(table):

            def gather(batch: pa.RecordBatch = batch) -> list[Gathered]:
                return [self._gather_frame(name, batch)]

            self._add(_Batch(name, hints, Declared.of(hints, self._naming), gather, system_columns))

    def _gather_frame(self, table: str, batch: pa.RecordBatch) -> Gathered:
        taken = frozenset(name for name, column in self._columns(table).items() if column.get("variant"))
        columns, told_apart = frames.named_columns(batch, self._keys, taken)
        return Gathered(table, (table,), batch.num_rows, columns=columns, source_keys=told_apart)

    def _add(self, batch: _Batch) -> None:
        settled: list[SettledTable] = []
        delta: SchemaDelta = {}
        for _ in range(MAX_ROUNDS):
            self._overlay = (batch.table, batch.declared.over(self._schema_columns(batch.table)))
            if not batch.system_columns and self._has_system_columns(batch.table):
                settled, batch = [], replace(batch, system_columns=True)
            if not settled or not all(self._still_holds(each.gathered) for each in settled):
                settled = [self._gathered(batch, each) for each in batch.gather()]
            for each in settled:
                each.settle(self._settler(each.gathered))
                columns = self._columns(each.gathered.table)
                _check_not_null(each, columns, system_columns=batch.system_columns)
            if not batch.system_columns and not any(settled[0].flat()):
                return  # nothing but NULL, without a type: no column could tell that the rows were there
            delta = self._delta(batch, settled)
            if not delta:
                self._emit(batch, settled)
                return
            before, self.schema = self.schema, self._grow(delta)
            if self.schema.settings is not before.settings:
                self._rules = Rules.of(self.schema, now_s=self._now_s)
        raise SchemaError(f"table {batch.table!r} still brings new columns after {MAX_ROUNDS} rounds: {sorted(delta)}")

    def _gathered(self, batch: _Batch, gathered: Gathered) -> SettledTable:
        return SettledTable(gathered, set_aside(gathered) if batch.system_columns else None)

    def _has_system_columns(self, table: str) -> bool:
        columns = self._schema_columns(table)
        return any(columns.get(name, {}).get("nullable") is False for name in (system.LOAD_ID, system.ROW_ID))

    def _levels(self, hints: TableHints, table: str) -> int:
        if hints.max_table_nesting is not None:
            return hints.max_table_nesting
        nesting = ((self.schema.tables.get(table) or {}).get("x-normalizer") or {}).get("max_nesting")
        return self._max_nesting if nesting is None else int(nesting)

    def _schema_columns(self, table: str) -> Columns:
        document = self.schema.tables.get(table)
        return {} if document is None else document["columns"]

    def _columns(self, table: str) -> Columns:
        """Give a table's columns, those among them that are only declared as well."""
        return self._overlay[1] if table == self._overlay[0] else self._schema_columns(table)

    def _is_json(self, table: str, column: str) -> bool:
        known = self._columns(table).get(column)
        if known is not None and complete(known):
            return bool(known["data_type"] == "json")
        return self._rules.columns.preferred_type(column) == "json"

    def _is_variant(self, table: str, column: str) -> bool:
        known = self._columns(table).get(column)
        return known is not None and bool(known.get("variant"))

    def _is_free(self, table: str, parent: str) -> bool:
        known = self.schema.tables.get(table)
        return known is None or known.get("parent") == parent

    def _still_holds(self, gathered: Gathered) -> bool:
        """Tell whether rows would be taken apart the same way with the schema as it is now."""
        if gathered.parent is not None and not self._is_free(gathered.table, gathered.parent.table):
            return False
        return not any(
            (column.get("data_type") == "json" and name in gathered.descended)
            or (column.get("variant") and name in gathered.columns and name not in gathered.source_keys)
            for name, column in self._columns(gathered.table).items()
        )

    def _settler(self, gathered: Gathered) -> Settler:
        return Settler(
            gathered.table,
            self._columns(gathered.table),
            gathered.columns,
            self._naming,
            self._rules,
            supports_nul=self._supports_nul,
            exact=self._exact,
        )

    def _delta(self, batch: _Batch, settled: Sequence[SettledTable]) -> SchemaDelta:
        """Give what the schema does not know yet."""
        delta: dict[str, Mapping[str, Any]] = {}
        with_root_ids = self._with_root_ids(batch)
        for each in settled:
            gathered = each.gathered
            known = self._schema_columns(gathered.table)
            new = {c.name: _document(c, gathered) for c in each.flat() if not _is_known(known, c.name)}
            is_root = gathered.parent is None
            table = batch.declared.missing_in(self.schema.tables.get(gathered.table)) if is_root else {}
            columns = {**table.pop("columns", {}), **new}
            if batch.system_columns:
                ours = system_columns_of(is_root=is_root, with_root_id=with_root_ids)
                columns |= {name: document for name, document in ours.items() if not _is_known(known, name)}
            marks = (self.schema.tables.get(gathered.table) or {}).get("x-normalizer") or {}
            if columns or table or not marks.get("seen-data"):
                if gathered.parent is not None:
                    table["parent"] = gathered.parent.table
                table["x-normalizer"] = {**table.get("x-normalizer", {}), "seen-data": True}
                delta[gathered.table] = {**table, "columns": columns}
        return delta

    def _with_root_ids(self, batch: _Batch) -> bool:
        if batch.hints.write_disposition == "merge":
            return True
        known = batch.table in self.schema.tables
        below = self.schema.descendants_of(batch.table) if known else ()
        return any(system.ROOT_ID in self._schema_columns(child) for child in below)

    def _emit(self, batch: _Batch, settled: Sequence[SettledTable]) -> None:
        identities = Identities(
            self._load_id,
            self.rows.get(batch.table, 0),
            with_root_ids=self._with_root_ids(batch),
        )
        for each in settled:
            gathered = each.gathered
            system_columns = identities.columns(gathered, each.supplied_ids) if batch.system_columns else {}
            self.rows[gathered.table] = self.rows.get(gathered.table, 0) + gathered.count
            for rows in batches_of(list(each.flat()), system_columns, gathered.count):
                self._sink(gathered.table, rows)


def _seconds(load_id: str) -> float:
    """Read the time at which a package was begun from its id; 0 where it holds none."""
    try:
        return float(load_id)
    except ValueError:
        return 0.0


def _is_known(columns: Columns, name: str) -> bool:
    known = columns.get(name)
    return known is not None and complete(known)


def _document(column: SettledColumn, gathered: Gathered) -> dict[str, Any]:
    path = gathered.source_keys.get(column.name)
    extra = {} if path is None else {SOURCE_KEY_HINT: source_key(path)}
    return {**column.document, **extra}


def _check_not_null(settled: SettledTable, columns: Columns, *, system_columns: bool) -> None:
    ours = _SYSTEM if system_columns else frozenset()
    required = [name for name, column in columns.items() if column.get("nullable") is False and name not in ours]
    if not required:
        return
    have = {column.name: column for column in settled.flat()}
    for name in required:
        if name not in have or not have[name].is_full(settled.gathered.count):
            raise InvalidRow(settled.gathered.table, name, "None", "the column must have a value in every row")
