"""The knobs of a run: limits, waits and logs, validated once when the first run begins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args

from pydantic import Field, PrivateAttr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from oarlock.errors import ConfigurationError, InvalidSetting
from oarlock.settings.catalogue import ENVIRONMENT_ONLY, OF_PIPELINES, Setting, as_table
from oarlock.settings.lookup import Resolved, Settings
from oarlock.values import Durability

#: The name under which the providers travel through the model's constructor.
PROVIDERS = "oarlock_providers"
#: The page of settings, without its tables.
PAGE = """# Settings

<!-- Written by oarlock.knobs.as_markdown(); a test keeps it so. -->

A setting is looked for in this order:

1. the argument of the function;
2. a value set by the program, `oarlock.config["section.key"] = …`;
3. an environment variable, and for secrets a file `/run/secrets/<section>--<key>`;
4. `secrets.toml`;
5. `config.toml`;
6. the default.

Both files stand in the project's `.oarlock/` folder and, for all projects, in `~/.oarlock/`; the project's wins.
Where a project has no `.oarlock/` folder, its `.dlt/` folder is read instead.
A secret in `config.toml` is refused.

Each place is asked for the most specific name first: `[pipelines.sales] dataset_name`, then `[pipelines] dataset_name`,
then `dataset_name` alone.
Before that, every place is asked for the same names under the pipeline's own name: `[sales.load] wait` is found before
`LOAD__WAIT`, and only for the pipeline *sales*.
As environment variables these are `PIPELINES__SALES__DATASET_NAME` and `SALES__LOAD__WAIT`; a character that no shell
allows may be written as `_`.

## Of runs

{knobs}

## Of pipelines

{pipelines}

## Of the environment alone

{environment}
"""

LogLevel = Literal["info", "warning", "error"]

#: Words of other loggers, and the level of ours that keeps the same events.
LEVEL_WORDS = {"debug": "info", "warn": "warning", "critical": "error", "fatal": "error"}


def _knob(default: Any, setting: str, sentence: str, *, also: tuple[str, ...] = (), **limits: Any) -> Any:
    """Declare one knob: where it is looked for, and what it does.

    ``section:key`` is also found without its section, as in dlt; ``section.key`` is not: a variable called WAIT
    may be anybody's.
    """
    return Field(default, description=sentence, json_schema_extra={"asked": [setting, *also]}, **limits)


class RuntimeSettings(BaseSettings):
    """The knobs of one pipeline's runs; ``source("lock_timeout_s")`` says where a value came from."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    lock_timeout_s: float = _knob(
        60.0, "runtime.lock_timeout_s", "Seconds to wait for a lock of the working folder before LockTimeout.", gt=0
    )
    destination_timeout_s: float = _knob(
        300.0, "runtime.destination_timeout_s", "Seconds to wait for a database that another process holds.", gt=0
    )
    durability: Durability = _knob(
        "full", "runtime.durability", "`full`: what is acknowledged survives a power cut. `none`: only a crash."
    )
    log_level: LogLevel = _knob(
        "info", "runtime.log_level", "The least level of events that are written: `info`, `warning` or `error`."
    )
    write_logs: bool = _knob(True, "runtime.write_logs", "Write events into the working folder's `logs/`.")
    batch_max_rows: int = _knob(
        10_000,
        "extract:data_writer.buffer_max_items",
        "Rows that are normalized at once.",
        gt=0,
    )
    batch_max_bytes: int = _knob(
        8_000_000, "extract:data_writer.buffer_max_bytes", "About how many bytes of rows are normalized at once.", gt=0
    )
    file_max_rows: int = _knob(
        1_000_000,
        "normalize:data_writer.file_max_items",
        "Rows after which a package begins another file.",
        also=("extract:data_writer.file_max_items",),
        gt=0,
    )
    file_max_bytes: int = _knob(
        128_000_000,
        "normalize:data_writer.file_max_bytes",
        "Bytes after which a package begins another file.",
        also=("extract:data_writer.file_max_bytes",),
        gt=0,
    )
    wait: bool = _knob(
        True, "load.wait", "Whether `run()` returns when its rows are in the destination, or when they are durable."
    )
    flush_timeout_s: float = _knob(
        300.0, "load.flush_timeout_s", "Seconds a process that ends spends on loading what it left pending.", ge=0
    )
    group_max_packages: int = _knob(
        1_000, "load.group_max_packages", "Packages loaded in one transaction of the destination.", gt=0
    )
    group_max_bytes: int = _knob(
        1_000_000_000, "load.group_max_bytes", "Bytes of packages loaded in one transaction of the destination.", gt=0
    )
    raise_on_failed_jobs: bool = _knob(
        True, "load:raise_on_failed_jobs", "Whether a load with failed jobs raises, or only reports them."
    )

    _sources: dict[str, str] = PrivateAttr(default_factory=dict)

    @classmethod
    def load(
        cls, settings: Settings | None = None, *, pipeline_name: str | None = None, **arguments: Any
    ) -> RuntimeSettings:
        """Resolve all knobs: arguments that are not None, then the providers, then the defaults.

        Raises:
            InvalidSetting: A value is out of its range or of another kind; the message names key, value and source.
        """
        unknown = sorted(arguments.keys() - cls.model_fields.keys())
        if unknown:
            raise ConfigurationError(f"unknown knob {unknown[0]!r}; known are {', '.join(cls.model_fields)}")
        providers = _Providers(cls, settings or Settings.current(), pipeline_name)
        given: dict[str, Any] = {name: value for name, value in arguments.items() if value is not None}
        sources = providers.sources() | dict.fromkeys(given, "argument")
        try:
            knobs = cls(**{PROVIDERS: providers, **given})
        except ValidationError as error:
            raise _readable(error, sources) from error
        knobs._sources.update(sources)
        return knobs

    def source(self, name: str) -> str:
        """Say where a knob's value came from."""
        return self._sources.get(name, "default")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Ask our providers in place of the library's own: they know pipeline names, sections and toml files."""
        given: dict[str, Any] = init_settings.init_kwargs if isinstance(init_settings, InitSettingsSource) else {}
        return init_settings, given.pop(PROVIDERS, None) or _Providers(settings_cls, Settings.current(), None)

    @field_validator("log_level", mode="before")
    @classmethod
    def _other_words(cls, value: Any) -> Any:
        word = value.lower() if isinstance(value, str) else value
        return LEVEL_WORDS.get(word, word)


