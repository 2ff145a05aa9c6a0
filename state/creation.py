"""Making a store, and knowing one: the marker, the database file and its format.

Creation may be killed anywhere, and any number of processes may create at once:

    folder (0700) → guard.lock taken → state.db, empty → its tables, in one transaction → oarlock.json, renamed in

The marker comes last: where it is, a whole store is or was. Where it is not, the next creator goes through the same
steps, and finds each either not done or done.
"""

from __future__ import annotations

import time
from pathlib import Path

import orjson

from oarlock.errors import ForeignFolder, StoreDamaged, StoreTooNew
from oarlock.state.connection import Connection
from oarlock.state.files import make_file, read_small, refuse_link, sync_file, sync_folder, write_whole
from oarlock.state.queries import FORMAT, migration_scripts, statements

MARKER, DATABASE, GUARD = "oarlock.json", "state.db", "guard.lock"
#: What the marker's own format is; a folder of a newer one is refused.
MARKER_FORMAT = 1
#: "oarl", in the header of every database of ours.
APPLICATION_ID = 0x6F61726C
#: A marker is one short line.
_MARKER_BYTES = 4096
#: What oarlock puts into a working folder; a folder without a marker that holds anything else is not ours.
_OUR_NAMES = frozenset(("packages", "workers", "logs", "trash"))
_OUR_BEGINNINGS = ("guard.", "loader.", "state.", MARKER, ".oarlock")


def read_marker(folder: Path) -> str:
    """Give the name of the pipeline whose working folder this is.

    Raises:
        FileNotFoundError: There is no marker.
        StoreDamaged: It does not read as one.
        StoreTooNew: A newer oarlock wrote it.
    """
    path = folder / MARKER
    try:
        content = orjson.loads(read_small(path, _MARKER_BYTES))
    except orjson.JSONDecodeError as error:
        raise StoreDamaged(path, f"it is not JSON ({error})") from error
    found = content.get("oarlock") if isinstance(content, dict) else None
    if type(found) is not int or not isinstance(content.get("pipeline_name"), str):
        raise StoreDamaged(path, 'it must read {"oarlock": 1, "pipeline_name": …}')
    if found > MARKER_FORMAT:
        raise StoreTooNew(path, found, MARKER_FORMAT)
    return str(content["pipeline_name"])


def write_marker(folder: Path, pipeline_name: str) -> None:
    """Say that this is the working folder of a pipeline: the last step of a creation."""
    content = orjson.dumps({"oarlock": MARKER_FORMAT, "pipeline_name": pipeline_name})
    write_whole(folder / MARKER, content + b"\n")


def refuse_foreign(folder: Path, pipeline_name: str) -> None:
    """Raise ForeignFolder where a folder without a marker holds what is not ours."""
    foreign = sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.name not in _OUR_NAMES and not entry.name.startswith(_OUR_BEGINNINGS)
    )
    # dlt keeps a file of this name in a folder of the same name.
    if "state.json" in (entry.name for entry in folder.iterdir()):
        foreign = ["state.json", *foreign]
    if foreign:
        raise ForeignFolder(pipeline_name, str(folder), foreign)


def build(folder: Path, pipeline_name: str) -> None:
    """Make the database, or finish making it; the caller holds the guard."""
    path = folder / DATABASE
    make_file(path)
    refuse_link(path)
    path.chmod(0o600)
    connection = Connection(path)
    try:
        if identify(connection) == 0:
            connection.run("PRAGMA journal_mode=WAL")
            connection.run("PRAGMA synchronous=FULL")
            migrate(connection, pipeline_name=pipeline_name)
        check_owner(connection, pipeline_name)
        sync_folder(folder)
    finally:
        connection.close()


def identify(connection: Connection) -> int:
    """Give the format of a database; 0 for one in which nothing was made yet.

    Raises:
        StoreDamaged: It is no database, or not one of ours.
        StoreTooNew: A newer oarlock made it.
    """
    application = connection.run("PRAGMA application_id")[0][0]
    found = int(connection.run("PRAGMA user_version")[0][0])
    if application == 0 and found == 0 and connection.run("SELECT count(*) FROM sqlite_master")[0][0] == 0:
        return 0
    if application != APPLICATION_ID or found < 1:
        raise StoreDamaged(connection.path, "it is a database, but not one that oarlock made")
    if found > FORMAT:
        raise StoreTooNew(connection.path, found, FORMAT)
    return found


def check_owner(connection: Connection, pipeline_name: str) -> None:
    """Raise StoreDamaged where a database belongs to a pipeline of another name."""
    row = connection.row("pipeline_name")
    if row is None:
        raise StoreDamaged(connection.path, "its row of facts is missing")
    if row[0] != pipeline_name:
        raise StoreDamaged(connection.path, f"it belongs to pipeline {row[0]!r}, not {pipeline_name!r}")


def migrate(connection: Connection, *, pipeline_name: str = "", scripts: list[str] | None = None) -> None:
    """Bring a database to the newest format, in one transaction; an older one is first copied and set aside.

    Raises:
        StoreDamaged: A step of the migration does not fit what is there.
    """
    steps = migration_scripts() if scripts is None else scripts
    found = int(connection.run("PRAGMA user_version")[0][0])
    if 0 < found < len(steps):
        _set_copy_aside(connection, found)
    connection.run("BEGIN IMMEDIATE")
    try:
        found = int(connection.run("PRAGMA user_version")[0][0])
        for script in steps[found:]:
            for statement in statements(script):
                connection.run(statement)
        if found == 0:
            connection.run(f"PRAGMA application_id={APPLICATION_ID}")
            connection.rows("first_meta", pipeline_name, time.time())
        connection.run(f"PRAGMA user_version={len(steps)}")
        connection.run("COMMIT")
    finally:
        connection.rollback()


def _set_copy_aside(connection: Connection, found: int) -> None:
    copy = connection.path.with_name(f"{connection.path.name}.format-{found}")
    part = copy.with_name(copy.name + ".part")
    part.unlink(missing_ok=True)
    make_file(part)
    target = str(part).replace("'", "''")
    connection.run(f"VACUUM INTO '{target}'")
    sync_file(part)
    part.replace(copy)
    sync_folder(copy.parent)
