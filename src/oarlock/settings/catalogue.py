"""The settings that are read before a pipeline is there: the table from which their page is written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Setting(NamedTuple):
    """One setting as its reader knows it."""

    key: str  # with its sections: "load.group_max_packages"
    variable: str
    kind: str
    default: str
    sentence: str


def _of_pipeline(key: str, kind: str, default: str, sentence: str) -> Setting:
    return Setting(f"pipelines.{key}", f"PIPELINES__{key.upper()}", kind, default, sentence)


#: Asked for in the environment alone: they say where the files are that hold the other settings.
ENVIRONMENT_ONLY = (
    Setting("", "OARLOCK_PROJECT_DIR", "path", "the current folder", "The folder that holds the settings folder."),
    Setting("", "OARLOCK_CONFIG_FOLDER", "text", "`.oarlock`", "The name of the settings folder."),
    Setting("", "OARLOCK_DATA_DIR", "path", "`~/.oarlock`", "The user's own folder: global settings and pipelines."),
    Setting(
        "", "OARLOCK_LOCAL_DIR", "path", "the current folder", "What relative paths of destinations are relative to."
    ),
    Setting("", "OARLOCK_ALLOW_UNSAFE_FS", "`1`", "", "Use a folder though locks were seen not to hold there."),
    Setting("", "OARLOCK_STRICT_EVENTS", "`1`", "", "For tests: an event that is not in the catalogue is an error."),
    Setting("", "DLT_PROJECT_DIR", "path", "", "Read where `OARLOCK_PROJECT_DIR` is not set."),
    Setting("", "DLT_LOCAL_DIR", "path", "", "Read where `OARLOCK_LOCAL_DIR` is not set."),
    Setting("", "DLT_CONFIG_FOLDER", "text", "`.dlt`", "The folder that is read where a project has no `.oarlock`."),
)

#: Asked for as ``pipelines.<name>.<key>``, then ``pipelines.<key>``, then ``<key>``.
OF_PIPELINES = (
    _of_pipeline("pipeline_name", "text", "`oarlock_<script>`", "The pipeline's name, which is also its folder's."),
    _of_pipeline("pipelines_dir", "path", "`~/.oarlock/pipelines`", "The folder of all working folders."),
    _of_pipeline("pipeline_salt", "secret", "derived from the name", "What values are hashed with; never stored."),
    _of_pipeline("destination_type", "text", "none", "The kind of destination, where no argument names one."),
    _of_pipeline("destination_name", "text", "none", "The name under which the destination has its own settings."),
    _of_pipeline("staging_type", "text", "none", "The kind of staging, where no argument names one."),
    _of_pipeline("staging_name", "text", "none", "The name under which the staging has its own settings."),
    _of_pipeline("dataset_name", "text", "`<pipeline>_dataset`", "The dataset to load into."),
    _of_pipeline("dataset_name_layout", "text", "none", "A text with one `%s` in it, where the dataset's name goes."),
    _of_pipeline("import_schema_path", "path", "none", "A folder of schemas to start from."),
    _of_pipeline("export_schema_path", "path", "none", "A folder into which schemas are written as they change."),
    _of_pipeline("dev_mode", "bool", "false", "Start afresh each time, in a dataset of its own."),
    _of_pipeline("refresh", "text", "none", "`drop_sources`, `drop_resources` or `drop_data` at the next run."),
    _of_pipeline("progress", "text", "none", "The face of progress: `log`, `tqdm`, `enlighten` or `alive_progress`."),
    _of_pipeline(
        "restore_from_destination",
        "bool",
        "true",
        "Before a folder's first run, go on from the state that the destination has.",
    ),
    _of_pipeline("enable_runtime_trace", "bool", "true", "Keep a trace of the last run."),
)


def as_table(settings: Iterable[Setting]) -> str:
    """Write settings as a table of Markdown."""
    lines = ["| setting | environment variable | kind | default | what it does |", "| --- | --- | --- | --- | --- |"]
    for setting in settings:
        key = f"`{setting.key}`" if setting.key else ""
        lines.append(f"| {key} | `{setting.variable}` | {setting.kind} | {setting.default} | {setting.sentence} |")
    return "\n".join(lines)
