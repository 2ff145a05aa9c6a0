"""The state as documents: the nested dict that users see, taken apart into one document a key, and put together.

Where a document ends, and its content begins, is the same for every state:

    ("dataset_name",)                                               a key of the pipeline
    ("_local", KEY)                                                 bookkeeping of this folder, in no version
    ("sources", SOURCE, KEY)                                        state of a source
    ("sources", SOURCE, "resources", RESOURCE, KEY)                 state of a resource
    ("sources", SOURCE, "resources", RESOURCE, "incremental", PATH) one cursor

A level above these that is empty, or no dict at all, is a document itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from oarlock.state.base import Documents, StateKey
from oarlock.state.typed_json import dumps, loads

#: The subtree that never leaves this folder, and is in no version and no hash.
LOCAL = "_local"
#: What a state document says of itself; the store knows it better.
VERSION_KEYS = ("_state_version", "_state_engine_version", "_version_hash")
#: One value of the state over this is told of; it is read and written whole.
WARN_BYTES = 64 * 1024
#: One value of the state over this is refused.
LIMIT_BYTES = 16 * 1024 * 1024
#: Keys whose text and place are remembered: a state has tens of them, and asks for the same ones over and over.
_KEYS_KNOWN = 4096


@lru_cache(_KEYS_KNOWN)
def is_level(path: StateKey) -> bool:
    """Tell whether a path is a level that is taken apart, not a document."""
    match path:
        case () | ("_local",) | ("sources",) | ("sources", _):
            return True
        case (
            ("sources", _, "resources") | ("sources", _, "resources", _) | ("sources", _, "resources", _, "incremental")
        ):
            return True
    return False


def is_cursor(key: StateKey) -> bool:
    """Tell whether a document is the cursor of an incremental."""
    return len(key) == 6 and key[4] == "incremental" and is_level(key[:5])


@lru_cache(_KEYS_KNOWN)
def document_key(path: StateKey) -> StateKey:
    """Give the key of the document that holds ``path``; for a level, the level itself.

    >>> document_key(("sources", "github", "stars", "per_day"))
    ('sources', 'github', 'stars')
    """
    for length in range(len(path)):
        if not is_level(path[: length + 1]):
            return path[: length + 1]
    return path


def split(state: Mapping[str, Any]) -> dict[StateKey, Any]:
    """Take a state apart into documents; its own version and hash are left out.

    >>> split({"dataset_name": "d", "sources": {"s": {"n": 1}}})
    {('dataset_name',): 'd', ('sources', 's', 'n'): 1}
    """
    return dict(item for item in _parts((), state) if item[0][0] not in VERSION_KEYS)


def split_at(key: StateKey, value: Any) -> dict[StateKey, Any]:
    """Take a value apart that belongs at ``key``, a level or a document."""
    return dict(_parts(key, value))


def join(documents: Documents) -> dict[str, Any]:
    """Put documents together into one state that shares nothing with them.

    >>> join({("sources", "s", "n"): 1, ("sources",): {}})
    {'sources': {'s': {'n': 1}}}
    """
    state: dict[str, Any] = {}
    for key, value in documents.items():
        parent = state
        for part in key[:-1]:
            below = parent.setdefault(part, {})
            if not isinstance(below, dict):
                below = parent[part] = {}
            parent = below
        # An emptied level may stand beside keys that another run has put below it since.
        if not isinstance(parent.get(key[-1]), dict):
            parent[key[-1]] = unshared(value)
    return state


def unshared(value: Any) -> Any:
    """Copy the dicts and lists of a value."""
    if isinstance(value, dict):
        return {name: unshared(item) for name, item in value.items()}
    if isinstance(value, list):
        return [unshared(item) for item in value]
    return value


@lru_cache(_KEYS_KNOWN)
def key_text(key: StateKey) -> str:
    """Write a key as the store keeps it: a JSON list.

    >>> key_text(("sources", "s"))
    '["sources","s"]'
    """
    return dumps(list(key)).decode()


def read_key(text: str) -> StateKey:
    """Read a key as the store keeps it."""
    return tuple(loads(text))


def shown(key: StateKey) -> str:
    """Write a key as people read it.

    >>> shown(("sources", "s", "n"))
    'sources.s.n'
    """
    return ".".join(key)


def _parts(key: StateKey, value: Any) -> Iterator[tuple[StateKey, Any]]:
    if not (isinstance(value, Mapping) and is_level(key)) or (key and not value):
        yield key, value
        return
    for name, item in value.items():
        yield from _parts((*key, name if isinstance(name, str) else _text_of(name)), item)


def _text_of(name: object) -> str:
    return str(next(iter(loads(dumps({name: 0})))))
