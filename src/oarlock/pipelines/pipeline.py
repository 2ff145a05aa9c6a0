"""Class Pipeline: the face that users hold, in the coordinator and in every worker alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from oarlock.errors import PipelineNotActive
from oarlock.pipelines.active import active_pipeline, set_active
from oarlock.pipelines.facts import PipelineFacts
from oarlock.schema.document import Schema
from oarlock.values import Refresh, WriteDisposition

if TYPE_CHECKING:
    from oarlock.destinations.base import SqlClient
    from oarlock.destinations.dataset import Dataset
    from oarlock.hints import Columns, Key, TableName
    from oarlock.pipelines.info import ExtractInfo, LoadInfo, LoadJobInfo, LoadPackageId, LoadPackageInfo, NormalizeInfo
    from oarlock.pipelines.trace import PipelineTrace


class Pipeline(PipelineFacts):
    """A named pipeline: a working folder, a destination with a dataset, and the state that runs share.

    Make one with ``oarlock.pipeline()``, join one that is there with ``oarlock.attach()``. An object belongs to the
    process that made it; used in a forked child, it joins again as a worker of its own.
    """

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


__all__ = ["Pipeline"]
