"""Creating and joining: ``pipeline()`` makes a working folder or opens it, ``attach()`` joins one and never wipes it.

attach ─┬─ working folder there ─→ join: state, schemas, destination and dataset come from the store
        └─ not there ─┬─ destination has the pipeline's state ─→ new folder, state and schemas restored
                      └─ it has not ─→ CannotRestorePipelineException; no folder is left behind
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oarlock.destinations.reference import Role
from oarlock.errors import CannotRestorePipelineException, ForeignFolder, OarlockError
from oarlock.pipelines.active import active_pipeline, set_active
from oarlock.pipelines.membership import Membership, marker_of, refuse_foreign, wipe
from oarlock.pipelines.pipeline import Pipeline
from oarlock.pipelines.route import DATASET_SUFFIX, Route
from oarlock.pipelines.target import reference_from_document
from oarlock.settings import PipelineSettings, Settings, check_salt, redact, resolve_pipeline, salt_digest
from oarlock.state.store import SqliteStore
from oarlock.steps.commit import put_if_other
from oarlock.values import Durability, Refresh

if TYPE_CHECKING:
    from oarlock.logs.collector import Collector

#: Kept while a folder is being restored, so that one left half-way is told from one that is whole.
RESTORING = ("_local", "restoring")
_NULL_COLLECTOR: Collector | str | None = None


def pipeline(
    pipeline_name: str | None = None,
    pipelines_dir: str | Path | None = None,
    pipeline_salt: str | None = None,
    destination: Any = None,
    staging: Any = None,
    dataset_name: str | None = None,
    import_schema_path: str | Path | None = None,
    export_schema_path: str | Path | None = None,
    dev_mode: bool = False,
    refresh: Refresh | None = None,
    progress: Collector | str | None = _NULL_COLLECTOR,
    **config: Any,
) -> Pipeline:
    """Create a pipeline, or open the one of that name; without any argument, give the active one.

    Args:
        pipeline_name: names the working folder, the default schema and the default dataset.
        pipelines_dir: where working folders are; default ``~/.oarlock/pipelines``.
        pipeline_salt: for hashing values in your own code; its digest is kept, the salt is not.
        destination: a name ("duckdb"), a URL, a factory or an instance; its location is kept, its secrets are not.
        staging: a destination for files on their way into a warehouse.
        dataset_name: the dataset; default ``<pipeline_name>_dataset``.
        import_schema_path: folder of ``<schema>.schema.yaml`` files that replace the stored schemas.
        export_schema_path: folder into which the schemas are written after each run.
        dev_mode: begin anew: the working folder is wiped and the dataset's name gets the time.
        refresh: what each run takes away first: "drop_sources", "drop_resources" or "drop_data".
        progress: a collector or the name of one: "log", "tqdm", "enlighten", "alive_progress".
        **config: other settings of a pipeline by name, such as ``restore_from_destination=False``.

    Raises:
        InvalidPipelineName, ConfigurationError: an argument or setting cannot work.
        ForeignFolder: the working folder holds files of somebody else's.
        PipelineInUse: ``dev_mode`` would wipe a folder that live workers hold.
    """
    given = (pipeline_name, pipelines_dir, pipeline_salt, destination, staging, dataset_name, refresh, progress)
    current = active_pipeline()
    if current is not None and not any(given) and not config and not import_schema_path and not export_schema_path:
        return current
    settings = resolve_pipeline(
        pipeline_name=pipeline_name,
        pipelines_dir=pipelines_dir,
        pipeline_salt=pipeline_salt,
        destination=destination,
        staging=staging,
        dataset_name=dataset_name,
        import_schema_path=import_schema_path,
        export_schema_path=export_schema_path,
        dev_mode=dev_mode or None,
        refresh=refresh,
        progress=progress,
        **config,
    )
    was_dev, dataset_before = _before(settings)
    if settings.dev_mode:
        wipe(settings.working_dir, settings.pipeline_name)
    elif was_dev:
        # Its cursors speak of a dataset that this pipeline no longer writes to: they would skip rows.
        wipe(settings.working_dir, settings.pipeline_name, keep_pending=True)
    made = _new(settings, dataset_before=dataset_before)
    made.activate()
    return made


def attach(
    pipeline_name: str | None = None,
    pipelines_dir: str | Path | None = None,
    pipeline_salt: str | None = None,
    destination: Any = None,
    staging: Any = None,
    progress: Collector | str | None = _NULL_COLLECTOR,
    dataset_name: str | None = None,
    **config: Any,
) -> Pipeline:
    """Join a pipeline that is there, from any process; any number of them may work at once.

    Destination, staging and dataset come from the pipeline's state unless they are given here; given ones hold for
    this object, and are not forced on the others. Without a working folder the pipeline is restored from the
    destination and dataset given. Nothing is ever wiped.

    Raises:
        CannotRestorePipelineException: the pipeline is neither here nor at the destination; says where it looked.
        SaltMismatch: the salt is not the one the pipeline was created with.
        StoreDamaged, StoreTooNew: the working folder's store cannot be read; nothing was changed.
    """
    settings = resolve_pipeline(
        pipeline_name=pipeline_name,
        pipelines_dir=pipelines_dir,
        pipeline_salt=pipeline_salt,
        destination=destination,
        staging=staging,
        dataset_name=dataset_name,
        dev_mode=False,
        progress=progress,
        **config,
    )
    try:
        member = Membership.open(settings.working_dir, settings.pipeline_name, durability=_durability(settings))
    except FileNotFoundError:
        made = _restored(settings)
    else:
        made = _joined(settings, member) or _restored(settings)
    made.activate()
    return made


def drop(current: Pipeline, pipeline_name: str | None) -> Pipeline:
    """Wipe a pipeline's folder and make it anew, or one of another name in its place."""
    was_settings = current._settings
    wipe(current._member.folder, current.pipeline_name, mine=current.member)
    set_active(None)
    if pipeline_name is None:
        fresh = _new(was_settings, refresh=None, like=current, dataset_before=current.dataset_name)
        current._member, current._synced, current._trace = fresh._member, False, None
        current.route.forget_targets()
        current._unflushed, current.refresh = [], None
        current.activate()
        return current
    settings = resolve_pipeline(pipeline_name=pipeline_name, pipelines_dir=was_settings.pipelines_dir)
    made = _new(settings, like=current)
    made.activate()
    return made


