"""One process: what the lock promises to the threads and the programmer in it."""

from __future__ import annotations

import os
import pickle
import stat
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from lock_crew import PATIENCE_S, report

from oarlock.errors import LockFileRefused, LockMisuse, LockTimeout
from oarlock.locking import Lock, Owner


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The lock file."""
    return tmp_path / "guard.lock"


class _NoTurn:
    """The mutant: a turn among threads that everyone gets."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        return True

    def release(self) -> None:
        pass


def _overlaps(lock: Lock, *, threads: int = 4, times: int = 60) -> int:
    """Let threads use one lock object, and count how often two were inside."""
    inside: list[int] = []
    overlaps: list[int] = []
    start = threading.Barrier(threads)
    with lock.hold("open the files", timeout_s=1):
        pass

    def work() -> None:
        start.wait()
        for _ in range(times):
            try:
                lock.acquire("count", timeout_s=PATIENCE_S)
            except LockMisuse:
                continue
            inside.append(1)
            overlaps.append(len(inside) - 1)
            time.sleep(0.0005)
            inside.pop()
            try:
                lock.release()
            except LockMisuse:
                continue

    crew = [threading.Thread(target=work) for _ in range(threads)]
    for each in crew:
        each.start()
    for each in crew:
        each.join()
    return sum(overlaps)


def _is_free_for_another_thread(lock: Lock) -> bool:
    tried: list[int | None] = []

    def work() -> None:
        tried.append(lock.try_acquire("see"))
        if tried[0] is not None:
            lock.release()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return tried[0] is not None


def test_an_epoch_is_one_higher_at_every_acquisition_by_any_lock_object(path: Path) -> None:
    ours, theirs = Lock(path), Lock(path)

    epochs = []
    for lock in (ours, ours, theirs, ours, theirs, theirs):
        with lock.hold("count", timeout_s=1) as epoch:
            epochs.append(epoch)
    tried = ours.try_acquire("try")

    assert [*epochs, tried] == list(range(epochs[0], epochs[0] + 7))
    assert theirs.newest_epoch() == tried


def test_nothing_is_opened_before_the_first_acquisition(path: Path) -> None:
    lock = Lock(path)

    seen = (lock.owner(), lock.newest_epoch(), lock.held_by_me())

    assert seen == (None, 0, False)
    assert list(path.parent.iterdir()) == []


def test_a_lock_does_not_nest_and_says_so(path: Path) -> None:
    lock = Lock(path)

    with lock.hold("outer", timeout_s=1) as epoch:
        with pytest.raises(LockMisuse, match="already held by this thread"):
            lock.acquire("inner", timeout_s=1)
        with pytest.raises(LockMisuse, match="already held by this thread"):
            lock.try_acquire("inner")
        with pytest.raises(LockMisuse, match="already held by this thread"), lock.hold("inner", timeout_s=1):
            pass
        assert lock.held_by_me()
        lock.check(epoch)

    assert not lock.held_by_me()


def test_only_the_thread_that_has_the_lock_gives_it_back(path: Path) -> None:
    lock, raised = Lock(path), []

    def steal() -> None:
        try:
            lock.release()
        except LockMisuse as error:
            raised.append(error)

    with pytest.raises(LockMisuse):
        lock.release()
    with lock.hold("keep", timeout_s=1):
        thief = threading.Thread(target=steal)
        thief.start()
        thief.join()
        assert lock.held_by_me()

    assert len(raised) == 1


def test_threads_are_excluded(path: Path) -> None:
    assert _overlaps(Lock(path)) == 0


def test_the_same_check_finds_a_lock_without_the_turn_among_threads(path: Path) -> None:
    lock: Any = Lock(path)
    lock._turn = lock._gate = _NoTurn()

    assert _overlaps(lock) > 0


def test_no_thread_starves(path: Path) -> None:
    lock, shares, end = Lock(path), [0] * 4, time.monotonic() + 1.0

    def work(number: int) -> None:
        while time.monotonic() < end:
            with lock.hold("take turns", timeout_s=PATIENCE_S):
                shares[number] += 1

    crew = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for each in crew:
        each.start()
    for each in crew:
        each.join()

    assert min(shares) > 0.1 * max(shares), shares


def test_a_timeout_names_the_owner_and_keeps_its_bound(path: Path) -> None:
    holder, waiter = Lock(path, worker="w-1"), Lock(path, name="the guard")
    with holder.hold("load games", timeout_s=1):
        started = time.monotonic()
        with pytest.raises(LockTimeout) as caught:
            waiter.acquire("wait", timeout_s=0.2)
        waited_s = time.monotonic() - started

    assert 0.2 <= waited_s < 5
    assert _is_free_for_another_thread(waiter)
    assert "'the guard'" in str(caught.value)
    assert f"worker w-1, pid {os.getpid()}" in str(caught.value)
    assert "for 'load games'" in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_thread_that_waits_for_another_thread_is_told_the_owner_too(path: Path) -> None:
    lock, raised = Lock(path), []

    def wait() -> None:
        try:
            lock.acquire("wait", timeout_s=0.05)
        except LockTimeout as error:
            raised.append(str(error))

    with lock.hold("load games", timeout_s=1):
        waiter = threading.Thread(target=wait)
        waiter.start()
        waiter.join()

    assert "for 'load games'" in raised[0]


