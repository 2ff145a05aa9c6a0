"""Merging runs: changes of different keys join, cursors join by their rule, the rest is a conflict with two names."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oarlock.errors import StateConflict, StateInvalid
from oarlock.state.base import StateKey
from oarlock.state.documents import join, split
from oarlock.state.merge import MISSING, changed, merge_documents, same

CURSOR = ("sources", "s", "resources", "r", "incremental", "updated_at")


def merged(base: Any, ours: Any, current: Any, **options: Any) -> dict[StateKey, Any]:
    authors = dict.fromkeys((*base, *current), "worker-2")
    changes = merge_documents(base, ours, current, author="worker-1", authors=authors, **options)
    after = {**current, **changes}
    return {key: value for key, value in after.items() if value is not MISSING}


def cursor(last: Any, *hashes: str, **more: Any) -> dict[str, Any]:
    return {"initial_value": 0, "last_value": last, "unique_hashes": list(hashes), **more}


def test_changes_of_different_keys_join() -> None:
    base = {("a",): 1, ("b",): 1, ("c",): 1}

    after = merged(base, {("a",): 2, ("b",): 1, ("new",): 5}, {("a",): 1, ("b",): 3, ("c",): 1, ("other",): 6})

    assert after == {("a",): 2, ("b",): 3, ("new",): 5, ("other",): 6}


def test_an_untouched_key_is_not_written() -> None:
    assert merge_documents({("a",): 1}, {("a",): 1}, {("a",): 2}, author="w", authors={}) == {}


def test_the_same_change_on_both_sides_is_no_conflict() -> None:
    assert merge_documents({("a",): 1}, {("a",): 2}, {("a",): 2}, author="w", authors={}) == {}
    assert merge_documents({("a",): 1}, {}, {}, author="w", authors={}) == {}


@pytest.mark.parametrize(
    ("base", "ours", "current"),
    [
        ({("n",): 1}, {("n",): 2}, {("n",): 3}),
        ({("n",): 1}, {("n",): 2}, {}),
        ({("n",): 1}, {}, {("n",): 3}),
        ({}, {("n",): 2}, {("n",): 3}),
        ({("n",): [1]}, {("n",): [1, 2]}, {("n",): [1, 3]}),
        ({("n",): 1}, {("n",): True}, {("n",): 1.0}),
    ],
)
def test_two_changes_of_a_plain_key_conflict_and_both_writers_are_named(base: Any, ours: Any, current: Any) -> None:
    with pytest.raises(StateConflict) as caught:
        merged(base, ours, current)

    assert (caught.value.key, caught.value.ours, caught.value.theirs) == ("n", "worker-1", "worker-2")


def test_dicts_join_key_by_key_and_a_conflict_inside_names_the_inner_key() -> None:
    base = {("d",): {"a": {"x": 1}, "b": 1, "gone": 1}}

    after = merged(
        base, {("d",): {"a": {"x": 1, "y": 2}, "b": 1}}, {("d",): {"a": {"x": 1, "z": 3}, "b": 2, "gone": 1}}
    )

    assert after == {("d",): {"a": {"x": 1, "z": 3, "y": 2}, "b": 2}}
    with pytest.raises(StateConflict, match=r"d\.a\.x"):
        merged(base, {("d",): {"a": {"x": 2}, "b": 1, "gone": 1}}, {("d",): {"a": {"x": 3}, "b": 1, "gone": 1}})


@pytest.mark.parametrize(
    ("ours", "current", "wanted"),
    [
        (cursor(7, "a"), cursor(9, "b"), cursor(9, "b")),
        (cursor(9, "a"), cursor(7, "b"), cursor(9, "a")),
        (cursor(9, "a", "b"), cursor(9, "b", "c"), cursor(9, "b", "c", "a")),
        (cursor(None), cursor(7, "b"), cursor(7, "b")),
        (cursor(7, "a"), cursor(None), cursor(7, "a")),
        (
            cursor(7, "a", last_value_func="min"),
            cursor(9, "b", last_value_func="min"),
            cursor(7, "a", last_value_func="min"),
        ),
        (
            cursor(datetime(2026, 1, 2)),
            cursor(datetime(2026, 1, 1, tzinfo=UTC)),
            cursor(datetime(2026, 1, 2)),
        ),
    ],
)
def test_cursors_join_by_their_rule(ours: Any, current: Any, wanted: Any) -> None:
    assert merged({CURSOR: cursor(5)}, {CURSOR: ours}, {CURSOR: current}) == {CURSOR: wanted}
    assert merged({}, {CURSOR: ours}, {CURSOR: current}) == {CURSOR: wanted}


@pytest.mark.parametrize(
    ("ours", "current"),
    [
        (cursor(7), cursor("text")),
        (cursor(7, last_value_func="min"), cursor(9, last_value_func="max")),
        (cursor(7, last_value_func="mine"), cursor(9, last_value_func="mine")),
        (5, cursor(7)),
    ],
)
def test_cursors_that_no_rule_joins_conflict(ours: Any, current: Any) -> None:
    with pytest.raises(StateConflict, match="updated_at"):
        merged({CURSOR: cursor(5)}, {CURSOR: ours}, {CURSOR: current})


def test_a_cursor_that_one_side_dropped_and_the_other_moved_conflicts() -> None:
    with pytest.raises(StateConflict):
        merged({CURSOR: cursor(5)}, {}, {CURSOR: cursor(7)})


def test_bookkeeping_of_runs_never_conflicts() -> None:
    base = {("schema_names",): ["a"], ("_local", "first_run"): True, ("_local", "last_run_context"): 0}
    ours = {
        ("schema_names",): ["a", "b"],
        ("default_schema_name",): "b",
        ("_local", "first_run"): False,
        ("_local", "last_run_context"): 1,
        ("_local", "_last_extracted_hash"): "h1",
    }
    current = {
        ("schema_names",): ["a", "c"],
        ("default_schema_name",): "c",
        ("_local", "first_run"): True,
        ("_local", "last_run_context"): 2,
        ("_local", "_last_extracted_hash"): "h2",
    }

    assert merged(base, ours, current) == {
        ("schema_names",): ["a", "c", "b"],
        ("default_schema_name",): "c",
        ("_local", "first_run"): False,
        ("_local", "last_run_context"): 1,
        ("_local", "_last_extracted_hash"): "h1",
    }


def test_local_keys_of_users_do_conflict() -> None:
    with pytest.raises(StateConflict, match="mine"):
        merged({}, {("_local", "mine"): 1}, {("_local", "mine"): 2})


def test_a_given_rule_joins_a_plain_key() -> None:
    rules = {("n",): lambda base, ours, current: current + ours - base}

    assert merged({("n",): 1}, {("n",): 3}, {("n",): 5}, rules=rules) == {("n",): 7}


def test_a_plain_value_and_keys_below_it_conflict_either_way() -> None:
    with pytest.raises(StateConflict):
        merged({}, {("sources", "s"): 5}, {("sources", "s", "n"): 1})
    with pytest.raises(StateConflict):
        merged({}, {("sources", "s", "n"): 1}, {("sources", "s"): 5})


def test_two_runs_that_add_sources_to_an_empty_state_join() -> None:
    base = split({"sources": {}})
    ours, current = split({"sources": {"a": {"n": 1}}}), split({"sources": {"b": {"n": 2}}})

    assert join(merged(base, ours, current)) == {"sources": {"a": {"n": 1}, "b": {"n": 2}}}


def test_a_value_that_cannot_be_kept_is_named() -> None:
    with pytest.raises(StateInvalid, match=r"sources\.s\.n.*set"):
        merged({("sources", "s", "n"): {1}}, {("sources", "s", "n"): {1, 2}}, {})


def test_values_that_only_look_equal_differ() -> None:
    assert same({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert not same(1, True)
    assert not same(1, 1.0)
    assert not same("1", 1)
    assert not same(MISSING, None)


def test_changed_leaves_what_differs() -> None:
    assert changed({("a",): 1, ("b",): 2, ("c",): 3}, {("a",): 1, ("b",): 5, ("d",): 4}) == (
        {("b",): 2, ("c",): 3},
        {("b",): 5, ("d",): 4},
    )


_keys = st.sampled_from([("a",), ("b",), ("sources", "s", "n"), ("sources", "s", "m"), ("sources", "t", "n")])
_docs = st.dictionaries(_keys, st.integers(0, 3))


@given(_docs, _docs)
def test_with_nobody_else_the_merge_is_ours(base: Any, ours: Any) -> None:
    assert merged(base, ours, base) == ours


@given(_docs, _docs, _docs)
def test_no_change_of_either_side_is_lost(base: Any, ours: Any, current: Any) -> None:
    conflicting = {
        key
        for key in (*base, *ours, *current)
        if base.get(key) != ours.get(key) and base.get(key) != current.get(key) and ours.get(key) != current.get(key)
    }

    if conflicting:
        with pytest.raises(StateConflict):
            merged(base, ours, current)
    else:
        after = merged(base, ours, current)
        for key in (*base, *ours, *current):
            wanted = ours.get(key) if ours.get(key) != base.get(key) else current.get(key)
            assert after.get(key) == wanted
