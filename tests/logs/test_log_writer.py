"""Lines are whole, numbered and private, whatever happens to the process, the disk or the folder."""

from __future__ import annotations

import os
import random
import resource
import signal
import stat
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_children import fork, wait

from oarlock.errors import ConfigurationError
from oarlock.logs.reader import Report, read_file, read_folder
from oarlock.logs.writer import CHECK_EVERY_S, MAX_LINE_BYTES, SILENT, Lines, Writer, encode


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return tmp_path / "logs"


def log_in(logs: Path, worker: str = "w1", **options: Any) -> Lines:
    return Lines(Writer(logs, worker, **options), {"pipeline": "sales"})


def lines_of(logs: Path, worker: str = "w1") -> list[dict[str, Any]]:
    return read_file(logs / f"{worker}.jsonl").lines


def test_a_line_says_when_where_and_what(logs: Path) -> None:
    log = log_in(logs)
    before = time.time()

    log.bind(run="r1").info("run.finished", rows=5, tables={"t": 5}, duration_s=0.5)
    log.error("run.failed", error=ValueError("no"))

    first, second = lines_of(logs)
    assert before - 1 < first.pop("at") < time.time() + 1
    assert abs(first.pop("mono") - time.monotonic()) < 60
    assert first == {
        "seq": 1,
        "level": "info",
        "event": "run.finished",
        "pipeline": "sales",
        "worker": "w1",
        "run": "r1",
        "rows": 5,
        "tables": {"t": 5},
        "duration_s": 0.5,
    }
    assert (second["seq"], second["level"], second["error"]) == (2, "error", "ValueError: no")
    assert "run" not in second


def test_files_and_folders_are_the_users_own_whatever_the_umask(logs: Path) -> None:
    old = os.umask(0)
    try:
        log_in(logs).info("run.started")
    finally:
        os.umask(old)

    assert stat.S_IMODE(logs.stat().st_mode) == 0o700
    assert stat.S_IMODE((logs / "w1.jsonl").stat().st_mode) == 0o600


def test_levels_below_the_one_asked_for_are_not_written(logs: Path) -> None:
    log = log_in(logs, level="warning")

    log.info("run.started")
    log.warning("recovery.swept")
    log.error("run.failed")

    assert [line["level"] for line in lines_of(logs)] == ["warning", "error"]
    assert [line["seq"] for line in lines_of(logs)] == [1, 2]
    with pytest.raises(ConfigurationError, match="loud"):
        Writer(logs, "w", level="loud")


def test_without_a_folder_nothing_is_written(tmp_path: Path) -> None:
    SILENT.bind(run="r").info("run.started")

    assert SILENT.writer.dropped == 0
    assert SILENT.writer.path is None


def test_nothing_is_opened_before_the_first_event(logs: Path) -> None:
    log_in(logs)

    assert not logs.exists()


def test_a_strict_writer_refuses_what_is_not_in_the_catalogue(logs: Path) -> None:
    log = log_in(logs, strict=True)

    log.info("run.started", source="list")
    with pytest.raises(ValueError, match=r"run\.strated"):
        log.info("run.strated")
    assert len(lines_of(logs)) == 1


