"""Keys of one row that want one column: told apart, the same way everywhere."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oarlock.schema.keys import KeyMap, KeyPath, key_text, source_hints, source_key, variant_column
from oarlock.schema.naming import Naming, tag

SPELLINGS = ["a b", "a_b", "A B", "a-b"]


def flat(*keys: str) -> list[KeyPath]:
    return [(key,) for key in keys]


def test_four_spellings_in_one_row_have_four_columns() -> None:
    names = KeyMap(Naming(63)).assign(flat(*SPELLINGS))

    assert names[1] == "a_b", "the key that is spelled like the column has it"
    assert len(set(names)) == 4
    assert [name for name in names if name != "a_b"] == [f"a_b_{tag(key)}" for key in ("a b", "A B", "a-b")]


@pytest.mark.parametrize("keys", list(itertools.permutations(SPELLINGS)), ids=" | ".join)
def test_the_order_of_keys_makes_no_difference(keys: tuple[str, ...]) -> None:
    one_worker = KeyMap(Naming(63))
    one_worker.assign(flat("a-b", "A B"))

    here = dict(zip(keys, one_worker.assign(flat(*keys)), strict=True))
    there = dict(zip(SPELLINGS, KeyMap(Naming(63)).assign(flat(*SPELLINGS)), strict=True))

    assert here == there


@pytest.mark.parametrize("key", SPELLINGS)
def test_a_spelling_alone_in_its_row_has_the_plain_column(key: str) -> None:
    keys = KeyMap(Naming(63))
    keys.assign(flat(*SPELLINGS))

    assert keys.assign(flat(key, "other")) == ["a_b", "other"]


def test_without_the_plain_spelling_the_first_in_code_points_has_the_column() -> None:
    assert KeyMap(Naming(63)).assign(flat("a-b", "A B")) == [f"a_b_{tag('a-b')}", "a_b"]


def test_a_nested_key_collides_with_a_flat_one() -> None:
    keys = KeyMap(Naming(63))
    nested, written_out = ("a", "b"), ("a__b",)

    assert keys.assign([nested]) == keys.assign([written_out]) == ["a__b"]
    names = keys.assign([nested, written_out])
    assert names[1] == "a__b", "fewer parts come first"
    assert names[0].startswith("a__b_")


def test_blank_keys_collide_too() -> None:
    names = KeyMap(Naming(63)).assign(flat("", " ", "__", "_empty"))

    assert names[3] == "_empty"
    assert len(set(names)) == 4


def test_a_spare_name_that_is_taken_gives_way_to_the_next() -> None:
    keys = KeyMap(Naming(63))
    spare = keys.spare(("a b",))

    names = keys.assign(flat("a b", "a_b", spare))

    assert names[1:] == ["a_b", spare]
    assert len(set(names)) == 3


def test_a_spare_name_is_cut_to_fit_and_stays_a_name() -> None:
    keys = KeyMap(Naming(20))
    paths = flat("abcdefghijkl_mnopqrs", "abcdefghijkl-mnopqrs")

    names = keys.assign(paths)

    assert names == ["abcdefghijkl_mnopqrs", f"abcdefghijkl_{tag('abcdefghijkl-mnopqrs')}"]
    assert Naming(20).path(names[1]) == names[1]


def test_names_that_are_taken_go_to_no_key() -> None:
    names = KeyMap(Naming(63)).assign(flat("v", "v__v_text"), taken={"v__v_text"})

    assert names == ["v", f"v__v_text_{tag('v__v_text')}"]


def test_told_apart_columns_say_which_key_they_are_from() -> None:
    keys = KeyMap(Naming(63))
    paths = flat("a_b", "a b", "other")

    hints = source_hints(keys, paths, keys.assign(paths))

    assert hints == {f"a_b_{tag('a b')}": {"x-source-key": "a b"}}


def test_a_raw_key_that_no_document_could_hold_is_written_so_that_it_can() -> None:
    assert source_key(("a\ud800",)) == "a\\ud800"
    assert len(source_key(("k" * 5_000_000,))) == 200


@pytest.mark.parametrize(("key", "text"), [("a", "a"), (1, "1"), (None, "null"), (True, "true"), (1.5, "1.5")])
def test_keys_that_are_not_text_are_written_as_json_would(key: object, text: str) -> None:
    assert key_text(key) == text


def test_a_key_that_json_has_not_is_refused() -> None:
    with pytest.raises(TypeError):
        key_text((1, 2))


def test_a_variant_does_not_take_the_column_of_a_users_own_key() -> None:
    naming = Naming(63)
    own, variant = {"data_type": "text"}, {"data_type": "text", "variant": True}

    assert variant_column(naming, {}, "v", "text") == "v__v_text"
    assert variant_column(naming, {"v__v_text": variant}, "v", "text") == "v__v_text"
    assert variant_column(naming, {"v__v_text": own}, "v", "text") == f"v__v_text_{tag('v')}"


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.text("aAbB _-", min_size=0, max_size=6), min_size=1, max_size=12, unique=True),
    st.sampled_from([0, 12, 63]),
    st.randoms(use_true_random=False),
)
def test_no_two_keys_of_a_row_ever_share_a_column(raw: list[str], length: int, chance: object) -> None:
    paths = flat(*raw)
    names = KeyMap(Naming(length)).assign(paths)
    shuffled = list(paths)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives no type

    assert len(set(names)) == len(names)
    assert all(0 < len(name) <= (length or 1000) for name in names)
    again = dict(zip(shuffled, KeyMap(Naming(length)).assign(shuffled), strict=True))
    assert [again[path] for path in paths] == names
    assert all(Naming(length).path(name) == name for name in names), "a column's name is its own name"
