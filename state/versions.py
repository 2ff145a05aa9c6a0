"""The hash of a state and its one-line form: as dlt computes and stores them, so that datasets can be shared."""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Mapping
from typing import Any

from oarlock.state.documents import LOCAL, VERSION_KEYS
from oarlock.state.typed_json import dumps, hash_text, loads

#: The format of the state document that both sides of a shared dataset know.
STATE_ENGINE_VERSION = 4
#: What a state may grow to when it is unpacked; a small row of a dataset must not fill the memory.
UNPACKED_LIMIT_BYTES = 256 * 1024 * 1024


def state_hash(state: Mapping[str, Any]) -> str:
    """Hash what a state says, without its bookkeeping, its version and its own hash.

    >>> state_hash({"a": 1}) == state_hash({"a": 1, "_local": {"first_run": True}, "_state_version": 7})
    True
    """
    content = {key: value for key, value in state.items() if key != LOCAL and key not in VERSION_KEYS}
    return base64.b64encode(hashlib.sha3_256(hash_text(content)).digest()).decode("ascii")


def versioned(state: Mapping[str, Any], version: int) -> dict[str, Any]:
    """Give a state with its version, the version of its format and its hash, in front."""
    head: dict[str, Any] = {
        "_state_version": version,
        "_state_engine_version": STATE_ENGINE_VERSION,
        "_version_hash": state_hash(state),
    }
    return {**head, **{key: value for key, value in state.items() if key not in head}}


def encode_state(state: Mapping[str, Any]) -> str:
    """Write a state, without its bookkeeping, as the text that a destination keeps."""
    content = {key: value for key, value in state.items() if key != LOCAL}
    return base64.b64encode(zlib.compress(dumps(content), 9)).decode("ascii")


def decode_state(text: str) -> dict[str, Any]:
    """Read a state from the text that a destination keeps: packed, or plain JSON.

    Raises:
        ValueError: The text is neither.
    """
    try:
        packed = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        plain: bytes | str = text
    else:
        plain = _unpacked(packed)
    state = loads(plain)
    if not isinstance(state, dict):
        raise ValueError(f"a state is a JSON object, not {type(state).__name__}")
    return state


def _unpacked(packed: bytes) -> bytes:
    reader = zlib.decompressobj()
    try:
        plain = reader.decompress(packed, UNPACKED_LIMIT_BYTES)
    except zlib.error as error:
        raise ValueError(f"a packed state cannot be unpacked: {error}") from error
    if reader.unconsumed_tail:
        raise ValueError(f"a packed state is over {UNPACKED_LIMIT_BYTES} bytes long")
    if not reader.eof:
        raise ValueError("a packed state is cut short")
    return plain
