"""Many processes: exclusion, hand-over after SIGKILL, fairness, forks, stopped owners, other programs."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock, Timeout
from lock_crew import (
    PATIENCE_S,
    Mate,
    be_interrupted,
    churn,
    count,
    crew,
    eventually,
    fork_and_die,
    fork_and_release,
    hold,
    take_turns,
    wait,
    waiting,
)

from oarlock.errors import FencedOut, LockTimeout
from oarlock.locking import Lock, is_alive


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The lock file."""
    return tmp_path / "guard.lock"


def _is_free(path: Path) -> bool:
    lock = Lock(path)
    if lock.try_acquire("see") is None:
        return False
    lock.release()
    return True


def stand_in_line(mate: Mate, path: Path, *, behind: int = 0) -> None:
    """Let it wait, and see that it does."""
    mate.hear()
    mate.say()
    assert eventually(lambda: waiting(path) == behind + 1)


def test_processes_are_excluded_and_every_epoch_is_given_once(path: Path) -> None:
    times = 300
    with crew(*[(count, path, times)] * 4) as mates:
        for mate in mates:
            mate.hear()
        for mate in mates:
            mate.say()
        epochs = sorted(epoch for mate in mates for epoch in mate.hear())

    assert int(path.with_suffix(".number").read_bytes()) == 4 * times
    assert epochs == list(range(epochs[0], epochs[0] + 4 * times))


def test_a_killed_owner_s_lock_goes_to_the_one_who_waits(path: Path) -> None:
    waits = []
    for _ in range(5):
        with crew((hold, path, "be killed"), (wait, path, None)) as (owner, waiter):
            epoch = owner.hear()
            stand_in_line(waiter, path)
            killed = time.monotonic()
            owner.kill()
            after, _ = waiter.hear()
            waits.append(time.monotonic() - killed)
        assert after == epoch + 1

    assert sorted(waits)[2] < 0.5, waits


def test_epochs_only_rise_whenever_the_owner_is_killed(path: Path) -> None:
    lock, newest, seed = Lock(path), 0, random.randrange(10**6)
    moments = random.Random(seed)
    for _ in range(15):
        mate = Mate(churn, path)
        mate.hear()
        time.sleep(moments.uniform(0, 0.01))
        mate.kill()

        with lock.hold("see", timeout_s=PATIENCE_S) as epoch:
            noted = int(path.with_suffix(".newest").read_bytes() or b"0")
            assert epoch > max(newest, noted), f"seed {seed}"
            lock.check(epoch)
        newest = epoch


def test_no_process_starves(path: Path) -> None:
    number = 6
    with crew(*[(take_turns, path, 1.5, 0.0002)] * number) as mates:
        for mate in mates:
            mate.hear()
        for mate in mates:
            mate.say()
        told = [mate.hear() for mate in mates]

    shares, waits = [turns for turns, _ in told], [longest for _, longest in told]
    # Bounds that hold on a machine with nothing to spare; the benchmark shows the figures.
    assert min(shares) > 0.2 * sum(shares) / number, shares
    assert max(waits) < 1.5, waits


