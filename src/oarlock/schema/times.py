"""Times in text: which texts are timestamps, dates and times of day, and what they are, to the microsecond.

Taken are the forms that an ISO 8601 writer makes: a date as ``2024-01-31``, ``20240131``, ``2024-W05-3``, ``2024W053``,
``2024-031`` or ``2024031``, then ``T`` or a space, then a time as ``12:30:59.5`` (after a date with dashes) or
``123059.5`` (only after one without), or no more than its hours and minutes, then ``Z`` or an offset. Beside
them ``2024/01/31 7:30`` and ``2024:01:31 12:30:59``, as logs and cameras write them.

Not taken, so left as text: hour 24, second 60, years outside 1 to 9999, an offset of a day or more, an instant that
falls out of those years once it is in UTC, named zones, blanks around. Digits after the microsecond are never cut in
silence: a text that has them, other than zeros, is taken only where the caller says ``cut=True``.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta

_HOUR = "(?:[01][0-9]|2[0-3])"
_SIXTY = "[0-5][0-9]"
_FRACTION = "(?:[.,](?P<fraction>[0-9]+))?"
_TIME = f"{_HOUR}(?::{_SIXTY}(?::{_SIXTY}{_FRACTION})?)?"
_COMPACT_TIME = f"{_HOUR}(?:{_SIXTY}(?:{_SIXTY}{_FRACTION})?)?"
_OFFSET = f"(?:Z|[+-]{_HOUR}(?::?{_SIXTY})?)?"

_COMPACT_DATE = "(?P<date>[0-9]{4}(?:[0-9]{4}|[0-9]{3}|W[0-9]{2}[1-7]?))"
_DASHED_DATE = "(?P<date>[0-9]{4}-(?:[0-9]{2}|[0-9]{3}|W[0-9]{2}(?:-[1-7])?))"

_FORMS = (
    # The usual one first; its parts need no names, for the whole text is read at once.
    rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[T ]{_TIME}{_OFFSET}",
    rf"{_DASHED_DATE}[T ](?P<time>{_TIME}{_OFFSET})",
    rf"{_COMPACT_DATE}[T ](?P<time>{_COMPACT_TIME}{_OFFSET})",
    rf"{_COMPACT_DATE}[T ](?P<time>{_HOUR}:{_SIXTY}{_OFFSET})(?P<fraction>)",
    rf"(?P<date>[0-9]{{4}}(?P<dash>[/:])[0-9]{{2}}(?P=dash)[0-9]{{2}}) "
    rf"(?P<time>(?:{_HOUR}|[0-9]):{_SIXTY}(?::{_SIXTY}{_FRACTION})?)",
)
_USUAL, *_OTHERS = map(re.compile, _FORMS)
_DAY = re.compile(r"[0-9]{4}(?:-[0-9]{2}-[0-9]{2}|[0-9]{4}|-[0-9]{3}|[0-9]{3}|-W[0-9]{2}(?:-[1-7])?|W[0-9]{2}[1-7]?)")
_TIME_OF_DAY = re.compile(rf"(?P<time>{_TIME}{_OFFSET})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# From 2024-01T10 to a fraction of many digits; other texts are not looked at.
_SHORTEST, _LONGEST = 10, 64
_MICROSECOND_DIGITS = 6
_ORDINAL_DIGITS = 3


def parse_timestamp(text: str, *, cut: bool = False) -> datetime | None:
    """Read a date with a time, as it is written: without an offset it is naive. None for any other text.

    >>> parse_timestamp("2024-01-31 12:30:59,5Z").isoformat()
    '2024-01-31T12:30:59.500000+00:00'
    >>> parse_timestamp("2024-01-31T12:30:59.1234567") is None, parse_timestamp("2024-01-31") is None
    (True, True)
    """
    if not _SHORTEST <= len(text) <= _LONGEST or not text[:4].isdecimal():
        return None
    match = _USUAL.fullmatch(text)
    try:
        if match is not None:
            found = datetime.fromisoformat(text)
        else:
            match = next(filter(None, (form.fullmatch(text) for form in _OTHERS)), None)
            if match is None:
                return None
            clock = match["time"]
            found = datetime.fromisoformat(f"{_day(match['date']).isoformat()}T{'0' * (clock[1] == ':')}{clock}")
        if found.tzinfo is not None:
            found.astimezone(UTC)  # an instant that has no place in UTC is no timestamp
    except (ValueError, OverflowError):
        return None
    return found if cut or _exact(match["fraction"]) else None


def parse_date(text: str) -> date | None:
    """Read a date alone. None for any other text."""
    if len(text) > _LONGEST or _DAY.fullmatch(text) is None:
        return None
    try:
        return _day(text)
    except ValueError:
        return None


def parse_time(text: str, *, cut: bool = False) -> time | None:
    """Read a time of day; with an offset, it is the time of day in UTC. None for any other text."""
    match = _TIME_OF_DAY.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None or ":" not in text or not (cut or _exact(match["fraction"])):
        return None
    return in_utc(datetime.fromisoformat(f"1970-01-02T{text}")).time()


def in_utc(value: datetime) -> datetime:
    """Put a time into UTC; one without a zone is in UTC already. Raises OverflowError outside the years 1 to 9999."""
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def from_seconds(seconds: int | float) -> datetime | None:
    """Read unix seconds; None for a year without four digits. A float is taken to the nearest microsecond.

    A double that counts seconds of today tells apart hardly more than that.
    """
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        return None


def _exact(fraction: str | None) -> bool:
    return not fraction or not fraction[_MICROSECOND_DIGITS:].strip("0")


def _day(text: str) -> date:
    digits = text.replace("-", "").replace("/", "").replace(":", "")
    if "W" in digits:
        return date.fromisoformat(text)
    year, rest = int(digits[:4]), digits[4:]
    if len(rest) == _ORDINAL_DIGITS:
        found = date(year, 1, 1) + timedelta(days=int(rest) - 1)
        if found.year != year:
            raise ValueError(text)
        return found
    return date(year, int(rest[:2]), int(rest[2:] or 1))
