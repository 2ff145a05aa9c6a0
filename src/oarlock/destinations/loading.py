"""Loading a group of packages in one transaction, rows and markers together: the same for every SQL destination.

begin ─ tables ─ claim load ids ─ which are there? ─ rows ─ markers ─ state ─ fence ─ commit
  │                                                   │                              │
  │                                     a package's fault: roll back,       no answer: read the markers
  │                                     set it aside, load the others       on a new connection
  └── any other error: roll back; nothing happened
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from oarlock.destinations.base import LoadGroup, LoadOutcome, PackageToLoad
from oarlock.destinations.plan import unsupported
from oarlock.destinations.session import Again, CommitUnknown, Refused, Session, loaded_ids
from oarlock.destinations.writing import Fault, GroupWriter
from oarlock.errors import DestinationTerminalError, DestinationTransientError
from oarlock.values import LoadId

#: Transactions that the database may end to keep workers apart before a load is given up.
MAX_LOST_RACES = 8
#: The first pause after a lost race, in seconds; the next are longer.
RACE_PAUSE_S = 0.02
#: Gives a session for the length of a ``with``.
Connect = Callable[[], AbstractContextManager[Session]]


@dataclass(slots=True)
class _Done:
    loaded: list[LoadId] = field(default_factory=list)
    already_there: list[LoadId] = field(default_factory=list)
    failed: dict[LoadId, str] = field(default_factory=dict)
    schema_update: dict[str, list[str]] = field(default_factory=dict)

    def note(self, writer: GroupWriter) -> None:
        self.loaded += writer.loaded
        self.already_there += writer.already_there
        for table, columns in writer.added.items():
            self.schema_update.setdefault(table, []).extend(columns)


def load_group(connect: Connect, group: LoadGroup) -> LoadOutcome:
    """Load what is not there yet, in one transaction if no package is at fault.

    Raises:
        DestinationError: the destination as a whole refused; the transaction of the moment was not written.
        FencedOut: another owner has taken over; the transaction of the moment was not written.
    """
    done = _Done()
    waiting = _without_unsupported(group, done.failed)
    one_by_one = False
    lost_races = 0
    state_waits = group.state is not None
    while waiting or state_waits:
        batch = waiting[:1] if one_by_one else waiting
        with_state = len(batch) == len(waiting)
        try:
            _load_batch(connect, group, batch, done, with_state=with_state)
        except Again as error:
            lost_races += 1
            if lost_races == MAX_LOST_RACES:
                raise DestinationTransientError(f"the dataset cannot be loaded: {error}") from error
            time.sleep(RACE_PAUSE_S * lost_races * (0.5 + secrets.randbelow(1000) / 1000))
            continue
        except Fault as fault:
            culprit = fault.load_id or (batch[0].load_id if len(batch) == 1 else None)
            if culprit is None:
                one_by_one = True
                continue
            done.failed[culprit] = fault.reason
            waiting = [package for package in waiting if package.load_id != culprit]
            continue
        except Refused as error:
            raise DestinationTerminalError(f"the dataset cannot be loaded: {error}") from error
        waiting = waiting[len(batch) :]
        state_waits = state_waits and not with_state
    return LoadOutcome(done.loaded, done.already_there, done.failed, done.schema_update)


def _without_unsupported(group: LoadGroup, failed: dict[LoadId, str]) -> list[PackageToLoad]:
    dropped: set[str] = set()
    kept = []
    for package in reversed(group.packages):
        reason = unsupported(package, group.schemas[package.schema_name], dropped)
        if reason is None:
            kept.append(package)
            dropped.update(package.drop_tables)
        else:
            failed[package.load_id] = reason
    return kept[::-1]


def _load_batch(
    connect: Connect, group: LoadGroup, packages: Sequence[PackageToLoad], done: _Done, *, with_state: bool
) -> None:
    with connect() as session:
        writer = GroupWriter(session, group)
        if session.ddl_apart:
            with _rolled_back_on_error(session):
                writer.prepare(packages)
            try:
                session.commit()
            except CommitUnknown as unknown:  # safe to repeat: it only adds what is missing
                raise DestinationTransientError(f"changing the tables failed: {unknown.__cause__}") from unknown
        with _rolled_back_on_error(session):
            if not session.ddl_apart:
                writer.prepare(packages)
            writer.write(packages, with_state=with_state)
            group.fence()
        try:
            session.commit()
            done.note(writer)
            return
        except CommitUnknown as unknown:
            cause = unknown.__cause__ or unknown
    # The session is closed; it may have been dead before.
    if not _committed(connect, writer.markers):
        raise DestinationTransientError(f"the commit failed and nothing was written: {cause}") from cause
    done.note(writer)


@contextmanager
def _rolled_back_on_error(session: Session) -> Iterator[None]:
    session.begin()
    try:
        yield
    except BaseException:
        session.rollback()
        raise


def _committed(connect: Connect, markers: Sequence[str]) -> bool:
    """Whether a commit whose answer was lost did happen; without a marker it is taken for not: it is safe to repeat."""
    if not markers:
        return False
    with connect() as session:
        session.begin()
        try:
            there = loaded_ids(session, markers)
        except Refused:  # the table of loads was to be made in the same transaction
            return False
        finally:
            session.rollback()
    return there == set(markers)