def test_a_process_that_takes_the_lock_again_and_again_lets_another_in(path: Path) -> None:
    lock, waits = Lock(path), []
    with crew((take_turns, path, 1.5, 0.0004)) as (greedy,):
        greedy.hear()
        greedy.say()
        assert eventually(lambda: lock.owner() is not None)
        while not greedy.pipe.poll():
            started = time.monotonic()
            with lock.hold("now and then", timeout_s=PATIENCE_S):
                waits.append(time.monotonic() - started)
            time.sleep(0.005)

    # Two of its quanta, and time for two processes to wake on a machine with nothing to spare.
    assert sorted(waits)[len(waits) // 2] < 0.02, waits


def test_a_stopped_or_killed_waiter_at_the_head_of_the_line_does_not_block_the_rest(path: Path) -> None:
    lock = Lock(path)
    lock.acquire("let a line form", timeout_s=1)
    with crew((wait, path, None), (wait, path, None), (wait, path, None)) as (first, second, third):
        stand_in_line(first, path)
        first.signal(signal.SIGSTOP)
        stand_in_line(second, path, behind=1)
        second.kill()
        stand_in_line(third, path, behind=2)

        lock.release()
        third_epoch, waited_s = third.hear()
        third.say()
        third.end()
        first.signal(signal.SIGCONT)
        first_epoch, _ = first.hear()

    assert waited_s < 5
    assert first_epoch > third_epoch


def test_a_timeout_names_the_process_that_holds(path: Path) -> None:
    with crew((hold, path, "load games")) as (owner,):
        owner.hear()
        with pytest.raises(LockTimeout, match=rf"worker mate, pid {owner.pid} .*for 'load games'"):
            Lock(path).acquire("wait", timeout_s=0.1)


def test_a_wait_that_was_given_up_leaves_nothing_behind(path: Path) -> None:
    with crew((hold, path, "hold"), (wait, path, 0.1)) as (owner, waiter):
        owner.hear()
        stand_in_line(waiter, path)
        error, waited_s = waiter.hear()
        owner.say()
        owner.hear()

        assert isinstance(error, LockTimeout)
        assert 0.1 <= waited_s < 5
        assert _is_free(path)
        waiter.say()
        waiter.hear()
        assert not _is_free(path)


def test_ctrl_c_ends_a_wait_without_a_bound(path: Path) -> None:
    with crew((hold, path, "hold"), (wait, path, None)) as (owner, waiter):
        owner.hear()
        stand_in_line(waiter, path)
        waiter.signal(signal.SIGINT)
        said, _ = waiter.hear()
        owner.say()

        assert said == "interrupted"
        waiter.say()
        assert waiter.hear() > 0


def test_ctrl_c_at_any_moment_leaves_the_lock_free(path: Path) -> None:
    with crew((be_interrupted, path, 60)) as (mate,):
        mate.hear()
        while not mate.pipe.poll(0.002):
            mate.signal(signal.SIGINT)
        held, tried = mate.hear()

    assert held is False
    assert tried is not None


def test_a_process_without_a_descriptor_for_a_bell_waits_all_the_same(path: Path) -> None:
    with crew((wait, path, None, True)) as (waiter,):
        waiter.hear()
        lock = Lock(path)
        epoch = lock.acquire("hold", timeout_s=PATIENCE_S)
        waiter.say()
        assert not waiter.pipe.poll(0.1)
        assert waiting(path) == 0
        lock.release()
        after, _ = waiter.hear()

    assert after == epoch + 1


@pytest.mark.parametrize("hook", [True, False], ids=["as it is", "the mutant without the hook"])
def test_a_forked_child_does_not_keep_a_dead_owner_s_lock(path: Path, hook: bool) -> None:
    with crew((fork_and_die, path, hook)) as (owner,):
        child = owner.hear()
        assert not _is_free(path)
        owner.kill()
        try:
            assert eventually(lambda: _is_free(path), within_s=PATIENCE_S if hook else 0.3) is hook
            assert not is_alive(path.with_suffix(".alive"))
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("hook", [True, False], ids=["as it is", "the mutant without the hook"])
def test_a_forked_child_can_neither_drop_the_owner_s_lock_nor_commit_with_it(path: Path, hook: bool) -> None:
    with crew((fork_and_release, path, hook)) as (owner,):
        said = owner.hear()

        assert (said == "fenced out") is hook
        assert (not _is_free(path)) is hook
        assert is_alive(path.with_suffix(".alive"))


def test_a_started_program_does_not_inherit_the_lock(path: Path) -> None:
    lock = Lock(path)
    lock.acquire("start a program", timeout_s=1)
    program = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    try:
        lock.close()
        # The kernel lets the parent go on a moment before it closes what exec closes.
        assert eventually(lambda: _is_free(path))
        assert program.poll() is None
    finally:
        program.communicate(b"\n")


def test_a_lock_of_another_program_excludes_ours_and_ours_its(path: Path) -> None:
    lock, other = Lock(path), FileLock(path)

    with other:
        assert lock.try_acquire("be excluded") is None
        with pytest.raises(LockTimeout, match=rf"pid {os.getpid()} "):
            lock.acquire("be excluded", timeout_s=0.05)
        owner = lock.owner()
    with lock.hold("exclude", timeout_s=1) as epoch:
        with pytest.raises(Timeout):
            other.acquire(timeout=0)
        lock.check(epoch)

    assert owner is not None
    assert (owner.pid, owner.why, owner.epoch) == (os.getpid(), "", 0)
    with other:
        pass
    assert lock.try_acquire("the epoch survived") == epoch + 1


def test_a_stopped_owner_whose_lock_file_was_replaced_cannot_commit(path: Path) -> None:
    with crew((hold, path, "be stopped")) as (owner,):
        epoch = owner.hear()
        owner.say("check")
        assert owner.hear() == "passed"
        owner.signal(signal.SIGSTOP)

        path.with_name("new").touch()
        path.with_name("new").replace(path)
        with Lock(path).hold("take over", timeout_s=PATIENCE_S) as newest:
            owner.signal(signal.SIGCONT)
            owner.say("check")
            during = owner.hear()
        owner.say("check")
        after = owner.hear()

    assert newest == epoch + 1
    for refusal in (during, after):
        assert isinstance(refusal, FencedOut)
        assert (refusal.epoch, refusal.newest) == (epoch, newest)


def test_a_waiter_turns_to_the_file_that_replaced_the_one_it_waits_for(path: Path) -> None:
    with crew((hold, path, "be stopped"), (wait, path, None)) as (owner, waiter):
        epoch = owner.hear()
        stand_in_line(waiter, path)
        owner.signal(signal.SIGSTOP)

        path.unlink()
        after, _ = waiter.hear()

    assert after == epoch + 1


def test_a_waiter_is_not_handed_a_file_that_its_owner_moved_away(path: Path) -> None:
    lock = Lock(path)
    with crew((wait, path, None)) as (waiter,):
        with lock.hold("move", timeout_s=PATIENCE_S) as epoch:
            stand_in_line(waiter, path)
            path.rename(path.with_name("trash"))
        after, _ = waiter.hear()

        assert after == epoch + 1
        assert not _is_free(path)
