"""The route: where a pipeline's rows go, and how that is kept for the others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oarlock.destinations.reference import DestinationReference, Role
from oarlock.errors import PipelineConfigMissing
from oarlock.pipelines.membership import Membership
from oarlock.pipelines.target import Target, reference_from_document, reference_to_document
from oarlock.schema.naming import Naming
from oarlock.settings import PipelineSettings, Settings
from oarlock.state.base import StateStore, Transaction
from oarlock.steps.commit import put_if_other

if TYPE_CHECKING:
    from oarlock.destinations.base import Destination

#: What the dataset is called where nobody said it: the pipeline's name and this.
DATASET_SUFFIX = "_dataset"
#: How dlt names destinations in a state; ours are named so that it reads them.
_TYPE_PREFIX = "dlt.destinations."


class Route:
    """Destination, staging and dataset of one pipeline object."""

    def __init__(self, settings: PipelineSettings) -> None:
        self._settings = settings
        self._found: dict[Role, Destination] = {}
        self._kept: dict[Role, DestinationReference] = {}
        self.chosen_dataset: str | None = None
        self._targets: dict[str, Target] = {}

    @property
    def destination(self) -> Destination | None:
        """The destination; one that the state keeps is made when it is first asked for."""
        return self._made("destination")

    @property
    def staging(self) -> Destination | None:
        """The staging destination."""
        return self._made("staging")

    def _made(self, role: Role) -> Destination | None:
        if role not in self._found and role in self._kept:
            self._found[role] = _registry().from_reference(self._kept[role])
        return self._found.get(role)

    def keep(self, role: Role, reference: DestinationReference) -> None:
        """Take what the state keeps."""
        self._kept[role] = reference

    def resolve(self, role: Role, given: Any, name: str | None = None) -> Destination:
        """Take what was given: a name, a URL, a factory, an instance.

        Raises:
            UnknownDestination, DestinationNoStaging: it is none, or none that can be used so.
        """
        registry = _registry()
        if name is not None and isinstance(given, str) and given != name:
            given = registry.from_reference(DestinationReference(given, name))
        found: Destination = registry.resolve(given, role=role, settings=Settings.current())
        self._found[role] = found
        return found

    def take_from(self, other: Route) -> None:
        """Take the destinations of another route."""
        self._found, self._kept = {**other._found}, {**other._kept}

    @property
    def dataset_name(self) -> str | None:
        """The dataset: as given, else ``<pipeline_name>_dataset`` once there is a destination."""
        if self.chosen_dataset is None and (self._found or self._kept):
            return self.default_dataset
        return self.chosen_dataset

    @property
    def default_dataset(self) -> str:
        """What the dataset is called where nobody said it."""
        return self._settings.dataset(f"{self._settings.pipeline_name}{DATASET_SUFFIX}")

    def change(self, *, destination: Any, staging: Any, dataset_name: str | None) -> bool:
        """Take what is given; say whether anything was."""
        if destination is not None:
            self.resolve("destination", destination)
        if staging is not None:
            self.resolve("staging", staging)
        if dataset_name is not None:
            self.chosen_dataset = self._settings.dataset(dataset_name)
        return any(value is not None for value in (destination, staging, dataset_name))

    def persist(self, store: StateStore) -> None:
        """Write the route into the state, for whoever attaches; secrets are not in it."""
        with store.transaction("set destination") as tx:
            self.put(tx)

    def put(self, tx: Transaction) -> None:
        """Write the route into the state as a part of a transaction."""
        put_if_other(tx, ("dataset_name",), self.dataset_name)
        for role, found in (("destination", self.destination), ("staging", self.staging)):
            if found is not None:
                reference = found.reference()
                put_if_other(tx, (f"{role}_type",), f"{_TYPE_PREFIX}{reference.type}")
                put_if_other(tx, (f"{role}_name",), reference.name if reference.name != reference.type else None)
                put_if_other(tx, ("_local", role), reference_to_document(reference))

    def target(self, member: Membership, options: Mapping[str, Any], *, step: str, timeout_s: float) -> Target:
        """Give where a package goes that was committed with these options; without any, where rows go now.

        Raises:
            PipelineConfigMissing: no destination is known.
        """
        kept = reference_from_document(options.get("destination"))
        mine = self.destination
        same = kept is None or (mine is not None and mine.reference() == kept)
        destination = mine if same or kept is None else _registry().from_reference(kept)
        if destination is None:
            help_text = "Give one: pipeline(…, destination='duckdb') or run(…, destination=…)."
            raise PipelineConfigMissing(self._settings.pipeline_name, "destination", step, help_text)
        dataset = options.get("dataset_name") or self.dataset_name or self.default_dataset
        target = Target(
            destination=destination,
            dataset_name=Naming(destination.capabilities.max_identifier_length).identifier(dataset),
            pipeline_name=self._settings.pipeline_name,
            default_folder=self._default_folder(member),
            working_dir=member.folder,
            timeout_s=timeout_s,
        )
        return self._targets.setdefault(f"{destination.reference()} {target.dataset_name}", target)

    def _default_folder(self, member: Membership) -> Path:
        """What relative locations are relative to: where the pipeline was created."""
        with member.store.snapshot() as snapshot:
            kept = snapshot.get(("_local", "initial_cwd"))
        return Path(kept) if kept else self._settings.local_dir

    def forget_targets(self) -> None:
        """Forget the clients: they belong to another process."""
        self._targets = {}


def _registry() -> Any:
    # Imported here alone: who only attaches and looks at the state needs no destination.
    from oarlock.destinations import registry

    return registry
