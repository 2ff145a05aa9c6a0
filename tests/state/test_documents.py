"""The state as documents: taken apart and put together without loss, at levels that are always the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oarlock.state.base import StateKey
from oarlock.state.documents import document_key, is_cursor, is_level, join, key_text, read_key, split, split_at

STATE: dict[str, Any] = {
    "pipeline_name": "p",
    "schema_names": ["a", "b"],
    "sources": {
        "github": {
            "seen": {"x": {"y": 1}},
            "resources": {
                "issues": {"page": 3, "incremental": {"updated_at": {"last_value": 5}, "id": {"last_value": 1}}},
                "empty": {},
            },
        },
        "nothing": {},
    },
    "_local": {"first_run": False, "last_run_context": {"run_dir": "/x"}},
}


def test_a_state_is_one_document_a_key() -> None:
    assert split(STATE) == {
        ("pipeline_name",): "p",
        ("schema_names",): ["a", "b"],
        ("sources", "github", "seen"): {"x": {"y": 1}},
        ("sources", "github", "resources", "issues", "page"): 3,
        ("sources", "github", "resources", "issues", "incremental", "updated_at"): {"last_value": 5},
        ("sources", "github", "resources", "issues", "incremental", "id"): {"last_value": 1},
        ("sources", "github", "resources", "empty"): {},
        ("sources", "nothing"): {},
        ("_local", "first_run"): False,
        ("_local", "last_run_context"): {"run_dir": "/x"},
    }


def test_join_gives_the_state_back_and_shares_nothing_with_it() -> None:
    documents = split(STATE)

    state = join(documents)

    assert state == STATE
    assert list(state) == list(STATE)
    state["sources"]["github"]["seen"]["x"]["y"] = 2
    assert documents["sources", "github", "seen"] == {"x": {"y": 1}}


def test_what_a_state_says_of_its_own_version_is_left_out() -> None:
    assert split({"_state_version": 3, "_state_engine_version": 4, "_version_hash": "h", "a": 1}) == {("a",): 1}


def test_a_level_that_is_no_dict_is_a_document() -> None:
    assert split({"sources": None, "_local": 5}) == {("sources",): None, ("_local",): 5}


def test_an_emptied_level_stands_beside_keys_that_came_since() -> None:
    assert join({("sources", "s", "n"): 1, ("sources", "s"): {}, ("sources",): {}}) == {"sources": {"s": {"n": 1}}}
    assert join({("sources", "s"): {}, ("sources", "s", "n"): 1}) == {"sources": {"s": {"n": 1}}}


@pytest.mark.parametrize(
    ("path", "holder"),
    [
        (("a",), ("a",)),
        (("a", "b", "c"), ("a",)),
        (("_local", "k", "x"), ("_local", "k")),
        (("sources", "s"), ("sources", "s")),
        (("sources", "s", "k", "x", "y"), ("sources", "s", "k")),
        (("sources", "s", "resources", "r", "k", "x"), ("sources", "s", "resources", "r", "k")),
        (
            ("sources", "s", "resources", "r", "incremental", "c", "last_value"),
            ("sources", "s", "resources", "r", "incremental", "c"),
        ),
    ],
)
def test_each_path_has_one_document(path: StateKey, holder: StateKey) -> None:
    assert document_key(path) == holder


def test_cursors_are_known() -> None:
    assert is_cursor(("sources", "s", "resources", "r", "incremental", "updated_at"))
    assert not is_cursor(("sources", "s", "resources", "r", "incremental"))
    assert not is_cursor(("sources", "s", "resources", "r", "other", "updated_at"))


def test_a_key_reads_back_whatever_it_holds() -> None:
    for key in [("a",), ("a", '"],["', ",", "]"), ("", "\x00", "\uf026x", "é"), ("sources", "a/b.c")]:
        assert read_key(key_text(key)) == key


_names = st.sampled_from(["a", "b", "resources", "incremental", "sources", "_local"]) | st.text("ab.", max_size=2)
_values = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda below: st.lists(below, max_size=2) | st.dictionaries(_names, below, max_size=3),
    max_leaves=20,
)
_states = st.dictionaries(_names, _values, max_size=4) | st.fixed_dictionaries(
    {"sources": st.dictionaries(_names, st.dictionaries(_names, _values, max_size=3), max_size=3)}
)


@given(_states)
def test_any_state_comes_back(state: dict[str, Any]) -> None:
    documents = split(state)

    assert join(documents) == state
    assert all(document_key(key) == key for key in documents)
    assert all(value == {} or not isinstance(value, dict) for key, value in documents.items() if is_level(key))
    assert split(join(documents)) == documents
    assert split_at(("sources",), state.get("sources", {})) == (
        {key: value for key, value in documents.items() if key[0] == "sources"} or {("sources",): {}}
    )
