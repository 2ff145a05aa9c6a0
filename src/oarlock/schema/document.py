"""The schema: an immutable value around the document that is stored, exported and written to the dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, cast

import orjson

from oarlock.errors import InvalidName, SchemaError, TableNotFound
from oarlock.schema import system
from oarlock.schema.checks import check_document
from oarlock.schema.hashing import TableText, content_hash
from oarlock.schema.naming import MAX_SCHEMA_NAME_LENGTH, is_system_name
from oarlock.values import WriteDisposition

#: Hashes of former versions that a document remembers, the newest first.
MAX_PREVIOUS_HASHES = 10
#: Hints that running leaves in a document; an exchanged schema is without them.
PROCESSING_HINTS = ("x-normalizer", "x-loader", "x-extractor")


class Schema:
    """Tables, their columns and the settings they grow by, at one version.

    The documents that it hands out are its own: read them, never change them. ``document()`` gives a copy.
    """

    __slots__ = ("_children", "_hash", "_head", "_json", "_tables", "_view")

    def __init__(self, head: Mapping[str, Any], tables: Mapping[str, TableText]) -> None:
        """Take the document without its tables, and the tables; ``version_hash`` may be absent, it is computed."""
        self._head = head
        self._tables = tables
        self._hash: str | None = head.get("version_hash")
        self._view: Mapping[str, dict[str, Any]] | None = None
        self._children: dict[str, list[str]] | None = None
        self._json: bytes | None = None

    def __reduce__(self) -> tuple[Callable[[bytes], Schema], tuple[bytes]]:
        return _from_trusted_json, (self.to_json().encode(),)

    def __repr__(self) -> str:
        return f"Schema(name={self.name!r}, version={self.version}, tables={len(self._tables)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Schema):
            return NotImplemented
        mine, others = self._tables, other._tables
        same = self._full_head() == other._full_head() and mine.keys() == others.keys()
        return same and all(text.same_content(others[name]) for name, text in mine.items())

    def __hash__(self) -> int:
        return hash(self.version_hash)

    @classmethod
    def new(cls, name: str) -> Schema:
        """Make a schema that holds only the system's tables.

        >>> Schema.new("games").version
        1
        """
        if not (name.isidentifier() and len(name) <= MAX_SCHEMA_NAME_LENGTH):
            reason = f"it must be a Python identifier of at most {MAX_SCHEMA_NAME_LENGTH} characters"
            raise InvalidName("schema", name[:200], reason)
        head = {
            "version": 1,
            "engine_version": system.ENGINE_VERSION,
            "name": name,
            "settings": system.default_settings(),
            "normalizers": system.default_normalizers(),
            "previous_hashes": [],
        }
        tables = (system.version_table(), system.loads_table())
        return cls(head, {table["name"]: TableText(table) for table in tables})

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Schema:
        """Take a stored document, checked and copied; its version stays, its hash is not compared.

        Raises:
            SchemaError: It is not a schema document, or one of a newer engine.
        """
        try:
            text = orjson.dumps(document)
        except TypeError as error:
            raise SchemaError(f"the schema document cannot be written as JSON: {error}") from error
        return cls.from_json(text)

    @classmethod
    def from_json(cls, text: str | bytes) -> Schema:
        """Take a stored document as JSON text. Raises SchemaError as :meth:`from_document` does."""
        try:
            document = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise SchemaError(f"the schema document is not JSON: {error}") from error
        check_document(document)
        return _from_parsed(document)

    @classmethod
    def from_yaml(cls, text: str) -> Schema:
        """Take a document as people write it: see ``oarlock.schema.yaml``."""
        from oarlock.schema import yaml  # pyyaml is slow to import, and few pipelines exchange schemas

        return cls.from_document(yaml.from_yaml(text)).bumped()

    def to_yaml(self, *, remove_defaults: bool = True) -> str:
        """Write the document for people: without names that repeat their keys, unless told to keep them."""
        from oarlock.schema import yaml

        return yaml.to_yaml(self.document(), remove_defaults=remove_defaults)

    def to_json(self) -> str:
        """Write the document as one line of JSON, columns in their order."""
        if self._json is None:
            pieces = []
            for key, value in self._full_head().items():
                if key == "tables":
                    rows = [orjson.dumps(name) + b":" + table.stored for name, table in self._tables.items()]
                    text = b"{" + b",".join(rows) + b"}"
                else:
                    text = orjson.dumps(value)
                pieces.append(orjson.dumps(key) + b":" + text)
            self._json = b"{" + b",".join(pieces) + b"}"
        return self._json.decode()

    def document(self) -> dict[str, Any]:
        """Return a copy of the document, the caller's own."""
        return cast("dict[str, Any]", orjson.loads(self.to_json()))

    @property
    def name(self) -> str:
        """The schema's name."""
        return cast(str, self._head["name"])

    @property
    def version(self) -> int:
        """One higher for every change of content."""
        return cast(int, self._head["version"])

    @property
    def engine_version(self) -> int:
        """The version of the document's format."""
        return cast(int, self._head["engine_version"])

    @property
    def version_hash(self) -> str:
        """The hash of the content, as stored; a schema that has just grown computes it when first asked."""
        if self._hash is None:
            self._hash = content_hash(self._head, self._tables)
        return self._hash

    @property
    def previous_hashes(self) -> list[str]:
        """Hashes of the versions before this one, the newest first."""
        return list(self._head.get("previous_hashes") or ())

    @property
    def imported_version_hash(self) -> str | None:
        """The hash of the imported schema that this one goes back to."""
        return self._head.get("imported_version_hash")

    @property
    def settings(self) -> dict[str, Any]:
        """Detections, default hints, preferred types and the contract."""
        return self._head.get("settings") or {}

    @property
    def detections(self) -> tuple[str, ...]:
        """What values of new columns are looked through for."""
        return tuple(self.settings.get("detections") or ())

    @property
    def tables(self) -> Mapping[str, dict[str, Any]]:
        """All tables by name, the system's among them."""
        if self._view is None:
            self._view = MappingProxyType({name: table.document for name, table in self._tables.items()})
        return self._view

    @property
    def texts(self) -> Mapping[str, TableText]:
        """All tables by name, with their texts: what a grown schema is made from."""
        return self._tables

    def table(self, name: str) -> dict[str, Any]:
        """Return one table's document. Raises TableNotFound."""
        found = self._tables.get(name)
        if found is None:
            raise TableNotFound(name, self.name, sorted(self._tables))
        return found.document

    def columns(self, table: str) -> dict[str, dict[str, Any]]:
        """Return one table's columns by name, in their order. Raises TableNotFound."""
        return cast("dict[str, dict[str, Any]]", self.table(table)["columns"])

    def data_tables(self) -> list[str]:
        """Name the tables that hold the user's rows."""
        return [name for name in self._tables if not is_system_name(name)]

    def root_of(self, table: str) -> str:
        """Name the root table that a table hangs from; a root table is its own."""
        document = self.table(table)
        while parent := document.get("parent"):
            table, document = parent, self.table(parent)
        return table

    def children_of(self, table: str) -> list[str]:
        """Name the tables nested directly in a table."""
        self.table(table)
        if self._children is None:
            children: dict[str, list[str]] = {}
            for name, text in self._tables.items():
                if parent := text.document.get("parent"):
                    children.setdefault(parent, []).append(name)
            self._children = children
        return list(self._children.get(table, ()))

    def descendants_of(self, table: str) -> list[str]:
        """Name all tables nested below a table, parents before their children."""
        found = self.children_of(table)
        for child in found:  # grows while it is walked
            found.extend(self.children_of(child))
        return found

    def write_disposition(self, table: str) -> WriteDisposition:
        """Say what new rows do to the rows that are there; nested tables follow their root."""
        return cast(WriteDisposition, self.table(self.root_of(table)).get("write_disposition") or "append")

    def stored_hash_ok(self) -> bool:
        """Tell whether the stored hash is the content's own: if not, the document was changed by hand."""
        return self.version_hash == content_hash(self._head, self._tables)

    def bumped(self) -> Schema:
        """Give the content its own hash; where the stored one is another, this is a later version."""
        stored = self._head.get("version_hash")
        if stored is None or self.stored_hash_ok():
            return self
        return self.grown(self._tables)

    def grown(self, tables: Mapping[str, TableText]) -> Schema:
        """Make the next version, with these tables. For content that has changed, and only then."""
        hashes = self.previous_hashes
        if self.version_hash not in hashes:
            hashes = [self.version_hash, *hashes][:MAX_PREVIOUS_HASHES]
        head = {**self._head, "version": self.version + 1, "previous_hashes": hashes}
        head.pop("version_hash", None)
        return Schema(head, tables)

    def without_tables(self, names: Iterable[str]) -> Schema:
        """Drop tables and everything nested in them. Raises TableNotFound."""
        gone: set[str] = set()
        for name in names:
            gone.update((name, *self.descendants_of(name)))
        if not gone:
            return self
        return self.grown({name: text for name, text in self._tables.items() if name not in gone})

    def without_processing_hints(self) -> Schema:
        """Drop what running has left in the tables, as for an exported or imported schema."""
        tables = {name: _without_processing_hints(text) for name, text in self._tables.items()}
        changed = any(text is not self._tables[name] for name, text in tables.items())
        return self.grown(tables) if changed else self

    def replaced_by(self, imported: Schema) -> Schema:
        """Take over the content of an imported schema as the next version, and remember which one it was."""
        head = {
            **imported._head,
            "name": self.name,
            "version": self.version,
            "version_hash": self.version_hash,
            "previous_hashes": self.previous_hashes,
            "imported_version_hash": imported.version_hash,
        }
        return Schema(head, imported.texts).bumped()

    def _full_head(self) -> dict[str, Any]:
        head = {"version": self.version, "version_hash": self.version_hash, "engine_version": self.engine_version}
        head |= {"name": self.name, "tables": None, **self._head, "version_hash": self.version_hash}
        head["previous_hashes"] = head.pop("previous_hashes", [])
        return head


def _from_parsed(document: dict[str, Any]) -> Schema:
    tables = {}
    for name, table in document.pop("tables").items():
        table["name"] = name
        for column_name, column in table["columns"].items():
            column["name"] = column_name
        if not table.get("parent"):
            table.setdefault("write_disposition", "append")
            table.setdefault("resource", name)
        tables[name] = TableText(table)
    document.setdefault("version", 1)
    document.setdefault("previous_hashes", [])
    return Schema(document, tables)


def _from_trusted_json(text: bytes) -> Schema:
    return _from_parsed(orjson.loads(text))


def _without_processing_hints(text: TableText) -> TableText:
    table = text.document
    columns = table["columns"]
    if not any(hint in document for document in (table, *columns.values()) for hint in PROCESSING_HINTS):
        return text
    kept = {key: value for key, value in table.items() if key not in PROCESSING_HINTS}
    kept["columns"] = {
        name: {key: value for key, value in column.items() if key not in PROCESSING_HINTS}
        for name, column in columns.items()
    }
    return TableText(kept)
