"""Destinations as users name them: what they know before anything is connected, imported or asked for a secret."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oarlock.destinations.addresses import (
    PIPELINE_FOLDER,
    REMOTE,
    PostgresAddress,
    duckdb_location,
    postgres_address,
    without_token,
)
from oarlock.destinations.base import Capabilities, DestinationClient
from oarlock.destinations.extras import require
from oarlock.destinations.reference import DestinationReference
from oarlock.errors import ConfigurationError
from oarlock.schema.naming import Naming
from oarlock.settings import Secret, Settings, remember

#: Options of a DuckDB destination: settings of DuckDB's own for each connection.
DUCKDB_OPTIONS = ("threads", "memory_limit", "temp_directory", "checkpoint_threshold", "preserve_insertion_order")
#: Options of a Postgres destination.
POSTGRES_OPTIONS = ("connect_timeout", "lock_timeout_s")

_CLIENTS = "oarlock.destinations.clients"


def _checked(kind: str, options: Mapping[str, Any], known: tuple[str, ...]) -> dict[str, Any]:
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigurationError(
            f"destination {kind!r} has no option {', '.join(map(repr, unknown))}; known are {', '.join(known)}"
        )
    return {name: value for name, value in options.items() if value is not None}


def _with_settings(
    options: Mapping[str, Any], known: tuple[str, ...], name: str, pipeline_name: str, settings: Settings
) -> dict[str, Any]:
    found = {key: settings.get(f"destination.{name}.{key}", pipeline_name=pipeline_name) for key in known}
    return {**{key: value.value for key, value in found.items() if value is not None}, **options}


@dataclass(frozen=True, slots=True)
class DuckDbDestination:
    """A DuckDB database: a file beside the user's program, in the working folder, or remote (``md:``)."""

    name: str = "duckdb"
    location: str | None = None  # absolute; None: from the settings, or the default
    options: Mapping[str, Any] = field(default_factory=dict)
    found_location: str | None = None  # what the settings said where the pipeline was made
    type: str = field(default="duckdb", init=False)

    @property
    def capabilities(self) -> Capabilities:
        """What a DuckDB database can hold."""
        return Capabilities(max_identifier_length=65_536, max_column_length=65_536)

    def reference(self) -> DestinationReference:
        """Give what ``attach()`` needs to find the same database from another folder and process."""
        kept: dict[str, Any] = dict(self.options)
        if self.location is not None:
            kept["location"] = without_token(self.location)
        elif (found := self._configured(None) or self.found_location) is not None:
            kept["found_location"] = without_token(found)
        return DestinationReference(self.type, self.name, kept)

    def client(
        self, dataset_name: str, *, pipeline_name: str, default_folder: Path, working_dir: Path, timeout_s: float
    ) -> DestinationClient:
        """Bind the database to a dataset; imports DuckDB, opens nothing."""
        location = self.location or self._configured(pipeline_name) or self.found_location
        if location is None:
            location = str(Path(default_folder).absolute() / f"{pipeline_name}.duckdb")
        elif location == PIPELINE_FOLDER:
            location = str(Path(working_dir).absolute() / f"{pipeline_name}.duckdb")
        options = _with_settings(self.options, DUCKDB_OPTIONS, self.name, pipeline_name, Settings.current())
        module = importlib.import_module(f"{_CLIENTS}.duckdb_load")
        dataset = Naming(self.capabilities.max_identifier_length).identifier(dataset_name)
        client: DestinationClient = module.make_client(location, dataset, options, timeout_s)
        return client

    def _configured(self, pipeline_name: str | None) -> str | None:
        settings = Settings.current()
        for key in ("credentials", "credentials.database"):
            where = ("destination", self.name)
            found = settings.get(key, *where, pipeline_name=pipeline_name, as_type=str, remembered=False)
            if found is not None:
                if found.value.startswith(REMOTE):
                    remember(found.value)  # its token may stand in it
                return _absolute(duckdb_location(found.value))
        return None


def _absolute(location: str) -> str:
    if location == PIPELINE_FOLDER or location.startswith(REMOTE):
        return location
    return os.path.abspath(os.path.expanduser(location))