def test_no_time_at_all_is_one_try(path: Path) -> None:
    holder, other = Lock(path), Lock(path)
    with holder.hold("hold", timeout_s=0):
        with pytest.raises(LockTimeout):
            other.acquire("try", timeout_s=0)
        assert other.try_acquire("try") is None

    assert other.acquire("try", timeout_s=0) == holder.newest_epoch()


def test_a_long_wait_is_reported_while_it_lasts(path: Path) -> None:
    told: list[tuple[str, float, Owner | None]] = []
    holder, waiter = Lock(path), Lock(path, on_wait=report(told))
    with holder.hold("load games", timeout_s=1):
        with pytest.raises(LockTimeout):
            waiter.acquire("wait", timeout_s=1.3)

    [(name, waited_s, owner)] = told
    assert name == "guard"
    assert waited_s >= 1
    assert owner is not None
    assert owner.why == "load games"


def test_a_listener_that_fails_leaves_nothing_held(path: Path) -> None:
    def fail(name: str, waited_s: float, owner: Owner | None) -> None:
        raise ValueError(name)

    holder, waiter = Lock(path), Lock(path, on_wait=fail)
    with holder.hold("load games", timeout_s=1):
        with pytest.raises(ValueError, match="guard"):
            waiter.acquire("wait", timeout_s=10)

    assert _is_free_for_another_thread(waiter)


def test_the_owner_is_known_while_the_lock_is_held_and_not_after(path: Path) -> None:
    lock, other = Lock(path, worker="w-1"), Lock(path)
    before = time.time()

    with lock.hold("a reason of " + "ü" * 300, timeout_s=1) as epoch:
        owner, seen_from_here = other.owner(), lock.owner()
    with Lock(path.with_name("another.lock")).hold("something else", timeout_s=1):
        assert other.owner() is None

    assert owner is not None
    assert seen_from_here is not None
    assert (owner.pid, owner.worker, owner.epoch) == (os.getpid(), "w-1", epoch)
    assert seen_from_here.epoch == epoch
    assert owner.why.startswith("a reason of üüü")
    assert before - 1 <= owner.since <= time.time() + 1
    assert "--" not in owner.command


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_the_files_are_private_whatever_the_umask(path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with Lock(path).hold("make the files", timeout_s=1):
            pass
    finally:
        os.umask(before)

    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert modes == {"guard.lock": 0o600, "guard.owner": 0o600}


@pytest.mark.parametrize("name", ["guard.lock", "guard.owner"])
@pytest.mark.parametrize("kind", ["link", "dangling link", "folder", "pipe"])
def test_what_is_no_plain_file_is_refused_and_not_touched(path: Path, name: str, kind: str) -> None:
    target = path.with_name("precious")
    target.write_text("precious")
    place = path.with_name(name)
    if kind == "link":
        place.symlink_to(target)
    elif kind == "dangling link":
        place.symlink_to(path.with_name("nowhere"))
    elif kind == "folder":
        place.mkdir()
    else:
        os.mkfifo(place)

    with pytest.raises(LockFileRefused, match=name):
        Lock(path).acquire("be fooled", timeout_s=1)

    assert target.read_text() == "precious"
    assert not path.with_name("nowhere").exists()


def test_a_lock_file_that_was_replaced_is_noticed_at_the_next_acquisition(path: Path) -> None:
    ours, theirs = Lock(path), Lock(path)
    with ours.hold("before", timeout_s=1):
        pass

    path.with_name("new").touch()
    path.with_name("new").replace(path)

    with theirs.hold("after", timeout_s=1):
        assert ours.try_acquire("the old file is of no use") is None
        with pytest.raises(LockTimeout):
            ours.acquire("the old file is of no use", timeout_s=0.05)
    assert ours.try_acquire("the new file") == theirs.newest_epoch()


def test_a_folder_that_was_replaced_whole_is_noticed(path: Path) -> None:
    folder = path.parent / "pipeline"
    folder.mkdir()
    ours = Lock(folder / "guard.lock")
    with ours.hold("before", timeout_s=1) as before:
        pass

    folder.rename(path.parent / "trash")
    folder.mkdir()
    time.sleep(0.002)  # a quantum: until then the epoch check at the commit is what notices
    with Lock(folder / "guard.lock").hold("after", timeout_s=1) as after:
        assert ours.try_acquire("the old file is of no use") is None

    assert after > before


def test_a_lock_travels_as_its_name_and_arrives_unheld(path: Path) -> None:
    lock = Lock(path, name="the guard", worker="w-1")
    with lock.hold("travel", timeout_s=1):
        arrived = pickle.loads(pickle.dumps(lock))
        assert not arrived.held_by_me()
        assert arrived.try_acquire("excluded") is None

    assert (arrived.path, arrived.name, arrived.worker) == (path, "the guard", "w-1")
    assert arrived.try_acquire("free") is not None
    arrived.close()


def test_closing_gives_the_lock_back_and_leaves_no_descriptor(path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    lock = Lock(path)
    lock.acquire("close", timeout_s=1)
    lock.close()

    assert set(os.listdir("/proc/self/fd")) == before
    with Lock(path).hold("free", timeout_s=1):
        pass
    assert lock.try_acquire("opened again") is not None
