"""Filling: arguments of a source or resource whose default is ``oarlock.config.value`` or ``oarlock.secrets.value``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from oarlock.settings.access import Awaiting
from oarlock.settings.lookup import Settings
from oarlock.settings.secret import Secret, remember

#: The section of sources: ``[sources.<module>.<name>]``, ``[sources.<name>]``, ``[sources]``, the root.
SECTION = "sources"


def filled(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Give the keyword arguments of a call, those added that wait for a setting and were not given.

    Raises:
        ConfigFieldMissing: a setting is nowhere; the message lists every place that was asked.
    """
    signature = inspect.signature(function)
    waiting = {key: one.default for key, one in signature.parameters.items() if isinstance(one.default, Awaiting)}
    if not waiting:
        return dict(kwargs)
    given = signature.bind_partial(*args, **kwargs).arguments
    settings = Settings.current()
    module = function.__module__.rpartition(".")[2].strip("_")
    found = {
        key: _find(settings, key, module, name, default.secret) for key, default in waiting.items() if key not in given
    }
    return {**kwargs, **found}


def _find(settings: Settings, key: str, module: str, name: str, secret: bool) -> Any:
    resolved = settings.get(key, SECTION, name, secret=secret)
    resolved = resolved or settings.require(key, SECTION, module, name, secret=secret)
    value = resolved.value.reveal() if isinstance(resolved.value, Secret) else resolved.value
    if secret:
        remember(value)  # redacted wherever it shows up from here on
    return value
