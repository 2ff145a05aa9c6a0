"""Programs that bring rows: first runs and steady ones, by one process or several, in one step or in three."""

from __future__ import annotations

import shutil
import traceback
from collections import Counter
from typing import Any

from boxes import DATASET, NAME, Box, end_of_process
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
from programs import ALL, FIRST, generation, make
from scenario import Say, Scenario

import oarlock


class SecondTry(Scenario):
    """A run that fails is tried again by the same process, as soon as the disk is well."""

    name = "second-try"
    wide_from = FIRST

    def act(self, box: Box, say: Say) -> None:
        """Run; after an error run again, which must work unless the error says that the process has to end."""
        try:
            with make(box) as pipeline:
                pipeline.run(self.source(ALL))
        except Exception as error:
            told = "".join(traceback.format_exception(error))
            if "Start the process again" in told:
                raise
            try:
                with make(box) as pipeline:
                    pipeline.run(self.source(ALL))
            except Exception as second:
                raise SecondTryFailed(str(second)) from second
        say(ALL)


class SecondTryFailed(Exception):
    """The disk was well again, and the run still failed."""


class FirstRun(Scenario):
    """The first run on an empty machine: working folder, store and database are made too."""

    name = "first"

    def prepare(self, box: Box, say: Say) -> None:
        """An empty machine."""


class Replace(Scenario):
    """A run that replaces all rows, those of the child table too."""

    name = "replace"

    def prepare(self, box: Box, say: Say) -> None:
        """One generation, of more rows than the next."""
        with make(box) as pipeline:
            pipeline.run(generation(1, rows=FIRST + 3))

    def act(self, box: Box, say: Say) -> None:
        """Bring the next generation."""
        with make(box) as pipeline:
            pipeline.run(generation(2))
            say(2)

    def again(self, box: Box, say: Say) -> None:
        """Bring the same generation again."""
        with make(box) as pipeline:
            pipeline.run(generation(2))

    def wanted(self, end: int) -> Counter[tuple[Any, ...]]:
        """The rows of one generation."""
        rows = FIRST + 3 if end == 1 else FIRST
        wanted: Counter[tuple[Any, ...]] = Counter(("items", n, f"row {n}", f"generation {end}") for n in range(rows))
        wanted.update(("tags", n, 10 * n + one, None) for n in range(rows) for one in (0, 1))
        return wanted

    def after_restart(self, facts: Facts, said: list[Any]) -> list[Finding]:
        """All rows of the generation that was committed last, and none of another."""
        at = cursor(facts, "generation")
        findings = [*judged_store(facts), *judged_modes(facts), *judged_loads(facts, store_is_whole=True)]
        findings += compared(rows_of(facts), self.wanted(at))
        if said and at < max(said):
            findings.append(Finding("lost", f"a receipt was given for generation {max(said)}, the store has {at}"))
        if sent_cursor(facts, "generation") != at:
            findings.append(Finding("bad", f"the destination's state is not that of generation {at}"))
        return findings

    def after_all(self, facts: Facts, ended: list[int]) -> list[Finding]:
        """The newest generation, and nothing left over."""
        return [*self.after_restart(facts, [2]), *judged_litter(facts, ended=ended)]


class NewColumns(Scenario):
    """A run whose rows bring a new column and a child table."""

    name = "columns"
    wide_from = FIRST


class SecondProcess(Scenario):
    """A worker attaches and runs beside another that lives on, and that finishes what the dead one left."""

    name = "attached"
    has_companion = True
    wide_from = FIRST

    def act(self, box: Box, say: Say) -> None:
        """Attach, as a worker does."""
        with oarlock.attach(NAME, str(box.pipelines)) as pipeline:
            pipeline.run(self.source(ALL))
            say(ALL)


class StepByStep(Scenario):
    """extract, normalize and load one by one."""

    name = "steps"
    wide_from = FIRST

    def act(self, box: Box, say: Say) -> None:
        """Take the three steps."""
        with make(box) as pipeline:
            pipeline.extract(self.source(ALL))
            say(ALL)
            pipeline.normalize()
            pipeline.load()