def test_the_strict_switch_is_a_variable(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OARLOCK_STRICT_EVENTS", "1")

    with pytest.raises(ValueError, match=r"run\.strated"):
        log_in(logs).info("run.strated")


def test_a_link_in_place_of_the_file_is_not_followed(logs: Path, tmp_path: Path) -> None:
    logs.mkdir()
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (logs / "w1.jsonl").symlink_to(victim)
    log = log_in(logs)

    log.info("run.started")

    assert victim.read_text() == "precious"
    assert log.writer.dropped == 1


def test_a_pipe_in_place_of_the_file_is_not_written(logs: Path) -> None:
    logs.mkdir()
    os.mkfifo(logs / "w1.jsonl")
    log = log_in(logs)

    log.info("run.started")

    assert log.writer.dropped == 1


def test_a_line_does_not_bring_a_dropped_pipeline_back(tmp_path: Path) -> None:
    log = log_in(tmp_path / "gone" / "logs")

    log.info("run.started")

    assert not (tmp_path / "gone").exists()
    assert log.writer.dropped == 1


def test_a_folder_that_was_taken_away_and_made_again_gets_the_lines(tmp_path: Path) -> None:
    logs = tmp_path / "p" / "logs"
    logs.parent.mkdir()
    log = log_in(logs)
    log.info("run.started")
    logs.parent.rename(tmp_path / "trash")
    logs.parent.mkdir()

    end = time.monotonic() + 10 * CHECK_EVERY_S
    while not logs.exists() and time.monotonic() < end:
        log.info("run.started")
        time.sleep(0.01)

    assert lines_of(logs)
    assert log.writer.dropped == 0


def test_two_writers_of_one_process_number_their_lines_together(logs: Path) -> None:
    first, second = log_in(logs), log_in(logs)

    for _ in range(3):
        first.info("run.started")
        second.info("run.finished")
    first.writer.close()
    first.info("run.started")

    assert [line["seq"] for line in lines_of(logs)] == list(range(1, 8))


def test_threads_lose_no_line(logs: Path) -> None:
    log = log_in(logs)

    def write(thread: int) -> None:
        for number in range(500):
            log.info("run.finished", rows=number, source=f"thread {thread}" * (number % 100))
            if number % 100 == 50:
                log.writer.close()

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    chunk = read_file(logs / "w1.jsonl", to_end=True)
    assert sorted(line["seq"] for line in chunk.lines) == list(range(1, 4001))
    assert chunk.torn == log.writer.dropped == 0


def test_a_closed_file_is_let_go_of(logs: Path) -> None:
    log = log_in(logs)
    log.info("run.started")
    before = set(os.listdir("/dev/fd"))

    log.writer.close()

    assert len(set(os.listdir("/dev/fd"))) == len(before) - 1


def test_a_forked_child_writes_a_file_of_its_own(logs: Path) -> None:
    log = log_in(logs)
    log.info("run.started")

    pid = fork(lambda: log.info("run.finished", rows=7))

    assert wait(pid) == 0
    log.info("run.finished", rows=1)
    assert [line["seq"] for line in lines_of(logs)] == [1, 2]
    (child,) = (path for path in logs.iterdir() if path.stem != "w1")
    started, finished = read_file(child).lines
    assert (started["event"], started["pid"], started["parent"], started["seq"]) == ("worker.started", pid, "w1", 1)
    assert (finished["rows"], finished["seq"], finished["pipeline"]) == (7, 2, "sales")
    assert started["worker"] == finished["worker"] == child.stem
    assert str(pid) in child.stem


def test_a_child_forked_in_the_middle_of_other_threads_writes_does_not_hang(logs: Path) -> None:
    log = log_in(logs)
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            log.info("run.started", source="x" * 5000)

    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        codes = [wait(fork(lambda: log.info("run.finished"))) for _ in range(40)]
    finally:
        stop.set()
        for thread in threads:
            thread.join()

    assert codes == [0] * 40
    report = Report()
    finished = [line for line in read_folder(logs, report) if line["event"] == "run.finished"]
    assert len(finished) == 40
    assert set(report.torn.values()) == set(report.lost.values()) == {0}


def test_a_signal_in_the_middle_of_a_write_can_write_too(logs: Path) -> None:
    log = log_in(logs)
    handled = 0

    def on_signal(number: int, frame: object) -> None:
        nonlocal handled
        handled += 1
        log.info("run.finished", rows=handled)

    old = signal.signal(signal.SIGALRM, on_signal)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        end = time.monotonic() + 10
        while handled < 300 and time.monotonic() < end:
            log.info("run.started", source="y" * 3000)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)

    chunk = read_file(logs / "w1.jsonl", to_end=True)
    assert handled >= 300
    assert sum(line["event"] == "run.finished" for line in chunk.lines) == handled
    assert sorted(line["seq"] for line in chunk.lines) == list(range(1, len(chunk.lines) + 1))
    assert chunk.torn == 0


