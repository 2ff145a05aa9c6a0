"""Liveness: a sign of life ends with its process, and looking at it changes nothing."""

from __future__ import annotations

import os
import signal
import stat
import threading
from pathlib import Path

import pytest
from lock_crew import crew, watch

from oarlock.errors import LockFileRefused, LockTimeout
from oarlock.locking import Alive, is_alive


def test_a_sign_ends_with_its_process_however_that_ends(tmp_path: Path) -> None:
    path = tmp_path / "w-1.lock"
    with crew((watch, path)) as (mate,):
        mate.hear()
        assert is_alive(path)
        mate.signal(signal.SIGSTOP)
        assert is_alive(path)
        mate.kill()

        assert not is_alive(path)
        assert path.exists()


def test_a_sign_that_was_closed_is_dead_while_the_process_lives(tmp_path: Path) -> None:
    path = tmp_path / "w-1.lock"
    with crew((watch, path)) as (mate,):
        mate.hear()
        mate.say()
        mate.hear()

        assert not is_alive(path)
        alive = Alive(path)
        assert is_alive(path)
        alive.close()
        assert not is_alive(path)


def test_looking_creates_nothing_and_follows_no_link(tmp_path: Path) -> None:
    target = tmp_path / "w-1.lock"
    alive = Alive(target)
    (tmp_path / "link.lock").symlink_to(target)
    (tmp_path / "folder.lock").mkdir()
    os.mkfifo(tmp_path / "pipe.lock")
    names = {each.name for each in tmp_path.iterdir()}

    seen = {name: is_alive(tmp_path / name) for name in [*names, "missing.lock"]}

    assert seen == {name: name == "w-1.lock" for name in [*names, "missing.lock"]}
    assert {each.name for each in tmp_path.iterdir()} == names
    alive.close()


def test_looking_disturbs_neither_others_who_look_nor_those_who_begin(tmp_path: Path) -> None:
    path = tmp_path / "w-1.lock"
    Alive(path).close()
    stop, seen = threading.Event(), set()

    def look() -> None:
        while not stop.is_set():
            seen.add(is_alive(path))

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for each in lookers:
        each.start()
    try:
        for _ in range(300):
            seen.add(is_alive(path))
        assert seen == {False}
        for _ in range(100):
            alive = Alive(path)
            assert is_alive(path)
            alive.close()
    finally:
        stop.set()
        for each in lookers:
            each.join()


def test_one_sign_is_one_process_s(tmp_path: Path) -> None:
    path = tmp_path / "w-1.lock"
    alive = Alive(path)

    with pytest.raises(LockTimeout, match=r"w-1\.lock"):
        Alive(path)

    assert is_alive(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    alive.close()


def test_a_link_in_the_sign_s_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w-1.lock").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(LockFileRefused, match="symbolic link"):
        Alive(tmp_path / "w-1.lock")

    assert not (tmp_path / "elsewhere").exists()
