"""JSON files: every number as it is written, every mistake with its line."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oarlock.errors import InvalidFile
from oarlock.steps import files, jsons, streams
from oarlock.steps.files import read, split


def rows_of(path: Path) -> list[Any]:
    return [row for batch in read(path) for row in batch]


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        b'{"a":1}\n{"a":2}\n',
        b'{"a":1}\n{"a":2}',
        b'{"a":1}\r\n{"a":2}\r\n',
        b'\xef\xbb\xbf{"a":1}\n{"a":2}\n',
        b'\n{"a":1}\n\n  \n\r\n{"a":2}\n\n',
    ],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.json"])
def test_lines_are_rows_however_they_end(content: bytes, name: str, tmp_path: Path) -> None:
    assert rows_of(written(tmp_path / name, content)) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b'[{"a":1},{"a":2}]', [{"a": 1}, {"a": 2}]),
        (b'\xef\xbb\xbf [\n {"a":1},\n {"a":2}\n]\n', [{"a": 1}, {"a": 2}]),
        (b'{\n "a": 1\n}', [{"a": 1}]),
        (b'{"a":1}', [{"a": 1}]),
        (b"[]", []),
        (b"  \n ", []),
        (b"[1, [2], null]", [1, [2], None]),
        (b"[\n1,\nNaN,\n18446744073709551617]", [1, "nan", 18446744073709551617]),
    ],
)
def test_a_document_is_an_array_of_rows_or_a_row(content: bytes, rows: list[Any], tmp_path: Path) -> None:
    found = rows_of(written(tmp_path / "a.json", content))

    assert [str(row) if isinstance(row, float) else row for row in found] == rows


@pytest.mark.parametrize(
    "number",
    [
        *("9223372036854775807", "-9223372036854775808", "9223372036854775808", "18446744073709551616"),
        *("-9223372036854775809", "123456789012345678901234567890", "1.5", "1e300", "-0.0", "0.1"),
        *("2.2250738585072014e-308", "12345678901234567890.5"),
    ],
)
def test_numbers_are_what_they_are_written_as(number: str, tmp_path: Path) -> None:
    ((found,),) = [[row["n"]] for row in rows_of(written(tmp_path / "a.jsonl", f'{{"n":{number}}}\n'.encode()))]

    assert found == json.loads(number)
    assert type(found) is type(json.loads(number))


def test_nan_and_infinity_are_read(tmp_path: Path) -> None:
    (row,) = rows_of(written(tmp_path / "a.jsonl", b'{"a":NaN,"b":Infinity,"c":-Infinity,"d":18446744073709551616}\n'))

    assert math.isnan(row["a"])
    assert (row["b"], row["c"], row["d"]) == (math.inf, -math.inf, 2**64)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a":}', "it is not JSON"),
        (b'{"a":1},{"b":2}', "it is not JSON"),
        (b'{"a":1} x', "it is not JSON"),
        (b'{"a":"\xff"}', "it is not UTF-8"),
        (b'\xff\xfe{"a":1}', "it is not UTF-8"),
        (b'{"a":"\\ud800"}', "surrogate"),
        (b'{"a":1e400}', "too large for a float"),
        (b'{"a":"x\ny"}', "it is not JSON"),
        (b'{"a":"\x00"}', "it is not JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b"1" * 5_000, "cannot be read"),
    ],
)
def test_a_mistake_is_told_with_file_and_line(line: bytes, reason: str, tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", b'{"a":1}\n\n' + line + b'\n{"a":2}\n')

    with pytest.raises(InvalidFile, match=reason) as caught:
        rows_of(path)

    assert (caught.value.path, caught.value.line) == (str(path), 3)


def test_a_mistake_in_a_document_is_told_with_its_line(tmp_path: Path) -> None:
    for content in (b'[\n{"a":1},\n{"a":}\n]', b'[\n{"a":1},\n{"a":"\xff"}\n]'):
        with pytest.raises(InvalidFile) as caught:
            rows_of(written(tmp_path / "a.json", content))
        assert caught.value.line == 3


def test_a_mistake_in_a_slice_is_told_with_the_line_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MIN_SLICE_BYTES", 1)
    path = written(tmp_path / "a.jsonl", b'{"a":1}\n' * 70 + b"{]\n" + b'{"a":1}\n' * 29)

    errors = []
    for one in split(path, 5):
        try:
            list(read(one))
        except InvalidFile as error:
            errors.append(error.line)

    assert errors == [71]


def test_lines_longer_than_a_block_and_files_of_many_blocks_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "BLOCK_BYTES", 64)
    monkeypatch.setattr(streams.blocks, "__kwdefaults__", {"size": 64})
    rows = [{"id": number, "pad": "x" * (number % 200)} for number in range(300)]
    path = written(tmp_path / "a.jsonl", b"".join(json.dumps(row).encode() + b"\n" for row in rows))

    assert rows_of(path) == rows
    assert len(list(read(path))) > 100


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsons, "MAX_LINE_BYTES", 1024)

    with pytest.raises(InvalidFile, match="a line is longer than 1024 bytes"):
        rows_of(written(tmp_path / "a.jsonl", b'"' + b"x" * 10_000_000))


def test_packed_files_are_read(tmp_path: Path) -> None:
    content = b'{"a":1}\n{"a":2}\n'
    twice = gzip.compress(content[:8]) + gzip.compress(content[8:])

    for name, packed in (
        ("a.jsonl.gz", gzip.compress(content)),
        ("b.jsonl.gz", twice),
        ("a.json.gz", gzip.compress(b'[{"a":1},{"a":2}]')),
        ("a.jsonl.zst", pa.compress(content, codec="zstd", asbytes=True)),
    ):
        assert rows_of(written(tmp_path / name, packed)) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst", "a.json.gz", "a.csv.gz"])
@pytest.mark.parametrize("damage", ["cut", "not packed", "flipped"])
def test_damaged_packed_files_are_refused(name: str, damage: str, tmp_path: Path) -> None:
    content = b"".join(b'{"a":%d}\n' % (number * 7919 % 10_007) for number in range(10_000))
    packed = gzip.compress(content) if name.endswith("gz") else pa.compress(content, codec="zstd", asbytes=True)
    middle = len(packed) // 2
    damaged = {
        "cut": packed[:-9],
        "not packed": b"plain text",
        "flipped": packed[:middle] + bytes([packed[middle] ^ 0xFF]) + packed[middle + 1 :],
    }[damage]

    with pytest.raises(InvalidFile, match=name):
        rows_of(written(tmp_path / name, damaged))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(st.lists(JSON_VALUES, max_size=6), st.sampled_from(["\n", "\r\n", "\n\n"]), st.booleans())
def test_what_python_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], end: str, plain: bool
) -> None:
    path = tmp_path_factory.mktemp("json") / "a.jsonl"
    path.write_bytes("".join(json.dumps(row, ensure_ascii=plain) + end for row in rows).encode())

    assert repr(rows_of(path)) == repr(rows)
