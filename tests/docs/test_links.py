"""The documentation holds together: links resolve, and everything public is on a page."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
from pages import DOCS, ROOT, name_of, pages

import oarlock
from oarlock import errors, knobs
from oarlock.cli.main import app
from oarlock.logs.events import CATALOGUE
from oarlock.settings.catalogue import ENVIRONMENT_ONLY, OF_PIPELINES

_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
_TEST = re.compile(r"`(tests/[\w/]+\.py)`(?:: ((?:`test_\w+`(?:, )?)+))?")
#: Words that this project does not use for parts of its own.
UNUSED_WORDS = re.compile(r"\b(manager|handler|utils?|helpers?|leverage)\b", re.IGNORECASE)
#: Pictures in text: emoji and the like.
PICTURES = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf]")


def links(page: Path) -> Iterator[str]:
    yield from _LINK.findall(_CODE.sub("", page.read_text()))


def anchors(page: Path) -> set[str]:
    """Give the anchors of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for title in re.findall(r"^#+ (.+)$", _CODE.sub("", page.read_text()), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).strip().lower()
        anchor = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        found.add(anchor if anchor not in found else f"{anchor}-1")
    return found


@pytest.fixture(scope="module")
def reference() -> Iterator[ModuleType]:
    """The script that writes pages of the reference."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DOCS))
        yield importlib.import_module("make_reference")


@pytest.mark.parametrize("page", [pytest.param(page, id=name_of(page)) for page in pages()])
def test_every_link_resolves(page: Path) -> None:
    broken = []
    for link in links(page):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        is_there = target.exists() and (not anchor or (target.suffix == ".md" and anchor in anchors(target)))
        if not is_there:
            broken.append(link)

    assert broken == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md" or not page.exists():
            continue
        reached.add(page)
        paths = (link.partition("#")[0] for link in links(page) if "://" not in link)
        waiting += [(page.parent / path).resolve() for path in paths if path]

    assert {name_of(page) for page in pages()} - {name_of(page) for page in reached} == set()


@pytest.mark.parametrize("name", ["api.md", "cli.md", "errors.md"])
def test_a_page_is_what_the_code_says(name: str, reference: ModuleType) -> None:
    written = (DOCS / "reference" / name).read_text(encoding="utf-8")

    assert written == reference.PAGES[name](), "run: python docs/make_reference.py"


def test_every_public_name_is_documented() -> None:
    page = (DOCS / "reference/api.md").read_text()
    names = [name for name in oarlock.__all__ if f"oarlock.{name}" not in page]

    assert [name for name in names if not _is_on_errors_page(name)] == []


def _is_on_errors_page(name: str) -> bool:
    return name == "exceptions" or f"## {name}\n" in (DOCS / "reference/errors.md").read_text()


def test_every_member_of_a_pipeline_is_documented() -> None:
    page = (DOCS / "reference/api.md").read_text()
    public = [name for name in dir(oarlock.Pipeline) if not name.startswith("_")]
    missing = [name for name in public if f"#### Pipeline.{name}\n" not in page and f"- `{name}`: " not in page]

    assert missing == []


def test_every_error_is_documented_with_what_to_do(reference: ModuleType) -> None:
    page = (DOCS / "reference/errors.md").read_text()
    tree = {name for name, one in vars(errors).items() if inspect.isclass(one) and issubclass(one, errors.OarlockError)}

    assert {name for name in tree if f"\n## {name}\n" not in page} == set()
    assert tree == set(reference.WAYS_OUT)


def test_every_command_and_option_is_documented() -> None:
    page = (DOCS / "reference/cli.md").read_text()
    missing = []
    for path, command in _commands("oarlock", typer.main.get_command(app)):
        section = page.partition(f"\n## {path}\n")[2].partition("\n## ")[0]
        options = [option for one in command.params for option in one.opts if option.startswith("-")]
        missing += [path] if not section else [f"{path} {one}" for one in options if f"`{one}`" not in section]

    assert missing == []


def _commands(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, one in getattr(command, "commands", {}).items():
        yield from _commands(f"{path} {name}", one)


def test_every_setting_is_documented() -> None:
    page = (DOCS / "reference/settings.md").read_text()
    variables = [setting.variable for setting in (*OF_PIPELINES, *ENVIRONMENT_ONLY)]
    keys = list(knobs.RuntimeSettings.model_fields)

    assert [name for name in (*variables, *keys) if f"`{name}`" not in page] == []


def test_every_event_is_documented() -> None:
    page = (DOCS / "reference/events.md").read_text()

    assert [event.name for event in CATALOGUE if f"`{event.name}`" not in page] == []


def test_the_tests_that_hold_a_guarantee_are_there() -> None:
    named = _TEST.findall((DOCS / "reference/guarantees.md").read_text())
    missing = []
    for path, functions in named:
        text = (ROOT / path).read_text() if (ROOT / path).exists() else ""
        missing += [path] if not text else [f for f in re.findall(r"test_\w+", functions) if f"def {f}(" not in text]

    assert len(named) > 20
    assert missing == []


@pytest.mark.parametrize("page", [pytest.param(page, id=name_of(page)) for page in pages()])
def test_words_are_plain(page: Path) -> None:
    text = _CODE.sub("", page.read_text())

    assert PICTURES.findall(text) == []
    assert UNUSED_WORDS.findall(re.sub(r"`[^`]*`", "", text)) == []
