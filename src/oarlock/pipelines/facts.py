"""Facts: what a pipeline is, in this process: its name, folder and route, its state and its schemas."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from oarlock.errors import SaltMismatch, SchemaNotFound
from oarlock.logs.collector import NULL_COLLECTOR, Collector
from oarlock.pipelines.membership import Membership
from oarlock.pipelines.route import Route
from oarlock.pipelines.schemas import Schemas
from oarlock.pipelines.target import Target
from oarlock.schema.document import Schema
from oarlock.settings import PipelineSettings
from oarlock.state.documents import join, split
from oarlock.state.versions import STATE_ENGINE_VERSION, state_hash

if TYPE_CHECKING:
    from oarlock.destinations.base import Destination
    from oarlock.knobs import RuntimeSettings
    from oarlock.pipelines.trace import PipelineTrace


class PipelineFacts:
    """What a pipeline is; what it does is in ``Pipeline``."""

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


def _collector(progress: Any) -> Collector:
    if progress is None:
        return NULL_COLLECTOR  # the faces are not imported for it: most workers show nothing
    from oarlock.logs.faces.choice import resolve_collector

    return resolve_collector(progress)
