"""The faces of progress, each imported when it is asked for: its library may be large, or missing."""

from oarlock.logs.faces.choice import alive_progress, enlighten, log, resolve_collector, tqdm

__all__ = ["alive_progress", "enlighten", "log", "resolve_collector", "tqdm"]
