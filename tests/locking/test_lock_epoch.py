"""The epoch and its record: what fences a former owner out, and what no damage takes back."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from oarlock.errors import FencedOut
from oarlock.locking import Lock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The lock file."""
    return tmp_path / "guard.lock"


def test_an_owner_whose_lock_file_was_replaced_is_fenced_out(path: Path) -> None:
    ours, theirs = Lock(path), Lock(path)
    with ours.hold("before", timeout_s=1) as stale:
        ours.check(stale)
        path.unlink()
        with pytest.raises(FencedOut, match="was replaced"):
            ours.check(stale)
        with theirs.hold("after", timeout_s=1) as newest:
            with pytest.raises(FencedOut):
                ours.check(stale)
            theirs.check(newest)

    assert newest == stale + 1


def test_an_epoch_that_is_not_held_is_refused(path: Path) -> None:
    lock = Lock(path)
    with lock.hold("before", timeout_s=1) as before:
        pass

    with pytest.raises(FencedOut):
        lock.check(before)
    with lock.hold("after", timeout_s=1) as after:
        with pytest.raises(FencedOut) as caught:
            lock.check(before)

    assert (caught.value.epoch, caught.value.newest) == (before, after)


def _delete(sidecar: Path) -> None:
    sidecar.unlink()


def _replace(sidecar: Path) -> None:
    sidecar.with_name("empty").touch()
    sidecar.with_name("empty").replace(sidecar)


def _empty(sidecar: Path) -> None:
    os.truncate(sidecar, 0)


def _shorten(sidecar: Path) -> None:
    os.truncate(sidecar, 20)


def _scribble(sidecar: Path) -> None:
    sidecar.write_bytes(os.urandom(4096))


def _tear(sidecar: Path) -> None:
    data = bytearray(sidecar.read_bytes())
    data[16:20] = bytes(4)  # half of the epoch
    sidecar.write_bytes(data)


DAMAGES = [_delete, _replace, _empty, _shorten, _scribble, _tear]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_is_mended_by_the_owner(path: Path, damage: Any) -> None:
    lock = Lock(path)
    with lock.hold("be damaged", timeout_s=1) as epoch:
        damage(path.with_suffix(".owner"))
        lock.check(epoch)
        owner = Lock(path).owner()

    assert owner is not None
    assert (owner.pid, owner.epoch, owner.why) == (os.getpid(), epoch, "be damaged")


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_epoch_never_goes_back_whatever_happens_to_the_record(path: Path, damage: Any) -> None:
    ours = Lock(path)
    for _ in range(3):
        with ours.hold("before", timeout_s=1) as before:
            pass
    damage(path.with_suffix(".owner"))

    time.sleep(0.002)  # a quantum, as above
    with Lock(path).hold("a fresh object", timeout_s=1) as fresh:
        pass
    with ours.hold("the old object", timeout_s=1) as after:
        ours.check(after)

    assert before < fresh < after


def test_an_old_copy_of_the_record_does_not_take_the_epoch_back(path: Path) -> None:
    lock, sidecar = Lock(path), path.with_suffix(".owner")
    with lock.hold("before", timeout_s=1):
        copy = sidecar.read_bytes()
    with lock.hold("after", timeout_s=1) as newest:
        pass
    sidecar.write_bytes(copy)

    with lock.hold("later", timeout_s=1) as later:
        lock.check(later)

    assert later == newest + 1


def test_the_epoch_is_lifted_above_what_a_store_has_met(path: Path) -> None:
    lock = Lock(path)
    with lock.hold("lift", timeout_s=1) as epoch:
        assert lock.lift(epoch - 1) == epoch
        assert lock.lift(epoch + 10) == epoch + 11
        lock.check(epoch + 11)
        with pytest.raises(FencedOut):
            lock.check(epoch)

    with lock.hold("next", timeout_s=1) as after:
        assert after == epoch + 12
