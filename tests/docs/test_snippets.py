"""Every block of Python and of commands in README and docs runs, and says what the page says that it says."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pages import Block, blocks, name_of, pages

import oarlock

#: No block of a page may take longer.
BLOCK_S = 90.0
#: No page may, those before it included.
PAGE_S = 280.0
PAGES_AT_ONCE = 2
#: What a page may leave to others: what sets up a machine, and is run by CI as a whole.
NOT_RUN = ("make ", "pip install ", "git clone ", "cd ")
#: The address that pages use for a Postgres database; a real server's stands in for it.
POSTGRES_ADDRESS = re.compile(r"postgresql://loader:sesame@db\.example\.org:5432/games")
SHELL = "set -eu\n"
COMMAND = """#!{python}
import sys
from oarlock.cli.main import main
if __name__ == "__main__":
    sys.exit(main())
"""


class Page:
    """A page's blocks, run in a folder, a home and a session of their own."""

    def __init__(self, folder: Path) -> None:
        self.work, self.home, self.bin = folder / "work", folder / "home", folder / "bin"
        for made in (self.work, self.home, self.bin):
            made.mkdir()
        (self.bin / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        (self.bin / "oarlock").write_text(COMMAND.format(python=sys.executable))
        for command in self.bin.iterdir():
            command.chmod(0o755)
        self.output = folder / "output"
        self._session: subprocess.Popen[str] | None = None

    @property
    def environ(self) -> dict[str, str]:
        """Nothing of the machine's own settings but where Python is."""
        source = Path(oarlock.__file__).parents[1]
        path = os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), str(source)])
        return {
            "PATH": f"{self.bin}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "HOME": str(self.home),
            "PYTHONPATH": path,
            "PYTHONDONTWRITEBYTECODE": "1",
            "LANG": "C.UTF-8",
            "TZ": "UTC",
        }

    def run(self, block: Block, name: str) -> str:
        """Run one block; give what it printed."""
        if "file" in block.directives:
            target = self.work / block.directives["file"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.code)
            return ""
        if block.language == "console":
            return self._command(["bash", "-c", SHELL + block.code], name, int(block.directives.get("exit", "0")))
        if "__main__" in block.code:
            script = self.work / f"block_{block.line}.py"
            script.write_text(block.code)
            return self._command([sys.executable, str(script)], name, 0)
        return self._in_session(block.code, name)

    def _command(self, command: list[str], name: str, exit_code: int) -> str:
        done = subprocess.run(
            command,
            cwd=self.work,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BLOCK_S,
        )
        assert done.returncode == exit_code, f"{name} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def _in_session(self, code: str, name: str) -> str:
        if self._session is None:
            self._session = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("session.py"))],
                cwd=self.work,
                env=self.environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._session.stdin is not None
        assert self._session.stdout is not None
        self.output.unlink(missing_ok=True)
        self._session.stdin.write(json.dumps({"code": code, "name": name, "output": str(self.output)}) + "\n")
        self._session.stdin.flush()
        ready, _, _ = select.select([self._session.stdout], [], [], BLOCK_S)
        assert ready, f"{name} did not end within {BLOCK_S:g} s"
        reply = self._session.stdout.readline()
        printed = self.output.read_text() if self.output.exists() else ""
        assert reply, f"{name} ended its interpreter:\n{printed}"
        assert not json.loads(reply)["failed"], f"{name} raised:\n{printed}"
        return printed

    def close(self) -> None:
        """End the session, and see that it ends well."""
        if self._session is None:
            return
        assert self._session.stdin is not None
        assert self._session.stdout is not None
        self._session.stdin.close()
        try:
            code = self._session.wait(BLOCK_S)
        finally:
            self._session.kill()
            self._session.wait()
            self._session.stdout.close()
        assert code == 0, f"the session ended with {code}"


@dataclass
class Said:
    """What one block printed, and what the page says that it prints."""

    name: str
    printed: str
    expected: str


