"""Run sweeps by hand: ``python tests/faults/sweep.py append first --every 1 --kinds before,after,torn``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from scenarios import scenarios
from sweeping import sweep, warm

sys.dont_write_bytecode = True


def main() -> int:
    """Sweep the scenarios named, print a line for each; 1 where something was found."""
    known = scenarios()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(known))
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--kinds", default="before,after,torn")
    parser.add_argument("--sticky", action="store_true")
    parser.add_argument("--lanes", type=int, default=1)
    parser.add_argument("--until-found", action="store_true")
    given = parser.parse_args()
    found = False
    with tempfile.TemporaryDirectory(prefix="oarlock-sweep-") as top:
        warm(known["append"], Path(top, "warm"))
        for name in given.names:
            started = time.monotonic()
            tally = sweep(
                known[name],
                Path(top, name),
                kinds=tuple(given.kinds.split(",")),
                every=given.every,
                sticky=given.sticky,
                lanes=given.lanes,
                until_found=given.until_found,
            )
            print(f"{tally} in {time.monotonic() - started:.1f} s", *tally.lines(), sep="\n", flush=True)
            found = found or bool(tally.results)
    return int(found)


if __name__ == "__main__":
    sys.exit(main())
