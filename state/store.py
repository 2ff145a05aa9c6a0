"""The state store of a folder: SQLite, every write under one guard, every commit on disk before it is told."""

from __future__ import annotations

import os
import threading
import time
import weakref
from pathlib import Path
from types import TracebackType

from oarlock.errors import ForkedProcess, OarlockError, StoreDamaged, StoreError, StorePoisoned, StoreUnavailable
from oarlock.locking.deadline import OnWait
from oarlock.locking.filesystem import check_locks_hold
from oarlock.locking.lock import Lock
from oarlock.state.base import StateStore
from oarlock.state.check import problems
from oarlock.state.connection import Connection, is_busy
from oarlock.state.creation import (
    DATABASE,
    GUARD,
    MARKER,
    build,
    check_owner,
    identify,
    migrate,
    read_marker,
    refuse_foreign,
    write_marker,
)
from oarlock.state.files import make_folder, refuse_link
from oarlock.state.queries import FORMAT
from oarlock.state.reading import Reader, SqliteSnapshot
from oarlock.state.sync import Sync
from oarlock.state.writing import SqliteTransaction
from oarlock.values import Durability

#: Longer than any transaction lasts: who waits so long for the guard waits for a process that hangs.
GUARD_WAIT_S = 60.0
#: Every so many transactions one process moves the log into the database, with the guard free.
CHECKPOINT_EVERY = 250
#: A log of more pages than this is moved before the guard is free. Nobody writes meanwhile, so it is moved to its end
#: and begins anew: written over, which a disk syncs faster than a file that grows.
LOG_PAGES = 2000
#: A transaction that writes this much has the log moved right after it.
_LARGE_BYTES = 1024 * 1024
#: A program that does not know the guard may have SQLite's own lock; it is asked for again until the time is up.
_WRITER_BUSY_S = 0.2
#: Connections kept for snapshots when nobody uses them.
_SPARE_READERS = 4


