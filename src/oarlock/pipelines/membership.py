"""Membership: what ties one process to one working folder for as long as it lives.

    join ─→ workers/<id>.lock held by the kernel until the process ends ─→ leave (or death: the kernel frees the lock)

A folder is wiped only by who holds the guard and finds no live member. A member that joins in that very moment sees
that the guard is held for a wipe, waits for its end, finds its own sign of life gone with the folder, and joins anew.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from oarlock.errors import ForeignFolder, PipelineInUse, StoreError
from oarlock.locking.files import identity_at
from oarlock.locking.filesystem import check_locks_hold
from oarlock.locking.liveness import Alive, is_alive
from oarlock.locking.lock import Lock
from oarlock.logs.events import EVENTS, Log
from oarlock.logs.writer import Lines, Writer
from oarlock.pipelines.trash import remove, take_out, throw_away
from oarlock.state.store import SqliteStore
from oarlock.steps.spool import sweep
from oarlock.values import FOLDER_MODE, Durability, WorkerId, new_worker_id

MARKER = "oarlock.json"
#: Beginning of the names under which traces are written before they are put in place.
TRACE_ASIDE = ".trace-"
#: A wipe waits this long for whoever is in the middle of a commit.
WIPE_TIMEOUT_S = 10.0
_WIPING = "wipe the working folder"
#: Between two looks at a wipe that is under way; it takes a few milliseconds.
_LOOK_EVERY_S = 0.002
#: Who creates a pipeline that others wipe all the time gives up after so many tries.
_JOINS = 20

_members: weakref.WeakSet[Membership] = weakref.WeakSet()


class Membership:
    """One process's place in one working folder: its store, its locks, its log, and the proof that it lives."""

    def __init__(self, folder: Path, pipeline_name: str, store: SqliteStore, worker: WorkerId) -> None:
        self.folder, self.pipeline_name, self.store, self.worker = folder, pipeline_name, store, worker
        self.pid = os.getpid()
        self._log: Log = Lines(Writer(folder / "logs", worker), {"pipeline": pipeline_name})
        self._swept = False
        self.turn = Lock(folder / "loader.lock", name="loader's turn", worker=worker, on_wait=self._waited)
        self.normalizing = Lock(
            folder / "normalize.lock", name="normalizer's turn", worker=worker, on_wait=self._waited
        )
        self._joined_at = time.time()
        try:
            _private_folder(folder / "workers")
            _private_folder(folder / "packages")
            self._alive = Alive(folder / "workers" / f"{worker}.lock")
            _stay_out_of_wipes(folder, self._alive)
        except BaseException as error:
            store.close()
            if isinstance(error, FileExistsError | FileNotFoundError):
                raise FileNotFoundError(f"working folder {str(folder)!r} was wiped in this moment") from error
            raise
        _members.add(self)

    @classmethod
    def create(cls, folder: Path, pipeline_name: str, *, durability: Durability) -> Membership:
        """Join a working folder, which is made where it is not there yet.

        Raises:
            ForeignFolder: the folder holds files of somebody else's.
            UnsupportedFileSystem: locks do not hold on the folder's file system.
        """
        for _ in range(_JOINS):
            with suppress(FileNotFoundError):  # wiped by somebody else in this very moment
                return cls._create(folder, pipeline_name, durability)
        return cls._create(folder, pipeline_name, durability)

    @classmethod
    def _create(cls, folder: Path, pipeline_name: str, durability: Durability) -> Membership:
        refuse_foreign(folder, pipeline_name)
        for missing in reversed([one for one in folder.parents if not one.exists()]):
            _private_folder(missing)  # all of them private: who may write above may replace what is below
        check_locks_hold(folder.parent)
        worker = new_worker_id()
        store = SqliteStore.create(folder, pipeline_name=pipeline_name, worker=worker, durability=durability)
        return cls(folder, pipeline_name, store, worker)

    @classmethod
    def open(cls, folder: Path, pipeline_name: str, *, durability: Durability) -> Membership:
        """Join a working folder that is there.

        Raises:
            FileNotFoundError: there is none.
            StoreDamaged, StoreTooNew: its store cannot be read.
        """
        worker = new_worker_id()
        while True:
            before = identity_at(str(folder))
            try:
                store = SqliteStore.open(folder, worker=worker, durability=durability)
            except StoreError:
                if identity_at(str(folder)) == before:
                    raise
                continue  # it was wiped while it was opened, and perhaps made anew
            return cls(folder, pipeline_name, store, worker)

    def told(self, event: str, **fields: Any) -> None:
        """Log an event at its level in the catalogue."""
        getattr(self._log, EVENTS[event].level)(event, **fields)

    def _waited(self, lock: str, waited_s: float, owner: object) -> None:
        self.told("lock.waited", lock=lock, waited_s=waited_s, owner=str(owner))

    def begin_log(self, *, level: str, write: bool) -> None:
        """Log from here on through structlog, whose import a process that only attaches is spared."""
        from oarlock.logs.log import bind

        writer = Writer(self.folder / "logs" if write else None, self.worker, level=level)
        self._log = bind(writer, pipeline=self.pipeline_name)

    @property
    def packages_folder(self) -> Path:
        """Where the files of packages are."""
        return self.folder / "packages"

    def is_member_alive(self, worker: str) -> bool:
        """Say whether a worker of this folder lives; this process knows of its own."""
        if worker == self.worker:
            return True
        return is_alive(self.folder / "workers" / f"{worker}.lock")

    def others_alive(self) -> list[str]:
        """Give the live members of the folder that are not of this process."""
        mine = {one.worker for one in _members if one.pid == os.getpid()}
        return [name for name in _workers(self.folder) if name not in mine and self.is_member_alive(name)]

    def sweep_once(self) -> None:
        """Sweep before the first run of this process."""
        if not self._swept:
            self._swept = True
            self.sweep()

    def sweep(self) -> list[str]:
        """Remove what dead workers left: files that no package needs, half-made traces, lock files, trash."""

        def needed(load_ids: set[str]) -> tuple[set[str], set[str]]:
            # After a commit of its own: a writer killed at the end of its commit may have left one that no reader sees
            # before the next commit.
            with self.store.transaction("sweep") as tx:
                tx.touch()
                records = tx.packages("extracted", "normalized")
                found = [tx.package(load_id) for load_id in load_ids]
            done = {str(one.load_id) for one in found if one is not None and one.state in ("loaded", "aborted")}
            return {job.file for record in records for job in record.jobs}, done

        removed = sweep(self.packages_folder, is_alive=self.is_member_alive, needed=needed)
        removed += self._sweep_traces()
        for name in _workers(self.folder):
            if not self.is_member_alive(name):
                (self.folder / "workers" / f"{name}.lock").unlink(missing_ok=True)
        if removed:
            self.told("recovery.swept", folder=str(self.folder), items=removed, reason="left by dead workers")
        if trash := take_out(self.folder.parent):
            self.told("recovery.swept", folder=str(self.folder.parent), items=trash, reason="left by a killed removal")
        return removed

    def _sweep_traces(self) -> list[str]:
        names = [one.name for one in os.scandir(self.folder) if one.name.startswith(TRACE_ASIDE)]
        dead = [name for name in names if not self.is_member_alive(name.removeprefix(TRACE_ASIDE).rpartition("-")[0])]
        for name in dead:
            (self.folder / name).unlink(missing_ok=True)
        return dead

    def close(self) -> None:
        """Leave the folder."""
        self.told("worker.finished", duration_s=time.time() - self._joined_at, cpu_s=time.process_time())
        _members.discard(self)
        self.store.close()
        if self.pid == os.getpid():
            self._alive.close()


