"""From a name, a collector or nothing to the collector that is used."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, cast

from oarlock.logs.collector import NULL_COLLECTOR, Collector, is_collector, unknown_collector


def log(
    log_period: float = 1.0, logger: Any = "stdout", log_level: int = 20, dump_system_stats: bool = True
) -> Collector:
    """Make a collector that prints counters at a period: to stdout, a text stream, or a logger.

    Args:
        log_period: Least seconds between two prints.
        logger: ``"stdout"``, ``"stderr"``, ``"oarlock"`` (the logger of that name), a Logger, or a text stream.
        log_level: Level of the lines, where they go to a logger.
        dump_system_stats: Whether memory and processor use are printed too.
    """
    return _made("log", "LogCollector", log_period, logger, log_level, dump_system_stats)


def tqdm(single_bar: bool = False, **tqdm_options: Any) -> Collector:
    """Make a collector that shows a tqdm bar a counter; the options go to ``tqdm.tqdm``.

    Raises:
        MissingExtra: tqdm is not installed.
    """
    return _made("tqdm", "TqdmCollector", single_bar, **tqdm_options)


def enlighten(single_bar: bool = False, **enlighten_options: Any) -> Collector:
    """Make a collector that shows an enlighten bar a counter; the options go to ``Manager.counter``.

    Raises:
        MissingExtra: enlighten is not installed.
    """
    return _made("enlighten", "EnlightenCollector", single_bar, **enlighten_options)


def alive_progress(single_bar: bool = True, **alive_options: Any) -> Collector:
    """Make a collector that shows an alive_progress bar for a step's first counter; the options go to ``alive_bar``.

    Raises:
        MissingExtra: alive-progress is not installed.
    """
    return _made("alive", "AliveCollector", single_bar, **alive_options)


_FACES: dict[str, Callable[[], Collector]] = {
    "log": log,
    "tqdm": tqdm,
    "enlighten": enlighten,
    "alive_progress": alive_progress,
}


def resolve_collector(value: object) -> Collector:
    """Give the collector that a ``progress`` argument means.

    Raises:
        ConfigurationError: It is neither None, nor a collector, nor the name of one.
        MissingExtra: The library of the face named is not installed.
    """
    if value is None:
        return NULL_COLLECTOR
    if isinstance(value, str) and value in _FACES:
        return _FACES[value]()
    if isinstance(value, type) or not is_collector(value):
        raise unknown_collector(value)
    return cast(Collector, value)


def _made(module: str, name: str, *arguments: Any, **options: Any) -> Collector:
    face = importlib.import_module(f"oarlock.logs.faces.{module}")
    return cast(Collector, getattr(face, name)(*arguments, **options))
