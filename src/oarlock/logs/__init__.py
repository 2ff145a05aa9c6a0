"""Logs: events written by every process, and the collectors that show how far it is."""

from oarlock.logs.collector import NULL_COLLECTOR, Collector, DictCollector, EventCollector, NullCollector
from oarlock.logs.events import EVENTS, Event, Log
from oarlock.logs.faces.choice import resolve_collector
from oarlock.logs.writer import SILENT, Lines, Writer

__all__ = [
    "EVENTS",
    "NULL_COLLECTOR",
    "SILENT",
    "Collector",
    "DictCollector",
    "Event",
    "EventCollector",
    "Lines",
    "Log",
    "NullCollector",
    "Writer",
    "resolve_collector",
]
