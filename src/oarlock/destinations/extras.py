"""Packages that only some features need: asked for by name, with the line that installs them where they are not."""

from __future__ import annotations

import importlib
from types import ModuleType

from oarlock.errors import MissingExtra


def require(module: str, feature: str, *, extra: str | None = None) -> ModuleType:
    """Import a module of an extra.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(feature, extra or module, module) from error
