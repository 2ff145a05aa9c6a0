"""Turns: the native file lock, its fair wait, owner record and fencing epoch; liveness; a check of the file system."""

from oarlock.locking.deadline import OnWait
from oarlock.locking.filesystem import check_locks_hold
from oarlock.locking.liveness import Alive, is_alive
from oarlock.locking.lock import Lock
from oarlock.locking.owner import Owner

__all__ = ["Alive", "Lock", "OnWait", "Owner", "check_locks_hold", "is_alive"]