def _before(settings: PipelineSettings) -> tuple[bool, str | None]:
    """Tell whether a folder that is there was in dev mode, and which dataset it wrote to."""
    if not SqliteStore.exists(settings.working_dir):
        return False, None
    store = SqliteStore.open(settings.working_dir, worker="")
    try:
        with store.snapshot() as snapshot:
            return bool(snapshot.get(("_local", "_dev_mode"), False)), snapshot.get(("dataset_name",))
    finally:
        store.close()


def _durability(settings: PipelineSettings) -> Durability:
    found = Settings.current().get("durability", "runtime", pipeline_name=settings.pipeline_name, as_type=str)
    return "none" if found is not None and found.value == "none" else "full"


def _new(
    settings: PipelineSettings,
    *,
    refresh: Any = ...,
    like: Pipeline | None = None,
    restoring: bool = False,
    dataset_before: str | None = None,
) -> Pipeline:
    member = Membership.create(settings.working_dir, settings.pipeline_name, durability=_durability(settings))
    made = Pipeline(settings, member, attached=False)
    if refresh is None:
        made.refresh = None
    with member.store.snapshot() as snapshot:
        kept = {key[0]: value for key, value in snapshot.documents().items() if len(key) == 1}
        local = snapshot.documents(("_local",))
    _check_salt(made, settings, local.get(("_local", "salt_digest")), created=bool(local))
    if like is not None and settings.destination is None:
        made.route.take_from(like.route)
    _resolve_destinations(made, settings, local)
    made.route.chosen_dataset = _dataset(made, settings, kept, dataset_before)
    if not _keep_creation(made, settings, local, restoring=restoring) and made.destination is not None:
        made.route.persist(member.store)
    if not local:
        member.told("pipeline.created", folder=str(member.folder), dataset=made.dataset_name)
    return made


def _dataset(made: Pipeline, settings: PipelineSettings, kept: dict[str, Any], before: str | None) -> str | None:
    if settings.dataset_name is not None:
        name: str | None = settings.dataset(settings.dataset_name)
    elif isinstance(kept.get("dataset_name"), str):
        return str(kept["dataset_name"])
    else:
        name = made.route.default_dataset if made.destination is not None else None
    if settings.dev_mode and name is not None:
        # Begun anew within one second, it must not write into the dataset that it has just turned its back on.
        now = time.time()
        stamped = (
            f"{name.removesuffix('_')}_{time.strftime('%Y%m%d%I%M%S', time.gmtime(now + later))}" for later in (0, 1)
        )
        return next(one for one in stamped if one != before)
    return name


def _keep_creation(made: Pipeline, settings: PipelineSettings, local: dict[Any, Any], *, restoring: bool) -> bool:
    """Write down what a pipeline is created with, all at once; False where all of it is there already."""
    values = {
        "first_run": local.get(("_local", "first_run"), True),
        "_dev_mode": settings.dev_mode,
        "initial_cwd": local.get(("_local", "initial_cwd"), str(settings.local_dir)),
    }
    if restoring:
        values[RESTORING[1]] = True
    if settings.salt_is_explicit and ("_local", "salt_digest") not in local:
        values["salt_digest"] = salt_digest(settings.pipeline_salt.reveal(), settings.pipeline_name)
    left_half_way = not restoring and RESTORING in local
    if not left_half_way and all(local.get(("_local", key)) == value for key, value in values.items()):
        return False
    with made.member.store.transaction("create pipeline") as tx:
        for key, value in values.items():
            if key == "_dev_mode" or tx.get(("_local", key)) is None:
                put_if_other(tx, ("_local", key), value)
        put_if_other(tx, ("pipeline_name",), settings.pipeline_name)
        if left_half_way:
            tx.delete(RESTORING)  # it is created now; what the destination has comes with the first run
        if made.destination is not None:
            made.route.put(tx)
    return True


