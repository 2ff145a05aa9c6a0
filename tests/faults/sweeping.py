"""The sweep: a fault at every point of a program until none is left, on several lanes side by side.

Everything is forked from one warm parent, which has imported all that a run needs and has opened nothing.
"""

from __future__ import annotations

import gc
import importlib
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lane import KILLS, Lane
from results import Point, Result, Tally, points, read_results, write_result
from scenario import Scenario
from tracing import die_with_parent, fork


def warm(scenario: Scenario, top: Path) -> None:
    """Import what a run imports on its way, as seen in a child that runs the scenario once."""

    def learn(say: Callable[[object], None]) -> None:
        lane = Lane(scenario, top)
        lane.box.enter()
        scenario.act(lane.box, lambda value: None)
        say(sorted(sys.modules))

    ending = fork(learn)
    if not ending.said:
        raise AssertionError(f"{scenario.name!r} cannot be run: {ending.error}")
    for name in ending.said[-1]:
        with suppress(ImportError):
            importlib.import_module(name)
    shutil.rmtree(top, ignore_errors=True)
    gc.collect()
    gc.freeze()


@dataclass(frozen=True)
class Plan:
    """What is swept, and how thoroughly."""

    kinds: tuple[str, ...] = KILLS
    every: int = 1
    #: A failing call fails ever after.
    sticky: bool = False
    #: Patterns of the calls between which the points are; the whole program if they are not given.
    between: tuple[str, str] | None = None
    #: Kill the restart too, at every so-manieth point of it; 0 for not at all.
    twice: int = 0
    #: End each lane with its first finding.
    until_found: bool = False
    #: Run in each child first: a mutant of the code is swept in its place.
    mutate: Callable[[], None] = lambda: None


def sweep(scenario: Scenario, top: Path, plan: Plan, *, lanes: int = 1) -> Tally:
    """Sweep one scenario: every k-th point, and until the program comes to its end unharmed."""
    tally = Tally(
        f"{scenario.name} ({'/'.join(plan.kinds)}{', sticky' if plan.sticky else ''}{', twice' if plan.twice else ''})"
    )
    begun = []
    for at in range(lanes):
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            _be_lane(scenario, top / f"lane-{at}", plan, slice(at, None, lanes))
        begun.append((pid, top / f"lane-{at}"))
    for pid, folder in begun:
        _, status = os.waitpid(pid, 0)
        if status:
            raise AssertionError(f"a lane of sweep {scenario.name!r} broke: {(folder / 'broke').read_text()}")
        for result in read_results(folder / "results"):
            tally.add(result)
        shutil.rmtree(folder)
    return tally


def _be_lane(scenario: Scenario, top: Path, plan: Plan, mine: slice) -> None:
    code = 1
    die_with_parent()
    try:
        lane = Lane(scenario, top, mutate=plan.mutate)
        calls = lane.count(plan.kinds[0])
        part = {} if plan.between is None else {"between": plan.between}
        found = False
        for point in points(calls, plan.kinds, every=plan.every, sticky=plan.sticky, **part)[mine]:
            found = (_take_twice(lane, point, plan.twice, top) if plan.twice else _take(lane, point, top)) or found
            if found and plan.until_found:
                break
        if mine.start == 0 and plan.between is None and not found and not plan.twice:
            # A program makes a few calls more or less each time: go on until none is left.
            beyond = len(calls) + 1
            while not _take(lane, Point(beyond, plan.kinds[0], plan.sticky), top) and lane.reached:
                beyond += 1
        lane.close()
        code = 0
    except BaseException:
        (top / "broke").write_text(traceback.format_exc())
    finally:
        os._exit(code)


def _take(lane: Lane, point: Point, top: Path) -> bool:
    result: Result = lane.take(point)
    if result.reached or result.findings:
        write_result(top / "results", result)
    return bool(result.findings)


def _take_twice(lane: Lane, point: Point, every: int, top: Path) -> bool:
    """Kill at a point, and the restart at every so-manieth of its own, until it comes to its end."""
    found, number = False, 1 + point.number % every
    while True:
        result = lane.take_twice(point, Point(number, "before"))
        if not result.reached:
            return found
        write_result(top / "results", result)
        found = found or bool(result.findings)
        number += every
