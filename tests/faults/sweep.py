"""Run sweeps: by hand with ``python tests/faults/sweep.py append --every 1``, or for the tests, line by line."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mutants import MUTANTS
from scenarios import scenarios
from sweeping import Plan, sweep, warm
from tracing import die_with_parent

sys.dont_write_bytecode = True


def answer(asked: dict[str, Any], top: Path) -> dict[str, Any]:
    """Do one sweep as it was asked for, and tell of it in plain values."""
    known = scenarios()
    mutant = MUTANTS[asked["mutant"]] if asked.get("mutant") else None
    scenario = known[mutant.scenario if mutant is not None else asked["name"]]
    plan = Plan(
        kinds=tuple(asked.get("kinds") or Plan.kinds),
        every=asked["every"],
        sticky=asked.get("sticky", False),
        twice=asked.get("twice", 0),
        until_found=asked.get("until_found", mutant is not None),
        between=mutant.between if mutant is not None else None,
        **({"mutate": mutant.mutate} if mutant is not None else {}),
    )
    started = time.monotonic()
    tally = sweep(scenario, top / "sweep", plan, lanes=asked.get("lanes", 1))
    return {
        "told": f"{tally} in {time.monotonic() - started:.1f} s",
        "points": tally.points,
        "found": {kind: tally.count(kind) for kind in ("lost", "dup", "stuck", "litter", "bad")},
        "lines": list(tally.lines()),
        "errors": sorted({result.told.strip().splitlines()[-1][:300] for result in tally.every if result.told}),
    }


def serve(top: Path) -> None:
    """Answer on stdout, line by line, what is asked on stdin; the end of stdin is the end."""
    die_with_parent()
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line), top)), flush=True)


def by_hand(top: Path, arguments: list[str]) -> int:
    """Sweep what is named and print a line for each; 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(scenarios()))
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--kinds", default="before,after,torn", help="or full, broken, short, held, overtaken")
    parser.add_argument("--sticky", action="store_true")
    parser.add_argument("--twice", type=int, default=0, help="kill the restart too, at every so-manieth point")
    parser.add_argument("--lanes", type=int, default=1)
    parser.add_argument("--until-found", action="store_true")
    parser.add_argument("--errors", action="store_true", help="print what was raised")
    parser.add_argument("--mutant", help="one of the rules that mutants.py breaks, or 'all'")
    given = vars(parser.parse_args(arguments))
    asked = {**given, "kinds": given["kinds"].split(",")}
    names = given["names"]
    todo = [{**asked, "name": name} for name in names]
    if given["mutant"]:
        rules = list(MUTANTS) if given["mutant"] == "all" else [given["mutant"]]
        todo = [{"every": given["every"], "mutant": rule, "lanes": given["lanes"]} for rule in rules]
    found = 0
    for one in todo:
        told = answer(one, top)
        print(
            one.get("mutant") or "",
            told["told"],
            *told["lines"],
            *(told["errors"] if given["errors"] else ()),
            sep="\n",
            flush=True,
        )
        found += sum(told["found"].values())
    return int(found > 0)


def main() -> int:
    """Warm up, then serve or sweep."""
    top = Path(tempfile.mkdtemp(prefix="oarlock-sweep-"))
    try:
        warm(scenarios()["columns"], top / "warm")
        if sys.argv[1:] == ["--serve"]:
            serve(top)
            return 0
        return by_hand(top, sys.argv[1:])
    finally:
        shutil.rmtree(top, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
