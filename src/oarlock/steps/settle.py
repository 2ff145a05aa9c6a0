"""Settling: the cells of one column to Arrow columns, its own and those beside it for values it does not take.

Most columns are converted in one call (``arrays``). One that is not goes the exact way: each value is coerced by the
matrix of ``oarlock.schema.coercion``, in the order of rows, and what the column does not take goes to a variant.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from oarlock.errors import InvalidRow
from oarlock.schema.coercion import CannotCoerce, converter, decimal_hints, infer, plain, variants
from oarlock.schema.delta import complete
from oarlock.schema.document import Schema
from oarlock.schema.keys import variant_column
from oarlock.schema.naming import Naming, is_system_name
from oarlock.schema.rules import ColumnRules
from oarlock.steps import frames
from oarlock.steps.arrays import UNFIT, array_of, one_array
from oarlock.steps.gathered import Cells, Gathered
from oarlock.steps.rowids import Numbers
from oarlock.steps.transpose import shown
from oarlock.steps.types import ColumnDocument, arrow_type, column_of

#: Columns of one table by name.
Columns = Mapping[str, ColumnDocument]
#: What decides how values are converted to a column.
_TYPE_KEYS = ("data_type", "precision", "scale", "timezone")


#: Stands for a column that the batch brings, whatever its type will be.
_BROUGHT: ColumnDocument = {"data_type": "text"}


@dataclass(frozen=True, slots=True)
class SettledColumn:
    """A column of a batch, ready: its document, known already or new, its values and the rows they stand in."""

    name: str
    document: ColumnDocument
    array: pa.Array
    rows: Numbers | None

    def is_full(self, count: int) -> bool:
        """Tell whether each of ``count`` rows has a value."""
        return self.array.null_count == 0 and (self.rows is None or len(self.rows) == count)

    def holds_for(self, columns: Columns) -> bool:
        """Tell whether the column is what these say it is, or is new to them."""
        known = columns.get(self.name)
        if known is None or not complete(known):
            return True
        return same_type(known, self.document) and bool(known.get("variant")) == bool(self.document.get("variant"))


@dataclass(slots=True)
class SettledTable:
    """One table's rows of a batch, settled as far as the schema at hand allows."""

    gathered: Gathered
    supplied_ids: Cells | pa.Array | None
    columns: dict[str, list[SettledColumn]] = field(default_factory=dict)  # by the column that they came from

    def settle(self, settler: Settler) -> None:
        """Settle the columns that are not settled yet, or not any more."""
        for name, values in self.gathered.columns.items():
            have = self.columns.get(name)
            if have is None or not all(column.holds_for(settler.columns) for column in have):
                self.columns[name] = settler.settle(name, values)

    def flat(self) -> Iterator[SettledColumn]:
        """Give all columns, variants right after their own."""
        for columns in self.columns.values():
            yield from columns


def same_type(one: ColumnDocument, other: ColumnDocument) -> bool:
    """Tell whether two columns take values alike."""
    return all(one.get(key) == other.get(key) for key in _TYPE_KEYS)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings of the schema say about new columns.

    Args:
        now_s: the time near which numbers are taken for times, if the settings say so.
    """

    columns: ColumnRules
    detections: Sequence[str]
    now_s: float

    @classmethod
    def of(cls, schema: Schema, *, now_s: float) -> Rules:
        """Take the settings of a schema."""
        return cls(ColumnRules(schema.settings), schema.detections, now_s)

    def data_type(self, name: str, value: Any) -> str | None:
        """Give the type of a new column by its name and first value. Raises CannotCoerce."""
        found = infer(value, self.detections, now_s=self.now_s)
        return found and (self.columns.preferred_type(name) or found)

    def hints(self, name: str) -> dict[str, bool]:
        """Give the hints that a new column's name brings; the system's own are no matter of a user's rows."""
        return {} if is_system_name(name) else self.columns.hints(name)


