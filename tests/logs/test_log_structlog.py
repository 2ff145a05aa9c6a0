"""The structlog face writes the same lines as the light one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from oarlock.logs.events import Log
from oarlock.logs.log import bind
from oarlock.logs.reader import read_file
from oarlock.logs.writer import Lines, Writer


@pytest.fixture
def light(tmp_path: Path) -> Lines:
    return Lines(Writer(tmp_path / "logs", "w"), {"pipeline": "p"})


def _lines(light: Lines) -> list[dict[str, Any]]:
    assert light.writer.path is not None
    return read_file(light.writer.path).lines


def test_both_faces_write_the_same_line(light: Lines) -> None:
    def write(log: Log) -> None:
        log.bind(load="1.2").warning("recovery.swept", folder=Path("/x"), items=["a"], reason=None)

    write(light)
    write(bind(light))

    first, second = ({k: v for k, v in line.items() if k not in ("at", "mono", "seq")} for line in _lines(light))
    assert first == second
    assert list(first) == list(second)


def test_ids_are_bound_once_and_do_not_leak_back(light: Lines) -> None:
    log = bind(light, run="r")

    log.bind(load="1").info("package.loaded")
    log.info("run.finished")

    assert [(line["run"], line.get("load")) for line in _lines(light)] == [("r", "1"), ("r", None)]


def test_an_error_being_answered_is_written_with_its_traceback(light: Lines) -> None:
    log: Any = bind(light)
    try:
        raise KeyError("lost")
    except KeyError as error:
        log.error("run.failed", error=error, exc_info=True)
        log.exception("run.failed", error=error)

    for line in _lines(light):
        assert line["level"] == "error"
        assert line["error"] == "KeyError: 'lost'"
        assert line["traceback"].endswith("KeyError: 'lost'\n")


def test_levels_and_the_strict_switch_hold_here_too(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "logs", "w", level="error", strict=True)
    log = bind(writer)

    log.info("run.started")
    log.error("run.failed")

    assert [line["event"] for line in _lines(Lines(writer))] == ["run.failed"]
    with pytest.raises(ValueError, match=r"run\.strated"):
        log.info("run.strated")


def test_a_writer_that_writes_nothing_costs_nothing() -> None:
    bind(Writer(None, "none")).error("run.failed")


def test_a_processor_sees_every_event_before_it_is_written(light: Lines) -> None:
    seen: list[str] = []

    def note(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        seen.append(event["event"])
        event["task"] = "t1"
        return event

    bind(light, processors=[note]).info("run.started")

    assert seen == ["run.started"]
    assert _lines(light)[0]["task"] == "t1"


@pytest.mark.parametrize("module", ["oarlock.logs", "oarlock.progress", "oarlock.settings"])
def test_what_attach_imports_is_light_and_silent(module: str) -> None:
    heavy = (
        "structlog",
        "logging",
        "traceback",
        "tqdm",
        "enlighten",
        "alive_progress",
        "pydantic",
        "tomllib",
        "pyarrow",
    )
    code = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert (done.stdout, done.stderr) == ("[]\n", "")