def run_page(path: Path, folder: Path, postgres_url: str) -> list[Said]:
    """Run the blocks of a page, in order."""
    folder.mkdir()
    page = Page(folder)
    found = blocks(POSTGRES_ADDRESS.sub(postgres_url, path.read_text()))
    said = []
    try:
        for block, following in zip(found, [*found[1:], Block(0, "", "")], strict=True) if found else ():
            is_run = block.language in ("python", "console")
            if "not run" in block.directives or not (is_run or "file" in block.directives):
                continue
            name = f"{name_of(path)}:{block.line}"
            printed = page.run(block, name)
            if is_run and "file" not in block.directives and following.language == "text":
                said.append(Said(name, printed_text(printed), following.code))
    finally:
        page.close()
    return said


#: What each page says, once it was run.
Running = dict[Path, Future[list[Said]]]


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Run the pages that were asked for, two at a time: most of a page's time is interpreters that start."""
    wanted = [path for item in request.session.items if (path := _page_of(item)) is not None]
    has_postgres = any(POSTGRES_ADDRESS.search(path.read_text()) for path in wanted)
    url = request.getfixturevalue("postgres").url if has_postgres else ""
    folder = tmp_path_factory.mktemp("pages")
    with ThreadPoolExecutor(PAGES_AT_ONCE) as pool:
        yield {path: pool.submit(run_page, path, folder / str(at), url) for at, path in enumerate(wanted)}
        pool.shutdown(cancel_futures=True)


def _page_of(item: Any) -> Path | None:
    """Give the page that a collected test is to run."""
    if getattr(item, "originalname", "") != "test_a_page_runs_as_it_is_written":
        return None
    path: Path = item.callspec.params["path"]
    return path


def expected_text(text: str) -> re.Pattern[str]:
    """Read what a page expects: ``…`` stands for anything in a line, alone on a line for any lines."""
    lines = [
        r"(?:.*\n)*?" if line.strip() == "…" else re.escape(line.rstrip()).replace("…", ".*?") + r"\n"
        for line in text.rstrip().splitlines()
    ]
    return re.compile("".join(lines))


def printed_text(text: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in text.strip("\n").splitlines())


@pytest.mark.parametrize("path", [pytest.param(path, id=name_of(path)) for path in pages()])
def test_a_page_runs_as_it_is_written(path: Path, running: Running) -> None:
    said = running[path].result(PAGE_S)

    for one in said:
        assert expected_text(one.expected).fullmatch(one.printed), (
            f"{one.name} printed\n{one.printed}\nwhere the page says\n{one.expected}"
        )


@pytest.mark.parametrize("path", [pytest.param(path, id=name_of(path)) for path in pages()])
def test_only_setting_up_is_left_out(path: Path) -> None:
    for block in blocks(path.read_text()):
        if "not run" in block.directives:
            commands = [line for line in block.code.splitlines() if line.strip()]
            assert block.language == "console"
            assert all(command.startswith(NOT_RUN) for command in commands), f"line {block.line}: {commands}"


def test_pages_are_read_as_they_are_written() -> None:
    text = (
        "a\n\n<!-- file: b.py -->\n```python\nx = 1\n```\n\n"
        "1. c\n\n   ```console\n   ls\n   ```\n\n```text\nd …\n…\n```\n"
    )

    assert blocks(text) == [
        Block(4, "python", "x = 1\n", {"file": "b.py"}),
        Block(10, "console", "ls\n"),
        Block(14, "text", "d …\n…\n"),
    ]


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("a\n", "a\n", True),
        ("a\n", "b\n", False),
        ("a … c\n", "a b c\n", True),
        ("a\n…\nc\n", "a\nb\nb\nc\n", True),
        ("a\n…\nc\n", "a\nc\n", True),
        ("a\n…\n", "b\n", False),
        ("a.b\n", "axb\n", False),
        ("a\n", "a\nb\n", False),
    ],
)
def test_what_is_printed_is_compared(expected: str, printed: str, same: bool) -> None:
    assert bool(expected_text(expected).fullmatch(printed)) is same
