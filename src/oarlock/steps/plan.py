"""From whatever was handed to ``run()`` to resources with names: what is loaded, into which schema."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oarlock.errors import InvalidFile, ResourceNameMissing, UnsupportedData
from oarlock.hints import Hints
from oarlock.resources import Resource, Source, is_tabular
from oarlock.steps.files import is_known, table_name_of

#: Where the rows of one schema come from, in the order in which they are loaded.
HOW_TO_NAME = "say run(…, table_name=…)"


@dataclass(frozen=True, slots=True)
class Plan:
    """The resources that go into one schema, and so into one load package."""

    schema_name: str
    resources: list[Resource]


def plan(data: Any, *, hints: Hints, default_schema: str, forced_schema: str | None = None) -> list[Plan]:
    """Sort out what ``data`` is.

    Raises:
        UnsupportedData: it is nothing that holds rows.
        ResourceNameMissing: it holds rows, but there is no name for their table.
        InvalidFile: it is a path, and there is no such file or no reader for it.
    """
    by_schema: dict[str, list[Resource]] = {}
    for schema_name, resource in _resources(data, hints):
        laid = resource._copy(hints=hints.over(resource.hints))
        laid.check()
        by_schema.setdefault(forced_schema or schema_name or default_schema, []).append(laid)
    return [Plan(name, resources) for name, resources in by_schema.items()]


def _resources(data: Any, hints: Hints) -> Iterator[tuple[str | None, Resource]]:
    if isinstance(data, Source):
        for one in data.selected_resources.values():
            yield data.name, one
    elif isinstance(data, Resource):
        yield data.source_name, data
    elif isinstance(data, Path | str):
        for path in expand(data):
            yield None, Resource(path, name=_name(hints, table_name_of(path)), hints=Hints())
    elif isinstance(data, list | tuple) and data and all(isinstance(one, Source | Resource | Path) for one in data):
        for one in data:
            yield from _resources(one, hints)
    elif isinstance(data, Mapping) or is_tabular(data):
        yield None, _named(data, hints, type(data).__name__)
    elif inspect.isgeneratorfunction(data) or inspect.isgenerator(data):
        yield None, _named(data, hints, getattr(data, "__name__", "generator"), own_name=True)
    elif callable(data):
        yield from _from_callable(data, hints)
    elif isinstance(data, Iterable) and not isinstance(data, bytes | bytearray):
        yield None, _named(data, hints, type(data).__name__)
    else:
        raise UnsupportedData(
            type(data).__name__, "give rows (dicts), an iterable of rows, a frame or Arrow table, a path, or a resource"
        )


def _from_callable(data: Any, hints: Hints) -> Iterator[tuple[str | None, Resource]]:
    """A function that returns a source or resources is called; one that returns rows is a resource itself."""
    name = getattr(data, "__name__", type(data).__name__)
    try:
        inspect.signature(data).bind()
    except TypeError as error:
        raise UnsupportedData(f"function {name!r}", f"call it with its arguments first ({error})") from error
    made = data()
    if made is data or (callable(made) and not isinstance(made, Resource)):
        raise UnsupportedData(f"function {name!r}", "it gives another function, not rows")
    if isinstance(made, Source | Resource) or (
        isinstance(made, list) and made and isinstance(made[0], Source | Resource)
    ):
        yield from _resources(made, hints)
    else:
        yield None, _named(made, hints, name, own_name=True, fallback=name)


def _named(data: Any, hints: Hints, found: str, *, own_name: bool = False, fallback: str | None = None) -> Resource:
    name = hints.table_name if isinstance(hints.table_name, str) else None
    name = name or ((fallback or found) if own_name else None)
    if name is None and callable(hints.table_name):
        name = "rows"
    if not name or name == "<lambda>":
        raise ResourceNameMissing(found)
    return Resource(data, name=name, hints=Hints())


def _name(hints: Hints, own: str) -> str:
    return hints.table_name if isinstance(hints.table_name, str) else own


def expand(data: Path | str) -> list[Path]:
    """Give the files a path stands for: itself, or all files with a known suffix below a folder.

    Raises:
        InvalidFile: nothing is there, or a folder has no file that can be read.
    """
    path = Path(data).expanduser()
    if path.is_dir():
        found = sorted(one for one in path.rglob("*") if one.is_file() and is_known(one))
        if not found:
            raise InvalidFile(path, "the folder has no file with a known suffix")
        return found
    if not path.exists():
        hint = "" if isinstance(data, Path) else "; rows that are plain text go in a list"
        raise InvalidFile(path, f"there is no such file{hint}")
    return [path]
