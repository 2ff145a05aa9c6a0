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
from pathlib import Path

from lane import KILLS, Lane
from results import Point, Result, Tally, points, read_results, write_result
from scenarios import Scenario
from tracing import fork


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


def sweep(
    scenario: Scenario,
    top: Path,
    *,
    kinds: tuple[str, ...] = KILLS,
    every: int = 1,
    sticky: bool = False,
    lanes: int = 1,
    mutate: Callable[[], None] = lambda: None,
    until_found: bool = False,
) -> Tally:
    """Sweep one scenario: every k-th point, and until the program comes to its end unharmed.

    Args:
        mutate: run in each child first; a mutant of the code is swept in its place.
        until_found: end each lane with its first finding.
    """
    tally = Tally(f"{scenario.name} ({'/'.join(kinds)}{', sticky' if sticky else ''})")
    begun = []
    for at in range(lanes):
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            _be_lane(scenario, top / f"lane-{at}", kinds, every, sticky, slice(at, None, lanes), mutate, until_found)
        begun.append((pid, top / f"lane-{at}"))
    for pid, folder in begun:
        _, status = os.waitpid(pid, 0)
        if status:
            raise AssertionError(f"a lane of sweep {scenario.name!r} broke: {(folder / 'broke').read_text()}")
        for result in read_results(folder / "results"):
            tally.add(result)
        shutil.rmtree(folder)
    return tally


def _be_lane(
    scenario: Scenario,
    top: Path,
    kinds: tuple[str, ...],
    every: int,
    sticky: bool,
    part: slice,
    mutate: Callable[[], None],
    until_found: bool,
) -> None:
    code = 1
    try:
        lane = Lane(scenario, top, mutate=mutate)
        names = lane.count(kinds[0])
        found = False
        for point in points(names, kinds, every=every, sticky=sticky)[part]:
            found = _take(lane, point, top) or found
            if found and until_found:
                break
        if part.start == 0 and not found:
            # A program makes a few calls more or less each time: go on until none is left.
            beyond = len(names) + 1
            while not _take(lane, Point(beyond, kinds[0], sticky), top) and lane.reached:
                beyond += 1
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