class SqliteStore(StateStore):
    """A state store of one folder, for any number of processes and threads; forked children open their own."""

    def __init__(
        self,
        folder: Path,
        *,
        pipeline_name: str,
        worker: str,
        durability: Durability = "full",
        on_wait: OnWait | None = None,
    ) -> None:
        self._folder = folder
        self.pipeline_name, self.worker, self.durability = pipeline_name, worker, durability
        self._database = folder / DATABASE
        self._guard = Lock(folder / GUARD, name=f"guard of {pipeline_name}", worker=worker, on_wait=on_wait)
        self._sync = Sync(folder / f"{DATABASE}-wal", folder / f"{DATABASE}-sync")
        self._writer: Connection | None = None
        self._spare: list[Reader] = []
        self._thread_inside: int | None = None
        self._why_inside = ""
        self._log_is_long = False
        self._closed = False
        _stores.add(self)

    @classmethod
    def create(
        cls,
        folder: Path | str,
        *,
        pipeline_name: str,
        worker: str,
        durability: Durability = "full",
        on_wait: OnWait | None = None,
    ) -> SqliteStore:
        """Make the store of a working folder, or open the one that is there; any number may do so at once.

        Raises:
            ForeignFolder: The folder holds what oarlock did not put there.
            UnsupportedFileSystem: Locks do not hold there.
            StoreDamaged, StoreTooNew: A store is there that cannot be used; nothing is overwritten.
        """
        folder = Path(folder).absolute()
        try:
            make_folder(folder)
            if not cls.exists(folder):
                _make(folder, pipeline_name, worker)
        except OarlockError:
            raise
        except OSError as error:
            raise StoreUnavailable(folder, str(error)) from error
        store = cls.open(folder, worker=worker, durability=durability, on_wait=on_wait)
        if store.pipeline_name != pipeline_name:
            store.close()
            raise StoreDamaged(folder / MARKER, f"it names pipeline {store.pipeline_name!r}, not {pipeline_name!r}")
        return store

    @classmethod
    def open(
        cls,
        folder: Path | str,
        *,
        worker: str,
        durability: Durability = "full",
        on_wait: OnWait | None = None,
    ) -> SqliteStore:
        """Open the store of a working folder.

        Args:
            folder: The working folder.
            worker: Who this is: the author of what it writes, and the name that others read when they wait for it.
            durability: "none" to never wait for the disk: atomic still, but the power may take the last commits.
            on_wait: Called while a transaction waits long for the guard: the guard's name, seconds so far, its owner.

        Raises:
            FileNotFoundError: There is no store.
            UnsupportedFileSystem: Locks do not hold there.
            StoreDamaged: Its marker or database is missing, cut short, or not what it must be.
            StoreTooNew: A newer oarlock wrote it.
        """
        folder = Path(folder).absolute()
        name = read_marker(folder)
        check_locks_hold(folder)
        store = cls(folder, pipeline_name=name, worker=worker, durability=durability, on_wait=on_wait)
        try:
            store._check_database()
        except BaseException:
            store.close()
            raise
        return store

    @staticmethod
    def exists(folder: Path | str) -> bool:
        """Tell whether a store was made here: whether its marker is there."""
        return os.path.lexists(Path(folder) / MARKER)

    @property
    def folder(self) -> Path:
        """The working folder."""
        return self._folder

    def transaction(self, why: str, *, timeout_s: float | None = None, durable: bool = True) -> Turn:
        """Be the one writer for the length of a ``with``; leaving it commits, and an exception takes all back.

        Args:
            why: Who waits for the guard reads it, and the store's events keep it.
            timeout_s: How long to wait for the guard; a minute if not given.
            durable: Return only when the commit is on disk. Otherwise it is there with the next one that is, in
                order, or after ``sync``.

        Raises:
            LockTimeout: The guard was not had in time; it names the owner.
            FencedOut: Another owner has taken over; nothing was written.
            StorePoisoned: A sync to disk failed; what reached the disk is unknown.
        """
        return Turn(self, why, GUARD_WAIT_S if timeout_s is None else timeout_s, durable and self.durability == "full")

    def snapshot(self) -> SqliteSnapshot:
        """See the store as it is on entering a ``with``; it blocks no writer, and none blocks it."""
        return SqliteSnapshot(self._take_reader, self._give_back_reader)

    def sync(self) -> None:
        """Return once everything that anybody has committed so far is on disk."""
        if self.durability == "full":
            seq = self._newest_seq()
            self._sync.prepare()
            self._sync.wait(seq)

    def check(self) -> list[str]:
        """Look at everything the store keeps, and tell what is wrong, one sentence each."""
        return problems(self._database, self.pipeline_name)

    def close(self) -> None:
        """Close all connections; transactions and snapshots must have ended."""
        self._closed = True
        self._sync.close()
        while self._spare:
            self._spare.pop().connection.close()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._guard.close()

    def _check_database(self) -> None:
        try:
            size = refuse_link(self._database).st_size
        except FileNotFoundError:
            raise StoreDamaged(self._database, "it is missing, though the folder's marker is there") from None
        if size == 0:
            raise StoreDamaged(self._database, "it is empty")
        reader = self._take_reader()
        if identify(reader.connection) < FORMAT:
            with self._guard.hold("migrate the store", timeout_s=GUARD_WAIT_S):
                migrate(reader.connection)
        check_owner(reader.connection, self.pipeline_name)
        self._give_back_reader(reader)

    def _take_reader(self) -> Reader:
        try:
            return self._spare.pop()
        except IndexError:
            self._refuse_closed()
            return Reader(Connection(self._database))

    def _give_back_reader(self, reader: Reader) -> None:
        if reader.connection.is_inherited:
            return
        if self._closed or len(self._spare) >= _SPARE_READERS:
            reader.connection.close()
        else:
            self._spare.append(reader)

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StoreError(f"the store of pipeline {self.pipeline_name!r} is closed")

    def _newest_seq(self) -> int:
        reader = self._take_reader()
        try:
            row = reader.connection.row("newest_seq")
        finally:
            self._give_back_reader(reader)
        return 0 if row is None else int(row[0])

    def _begin(self, deadline: float) -> Connection:
        """Begin to write. The guard is ours: only a program that does not know it can be in the way."""
        if self._writer is None:
            self._writer = Connection(self._database, busy_s=_WRITER_BUSY_S)
        while True:
            try:
                self._writer.run("BEGIN IMMEDIATE")
            except OarlockError as error:
                if not is_busy(error) or time.monotonic() > deadline:
                    raise
            else:
                return self._writer

    def _move_log(self, *, inside_guard: bool = False) -> None:
        """Move the log into the database, as far as readers allow; writers go on meanwhile."""
        reader = self._take_reader()
        try:
            _, pages, moved = reader.connection.run("PRAGMA wal_checkpoint(PASSIVE)")[0]
            # What a reader held back inside the guard is not tried for again with every transaction.
            self._log_is_long = pages > LOG_PAGES and moved < pages and not inside_guard
        except StorePoisoned as error:
            self._sync.fail(error.reason)
        except OarlockError:
            # The commit stands, and the log stays as it is; the next one tries again.
            self._log_is_long = False
        finally:
            self._give_back_reader(reader)

    def _after_fork(self) -> None:
        # The connections themselves are left alone, and alive, by connection.py.
        self._writer, self._spare, self._thread_inside = None, [], None
        self._sync.after_fork()


