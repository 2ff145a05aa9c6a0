"""Load data with many processes on one pipeline: every row exactly once, or an error that says why.

import oarlock

pipeline = oarlock.pipeline("games", destination="duckdb", dataset_name="chess")
pipeline.run([{"id": 1}], table_name="games")      # here …
oarlock.attach("games").run(rows, table_name="games")   # … and in any number of other processes
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oarlock import current, destinations, exceptions, progress
    from oarlock.errors import *  # noqa: F403
    from oarlock.logs.collector import Collector
    from oarlock.pipelines.creating import attach, pipeline
    from oarlock.pipelines.pipeline import Pipeline
    from oarlock.pipelines.shortcut import run
    from oarlock.resources import Resource, Source, resource, source, transformer
    from oarlock.schema.document import Schema
    from oarlock.settings import config, secrets

__version__ = "0.1.0"

#: Where each public name lives; a name is imported when it is first used, so that joining a pipeline stays cheap.
_HOMES = {
    "Collector": "oarlock.logs.collector",
    "Pipeline": "oarlock.pipelines.pipeline",
    "Resource": "oarlock.resources",
    "Schema": "oarlock.schema.document",
    "Source": "oarlock.resources",
    "attach": "oarlock.pipelines.creating",
    "config": "oarlock.settings",
    "pipeline": "oarlock.pipelines.creating",
    "resource": "oarlock.resources",
    "run": "oarlock.pipelines.shortcut",
    "secrets": "oarlock.settings",
    "source": "oarlock.resources",
    "transformer": "oarlock.resources",
}
_MODULES = ("current", "destinations", "exceptions", "progress")

__all__ = [
    "Collector",
    "Pipeline",
    "Resource",
    "Schema",
    "Source",
    "__version__",
    "attach",
    "config",
    "current",
    "destinations",
    "exceptions",
    "pipeline",
    "progress",
    "resource",
    "run",
    "secrets",
    "source",
    "transformer",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    elif name in _MODULES:
        value = import_module(f"oarlock.{name}")
    elif not name.startswith("_") and hasattr(errors := import_module("oarlock.errors"), name):
        value = getattr(errors, name)
    else:
        raise AttributeError(f"module 'oarlock' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
