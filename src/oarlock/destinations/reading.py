"""Reading what a dataset holds about itself, and dropping its tables: the same for every SQL destination."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime

from oarlock.destinations.base import StateRow, StoredSchema
from oarlock.destinations.session import CommitUnknown, Refused, Session, columns_of, loaded_ids
from oarlock.destinations.system import COMPLETE, LOADS, STATES, VERSIONS, read_document
from oarlock.errors import DestinationTerminalError, DestinationTransientError, DestinationUndefined

Connect = Callable[[], AbstractContextManager[Session]]


def read_state(connect: Connect, pipeline_name: str) -> StateRow | None:
    """Read the state of the newest complete load of a pipeline; None where there is no dataset or none in it.

    A state is complete where its load's marker is there; the highest load id wins, then the highest version.
    """
    try:
        with _asked(connect) as session:
            there = columns_of(session, [STATES, LOADS])
            if not {STATES, LOADS} <= set(there):
                return None
            columns = "s.version, s.engine_version, s.pipeline_name, s.state, s.created_at"
            version_hash = "s.version_hash" if "version_hash" in there[STATES] else "NULL"
            states, loads = (session.dialect.path(session.dataset, table) for table in (STATES, LOADS))
            rows = session.query(
                f"SELECT {columns}, {version_hash} FROM {states} s JOIN {loads} l ON l.load_id = s._dlt_load_id "
                "WHERE s.pipeline_name = $1 AND l.status = $2 ORDER BY l.load_id DESC, s.version DESC LIMIT 1",
                pipeline_name,
                COMPLETE,
            )
    except DestinationUndefined:
        return None
    if not rows:
        return None
    version, engine_version, name, state, created_at, found_hash = rows[0]
    return StateRow(version, engine_version, name, state, found_hash or "", _seconds(created_at))


def read_schema(connect: Connect, name: str) -> StoredSchema | None:
    """Read the newest version of a schema; None where there is none."""
    try:
        with _asked(connect) as session:
            if not columns_of(session, [VERSIONS]):
                return None
            rows = session.query(
                "SELECT version, version_hash, schema FROM "
                f"{session.dialect.path(session.dataset, VERSIONS)} WHERE schema_name = $1 "
                "ORDER BY inserted_at DESC, version DESC LIMIT 1",
                name,
            )
    except DestinationUndefined:
        return None
    if not rows:
        return None
    version, version_hash, text = rows[0]
    return StoredSchema(name, version, version_hash, read_document(text, f"schema {name!r}"))


def read_loaded_ids(connect: Connect, load_ids: Sequence[str]) -> set[str]:
    """Give those of the load ids whose packages are there; none where there is no dataset."""
    try:
        with _asked(connect) as session:
            return loaded_ids(session, load_ids) if columns_of(session, [LOADS]) else set()
    except DestinationUndefined:
        return set()


def drop_tables(connect: Connect, tables: Sequence[str]) -> None:
    """Drop those of the tables that are there, in one transaction."""
    try:
        with _asked(connect) as session:
            session.begin()
            try:
                for table in columns_of(session, tables):
                    session.query(f"DROP TABLE IF EXISTS {session.dialect.path(session.dataset, table)}")
            except BaseException:
                session.rollback()
                raise
            session.commit()
    except DestinationUndefined:
        return


@contextmanager
def _asked(connect: Connect) -> Iterator[Session]:
    try:
        with connect() as session:
            yield session
    except Refused as error:
        raise DestinationTerminalError(f"the dataset cannot be read: {error}") from error
    except CommitUnknown as error:
        raise DestinationTransientError(f"the commit failed: {error.__cause__}") from error


def _seconds(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
