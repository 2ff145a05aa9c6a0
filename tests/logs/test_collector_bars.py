"""The faces with bars, on a real terminal and where there is none."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import termios
import time

import pytest

from oarlock.logs.faces.choice import resolve_collector

#: What a user's program does: two counters, a total that rises, a label, a message, in two steps.
PROGRAM = """
import sys
from oarlock import progress
collector = progress.{name}({options})
for step in ("Extract movies", "Load movies"):
    with collector(step):
        collector.update("Resources", 0, total=2)
        collector.update("reviews", 700, message="busy")
        collector.update("Resources", 1)
        collector.update("Resources", 0, inc_total=1)
        collector.update("reviews", 42, label="late")
        collector.update("Resources", 2)
print("done", file=sys.stderr)
"""
NAMES = ("tqdm", "enlighten", "alive_progress")


def _on_terminal(program: str, **environ: str) -> str:
    """Run a program on a terminal of its own; everything that appeared there."""
    leader, follower = pty.openpty()
    termios.tcsetwinsize(leader, (40, 160))
    env = {**os.environ, "TERM": "xterm-256color", **environ}
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=follower, stdout=follower, stderr=follower, env=env
    )
    os.close(follower)
    seen = b""
    end = time.monotonic() + 30
    try:
        while time.monotonic() < end:
            if not select.select([leader], [], [], 0.1)[0]:
                continue
            try:
                piece = os.read(leader, 65536)
            except OSError:
                break  # the last process on the terminal ended
            if not piece:
                break
            seen += piece
            if b"\x1b[6n" in piece:
                os.write(leader, b"\x1b[1;1R")  # a real terminal tells where its cursor is
        assert process.wait(timeout=10) == 0, seen
    finally:
        process.kill()
        process.wait()
        os.close(leader)
    return seen.decode("utf-8", "replace")


@pytest.mark.parametrize("name", NAMES)
def test_a_face_draws_on_a_terminal_and_leaves_it_usable(name: str) -> None:
    seen = _on_terminal(PROGRAM.format(name=name, options=""))

    assert "Resources" in seen
    assert "Extract movies" in seen
    assert "Load movies" in seen
    assert "done" in seen
    assert "Traceback" not in seen
    if name != "alive_progress":
        assert "reviews (late)" in seen
        assert "busy" in seen


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("single", [True, False])
def test_one_bar_says_of_the_other_counters_how_far_they_are(name: str, single: bool) -> None:
    seen = _on_terminal(PROGRAM.format(name=name, options=f"single_bar={single}"))

    assert "Traceback" not in seen
    assert "Resources" in seen
    others = "reviews 700, reviews (late) 42" in seen
    assert others == (single if name != "alive_progress" else not single)


@pytest.mark.parametrize("name", NAMES)
def test_where_there_is_no_terminal_a_face_prints_plain_lines(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(name=name, options="")], capture_output=True, text=True, check=True
    )

    text = done.stderr if name == "tqdm" else done.stdout
    assert "Resources: 3/3 (100.0%)" in text
    assert "reviews (late): 42" in text
    assert "\x1b" not in done.stdout + done.stderr


def test_no_colour_is_drawn_for_a_user_who_wants_none() -> None:
    coloured = _on_terminal(PROGRAM.format(name="tqdm", options="colour='green'"), NO_COLOR="")
    plain = _on_terminal(PROGRAM.format(name="tqdm", options="colour='green'"), NO_COLOR="1")

    colour = re.compile(r"\x1b\[[0-9;]*m")
    assert colour.search(coloured)
    assert not colour.search(plain)


@pytest.mark.parametrize("name", NAMES)
def test_a_step_without_any_update_is_shown_without_harm(name: str) -> None:
    with resolve_collector(name)("Nothing"):
        pass
