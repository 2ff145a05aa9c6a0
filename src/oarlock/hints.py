"""Hints: what the rows of a resource are to become, checked when they are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from oarlock.errors import ConfigurationError
from oarlock.values import WRITE_DISPOSITIONS, WriteDisposition

Row = Any
TableName = str | Callable[[Row], str]
Columns = Mapping[str, Mapping[str, Any]] | Sequence[Mapping[str, Any]]
Key = str | Sequence[str]


@dataclass(frozen=True, slots=True)
class Hints:
    """What the rows of one resource are to become; ``None`` means "not said"."""

    table_name: TableName | None = None
    write_disposition: WriteDisposition | None = None
    primary_key: tuple[str, ...] = ()
    merge_key: tuple[str, ...] = ()
    columns: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    max_table_nesting: int | None = None

    def over(self, other: Hints) -> Hints:
        """Lay these hints over others: what is said here wins, columns are joined."""
        return Hints(
            table_name=self.table_name if self.table_name is not None else other.table_name,
            write_disposition=self.write_disposition or other.write_disposition,
            primary_key=self.primary_key or other.primary_key,
            merge_key=self.merge_key or other.merge_key,
            columns={**other.columns, **self.columns},
            max_table_nesting=self.max_table_nesting if self.max_table_nesting is not None else other.max_table_nesting,
        )


def make_hints(
    *,
    table_name: TableName | None = None,
    write_disposition: WriteDisposition | None = None,
    primary_key: Key | None = None,
    merge_key: Key | None = None,
    columns: Columns | None = None,
    max_table_nesting: int | None = None,
) -> Hints:
    """Check hints as a user writes them.

    Raises:
        ConfigurationError: a hint has a value that cannot work; the message names the hint and the value.
    """
    if write_disposition is not None and write_disposition not in WRITE_DISPOSITIONS:
        raise ConfigurationError(
            f"write_disposition {write_disposition!r} is not one of {', '.join(map(repr, WRITE_DISPOSITIONS))}"
        )
    if max_table_nesting is not None and (not isinstance(max_table_nesting, int) or max_table_nesting < 0):
        raise ConfigurationError(f"max_table_nesting {max_table_nesting!r} is not a whole number from 0 up")
    return Hints(
        table_name=table_name,
        write_disposition=write_disposition,
        primary_key=_key(primary_key),
        merge_key=_key(merge_key),
        columns=_columns(columns),
        max_table_nesting=max_table_nesting,
    )


def _key(key: Key | None) -> tuple[str, ...]:
    if key is None:
        return ()
    return (key,) if isinstance(key, str) else tuple(key)


def _columns(columns: Columns | None) -> dict[str, Mapping[str, Any]]:
    if columns is None:
        return {}
    if isinstance(columns, Mapping):
        return {name: {"name": name, **hint} for name, hint in columns.items()}
    if isinstance(columns, Sequence) and not isinstance(columns, str | bytes):
        for column in columns:
            if not isinstance(column, Mapping) or "name" not in column:
                raise ConfigurationError(f"columns: {column!r} is not a mapping with a 'name'")
        return {column["name"]: dict(column) for column in columns}
    raise ConfigurationError(f"columns: {columns!r} is neither a mapping of columns nor a list of them")
