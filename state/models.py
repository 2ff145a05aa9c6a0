"""What the store's documents must look like, field by field: asked when a cheap check has failed, and at an import.

Imports pydantic, which costs more than a whole attach: import this module only where it is needed.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

#: Problems of one document that a message names.
_NAMED = 5

_Count = Annotated[int, Field(ge=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class JobModel(_Strict):
    """A job of a package."""

    job_id: str
    table: str
    file: str
    offset: _Count
    size_bytes: _Count
    rows: _Count
    checksum: str
    format: str
    error: str | None = None


class PackageModel(_Strict):
    """The parts of a package that the store keeps as JSON."""

    dispositions: dict[str, str]
    options: dict[str, Any]
    jobs: list[JobModel]


class ExportedSchema(_Strict):
    """The newest version of one schema in an export."""

    name: str
    version: Annotated[int, Field(ge=1)]
    version_hash: str
    document: dict[str, Any]
    author: str
    created_at: float


class Export(_Strict):
    """A whole export of a store: its state and its schemas, not its packages, whose rows are in files."""

    oarlock_export: Literal[1]
    pipeline_name: str
    state_version: _Count
    state: dict[str, Any]
    schemas: list[ExportedSchema]


def what_is_wrong(model: type[BaseModel], value: Any) -> str:
    """Say which fields of a value do not fit a model, and why; empty where all do."""
    try:
        model.model_validate(value)
    except ValidationError as error:
        found = [f"{'.'.join(map(str, one['loc']))}: {one['msg'].lower()}" for one in error.errors()]
        return "; ".join(found[:_NAMED]) + ("; …" if len(found) > _NAMED else "")
    return ""
