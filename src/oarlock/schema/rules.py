"""Rules: what the settings of a schema say about new columns, by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

from oarlock.errors import SchemaError
from oarlock.values import DataType

#: Starts a setting that is a regular expression, looked for anywhere in a name; any other is a whole name.
REGEX_PREFIX = "re:"


class ColumnRules:
    """The preferred types and default hints of a schema's settings, for the name of a new column.

    >>> rules = ColumnRules({"preferred_types": {"re:_at$": "timestamp"}, "default_hints": {"not_null": ["id"]}})
    >>> rules.preferred_type("created_at"), rules.preferred_type("attic"), rules.hints("id")
    ('timestamp', None, {'nullable': False})
    """

    __slots__ = ("_hints", "_types")

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Compile the rules. Raises SchemaError for a pattern that is no regular expression."""
        preferred = settings.get("preferred_types") or {}
        self._types = [(_compiled((name,)), data_type) for name, data_type in preferred.items()]
        hints = settings.get("default_hints") or {}
        self._hints = [(hint, _compiled(names)) for hint, names in hints.items() if names]

    def preferred_type(self, column: str) -> DataType | None:
        """Name the data type that the first rule for a column's name prefers; it holds for no variant."""
        return next((cast(DataType, data_type) for pattern, data_type in self._types if pattern.search(column)), None)

    def hints(self, column: str) -> dict[str, bool]:
        """Give the hints that a column's name brings."""
        found = [hint for hint, pattern in self._hints if pattern.search(column)]
        return {"nullable" if hint == "not_null" else hint: hint != "not_null" for hint in found}


def _compiled(names: Iterable[str]) -> re.Pattern[str]:
    patterns = (
        name.removeprefix(REGEX_PREFIX) if name.startswith(REGEX_PREFIX) else f"^{re.escape(name)}$" for name in names
    )
    text = "|".join(f"(?:{pattern})" for pattern in patterns)
    try:
        return re.compile(text)
    except re.error as error:
        raise SchemaError(f"setting {text!r} is no regular expression: {error}") from error
