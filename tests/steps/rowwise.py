"""Rows normalized one at a time by the plainest code that keeps the rules: what the engine is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from oarlock.schema.coercion import CannotCoerce, coerce, infer, type_of, variants
from oarlock.schema.delta import SchemaDelta, merge
from oarlock.schema.document import Schema
from oarlock.schema.keys import KeyMap, key_text, variant_column
from oarlock.schema.naming import Naming
from oarlock.steps.normalize import Normalizer, TableHints

Row = dict[str, Any]
SYSTEM = frozenset({"_dlt_id", "_dlt_load_id", "_dlt_parent_id", "_dlt_list_idx", "_dlt_root_id"})


class Rowwise:
    """Takes rows apart recursively, names columns by row, and types each value as it comes."""

    def __init__(self, *, max_length: int = 63, levels: int = 1000) -> None:
        self.keys = KeyMap(Naming(max_length))
        self.levels = levels
        self.types: dict[str, dict[str, str]] = {}
        self.variants: dict[str, set[str]] = {}
        self.rows: dict[str, list[Row]] = {}
        self.json: set[tuple[str, str]] = set()
        self.parents: dict[str, set[str]] = {}

    def add(self, table: str, rows: Sequence[Any]) -> None:
        while True:
            self.kept: set[tuple[str, str]] = set()
            self.descended: set[tuple[str, str]] = set()
            self.types, self.variants, self.rows = {}, {}, {}
            for row in rows:
                self._row((table,), row if isinstance(row, dict) else {"value": row}, None, self.levels)
            if not self.kept & self.descended:
                return
            self.json |= self.kept & self.descended  # too deep in one row: JSON in all of them

    def _row(self, parts: tuple[str, ...], row: Row, place: tuple[str, int] | None, level: int) -> None:
        leaves: list[tuple[tuple[str, ...], Any]] = []
        lists: list[tuple[tuple[str, ...], list[Any]]] = []
        table = self.keys.naming.make_path(*parts)
        self._flatten(table, row, (), level, leaves, lists)
        leaves = [(path, value) for path, value in leaves if value is not None]
        lists = [(path, value) for path, value in lists if value]
        made = {} if place is None else {"parent": place[0], "index": place[1]}
        self.rows.setdefault(table, []).append(made)
        self.types.setdefault(table, {})
        self.parents.setdefault(table, set()).add(place[0] if place else "")
        for (_, value), name in zip(leaves, self.keys.assign([path for path, _ in leaves]), strict=True):
            column, stored = self._stored(table, name, value)
            assert column not in made
            made[column] = stored
        for (path, elements), name in zip(lists, self.keys.assign([path for path, _ in lists]), strict=True):
            plain = name == self.keys.name(path)
            child = (*parts, *map(self.keys.naming.column, path)) if plain else (*parts, name)
            for index, element in enumerate(elements):
                if isinstance(element, dict):
                    self._row(child, element, (table, index), level - 1)
                elif isinstance(element, list):
                    self._row(child, {"list": element}, (table, index), level - 2)
                else:
                    self._row(child, {"value": element}, (table, index), level - 1)

    def _flatten(
        self, table: str, row: Mapping[Any, Any], path: tuple[str, ...], level: int, leaves: list[Any], lists: list[Any]
    ) -> None:
        for key, value in row.items():
            at = (*path, key_text(key))
            if isinstance(value, tuple):
                value = list(value)
            if not isinstance(value, dict | list):
                leaves.append((at, value))
                continue
            place = (table, self.keys.name(at))
            if level <= 0 or place in self.json:
                self.kept.add(place)
                leaves.append((at, value))
                continue
            self.descended.add(place)
            if isinstance(value, dict):
                self._flatten(table, value, at, level - 1, leaves, lists)
            else:
                lists.append((at, value))

    def _stored(self, table: str, column: str, value: Any) -> tuple[str, Any]:
        types = self.types[table]
        own = type_of(value)
        assert own is not None
        if column not in types:
            types[column] = infer(value) or own
        try:
            return column, coerce(value, own, types[column])  # type: ignore[arg-type]
        except CannotCoerce:
            pass
        beside = self.variants.get(table, ())
        known = {name: {"data_type": kind, "variant": name in beside} for name, kind in types.items()}
        for data_type in variants(value):
            name = variant_column(self.keys.naming, known, column, data_type)
            try:
                stored = coerce(value, own, types.get(name, data_type))  # type: ignore[arg-type]
            except CannotCoerce:
                continue
            types[name] = data_type
            self.variants.setdefault(table, set()).add(name)
            return name, stored
        raise CannotCoerce(repr(value))


class Tables:
    """A normalizer with a schema store of one process, and the batches that came out of it."""

    def __init__(self, *, load_id: str = "1700000000.5", schema: Schema | None = None, **options: Any) -> None:
        self.stored = schema or Schema.new("tests")
        self.batches: dict[str, list[pa.RecordBatch]] = {}
        self.deltas: list[SchemaDelta] = []
        options = {"max_identifier_length": 63, **options}
        self.normalizer = Normalizer(self.stored, load_id=load_id, grow=self._grow, sink=self._take, **options)

    def _grow(self, delta: SchemaDelta) -> Schema:
        self.deltas.append(delta)
        self.stored = merge(self.stored, delta).schema
        return self.stored

    def _take(self, table: str, batch: pa.RecordBatch) -> None:
        columns = self.normalizer.schema.columns(table)
        assert set(batch.schema.names) <= {name for name, column in columns.items() if column.get("data_type")}
        self.batches.setdefault(table, []).append(batch)

    def add(self, *batches: Sequence[Any], table: str = "t", **hints: Any) -> Tables:
        for rows in batches:
            self.normalizer.add_rows(TableHints(table, **hints), rows)
        return self

    def add_arrow(self, *tables: pa.Table, table: str = "t", system_columns: bool = False, **hints: Any) -> Tables:
        for each in tables:
            self.normalizer.add_arrow(TableHints(table, **hints), each, system_columns=system_columns)
        return self

    def rows(self, table: str = "t", *, system: bool = False) -> list[Row]:
        """Give a table's rows without NULLs, and without system columns unless they are asked for."""
        return [
            {name: value for name, value in row.items() if value is not None and (system or name not in SYSTEM)}
            for batch in self.batches.get(table, ())
            for row in batch.to_pylist()
        ]

    def types(self, table: str = "t", *, system: bool = False) -> dict[str, str]:
        """Give the data types of a table's columns."""
        columns = self.stored.columns(table)
        return {
            name: column["data_type"]
            for name, column in columns.items()
            if column.get("data_type") and (system or name not in SYSTEM)
        }

    def column_names(self, table: str = "t") -> list[str]:
        """Give a table's columns in their order."""
        return list(self.stored.columns(table))
