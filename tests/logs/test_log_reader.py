"""Reading joins the files by time, keeps the order of each, and leaves out what was torn."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oarlock.logs.reader import Report, log_files, read, read_file, read_folder


def _write(path: Path, *lines: object, end: bytes = b"") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines) + end)
    return path


def _line(at: float, worker: str, seq: int) -> dict[str, object]:
    return {"at": at, "worker": worker, "seq": seq}


def test_lines_of_all_processes_come_in_the_order_of_time_worker_number(tmp_path: Path) -> None:
    a = _write(tmp_path / "a.jsonl", _line(1.0, "a", 1), _line(3.0, "a", 2), _line(3.0, "a", 3))
    b = _write(tmp_path / "b.jsonl", _line(2.0, "b", 1), _line(3.0, "b", 2))

    joined = [(line["worker"], line["seq"]) for line in read([b, a])]

    assert joined == [("a", 1), ("b", 1), ("a", 2), ("a", 3), ("b", 2)]


def test_a_clock_that_was_set_back_does_not_disorder_a_file(tmp_path: Path) -> None:
    a = _write(tmp_path / "a.jsonl", _line(10.0, "a", 1), _line(2.0, "a", 2), _line(11.0, "a", 3))
    b = _write(tmp_path / "b.jsonl", _line(10.5, "b", 1))

    assert [(line["worker"], line["seq"]) for line in read([a, b])] == [("a", 1), ("a", 2), ("b", 1), ("a", 3)]


def test_torn_and_missing_lines_are_counted_by_file(tmp_path: Path) -> None:
    a = _write(tmp_path / "a.jsonl", _line(1, "a", 1), _line(2, "a", 4), end=b'{"at":3,"wor')
    b = _write(tmp_path / "b.jsonl", _line(1, "b", 1), end=b'{"at"\n[1]\n\n{"at":2,"worker":"b","seq":2}')
    report = Report()

    lines = list(read([a, b], report))

    assert len(lines) == 4
    assert report.torn == {a: 1, b: 2}
    assert report.lost == {a: 2, b: 0}


def test_a_file_is_followed_from_where_the_last_reading_ended(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.jsonl", _line(1, "a", 1), end=b'{"seq"')
    first = read_file(path)

    with path.open("ab") as file:
        file.write(b':2}\n{"seq":3}\n')
    second = read_file(path, first.offset)

    assert [line["seq"] for line in first.lines] == [1]
    assert [line["seq"] for line in second.lines] == [2, 3]
    assert first.torn == second.torn == 0
    assert read_file(path, second.offset).lines == []


def test_only_the_log_files_of_a_folder_are_read(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.jsonl", _line(1, "a", 1))
    (tmp_path / "b.jsonl").symlink_to(path)
    (tmp_path / "c.txt").write_text("{}")
    (tmp_path / "d.jsonl").mkdir()

    assert log_files(tmp_path) == [path]
    assert len(list(read_folder(tmp_path))) == 1
    assert list(read_folder(tmp_path / "missing")) == []


@pytest.mark.parametrize("line", [{}, {"at": "soon"}, {"at": None, "seq": "x", "worker": 5}, {"seq": 1.5}])
def test_a_line_with_fields_of_another_kind_is_read_all_the_same(tmp_path: Path, line: object) -> None:
    path = _write(tmp_path / "a.jsonl", line, _line(1, "a", 1))

    assert len(list(read([path]))) == 2


@given(cut=st.integers(min_value=0, max_value=400))
def test_a_file_cut_anywhere_gives_its_whole_lines(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "a.jsonl"
    whole = b"".join(orjson.dumps(_line(n, "a", n)) + b"\n" for n in range(1, 11))
    path.write_bytes(whole[:cut])

    chunk = read_file(path, to_end=True)

    complete = whole[:cut].count(b"}")
    assert len(chunk.lines) == complete
    assert chunk.torn == (0 if whole[:cut].rstrip(b"\n").endswith(b"}") or not cut else 1)
