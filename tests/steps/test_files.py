"""Input files: which are known, how they are cut, and the kinds that hold Arrow data."""

from __future__ import annotations

import gzip
import pickle
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from oarlock.errors import InvalidFile
from oarlock.steps import files
from oarlock.steps.files import Kind, Slice, is_known, kind_of, read, split, table_name_of

TABLE = pa.table({"a": [1, 2, None], "b": ["x", "y", None]})


def rows_of(item: Path | Slice) -> list[Any]:
    """Read everything as rows."""
    return [row for batch in read(item) for row in (batch if isinstance(batch, list) else batch.to_pylist())]


@pytest.mark.parametrize(
    ("name", "kind", "table"),
    [
        ("a.jsonl", Kind("lines"), "a"),
        ("A.NDJSON", Kind("lines"), "A"),
        ("a.b.jsonl.gz", Kind("lines", "gz"), "a.b"),
        ("a.json.zst", Kind("json", "zst"), "a"),
        ("dir.x/a.csv", Kind("csv"), "a"),
        ("a.tsv.gz", Kind("tsv", "gz"), "a"),
        ("a.parquet", Kind("parquet"), "a"),
        ("a.arrow", Kind("arrow"), "a"),
        ("a.feather", Kind("arrow"), "a"),
    ],
)
def test_the_suffix_says_what_a_file_is(name: str, kind: Kind, table: str) -> None:
    assert kind_of(name) == kind
    assert table_name_of(name) == table
    assert is_known(name)


@pytest.mark.parametrize("name", ["a.xlsx", "a", "a.gz", "a.parquet.gz", ".jsonl", "a.jsonl.bz2"])
def test_other_suffixes_are_refused_with_those_that_are_known(name: str) -> None:
    assert not is_known(name)
    with pytest.raises(InvalidFile, match=r"Known are \.jsonl, \.ndjson"):
        kind_of(name)


def test_parquet_and_arrow_files_are_read(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "a.parquet")
    with pa.ipc.new_file(str(tmp_path / "a.arrow"), TABLE.schema) as file:
        file.write_table(TABLE, max_chunksize=2)
    with pa.ipc.new_stream(str(tmp_path / "s.arrow"), TABLE.schema) as stream:
        stream.write_table(TABLE)
    pa.feather.write_feather(TABLE, str(tmp_path / "a.feather"))

    for name in ("a.parquet", "a.arrow", "s.arrow", "a.feather"):
        assert rows_of(tmp_path / name) == TABLE.to_pylist()


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.arrows"])
@pytest.mark.parametrize("content", [b"", b"abc", b"PAR1" + b"x" * 40 + b"PAR1", b"ARROW1" + b"x" * 40])
def test_a_file_that_is_not_what_it_is_named_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(InvalidFile, match=name):
        rows_of(tmp_path / name)


def test_text_that_is_not_utf8_is_not_taken_from_arrow(tmp_path: Path) -> None:
    bad = pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe"))
    table = pa.table({"a": bad})
    with pa.ipc.new_file(str(tmp_path / "a.arrow"), table.schema) as file:
        file.write_table(table)
    pq.write_table(table, tmp_path / "a.parquet")

    for name in ("a.arrow", "a.parquet"):
        with pytest.raises(InvalidFile, match="UTF8"):
            rows_of(tmp_path / name)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.parquet", "a.arrow", "a.jsonl.gz"])
def test_a_file_that_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match=name):
        rows_of(tmp_path / name)
    with pytest.raises(InvalidFile, match=name):
        split(tmp_path / name, 2)


def test_lines_are_cut_where_they_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MIN_SLICE_BYTES", 1)
    path = tmp_path / "a.jsonl"
    lines = [b'{"id":%d,"pad":"%s"}' % (number, b"x" * (number * 7 % 90)) for number in range(200)]
    path.write_bytes(b"\n".join(lines))

    for parts in (1, 2, 3, 7, 50, 1000):
        slices = split(path, parts)
        assert len(slices) <= parts
        assert [row["id"] for one in slices for row in rows_of(one)] == list(range(200))
        assert all(rows_of(one) for one in slices)
    whole = [(one.start, one.stop) for one in split(path, 7)]
    assert len(whole) == 7
    assert all(before[1] == after[0] for before, after in pairwise(whole))


def test_small_files_and_other_kinds_are_not_cut(tmp_path: Path) -> None:
    small, packed, table = tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz", tmp_path / "c.csv"
    small.write_bytes(b'{"a":1}\n' * 100)
    packed.write_bytes(gzip.compress(b'{"a":1}\n' * 500_000, compresslevel=0))
    table.write_bytes(b"a\n" + b"1\n" * 2_000_000)

    for path in (small, packed, table):
        assert split(path, 4) == [Slice(path)]


def test_an_empty_file_has_one_slice_and_no_rows(tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.json", "a.csv"):
        path = tmp_path / name
        path.write_bytes(b"")
        assert split(path, 4) == [Slice(path)]
        assert rows_of(path) == []


def test_a_slice_travels_to_a_worker() -> None:
    one = Slice(Path("a.jsonl"), 5, 10)

    assert pickle.loads(pickle.dumps(one)) == one
    assert hasattr(one, "__oarlock_file__")
