"""Kill at every point of a run: nothing is lost, doubled, stuck or left over after one restart and the next run."""

from __future__ import annotations

import pytest
from mutants import MUTANTS
from scenarios import scenarios
from sweeper import EVERY, Sweeper, clean

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]
NAMES = [name for name in scenarios() if name != "second-try"]


@pytest.mark.parametrize("name", NAMES)
def test_a_kill_at_any_point_loses_and_doubles_nothing(name: str, sweeper: Sweeper) -> None:
    """SIGKILL before and after each call that changes a file, and in the middle of each write."""
    clean(sweeper.sweep(name=name))


@pytest.mark.parametrize("name", ["columns", "steps"])
def test_a_kill_during_the_recovery_of_a_kill_loses_and_doubles_nothing(name: str, sweeper: Sweeper) -> None:
    clean(sweeper.sweep(name=name, every=EVERY * 5, twice=EVERY * 3))


@pytest.mark.parametrize("kind", ["held", "overtaken"])
def test_a_program_that_is_held_anywhere_stops_nobody_for_good(kind: str, sweeper: Sweeper) -> None:
    """Another worker does its work, or is told who is in its way; then the held one goes on, or is fenced out."""
    clean(sweeper.sweep(name="columns", kinds=[kind], every=EVERY + 2))


@pytest.mark.parametrize("rule", list(MUTANTS))
def test_the_sweep_finds_a_mutant_that_breaks_a_rule(rule: str, sweeper: Sweeper) -> None:
    told = sweeper.sweep(mutant=rule, every=3)

    assert told["found"][MUTANTS[rule].finds] > 0
