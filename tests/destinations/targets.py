"""Targets: a dataset of its own at one destination, as plain values that can be handed to another process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packages import schema, table

from oarlock.destinations import resolve
from oarlock.destinations.base import DestinationClient

GAMES = schema(table("games", {"id": "bigint", "name": "text"}))


def numbered(first: int, count: int) -> list[dict[str, Any]]:
    return [{"id": i, "name": f"game {i}"} for i in range(first, first + count)]


@dataclass(frozen=True)
class Target:
    """A dataset of its own at one destination; plain values, so that it can be handed to another process."""

    url: str
    dataset: str
    folder: Path

    def client(self, timeout_s: float = 20) -> DestinationClient:
        destination = resolve(self.url)
        assert destination is not None
        return destination.client(
            self.dataset,
            pipeline_name="games",
            default_folder=self.folder,
            working_dir=self.folder,
            timeout_s=timeout_s,
        )

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.client().sql_client(read_only=True) as client:
            return client.execute_sql(sql) or []
