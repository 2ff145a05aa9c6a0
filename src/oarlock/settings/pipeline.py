"""What a pipeline is made with: name, folder, destination and the rest, from arguments and then from the settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from oarlock.errors import InvalidSetting
from oarlock.settings.folders import expand
from oarlock.settings.lookup import Resolved, Settings
from oarlock.settings.names import check_pipeline_name, default_pipeline_name
from oarlock.settings.salt import default_salt
from oarlock.settings.secret import Secret
from oarlock.values import Refresh

#: The section of pipelines: ``[pipelines.<name>]`` over ``[pipelines]`` over the root.
SECTION = "pipelines"
#: Arguments beside those of the signature: ``pipeline(…, restore_from_destination=False)``.
EXTRA_ARGUMENTS = (
    *("dataset_name_layout", "restore_from_destination", "enable_runtime_trace"),
    *("destination_type", "destination_name", "staging_type", "staging_name"),
)


@dataclass(frozen=True, slots=True)
class PipelineSettings:
    """The values one pipeline object starts with; ``sources`` says where each that was found came from."""

    pipeline_name: str
    pipelines_dir: Path
    pipeline_salt: Secret[str]
    salt_is_explicit: bool  # False: derived from the name; no digest is kept of it
    destination: Any  # as given, or the text that was found; None: none
    destination_name: str | None
    staging: Any
    staging_name: str | None
    dataset_name: str | None
    dataset_name_layout: str | None
    import_schema_path: Path | None
    export_schema_path: Path | None
    dev_mode: bool
    refresh: Refresh | None
    progress: Any
    restore_from_destination: bool
    enable_runtime_trace: bool
    local_dir: Path  # what relative paths of the destination are relative to
    sources: Mapping[str, str]

    @property
    def working_dir(self) -> Path:
        """The pipeline's own folder."""
        return self.pipelines_dir / self.pipeline_name

    def dataset(self, name: str) -> str:
        """Put a dataset's name into the layout, where there is one."""
        return self.dataset_name_layout.replace("%s", name) if self.dataset_name_layout else name


class _Asker:
    """Asks for the settings of one pipeline and keeps where each answer came from."""

    def __init__(self, settings: Settings, extra: Mapping[str, Any]) -> None:
        self.settings, self.extra = settings, extra
        self.sections: tuple[str, ...] = (SECTION,)
        self.sources: dict[str, str] = {}

    def ask(self, key: str, as_type: type | None = str, *, given: Any = None, secret: bool = False) -> Resolved | None:
        given = self.extra.get(key) if given is None else given
        found = self.settings.get(key, *self.sections, explicit=given, as_type=as_type, secret=secret)
        if found is not None:
            self.sources[key] = found.source
        return found

    def text(self, key: str, given: Any = None) -> str | None:
        found = self.ask(key, str, given=given or None)
        return found.value if found is not None else None

    def flag(self, key: str, default: bool, given: bool | None = None) -> bool:
        found = self.ask(key, bool, given=given)
        return default if found is None else found.value

    def path(self, key: str, given: Path | str | None = None) -> Path | None:
        text = self.text(key, os.fspath(given) if given else None)
        if text is None:
            return None
        if "://" in text:
            raise InvalidSetting(key, text, self.sources[key], "a folder of this machine")
        return Path(os.path.abspath(expand(text, self.settings.environ)))


def resolve_pipeline(
    settings: Settings | None = None,
    *,
    pipeline_name: str | None = None,
    pipelines_dir: Path | str | None = None,
    pipeline_salt: str | Secret[str] | None = None,
    destination: Any = None,
    staging: Any = None,
    dataset_name: str | None = None,
    import_schema_path: Path | str | None = None,
    export_schema_path: Path | str | None = None,
    dev_mode: bool | None = None,
    refresh: Refresh | None = None,
    progress: Any = None,
    **extra: Any,
) -> PipelineSettings:
    """Resolve a pipeline's parameters: argument, then providers, then default; None is "not given".

    Raises:
        InvalidPipelineName: The name cannot be a folder.
        ConfigurationError: A value cannot work; the message names its key, what was seen and where.
        TypeError: An extra argument that no pipeline has.
    """
    for name in extra:
        if name not in EXTRA_ARGUMENTS:
            raise TypeError(
                f"unexpected argument {name!r}; beside the signature there are {', '.join(EXTRA_ARGUMENTS)}"
            )
    ask = _Asker(settings or Settings.current(), extra)
    name = check_pipeline_name(ask.text("pipeline_name", pipeline_name) or default_pipeline_name())
    ask.sections = (SECTION, name)
    salt = ask.ask("pipeline_salt", str, given=pipeline_salt or None, secret=True)
    kind, kind_name = _destination(ask, "destination", destination)
    staging_kind, staging_name = _destination(ask, "staging", staging)
    return PipelineSettings(
        pipeline_name=name,
        pipelines_dir=ask.path("pipelines_dir", pipelines_dir) or ask.settings.folders.pipelines,
        pipeline_salt=salt.value if salt is not None else Secret(default_salt(name)),
        salt_is_explicit=salt is not None,
        destination=kind,
        destination_name=kind_name,
        staging=staging_kind,
        staging_name=staging_name,
        dataset_name=ask.text("dataset_name", dataset_name),
        dataset_name_layout=_layout(ask),
        import_schema_path=ask.path("import_schema_path", import_schema_path),
        export_schema_path=ask.path("export_schema_path", export_schema_path),
        dev_mode=ask.flag("dev_mode", False, dev_mode),
        refresh=_refresh(ask, refresh),
        progress=progress if progress is not None else ask.text("progress"),
        restore_from_destination=ask.flag("restore_from_destination", True),
        enable_runtime_trace=ask.flag("enable_runtime_trace", True),
        local_dir=ask.settings.folders.local,
        sources=ask.sources,
    )


def _destination(ask: _Asker, role: str, given: Any) -> tuple[Any, str | None]:
    kind = ask.text(f"{role}_type") if given is None or given == "" else None
    name = ask.text(f"{role}_name")
    if kind is None and (given is None or given == ""):
        return name, name
    return (kind if kind is not None else given), name


def _layout(ask: _Asker) -> str | None:
    layout = ask.text("dataset_name_layout")
    if layout is not None and layout.count("%s") != 1:
        raise InvalidSetting(
            "dataset_name_layout", layout, ask.sources["dataset_name_layout"], "a text with one %s in it"
        )
    return layout


def _refresh(ask: _Asker, given: str | None) -> Refresh | None:
    text = ask.text("refresh", given)
    for word in get_args(Refresh):
        if text == word:
            return word  # type: ignore[no-any-return]  # get_args is untyped; the word is one of Refresh
    if text is not None:
        raise InvalidSetting("refresh", text, ask.sources["refresh"], " or ".join(map(repr, get_args(Refresh))))
    return None