def _check_salt(made: Pipeline, settings: PipelineSettings, digest: Any, *, created: bool) -> None:
    if settings.salt_is_explicit and created:
        check_salt(digest, settings.pipeline_salt.reveal(), settings.pipeline_name)
    # Not given, though one is needed: whoever only loads or looks needs none, so the error waits until it is asked for.
    made._salt_unknown = digest is not None and not settings.salt_is_explicit


def _resolve_destinations(made: Pipeline, settings: PipelineSettings, local: dict[Any, Any]) -> None:
    roles: tuple[Role, Role] = ("destination", "staging")
    for role in roles:
        given = getattr(settings, role)
        kept = reference_from_document(local.get(("_local", role)))
        if given is not None:
            made.route.resolve(role, given, getattr(settings, f"{role}_name"))
        elif kept is not None:
            made.route.keep(role, kept)


def _joined(settings: PipelineSettings, member: Membership) -> Pipeline | None:
    """Join a folder; ``None`` where whoever was creating or restoring it did not come to the end of it."""
    with member.store.snapshot() as snapshot:
        kept = {("dataset_name",): snapshot.get(("dataset_name",))}
        local = snapshot.documents(("_local",))
    if ("_local", "initial_cwd") not in local or RESTORING in local:
        member.close()
        return None
    try:
        made = Pipeline(settings, member, attached=True)
        _check_salt(made, settings, local.get(("_local", "salt_digest")), created=True)
        _resolve_destinations(made, settings, local)
        made.route.chosen_dataset = (
            settings.dataset(settings.dataset_name) if settings.dataset_name else kept[("dataset_name",)]
        )
    except BaseException:
        member.close()
        raise
    member.told("pipeline.attached", folder=str(member.folder))
    return made


def _restored(settings: PipelineSettings) -> Pipeline:
    """Restore a pipeline from its destination; nothing is made on this machine before it is found there."""
    folder = settings.working_dir
    found_here = _look_at(folder)
    where = str(settings.pipelines_dir)
    if settings.destination is None:
        raise CannotRestorePipelineException(
            settings.pipeline_name,
            where,
            f"{found_here}, and no destination was given to restore it from. Create it first with "
            f"oarlock.pipeline({settings.pipeline_name!r}, …), check pipelines_dir, or give destination=… and "
            "dataset_name=…",
        )
    from oarlock.pipelines.restoring import look, take_over  # imports what only a restore needs

    destination = Route(settings).resolve("destination", settings.destination, settings.destination_name)
    dataset = settings.dataset(settings.dataset_name or f"{settings.pipeline_name}{DATASET_SUFFIX}")
    try:
        found = look(_client(settings, destination, dataset), settings.pipeline_name)
    except CannotRestorePipelineException:
        raise
    except Exception as error:
        raise CannotRestorePipelineException(
            settings.pipeline_name,
            where,
            f"{found_here}, and asking destination {destination.name!r}, dataset {dataset!r} failed: "
            f"{redact(str(error))}",
        ) from error
    if found is None:
        _wipe_empty(folder, settings.pipeline_name)
        hint = "" if settings.dataset_name else " dataset_name was not given; the default was looked in."
        raise CannotRestorePipelineException(
            settings.pipeline_name,
            where,
            f"{found_here}, and destination {destination.name!r} has no state of it in dataset {dataset!r}.{hint} "
            "Check destination and dataset_name, or create it with oarlock.pipeline(…)",
        )
    made = _new(settings, restoring=True)
    take_over(made.member, found)
    made._synced = True
    return made


def _client(settings: PipelineSettings, destination: Any, dataset: str) -> Any:
    from oarlock.schema.naming import Naming

    return destination.client(
        Naming(destination.capabilities.max_identifier_length).identifier(dataset),
        pipeline_name=settings.pipeline_name,
        default_folder=settings.local_dir,
        working_dir=settings.working_dir,
        timeout_s=30.0,
    )


def _look_at(folder: Path) -> str:
    """Say what is where the working folder should be."""
    if not folder.exists():
        return f"folder {str(folder)!r} does not exist"
    if marker_of(folder) is None:
        names = sorted(os.listdir(folder))[:3] if folder.is_dir() else ["a file"]
        return f"folder {str(folder)!r} is not one of oarlock's (it holds {', '.join(map(repr, names)) or 'nothing'})"
    return f"folder {str(folder)!r} is there but holds no state"


def _wipe_empty(folder: Path, pipeline_name: str) -> None:
    """Remove a working folder of ours that holds nothing of worth: no committed package, no live worker."""
    try:
        refuse_foreign(folder, pipeline_name)
    except ForeignFolder:
        return
    if marker_of(folder) is None or any((folder / "packages").glob("*")):
        return
    with suppress(OarlockError):  # it is in use after all, or its store cannot be read: it stays
        wipe(folder, pipeline_name, keep_pending=True)