class _Providers(PydanticBaseSettingsSource):
    """Our providers as a source of the model."""

    def __init__(self, settings_cls: type[BaseSettings], settings: Settings, pipeline_name: str | None) -> None:
        super().__init__(settings_cls)
        self._settings, self._pipeline_name = settings, pipeline_name

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Give a field's value, its name, and that it is no JSON text."""
        resolved = self._resolve(field)
        return (None if resolved is None else resolved.value), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Give the values of all fields that were found."""
        return {name: resolved.value for name, resolved in self._found()}

    def sources(self) -> dict[str, str]:
        """Say of all fields that were found where."""
        return {name: resolved.source for name, resolved in self._found()}

    def _found(self) -> Iterator[tuple[str, Resolved]]:
        for name, field in self.settings_cls.model_fields.items():
            if resolved := self._resolve(field):
                yield name, resolved

    def _resolve(self, field: FieldInfo) -> Resolved | None:
        """Ask the providers for one field, at each of its places in turn."""
        for place in _asked(field):
            *section, key = place.split(":")
            if resolved := self._settings.get(key, *section, pipeline_name=self._pipeline_name):
                return resolved
        return None


def as_markdown() -> str:
    """Write the page of all settings."""
    return PAGE.format(
        knobs=as_table(_rows()), pipelines=as_table(OF_PIPELINES), environment=as_table(ENVIRONMENT_ONLY)
    )


def _rows() -> Iterator[Setting]:
    for name, field in RuntimeSettings.model_fields.items():
        key = _asked(field)[0].replace(":", ".")
        words = get_args(field.annotation)
        kind = " or ".join(f"`{word}`" for word in words) if words else getattr(field.annotation, "__name__", "")
        default = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
        sentence = f"{field.description} In code: `{name}`."
        yield Setting(key, key.replace(".", "__").upper(), kind, default, sentence)


def _asked(field: FieldInfo) -> list[str]:
    extra = field.json_schema_extra
    asked = extra["asked"] if isinstance(extra, dict) else []
    return [str(place) for place in asked] if isinstance(asked, list) else []


def _readable(error: ValidationError, sources: dict[str, str]) -> InvalidSetting:
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0])
    key = _asked(RuntimeSettings.model_fields[name])[0].replace(":", ".")
    message = first["msg"].removeprefix("Input should be ").replace("a valid ", "a ")
    return InvalidSetting(key, first["input"], sources.get(name, "argument"), message)
