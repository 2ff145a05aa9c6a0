"""Times in text: what is read, what is left as text."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oarlock.schema.times import from_seconds, parse_date, parse_time, parse_timestamp


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2024-01-31T12:30:59Z", "2024-01-31T12:30:59+00:00"),
        ("2024-01-31 12:30:59", "2024-01-31T12:30:59"),
        ("2024-01-31T12:30", "2024-01-31T12:30:00"),
        ("2024-01-31T12", "2024-01-31T12:00:00"),
        ("2024-01-31T12Z", "2024-01-31T12:00:00+00:00"),
        ("2024-01-31T12:30:59.5", "2024-01-31T12:30:59.500000"),
        ("2024-01-31T12:30:59,123456", "2024-01-31T12:30:59.123456"),
        ("2024-01-31T12:30:59.123456000000", "2024-01-31T12:30:59.123456"),
        ("2024-01-31T12:30:59-0330", "2024-01-31T12:30:59-03:30"),
        ("2024-01-31T12:30:59+02", "2024-01-31T12:30:59+02:00"),
        ("20240131T123059Z", "2024-01-31T12:30:59+00:00"),
        ("20240131 1230", "2024-01-31T12:30:00"),
        ("20240131T12:30", "2024-01-31T12:30:00"),
        ("2024-W05-3T00:00", "2024-01-31T00:00:00"),
        ("2024-W05T00:00", "2024-01-29T00:00:00"),
        ("2024W053T00", "2024-01-31T00:00:00"),
        ("2024-031T00:00", "2024-01-31T00:00:00"),
        ("2024366T00", "2024-12-31T00:00:00"),
        ("2024-01T10:00", "2024-01-01T10:00:00"),
        ("2024/01/31 7:30", "2024-01-31T07:30:00"),
        ("2024:01:31 12:30:59.25", "2024-01-31T12:30:59.250000"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+00:00"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999+00:00"),
    ],
)
def test_forms_that_are_read(text: str, iso: str) -> None:
    found = parse_timestamp(text)

    assert found is not None
    assert found.isoformat() == iso


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2024",
        "2024-01-31",
        "12:30:59",
        "2024-01-31T",
        "2024-01-31T24:00:00",
        "2016-12-31T23:59:60Z",
        "2024-01-31T12:60",
        "2024-02-30T12:30",
        "2023-366T00:00",
        "2024-W53-1T00:00",
        "2024-00-01T00:00",
        "0000-01-01T00:00",
        "10000-01-01T00:00:00Z",
        "-2024-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "2024-01-31T12:30:59+24:00",
        "2024-01-31T12:30:59+01:60",
        "2024-01-31T12:30:59.",
        "2024-01-31T12:30:59.1234567",
        "2024-01-31T12:30.5",
        "2024-01-31T123059",
        "2024-1-31T12:30",
        "2024-01-31t12:30:59z",
        "2024-01-31  12:30",
        " 2024-01-31T12:30",
        "2024-01-31T12:30\n",
        "2024-01-31T12:30:59 UTC",
        "2024-01-31T12:30:59[Europe/Berlin]",
        "2024/01:31 12:30",
        "2024 12:30",
        "２０２４-01-31T12:30",
        "2024-01-31T12:30:59." + "0" * 100,
    ],
)
def test_other_text_stays_text(text: str) -> None:
    assert parse_timestamp(text) is None


def test_finer_than_a_microsecond_is_cut_only_where_that_is_asked_for() -> None:
    text = "2024-01-31T12:30:59.1234569Z"

    assert parse_timestamp(text) is None
    assert parse_timestamp(text, cut=True) == datetime(2024, 1, 31, 12, 30, 59, 123456, tzinfo=UTC)
    assert parse_time("12:30:59.1234569") is None
    assert parse_time("12:30:59.1234569", cut=True) == time(12, 30, 59, 123456)


@pytest.mark.parametrize("text", ["2024-01-31", "20240131", "2024-W05-3", "2024W053", "2024-031", "2024031"])
def test_dates_alone(text: str) -> None:
    assert parse_date(text) == date(2024, 1, 31)


@pytest.mark.parametrize("text", ["2024", "2024-01", "2024-13-01", "31.01.2024", "2024-01-31T00:00", "", "1" * 100])
def test_what_is_no_date(text: str) -> None:
    assert parse_date(text) is None


@pytest.mark.parametrize("text", ["12", "1230", "24:00", "12:60", "noon", "", "2024-01-31"])
def test_what_is_no_time_of_day(text: str) -> None:
    assert parse_time(text) is None


def test_a_time_of_day_with_an_offset_is_put_into_utc() -> None:
    assert parse_time("01:00+02:00") == time(23)
    assert parse_time("12:30Z") == time(12, 30)


@given(st.datetimes(timezones=st.none() | st.just(UTC)), st.sampled_from(["T", " "]))
def test_what_python_writes_is_read_back(when: datetime, separator: str) -> None:
    assert parse_timestamp(when.isoformat(separator)) == when


@given(st.text("0123456789-:T Z+./W,", max_size=30))
def test_no_text_is_an_error(text: str) -> None:
    for parse in (parse_timestamp, parse_date, parse_time):
        found = parse(text)
        assert found is None or found.isoformat()


@given(st.integers() | st.floats())
def test_seconds_are_read_to_the_microsecond_or_not_at_all(seconds: float) -> None:
    found = from_seconds(seconds)

    assert found is None or abs(found.timestamp() - seconds) < 1e-5