class Spooled(Scenario):
    """run(wait=False), and the flush at the end of the process."""

    name = "spooled"

    def act(self, box: Box, say: Say) -> None:
        """Spool twice, then come to the end of the program without closing."""
        pipeline = make(box)
        pipeline.run(self.source(FIRST + 5), wait=False)
        say(FIRST + 5)
        pipeline.run(self.source(ALL), wait=False)
        say(ALL)
        end_of_process()


class LostFolder(Scenario):
    """The machine is lost with the process; the pipeline goes on elsewhere from what the destination has."""

    name = "restored"
    store_is_whole = False

    def act(self, box: Box, say: Say) -> None:
        """Two runs, so that there is something to be restored that the first state does not have."""
        with make(box) as pipeline:
            pipeline.run(self.source(ALL))

    def lose(self, box: Box) -> None:
        """Lose the working folder."""
        shutil.rmtree(box.pipelines, ignore_errors=True)

    def restart(self, box: Box, say: Say) -> None:
        """Attach on an empty machine, naming the destination."""
        destination = oarlock.destinations.duckdb(str(box.database))
        with oarlock.attach(NAME, str(box.pipelines), destination=destination, dataset_name=DATASET) as pipeline:
            pipeline.run(None)


class LoadedInPart(LostFolder):
    """The machine is lost while some rows are loaded and others are only extracted, cursor and all."""

    name = "in-part"

    def act(self, box: Box, say: Say) -> None:
        """Load rows of another resource, while the source's own wait to be normalized."""
        with make(box) as pipeline:
            pipeline.run([{"n": 1}], table_name="others", wait=False)
            pipeline.extract(self.source(ALL))
            pipeline.load()
            pipeline.run(None)


class StateChange(Scenario):
    """state_transaction(): two values that belong together."""

    name = "state"

    def prepare(self, box: Box, say: Say) -> None:
        """Both are one."""
        super().prepare(box, say)
        with make(box) as pipeline, pipeline.state_transaction() as state:
            state["left"] = state["right"] = {"n": 1}

    def act(self, box: Box, say: Say) -> None:
        """Both become two."""
        with make(box) as pipeline:
            with pipeline.state_transaction() as state:
                state["left"] = state["right"] = {"n": 2}
            say(2)

    def after_restart(self, facts: Facts, said: list[Any]) -> list[Finding]:
        """Both are one, or both are two, and two where it was acknowledged."""
        sides = [value["n"] for key, value in sorted(facts["state"].items()) if key in ("left", "right")]
        findings = [*judged_store(facts), *judged_modes(facts)]
        if sides not in ([[2, 2]] if said else [[1, 1], [2, 2]]):
            findings.append(Finding("lost", f"the two values are {sides}"))
        return findings


class Exported(Scenario):
    """A run that brings a new column and writes the schema for people to read."""

    name = "exported"
    wide_from = FIRST

    def act(self, box: Box, say: Say) -> None:
        """Run; the schemas are written into a folder that the user keeps."""
        with make(box, export_schema_path=box.schemas) as pipeline:
            pipeline.run(self.source(ALL))
            say(ALL)

    def again(self, box: Box, say: Say) -> None:
        """The same once more, with a row of another table first, so that there surely is something to be exported."""
        with make(box, export_schema_path=box.schemas) as pipeline:
            pipeline.run([{"n": 1}], table_name="others")
            pipeline.run(self.source(ALL))

    def after_all(self, facts: Facts, ended: list[int]) -> list[Finding]:
        """Beside the schema nothing is in its folder."""
        findings = super().after_all(facts, ended)
        if facts["schema_files"] != ["boat.schema.yaml"]:
            findings.append(Finding("litter", f"files in the folder of schemas: {facts['schema_files']}"))
        return findings
