"""Points of a sweep, what came of each, and the line that sums them up."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from judging import Finding
from syscalls import LOCKS, WRITES


@dataclass(frozen=True, slots=True)
class Point:
    """Where the fault was: the n-th call that counts, and what happened there."""

    number: int
    kind: str
    sticky: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.number}{' and ever after' if self.sticky else ''}"


@dataclass(slots=True)
class Result:
    """What came of one point."""

    point: Point
    call: str
    findings: list[Finding] = field(default_factory=list)
    reached: bool = True
    restart_s: float = 0.0
    told: str = ""


@dataclass(slots=True)
class Tally:
    """What came of all points of a sweep."""

    name: str
    every: list[Result] = field(default_factory=list)

    def add(self, result: Result) -> None:
        """Count one point in."""
        self.every.append(result)

    @property
    def points(self) -> int:
        """How many points were taken."""
        return len(self.every)

    @property
    def results(self) -> list[Result]:
        """The points at which something was found."""
        return [result for result in self.every if result.findings]

    @property
    def slowest_s(self) -> float:
        """How long the slowest restart took."""
        return max((result.restart_s for result in self.every), default=0.0)

    def count(self, kind: str) -> int:
        """Count the points at which something of a kind was found."""
        return sum(any(one.kind == kind for one in result.findings) for result in self.results)

    def __str__(self) -> str:
        kinds = " ".join(f"{kind}={self.count(kind)}" for kind in ("lost", "dup", "stuck", "litter", "bad"))
        return f"{self.name}: points={self.points} {kinds} (slowest restart {self.slowest_s * 1000:.0f} ms)"

    def lines(self, limit: int = 20) -> Iterator[str]:
        """Tell of each point at which something was found."""
        for result in self.results[:limit]:
            for finding in result.findings[:4]:
                yield f"  {self.name} {result.point} {result.call}: {finding.kind}: {finding.text}"


def points(
    calls: list[str], kinds: Iterable[str], *, every: int, sticky: bool = False, between: tuple[str, str] = ("", "$^")
) -> list[Point]:
    """Give every k-th point, all kinds of a call after one another; a torn write only where there is a write.

    One lock after another, with nothing written in between, is a point only where all are wanted.

    Args:
        between: patterns of the calls where the points begin and end.
    """
    begin = next(at for at, call in enumerate(calls) if re.search(between[0], call))
    end = next((at for at, call in enumerate(calls) if at > begin and re.search(between[1], call)), len(calls) - 1)
    found, before = [], ""
    for number, call in enumerate(calls[begin : end + 1], start=begin + 1):
        name = call.partition("(")[0]
        if not (every > 1 and name in LOCKS and before in LOCKS):
            found += [Point(number, kind, sticky) for kind in kinds if _is_one(kind, name)]
        before = name
    return found[::every]


def _is_one(kind: str, name: str) -> bool:
    if kind in ("torn", "short"):
        return name in WRITES
    return kind != "after" or name not in LOCKS  # after a lock is the same as before the next call


def write_result(path: Path, result: Result) -> None:
    """Add one line to a lane's results."""
    with path.open("a") as file:
        file.write(json.dumps(asdict(result)) + "\n")


def read_results(path: Path) -> Iterator[Result]:
    """Read a lane's results."""
    if not path.exists():
        return
    for line in path.read_text().splitlines():
        fields = json.loads(line)
        fields["point"] = Point(**fields["point"])
        fields["findings"] = [Finding(*one) for one in fields["findings"]]
        yield Result(**fields)
