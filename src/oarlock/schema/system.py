"""The system's own tables and columns as documents, in the shapes that readers of the dataset expect."""

from __future__ import annotations

from typing import Any

ENGINE_VERSION = 11
VERSION_TABLE = "_dlt_version"
LOADS_TABLE = "_dlt_loads"
STATE_TABLE = "_dlt_pipeline_state"

ROW_ID = "_dlt_id"
LOAD_ID = "_dlt_load_id"
PARENT_ID = "_dlt_parent_id"
LIST_INDEX = "_dlt_list_idx"
ROOT_ID = "_dlt_root_id"
#: The precision and scale of a decimal column that does not say its own.
DECIMAL = (38, 9)
#: The column of rows that are one plain value.
VALUE = "value"
#: The column of list elements that are lists themselves.
LIST = "list"

Column = dict[str, Any]


def column(name: str, data_type: str, *, nullable: bool = True, **hints: Any) -> Column:
    """Make one column's document."""
    return {"name": name, "data_type": data_type, "nullable": nullable, **hints}


def row_id_column() -> Column:
    """Name each row of a table, for its children to point at."""
    return column(ROW_ID, "text", nullable=False, unique=True, row_key=True)


def load_id_column() -> Column:
    """Name the package that a row of a root table came with."""
    return column(LOAD_ID, "text", nullable=False)


def parent_id_column() -> Column:
    """Name the parent of a row of a nested table."""
    return column(PARENT_ID, "text", nullable=False, parent_key=True)


def list_index_column() -> Column:
    """Give a row's place in its parent's list, from 0."""
    return column(LIST_INDEX, "bigint", nullable=False)


def root_id_column() -> Column:
    """Name the row of the root table that a nested row descends from."""
    return column(ROOT_ID, "text", nullable=False, root_key=True)


def version_table() -> dict[str, Any]:
    """Keep one row for each version of each schema that the dataset has seen."""
    return _table(
        VERSION_TABLE,
        column("version", "bigint", nullable=False),
        column("engine_version", "bigint", nullable=False),
        column("inserted_at", "timestamp", nullable=False),
        column("schema_name", "text", nullable=False),
        column("version_hash", "text", nullable=False),
        column("schema", "text", nullable=False),
        write_disposition="skip",
    )


def loads_table() -> dict[str, Any]:
    """Keep one row for each package that was loaded: its marker."""
    return _table(
        LOADS_TABLE,
        column("load_id", "text", nullable=False, precision=64),
        column("schema_name", "text"),
        column("status", "bigint", nullable=False),
        column("inserted_at", "timestamp", nullable=False),
        column("schema_version_hash", "text"),
        write_disposition="skip",
    )


def pipeline_state_table() -> dict[str, Any]:
    """Keep one row for each version of a pipeline's state."""
    table = _table(
        STATE_TABLE,
        column("version", "bigint", nullable=False),
        column("engine_version", "bigint", nullable=False),
        column("pipeline_name", "text", nullable=False),
        column("state", "text", nullable=False),
        column("created_at", "timestamp", nullable=False),
        column("version_hash", "text"),
        column(LOAD_ID, "text", nullable=False, precision=64),
        row_id_column(),
        write_disposition="append",
    )
    table["file_format"] = "preferred"
    return table


def default_settings() -> dict[str, Any]:
    """Give the settings of a new schema: which types are looked for in text, which hints a column's name brings."""
    return {
        "detections": ["iso_timestamp"],
        "default_hints": {
            "not_null": [ROW_ID, ROOT_ID, PARENT_ID, LIST_INDEX, LOAD_ID],
            "parent_key": [PARENT_ID],
            "root_key": [ROOT_ID],
            "unique": [ROW_ID],
            "row_key": [ROW_ID],
        },
    }


def default_normalizers() -> dict[str, Any]:
    """Name the rules by which names and rows are normalized."""
    return {"names": "snake_case", "json": {"module": "dlt.common.normalizers.json.relational"}}


def _table(name: str, *columns: Column, write_disposition: str) -> dict[str, Any]:
    return {
        "name": name,
        "columns": {each["name"]: each for each in columns},
        "write_disposition": write_disposition,
        "resource": name,
    }
