"""The catalogue of events is whole, and its page is what the code says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from oarlock.logs.events import ALWAYS, BOUND, CATALOGUE, EVENTS, FIELDS, RANKS, WRITTEN, Event, as_markdown, check

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "events.md"


@pytest.mark.parametrize("event", CATALOGUE, ids=lambda event: event.name)
def test_an_event_has_a_name_a_level_a_sentence_and_known_fields(event: Event) -> None:
    assert re.fullmatch(r"[a-z]+\.[a-z]+(_[a-z]+)?", event.name)
    assert event.level in RANKS
    assert re.fullmatch(r"[A-Z].*[a-z]\.", event.sentence)
    assert set(event.fields) <= FIELDS.keys()
    assert len(set(event.fields)) == len(event.fields)


def test_names_stand_once_and_fields_are_used() -> None:
    assert len(EVENTS) == len(CATALOGUE)
    assert FIELDS.keys() == {field for event in CATALOGUE for field in event.fields}
    groups = (WRITTEN, BOUND, ALWAYS, FIELDS)
    assert len(set().union(*groups)) == sum(map(len, groups))


def test_the_page_of_events_is_the_catalogue() -> None:
    assert PAGE.read_text("utf-8") == as_markdown()


@pytest.mark.parametrize(
    ("name", "level", "fields", "complaint"),
    [
        ("run.strated", "info", {}, "not in the catalogue"),
        ("run.started", "error", {}, "is info in the catalogue"),
        ("run.started", "info", {"sauce": 1}, "has no field 'sauce'"),
    ],
)
def test_what_is_not_in_the_catalogue_is_refused(name: str, level: str, fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        check(name, level, fields)


def test_what_is_in_the_catalogue_is_taken() -> None:
    check("run.started", "info", {"source": "list", "wait": True, "pipeline": "p", "run": "r", "dropped": 1})
