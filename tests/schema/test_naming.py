"""Names: the whole table of examples, what no table shows, and how long it takes."""

from __future__ import annotations

import pickle
import time

import pytest

from oarlock.errors import InvalidName
from oarlock.schema.naming import EMPTY, Naming, default_schema_name, is_system_name, tag

# raw, as identifier, as path, as path of at most 20 characters
EXAMPLES = [
    ("id", "id", "id", "id"),
    ("ID", "id", "id", "id"),
    ("UserID", "user_id", "user_id", "user_id"),
    ("userId", "user_id", "user_id", "user_id"),
    ("User Name", "user_name", "user_name", "user_name"),
    ("user-name", "user_name", "user_name", "user_name"),
    ("user.name", "user_name", "user_name", "user_name"),
    ("user+name", "userxname", "userxname", "userxname"),
    ("a*b", "axb", "axb", "axb"),
    ("a@b", "aab", "aab", "aab"),
    ("a|b", "alb", "alb", "alb"),
    ("HTTPResponse", "http_response", "http_response", "http_response"),
    ("HTTPResponseCode", "http_response_code", "http_response_code", "http_response_code"),
    ("getHTTPResponse2Code", "get_http_response2_code", "get_http_response2_code", "get_htt1vkwtae2_code"),
    ("2021_total", "_2021_total", "_2021_total", "_2021_total"),
    ("_private", "_private", "_private", "_private"),
    ("__dunder__", "_dunderxx", "dunder", "dunder"),
    ("a__b", "a_b", "a__b", "a__b"),
    ("a___b", "a_b", "a___b", "a___b"),
    ("trailing_", "trailingx", "trailingx", "trailingx"),
    ("trailing__", "trailingxx", "trailing", "trailing"),
    ("_", "x", "x", "x"),
    ("__", "xx", "", ""),
    ("x_", "xx", "xx", "xx"),
    ("Ünïcode", "_n_code", "_n_code", "_n_code"),
    ("日本語", "x", "x", "x"),
    ("price($)", "pricex", "pricex", "pricex"),
    ("%done", "_done", "_done", "_done"),
    ("col#1", "col_1", "col_1", "col_1"),
    ("A", "a", "a", "a"),
    ("aB", "a_b", "a_b", "a_b"),
    ("ABc", "a_bc", "a_bc", "a_bc"),
    ("snake_case", "snake_case", "snake_case", "snake_case"),
    ("CamelCaseString", "camel_case_string", "camel_case_string", "camel_case_string"),
    ("camelCase2String", "camel_case2_string", "camel_case2_string", "camel_case2_string"),
    ("ID1", "id1", "id1", "id1"),
    ("v1.2.3", "v1_2_3", "v1_2_3", "v1_2_3"),
    (" spaced ", "spaced", "spaced", "spaced"),
    ("tab\tname", "tab_name", "tab_name", "tab_name"),
    ("new\nline", "new_line", "new_line", "new_line"),
    ("emoji😀x", "emoji_x", "emoji_x", "emoji_x"),
    ("a/b\\c", "a_b_c", "a_b_c", "a_b_c"),
    ("'quoted'", "_quotedx", "_quotedx", "_quotedx"),
    ("(x)", "_xx", "_xx", "_xx"),
    ("!!!", "x", "x", "x"),
    ("123", "_123", "_123", "_123"),
    ("1", "_1", "_1", "_1"),
    ("_1", "_1", "_1", "_1"),
    ("class", "class", "class", "class"),
    (
        "very_long_identifier_that_exceeds_twenty",
        "very_long_identifier_that_exceeds_twenty",
        "very_long_identifier_that_exceeds_twenty",
        "very_lotmbhjg_twenty",
    ),
    ("äöü", "x", "x", "x"),
    ("C++", "cxx", "cxx", "cxx"),
    ("C#", "cx", "cx", "cx"),
    ("a-b-c", "a_b_c", "a_b_c", "a_b_c"),
    ("Foo__Bar", "foo_bar", "foo__bar", "foo__bar"),
    ("foo__", "fooxx", "foo", "foo"),
    ("FOO_BAR", "foo_bar", "foo_bar", "foo_bar"),
    ("iPhone", "i_phone", "i_phone", "i_phone"),
    ("eMail", "e_mail", "e_mail", "e_mail"),
    ("x2Y", "x2_y", "x2_y", "x2_y"),
    ("X2y", "x2y", "x2y", "x2y"),
    ("$", "x", "x", "x"),
]


@pytest.mark.parametrize(("raw", "identifier", "path", "short"), EXAMPLES)
def test_every_example_of_the_table(raw: str, identifier: str, path: str, short: str) -> None:
    for naming in (Naming(0), Naming(65_536)):
        assert naming.identifier(raw) == identifier
        assert naming.path(raw) == path
    assert Naming(20).path(raw) == short


