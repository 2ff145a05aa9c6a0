"""Trash: a working folder that goes is renamed first and removed after, so that no crash leaves it half removed.

    working folder ─→ .oarlock-trash-<worker> beside it, in one step ─→ its content removed, the marker last ─→ gone

What a killed remover left is taken out by the next run of any pipeline of the same ``pipelines_dir``.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from oarlock.state.creation import MARKER
from oarlock.values import new_worker_id

#: Beginning of the names that folders get which nobody uses any more.
TRASH = ".oarlock-trash-"


def throw_away(folder: Path) -> Path:
    """Rename a working folder into the trash: from here on it is not there. Gives what is still to be removed."""
    return folder.rename(folder.parent / f"{TRASH}{new_worker_id()}")


def remove(trash: Path) -> None:
    """Remove a folder of the trash; what cannot be removed now is left to the next run."""
    with suppress(OSError):
        for entry in list(os.scandir(trash)):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            elif entry.name != MARKER:
                os.unlink(entry.path)
        (trash / MARKER).unlink(missing_ok=True)
        trash.rmdir()


def take_out(pipelines_dir: Path) -> list[str]:
    """Remove what killed removers left, and give their names; two that do so at once are not in each other's way."""
    try:
        left = [one for one in os.scandir(pipelines_dir) if one.name.startswith(TRASH)]
    except OSError:
        return []
    ours = [one for one in left if one.is_dir(follow_symlinks=False) and _is_ours(Path(one))]
    for one in ours:
        remove(Path(one))
    return [one.name for one in ours]


def _is_ours(folder: Path) -> bool:
    """A folder with our marker, or one that is empty: the marker is the last to go."""
    with suppress(OSError):
        return (folder / MARKER).is_file() or not any(folder.iterdir())
    return False
