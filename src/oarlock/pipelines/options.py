"""Options of one call of ``run()`` or ``extract()``, checked before anything is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

from oarlock.errors import ConfigurationError
from oarlock.hints import Hints
from oarlock.schema.document import Schema
from oarlock.values import Refresh


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What one call was given.

    Raises:
        ConfigurationError: an option has a value that cannot work.
    """

    hints: Hints
    destination: Any = None
    staging: Any = None
    dataset_name: str | None = None
    schema: Schema | str | None = None
    refresh: Refresh | None = None
    wait: bool | None = None  # None: as the settings say
    task: str | None = None  # of a coordinator, so that it can look up whether a dead worker's task was committed

    def __post_init__(self) -> None:
        if self.wait is not None and not isinstance(self.wait, bool):
            raise ConfigurationError(f"wait {self.wait!r} is neither True nor False")
        if self.refresh is not None and self.refresh not in get_args(Refresh):
            raise ConfigurationError(f"refresh {self.refresh!r} is not {' or '.join(map(repr, get_args(Refresh)))}")

    @property
    def schema_name(self) -> str | None:
        """The name of the schema that was asked for."""
        return self.schema.name if isinstance(self.schema, Schema) else self.schema
