"""From what a provider holds to the type that was asked for."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import date, time
from pathlib import Path
from typing import Any

from oarlock.errors import InvalidSetting
from oarlock.settings.secret import MASK, Secret

TRUE = frozenset(("true", "1", "yes", "on", "y", "t"))
FALSE = frozenset(("false", "0", "no", "off", "n", "f"))

_REFUSED = object()


def coerce(value: Any, as_type: type | None, *, key: str, source: str, secret: bool = False) -> Any:
    """Turn a value into the type asked for, or raise InvalidSetting naming the key, the value and its source."""
    if as_type is None or isinstance(value, Secret):
        return value
    rule, wanted = _RULES.get(as_type, (None, ""))
    if rule is None:
        raise TypeError(f"settings cannot be read as {as_type!r}; known are {', '.join(t.__name__ for t in _RULES)}")
    try:
        result = rule(value)
    except (ValueError, RecursionError):
        result = _REFUSED
    if result is _REFUSED:
        raise InvalidSetting(key, MASK if secret else value, source, wanted)
    return result


def guess(text: Any) -> Any:
    """Read a text as the bool or number that it plainly is; anything else stays as it is."""
    if not isinstance(text, str):
        return text
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    # "007" and "1_000" are left alone: as numbers they would not be written so again.
    if re.fullmatch(r"-?(0|[1-9]\d{0,17})", text):
        return int(text)
    return float(text) if re.fullmatch(r"-?\d{1,15}\.\d{1,15}", text) else text


def _bool(value: Any) -> Any:
    text = str(value).strip().lower()
    if isinstance(value, bool | int | str):
        return True if text in TRUE else False if text in FALSE else _REFUSED
    return _REFUSED


def _int(value: Any) -> Any:
    if isinstance(value, bool):
        return _REFUSED
    if isinstance(value, float):
        return int(value) if value.is_integer() else _REFUSED
    return int(value) if isinstance(value, int | str) else _REFUSED


def _float(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return _REFUSED
    number = float(value)
    return number if math.isfinite(number) else _REFUSED


def _str(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, date | time):
        return value.isoformat()
    plain = isinstance(value, int | float | Path) and not isinstance(value, bool)
    return str(value) if plain else _REFUSED


def _list(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return list(value)
    if not isinstance(value, str):
        return _REFUSED
    if value.strip().startswith("["):
        return json.loads(value)
    return [part.strip() for part in value.split(",") if part.strip()]


def _dict(value: Any) -> Any:
    found = json.loads(value) if isinstance(value, str) else value
    return dict(found) if isinstance(found, dict) else _REFUSED


def _path(value: Any) -> Any:
    return Path(value).expanduser() if isinstance(value, str | Path) and str(value).strip() else _REFUSED


_RULES: dict[type, tuple[Callable[[Any], Any], str]] = {
    bool: (_bool, "true or false"),
    int: (_int, "a whole number"),
    float: (_float, "a number"),
    str: (_str, "a text"),
    list: (_list, "a list: [1, 2] or 1, 2"),
    dict: (_dict, "a table: a toml table or a JSON object"),
    Path: (_path, "a path"),
}
