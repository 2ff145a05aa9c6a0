"""Schema files: written for people to read and keep (export), and read where people have changed them (import)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from oarlock.errors import InvalidFile, SchemaError
from oarlock.schema.document import Schema
from oarlock.steps.schemas import record_of

if TYPE_CHECKING:
    from oarlock.pipelines.membership import Membership
    from oarlock.pipelines.pipeline import Pipeline

SUFFIX = ".schema.yaml"


def import_schema(pipeline: Pipeline, name: str) -> None:
    """Take over a schema's file where it says something that was not taken over yet.

    Raises:
        InvalidFile: the file is not a schema; nothing was changed.
    """
    folder = pipeline._settings.import_schema_path
    if folder is None:
        return
    path = folder / f"{name}{SUFFIX}"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    try:
        imported = Schema.from_yaml(text)
    except SchemaError as error:
        raise InvalidFile(path, str(error)) from error
    member = pipeline.member
    with member.store.transaction(f"import schema {name}") as tx:
        record = tx.schema(name)
        current = Schema.new(name) if record is None else Schema.from_document(record.document)
        if current.imported_version_hash == imported.version_hash:
            return
        made = current.replaced_by(imported)
        tx.put_schema(record_of(made, member.worker))
    member.told("schema.changed", schema=name, version=made.version, tables=made.data_tables())


def export_schemas(pipeline: Pipeline, schemas: Iterable[Schema]) -> None:
    """Write the schemas of a run into the export folder, and into the import folder those that have no file there."""
    for folder, plain in (
        (pipeline._settings.export_schema_path, False),
        (pipeline._settings.import_schema_path, True),
    ):
        if folder is None:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        for schema in schemas:
            path = folder / f"{schema.name}{SUFFIX}"
            if not plain:
                _put(path, schema.to_yaml(), pipeline.member)
            elif not path.exists():
                _put(path, schema.without_processing_hints().to_yaml(), pipeline.member)


def _put(path: Path, text: str, member: Membership) -> None:
    """Write aside and put in place, so that a reader never sees half a schema. What dead workers left aside goes."""
    aside = f".{path.name}-"
    for left in [one.name for one in os.scandir(path.parent) if one.name.startswith(aside)]:
        if not member.is_member_alive(left.removeprefix(aside)):
            path.with_name(left).unlink(missing_ok=True)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    mine = path.with_name(f"{aside}{member.worker}")
    mine.write_text(text, encoding="utf-8")
    os.replace(mine, path)
