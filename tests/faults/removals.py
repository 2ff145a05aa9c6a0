"""Programs that take away: pipelines that are dropped or begun anew, packages set aside, tables refreshed."""

from __future__ import annotations

from typing import Any

from boxes import DATASET, NAME, Box
from judging import (
    Facts,
    Finding,
    compared,
    judged_litter,
    judged_loads,
    judged_modes,
    judged_store,
    rows_of,
    sent_cursor,
)
from programs import ALL, FIRST, join, make, numbers, rows_until
from scenario import Say, Scenario

import oarlock
from oarlock.exceptions import CannotRestorePipelineException


class Dropped(Scenario):
    """drop(): the folder is wiped and made anew; the destination still has rows and cursor."""

    name = "drop"
    store_is_whole = False

    def act(self, box: Box, say: Say) -> None:
        """Drop the pipeline, and run the source."""
        with make(box) as pipeline:
            pipeline.drop()
            pipeline.run(self.source(ALL))
            say(ALL)

    def restart(self, box: Box, say: Say) -> None:
        """Start the program again: a dropped pipeline is to be made, not attached to."""
        with make(box) as pipeline:
            pipeline.run(None)

    def after_restart(self, facts: Facts, said: list[Any]) -> list[Finding]:
        """The cursor may be back only with the next run: the destination's is what counts."""
        wanted = self.wanted(sent_cursor(facts) or 0)
        loads = judged_loads(facts, store_is_whole=False)
        return [*judged_store(facts), *judged_modes(facts), *loads, *compared(rows_of(facts), wanted)]


class DroppedPackages(Scenario):
    """drop_pending_packages(): all that wait are set aside, or none."""

    name = "drop-pending"

    def prepare(self, box: Box, say: Say) -> None:
        """Two packages wait, one of them extracted only; the process died without a flush."""
        with make(box) as pipeline:
            pipeline.run(numbers(FIRST))
            pipeline.run([{"id": 1, "body": "unwanted"}], table_name="unwanted", wait=False)
            pipeline.extract([{"id": 2, "body": "unwanted"}], table_name="unwanted")
            pipeline._unflushed.clear()

    def act(self, box: Box, say: Say) -> None:
        """Set them aside, then run."""
        with join(box) as pipeline:
            pipeline.drop_pending_packages()
            say(FIRST)
            pipeline.run(numbers(ALL))
            say(ALL)

    def _after_any(self, facts: Facts) -> list[Finding]:
        # The source of the unwanted rows has a cursor of its own: none.
        unwanted = sorted(one["id"] for one in facts["tables"].get(f"{DATASET}.unwanted", []))
        states = [package["state"] for package in facts["packages"]]
        aborted = states.count("aborted")
        findings = super()._after_any(facts)
        if (aborted, unwanted) not in ((0, [1, 2]), (2, [])):
            findings.append(Finding("bad", f"{aborted} package(s) were set aside, and rows {unwanted} are there"))
        return findings


class DevMode(Scenario):
    """dev_mode: each start wipes the folder and takes a dataset of its own."""

    name = "dev-mode"
    store_is_whole = False

    def prepare(self, box: Box, say: Say) -> None:
        """A pipeline in dev mode, used once."""
        with make(box, dev_mode=True) as pipeline:
            pipeline.run(numbers(FIRST))

    def act(self, box: Box, say: Say) -> None:
        """Begin anew."""
        with make(box, dev_mode=True) as pipeline:
            pipeline.run(numbers(ALL))

    def restart(self, box: Box, say: Say) -> None:
        """Attach to what is there, which wipes nothing; make it where the wipe took it away."""
        try:
            pipeline = oarlock.attach(NAME, str(box.pipelines))
        except CannotRestorePipelineException:
            pipeline = make(box, dev_mode=True)
        with pipeline:
            pipeline.run(None)

    def again(self, box: Box, say: Say) -> None:
        """Begin anew once more; the dataset is named after the second, and may be the one of the restart."""
        with make(box, dev_mode=True) as pipeline:
            pipeline.run(numbers(ALL))
            say(pipeline.dataset_name)

    def after_restart(self, facts: Facts, said: list[Any]) -> list[Finding]:
        """Each dataset holds a whole run."""
        return [*judged_store(facts), *judged_modes(facts), *self._datasets(facts)]

    def after_all(self, facts: Facts, ended: list[int]) -> list[Finding]:
        """The new dataset holds all, and nothing is left over."""
        return [*judged_store(facts), *self._datasets(facts), *judged_litter(facts, ended=ended)]

    def _datasets(self, facts: Facts) -> list[Finding]:
        names = {name.partition(".")[0] for name in facts["tables"] if name.endswith(".items")}
        findings = []
        for name in names:
            at = sent_cursor(facts, dataset=name) or 0
            findings += compared(rows_of(facts, name), rows_until(at))
            findings += judged_loads(facts, store_is_whole=False, dataset=name) if len(names) == 1 else []
        return findings


class Refreshed(Scenario):
    """refresh="drop_sources": the tables and the cursor go, and all rows come anew."""

    name = "refresh"

    def prepare(self, box: Box, say: Say) -> None:
        """Some rows are loaded, and a package of rows that the refresh takes away waits."""
        with make(box) as pipeline:
            pipeline.run(self.source(FIRST))
            pipeline.run(self.source(FIRST + 5), wait=False)
            pipeline._unflushed.clear()

    def act(self, box: Box, say: Say) -> None:
        """Take all away and bring it again."""
        with make(box) as pipeline:
            pipeline.run(self.source(ALL), refresh="drop_sources")
            say(ALL)

    def again(self, box: Box, say: Say) -> None:
        """The same once more."""
        with make(box) as pipeline:
            pipeline.run(self.source(ALL), refresh="drop_sources")
