"""Delimited files: one type a column, nothing lost, however large the file."""

from __future__ import annotations

import csv
import gzip
import io
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oarlock.errors import InvalidFile
from oarlock.steps import delimited
from oarlock.steps.files import read


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def table_of(path: Path) -> pa.Table:
    return pa.Table.from_batches(list(read(path)))


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (["1", "-2", ""], pa.int64(), [1, -2, None]),
        (["9223372036854775807", "0"], pa.int64(), [2**63 - 1, 0]),
        (["007", "8"], pa.string(), ["007", "8"]),
        (["+1", "2"], pa.string(), ["+1", "2"]),
        (["-0", "1"], pa.float64(), [-0.0, 1.0]),
        (["1", "2.5", "1e3"], pa.float64(), [1.0, 2.5, 1000.0]),
        (["1.5", "inf"], pa.float64(), [1.5, float("inf")]),
        (["1.5", "1e999"], pa.string(), ["1.5", "1e999"]),
        (["1.5", "9007199254740993"], pa.string(), ["1.5", "9007199254740993"]),
        (["12345678901234567890", "1"], pa.string(), ["12345678901234567890", "1"]),
        (["1,5", "2"], pa.string(), ["1,5", "2"]),
        (["true", "FALSE"], pa.bool_(), [True, False]),
        (["true", "1"], pa.string(), ["true", "1"]),
        (["2024-02-29", "2023-01-01"], pa.date32(), [date(2024, 2, 29), date(2023, 1, 1)]),
        (["2024-02-30", "2023-01-01"], pa.string(), ["2024-02-30", "2023-01-01"]),
        (["2024-01-02T03:04:05Z", "2024-01-02 03:04:05+01:00"], pa.timestamp("us", "UTC"),
         [datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2024, 1, 2, 2, 4, 5, tzinfo=UTC)]),
        (["2024-01-02 03:04:05.25", ""], pa.timestamp("us", "UTC"),
         [datetime(2024, 1, 2, 3, 4, 5, 250_000, tzinfo=UTC), None]),
        (["2024-01-02 03:04:05", "2024-01-02 03:04:05Z"], pa.string(), ["2024-01-02 03:04:05", "2024-01-02 03:04:05Z"]),
        (["12:30:00", "23:59:59.5"], pa.time64("us"), [time(12, 30), time(23, 59, 59, 500_000)]),
        (["12:30:00", "25:00:00"], pa.string(), ["12:30:00", "25:00:00"]),
        (["", ""], pa.null(), [None, None]),
        (["NA", "null"], pa.string(), ["NA", "null"]),
        (["é\n\"q\"", "x"], pa.string(), ['é\n"q"', "x"]),
    ],
)  # fmt: skip
def test_a_column_has_the_type_that_all_its_values_have(
    values: list[str], kind: pa.DataType, expected: list[Any], tmp_path: Path
) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([["id", "v"], *([number, value] for number, value in enumerate(values))])

    table = table_of(written(tmp_path / "a.csv", text.getvalue().encode()))

    assert table.schema.field("v").type == kind
    assert repr(table["v"].to_pylist()) == repr(pa.array(expected, kind).to_pylist())


def test_a_column_that_is_text_in_a_later_block_is_text_in_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 4096)
    rows = [f"{number},{number},2024-01-01,\n" for number in range(5_000)]
    path = written(tmp_path / "a.csv", ("a,b,c,d\n" + "".join(rows) + "x,007,,5\n").encode())

    table = table_of(path)

    assert table.schema.types == [pa.string(), pa.string(), pa.date32(), pa.int64()]
    assert table["a"].to_pylist() == [*(str(number) for number in range(5_000)), "x"]
    assert table["b"].to_pylist()[-1] == "007"
    assert len(list(read(path))) > 5


@pytest.mark.parametrize(
    ("name", "content", "names", "rows"),
    [
        ("a.csv", b"a,b\n1,2\n", ["a", "b"], [(1, 2)]),
        ("a.csv", b"\xef\xbb\xbfa,b\r\n1,2\r\n", ["a", "b"], [(1, 2)]),
        ("a.csv", b"\n\r\na,b\n1,2\n\n3,4", ["a", "b"], [(1, 2), (3, 4)]),
        ("a.csv", b"a;b\n1;2,5\n", ["a", "b"], [(1, "2,5")]),
        ("a.csv", b"a\tb\n1\t2\n", ["a", "b"], [(1, 2)]),
        ("a.csv", b"a|b\n1|2\n", ["a", "b"], [(1, 2)]),
        ("a.csv", b"a\n1\n", ["a"], [(1,)]),
        ("a.tsv", b"a\tb,c\n1\t2\n", ["a", "b,c"], [(1, 2)]),
        ("a.csv", b"a,a,\n1,x,2.5\n", ["a", "a", ""], [(1, "x", 2.5)]),
        ("a.csv", b'"a\nb","c""d"\n1,2\n', ["a\nb", 'c"d'], [(1, 2)]),
        ("a.csv", b'1,true\n"",x\n', ["1", "true"], [(None, "x")]),
    ],
)
def test_the_first_row_names_the_columns(
    name: str, content: bytes, names: list[str], rows: list[Any], tmp_path: Path
) -> None:
    table = table_of(written(tmp_path / name, content))

    assert table.column_names == names
    assert list(zip(*(column.to_pylist() for column in table.columns), strict=True)) == rows


def test_packed_files_are_read(tmp_path: Path) -> None:
    table = table_of(written(tmp_path / "a.csv.gz", gzip.compress(b"a\n1\n2\n")))

    assert table.to_pydict() == {"a": [1, 2]}


def test_a_file_without_rows_has_none(tmp_path: Path) -> None:
    assert sum(map(len, read(written(tmp_path / "a.csv", b"a,b\n")))) == 0
    assert list(read(written(tmp_path / "a.csv", b"\n\n"))) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a,b\n1,2\n1,2,3\n", "row 3 has 3 values where 2 are expected"),
        (b"a,b\n1\n", "row 2 has 1 values where 2 are expected"),
        (b"a,b\n1,2\n1,\xff\n", "line 3: it is not UTF-8"),
        (b'a,b\n"1,2\n', "a.csv"),
    ],
)
def test_a_row_that_cannot_be_read_is_told(content: bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match=reason):
        table_of(written(tmp_path / "a.csv", content))


TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=6),
    st.sampled_from(["1", "007", "1.5", "1e5", "true", "2024-01-01", "12:00:00", "nan", "-0", "1_000", " 1", "1 "]),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=6))
def test_every_value_can_be_had_back(tmp_path_factory: pytest.TempPathFactory, values: list[str]) -> None:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(
        [["id", "v"], *([str(n), value] for n, value in enumerate(values))]
    )
    path = written(tmp_path_factory.mktemp("csv") / "a.csv", text.getvalue().encode())

    found = table_of(path)["v"]

    for value, read_value in zip(values, found.to_pylist(), strict=True):
        if not value:
            assert read_value is None
        elif isinstance(read_value, str):
            assert read_value == value
        elif isinstance(read_value, float):
            assert repr(read_value) == repr(float(value))
        elif isinstance(read_value, bool):
            assert str(read_value).lower() == value.lower()
        else:
            assert str(read_value) == value
