"""Lookup: one setting asked of every provider, most specific name first; every value knows where it came from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oarlock.errors import ConfigFieldMissing, ConfigurationError
from oarlock.settings.coercion import coerce
from oarlock.settings.folders import Folders, find_folders
from oarlock.settings.providers import (
    MOUNTED_SECRETS,
    Environment,
    Found,
    KeyPath,
    Overrides,
    Provider,
    TomlFiles,
)
from oarlock.settings.secret import Secret, remember, telling

#: Values set by the program for this process: ``oarlock.config[...] = …`` and ``oarlock.secrets[...] = …``.
CONFIG_OVERRIDES = Overrides("oarlock.config")
SECRET_OVERRIDES = Overrides("oarlock.secrets")
#: Variables that every shell sets: they never answer for a setting of the same name in some section.
SHELL_VARIABLES = frozenset(
    (
        *("PATH", "HOME", "USER", "USERNAME", "LOGNAME", "HOST", "HOSTNAME", "SHELL", "LANG", "PWD", "OLDPWD", "TERM"),
        *("TMPDIR", "TEMP", "TMP", "EDITOR", "DISPLAY", "MAIL", "NAME", "TZ", "PORT", "TYPE"),
    )
)


@dataclass(frozen=True, slots=True)
class Resolved:
    """A value and the place it came from, in words."""

    value: Any
    source: str


class Settings:
    """Every place a setting may come from, for one process and one moment."""

    def __init__(
        self,
        *,
        project_dir: Path | str | None = None,
        environ: Mapping[str, str] | None = None,
        mounted_secrets: Path = MOUNTED_SECRETS,
        overrides: tuple[Overrides, ...] = (),
    ) -> None:
        self.environ: Mapping[str, str] = os.environ if environ is None else environ
        self.folders: Folders = find_folders(self.environ, project_dir)
        homes = (self.folders.config, self.folders.data)
        self._environment = Environment(self.environ, mounted_secrets)
        self.providers: tuple[Provider, ...] = (
            *overrides,
            self._environment,
            TomlFiles("secrets.toml", [home / "secrets.toml" for home in homes], keeps_secrets=True),
            TomlFiles("config.toml", [home / "config.toml" for home in homes], keeps_secrets=False),
        )

    @classmethod
    def current(cls) -> Settings:
        """Make the settings of this process as they are now: its environment, folder, files and overrides."""
        return cls(overrides=(SECRET_OVERRIDES, CONFIG_OVERRIDES))

    def get(
        self,
        key: str,
        *sections: str,
        explicit: Any = None,
        pipeline_name: str | None = None,
        secret: bool = False,
        as_type: type | None = None,
        default: Any = None,
        remembered: bool = True,
    ) -> Resolved | None:
        """Find a setting: ``explicit`` if not None, else the providers', else the default, else None.

        A key may hold dots, ``credentials.password``: its parts stay together while sections are left off one by
        one from the right. A toml table is a value only for ``as_type`` None or dict. A secret's value is a Secret.
        Credentials are masked wherever they show up from here on, unless ``remembered`` is false.

        Raises:
            InvalidSetting: The value found does not read as ``as_type``.
            ConfigurationError: A secret stands in config.toml, or a file cannot be read.
        """
        name = ".".join((*sections, key))
        found = (explicit, "argument") if explicit is not None else None
        found = found or self._ask(key, sections, pipeline_name, secret, as_type in (None, dict))
        if found is None:
            found = (default, "default") if default is not None else None
        if found is None:
            return None
        value, source = found
        value = coerce(value, as_type, key=name, source=source, secret=secret or telling(key))
        if secret:
            return Resolved(value if isinstance(value, Secret) else Secret(value), source)
        if remembered and source != "default" and (telling(key) or key.split(".")[-1] == "credentials"):
            remember(value)
        return Resolved(value, source)

    def require(
        self,
        key: str,
        *sections: str,
        explicit: Any = None,
        pipeline_name: str | None = None,
        secret: bool = False,
        as_type: type | None = None,
    ) -> Resolved:
        """Find a setting, or raise ConfigFieldMissing with every place that was asked."""
        found = self.get(key, *sections, explicit=explicit, pipeline_name=pipeline_name, secret=secret, as_type=as_type)
        if found is None:
            places = self.places(key, *sections, pipeline_name=pipeline_name, secret=secret)
            raise ConfigFieldMissing(".".join((*sections, key)), places)
        return found

    def places(self, key: str, *sections: str, pipeline_name: str | None = None, secret: bool = False) -> list[str]:
        """List every place where a setting is looked for, in order."""
        asked = self._asked(key, sections, pipeline_name)
        listed = (place for provider, path in asked for place in provider.places(path, secret=secret))
        return list(dict.fromkeys(listed))

    def _asked(
        self, key: str, sections: tuple[str, ...], pipeline_name: str | None
    ) -> Iterator[tuple[Provider, KeyPath]]:
        parts = tuple(key.split("."))
        for outermost in ((pipeline_name,), ()) if pipeline_name else ((),):
            for provider in self.providers:
                for length in range(len(sections), -1, -1):
                    path = (*outermost, *sections[:length], *parts)
                    shared = bool(sections) and len(path) == 1 and path[0].upper() in SHELL_VARIABLES
                    if not (shared and provider is self._environment):
                        yield provider, path

    def _ask(
        self, key: str, sections: tuple[str, ...], pipeline_name: str | None, secret: bool, tables: bool
    ) -> Found | None:
        for provider, path in self._asked(key, sections, pipeline_name):
            found = provider.find(path, secret=secret)
            if found is None:
                continue
            is_table = isinstance(found[0], dict)
            if is_table and not tables:
                continue
            if secret and not provider.keeps_secrets:
                if is_table:
                    continue  # the plain fields of credentials; the secret ones are asked for one by one
                raise _misplaced(path, found[1])
            return found
        return None


def _misplaced(path: KeyPath, source: str) -> ConfigurationError:
    name = ".".join(path)
    return ConfigurationError(
        f"secret {name!r} stands in {source}, where it may be committed and shown. Move it to secrets.toml or to the "
        f"environment variable {'__'.join(path).upper()}"
    )
