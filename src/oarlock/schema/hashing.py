"""Hashing: the version hash of a schema, from text that is kept for every table that did not change."""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

#: Keys of a schema document that say which version it is, not what it holds: no part of the hash.
VERSION_KEYS = frozenset({"version", "version_hash", "imported_version_hash", "previous_hashes"})


class TableText:
    """One table's document and its JSON texts, each made once: schemas share them as they grow.

    Never changed once made; a table that grows gets a new one.
    """

    __slots__ = ("_canonical", "_order", "_stored", "document")

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._canonical: bytes | None = None
        self._stored: bytes | None = None
        self._order: bytes | None = None

    @property
    def canonical(self) -> bytes:
        """JSON with sorted keys: what the hash is made of."""
        if self._canonical is None:
            self._canonical = canonical_json(self.document)
        return self._canonical

    @property
    def stored(self) -> bytes:
        """JSON with keys in their own order: what is stored, for the order of columns counts."""
        if self._stored is None:
            self._stored = orjson.dumps(self.document)
        return self._stored

    @property
    def order(self) -> bytes:
        """The names of the columns in their order: the rest of what the hash is made of."""
        if self._order is None:
            self._order = "".join(self.document.get("columns") or ()).encode()
        return self._order

    def same_content(self, other: TableText) -> bool:
        """Tell whether both count the same in the hash."""
        return self.canonical == other.canonical and self.order == other.order


def canonical_json(value: object) -> bytes:
    """Write JSON with sorted keys and no spaces."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def content_hash(head: Mapping[str, Any], tables: Mapping[str, TableText]) -> str:
    """Hash a schema's content: its document without the version's keys, and the order of its columns."""
    names = sorted(tables)
    digest = hashlib.sha3_256(b"".join(_content(head, tables, names)))
    digest.update(b"".join(piece for name in names for piece in (name.encode(), tables[name].order)))
    return binascii.b2a_base64(digest.digest(), newline=False).decode("ascii")


def _content(head: Mapping[str, Any], tables: Mapping[str, TableText], names: list[str]) -> Iterator[bytes]:
    opening = b"{"
    for key in sorted({*head, "tables"} - VERSION_KEYS):
        yield opening
        yield orjson.dumps(key)
        yield b":"
        if key == "tables":
            yield b"{"
            yield b",".join([orjson.dumps(name) + b":" + tables[name].canonical for name in names])
            yield b"}"
        else:
            yield canonical_json(head[key])
        opening = b","
    yield b"}"
