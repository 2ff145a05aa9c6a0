"""Every error oarlock raises, in one tree.

OarlockError
├── ConfigurationError (ValueError)
│   ├── ConfigFieldMissing (KeyError)
│   ├── InvalidSetting
│   ├── UnknownDestination
│   ├── DestinationNoStaging
│   └── MissingExtra (ImportError)
├── LockTimeout (TimeoutError)
├── LockMisuse (RuntimeError)
├── LockFileRefused (OSError)
├── FencedOut
├── UnsupportedFileSystem (OSError)
├── ForkedProcess (RuntimeError)
├── StoreError
│   ├── StoreDamaged
│   ├── StoreTooNew
│   ├── StorePoisoned (OSError)
│   ├── StoreUnavailable (OSError)
│   ├── StateConflict
│   ├── StateInvalid (TypeError)
│   └── StateTooLarge (ValueError)
├── SchemaError
│   ├── SchemaNotFound (KeyError)
│   ├── TableNotFound (KeyError)
│   └── InvalidName (ValueError)
├── DataError (ValueError)
│   ├── InvalidRow
│   ├── InvalidFile
│   ├── UnsupportedData (TypeError)
│   └── ResourceNameMissing
├── DestinationError
│   ├── DestinationTransientError
│   │   └── DestinationBusy (TimeoutError)
│   ├── DestinationTerminalError
│   ├── DestinationUndefined
│   └── DestinationHasFailedJobs
└── PipelineException
    ├── InvalidPipelineName (ValueError)
    ├── PipelineConfigMissing
    ├── CannotRestorePipelineException
    ├── SaltMismatch
    ├── ForeignFolder
    ├── PipelineInUse
    ├── PipelineStepFailed
    ├── PipelineStateEngineNoUpgradePathException
    ├── PipelineHasPendingDataException
    ├── PipelineNeverRan
    ├── PipelineNotActive
    ├── LoadPackageNotFound (KeyError)
    └── PackageDamaged

Each keeps its facts as attributes and pickles, so that it can travel from a worker to its coordinator.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def _rebuild(cls: type[BaseException], args: tuple[Any, ...], facts: dict[str, Any]) -> BaseException:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(facts)
    return error


class OarlockError(Exception):
    """The root of the tree: catch this to catch whatever oarlock raises of its own."""

    def __reduce__(self) -> tuple[Any, ...]:
        # The message is already built: a subclass's own constructor is not run a second time.
        return _rebuild, (type(self), self.args, _travelling(self.__dict__))

    def __str__(self) -> str:
        # KeyError among the bases would print the repr of the message.
        return str(self.args[0]) if self.args else type(self).__name__


def _travelling(facts: dict[str, Any]) -> dict[str, Any]:
    """Keep the facts that are plain values; an exception or object that may not pickle travels as its text."""
    kept: dict[str, Any] = {}
    for name, value in facts.items():
        plain = isinstance(value, str | int | float | bool | bytes | Path | OarlockError | type(None))
        if plain or (isinstance(value, list | tuple | dict | set) and not _holds_objects(value)):
            kept[name] = value
        else:
            kept[name] = repr(value)
    return kept


def _holds_objects(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_holds_objects(v) for v in (*value.keys(), *value.values()))
    if isinstance(value, list | tuple | set):
        return any(_holds_objects(v) for v in value)
    return not isinstance(value, str | int | float | bool | bytes | Path | type(None))


class ConfigurationError(OarlockError, ValueError):
    """A setting has a value that cannot work."""


class ConfigFieldMissing(ConfigurationError, KeyError):
    """A needed setting was found nowhere; the message lists every place that was asked."""

    def __init__(self, field: str, looked_in: Sequence[str]) -> None:
        self.field, self.looked_in = field, list(looked_in)
        places = "".join(f"\n  - {place}" for place in looked_in)
        super().__init__(f"setting {field!r} is missing. Set one of:{places}")


class InvalidSetting(ConfigurationError):
    """A setting was found, but its value cannot be read as what it must be."""

    def __init__(self, key: str, value: object, source: str, wanted: str) -> None:
        self.key, self.value, self.source, self.wanted = key, repr(value)[:200], source, wanted
        super().__init__(f"setting {key!r} is {self.value} (from {source}); it must be {wanted}")


class UnknownDestination(ConfigurationError):
    """A destination was named that oarlock does not know."""

    def __init__(self, name: str, known: Sequence[str], reason: str = "") -> None:
        self.name, self.known, self.reason = name, list(known), reason
        why = f": {reason}" if reason else ""
        super().__init__(f"unknown destination {name!r}{why}. Known are {', '.join(known)}; or give a factory or a URL")


class DestinationNoStaging(ConfigurationError):
    """A staging was given that cannot stage files."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"destination {name!r} cannot be used as staging; use 'filesystem'")


