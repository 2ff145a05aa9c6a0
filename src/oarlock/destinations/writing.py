"""What is written in one transaction: tables, rows, markers, schema version and state of some packages."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from oarlock.destinations.base import LoadGroup, PackageToLoad, SchemaToLoad, StateRow, TableDocument
from oarlock.destinations.ddl import Change, change_tables, create_table, seen_tables
from oarlock.destinations.plan import Drop, Empty, Plan, Write, plan
from oarlock.destinations.rows import UnreadableJob
from oarlock.destinations.session import Refused, Session, columns_of, loaded_ids
from oarlock.destinations.system import COMPLETE, LOADS, STATES, SYSTEM_TABLES, VERSIONS, load_id_after
from oarlock.errors import DestinationTerminalError, SchemaError
from oarlock.values import LoadId, new_load_id


class Fault(Exception):
    """A step failed for a reason that lies in one of the packages; in which is known only where it is named."""

    def __init__(self, reason: str, load_id: LoadId | None = None) -> None:
        self.reason, self.load_id = reason, load_id
        super().__init__(reason)


@dataclass(slots=True)
class GroupWriter:
    """Writes packages of a group through one session. Holds what the transaction did, were it committed."""

    session: Session
    group: LoadGroup
    loaded: list[LoadId] = field(default_factory=list)
    already_there: list[LoadId] = field(default_factory=list)
    added: dict[str, list[str]] = field(default_factory=dict)
    markers: list[str] = field(default_factory=list)  # load ids that prove the commit
    _tables: set[str] = field(default_factory=set)  # folded names of tables that are there

    def prepare(self, packages: Sequence[PackageToLoad]) -> None:
        """Make and alter the tables that the packages need, and note schema versions that are new here."""
        cleared = plan(packages, self.group.schemas).clearing
        touched = self._touched(packages)
        there = self._look([*SYSTEM_TABLES, *touched, *cleared])
        if self._missing(SYSTEM_TABLES, there, {}).statements:
            self._make_system_tables()
        new = [schema for schema in self._schemas_of(packages) if not self._knows(schema)]
        for schema in new:
            # Other readers take a known version to mean that all its tables are there.
            touched |= {name: doc for name, doc in seen_tables(schema.tables).items() if name not in touched}
        if new:
            there = self._look([*touched, *cleared])
        self._change(touched, there, cleared)
        for schema in new:
            self._insert_version(schema)

    def _schemas_of(self, packages: Sequence[PackageToLoad]) -> list[SchemaToLoad]:
        return [self.group.schemas[name] for name in dict.fromkeys(package.schema_name for package in packages)]

    def _make_system_tables(self) -> None:
        try:
            self.session.claim([f"tables of {self.session.dataset}"])
            self.session.make_dataset()
            self._change(SYSTEM_TABLES, self._look(SYSTEM_TABLES), {})
        except (Refused, Fault) as error:
            raise DestinationTerminalError(
                f"the system tables of dataset {self.session.dataset!r} cannot be made: {error}"
            ) from error

    def _knows(self, schema: SchemaToLoad) -> bool:
        sql = f"SELECT 1 FROM {self._path(VERSIONS)} WHERE version_hash = $1 LIMIT 1"
        return bool(self.session.query(sql, schema.version_hash))

    def _touched(self, packages: Sequence[PackageToLoad]) -> dict[str, TableDocument]:
        touched: dict[str, TableDocument] = {}
        for package in packages:
            tables = self.group.schemas[package.schema_name].tables
            named = [*(job.table for job in package.jobs), *package.truncate_tables]
            touched |= {name: tables[name] for name in named if name in tables}
        return touched

    def _look(self, names: Iterable[str]) -> dict[str, list[str]]:
        """Find out which of the tables are there, with which columns."""
        there = columns_of(self.session, names)
        self._tables |= {self.session.dialect.fold(name) for name in there}
        return there

    def _missing(
        self,
        wanted: Mapping[str, TableDocument],
        there: Mapping[str, Sequence[str]],
        cleared: Mapping[str, Drop | Empty],
    ) -> Change:
        kept = {name: doc for name, doc in wanted.items() if not isinstance(cleared.get(name), Drop)}
        return change_tables(self.session.dialect, self.session.dataset, kept, there)

    def _change(
        self,
        wanted: Mapping[str, TableDocument],
        there: Mapping[str, Sequence[str]],
        cleared: Mapping[str, Drop | Empty],
    ) -> None:
        try:
            change = self._missing(wanted, there, cleared)
            if change.statements and self.session.ddl_apart:
                self.session.claim([f"tables of {self.session.dataset}"])
                # Another worker may have made them while this one waited for its turn.
                change = self._missing(wanted, self._look(wanted), cleared)
            for statement in change.statements:
                self.session.query(statement)
        except (Refused, SchemaError) as error:
            raise Fault(f"the tables cannot be made to match the schema: {error}") from error
        self.added |= {name: columns for name, columns in change.added.items() if name not in SYSTEM_TABLES}
        self._tables |= {self.session.dialect.fold(name) for name in change.added}

    def write(self, packages: Sequence[PackageToLoad], *, with_state: bool) -> None:
        """Write rows and markers of the packages that are not there yet; then the state, if it is another one."""
        self.session.claim(sorted(package.load_id for package in packages))
        there = loaded_ids(self.session, (package.load_id for package in packages))
        todo = [package for package in packages if package.load_id not in there]
        self._run(plan(todo, self.group.schemas))
        self._insert_markers({package.load_id: self.group.schemas[package.schema_name] for package in todo})
        self.loaded = [package.load_id for package in todo]
        self.already_there = [package.load_id for package in packages if package.load_id in there]
        if with_state and self.group.state is not None:
            self._insert_state(self.group.state, packages)

    def _run(self, made: Plan) -> None:
        for clearing in made.clearing.values():
            self._clear(clearing)
        for write in made.writes.values():
            self._append(write, again=write.table in made.dropped)

    def _clear(self, step: Drop | Empty) -> None:
        folded = self.session.dialect.fold(step.table)
        if folded not in self._tables:
            return
        path = self._path(step.table)
        try:
            if isinstance(step, Drop):
                self._tables.discard(folded)
                self.session.query(f"DROP TABLE IF EXISTS {path}")
            else:
                self.session.query(self.session.dialect.empty.format(path))
        except Refused as error:
            raise Fault(f"table {step.table!r} cannot be cleared: {error}") from error

    def _append(self, step: Write, *, again: bool) -> None:
        ids = set(step.load_ids)
        only = step.load_ids[0] if len(ids) == 1 else None
        try:
            if again:
                document = next(s.tables[step.table] for s in self.group.schemas.values() if step.table in s.tables)
                self.session.query(create_table(self.session.dialect, self.session.dataset, step.table, document))
            rows = self.session.insert(step.table, step.jobs)
        except UnreadableJob as error:
            owner = next(i for job, i in zip(step.jobs, step.load_ids, strict=True) if job is error.job)
            raise Fault(str(error), owner) from error
        except (Refused, SchemaError) as error:
            raise Fault(f"rows of table {step.table!r} were refused: {error}", only) from error
        expected = sum(job.rows for job in step.jobs)
        if rows != expected:
            raise Fault(f"table {step.table!r} took {rows} rows of {expected}", only)

    def _insert_markers(self, loads: Mapping[str, SchemaToLoad | None]) -> None:
        if not loads:
            return
        self.session.query(
            f"INSERT INTO {self._path(LOADS)} (load_id, schema_name, status, inserted_at, schema_version_hash) "
            "SELECT unnest($1::varchar[]), unnest($2::varchar[]), $3::bigint, $4::timestamptz, unnest($5::varchar[])",
            list(loads),
            [schema.name if schema else None for schema in loads.values()],
            COMPLETE,
            datetime.now(UTC),
            [schema.version_hash if schema else None for schema in loads.values()],
        )
        self.markers += loads

    def _insert_version(self, schema: SchemaToLoad) -> None:
        versions = self._path(VERSIONS)
        now = datetime.now(UTC)
        newest = self.session.query(f"SELECT max(inserted_at) FROM {versions} WHERE schema_name = $1", schema.name)
        if newest[0][0] is not None:
            # Readers take the newest by time; a clock that was set back must not hide this version.
            now = max(now, newest[0][0] + timedelta(microseconds=1))
        self.session.query(
            f"INSERT INTO {versions} (version, engine_version, inserted_at, schema_name, version_hash, schema) "
            "VALUES ($1, $2, $3, $4, $5, $6)",
            schema.version,
            schema.engine_version,
            now,
            schema.name,
            schema.version_hash,
            schema.text,
        )

    def _insert_state(self, state: StateRow, packages: Sequence[PackageToLoad]) -> None:
        """Write the state unless the newest one is the same, under a load id that sorts after the newest's.

        Readers take the complete state of the highest load id. Packages are not always loaded in the order of
        their ids, so a state that comes later may belong to a lower id; it then gets a load id of its own.
        """
        states, loads = self._path(STATES), self._path(LOADS)
        newest = self.session.query(
            f"SELECT s._dlt_load_id, s.version_hash FROM {states} s JOIN {loads} l ON l.load_id = s._dlt_load_id "
            "WHERE s.pipeline_name = $1 AND l.status = $2 ORDER BY l.load_id DESC, s.version DESC LIMIT 1",
            state.pipeline_name,
            COMPLETE,
        )
        if newest and newest[0][1] == state.version_hash:
            return
        load_id: str = packages[-1].load_id if packages else ""
        if not load_id or (newest and load_id <= newest[0][0]):
            load_id = load_id_after(newest[0][0] if newest else "", new_load_id())
            self._insert_markers({load_id: self.group.schemas[packages[-1].schema_name] if packages else None})
        self.session.query(
            f"INSERT INTO {states} (version, engine_version, pipeline_name, state, created_at, version_hash, "
            "_dlt_load_id, _dlt_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            state.version,
            state.engine_version,
            state.pipeline_name,
            state.state,
            datetime.fromtimestamp(state.created_at, UTC),
            state.version_hash,
            load_id,
            secrets.token_urlsafe(12)[:14],
        )

    def _path(self, table: str) -> str:
        return self.session.dialect.path(self.session.dataset, table)
