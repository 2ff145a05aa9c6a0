"""References: destinations as the state store keeps them. Apart from the rest, as it is all that attaching needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

#: What a destination is used as.
Role = Literal["destination", "staging"]


@dataclass(frozen=True, slots=True)
class DestinationReference:
    """A destination without its secrets: what the state store keeps, and what ``attach()`` rebuilds it from."""

    type: str  # "duckdb", "postgres", …
    name: str  # the name it was configured under, or the type
    options: Mapping[str, Any] = field(default_factory=dict)
