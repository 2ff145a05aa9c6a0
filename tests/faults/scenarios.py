"""What is swept: for each a first state, a program that is killed, and the same program started again.

Every program takes rows from one source that counts: its cursor is in the resource's state, so that running it again
goes on where the last committed run ended. What must be there is then a function of the cursor alone.
"""

from __future__ import annotations

import shutil
import sqlite3
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
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

import oarlock
from oarlock.exceptions import CannotRestorePipelineException
from oarlock.pipelines.pipeline import Pipeline

Say = Callable[[Any], None]
FIRST, ALL = 10, 20


def row(n: int, *, wide: bool) -> dict[str, Any]:
    """Give one row of the source; a wide one brings another column and a child table."""
    made: dict[str, Any] = {"id": n, "body": f"row {n}"}
    return {**made, "note": f"note {n}", "tags": [{"tag": 10 * n}, {"tag": 10 * n + 1}]} if wide else made


def numbers(upto: int, *, wide_from: int = 10**9, **hints: Any) -> Any:
    """A source of the numbers up to a bound, which goes on from its cursor."""

    @oarlock.resource(name="items", **hints)
    def items() -> Iterator[dict[str, Any]]:
        state = oarlock.current.resource_state()
        for n in range(state.get("next", 0), upto):
            yield row(n, wide=n >= wide_from)
        state["next"] = upto

    return items


def generation(number: int, *, rows: int = FIRST) -> Any:
    """A source that replaces all rows by those of its newest generation."""

    @oarlock.resource(name="items", write_disposition="replace")
    def items() -> Iterator[dict[str, Any]]:
        yield from ({**row(n, wide=True), "note": f"generation {number}"} for n in range(rows))
        oarlock.current.resource_state()["generation"] = number

    return items


def make(box: Box, **options: Any) -> Pipeline:
    """Create the pipeline or open it, as a program does at each of its starts."""
    destination = oarlock.destinations.duckdb(str(box.database))
    return oarlock.pipeline(NAME, str(box.pipelines), destination=destination, dataset_name=DATASET, **options)


def join(box: Box) -> Pipeline:
    """Attach to it; where its creation did not come to its end, create it."""
    try:
        return oarlock.attach(NAME, str(box.pipelines))
    except CannotRestorePipelineException:
        if was_created(box):
            raise
        return make(box)


def was_created(box: Box) -> bool:
    """Tell whether the transaction that creates the pipeline was committed."""
    if not (box.folder / "oarlock.json").exists():
        return False
    with closing(sqlite3.connect(box.folder / "state.db")) as connection:
        return bool(connection.execute("SELECT count(*) FROM document").fetchone()[0])


def rows_until(end: int, wide_from: int = 10**9) -> Counter[tuple[Any, ...]]:
    """Give the rows that a reader must find once the source has come to an end."""
    wanted: Counter[tuple[Any, ...]] = Counter()
    for one in (row(n, wide=n >= wide_from) for n in range(end)):
        wanted["items", one["id"], one["body"], one.get("note")] += 1
        wanted.update(("tags", one["id"], tag["tag"], None) for tag in one.get("tags", ()))
    return wanted


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
        wanted = Counter(("items", n, f"row {n}", f"generation {end}") for n in range(rows))
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


def scenarios() -> dict[str, Scenario]:
    """Give all by name."""
    made = (
        *(
            FirstRun(),
            Scenario(),
            Replace(),
            NewColumns(),
            SecondProcess(),
            StepByStep(),
            Spooled(),
            LostFolder(),
            LoadedInPart(),
        ),
        *(Dropped(), DroppedPackages(), DevMode(), Refreshed(), StateChange(), SecondTry()),
    )
    return {one.name: one for one in made}
