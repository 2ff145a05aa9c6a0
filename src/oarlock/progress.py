"""Progress: the collectors that a ``progress`` argument may be given, each with its options.

>>> log(log_period=5.0).log_period
5.0
"""

from oarlock.logs.faces.choice import alive_progress, enlighten, log, tqdm

__all__ = ["alive_progress", "enlighten", "log", "tqdm"]
