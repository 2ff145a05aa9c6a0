"""Where settings, pipelines and relative paths live: the folders that a process works with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from oarlock.errors import ConfigurationError

#: The project's folder of settings, and the one of dlt that is read where a project has none of ours.
CONFIG_FOLDER = ".oarlock"
DLT_CONFIG_FOLDER = ".dlt"


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of one process, absolute."""

    project: Path  # where the settings folder stands
    config: Path  # the settings folder itself
    data: Path  # the user's own: global settings and pipelines
    local: Path  # what relative paths of destinations are relative to

    @property
    def pipelines(self) -> Path:
        """The folder of working folders, where none was given."""
        return self.data / "pipelines"


def find_folders(environ: Mapping[str, str], project_dir: Path | str | None = None) -> Folders:
    """Find the folders from the environment: OARLOCK_PROJECT_DIR, _CONFIG_FOLDER, _DATA_DIR and _LOCAL_DIR."""
    project = _absolute(project_dir or _first(environ, "OARLOCK_PROJECT_DIR", "DLT_PROJECT_DIR") or ".", environ)
    data = _absolute(_first(environ, "OARLOCK_DATA_DIR") or "~/.oarlock", environ)
    local = _absolute(_first(environ, "OARLOCK_LOCAL_DIR", "DLT_LOCAL_DIR") or ".", environ)
    return Folders(project=project, config=_config_folder(environ, project, data), data=data, local=local)


def expand(path: Path | str, environ: Mapping[str, str]) -> Path:
    """Expand a leading ``~`` with HOME of this environment."""
    text = os.fspath(path)
    home = environ.get("HOME") or environ.get("USERPROFILE")
    if home and (text == "~" or text.startswith(("~/", "~" + os.sep))):
        text = home + text[1:]
    expanded = os.path.expanduser(text)
    if expanded.startswith("~"):
        raise ConfigurationError(f"path {text!r} needs a home folder, and this user has none. Set OARLOCK_DATA_DIR")
    return Path(expanded)


def _config_folder(environ: Mapping[str, str], project: Path, data: Path) -> Path:
    named = _first(environ, "OARLOCK_CONFIG_FOLDER")
    if named:
        return project / expand(named, environ)
    ours = project / CONFIG_FOLDER
    # In the home folder itself, `.oarlock` is the data folder, which says nothing of the project.
    if ours != data and ours.is_dir():
        return ours
    theirs = project / (_first(environ, "DLT_CONFIG_FOLDER") or DLT_CONFIG_FOLDER)
    return theirs if theirs.is_dir() else ours


def _first(environ: Mapping[str, str], *names: str) -> str | None:
    return next((environ[name] for name in names if environ.get(name)), None)


def _absolute(path: Path | str, environ: Mapping[str, str]) -> Path:
    return Path(os.path.abspath(expand(path, environ)))
