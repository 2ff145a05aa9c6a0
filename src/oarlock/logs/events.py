"""The catalogue of events: every name that a log line may carry, its level, its fields, and what it says.

A name is ``noun.past_participle``. info: a state changed; warning: we recovered; error: someone must act.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Protocol

Level = Literal["info", "warning", "error"]

#: Levels by rank: a log of level "warning" keeps warnings and errors.
RANKS: dict[str, int] = {"info": 20, "warning": 30, "error": 40}


class Event(NamedTuple):
    """One kind of event."""

    name: str
    level: Level
    fields: tuple[str, ...]
    sentence: str


class Log(Protocol):
    """What code writes events to: the light one of the writer, or the structlog one; both make the same lines."""

    def bind(self, **ids: Any) -> Log: ...
    def info(self, event: str, **fields: Any) -> Any: ...
    def warning(self, event: str, **fields: Any) -> Any: ...
    def error(self, event: str, **fields: Any) -> Any: ...


def _event(name: str, level: Level, fields: str, sentence: str) -> Event:
    return Event(name, level, tuple(fields.split()), sentence)


#: Fields that the writer puts on every line.
WRITTEN: dict[str, str] = {
    "at": "wall clock, seconds since 1970",
    "mono": "monotonic clock of the machine, seconds: differences of these are true durations",
    "seq": "number of the line within its process, from 1, without gaps; a gap is a line that was lost",
    "level": "`info`, `warning` or `error`",
    "event": "the name",
    "worker": "id of the worker, which is one process",
}
#: Fields that are bound once and stand on every line that they concern.
BOUND: dict[str, str] = {
    "pipeline": "name of the pipeline",
    "run": "id of the call of `run()`",
    "load": "load id of the package",
    "task": "id of the task",
    "attempt": "number of the task's attempt, from 1",
}
#: Fields that may stand on any line.
ALWAYS: dict[str, str] = {
    "traceback": "where an error came from, secrets masked",
    "truncated": "true when texts of the line were shortened to keep it under the limit",
    "dropped": "how many lines could not be written (a full disk) since the last one that could",
}

#: What the other fields mean, whichever event they stand on.
FIELDS: dict[str, str] = {
    "bytes": "size in bytes",
    "columns": "names of columns",
    "command": "command line of the process",
    "counters": "object: counter → how far it is",
    "cpu_s": "processor time of the process, seconds",
    "dataset": "name of the dataset",
    "dead_worker": "id of the worker that died",
    "destination": "name of the destination",
    "duration_s": "how long it took, seconds",
    "error": "text of the error, secrets masked",
    "folder": "path of the folder",
    "found": "what was found, in words",
    "held_s": "how long it was held, seconds",
    "items": "what was removed or set aside",
    "keys": "keys of the state that changed",
    "lock": "name of the lock",
    "owner": "who held it, in words",
    "packages": "number of load packages",
    "parent": "id of the worker it was forked from",
    "peak_mb": "most memory that the process held, MB",
    "pending": "number of packages that wait to be loaded",
    "pid": "process id",
    "reason": "why",
    "rows": "number of rows",
    "schema": "name of the schema",
    "signal": "name of the signal that ended it",
    "source": "where the rows came from",
    "state": "state of the package",
    "state_version": "version of the pipeline's state",
    "step": "`extract`, `normalize` or `load`, or the title of a phase",
    "table": "name of the table",
    "tables": "object: table → rows, or list of tables",
    "totals": "object: counter → how far it goes, where that is known",
    "version": "version of the schema",
    "wait": "whether the call waits for the destination",
    "waited_s": "how long was waited, seconds",
    "why": "what it was wanted for",
}

#: All events, in the order in which a run meets them.
CATALOGUE: tuple[Event, ...] = (
    _event("pipeline.created", "info", "folder destination dataset", "A pipeline and its working folder were made."),
    _event("pipeline.attached", "info", "folder destination dataset state_version pending", "A process joined it."),
    _event(
        "pipeline.restored",
        "info",
        "destination dataset state_version",
        "State and schemas were taken from the destination.",
    ),
    _event("pipeline.synced", "info", "destination dataset state_version found", "The destination was compared with."),
    _event("worker.started", "info", "pid command parent", "A process began to write this file."),
    _event("worker.finished", "info", "duration_s cpu_s peak_mb rows packages", "A worker ended in order."),
    _event(
        "worker.died",
        "warning",
        "dead_worker pid signal found",
        "A worker was found dead; what it held is free.",
    ),
    _event("run.started", "info", "source wait", "A call of `run()` began."),
    _event("run.finished", "info", "duration_s rows packages tables wait", "A call of `run()` returned its receipt."),
    _event("run.failed", "error", "step error duration_s pending", "A call of `run()` raised."),
    _event("step.started", "info", "step source schema packages", "A step began."),
    _event("step.finished", "info", "step duration_s rows packages tables", "A step ended."),
    _event("progress.updated", "info", "step counters totals", "How far a step is; at most one a period."),
    _event("rows.extracted", "info", "rows bytes table tables", "Rows were taken in; at most one a period."),
    _event("schema.changed", "info", "schema version tables columns", "A schema got tables or columns."),
    _event("state.changed", "info", "state_version keys why", "The pipeline's state changed."),
    _event("package.committed", "info", "schema version tables rows bytes duration_s", "A package is durable."),
    _event("package.loaded", "info", "destination dataset tables rows found", "A package is in the destination."),
    _event("package.failed", "error", "state table error", "A package cannot be loaded, and is kept as failed."),
    _event("package.dropped", "warning", "state rows reason", "A pending package was given up, as it was asked for."),
    _event("group.loaded", "info", "destination packages rows bytes duration_s", "Packages were loaded together."),
    _event(
        "group.postponed", "warning", "destination packages error", "A load failed for now; its packages stay pending."
    ),
    _event("table.changed", "info", "destination dataset table columns", "A table was made or altered."),
    _event("lock.waited", "info", "lock waited_s owner why", "A lock was had after a wait that was worth a line."),
    _event("loader.took_turn", "info", "pending waited_s", "This worker loads what all have committed."),
    _event("loader.gave_turn", "info", "packages held_s", "It gave the turn back."),
    _event("recovery.swept", "warning", "folder items reason", "Leftovers of a crash were removed."),
)

EVENTS: dict[str, Event] = {event.name: event for event in CATALOGUE}


def check(name: str, level: str, fields: dict[str, Any]) -> None:
    """Refuse an event that is not in the catalogue as it is written; the strict switch of tests turns this on.

    Raises:
        ValueError: The name, the level or a field is not in the catalogue.
    """
    event = EVENTS.get(name)
    if event is None:
        raise ValueError(f"event {name!r} is not in the catalogue (oarlock/logs/events.py)")
    if event.level != level:
        raise ValueError(f"event {name!r} is {event.level} in the catalogue, and was written as {level}")
    allowed = {*event.fields, *WRITTEN, *BOUND, *ALWAYS}
    if unknown := sorted(fields.keys() - allowed):
        raise ValueError(f"event {name!r} has no field {unknown[0]!r}; it has {', '.join(event.fields)}")


def as_markdown() -> str:
    """Write the page of all events."""
    rows = [
        f"| `{event.name}` | {event.level} | {', '.join(f'`{field}`' for field in event.fields)} | {event.sentence} |"
        for event in CATALOGUE
    ]
    return _PAGE.format(
        events="\n".join(rows),
        written=_glossary(WRITTEN),
        bound=_glossary(BOUND),
        always=_glossary(ALWAYS),
        fields=_glossary(FIELDS),
    )


def _glossary(fields: dict[str, str]) -> str:
    return "\n".join(f"- `{name}`: {meaning}" for name, meaning in fields.items())


_PAGE = """# Events

<!-- Written by oarlock.logs.events.as_markdown(); a test keeps it so. -->

Every process of a pipeline writes its own file, `logs/<worker>.jsonl` in the working folder: one JSON object a line,
one event a line, one write a line.
Names and fields are a public contract.
Join the files by `at`, then `worker`, then `seq`; `oarlock.logs.reader` does, and DuckDB's
`read_json('…/logs/*.jsonl')` can.
A process that is killed may leave one torn line, the last of its file.

| event | level | fields | what happened |
| --- | --- | --- | --- |
{events}

## On every line

{written}

## Where they apply

{bound}

## Now and then

{always}

## The other fields

{fields}
"""
