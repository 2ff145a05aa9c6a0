"""How one database spells names and types: quoting, folding, and the SQL type of a schema column."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from oarlock.errors import InvalidName

#: Precision and scale of a decimal whose column says neither; what other readers of the dataset expect.
DEFAULT_DECIMAL = (38, 9)
#: A wei has no fraction; its column's precision where none is said.
DEFAULT_WEI = (38, 0)

#: A column of the schema document.
ColumnDocument = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Dialect:
    """The few ways in which SQL differs from one database to the next."""

    name: str
    type_of: Callable[[ColumnDocument], str]
    folds_case: bool  # "A" and "a" name the same column
    nul_in_names: bool
    max_name_bytes: int  # a longer name would be cut in silence, or refused
    empty: str  # the statement that empties a table, the table's name at {}

    def quote(self, identifier: str) -> str:
        """Quote a name so that it cannot be anything but a name.

        Raises:
            InvalidName: the database cannot hold this name.
        """
        if not identifier:
            raise InvalidName("identifier", identifier, "it is empty")
        if "\0" in identifier and not self.nul_in_names:
            raise InvalidName("identifier", identifier, f"{self.name} names cannot hold NUL")
        if len(identifier.encode("utf-8", "surrogatepass")) > self.max_name_bytes:
            raise InvalidName(
                "identifier", identifier[:100], f"{self.name} names have at most {self.max_name_bytes} bytes"
            )
        return '"' + identifier.replace('"', '""') + '"'

    def path(self, dataset: str, table: str) -> str:
        """Give the quoted name of a table, its dataset included."""
        return f"{self.quote(dataset)}.{self.quote(table)}"

    def fold(self, identifier: str) -> str:
        """Give the form in which two names that the database takes for one are equal."""
        return identifier.lower() if self.folds_case else identifier


def _decimal(column: ColumnDocument, default: tuple[int, int]) -> tuple[int, int]:
    precision = column.get("precision")
    scale = column.get("scale")
    if precision is None:
        return default
    return int(precision), int(scale or 0)


_DUCKDB_TYPES: Mapping[str, str] = {
    "text": "VARCHAR",
    "double": "DOUBLE",
    "bool": "BOOLEAN",
    "date": "DATE",
    "time": "TIME",
    "binary": "BLOB",
    "json": "JSON",
}

_POSTGRES_TYPES: Mapping[str, str] = {
    "double": "double precision",
    "bool": "boolean",
    "date": "date",
    "binary": "bytea",
    "json": "jsonb",
}


def duckdb_type(column: ColumnDocument) -> str:
    """Give the DuckDB type of a column."""
    data_type = column["data_type"]
    if data_type == "bigint":
        return _by_bits(column, ((8, "TINYINT"), (16, "SMALLINT"), (32, "INTEGER"), (64, "BIGINT"), (128, "HUGEINT")))
    if data_type == "decimal":
        return "DECIMAL({},{})".format(*_decimal(column, DEFAULT_DECIMAL))
    if data_type == "wei":
        return "DECIMAL({},{})".format(*_decimal(column, DEFAULT_WEI))
    if data_type == "timestamp":
        if column.get("timezone", True) is not False:
            return "TIMESTAMP WITH TIME ZONE"  # DuckDB knows one precision of it, microseconds
        digits = column.get("precision")
        steps = ((0, "TIMESTAMP_S"), (3, "TIMESTAMP_MS"), (6, "TIMESTAMP"), (9, "TIMESTAMP_NS"))
        return "TIMESTAMP" if digits is None else next((name for most, name in steps if digits <= most), "TIMESTAMP")
    return _simple(_DUCKDB_TYPES, column)


def postgres_type(column: ColumnDocument) -> str:
    """Give the Postgres type of a column."""
    data_type = column["data_type"]
    precision = column.get("precision")
    if data_type == "bigint":
        return _by_bits(column, ((16, "smallint"), (32, "integer"), (64, "bigint")))
    if data_type == "decimal":
        return "numeric({},{})".format(*_decimal(column, DEFAULT_DECIMAL))
    if data_type == "wei":
        # 2**256 has 78 digits; a bound of 38 would refuse what a wei is made to hold.
        return "numeric({},{})".format(*_decimal(column, (78, 0)))
    if data_type == "text":
        return "varchar" if precision is None else f"varchar({int(precision)})"
    if data_type in ("timestamp", "time"):
        digits = "" if precision is None else f" ({min(6, int(precision))})"
        zoned = data_type == "timestamp" and column.get("timezone", True) is not False
        return f"{data_type}{digits} {'with' if zoned else 'without'} time zone"
    return _simple(_POSTGRES_TYPES, column)


def _by_bits(column: ColumnDocument, steps: tuple[tuple[int, str], ...]) -> str:
    bits = column.get("precision")
    if bits is None:
        return "BIGINT"
    for most, name in steps:
        if bits <= most:
            return name
    raise InvalidName("column", str(column.get("name")), f"no integer type has {bits} bits")


def _simple(types: Mapping[str, str], column: ColumnDocument) -> str:
    try:
        return types[column["data_type"]]
    except KeyError:
        reason = f"its data type {column['data_type']!r} is not known"
        raise InvalidName("column", str(column.get("name")), reason) from None


DUCKDB = Dialect(
    "duckdb", duckdb_type, folds_case=True, nul_in_names=True, max_name_bytes=65_536, empty="DELETE FROM {}"
)
#: TRUNCATE is transactional in Postgres, and does not leave a dead row for every row.
POSTGRES = Dialect(
    "postgres", postgres_type, folds_case=False, nul_in_names=False, max_name_bytes=63, empty="TRUNCATE TABLE {}"
)
