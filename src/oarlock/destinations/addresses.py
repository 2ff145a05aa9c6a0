"""Addresses: what a user may write for where a destination is, read into its parts; secrets kept apart."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from oarlock.errors import ConfigurationError

#: What a location of DuckDB may be beside a path.
PIPELINE_FOLDER = ":pipeline:"
REMOTE = ("md:", "motherduck:")

_DUCKDB_URL = re.compile(r"duckdb:(?://(?:/|$)?)?(?P<path>.*)", re.DOTALL)
_TOKEN = re.compile(r"([?&])motherduck_token=[^&]*&?")
_POSTGRES_SCHEMES = ("postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2")
_PAIR = re.compile(r"""\s*(?P<key>\w+)\s*=\s*(?:'(?P<quoted>(?:[^'\\]|\\.)*)'|(?P<plain>[^\s']*))""")


def duckdb_location(value: Any) -> str:
    """Read where a DuckDB database is: a path, ``duckdb:///relative``, ``duckdb:////absolute``, ``md:name``.

    >>> duckdb_location("duckdb:////data/games.duckdb"), duckdb_location("games.duckdb")
    ('/data/games.duckdb', 'games.duckdb')

    Raises:
        ConfigurationError: workers could not share what it names.
    """
    if isinstance(value, Mapping):
        value = value.get("database") or value.get("path")
    if not isinstance(value, str | os.PathLike):
        raise ConfigurationError(
            f"a duckdb destination was given a {type(value).__name__}: give a path or a URL. "
            "An open connection cannot be shared with other workers, and would keep them out of the database"
        )
    text = os.fspath(value)
    if not isinstance(text, str):
        text = os.fsdecode(text)
    if text.startswith("duckdb:"):
        found = _DUCKDB_URL.fullmatch(text)
        text = unquote(found["path"].split("?", 1)[0]) if found else ""
    if text.startswith("motherduck://"):
        text = "md:" + text.removeprefix("motherduck://")
    if not text or text == ":memory:" or text.startswith(":memory:"):
        raise ConfigurationError(
            f"duckdb location {text!r} cannot be used: a database in memory is seen by one process only, "
            "and its workers could not share it. Give a path"
        )
    if "://" in text:
        raise ConfigurationError(f"{text.split('://')[0]}://… is not the address of a duckdb database")
    return text


def without_token(location: str) -> str:
    """Take the token out of a remote location."""
    return _TOKEN.sub(r"\1", location).rstrip("?&") if location.startswith(REMOTE) else location


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """Where a Postgres database is and who asks; any part may be missing. The password is never shown."""

    host: str | None = None
    port: int | None = None
    database: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    query: Mapping[str, str] = field(default_factory=dict)

    def over(self, other: PostgresAddress) -> PostgresAddress:
        """Give this address, its missing parts taken from another."""
        mine = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}
        return replace(other, **{**mine, "query": {**other.query, **self.query}})

    def parts(self) -> dict[str, Any]:
        """Give the parts that are no secret, as plain values."""
        shown: dict[str, Any] = {
            "host": self.host,
            "port": self.port,
            "database": self.database,
            "username": self.username,
        }
        shown["query"] = {k: v for k, v in self.query.items() if "password" not in k.lower()} or None
        return {name: value for name, value in shown.items() if value is not None}

    def shown(self) -> str:
        """Give the address as a URL without its password."""
        user = f"{quote(self.username, safe='')}@" if self.username else ""
        host = self.host or ""
        if host.startswith("/"):
            host = quote(host, safe="")
        port = f":{self.port}" if self.port else ""
        return f"postgresql://{user}{host}{port}/{quote(self.database or '', safe='')}"


def postgres_address(value: Any) -> PostgresAddress:
    """Read a Postgres URL, a ``host=… dbname=…`` text, or a mapping of parts.

    >>> postgres_address("postgresql://loader:pw@db:5433/games").parts()
    {'host': 'db', 'port': 5433, 'database': 'games', 'username': 'loader'}

    Raises:
        ConfigurationError: it is none of these. The message never repeats the text: it may hold the password.
    """
    if value is None:
        return PostgresAddress()
    if isinstance(value, PostgresAddress):
        return value
    if isinstance(value, Mapping):
        return _from_mapping(value)
    if not isinstance(value, str):
        raise ConfigurationError(f"a postgres destination was given a {type(value).__name__}: give a URL or a mapping")
    if "://" in value:
        return _from_url(value)
    return _from_pairs(value)


def _from_url(url: str) -> PostgresAddress:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigurationError("the address of the postgres destination is no URL (its port or host)") from error
    if parts.scheme not in _POSTGRES_SCHEMES:
        raise ConfigurationError(f"{parts.scheme}://… is not the address of a postgres database")
    query = dict(parse_qsl(parts.query))
    return _from_mapping(
        {
            **query,
            **_given(
                host=unquote(parts.hostname or ""),
                port=port,
                database=unquote(parts.path.removeprefix("/")),
                username=unquote(parts.username or ""),
                password=unquote(parts.password or ""),
            ),
        }
    )


def _from_pairs(text: str) -> PostgresAddress:
    found, end = {}, 0
    while pair := _PAIR.match(text, end):
        quoted = pair["quoted"]
        found[pair["key"]] = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else pair["plain"]
        end = pair.end()
    if not found or text[end:].strip():
        raise ConfigurationError(
            "the address of the postgres destination does not read: give postgresql://user@host:port/database"
        )
    return _from_mapping(found)


def _from_mapping(given: Mapping[str, Any]) -> PostgresAddress:
    rest = {str(k): v for k, v in given.items() if v is not None}
    database = rest.pop("dbname", None)
    username = rest.pop("user", None)
    port = rest.pop("port", None)
    query = rest.pop("query", None) or {}
    rest.pop("drivername", None)
    try:
        return PostgresAddress(
            host=_text(rest.pop("host", None)),
            port=int(port) if port not in (None, "") else None,
            database=_text(rest.pop("database", database)),
            username=_text(rest.pop("username", username)),
            password=_text(rest.pop("password", None)),
            query={**{k: str(v) for k, v in dict(query).items()}, **{k: str(v) for k, v in rest.items()}},
        )
    except (TypeError, ValueError) as error:
        raise ConfigurationError("the parts of the postgres destination's address do not read (its port?)") from error


def _given(**parts: Any) -> dict[str, Any]:
    return {name: value for name, value in parts.items() if value not in (None, "")}


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
