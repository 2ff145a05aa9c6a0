"""Calls that fail: a full disk, a broken one, short writes. The error says why, and afterwards nothing is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from full_disk import NOT_ALLOWED
from sweeper import EVERY, Sweeper, clean

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]
#: Bytes that the disk has left when the run begins: from nothing to plenty.
ROOM = [0, 4096, 16_384, 40_000, 80_000, 160_000, 320_000, 640_000, 1_000_000, 4_000_000]


@pytest.mark.parametrize("kind", ["full", "broken"])
def test_one_call_fails_and_the_same_process_can_try_again(kind: str, sweeper: Sweeper) -> None:
    """ENOSPC or EIO once, at each call; unless the error asks for a new process, the next run of this one works."""
    clean(sweeper.sweep(name="second-try", kinds=[kind], every=max(1, EVERY // 2)))


@pytest.mark.parametrize("kind", ["interrupted", "no-descriptor"])
def test_a_signal_or_a_lack_of_descriptors_does_no_harm(kind: str, sweeper: Sweeper) -> None:
    clean(sweeper.sweep(name="second-try", kinds=[kind], every=max(1, EVERY // 3)))


@pytest.mark.parametrize("name", ["first", "steps", "drop"])
def test_one_call_fails_and_a_restart_goes_on(name: str, sweeper: Sweeper) -> None:
    clean(sweeper.sweep(name=name, kinds=["full", "broken"], every=EVERY))


def test_the_disk_stays_full_until_the_restart(sweeper: Sweeper) -> None:
    """From one call on, everything that needs room fails."""
    clean(sweeper.sweep(name="columns", kinds=["full"], sticky=True, every=EVERY))


def test_the_disk_stays_broken_until_the_restart(sweeper: Sweeper) -> None:
    clean(sweeper.sweep(name="columns", kinds=["broken"], sticky=True, every=EVERY))


def test_short_writes_are_written_to_their_ends(sweeper: Sweeper) -> None:
    """The system may write a part and say so; that is no error, and none may come of it."""
    told = sweeper.sweep(name="columns", kinds=["short"], every=max(1, EVERY // 4))

    clean(told)
    assert told["errors"] == []


def test_a_disk_that_is_really_full_is_survived() -> None:
    """Ten sizes of a small disk of its own: the error names the reason, and with room everything is there once."""
    command = [sys.executable, str(Path(__file__).with_name("full_disk.py")), *map(str, ROOM)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    if ended.returncode == NOT_ALLOWED:
        pytest.skip(f"a disk of its own is not to be had here: {ended.stderr.strip()}")

    assert ended.returncode == 0, ended.stderr
    told = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [one["room"] for one in told] == ROOM
    assert [one["found"] for one in told] == [[]] * len(ROOM)
    refused = [one for one in told if one["raised"]]
    reasons = ("disk is full", "No space left", "bytes left")
    assert all(any(reason in one["raised"] for reason in reasons) for one in refused), refused
    assert all(one["finished"] and one["said"] for one in told if not one["raised"])
    assert refused
    assert len(refused) < len(told)
