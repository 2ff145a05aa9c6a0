"""The errors under the name that programs import them by."""

from oarlock.errors import *  # noqa: F403
