"""Class Pipeline: the face that users hold, in the coordinator and in every worker alike."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from oarlock.errors import PipelineNotActive, SaltMismatch, SchemaNotFound
from oarlock.logs.collector import NULL_COLLECTOR, Collector
from oarlock.pipelines.active import active_pipeline, set_active
from oarlock.pipelines.membership import Membership
from oarlock.pipelines.route import Route
from oarlock.pipelines.schemas import Schemas
from oarlock.pipelines.target import Target
from oarlock.schema.document import Schema
from oarlock.settings import PipelineSettings
from oarlock.state.documents import join, split
from oarlock.state.versions import STATE_ENGINE_VERSION, state_hash
from oarlock.values import Refresh, WriteDisposition

if TYPE_CHECKING:
    from oarlock.destinations.base import Destination, SqlClient
    from oarlock.destinations.dataset import Dataset
    from oarlock.hints import Columns, Key, TableName
    from oarlock.knobs import RuntimeSettings
    from oarlock.pipelines.info import ExtractInfo, LoadInfo, LoadJobInfo, LoadPackageId, LoadPackageInfo, NormalizeInfo
    from oarlock.pipelines.trace import PipelineTrace


class Pipeline:
    """A named pipeline: a working folder, a destination with a dataset, and the state that runs share.

    Make one with ``oarlock.pipeline()``, join one that is there with ``oarlock.attach()``. An object belongs to the
    process that made it; used in a forked child, it joins again as a worker of its own.
    """

    def __init__(self, settings: PipelineSettings, member: Membership, *, attached: bool) -> None:
        self._settings, self._member = settings, member
        self.attached_pipeline = attached
        self.pipeline_name = settings.pipeline_name
        self.refresh = settings.refresh
        self.collector: Collector = _collector(settings.progress)
        self._knobs: RuntimeSettings | None = None
        self.route = Route(settings)
        self._trace: PipelineTrace | None = None
        self._synced = False
        self._unflushed: list[str] = []
        self._salt_unknown = False

    # --- who and where ---------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        shown = {
            "pipeline_name": self.pipeline_name,
            "destination": self.destination.name if self.destination else None,
            "staging": self.staging.name if self.staging else None,
            "dataset_name": self.dataset_name,
            "default_schema_name": self.default_schema_name,
            "schema_names": self.schema_names,
            "first_run": self.first_run,
            "dev_mode": self.dev_mode,
            "is_active": self.is_active,
            "pipelines_dir": str(self.pipelines_dir),
            "working_dir": self.working_dir,
        }
        return f"<oarlock.pipeline({', '.join(f'{k}={v!r}' for k, v in shown.items() if v is not None)})>"

    @property
    def member(self) -> Membership:
        """This process's membership in the working folder; a forked child joins anew."""
        if self._member.pid != os.getpid():
            self._member = Membership.open(
                self._member.folder, self.pipeline_name, durability=self._member.store.durability
            )
            self.route.forget_targets()
            self._unflushed = []
        return self._member

    @property
    def pipelines_dir(self) -> str:
        """The folder that holds the working folders."""
        return str(self._settings.pipelines_dir)

    @property
    def working_dir(self) -> str:
        """The working folder."""
        return str(self._member.folder)

    @property
    def worker_id(self) -> str:
        """The id of this process as a worker of the pipeline."""
        return self.member.worker

    @property
    def pipeline_salt(self) -> str:
        """The salt for hashing values in your own code; a secret.

        Raises:
            SaltMismatch: the pipeline was created with a salt, and it was not given to this process.
        """
        if self._salt_unknown:
            raise SaltMismatch(self.pipeline_name)
        return self._settings.pipeline_salt.reveal()

    @property
    def knobs(self) -> RuntimeSettings:
        """The limits and waits of this pipeline's runs."""
        if self._knobs is None:
            from oarlock.knobs import RuntimeSettings

            self._knobs = RuntimeSettings.load(pipeline_name=self.pipeline_name)
            self.member.begin_log(level=self._knobs.log_level, write=self._knobs.write_logs)
        return self._knobs

    @property
    def is_active(self) -> bool:
        """Whether this is the active pipeline of the thread."""
        return active_pipeline() is self

    def activate(self) -> None:
        """Make this the active pipeline."""
        set_active(self)

    def deactivate(self) -> None:
        """Make no pipeline the active one.

        Raises:
            PipelineNotActive: another one is active, or none.
        """
        if not self.is_active:
            raise PipelineNotActive(self.pipeline_name)
        set_active(None)

    # --- where rows go ---------------------------------------------------------------------------------------------

    @property
    def destination(self) -> Destination | None:
        """The destination, or ``None``."""
        return self.route.destination

    @destination.setter
    def destination(self, value: Any) -> None:
        self.use(destination=value)

    @property
    def staging(self) -> Destination | None:
        """The staging destination, or ``None``."""
        return self.route.staging

    @property
    def dataset_name(self) -> str | None:
        """The dataset: as given, else ``<pipeline_name>_dataset`` once there is a destination."""
        return self.route.dataset_name

    @dataset_name.setter
    def dataset_name(self, value: str) -> None:
        self.use(dataset_name=value)

    def use(
        self, *, destination: Any = None, staging: Any = None, dataset_name: str | None = None, persist: bool = True
    ) -> None:
        """Take another destination, staging or dataset from here on, for everyone where ``persist`` is true."""
        changed = self.route.change(destination=destination, staging=staging, dataset_name=dataset_name)
        if persist and changed:
            self.route.persist(self.member.store)

    def target(self, options: Mapping[str, Any] | None = None, *, step: str = "load") -> Target:
        """Give where a package goes that was committed with these options, else where this pipeline's rows go now.

        Raises:
            PipelineConfigMissing: no destination is known.
        """
        return self.route.target(self.member, options or {}, step=step, timeout_s=self.knobs.destination_timeout_s)

    # --- state and schemas -----------------------------------------------------------------------------------------

    @property
    def state(self) -> dict[str, Any]:
        """The state as it is now: a copy, so that changing it changes nothing."""
        with self.member.store.snapshot() as snapshot:
            state = join(snapshot.documents())
            state["_state_version"] = snapshot.state_version
            state["schema_names"] = snapshot.schema_names()
        state["_state_engine_version"] = STATE_ENGINE_VERSION
        state["pipeline_name"] = self.pipeline_name
        state["_version_hash"] = state_hash(state)
        return state

    @contextmanager
    def state_transaction(self) -> Iterator[dict[str, Any]]:
        """Read the state and change it as the only one: for counters and other values that several workers change.

        Others wait until the block ends, so do nothing slow in it. An error in the block changes nothing.
        """
        with self.member.store.transaction("state transaction", timeout_s=self.knobs.lock_timeout_s) as tx:
            base = tx.documents()
            state = join(base)
            yield state
            ours = split(state)
            for key in base.keys() - ours.keys():
                tx.delete(key)
            for key, value in ours.items():
                if key not in base or base[key] != value:
                    tx.put(key, value)
        self.member.told("state.changed", why="state transaction")

    def set_local_state_val(self, key: str, value: Any) -> None:
        """Keep a value that stays on this machine and is never sent to the destination."""
        with self.member.store.transaction("set local state") as tx:
            tx.put(("_local", key), value)

    def get_local_state_val(self, key: str) -> Any:
        """Give a value kept by ``set_local_state_val``; ``KeyError`` where there is none."""
        with self.member.store.snapshot() as snapshot:
            found = snapshot.documents(("_local", key))
        if not found:
            raise KeyError(key)
        return join({path[1:]: value for path, value in found.items()})[key]

    def _kept(self, key: str) -> Any:
        with self.member.store.snapshot() as snapshot:
            return snapshot.get((key,))

    @property
    def schemas(self) -> Schemas:
        """The schemas by name, read when asked for."""
        return Schemas(self.member.store)

    @property
    def schema_names(self) -> list[str]:
        """The names of all schemas."""
        with self.member.store.snapshot() as snapshot:
            return snapshot.schema_names()

    @property
    def default_schema_name(self) -> str | None:
        """The schema of data that belongs to no source; ``None`` before the first run."""
        found: str | None = self._kept("default_schema_name")
        return found

    @property
    def default_schema(self) -> Schema:
        """The default schema.

        Raises:
            SchemaNotFound: there is none before the first run.
        """
        name = self.default_schema_name
        if name is None:
            raise SchemaNotFound("default", self.schema_names)
        return self.schemas[name]

    @property
    def first_run(self) -> bool:
        """Whether nothing was loaded yet."""
        with self.member.store.snapshot() as snapshot:
            return bool(snapshot.get(("_local", "first_run"), True))

    @property
    def dev_mode(self) -> bool:
        """Whether the pipeline was created in dev mode; an attached one shows what it was created with."""
        with self.member.store.snapshot() as snapshot:
            return bool(snapshot.get(("_local", "_dev_mode"), False))

    # --- steps (pipelines.running) ---------------------------------------------------------------------------------

    def run(
        self,
        data: Any = None,
        *,
        destination: Any = None,
        staging: Any = None,
        dataset_name: str | None = None,
        table_name: TableName | None = None,
        write_disposition: WriteDisposition | None = None,
        columns: Columns | None = None,
        primary_key: Key | None = None,
        merge_key: Key | None = None,
        max_table_nesting: int | None = None,
        schema: Schema | str | None = None,
        refresh: Refresh | None = None,
        wait: bool | None = None,
    ) -> LoadInfo | None:
        """Load data: every row is in the destination exactly once when this returns, or it raises and says why.

        Args:
            data: rows (a dict, a list or an iterable of dicts), a frame, Arrow data, a path, resources or sources;
                ``None`` finishes what is pending.
            destination: where to, from here on; as in ``pipeline()``. So ``staging`` and ``dataset_name``.
            table_name: the table, or a function that gives each row's.
            write_disposition: "append" or "replace".
            columns: what is known of columns: ``{"elo": {"data_type": "bigint"}}``.
            primary_key: columns that name a row; kept in the schema. So ``merge_key``.
            max_table_nesting: how deep nested values become tables and columns of their own; below, they are JSON.
            schema: the name of the schema that the tables go into.
            refresh: what is taken away first: "drop_sources", "drop_resources", "drop_data".
            wait: false: return as soon as the rows are durable in the working folder, to be loaded by whoever has the
                loader's turn next, at the latest when this process ends.

        Returns:
            The receipt: packages, tables and rows of this call alone; ``None`` for ``run(None)`` with nothing pending.

        Raises:
            PipelineStepFailed: a step failed; its cause is chained, ``has_pending_data`` tells whether rows are kept.
        """
        from oarlock.pipelines.running import RunOptions, make_hints, run

        hints = make_hints(
            table_name=table_name,
            write_disposition=write_disposition,
            columns=columns,
            primary_key=primary_key,
            merge_key=merge_key,
            max_table_nesting=max_table_nesting,
        )
        return run(
            self,
            data,
            RunOptions(
                hints, destination, staging, dataset_name, schema=schema, refresh=refresh or self.refresh, wait=wait
            ),
        )

    def extract(
        self,
        data: Any,
        *,
        table_name: TableName | None = None,
        write_disposition: WriteDisposition | None = None,
        columns: Columns | None = None,
        primary_key: Key | None = None,
        merge_key: Key | None = None,
        max_table_nesting: int | None = None,
        schema: Schema | str | None = None,
        refresh: Refresh | None = None,
    ) -> ExtractInfo:
        """Write rows into the working folder as they are, to be normalized and loaded later; takes what run takes."""
        from oarlock.pipelines.running import RunOptions, extract, make_hints

        hints = make_hints(
            table_name=table_name,
            write_disposition=write_disposition,
            columns=columns,
            primary_key=primary_key,
            merge_key=merge_key,
            max_table_nesting=max_table_nesting,
        )
        return extract(self, data, RunOptions(hints, schema=schema, refresh=refresh or self.refresh))

    def normalize(self) -> NormalizeInfo | None:
        """Turn extracted packages into tables; ``None`` where there are none."""
        from oarlock.pipelines.running import normalize

        return normalize(self)

    def load(
        self, destination: Any = None, dataset_name: str | None = None, *, raise_on_failed_jobs: bool | None = None
    ) -> LoadInfo | None:
        """Load all normalized packages, oldest first; ``None`` where there are none.

        With ``raise_on_failed_jobs=False`` a package that cannot be loaded is only reported.
        """
        from oarlock.pipelines.running import load

        return load(self, destination=destination, dataset_name=dataset_name, raise_on_failed_jobs=raise_on_failed_jobs)

    def sync_destination(self, destination: Any = None, staging: Any = None, dataset_name: str | None = None) -> None:
        """Take over state and schemas that the destination has and this working folder has not."""
        from oarlock.pipelines.restoring import sync_destination

        sync_destination(self, destination=destination, staging=staging, dataset_name=dataset_name)

    def drop(self, pipeline_name: str | None = None) -> Pipeline:
        """Remove the working folder with all it holds and begin anew; the destination is not touched.

        Raises:
            PipelineInUse: another live worker holds the folder.
        """
        from oarlock.pipelines.creating import drop

        return drop(self, pipeline_name)

    # --- packages (pipelines.packages) -----------------------------------------------------------------------------

    @property
    def has_data(self) -> bool:
        """Whether anything was loaded, or waits to be."""
        return not self.first_run or bool(self.schema_names) or self.has_pending_data

    @property
    def has_pending_data(self) -> bool:
        """Whether packages wait to be normalized or loaded; those that failed for good are ``failed-jobs``."""
        from oarlock.pipelines.packages import has_pending

        return has_pending(self.member.store)

    def list_extracted_load_packages(self) -> list[LoadPackageId]:
        """Give the load ids of packages that wait to be normalized, oldest first; each knows its ``state``."""
        from oarlock.pipelines.packages import listed

        return listed(self.member.store, "extracted")

    def list_normalized_load_packages(self) -> list[LoadPackageId]:
        """Give the load ids of packages that wait to be loaded, oldest first; each knows its ``state``."""
        from oarlock.pipelines.packages import listed

        return listed(self.member.store, "normalized")

    def list_completed_load_packages(self) -> list[LoadPackageId]:
        """Give the load ids of packages that were loaded, oldest first; each knows its ``state``."""
        from oarlock.pipelines.packages import listed

        return listed(self.member.store, "loaded")

    def list_failed_jobs_in_package(self, load_id: str) -> list[LoadJobInfo]:
        """Give the jobs of a package that cannot be loaded, each with its reason."""
        return list(self.get_load_package_info(load_id).jobs["failed_jobs"])

    def get_load_package_info(self, load_id: str) -> LoadPackageInfo:
        """Tell of a package what the store knows; ``LoadPackageNotFound`` where it knows none."""
        from oarlock.pipelines.packages import info_of

        return info_of(self, load_id)

    def drop_pending_packages(self, with_partial_loads: bool = True) -> list[str]:
        """Set aside all packages that wait to be loaded, for good; give their load ids.

        No package is ever loaded in part, so ``with_partial_loads`` makes no difference.
        """
        from oarlock.pipelines.packages import drop_pending

        return drop_pending(self)

    # --- looking at the result -------------------------------------------------------------------------------------

    @contextmanager
    def sql_client(self, schema_name: str | None = None) -> Iterator[SqlClient]:
        """Connect to the dataset for the length of a ``with``; nobody else can write to a DuckDB file meanwhile.

        All schemas share one dataset, so ``schema_name`` only makes sure that the schema is there.
        """
        if schema_name is not None:
            _ = self.schemas[schema_name]
        with self.target(step="sql_client").client().sql_client() as client:
            yield client

    def dataset(self, schema: str | None = None) -> Dataset:
        """Give the loaded tables: ``pipeline.dataset()["games"].df()``."""
        from oarlock.destinations.dataset import Dataset

        name = schema or self.default_schema_name
        with self.member.store.snapshot() as snapshot:
            record = snapshot.schema(name) if name else None
        tables = Schema.from_document(record.document).tables if record is not None else {}
        return Dataset(self.target(step="dataset").client(), tables, schema_name=name or "")

    @property
    def last_trace(self) -> PipelineTrace | None:
        """What the last run did, step by step: of this object, else the last one that was written into the folder."""
        from oarlock.pipelines.trace import read_trace

        return self._trace or read_trace(self._member.folder)

    def close(self) -> None:
        """Flush what ``wait=False`` left, and leave the working folder; the object is not used after this."""
        from oarlock.pipelines.flush import flush

        flush(self)
        if self.is_active:
            set_active(None)
        self._member.close()

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        """Travel to another process as what it is there: attached by name. Secrets do not travel."""
        return attach_again, (self.pipeline_name, self.pipelines_dir)

    def __enter__(self) -> Pipeline:
        self.activate()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def attach_again(pipeline_name: str, pipelines_dir: str) -> Pipeline:
    """Attach where a pickled pipeline arrives."""
    from oarlock.pipelines.creating import attach

    return attach(pipeline_name, pipelines_dir)


def _collector(progress: Any) -> Collector:
    if progress is None:
        return NULL_COLLECTOR  # the faces are not imported for it: most workers show nothing
    from oarlock.logs.faces.choice import resolve_collector

    return resolve_collector(progress)


__all__ = ["Pipeline"]
