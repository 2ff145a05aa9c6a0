"""A scenario: a first state, a program that is killed, the same program started again, and what must be there then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from boxes import DATASET, Box
from judging import (
    Facts,
    Finding,
    compared,
    cursor,
    judged_litter,
    judged_loads,
    judged_modes,
    judged_store,
    rows_of,
    sent_cursor,
)
from programs import ALL, FIRST, join, make, numbers, rows_until

Say = Callable[[Any], None]


class Scenario:
    """A steady run that appends; the others differ from it in a few points."""

    name = "append"
    wide_from = 10**9
    #: Whether the store still knows every package that the destination has.
    store_is_whole = True
    #: A process that has attached before the crash and lives on.
    has_companion = False

    def prepare(self, box: Box, say: Say) -> None:
        """Make the state in which the killed program starts."""
        with make(box) as pipeline:
            pipeline.run(self.source(FIRST))

    def act(self, box: Box, say: Say) -> None:
        """Be the program that is killed; says how far its receipts go."""
        with make(box) as pipeline:
            pipeline.run(self.source(ALL))
            say(ALL)

    def lose(self, box: Box) -> None:
        """Lose with the process what else is lost."""

    def restart(self, box: Box, say: Say) -> None:
        """Be the one restart: it must open the pipeline at once, and finish what is pending."""
        with join(box) as pipeline:
            pipeline.run(None)

    def again(self, box: Box, say: Say) -> None:
        """Be the same program, started again."""
        with make(box) as pipeline:
            pipeline.run(self.source(ALL))

    def source(self, upto: int) -> Any:
        """Give the source as it stands at a moment."""
        return numbers(upto, wide_from=self.wide_from)

    def wanted(self, end: int) -> Counter[tuple[Any, ...]]:
        """Give the rows that belong to a cursor."""
        return rows_until(end, self.wide_from)

    def after_restart(self, facts: Facts, said: list[Any]) -> list[Finding]:
        """Judge what is there after the restart: all of what was committed, and nothing else."""
        findings = [*judged_store(facts), *judged_modes(facts), *self._after_any(facts)]
        if said and cursor(facts) < max(said):
            findings.append(Finding("lost", f"a receipt was given up to {max(said)}, the cursor is {cursor(facts)}"))
        return findings

    def after_all(self, facts: Facts, ended: list[int]) -> list[Finding]:
        """Judge what is there after the next run: every row of the source once, and nothing left over."""
        findings = [*judged_store(facts), *judged_modes(facts), *judged_litter(facts, ended=ended)]
        findings += compared(rows_of(facts), self.wanted(ALL))
        sent = {one["version_hash"] for one in facts["tables"].get(f"{DATASET}._dlt_version", [])}
        if missing := set(facts["schemas"].values()) - sent:
            findings.append(Finding("bad", f"the destination has no schema of hash {missing}"))
        return findings + self._after_any(facts)

    def _after_any(self, facts: Facts) -> list[Finding]:
        findings = judged_loads(facts, store_is_whole=self.store_is_whole)
        findings += compared(rows_of(facts), self.wanted(cursor(facts)))
        sent = sent_cursor(facts)
        if sent is not None and sent != cursor(facts):
            findings.append(Finding("bad", f"the destination's cursor is {sent}, the store's {cursor(facts)}"))
        return findings