@dataclass(frozen=True, slots=True)
class PostgresDestination:
    """A Postgres database. The password is kept in this object alone: elsewhere it is resolved again."""

    name: str = "postgres"
    address: PostgresAddress = field(default_factory=PostgresAddress)
    options: Mapping[str, Any] = field(default_factory=dict)
    type: str = field(default="postgres", init=False)

    @property
    def capabilities(self) -> Capabilities:
        """What a Postgres database can hold."""
        return Capabilities(
            max_identifier_length=63, max_column_length=63, supports_nul=False, supports_multiple_writers=True
        )

    def reference(self) -> DestinationReference:
        """Give what ``attach()`` needs, without the password."""
        return DestinationReference(self.type, self.name, {**self.options, **self.address.parts()})

    def client(
        self, dataset_name: str, *, pipeline_name: str, default_folder: Path, working_dir: Path, timeout_s: float
    ) -> DestinationClient:
        """Resolve address and password, and bind the database to a dataset; imports psycopg, connects to nothing.

        Raises:
            MissingExtra: psycopg is not installed.
            ConfigFieldMissing: no address was given, nor is one in the settings.
        """
        require("psycopg", "the postgres destination", extra="postgres")
        settings = Settings.current()
        address = self._resolved(settings, pipeline_name)
        options = _with_settings(self.options, POSTGRES_OPTIONS, self.name, pipeline_name, settings)
        module = importlib.import_module(f"{_CLIENTS}.postgres_load")
        dataset = Naming(self.capabilities.max_identifier_length).identifier(dataset_name)
        client: DestinationClient = module.make_client(address, dataset, options, timeout_s)
        return client

    def _resolved(self, settings: Settings, pipeline_name: str) -> PostgresAddress:
        sections = ("destination", self.name)
        parts: dict[str, Any] = {}
        for key in ("host", "port", "database", "username", "query"):
            found = settings.get(f"credentials.{key}", *sections, pipeline_name=pipeline_name)
            if found is not None:
                parts[key] = found.value
        password = settings.get("credentials.password", *sections, pipeline_name=pipeline_name, secret=True)
        if password is not None:
            parts["password"] = _revealed(password.value)
        whole = settings.get("credentials", *sections, pipeline_name=pipeline_name, secret=True, as_type=str)
        address = self.address.over(postgres_address(parts))
        if whole is not None:
            address = address.over(postgres_address(_revealed(whole.value)))
        if address == PostgresAddress():
            settings.require("credentials", *sections, pipeline_name=pipeline_name, secret=True)
        return address


def _revealed(value: Any) -> Any:
    return value.reveal() if isinstance(value, Secret) else value


def duckdb(credentials: Any = None, *, destination_name: str | None = None, **options: Any) -> DuckDbDestination:
    """Make a DuckDB destination.

    Args:
        credentials: A path, a URL (``duckdb:///relative.duckdb``, ``duckdb:////absolute.duckdb``, ``md:name``),
            or ``:pipeline:`` for a file in the working folder. Default: ``<pipeline name>.duckdb`` in the folder
            where the pipeline was made.
        destination_name: The name under which its settings stand, ``destination.<name>``.
        options: ``threads``, ``memory_limit``, ``temp_directory``, ``checkpoint_threshold``: DuckDB's own settings.
    """
    location = None if credentials is None else _absolute(duckdb_location(credentials))
    return DuckDbDestination(destination_name or "duckdb", location, _checked("duckdb", options, DUCKDB_OPTIONS))


def postgres(credentials: Any = None, *, destination_name: str | None = None, **options: Any) -> PostgresDestination:
    """Make a Postgres destination.

    Args:
        credentials: ``postgresql://user@host:port/database``, ``host=… dbname=…``, or a mapping of parts. What is
            missing, the password above all, comes from the settings ``destination.postgres.credentials``.
        destination_name: The name under which its settings stand, ``destination.<name>``.
        options: ``connect_timeout`` and ``lock_timeout_s``, in seconds.
    """
    checked = _checked("postgres", options, POSTGRES_OPTIONS)
    return PostgresDestination(destination_name or "postgres", postgres_address(credentials), checked)
