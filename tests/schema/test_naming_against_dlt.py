"""Names against dlt's own: any text, any length, the same name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oarlock.schema.naming import Naming

pytest.importorskip("dlt")

from dlt.common.normalizers.naming.snake_case import NamingConvention

LENGTHS = (0, 12, 20, 63, 64)
OURS = {length: Naming(length) for length in LENGTHS}
THEIRS: dict[int, Any] = {length: NamingConvention(length or None) for length in LENGTHS}

# Mostly the characters that the rules are about, some of any kind. Half surrogate pairs have no tag in dlt.
letters = st.sampled_from("abzABZ0189__--+*@|. \t\n'/\\$é日ß٣İſ😀") | st.characters(codec="utf-8")
names = st.text(letters, min_size=1, max_size=80).filter(lambda name: bool(name.strip()))


@settings(max_examples=1500, deadline=None)
@given(names, st.sampled_from(LENGTHS))
@example("getHTTPResponse2Code", 20)
@example("__dunder__", 63)
def test_identifiers_and_paths_are_the_same(name: str, length: int) -> None:
    assert OURS[length].identifier(name) == THEIRS[length].normalize_identifier(name)
    assert OURS[length].path(name) == THEIRS[length].normalize_path(name)


@settings(max_examples=500, deadline=None)
@given(st.lists(names, min_size=1, max_size=4), st.sampled_from(LENGTHS))
def test_joined_paths_are_the_same(raw: list[str], length: int) -> None:
    parts = [OURS[length].identifier(name) for name in raw]

    assert OURS[length].make_path(*parts) == THEIRS[length].shorten_fragments(*parts)
