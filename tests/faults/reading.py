"""What is really there: the database through plain duckdb, the store through plain sqlite3, the folders by listing.

Nothing of oarlock is asked, so that a mistake in it cannot hide itself.
"""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from pathlib import Path
from typing import Any, NoReturn

import duckdb


class Reader:
    """A process of its own that reads a box whenever it is asked to, and lets go of it in between.

    It lives on because to start DuckDB takes longer than to read with it.
    """

    def __init__(self, folder: Path, database: Path) -> None:
        self._folder, self._database = folder, database
        asked, self._ask = os.pipe()
        hear, answer = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._ask)
            os.close(hear)
            self._be(asked, answer)
        os.close(asked)
        os.close(answer)
        self._hear = os.fdopen(hear, "rb")

    def read(self) -> dict[str, Any]:
        """Read store, database and folders as plain values."""
        os.write(self._ask, b"?")
        line = self._hear.readline()
        facts: dict[str, Any] = json.loads(line) if line else {"failed": "the reader died"}
        if "failed" in facts:
            raise AssertionError(f"what is there cannot be read: {facts['failed']}")
        return facts

    def close(self) -> None:
        """End the process."""
        os.close(self._ask)
        self._hear.close()
        os.waitpid(self._pid, 0)

    def _be(self, asked: int, answer: int) -> NoReturn:
        try:
            with duckdb.connect(":memory:", config={"threads": 1}) as connection, os.fdopen(answer, "wb") as pipe:
                while os.read(asked, 1):
                    try:
                        facts = _plain(self._read(connection))
                    except Exception as error:
                        facts = {"failed": f"{type(error).__name__}: {error}"}
                    pipe.write(json.dumps(facts).encode() + b"\n")
                    pipe.flush()
        finally:
            os._exit(0)

    def _read(self, connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
        above = {str(one): stat.S_IMODE(one.stat().st_mode) for one in self._folder.parents[:2] if one.exists()}
        around = {
            "files": _files(self._folder.parent),
            "above": above,
            "beside": _names(self._database.parent),
            "schema_files": _names(self._folder.parents[2] / "schemas"),
        }
        return {**around, **_store(self._folder), **_tables(connection, self._database)}


def _store(folder: Path) -> dict[str, Any]:
    path = folder / "state.db"
    if not path.exists() or not (folder / "oarlock.json").exists():
        return {"store": False, "packages": [], "state": {}, "schemas": {}, "store_faults": []}
    with sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True) as connection:
        faults = [line for (line,) in connection.execute("PRAGMA integrity_check") if line != "ok"]
        columns = "load_id, state, schema_name, schema_version, author, failure, jobs"
        packages = [
            dict(zip(columns.split(", "), row, strict=True))
            for row in connection.execute(f"SELECT {columns} FROM package ORDER BY load_id")
        ]
        documents = connection.execute("SELECT key, value FROM document WHERE value IS NOT NULL").fetchall()
        schemas = dict(connection.execute("SELECT name, version_hash FROM schema_head").fetchall())
        versions = connection.execute("SELECT state_version, seq FROM meta").fetchone()
    connection.close()
    for package in packages:
        package["jobs"] = json.loads(package["jobs"])
    state = {"/".join(json.loads(key)): json.loads(value) for key, value in documents}
    return {
        "store": True,
        "packages": packages,
        "state": state,
        "schemas": schemas,
        "state_version": versions[0],
        "store_faults": faults,
    }


def _tables(connection: duckdb.DuckDBPyConnection, path: Path) -> dict[str, Any]:
    if not path.exists():
        return {"tables": {}}
    connection.execute(f"ATTACH '{path}' AS box (READ_ONLY)")
    try:
        names = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables WHERE table_catalog = 'box' ORDER BY 1, 2"
        ).fetchall()
        return {"tables": {f"{schema}.{name}": _rows(connection, schema, name) for schema, name in names}}
    finally:
        connection.execute("DETACH box")


def _rows(connection: duckdb.DuckDBPyConnection, schema: str, name: str) -> list[dict[str, Any]]:
    cursor = connection.execute(f'SELECT * FROM box."{schema}"."{name}"')
    columns = [column[0] for column in cursor.description or []]
    return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


def _files(top: Path) -> dict[str, int]:
    """Give every file and folder below with its mode; of sockets and the like only the name matters."""
    found: dict[str, int] = {}
    for here, folders, files in os.walk(top):
        for name in (*folders, *files):
            path = Path(here, name)
            found[str(path.relative_to(top))] = stat.S_IMODE(path.lstat().st_mode)
    return found


def _names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder)) if folder.exists() else []


def _plain(value: Any) -> Any:
    """Give facts as JSON keeps them: moments and the like as text."""
    return json.loads(json.dumps(value, default=str))