class Turn:
    """One transaction's turn: waits for the guard, hands out the transaction, commits, gives the guard back."""

    def __init__(self, store: SqliteStore, why: str, timeout_s: float, durable: bool) -> None:
        self._store, self._why, self._timeout_s, self._durable = store, why, timeout_s, durable
        self._transaction: SqliteTransaction | None = None
        self._pid = 0

    def __enter__(self) -> SqliteTransaction:
        store, self._pid = self._store, os.getpid()
        store._refuse_closed()
        if store._thread_inside == threading.get_ident():
            raise StoreError(
                f"transactions do not nest: {store._why_inside!r} is open in this thread, {self._why!r} was asked for"
            )
        deadline = time.monotonic() + self._timeout_s
        try:
            epoch = store._guard.acquire(self._why, timeout_s=self._timeout_s)
            store._thread_inside, store._why_inside = threading.get_ident(), self._why
            connection = store._begin(deadline)
            if self._durable:
                store._sync.prepare()
            transaction = SqliteTransaction(connection, self._why, worker=store.worker, epoch=epoch)
            self._transaction = transaction
            if epoch <= transaction.recorded_epoch:
                # A later owner has written, and this one is fenced out; or the guard's count was lost with the power.
                store._guard.check(epoch)
                transaction.epoch = store._guard.lift(transaction.recorded_epoch)
        except BaseException:
            if store._guard.held_by_me():
                self._give_back()
            raise
        return transaction

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        transaction, store = self._transaction, self._store
        if transaction is None or os.getpid() != self._pid:
            raise ForkedProcess(f"the transaction {self._why!r}")  # the parent's; nothing of it is touched here
        committed = False
        try:
            if kind is None:
                committed = transaction.finish(lambda: store._guard.check(transaction.epoch))
                if committed:
                    store._sync.committed(transaction.seq)
                    if store._log_is_long:
                        store._move_log(inside_guard=True)
        except StorePoisoned as failure:
            store._sync.fail(failure.reason)
            raise
        finally:
            self._give_back()
        if committed:
            if self._durable:
                store._sync.wait(transaction.seq)
            if transaction.seq % CHECKPOINT_EVERY == 0 or transaction.written_bytes > _LARGE_BYTES:
                store._move_log()

    def _give_back(self) -> None:
        store = self._store
        try:
            if self._transaction is not None:
                self._transaction.end()
            elif store._writer is not None:
                store._writer.rollback()
        finally:
            store._thread_inside = None
            store._guard.release()


def _make(folder: Path, pipeline_name: str, worker: str) -> None:
    refuse_foreign(folder, pipeline_name)
    check_locks_hold(folder)
    with Lock(folder / GUARD, worker=worker).hold("create the store", timeout_s=GUARD_WAIT_S):
        if not SqliteStore.exists(folder):
            build(folder, pipeline_name)
            write_marker(folder, pipeline_name)


_stores: weakref.WeakSet[SqliteStore] = weakref.WeakSet()


def _begin_anew() -> None:
    for store in list(_stores):
        store._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
