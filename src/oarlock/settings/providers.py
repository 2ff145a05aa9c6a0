"""Providers: the places that are asked for a setting, each by its own kind of key.

overrides (config["x"] = 1)  →  environment, /run/secrets  →  secrets.toml  →  config.toml
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from oarlock.errors import ConfigurationError

#: A setting's full name: its sections, then its key.
KeyPath = tuple[str, ...]
#: What a provider found, and where, in words.
Found = tuple[Any, str]

#: Where containers mount their secrets, one file each.
MOUNTED_SECRETS = Path("/run/secrets")


class Provider(Protocol):
    """One place that may hold settings."""

    name: str
    keeps_secrets: bool

    def find(self, path: KeyPath, *, secret: bool) -> Found | None: ...
    def places(self, path: KeyPath, *, secret: bool) -> list[str]: ...


class Overrides:
    """Values set from the program itself, ``config["a.b"] = 1``: they stand before the environment."""

    keeps_secrets = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.values: dict[KeyPath, Any] = {}

    def find(self, path: KeyPath, *, secret: bool) -> Found | None:
        """Give the value set under this path, or a value inside a table that was set."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.values:
                value = dig(self.values[path[:length]], path[length:])
                return None if value is None else (value, f"{self.name}[{'.'.join(path)!r}]")
        return None

    def places(self, path: KeyPath, *, secret: bool) -> list[str]:
        """Give nothing: an override is no place to send a user to."""
        return []


class Environment:
    """Environment variables, and for secrets the files that a container mounts beside them."""

    name = "environment"
    keeps_secrets = True

    def __init__(self, environ: Mapping[str, str], mounted: Path) -> None:
        self.environ, self.mounted = environ, mounted
        self._has_mounted: bool | None = None

    def find(self, path: KeyPath, *, secret: bool) -> Found | None:
        """Give the variable's text; an empty variable counts as not set."""
        for variable in variables(path):
            if text := self.environ.get(variable):
                return text, f"environment variable {variable}"
        return self._mounted_secret(path) if secret else None

    def places(self, path: KeyPath, *, secret: bool) -> list[str]:
        """Name the variables, and the file for a secret."""
        named = [f"environment variable {variable}" for variable in variables(path)]
        return [*named, f"file {self.mounted / mounted_name(path)}"] if secret and self._mounts() else named

    def _mounts(self) -> bool:
        if self._has_mounted is None:
            self._has_mounted = self.mounted.is_dir()
        return self._has_mounted

    def _mounted_secret(self, path: KeyPath) -> Found | None:
        if not self._mounts():
            return None
        name = mounted_name(path)
        file = self.mounted / name
        if "/" in name or "\0" in name or not file.is_file():
            return None
        text = read_text(file).rstrip("\r\n")
        return (text, f"file {file}") if text else None


class TomlFiles:
    """One kind of toml file: the project's merged over the user's own; read when first asked."""

    def __init__(self, name: str, paths: Sequence[Path], *, keeps_secrets: bool) -> None:
        self.name, self.paths, self.keeps_secrets = name, list(dict.fromkeys(paths)), keeps_secrets
        self._documents: list[tuple[Path, dict[str, Any]]] | None = None

    def find(self, path: KeyPath, *, secret: bool) -> Found | None:
        """Give the first file's value; tables of several files are merged, the first file's keys winning."""
        found = [(value, file) for file, document in self._read() if (value := dig(document, path)) is not None]
        if not found:
            return None
        value, file = found[0]
        if isinstance(value, dict):
            for lower, _ in found[1:]:
                value = merged(value, lower) if isinstance(lower, dict) else value
        return value, f"{file}, key {'.'.join(path)}"

    def places(self, path: KeyPath, *, secret: bool) -> list[str]:
        """Name the key in the nearest file."""
        return [f"{self.paths[0]}, key {'.'.join(path)}"] if self.keeps_secrets or not secret else []

    def _read(self) -> list[tuple[Path, dict[str, Any]]]:
        if self._documents is None:
            self._documents = [(path, read_toml(path)) for path in self.paths if path.is_file()]
        return self._documents


def variables(path: KeyPath) -> list[str]:
    """Name the variables of a setting: as it is, and as a shell can write it where that is another name."""
    exact = "__".join(path).upper()
    return list(dict.fromkeys((exact, re.sub(r"[^A-Z0-9_]", "_", exact))))


def mounted_name(path: KeyPath) -> str:
    """Name a setting's file among mounted secrets: lower case, dashes."""
    return "__".join(path).lower().replace("_", "-")


def dig(value: Any, path: KeyPath) -> Any:
    """Follow a path into nested tables; None where it leads nowhere."""
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def merged(upper: dict[str, Any], lower: dict[str, Any]) -> dict[str, Any]:
    """Merge one table over another, table by table."""
    result = dict(lower)
    for key, value in upper.items():
        below = result.get(key)
        result[key] = merged(value, below) if isinstance(value, dict) and isinstance(below, dict) else value
    return result


def read_text(path: Path) -> str:
    """Read a settings file, or say which file cannot be read and why."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "it is not UTF-8 text"
        raise ConfigurationError(f"settings file {str(path)!r} cannot be read: {reason}") from error


def read_toml(path: Path) -> dict[str, Any]:
    """Read a toml file, or say which file is wrong and where."""
    import tomllib  # only where there is a file: most processes have none, and each would pay for the parser

    try:
        return tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"settings file {str(path)!r} is not valid toml: {error}") from error
