"""The structlog face of the writer: loggers whose last processor hands the event to the process's file."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, NoReturn, cast

import structlog
from structlog.typing import Processor

from oarlock.logs.events import RANKS, Log
from oarlock.logs.writer import Lines, Writer
from oarlock.settings.secret import redact

#: Levels that structlog has and the catalogue has not.
LEVELS = {"debug": "info", "warn": "warning", "exception": "error", "critical": "error", "fatal": "error"}


def bind(log: Writer | Lines, *, processors: Sequence[Processor] = (), **ids: Any) -> Log:
    """Make a structlog logger that writes where ``log`` writes, with the ids that are bound to it and these.

    ``processors`` see every event before it is written: to add a field, or to hand it to another log as well.
    """
    bound = log.bound if isinstance(log, Lines) else {}
    writer = log.writer if isinstance(log, Lines) else log
    lowest = min((rank for level, rank in RANKS.items() if writer.keeps(level)), default=logging.CRITICAL)
    logger = structlog.wrap_logger(
        None,
        processors=[_with_traceback, *processors, _HandOver(writer)],
        # In strict tests a misspelt event is refused whatever its level.
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO if writer.strict else lowest),
        context_class=dict,
        cache_logger_on_first_use=False,
    )
    return cast(Log, logger.bind(**{**bound, **ids}))


class _HandOver:
    """The last processor: writes the event and ends its way."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def __call__(self, logger: Any, method_name: str, event_dict: MutableMapping[str, Any]) -> NoReturn:
        event = str(event_dict.pop("event", ""))
        self._writer.write(LEVELS.get(method_name, method_name), event, event_dict)
        raise structlog.DropEvent


def _with_traceback(logger: Any, method_name: str, event_dict: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Turn ``exc_info`` into a text: of the error given, or of the one being answered."""
    info = event_dict.pop("exc_info", None)
    if info:
        event_dict["traceback"] = traceback_of(info if isinstance(info, BaseException) else None)
    return event_dict


def traceback_of(error: BaseException | None = None) -> str:
    """Give the traceback of an error, or of the one being answered, as a text without secrets."""
    return redact("".join(traceback.format_exception(error)) if error is not None else traceback.format_exc())