@dataclass(frozen=True, slots=True)
class Settler:
    """Settles the columns of one table.

    Args:
        columns: the columns that the table has.
        brought: the names of the batch's own columns: no variant takes them.
        exact: go the exact way always; both ways give the same.
    """

    table: str
    columns: Columns
    brought: Collection[str]
    naming: Naming
    rules: Rules
    supports_nul: bool = True
    exact: bool = False

    def settle(self, name: str, values: Cells | pa.Array) -> list[SettledColumn]:
        """Settle one column; none come back if it holds nothing but NULL.

        Raises:
            InvalidRow: a value that no column holds.
        """
        return self._settle_cells(name, values) if isinstance(values, Cells) else self._settle_array(name, values)

    def _settle_array(self, name: str, values: pa.Array) -> list[SettledColumn]:
        array = frames.simplified(values, self.table, name)
        own = column_of(array.type)
        if own is None:
            return []
        known = self.columns.get(name) or {}
        column = known if complete(known) else {"name": name, "nullable": True, **own, **known}
        converted = frames.converted(array, column)
        if converted is None or (own["data_type"] == "json" and not complete(known)):
            return self._settle_cells(name, frames.cells(array, self.table, name))
        self._check_nul(name, column, converted)
        return [SettledColumn(name, column, converted, None)]

    def _settle_cells(self, name: str, cells: Cells) -> list[SettledColumn]:
        types = cells.value_types()
        if not types:
            return []
        known = self.columns.get(name)
        column = known if known is not None and complete(known) else self._new_column(name, cells.values, types)
        return [] if column is None else self._columns(name, column, cells, types)

    def _new_column(self, name: str, values: Sequence[Any], types: set[type]) -> dict[str, Any] | None:
        first = next((value for value in values if value is not None), None)
        try:
            data_type = self.rules.data_type(name, first)
        except CannotCoerce as error:
            raise self._invalid(name, first, str(error)) from error
        if data_type is None:
            return None
        hints = self._decimal_hints(values) if data_type == "decimal" else {}
        column = {"name": name, "data_type": data_type, "nullable": True, **self.rules.hints(name), **(hints or {})}
        if hints is None:
            column["data_type"] = "text"  # no decimal column holds numbers this long
        known = self.columns.get(name) or {}
        return {**column, **{key: value for key, value in known.items() if value is not None}}

    def _decimal_hints(self, values: Sequence[Any]) -> dict[str, int] | None:
        return decimal_hints(value for value in values if type(value) is Decimal and value.is_finite())

    def _columns(
        self, name: str, column: ColumnDocument, cells: Cells, types: set[type], *, is_variant: bool = False
    ) -> list[SettledColumn]:
        array = None if self.exact else array_of(cells.values, types, column)
        beside: list[SettledColumn] = []
        if array is None:
            values, places = self._coerced(cells.values, column)
            if places and is_variant:
                raise self._invalid(name, cells.values[places[0]], "it fits neither its column nor its variant")
            array = self._array(name, values, column)
            beside = self._variants(name, cells.at(places)) if places else []
        self._check_nul(name, column, array)
        return [SettledColumn(name, column, array, cells.rows), *beside]

    def _coerced(self, values: Sequence[Any], column: ColumnDocument) -> tuple[list[Any], list[int]]:
        """Coerce each value; give what came of them, and the places of those that the column does not take."""
        to_type = column["data_type"]
        coerced: list[Any] = []
        refused: list[int] = []
        for place, value in enumerate(values):
            try:
                found = plain(value)
                coerced.append(None if found is None else converter(found[0], to_type)(found[1], column))
            except CannotCoerce:
                coerced.append(None)
                refused.append(place)
        return coerced, refused

    def _array(self, name: str, values: list[Any], column: ColumnDocument) -> pa.Array:
        try:
            return one_array(values, arrow_type(column))
        except UNFIT as error:
            raise self._invalid(name, values, f"it does not fit into {column['data_type']}: {error}") from error

    def _variants(self, name: str, cells: Cells) -> list[SettledColumn]:
        """Settle values beside the column that did not take them."""
        hints = self._decimal_hints(cells.values)
        named: dict[str, tuple[ColumnDocument, list[int]]] = {}
        candidates: dict[Sequence[str], list[ColumnDocument]] = {}
        for place, value in enumerate(cells.values):
            data_types = self._variant_types(name, value)
            if data_types not in candidates:
                candidates[data_types] = list(self._candidates(name, data_types, hints))
            variant = self._variant_of(name, value, candidates[data_types])
            named.setdefault(variant["name"], (variant, []))[1].append(place)
        settled = []
        for variant_name, (variant, places) in named.items():
            part = cells.at(places)
            settled += self._columns(variant_name, variant, part, part.value_types(), is_variant=True)
        return settled

    def _variant_types(self, name: str, value: Any) -> tuple[str, ...]:
        try:
            return variants(value)
        except CannotCoerce as error:
            raise self._invalid(name, value, str(error)) from error

    def _variant_of(self, name: str, value: Any, candidates: Sequence[ColumnDocument]) -> ColumnDocument:
        """Choose the variant that takes a value."""
        reason = "no column holds it"
        found = plain(value)
        assert found is not None
        for variant in candidates:
            try:
                converter(found[0], variant["data_type"])(found[1], variant)
                return variant
            except CannotCoerce as error:
                reason = str(error)
        raise self._invalid(name, value, reason)

    def _candidates(
        self, name: str, data_types: Sequence[str], hints: dict[str, int] | None
    ) -> Iterator[ColumnDocument]:
        """Give the variants of a column to try in turn, those it has and those it may get."""
        columns = {**dict.fromkeys(self.brought, _BROUGHT), **self.columns}
        for data_type in data_types:
            variant_name = variant_column(self.naming, columns, name, data_type)
            known = self.columns.get(variant_name)
            if known is not None and complete(known):
                yield known
                if known["data_type"] == data_type:
                    continue
                # Another program's variant: of this name, but of another type.
                variant_name = variant_column(self.naming, {**columns, variant_name: _BROUGHT}, name, data_type)
            extra = (hints or {}) if data_type == "decimal" else {}
            yield {"name": variant_name, "data_type": data_type, "nullable": True, "variant": True, **extra}

    def _check_nul(self, name: str, column: ColumnDocument, array: pa.Array) -> None:
        if self.supports_nul or column["data_type"] not in ("text", "json"):
            return
        found = pc.match_substring(array, "\0" if column["data_type"] == "text" else "\\u0000")
        if pc.any(found).as_py():
            value = array.filter(found)[0].as_py()
            raise self._invalid(name, value, "it holds a NUL character, which the destination's text cannot")

    def _invalid(self, name: str, value: Any, reason: str) -> InvalidRow:
        return InvalidRow(self.table, name, shown(value), reason)
