"""A box: one machine in small, its working folder, database and home in one folder that is copied for each point."""

from __future__ import annotations

import atexit
import os
import resource
import shutil
from dataclasses import dataclass
from pathlib import Path

NAME, DATASET = "boat", "data"
#: No step takes a tenth of this; one that takes more must not take the machine with it.
MEMORY_BYTES = 8 * 1024**3


@dataclass(frozen=True, slots=True)
class Box:
    """The folders of one lane."""

    top: Path

    @property
    def here(self) -> Path:
        """What is swept: calls outside of it do not count."""
        return self.top / "box"

    @property
    def pipelines(self) -> Path:
        """``pipelines_dir``, in a folder that is made too."""
        return self.here / "oarlock" / "pipelines"

    @property
    def folder(self) -> Path:
        """The working folder."""
        return self.pipelines / NAME

    @property
    def database(self) -> Path:
        """The DuckDB file, in a folder where nothing else belongs."""
        return self.here / "database" / "boat.duckdb"

    @property
    def schemas(self) -> Path:
        """Where schemas are exported to."""
        return self.here / "schemas"

    @property
    def home(self) -> Path:
        """The user's home, outside of what is swept."""
        return self.top / "home"

    @property
    def _kept(self) -> Path:
        return self.top / "kept"

    def empty(self) -> None:
        """Make the box as on a new machine: only the database's folder is there."""
        shutil.rmtree(self.here, ignore_errors=True)
        self.database.parent.mkdir(parents=True)
        self.home.mkdir(exist_ok=True)

    def keep(self) -> None:
        """Remember the box as it is now."""
        shutil.rmtree(self._kept, ignore_errors=True)
        shutil.copytree(self.here, self._kept, symlinks=True)

    def restore(self) -> None:
        """Make the box as it was kept."""
        shutil.rmtree(self.here, ignore_errors=True)
        shutil.copytree(self._kept, self.here, symlinks=True)

    def enter(self) -> None:
        """Be a process of this machine, which is a small one, with a careless umask."""
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        os.environ["HOME"] = str(self.home)
        os.chdir(self.home)
        os.umask(0)


def end_of_process() -> None:
    """Do what the interpreter does at its end; a forked child that leaves by ``_exit`` would skip it."""
    atexit._run_exitfuncs()