class MissingExtra(ConfigurationError, ImportError):
    """A feature needs packages of an extra that is not installed."""

    def __init__(self, feature: str, extra: str, module: str) -> None:
        self.feature, self.extra, self.module = feature, extra, module
        super().__init__(
            f"{feature} needs the module {module!r}, which is not installed: pip install 'oarlock[{extra}]'"
        )


class LockTimeout(OarlockError, TimeoutError):
    """A lock was not had in time."""

    def __init__(self, name: str, waited_s: float, owner: str | None) -> None:
        self.name, self.waited_s, self.owner = name, waited_s, owner
        held = f"; held by {owner}" if owner else ""
        super().__init__(f"lock {name!r} not had in {waited_s:g} s{held}")


class LockMisuse(OarlockError, RuntimeError):
    """A lock was acquired twice by one thread, or given back by one that does not have it."""

    def __init__(self, name: str, found: str) -> None:
        self.name, self.found = name, found
        super().__init__(f"lock {name!r} {found}")


class LockFileRefused(OarlockError, OSError):
    """Something that is not a plain file stands where a lock file must be."""

    def __init__(self, path: Path | str, found: str) -> None:
        self.path, self.found = str(path), found
        super().__init__(
            f"lock file {str(path)!r} is {found}, which oarlock never makes. Look who put it there, and remove it"
        )


class FencedOut(OarlockError):
    """A former owner tried to write after another owner had taken over."""

    def __init__(self, name: str, epoch: int, newest: int, found: str = "") -> None:
        self.name, self.epoch, self.newest, self.found = name, epoch, newest, found
        what = found or f"it has a newer owner, whose epoch is {newest}"
        super().__init__(f"lock {name!r} is no longer held with epoch {epoch}: {what}; nothing was written")


class UnsupportedFileSystem(OarlockError, OSError):
    """Native locks were tried on this file system and did not hold."""

    def __init__(self, folder: Path | str, found: str) -> None:
        self.folder, self.found = str(folder), found
        super().__init__(
            f"folder {str(folder)!r} is on a file system where locks do not hold ({found}). "
            "Use a folder on a local disk (pipelines_dir=…), or set OARLOCK_ALLOW_UNSAFE_FS=1 if you know better"
        )


class ForkedProcess(OarlockError, RuntimeError):
    """An object that lives in one process was used in a forked child."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(
            f"{what} was open when this process was forked, and belongs to the parent. Close it before you "
            "fork, or start "
            "children with spawn or forkserver"
        )


class StoreError(OarlockError):
    """The state store refused."""


class StoreDamaged(StoreError):
    """A document or file of the store does not read as what it must be."""

    def __init__(self, path: Path | str, found: str) -> None:
        self.path, self.found = str(path), found
        super().__init__(
            f"{str(path)!r} is damaged: {found}. Nothing was overwritten; "
            "`oarlock doctor NAME` shows what can be restored"
        )


class StoreTooNew(StoreError):
    """The store was written by a newer oarlock."""

    def __init__(self, path: Path | str, found: int, known: int) -> None:
        self.path, self.found, self.known = str(path), found, known
        super().__init__(
            f"{str(path)!r} has format {found}; this oarlock knows formats up to {known}. Upgrade oarlock; "
            "nothing was changed"
        )


class StorePoisoned(StoreError, OSError):
    """A sync to disk failed: what the disk holds is unknown, so this process no longer writes."""

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path, self.reason = str(path), reason
        super().__init__(
            f"syncing {str(path)!r} failed ({reason}); what reached the disk is unknown. Start the process "
            "again once the disk is well"
        )


class StoreUnavailable(StoreError, OSError):
    """The store could not be read or written just now: a full disk, a lost permission, an error of the disk."""

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path, self.reason = str(path), reason
        super().__init__(f"{str(path)!r} could not be used: {reason}. Nothing of this transaction was written")


class StateConflict(StoreError):
    """Two runs changed one plain key of the state to different values."""

    def __init__(self, key: str, ours: str, theirs: str) -> None:
        self.key, self.ours, self.theirs = key, ours, theirs
        super().__init__(
            f"state key {key!r} was changed by {theirs} while {ours} changed it too. "
            "Use `with pipeline.state_transaction() as state:` for values that several workers change"
        )


class StateInvalid(StoreError, TypeError):
    """One value of the state is of a kind that cannot be kept."""

    def __init__(self, key: str, reason: str) -> None:
        self.key, self.reason = key, reason
        super().__init__(f"state key {key!r} holds a value that cannot be kept: {reason}")


class StateTooLarge(StoreError, ValueError):
    """One value of the state is over the limit."""

    def __init__(self, key: str, size_bytes: int, limit_bytes: int) -> None:
        self.key, self.size_bytes, self.limit_bytes = key, size_bytes, limit_bytes
        super().__init__(
            f"state key {key!r} has {size_bytes} bytes; the limit is {limit_bytes}. Keep lists of rows in a "
            "table, not in the state"
        )


class SchemaError(OarlockError):
    """The schema refused."""


class SchemaNotFound(SchemaError, KeyError):
    """No schema of this name is in the store."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name, self.known = name, list(known)
        super().__init__(f"no schema {name!r}; known are {', '.join(map(repr, known)) or 'none'}")


