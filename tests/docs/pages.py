"""The pages of the documentation, and the blocks of code in them with what the page says of each."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[\w-]*)\s*$")
#: What a page says of the block that follows: ``<!-- not run: why -->``, ``<!-- file: name -->``, ``<!-- exit: 1 -->``.
_DIRECTIVE = re.compile(r"^ *<!-- (?P<name>not run|file|exit): (?P<value>.+?) -->\s*$")


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    line: int
    language: str
    code: str
    directives: dict[str, str] = field(default_factory=dict)


def pages() -> list[Path]:
    """Give README.md and all pages of docs/."""
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def name_of(page: Path) -> str:
    """Name a page as links do."""
    return page.relative_to(ROOT).as_posix()


def blocks(text: str) -> list[Block]:
    """Read the blocks of a page, in order."""
    found: list[Block] = []
    directives: dict[str, str] = {}
    inside: list[str] | None = None
    indent = language = ""
    begun = 0
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.match(line)
        if inside is not None:
            if fence and not fence["language"]:
                found.append(Block(begun, language, "\n".join(inside) + "\n", directives))
                inside, directives = None, {}
            else:
                inside.append(line.removeprefix(indent))
        elif fence:
            inside, begun, indent, language = [], number, fence["indent"], fence["language"]
        elif said := _DIRECTIVE.match(line):
            directives[said["name"]] = said["value"]
        elif line.strip():
            directives = {}
    assert inside is None, f"a block begun on line {begun} has no end"
    return found