def test_killed_processes_leave_whole_lines(logs: Path) -> None:
    """100,000 lines by 8 processes at a time, each killed at a random moment and replaced."""
    seed = random.randrange(2**32)
    print(f"seed={seed}")
    rng = random.Random(seed)
    logs.mkdir()
    kills = lines = 0
    living: dict[int, float] = {}

    def write(size: int) -> None:
        log = log_in(logs, f"worker-{os.getpid()}-{size}")
        while True:
            for _ in range(20):
                log.info("run.finished", rows=1, source="short")
            log.info("run.finished", rows=2, source="z" * size)

    def start() -> None:
        size = rng.randrange(30_000)
        living[fork(lambda: write(size))] = time.monotonic() + rng.uniform(0.02, 0.25)

    for _ in range(8):
        start()
    counted: dict[Path, int] = {}
    end = time.monotonic() + 60
    while lines < 100_000 and time.monotonic() < end:
        pid = min(living, key=living.__getitem__)
        time.sleep(max(living.pop(pid) - time.monotonic(), 0))
        os.kill(pid, signal.SIGKILL)
        assert wait(pid) == -signal.SIGKILL
        kills += 1
        for path in logs.glob(f"worker-{pid}-*.jsonl"):
            counted[path] = path.read_bytes().count(b"\n")
        lines = sum(counted.values())
        start()
    for pid in living:
        os.kill(pid, signal.SIGKILL)
        wait(pid)

    report = Report()
    written = list(read_folder(logs, report))
    print(f"lines={len(written)} kills={kills + 8} torn={sum(report.torn.values())} lost={sum(report.lost.values())}")
    assert len(written) >= 100_000
    assert max(report.torn.values()) <= 1
    assert sum(report.lost.values()) == 0
    assert all(line["event"] == "run.finished" for line in written)


def test_a_full_disk_is_counted_and_told_and_never_raised(logs: Path) -> None:
    """The limit on the size of files stands for the disk: it cuts a write short, then refuses it."""

    def write() -> None:
        log = log_in(logs)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        log.info("run.started", source="before")
        size = (logs / "w1.jsonl").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, hard))
        for number in range(3):
            log.info("run.finished", rows=number, source="while full " * 20)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        assert log.writer.dropped == 3
        log.info("run.finished", rows=3)
        log.info("run.finished", rows=4)

    logs.mkdir()
    assert wait(fork(write)) == 0

    (path,) = logs.iterdir()
    chunk = read_file(path, to_end=True)
    assert [line["event"] for line in chunk.lines] == ["run.started", "run.finished", "run.finished"]
    assert [line.get("dropped") for line in chunk.lines] == [None, 3, None]
    assert [line["seq"] for line in chunk.lines] == [1, 5, 6]
    assert chunk.torn == 1


def test_a_torn_end_is_closed_before_the_next_line(logs: Path) -> None:
    logs.mkdir()
    (logs / "w1.jsonl").write_bytes(b'{"seq":1}\n{"se')

    log_in(logs, "w1").info("run.started")

    chunk = read_file(logs / "w1.jsonl", to_end=True)
    assert [line.get("event") for line in chunk.lines] == [None, "run.started"]
    assert chunk.torn == 1


def test_a_long_line_is_cut_and_says_so(logs: Path) -> None:
    log = log_in(logs)

    log.error("run.failed", error="e" * 10**6, step="load", tables={"t" * 50_000: 1}, pending=3)

    (line,) = lines_of(logs)
    assert (logs / "w1.jsonl").stat().st_size <= MAX_LINE_BYTES
    assert line["truncated"] is True
    assert line["error"].endswith("…[cut, 1000000 characters in all]")
    assert (line["step"], line["pending"]) == ("load", 3)


class _Stubborn:
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "value",
    [
        2**70,
        -(2**70),
        "\ud800",
        b"\xff",
        float("nan"),
        Decimal("1.5"),
        Path("/x"),
        _Stubborn(),
        {1: 2},
        {2**70: "\udfff"},
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_json_does_not_know_is_written_as_text(logs: Path, value: object) -> None:
    log_in(logs).info("run.started", source=value)

    (line,) = lines_of(logs)
    assert "source" in line


def test_values_too_deep_or_in_a_circle_are_written_as_text(logs: Path) -> None:
    deep: list[Any] = []
    for _ in range(10_000):
        deep = [deep]
    circle: dict[str, Any] = {}
    circle["self"] = circle
    log = log_in(logs)

    log.info("run.started", source=deep)
    log.info("run.started", source=circle)

    assert [line["seq"] for line in lines_of(logs)] == [1, 2]


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=15,
)


@given(st.dictionaries(st.text(max_size=8), plain, max_size=8), st.sampled_from((1024, 2048, MAX_LINE_BYTES)))
def test_whatever_is_written_one_line_of_json_comes_out(fields: dict[str, Any], limit: int) -> None:
    line = encode({"seq": 1, "event": "run.started"}, {"wide": "ä\n\0" * 500, **fields}, limit)

    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert len(line) <= limit
    assert isinstance(orjson.loads(line), dict)
