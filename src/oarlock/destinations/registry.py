"""The registry: from whatever a user writes for a destination to the destination, nothing imported or connected."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from oarlock.destinations.addresses import REMOTE, postgres_address
from oarlock.destinations.base import Destination
from oarlock.destinations.factories import DuckDbDestination, PostgresDestination, duckdb, postgres
from oarlock.destinations.reference import DestinationReference, Role
from oarlock.errors import ConfigurationError, DestinationNoStaging, UnknownDestination
from oarlock.settings import Settings

#: Other packages announce their destinations here: name -> a factory called as ours are.
ENTRY_POINTS = "oarlock.destinations"

#: A text that ends so was meant as a file.
FILE_ENDINGS = (".duckdb", ".ddb", ".db")

Factory = Callable[..., Any]

_OURS: Mapping[str, Factory] = {"duckdb": duckdb, "postgres": postgres}
_SCHEMES: Mapping[str, str] = {
    "duckdb": "duckdb",
    "motherduck": "duckdb",
    "md": "duckdb",
    "postgres": "postgres",
    "postgresql": "postgres",
    "postgresql+psycopg": "postgres",
    "postgresql+psycopg2": "postgres",
}
#: Where the same destinations are found in programs and states that name them in full.
_PREFIXES = ("oarlock.destinations.", "dlt.destinations.")


def known() -> list[str]:
    """Name the destinations that can be asked for by name."""
    return sorted({*_OURS, *(point.name for point in _entry_points())})


def _entry_points() -> Iterable[Any]:
    # It imports a mail parser: only a name that is not ours may cost that.
    metadata = importlib.import_module("importlib.metadata")
    found: Iterable[Any] = metadata.entry_points(group=ENTRY_POINTS)
    return found


def resolve(value: Any, *, role: Role = "destination", settings: Settings | None = None) -> Destination | None:
    """Give the destination that a value stands for; None for None.

    Args:
        value: A name, a dotted path, a URL, a destination, its factory, or any callable that returns one.
        role: What it is to be used as.
        settings: Where named destinations are looked up; those of this process by default.

    Raises:
        UnknownDestination: it stands for none.
        DestinationNoStaging: it cannot be used as staging.
    """
    if value is None:
        return None
    settings = settings or Settings.current()
    found = _from_text(value, settings) if isinstance(value, str) else _from_object(value)
    if role == "staging" and not found.capabilities.supports_staging:
        raise DestinationNoStaging(found.name)
    return found


def from_reference(reference: DestinationReference) -> Destination:
    """Make the destination again that a reference was taken from; its secrets are resolved when it is used.

    A reference may come from a dataset that others can write, so nothing but a registered name is ever imported.

    Raises:
        UnknownDestination: its type is not registered here.
    """
    name = _short(reference.type)
    options = dict(reference.options)
    if name == "duckdb":
        location, found = options.pop("location", None), options.pop("found_location", None)
        return DuckDbDestination(reference.name, location, options, found)
    if name == "postgres":
        kept: dict[str, Any] = {
            key: options.pop(key) for key in ("connect_timeout", "lock_timeout_s") if key in options
        }
        return PostgresDestination(reference.name, postgres_address(options), kept)
    factory = _announced(name)
    if factory is None:
        raise UnknownDestination(
            reference.type, known(), "it is not registered here; give destination=… as an argument"
        )
    return _checked(factory(destination_name=reference.name, **options), reference.type)


def _from_text(text: str, settings: Settings) -> Destination:
    scheme = text.split(":", 1)[0].lower()
    if "://" in text or text.startswith(REMOTE):
        if scheme not in _SCHEMES:
            raise UnknownDestination(f"{scheme}://…", known(), "no destination has this kind of URL")
        return _checked(_OURS[_SCHEMES[scheme]](text), scheme)
    name = _short(text)
    named = None if "." in name else settings.get(f"destination.{name}.destination_type", as_type=str)
    kind = _short(named.value) if named is not None else name
    factory = _OURS.get(kind) or _announced(kind) or _imported(kind)
    if factory is None:
        raise UnknownDestination(text, known(), _hint(text, kind))
    if isinstance(factory, Destination) and not isinstance(factory, type):
        return factory
    made = factory(destination_name=name) if kind in _OURS or named is not None else factory()
    return _checked(made, text)


def _from_object(value: Any) -> Destination:
    # A class has the attributes of its instances: only what is no class can be a destination already.
    if not isinstance(value, type) and isinstance(value, Destination):
        return value
    if callable(value):
        return _checked(value(), getattr(value, "__name__", repr(value)))
    raise UnknownDestination(type(value).__name__, known(), "it is neither a name, a destination nor a callable")


def _checked(made: Any, name: str) -> Destination:
    if isinstance(made, type) or not isinstance(made, Destination):
        raise UnknownDestination(name, known(), f"it gave a {type(made).__name__}, not a destination")
    return made


def _short(name: str) -> str:
    for prefix in _PREFIXES:
        if name.startswith(prefix) and "." not in name[len(prefix) :]:
            return name[len(prefix) :]
    return name


def _announced(name: str) -> Factory | None:
    factory: Factory | None = next((point.load() for point in _entry_points() if point.name == name), None)
    return factory


def _imported(path: str) -> Factory | None:
    """Import what a dotted path names. A single word is never imported: it may be the user's own running script."""
    if path.count(".") == 1 and path.endswith(FILE_ENDINGS):
        return None
    module, _, attribute = path.replace(":", ".").rpartition(".")
    if not module or not all(part.isidentifier() for part in (*module.split("."), attribute)):
        return None
    try:
        found: Factory = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UnknownDestination(path, known(), f"it cannot be imported: {error}") from error
    if not callable(found) and not isinstance(found, Destination):
        raise ConfigurationError(f"{path!r} is a {type(found).__name__}, not a destination")
    return found


def _hint(text: str, kind: str) -> str:
    if kind != text and kind != _short(text):
        return f"its destination_type is {kind!r}"
    if "/" in text or text.endswith(FILE_ENDINGS):
        return f"for a file say destination='duckdb:///{text}'"
    return ""
