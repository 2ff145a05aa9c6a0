"""The three system tables of a dataset, shaped so that other readers of the dataset know them."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from oarlock.destinations.base import TableDocument
from oarlock.errors import DestinationTerminalError

LOADS = "_dlt_loads"
VERSIONS = "_dlt_version"
STATES = "_dlt_pipeline_state"

#: The largest document that is unpacked: a few hundred bytes of zlib can stand for gigabytes.
MAX_DOCUMENT_BYTES = 256 * 1024 * 1024
#: A load that is complete; no other status was ever written.
COMPLETE = 0


def _table(name: str, *columns: tuple[str, str, bool]) -> TableDocument:
    return {
        "name": name,
        "columns": {c: {"name": c, "data_type": kind, "nullable": nullable} for c, kind, nullable in columns},
    }


SYSTEM_TABLES: Mapping[str, TableDocument] = {
    LOADS: _table(
        LOADS,
        ("load_id", "text", False),
        ("schema_name", "text", True),
        ("status", "bigint", False),
        ("inserted_at", "timestamp", False),
        ("schema_version_hash", "text", True),
    ),
    VERSIONS: _table(
        VERSIONS,
        ("version", "bigint", False),
        ("engine_version", "bigint", False),
        ("inserted_at", "timestamp", False),
        ("schema_name", "text", False),
        ("version_hash", "text", False),
        ("schema", "text", False),
    ),
    STATES: _table(
        STATES,
        ("version", "bigint", False),
        ("engine_version", "bigint", False),
        ("pipeline_name", "text", False),
        ("state", "text", False),
        ("created_at", "timestamp", False),
        ("version_hash", "text", True),
        ("_dlt_load_id", "text", False),
        ("_dlt_id", "text", False),
    ),
}


def read_document(text: str, what: str) -> dict[str, Any]:
    """Read a schema as the version table holds it: JSON, or base64 of zlib of JSON.

    Raises:
        DestinationTerminalError: it is neither.
    """
    try:
        document = json.loads(text if text.lstrip().startswith("{") else _unpack(text))
    except (ValueError, zlib.error, RecursionError) as error:
        raise DestinationTerminalError(f"{what} at the destination does not read as a document: {error}") from error
    if not isinstance(document, dict):
        raise DestinationTerminalError(f"{what} at the destination is {type(document).__name__}, not a document")
    return document


def _unpack(text: str) -> bytes:
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(base64.b64decode(text, validate=True), MAX_DOCUMENT_BYTES)
    if unpacker.unconsumed_tail:
        raise ValueError(f"it unpacks to more than {MAX_DOCUMENT_BYTES} bytes")
    return content


def load_id_after(newest: str, fresh: str) -> str:
    """Give a load id that sorts after ``newest``: the fresh one, unless a clock ran ahead elsewhere."""
    if fresh > newest:
        return fresh
    try:
        later = str(Decimal(newest) + Decimal("0.000001"))
    except InvalidOperation:
        later = ""
    return later if later > newest else newest + "0"
