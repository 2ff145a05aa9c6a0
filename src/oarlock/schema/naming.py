"""Naming: any text to the snake_case name of a table or column, the same in every process."""

from __future__ import annotations

import binascii
import hashlib
import re

from oarlock.errors import InvalidName

#: Joins the parts of a path: a nested key to its parent's column, a list to its parent's table.
SEPARATOR = "__"
#: The name of a key that holds no character a name may have.
EMPTY = "_empty"
#: Tables and columns with this prefix are the system's own.
SYSTEM_PREFIX = "_dlt"
#: A schema name is a Python identifier of at most this many characters.
MAX_SCHEMA_NAME_LENGTH = 64
#: Characters of a tag: four bytes in base64, enough that one of a thousand shortened names may collide.
TAG_LENGTH = 6

# Names seen before are a dict look-up; the table of names is emptied rather than let grow by a bomb of keys.
_CACHED_NAMES = 65_536
_CACHED_NAME_LENGTH = 512

_LETTERS = str.maketrans("+-*@|", "x_xal")
_TAG_LETTERS = bytes.maketrans(b"/+", b"ab")
# \d takes the digits of every script, as the datasets this one is interchangeable with do.
_OTHERS = re.compile(r"[^a-zA-Z\d_]+")
_WORD_STARTS = re.compile(r"([^_])([A-Z][a-z]+)")
_CASE_TURNS = re.compile(r"([a-z0-9])([A-Z])")
_LEADING_DIGIT = re.compile(r"\d")
_UNDERSCORES = re.compile(r"__+")


def tag(text: str) -> str:
    """Return six characters that stand for ``text`` in a name that had to be cut."""
    digest = hashlib.shake_128(text.encode("utf-8", "surrogatepass")).digest(4)
    return binascii.b2a_base64(digest, newline=False).rstrip(b"=").translate(_TAG_LETTERS).lower().decode("ascii")


def is_system_name(name: str) -> bool:
    """Tell whether a normalized name is one of the system's own."""
    return name.startswith(SYSTEM_PREFIX)


def default_schema_name(pipeline_name: str) -> str:
    """Derive a schema's name from its pipeline's.

    >>> default_schema_name("My Games_pipeline")
    'my_games'
    """
    return Naming(MAX_SCHEMA_NAME_LENGTH).identifier(pipeline_name.removesuffix("_pipeline"))


class Naming:
    """Turns raw names into names of at most ``max_length`` characters (0: of any length).

    >>> naming = Naming(max_length=20)
    >>> naming.path("userId"), naming.path("n__Amount($)"), naming.path("2021_total")
    ('user_id', 'n__amountx', '_2021_total')
    >>> naming.path("getHTTPResponse2Code")
    'get_htt1vkwtae2_code'
    """

    __slots__ = ("_identifiers", "_paths", "max_length")

    def __init__(self, max_length: int) -> None:
        if 0 < max_length < 2 * TAG_LENGTH:
            raise ValueError(f"max_length is {max_length}; names need at least {2 * TAG_LENGTH} characters")
        self.max_length = max_length
        self._identifiers: dict[str, str] = {}
        self._paths: dict[str, str] = {}

    def __reduce__(self) -> tuple[type[Naming], tuple[int]]:
        return Naming, (self.max_length,)

    def identifier(self, name: str) -> str:
        """Normalize the name of a dataset, schema or pipeline, or one part of a path; never empty."""
        found = self._identifiers.get(name)
        return found if found is not None else _remember(self._identifiers, name, self._identifier(name))

    def path(self, name: str) -> str:
        """Normalize the name of a table or column: its parts, split at two underscores, one by one.

        A blank name gives ``_empty``. A name of nothing but separators has no parts and gives the empty string:
        use :meth:`column` or :meth:`table` where a name must come out.
        """
        found = self._paths.get(name)
        return found if found is not None else _remember(self._paths, name, self._path(name))

    def column(self, key: str) -> str:
        """Normalize the key of a row to a column's name; never empty."""
        return self.path(key) or EMPTY

    def table(self, name: str) -> str:
        """Normalize the name that a user gave a table.

        Raises:
            InvalidName: Nothing is left of it, or the name is one of the system's.
        """
        normalized = self.path(name) if isinstance(name, str) and name.strip() else ""
        if not normalized:
            raise InvalidName("table", str(name)[:200], "no letter or digit is left of it; give another table_name")
        if is_system_name(normalized):
            reason = f"names that start with {SYSTEM_PREFIX!r} are the system's own; give another table_name"
            raise InvalidName("table", name[:200], reason)
        return normalized

    def make_path(self, *parts: str) -> str:
        """Join parts that are normalized already; too long a result is cut, with a tag of the whole.

        Join all parts at once: joining a joined path again may give another tag.
        """
        joined = SEPARATOR.join(part for part in parts if part and not part.isspace())
        return self.shorten(joined, joined)

    def variant(self, column: str, data_type: str) -> str:
        """Name the column that takes the values of another type than the column's own."""
        return self.make_path(column, f"v_{data_type}")

    def shorten(self, normalized: str, raw: str) -> str:
        """Cut a normalized name to ``max_length``: its two ends stay, a tag of the raw name comes between."""
        limit = self.max_length
        if not limit or len(normalized) <= limit:
            return normalized
        tail = (limit - TAG_LENGTH) // 2
        head = limit - TAG_LENGTH - tail
        return f"{normalized[:head]}{tag(raw)}{normalized[len(normalized) - tail :]}"

    def _identifier(self, name: str) -> str:
        raw = name.strip()
        return self.shorten(_snake_case(raw), raw) if raw else EMPTY

    def _path(self, name: str) -> str:
        if not name or name.isspace():
            return EMPTY
        if SEPARATOR not in name:
            normalized = self.identifier(name)
        else:
            parts = (part for part in name.split(SEPARATOR) if part and not part.isspace())
            normalized = SEPARATOR.join(map(self.identifier, parts))
        return self.shorten(normalized, name)


def _remember(names: dict[str, str], name: str, normalized: str) -> str:
    if len(name) <= _CACHED_NAME_LENGTH:
        if len(names) >= _CACHED_NAMES:
            names.clear()
        names[name] = normalized
    return normalized


def _snake_case(name: str) -> str:
    name = _OTHERS.sub("_", name.translate(_LETTERS))
    name = _WORD_STARTS.sub(r"\1_\2", name)
    name = _CASE_TURNS.sub(r"\1_\2", name).lower()
    if _LEADING_DIGIT.match(name):
        name = "_" + name
    stripped = name.rstrip("_")
    return _UNDERSCORES.sub("_", stripped + "x" * (len(name) - len(stripped)))