@pytest.mark.parametrize("raw", [raw for raw, *_ in EXAMPLES])
@pytest.mark.parametrize("max_length", [0, 20, 63])
def test_a_name_is_its_own_name(raw: str, max_length: int) -> None:
    naming = Naming(max_length)
    once = naming.path(raw)

    assert naming.path(once) == once or not once
    assert naming.column(raw) == (once or EMPTY)


@pytest.mark.parametrize("key", ["", " ", "\t\n", "__", "____", "__ __"])
def test_a_key_without_a_character_is_the_empty_column(key: str) -> None:
    assert Naming(63).column(key) == "_empty"


def test_a_dataset_name_is_an_identifier() -> None:
    naming = Naming(63)

    assert naming.identifier("My Data__Set") == "my_data_set"
    assert naming.identifier("  ") == "_empty"


def test_shortened_names_keep_their_length_and_tell_their_raw_names_apart() -> None:
    naming = Naming(20)
    names = {naming.path(f"a_long_name_that_ends_in_{i}") for i in range(200)}

    assert len(names) == 200
    assert {len(name) for name in names} == {20}
    assert naming.path("A_long_name_that_ends_in_1") not in names, "the tag is of the raw name"


def test_a_path_is_joined_from_parts_that_have_something() -> None:
    naming = Naming(0)

    assert naming.make_path("t", "n", "", "  ", "l") == "t__n__l"
    assert naming.variant("price", "double") == "price__v_double"
    assert len(Naming(63).make_path("t" * 40, "l" * 40)) == 63


@pytest.mark.parametrize("max_length", [1, 6, 11])
def test_a_length_with_no_room_for_a_tag_is_refused(max_length: int) -> None:
    with pytest.raises(ValueError, match="at least 12"):
        Naming(max_length)


@pytest.mark.parametrize("name", ["_dlt_loads", "_dlt", "_DLT_version", "_dlt_mine", "", "   ", "__"])
def test_a_table_is_not_named_like_the_system_or_like_nothing(name: str) -> None:
    with pytest.raises(InvalidName, match="table name"):
        Naming(63).table(name)


def test_a_table_may_have_any_other_name() -> None:
    assert Naming(63).table("Dlt Loads") == "dlt_loads"
    assert Naming(63).table("日本語") == "x"
    assert is_system_name("_dlt_loads")
    assert not is_system_name("dlt_loads")


@pytest.mark.parametrize(
    ("pipeline", "schema"),
    [("my_pipeline", "my"), ("My Pipeline", "my_pipeline"), ("é", "x"), ("games", "games"), ("_pipeline", "_empty")],
)
def test_a_schema_is_named_after_its_pipeline(pipeline: str, schema: str) -> None:
    assert default_schema_name(pipeline) == schema
    assert len(default_schema_name("p" * 300)) == 64


def test_half_a_surrogate_pair_is_a_character_like_any_other() -> None:
    assert Naming(20).path("a\ud800b") == "a_b"
    assert len(Naming(20).path("\ud800_key" * 20)) == 20
    assert len(tag("\udfff")) == 6


@pytest.mark.parametrize(
    "bomb",
    ["A" * 5_000_000, "Aa" * 2_500_000, "a__" * 1_666_666, "_" * 5_000_000, "é" * 5_000_000, "9" * 5_000_000],
    ids=["capitals", "camels", "parts", "underscores", "others", "digits"],
)
def test_a_name_of_five_megabytes_takes_seconds_at_most(bomb: str) -> None:
    naming = Naming(63)
    before = time.process_time()

    name = naming.column(bomb)

    assert len(name) <= 63
    assert time.process_time() - before < 10
    assert not naming._paths, "a name this long is not kept"


def test_a_hundred_thousand_keys_are_named_and_not_all_remembered() -> None:
    naming = Naming(63)

    names = {naming.column(f"Key{i}Of Many") for i in range(100_000)}

    assert len(names) == 100_000
    assert len(naming._paths) <= 65_536
    assert len(naming._identifiers) <= 65_536


def test_a_name_seen_before_is_looked_up() -> None:
    naming = Naming(63)
    keys = ["userId", "user name", "n__amount", "created_at"]
    for key in keys:
        naming.column(key)
    before = time.process_time()

    for _ in range(25_000):
        for key in keys:
            naming.column(key)

    assert (time.process_time() - before) / 100_000 < 2e-6


def test_a_naming_goes_to_another_process() -> None:
    again: Naming = pickle.loads(pickle.dumps(Naming(63)))  # our own bytes

    assert again.max_length == 63