class TableNotFound(SchemaError, KeyError):
    """The schema has no table of this name."""

    def __init__(self, table: str, schema: str, known: Sequence[str]) -> None:
        self.table, self.schema, self.known = table, schema, list(known)
        super().__init__(f"schema {schema!r} has no table {table!r}; known are {', '.join(map(repr, known)) or 'none'}")


class InvalidName(SchemaError, ValueError):
    """A table, column or dataset was given a name that cannot be used."""

    def __init__(self, kind: str, name: str, reason: str) -> None:
        self.kind, self.name, self.reason = kind, name, reason
        super().__init__(f"{kind} name {name!r} cannot be used: {reason}")


class DataError(OarlockError, ValueError):
    """What was handed in cannot be loaded."""


class InvalidRow(DataError):
    """A row holds a value that no table can hold."""

    def __init__(self, table: str, column: str, value: str, reason: str) -> None:
        self.table, self.column, self.value, self.reason = table, column, value[:200], reason
        super().__init__(
            f"a row for table {table!r} has in column {column!r} the value {value[:200]}: {reason}. Nothing of "
            "this run was loaded"
        )


class InvalidFile(DataError):
    """A file cannot be read as what it is said to be."""

    def __init__(self, path: Path | str, reason: str, line: int | None = None) -> None:
        self.path, self.reason, self.line = str(path), reason, line
        where = f", line {line}" if line is not None else ""
        super().__init__(f"file {str(path)!r}{where}: {reason}. Nothing of this run was loaded")


class UnsupportedData(DataError, TypeError):
    """Data of a kind that ``run()`` does not take."""

    def __init__(self, found: str, hint: str) -> None:
        self.found, self.hint = found, hint
        super().__init__(f"cannot load data of type {found}: {hint}")


class ResourceNameMissing(DataError):
    """Rows came without a name for their table."""

    def __init__(self, found: str) -> None:
        self.found = found
        super().__init__(
            f"rows from {found} have no table: say run(…, table_name=…), or make them a resource with a name"
        )


class DestinationError(OarlockError):
    """The destination refused."""


class DestinationTransientError(DestinationError):
    """The destination refused for a reason that may pass; the packages stay pending."""


class DestinationBusy(DestinationTransientError, TimeoutError):
    """The database is held by another process; the packages stay pending."""

    def __init__(self, location: str, waited_s: float, holder: str, pid: int | None) -> None:
        self.location, self.waited_s, self.holder, self.pid = location, waited_s, holder, pid
        super().__init__(f"database {location!r} was not free within {waited_s:g} s: held by {holder}")


class DestinationTerminalError(DestinationError):
    """The destination refused for a reason that another try will not mend."""


