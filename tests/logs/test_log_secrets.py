"""Canaries: a secret that this process has resolved never reaches a log file or a face."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oarlock.errors import DestinationTerminalError
from oarlock.logs.faces.log import LogCollector
from oarlock.logs.log import bind
from oarlock.logs.writer import Lines, Writer
from oarlock.settings import secret as secret_module
from oarlock.settings.lookup import Settings
from oarlock.settings.secret import Secret, redact, remember

CANARY = 'canary-log "p\\w" ü'


@pytest.fixture(autouse=True)
def _secrets_of_this_test_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_module, "_known", set())
    monkeypatch.setattr(secret_module, "_ordered", ())


@dataclass
class _Holder:
    password: str


class _Prints:
    def __str__(self) -> str:
        return f"connect {CANARY}"


@pytest.fixture
def log(tmp_path: Path) -> Lines:
    settings = Settings(environ={"HOME": str(tmp_path), "DB__PASSWORD": CANARY}, project_dir=tmp_path)
    settings.require("password", "db", secret=True)
    return Lines(Writer(tmp_path / "logs", "w"), {"pipeline": "p"})


def _written(log: Lines) -> str:
    assert log.writer.path is not None
    return log.writer.path.read_text("utf-8")


def test_no_way_of_logging_shows_a_secret(log: Lines) -> None:
    structured = bind(log, run="r")
    ways: list[object] = [
        CANARY,
        f"postgres://u:{CANARY}@h/d",
        ["a", {"b": (CANARY, 1)}],
        {CANARY: 1},
        Secret(CANARY),
        {"s": Secret(CANARY)},
        _Holder(CANARY),
        _Prints(),
        ValueError(CANARY),
        DestinationTerminalError(f"cannot log in with {CANARY!r}"),
        CANARY.encode(),
        "x" * 40_000 + CANARY,
        (CANARY + "y") * 5_000,
    ]

    for way in ways:
        log.error("run.failed", error=way)
        structured.error("run.failed", error=way)
    try:
        raise RuntimeError(f"while connecting with {CANARY}") from ValueError(repr(CANARY))
    except RuntimeError as error:
        structured.error("run.failed", error=error, exc_info=True)
        structured.error("run.failed", error="x", exc_info=error)

    text = _written(log)
    assert text.count("\n") == 2 * len(ways) + 2
    assert "canary" not in text
    assert "***" in text


def test_a_secret_that_is_cut_in_two_by_the_limit_does_not_show_its_half(log: Lines) -> None:
    for length in range(5_300, 5_500, 7):
        log.error("run.failed", error="z" * length + CANARY + "z" * 100_000)

    assert "cana" not in _written(log)


def test_a_message_of_progress_shows_no_secret() -> None:
    remember("canary-progress")
    stream = io.StringIO()
    collector = LogCollector(logger=stream)

    with collector("Load canary-progress"):
        collector.update("t", message="at canary-progress")

    assert "canary" not in stream.getvalue()
    assert "[at ***]" in stream.getvalue()


@given(st.text(min_size=8, max_size=30).filter(lambda text: text.strip("* \n") == text and len(set(text)) > 3))
def test_any_secret_is_masked_in_any_text(secret: str) -> None:
    secret_module._known.clear()
    remember(secret)

    assert secret not in redact(f"before {secret} after {secret!r}")
    assert not re.search(re.escape(secret), redact(f"'{secret}'"))
