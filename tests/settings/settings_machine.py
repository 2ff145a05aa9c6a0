"""A machine of its own for a test of settings: home, project, environment, mounted secrets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from oarlock.settings.lookup import Settings


@dataclass
class Machine:
    """Folders on which a test writes settings files."""

    home: Path
    project: Path
    mounted: Path

    @classmethod
    def make(cls, folder: Path) -> Machine:
        """Make the machine's folders under one folder."""
        machine = cls(folder / "home", folder / "project", folder / "run-secrets")
        for made in (machine.home, machine.project, machine.mounted):
            made.mkdir()
        return machine

    def enter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make this process one that works on the machine, for what reads the real environment."""
        monkeypatch.setenv("HOME", str(self.home))
        monkeypatch.setenv("OARLOCK_PROJECT_DIR", str(self.project))
        for name in ("OARLOCK_DATA_DIR", "OARLOCK_LOCAL_DIR", "OARLOCK_CONFIG_FOLDER"):
            monkeypatch.delenv(name, raising=False)

    def write(self, name: str, text: str, folder: str = ".oarlock") -> Path:
        """Write a file of the project."""
        return _write(self.project / folder / name, text)

    def write_global(self, name: str, text: str) -> Path:
        """Write a file of the user."""
        return _write(self.home / ".oarlock" / name, text)

    def settings(self, **environ: str) -> Settings:
        """Make the settings of a process with this environment."""
        return Settings(
            project_dir=self.project, environ={"HOME": str(self.home), **environ}, mounted_secrets=self.mounted
        )


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path
