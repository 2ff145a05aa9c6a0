"""Collectors: the interface, the plain face, and what a ``progress`` argument may be."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import oarlock.progress
from oarlock.errors import ConfigurationError, MissingExtra
from oarlock.logs.collector import NULL_COLLECTOR, Collector, Counter, DictCollector, EventCollector, NullCollector
from oarlock.logs.faces.choice import resolve_collector
from oarlock.logs.faces.log import LogCollector, describe
from oarlock.logs.reader import read_file
from oarlock.logs.writer import Lines, Writer


class StillClock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Spy(Collector):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def update(self, *arguments: Any, **options: Any) -> None:
        self.calls.append((arguments, options))

    def _start(self, step: str) -> None:
        self.calls.append(("start", step))

    def _stop(self) -> None:
        self.calls.append("stop")


def test_a_step_starts_and_stops_whatever_happens_in_it() -> None:
    spy = Spy()

    def fail() -> None:
        with spy("Extract x") as same:
            assert same is spy
            spy.update("t", 5)
            raise KeyError

    with pytest.raises(KeyError):
        fail()

    assert spy.step == "Extract x"
    assert spy.calls == [("start", "Extract x"), (("t", 5), {}), "stop"]


def test_the_null_collector_takes_everything() -> None:
    with NullCollector()("x") as collector:
        collector.update("t", 1, total=5, inc_total=1, message="m", label="l")
        collector.on_start_trace(None, "run", None)
        collector.on_end_trace(None, None, True)


def test_the_dict_collector_counts_without_labels() -> None:
    collector = DictCollector()

    with collector("x"):
        collector.update("t", 2)
        collector.update("t")
        with pytest.raises(ValueError, match="Failed"):
            collector.update("t", label="Failed")

    assert collector.counters == {"t": 3}
    with collector("y"):
        assert collector.counters == {}


def test_the_plain_face_prints_at_the_first_update_then_at_most_once_a_period_and_at_the_end() -> None:
    clock, stream = StillClock(), io.StringIO()
    collector = LogCollector(1.0, stream, dump_system_stats=False, clock=clock)

    with collector("Extract x"):
        collector.update("Resources", 0, total=3)
        clock.now += 0.5
        collector.update("t", 5)
        clock.now += 0.5
        collector.update("t", 1500, message="slow", label="late")
        clock.now += 1.5
        collector.update("Resources", 0, inc_total=2)
        collector.update("Resources", 1)

    head = "---------------------------------- Extract x -----------------------------------"
    assert stream.getvalue().split("\n\n") == [
        f"{head}\nResources: 0/3 (0.0%) | Time: 0.00s | Rate: 0.00/s",
        f"{head}\nResources: 0/3 (0.0%) | Time: 1.00s | Rate: 0.00/s\nt: 5  | Time: 0.50s | Rate: 10.00/s\n"
        "t (late): 1500  | Time: 0.00s | Rate: 0.00/s [slow]",
        f"{head}\nResources: 0/5 (0.0%) | Time: 2.50s | Rate: 0.00/s\nt: 5  | Time: 2.00s | Rate: 2.50/s\n"
        "t (late): 1500  | Time: 1.50s | Rate: 1000.00/s [slow]",
        f"{head}\nResources: 1/5 (20.0%) | Time: 2.50s | Rate: 0.40/s\nt: 5  | Time: 2.00s | Rate: 2.50/s\n"
        "t (late): 1500  | Time: 1.50s | Rate: 1000.00/s [slow]",
        "",
    ]


def test_a_total_of_nothing_has_no_percentage() -> None:
    assert describe(Counter("Files", 1.0, total=0), 1.0) == "Files: 0/0 | Time: 0.00s | Rate: 0.00/s"


def test_the_plain_face_tells_memory_and_processor(capsys: pytest.CaptureFixture[str]) -> None:
    with resolve_collector("log")("Load") as collector:
        collector.update("Jobs", 1, total=2)

    out, err = capsys.readouterr()
    assert "Jobs: 1/2 (50.0%)" in out
    assert "CPU usage: " in out
    assert ("Memory usage: " in out) == Path("/proc/self/statm").exists()
    assert err == ""


def test_the_plain_face_writes_to_a_logger(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "oarlock"):
        for logger in ("oarlock", "dlt_logger", logging.getLogger("oarlock.x")):
            with LogCollector(logger=logger, log_level=logging.WARNING)("Load") as collector:
                collector.update("Jobs")

    assert {record.name for record in caplog.records} == {"oarlock", "oarlock.x"}
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    with pytest.raises(ConfigurationError, match="nowhere"):
        LogCollector(logger="nowhere")


def test_a_reader_that_went_away_does_not_fail_the_load() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with open(write_end, "w") as stream:
        collector = LogCollector(logger=stream)
        with collector("Load"):
            collector.update("Jobs")
        os.dup2(os.open(os.devnull, os.O_WRONLY), write_end)  # what is left in its buffer goes here

    with LogCollector(logger=stream)("closed") as collector:
        collector.update("Jobs")


def test_progress_becomes_events_at_most_one_a_period(tmp_path: Path) -> None:
    clock, spy = StillClock(), Spy()
    writer = Writer(tmp_path / "logs", "w", strict=True)
    collector = EventCollector(Lines(writer), spy, clock=clock)

    with collector("Extract x"):
        for _ in range(100):
            clock.now += 0.025
            collector.update("t", 10, total=2000)
        collector.update("u", 1, label="late")
    with collector("Load"):
        pass

    assert writer.path is not None
    lines = read_file(writer.path).lines
    assert [line["event"] for line in lines] == ["progress.updated"] * 3
    assert [line["counters"]["t"] for line in lines] == [410, 810, 1000]
    assert lines[-1]["counters"] == {"t": 1000, "u (late)": 1}
    assert lines[-1]["totals"] == {"t": 2000}
    assert lines[-1]["step"] == "Extract x"
    assert len(spy.calls) == 105
    assert spy.calls[-2:] == [("start", "Load"), "stop"]


def test_a_progress_argument_is_nothing_a_collector_or_a_name() -> None:
    spy = Spy()

    assert resolve_collector(None) is NULL_COLLECTOR
    assert resolve_collector(spy) is spy
    assert isinstance(resolve_collector("log"), LogCollector)


@pytest.mark.parametrize("value", ["rich", "", "LOG", 5, Spy, object()])
def test_any_other_progress_argument_is_refused_with_a_list(value: object) -> None:
    with pytest.raises(ConfigurationError, match="'log', 'tqdm', 'enlighten', 'alive_progress'") as caught:
        resolve_collector(value)
    assert isinstance(caught.value, ValueError)


def test_the_module_of_factories_makes_collectors_with_options() -> None:
    collector = oarlock.progress.log(5.0, "stderr", dump_system_stats=False)

    assert isinstance(collector, LogCollector)
    assert (collector.log_period, collector.logger) == (5.0, "stderr")
    assert set(oarlock.progress.__all__) == {"log", "tqdm", "enlighten", "alive_progress"}


BLOCKED = """
import sys
sys.modules["tqdm"] = sys.modules["enlighten"] = sys.modules["alive_progress"] = None
from oarlock.errors import MissingExtra
from oarlock.logs import resolve_collector
for name in ("tqdm", "enlighten", "alive_progress"):
    try:
        resolve_collector(name)
    except MissingExtra as error:
        print(error)
"""


def test_a_face_whose_library_is_missing_says_how_to_install_it() -> None:
    done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == [
        f"progress='{name}' needs the module '{name}', which is not installed: pip install 'oarlock[progress]'"
        for name in ("tqdm", "enlighten", "alive_progress")
    ]
    assert issubclass(MissingExtra, ImportError)
