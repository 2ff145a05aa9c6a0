"""Taking a store's state and schemas out as one document that people can read, and bringing them back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from oarlock.errors import StoreDamaged
from oarlock.state.base import SchemaRecord, Snapshot, Transaction
from oarlock.state.documents import join
from oarlock.state.models import Export, what_is_wrong
from oarlock.state.typed_json import dumps, loads


def export_store(snapshot: Snapshot, pipeline_name: str) -> bytes:
    """Write state and schemas as typed JSON; packages stay where their rows are."""
    records = (snapshot.schema(name) for name in snapshot.schema_names())
    return dumps(
        {
            "oarlock_export": 1,
            "pipeline_name": pipeline_name,
            "state_version": snapshot.state_version,
            "state": join(snapshot.documents()),
            "schemas": [asdict(record) for record in records if record is not None],
        }
    )


def import_store(tx: Transaction, content: bytes, *, source: str = "the import") -> None:
    """Bring an export's state and schemas in: the state replaces what is there, schemas join where they are newer.

    Raises:
        StoreDamaged: The content is no export; the message names the fields, and nothing is written.
    """
    try:
        value: Any = loads(content)
    except (TypeError, ValueError) as error:
        raise StoreDamaged(source, f"it is not JSON ({error})") from error
    wrong = what_is_wrong(Export, value)
    if wrong:
        raise StoreDamaged(source, wrong)
    tx.put((), value["state"])
    tx.raise_version(value["state_version"])
    for schema in value["schemas"]:
        newest = tx.schema_version(schema["name"])
        if newest is None or newest < schema["version"]:
            tx.put_schema(SchemaRecord(**schema))
