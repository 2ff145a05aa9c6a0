"""``oarlock.config`` and ``oarlock.secrets``: settings read, and for tests written, from a program."""

from __future__ import annotations

from typing import Any

from oarlock.settings.coercion import coerce, guess
from oarlock.settings.lookup import CONFIG_OVERRIDES, SECRET_OVERRIDES, Settings
from oarlock.settings.providers import KeyPath, Overrides
from oarlock.settings.secret import Secret, remember


class Awaiting:
    """The default of an argument that is filled from the settings when its function is called."""

    __slots__ = ("_name", "secret")

    def __init__(self, name: str, *, secret: bool) -> None:
        self._name, self.secret = name, secret

    def __repr__(self) -> str:
        return f"oarlock.{self._name}.value"

    def __reduce__(self) -> str:
        # By name, so that it is the same object in another process.
        return f"_{self._name.upper()}_VALUE"


_CONFIG_VALUE = Awaiting("config", secret=False)
_SECRETS_VALUE = Awaiting("secrets", secret=True)


class Accessor:
    """Settings by their dotted name: ``config["destination.duckdb.threads"]``."""

    def __init__(self, value: Awaiting, overrides: Overrides) -> None:
        #: Write it as an argument's default: ``def issues(token=oarlock.secrets.value)``.
        self.value: Any = value
        self._overrides = overrides

    def __getitem__(self, field: str) -> Any:
        settings = Settings.current()
        found = settings.require(field, secret=self.value.secret)
        return self._plain(found.value, None, field, found.source)

    def get(self, field: str, expected_type: type | None = None) -> Any:
        """Give a setting, read as the type asked for; None where it is found nowhere."""
        found = Settings.current().get(field, secret=self.value.secret)
        return None if found is None else self._plain(found.value, expected_type, field, found.source)

    def __contains__(self, field: str) -> bool:
        return Settings.current().get(field, secret=self.value.secret) is not None

    def __setitem__(self, field: str, value: Any) -> None:
        """Set a value for this process alone; it stands before every other place."""
        if self.value.secret:
            remember(value)
        self._overrides.values[_path(field)] = value

    def __delitem__(self, field: str) -> None:
        """Take back a value that was set in this process."""
        del self._overrides.values[_path(field)]

    def __repr__(self) -> str:
        return f"oarlock.{'secrets' if self.value.secret else 'config'}"

    def _plain(self, value: Any, as_type: type | None, field: str, source: str) -> Any:
        if as_type is Secret:
            return value if isinstance(value, Secret) else Secret(value)
        if isinstance(value, Secret):
            # A program that asks for a secret by name means to use it: f"Bearer {secrets['token']}" must work.
            # It is known to redact() from here on.
            return coerce(value.reveal(), as_type, key=field, source=source, secret=True)
        if as_type is None:
            # Only the environment has no types of its own; a text of a toml file was meant to be one.
            return guess(value) if source.startswith("environment") else value
        return coerce(value, as_type, key=field, source=source)


def _path(field: str) -> KeyPath:
    return tuple(field.split("."))


#: Settings of this process: environment, secrets.toml, config.toml.
config = Accessor(_CONFIG_VALUE, CONFIG_OVERRIDES)
#: Secrets of this process: environment, /run/secrets, secrets.toml, never config.toml.
secrets = Accessor(_SECRETS_VALUE, SECRET_OVERRIDES)
