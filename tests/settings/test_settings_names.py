"""Names of pipelines: what may be a folder everywhere."""

from __future__ import annotations

import pickle
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oarlock.errors import InvalidPipelineName
from oarlock.settings.names import FORBIDDEN, check_pipeline_name, default_pipeline_name

BAD = (
    *("", " ", " a", "a ", "\ta", "a\n", "a\x00b", "a\x1fb", "a\x7fb", "a\u200bb", "a\u202eb", "a\u2028b", "a\ud800b"),
    *("a/b", "/a", "..", ".", "a.b", "../a", "a\\b", "..\\a", "C:", "a:b", "a%b", "{x}", "a{", "a*b", "a?b"),
    *('a"b', "a<b", "a>b", "a|b", "CON", "con", "Prn", "aux", "NUL", "com1", "LPT9", "COM¹", "conin$"),
    *("a" * 129, "ä" * 101, "𝔘" * 51),
)


@pytest.mark.parametrize("name", BAD, ids=ascii)
def test_a_name_that_cannot_be_a_folder_everywhere_is_refused(name: str) -> None:
    with pytest.raises(InvalidPipelineName) as caught:
        check_pipeline_name(name)

    assert caught.value.pipeline_name == name
    assert isinstance(caught.value, ValueError)
    assert pickle.loads(pickle.dumps(caught.value)).details == caught.value.details


@pytest.mark.parametrize(
    "name",
    ["a", "my pipeline", "Größe 2", "данные", "日本語", "a-b_c", "~", "-x", "console", "com", "a" * 128, "ä" * 100],
)
def test_a_name_with_spaces_and_letters_of_any_script_is_taken(name: str) -> None:
    assert check_pipeline_name(name) == name


def test_a_name_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidPipelineName, match="not int"):
        check_pipeline_name(5)  # type: ignore[arg-type]


@given(st.text(max_size=150))
def test_a_taken_name_is_one_folder_and_nothing_else(name: str) -> None:
    try:
        check_pipeline_name(name)
    except InvalidPipelineName:
        return

    assert Path("/x", name).parent == Path("/x")
    assert Path("/x", name).name == name
    assert not FORBIDDEN.intersection(name)
    assert not any(unicodedata.category(c).startswith("C") for c in name)
    assert len(name.encode()) <= 200


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("load.py", "oarlock_load"),
        ("load.v2.py", "oarlock_load_v2"),
        ("größe.py", "oarlock_größe"),
        ("{x}.py", "oarlock__x_"),
        ("ä" * 120 + ".py", "oarlock_" + "ä" * 96),
    ],
)
def test_a_pipeline_without_a_name_is_named_after_the_script(tmp_path: Path, script: str, name: str) -> None:
    (tmp_path / script).touch()

    assert default_pipeline_name(str(tmp_path / script)) == name
    assert check_pipeline_name(name) == name


@pytest.mark.parametrize("script", ["", "-c", "missing.py"])
def test_a_program_that_is_no_script_has_a_name_too(script: str) -> None:
    assert default_pipeline_name(script) == "oarlock_pipeline"