def _workers(folder: Path) -> list[str]:
    try:
        return sorted(
            one.name.removesuffix(".lock") for one in os.scandir(folder / "workers") if one.name.endswith(".lock")
        )
    except FileNotFoundError:
        return []


def _stay_out_of_wipes(folder: Path, alive: Alive) -> None:
    """See to it that no wipe that did not see this process takes the folder away under it.

    Raises:
        FileNotFoundError: one did.
    """
    guard = Lock(folder / "guard.lock", name="guard")
    until = time.monotonic() + WIPE_TIMEOUT_S
    while (owner := guard.owner()) is not None and owner.why == _WIPING and time.monotonic() < until:
        time.sleep(_LOOK_EVERY_S)
    if not is_alive(alive.path):
        raise FileNotFoundError(str(alive.path))


def _private_folder(folder: Path) -> None:
    folder.mkdir(mode=FOLDER_MODE, exist_ok=True)


def marker_of(folder: Path) -> dict[str, Any] | None:
    """Read our marker in a folder; ``None`` where there is none that is ours."""
    try:
        found = orjson.loads((folder / MARKER).read_bytes())
    except (FileNotFoundError, NotADirectoryError, orjson.JSONDecodeError):
        return None
    return found if isinstance(found, dict) and "oarlock" in found else None


def refuse_foreign(folder: Path, pipeline_name: str) -> None:
    """Refuse a folder that is a link, or holds files but not our marker.

    Raises:
        ForeignFolder: it is somebody else's; nothing in it is touched.
    """
    if folder.is_symlink():
        raise ForeignFolder(pipeline_name, str(folder), ["a symbolic link"])
    try:
        found = sorted(one.name for one in os.scandir(folder))
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise ForeignFolder(pipeline_name, str(folder), ["a file, not a folder"]) from None
    # A folder that is being created right now holds at most the guard and the half-made store.
    strange = [name for name in found if not name.startswith((MARKER, "guard.", "state.db", ".oarlock"))]
    if strange and marker_of(folder) is None:
        raise ForeignFolder(pipeline_name, str(folder), strange)


def wipe(folder: Path, pipeline_name: str, *, mine: Membership | None = None, keep_pending: bool = False) -> bool:
    """Remove a working folder of ours; say whether there was one.

    The folder is renamed first and removed after, so that a crash in between leaves nothing half removed.

    Raises:
        PipelineInUse: a live worker holds it, or (with ``keep_pending``) it holds packages that wait to be loaded.
        ForeignFolder: it is not ours.
    """
    refuse_foreign(folder, pipeline_name)
    if marker_of(folder) is None:
        return False
    try:
        with _quiet(folder, pipeline_name, mine, keep_pending) as leave:
            leave()
            trash = throw_away(folder)
    except FileNotFoundError:  # another has wiped it meanwhile
        return False
    remove(trash)
    return True


@contextmanager
def _quiet(
    folder: Path, pipeline_name: str, mine: Membership | None, keep_pending: bool
) -> Iterator[Callable[[], None]]:
    """Hold the guard of a folder in which nobody else lives."""
    member = mine or Membership.open(folder, pipeline_name, durability="full")
    guard = Lock(folder / "guard.lock", name="guard", worker=member.worker)
    try:
        if keep_pending:
            with member.store.snapshot() as snapshot:
                pending = snapshot.count_packages("extracted", "normalized")
            if pending:
                raise PipelineInUse(
                    pipeline_name, f"{pending} package(s) in it wait to be loaded; run(None) loads them"
                )
        with guard.hold(_WIPING, timeout_s=WIPE_TIMEOUT_S):
            others = member.others_alive()
            if others:
                raise PipelineInUse(pipeline_name, f"live worker(s) hold it: {', '.join(others[:5])}; end them first")
            yield member.close
    finally:
        if mine is None:
            member.close()
