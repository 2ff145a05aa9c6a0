"""The tracer itself: it stops at every call that changes a file, and does there what it is asked to."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from syscalls import this_machine
from tracing import Call, Ending, Fail, Fault, Hold, Kill, Shorten, Tear, fork, trace

pytestmark = pytest.mark.skipif(this_machine() is None, reason="Linux on x86_64 and aarch64 only")
Say = Callable[[Any], None]


def _program(folder: Path) -> Callable[[Say], None]:
    """Create, write twice, rename; in a thread of its own make a folder; remove both."""

    def program(say: Say) -> None:
        descriptor = os.open(folder / "a", os.O_CREAT | os.O_WRONLY, 0o600)
        say(os.write(descriptor, b"x" * 100))
        say(os.write(descriptor, b"y" * 100))
        os.close(descriptor)
        os.rename(folder / "a", folder / "b")
        thread = threading.Thread(target=os.mkdir, args=(folder / "d",))
        thread.start()
        thread.join()
        inside = os.open(folder, os.O_RDONLY)
        os.rmdir("d", dir_fd=inside)
        try:
            os.unlink(folder / "b")
        except OSError as error:
            say(error.errno)

    return program


class _At:
    """Gives a fault at the n-th call in a folder, and lists the calls."""

    def __init__(self, folder: Path, number: int = 0, fault: Fault | None = None) -> None:
        self._folder, self._number, self._fault = folder, number, fault
        self.calls: list[str] = []

    def __call__(self, call: Call) -> Fault | None:
        if not any(file.startswith(str(self._folder)) for file in call.files):
            return None
        self.calls.append(f"{call.name.removesuffix('at')} {os.path.basename(call.files[-1])}")
        return self._fault if len(self.calls) == self._number else None


def _sizes(folder: Path) -> dict[str, int]:
    return {name: (folder / name).stat().st_size if (folder / name).is_file() else -1 for name in os.listdir(folder)}


def test_every_call_that_changes_a_file_is_stopped_at_in_all_threads(tmp_path: Path) -> None:
    at = _At(tmp_path)

    ending = trace(_program(tmp_path), at)

    assert ending.finished
    assert ending.said == [100, 100]
    assert at.calls == ["open a", "write a", "write a", "rename b", "mkdir d", "unlink d", "unlink b"] or at.calls == [
        *("open a", "write a", "write a", "rename b", "mkdir d", "rmdir d", "unlink b")
    ]


@pytest.mark.parametrize(
    ("number", "fault", "left"),
    [
        (1, Kill(), {}),
        (1, Kill(after=True), {"a": 0}),
        (2, Kill(), {"a": 0}),
        (2, Kill(after=True), {"a": 100}),
        (3, Tear(0.3), {"a": 130}),
        (4, Kill(), {"a": 200}),
        (4, Kill(after=True), {"b": 200}),
        (5, Kill(), {"b": 200}),
        (5, Kill(after=True), {"b": 200, "d": -1}),
        (7, Kill(after=True), {}),
    ],
)
def test_a_kill_leaves_what_was_done_before_it(number: int, fault: Fault, left: dict[str, int], tmp_path: Path) -> None:
    ending = trace(_program(tmp_path), _At(tmp_path, number, fault))

    assert ending.killed
    assert not ending.finished
    assert os.WIFSIGNALED(ending.status)
    assert _sizes(tmp_path) == left


def test_a_call_that_fails_is_not_made_and_returns_the_error(tmp_path: Path) -> None:
    ending = trace(_program(tmp_path), _At(tmp_path, 7, Fail(errno.EIO)))

    assert ending.finished
    assert ending.said == [100, 100, errno.EIO]
    assert _sizes(tmp_path) == {"b": 200}


def test_an_error_nobody_catches_is_told(tmp_path: Path) -> None:
    ending = trace(_program(tmp_path), _At(tmp_path, 2, Fail(errno.ENOSPC)))

    assert not ending.finished
    assert "No space left on device" in str(ending.error)


def test_a_short_write_is_written_in_part_and_says_so(tmp_path: Path) -> None:
    ending = trace(_program(tmp_path), _At(tmp_path, 2, Shorten(0.5)))

    assert ending.said == [50, 100]


def test_a_held_program_waits_and_goes_on(tmp_path: Path) -> None:
    seen: list[Ending] = []

    def meanwhile() -> None:
        seen.append(fork(lambda say: say(sorted(os.listdir(tmp_path)))))

    ending = trace(_program(tmp_path), _At(tmp_path, 4, Hold(meanwhile)))

    assert ending.finished
    assert [one.said for one in seen] == [[["a"]]]


def test_a_program_that_does_not_end_is_ended(tmp_path: Path) -> None:
    def program(say: Say) -> None:
        threading.Event().wait()

    ending = trace(program, _At(tmp_path), deadline_s=0.2)

    assert ending.stuck
    assert not ending.finished