class DestinationUndefined(DestinationError):
    """The dataset or table is not there."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"{what} does not exist at the destination")


class DestinationHasFailedJobs(DestinationError):
    """A load ended with failed jobs."""

    def __init__(self, destination: str, load_id: str, jobs: Sequence[str]) -> None:
        self.destination, self.load_id, self.jobs = destination, load_id, list(jobs)
        super().__init__(
            f"package {load_id} has {len(self.jobs)} failed job(s) at {destination!r}: {', '.join(self.jobs[:5])}"
        )


class PipelineException(OarlockError):
    """An error of one named pipeline."""

    def __init__(self, pipeline_name: str, message: str) -> None:
        self.pipeline_name = pipeline_name
        super().__init__(message)


class InvalidPipelineName(PipelineException, ValueError):
    """A pipeline name that cannot be a folder of its own."""

    def __init__(self, pipeline_name: str, details: str) -> None:
        self.details = details
        super().__init__(pipeline_name, f"pipeline name {pipeline_name!r} cannot be used: {details}")


class PipelineConfigMissing(PipelineException):
    """A step needs a setting that the pipeline does not have."""

    def __init__(self, pipeline_name: str, config_elem: str, step: str, help_text: str) -> None:
        self.config_elem, self.step, self.help = config_elem, step, help_text
        super().__init__(
            pipeline_name, f"pipeline {pipeline_name!r} has no {config_elem}, which {step} needs. {help_text}"
        )


class CannotRestorePipelineException(PipelineException):
    """``attach()`` found no pipeline, neither in the working folder nor at the destination."""

    def __init__(self, pipeline_name: str, pipelines_dir: str, reason: str) -> None:
        self.pipelines_dir, self.reason = pipelines_dir, reason
        super().__init__(pipeline_name, f"pipeline {pipeline_name!r} in {pipelines_dir!r} cannot be restored: {reason}")


class SaltMismatch(PipelineException, ValueError):
    """``attach()`` was given another salt than the one the pipeline was created with."""

    def __init__(self, pipeline_name: str) -> None:
        super().__init__(
            pipeline_name,
            f"pipeline {pipeline_name!r} was created with another pipeline_salt. Values hashed with two salts never "
            "match: give the salt it was created with (argument, PIPELINE_SALT, or secrets.toml)",
        )


class ForeignFolder(PipelineException):
    """The working folder holds files that oarlock did not put there."""

    def __init__(self, pipeline_name: str, folder: str, found: Sequence[str]) -> None:
        self.folder, self.found = folder, list(found)
        super().__init__(
            pipeline_name,
            f"folder {folder!r} is not an oarlock working folder (it holds {', '.join(map(repr, self.found[:3]))}). "
            "It is not touched; choose another pipeline_name or pipelines_dir",
        )


class PipelineInUse(PipelineException):
    """A pipeline cannot be wiped while live workers hold it or rows in it wait to be loaded."""

    def __init__(self, pipeline_name: str, reason: str) -> None:
        self.reason = reason
        super().__init__(pipeline_name, f"pipeline {pipeline_name!r} was not wiped: {reason}")


class PipelineStepFailed(PipelineException):
    """A step of ``run()`` failed; its cause is chained, and nothing that was committed is lost."""

    def __init__(self, pipeline_name: str, step: str, load_id: str | None, cause: str, has_pending_data: bool) -> None:
        self.step, self.load_id, self.cause, self.has_pending_data = step, load_id, cause, has_pending_data
        self.is_package_partially_loaded = False
        package = f" of package {load_id}" if load_id else ""
        kept = " Its rows are safe in the working folder and load with the next run." if has_pending_data else ""
        super().__init__(
            pipeline_name, f"pipeline {pipeline_name!r}: step {step}{package} failed: {cause.rstrip('.')}.{kept}"
        )

    def attrs(self) -> dict[str, Any]:
        """Give the facts as plain values."""
        return {
            "pipeline_name": self.pipeline_name,
            "step": self.step,
            "load_id": self.load_id,
            "has_pending_data": self.has_pending_data,
            "is_package_partially_loaded": False,
        }


class PipelineStateEngineNoUpgradePathException(PipelineException):
    """A state document has a format that this version cannot read."""

    def __init__(self, pipeline_name: str, found: int, known: int) -> None:
        self.found, self.known = found, known
        super().__init__(
            pipeline_name,
            f"the state of pipeline {pipeline_name!r} has engine version {found}; this oarlock knows {known}",
        )


class PipelineHasPendingDataException(PipelineException):
    """Something was asked that needs all packages to be loaded first."""

    def __init__(self, pipeline_name: str, load_ids: Sequence[str]) -> None:
        self.load_ids = list(load_ids)
        super().__init__(
            pipeline_name,
            f"pipeline {pipeline_name!r} has {len(self.load_ids)} package(s) that wait to be loaded; "
            "load them with run(None), or drop them with drop_pending_packages()",
        )


class PipelineNeverRan(PipelineException):
    """Something was asked that needs a run before it."""

    def __init__(self, pipeline_name: str, what: str) -> None:
        self.what = what
        super().__init__(pipeline_name, f"pipeline {pipeline_name!r} never ran: there is no {what} yet")


class PipelineNotActive(PipelineException):
    """A pipeline was deactivated that is not the active one."""

    def __init__(self, pipeline_name: str) -> None:
        super().__init__(pipeline_name, f"pipeline {pipeline_name!r} is not the active one")


class LoadPackageNotFound(PipelineException, KeyError):
    """No package of this load id is in the store."""

    def __init__(self, pipeline_name: str, load_id: str) -> None:
        self.load_id = load_id
        super().__init__(pipeline_name, f"pipeline {pipeline_name!r} has no load package {load_id!r}")


class PackageDamaged(PipelineException):
    """A committed package's file is missing or not what was written."""

    def __init__(self, pipeline_name: str, load_id: str, path: str, found: str) -> None:
        self.load_id, self.path, self.found = load_id, path, found
        super().__init__(
            pipeline_name,
            f"package {load_id} of pipeline {pipeline_name!r}: file {path!r} {found}. It was not loaded and is "
            "kept as failed; "
            "`oarlock pipeline NAME failed-jobs` shows it, drop_pending_packages() sets it aside",
        )
