"""What is really there: the database through plain duckdb, the store through plain sqlite3, the folders by listing.

Nothing of oarlock is asked, so that a mistake in it cannot hide itself.
"""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from pathlib import Path
from typing import Any

import duckdb

#: Columns that differ from run to run.
SYSTEM_COLUMNS = ("_dlt_id",)


def read_box(folder: Path, database: Path) -> dict[str, Any]:
    """Read store, database and folders as plain values; the process that calls this must end right after."""
    facts = {"files": _files(folder.parent), "beside": _beside(database), **_store(folder), **_database(database)}
    return facts


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


def _database(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {"database": False, "tables": {}}
    tables: dict[str, list[dict[str, Any]]] = {}
    with duckdb.connect(str(path)) as connection:
        names = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables ORDER BY 1, 2"
        ).fetchall()
        for schema, name in names:
            cursor = connection.execute(f'SELECT * FROM "{schema}"."{name}"')
            columns = [column[0] for column in cursor.description or []]
            rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
            tables[f"{schema}.{name}"] = rows
    return {"database": True, "tables": tables}


def _files(top: Path) -> dict[str, int]:
    """Give every file and folder below with its mode; of sockets and the like only the name matters."""
    found: dict[str, int] = {}
    for here, folders, files in os.walk(top):
        for name in (*folders, *files):
            path = Path(here, name)
            found[str(path.relative_to(top))] = stat.S_IMODE(path.lstat().st_mode)
    return found


def _beside(database: Path) -> list[str]:
    if not database.parent.exists():
        return []
    return sorted(os.listdir(database.parent))


def plain(value: Any) -> Any:
    """Give facts as JSON keeps them: moments and the like as text."""
    return json.loads(json.dumps(value, default=str))
