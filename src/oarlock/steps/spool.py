"""The files of a load package: written by one worker, durable before the package is committed, never changed after.

    packages/<load_id>-<n>.<worker_id>.rows     one or more per package; each holds slices, one a job

A file is named by the store only when it is complete and synced, so a reader never meets a half-written one. Files
that the store does not name are litter of a worker that died; ``sweep`` removes them once their worker is gone.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oarlock.errors import PackageDamaged
from oarlock.state.base import Job
from oarlock.values import FILE_MODE, LoadId

if TYPE_CHECKING:
    import pyarrow as pa

#: Rows of one table wait in memory up to this size, so that a slice is worth its header.
SLICE_BYTES = 8 * 1024 * 1024
#: All tables of a package together wait in memory up to this size.
WAITING_BYTES = 64 * 1024 * 1024
#: A file is closed and another begun beyond this size, so that a loader can go file by file.
FILE_BYTES = 128 * 1024 * 1024
#: … or beyond this many rows.
FILE_ROWS = 1_000_000
SUFFIX = ".rows"


class PackageWriter:
    """Writes the files of one package; ``seal`` makes them durable and gives the jobs for the store."""

    def __init__(
        self,
        folder: Path,
        load_id: LoadId,
        worker: str,
        *,
        first_file: int = 1,
        file_bytes: int = FILE_BYTES,
        file_rows: int = FILE_ROWS,
    ) -> None:
        self._folder, self._load_id, self._worker = folder, load_id, worker
        self._file_bytes, self._file_rows = file_bytes, file_rows
        self._number = first_file - 1
        self._fd: int | None = None
        self._offset = self._rows_in_file = 0
        self._paths: list[Path] = []
        self._jobs: list[Job] = []
        self._waiting: dict[str, list[pa.Table]] = {}
        self._bytes: dict[str, int] = {}

    def add(self, table: str, batch: Any) -> None:
        """Take a batch (RecordBatch or Table) of a table's rows."""
        import pyarrow as pa

        rows = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
        if rows.num_rows == 0:
            return
        self._waiting.setdefault(table, []).append(rows)
        self._bytes[table] = self._bytes.get(table, 0) + rows.nbytes
        if self._bytes[table] >= SLICE_BYTES:
            self._flush(table)
        elif sum(self._bytes.values()) >= WAITING_BYTES:
            for name in list(self._waiting):
                self._flush(name)

    def add_bytes(self, table: str, data: bytes | memoryview, rows: int, *, form: str) -> None:
        """Take a slice that is already encoded."""
        self._write(table, data, rows, form)

    def seal(self) -> list[Job]:
        """Write what waits, sync the files and the folder, and give the jobs. After this the files never change."""
        for table in list(self._waiting):
            self._flush(table)
        self._close_file()
        if self._paths:
            sync_folder(self._folder)
        return self._jobs

    def discard(self) -> None:
        """Take the files back: the package is not going to be committed."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        for path in self._paths:
            path.unlink(missing_ok=True)

    def _flush(self, table: str) -> None:
        import pyarrow as pa

        tables = self._waiting.pop(table, [])
        self._bytes.pop(table, None)
        for rows in _joined(tables):
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, rows.schema) as stream:
                stream.write_table(rows)
            self._write(table, memoryview(sink.getvalue()), rows.num_rows, "arrow")

    def _write(self, table: str, data: bytes | memoryview, rows: int, form: str) -> None:
        fd = self._file()
        view = memoryview(data).cast("B")
        written = 0
        with _naming(self._paths[-1]):
            while written < len(view):
                written += os.write(fd, view[written:])
        job = Job(
            job_id=f"{table}.{self._load_id}.{self._number}.{self._offset}",
            table=table,
            file=self._paths[-1].name,
            offset=self._offset,
            size_bytes=len(view),
            rows=rows,
            checksum=f"crc32:{zlib.crc32(view):08x}",
            format=form,
        )
        self._jobs.append(job)
        self._offset += len(view)
        self._rows_in_file += rows

    def _file(self) -> int:
        if self._fd is not None and (self._offset >= self._file_bytes or self._rows_in_file >= self._file_rows):
            self._close_file()
        if self._fd is None:
            self._number += 1
            path = self._folder / f"{self._load_id}-{self._number}.{self._worker}{SUFFIX}"
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
            self._paths.append(path)
            os.fchmod(self._fd, FILE_MODE)
            self._offset = self._rows_in_file = 0
        return self._fd

    def _close_file(self) -> None:
        if self._fd is not None:
            with _naming(self._paths[-1]):
                os.fsync(self._fd)
            os.close(self._fd)
            self._fd = None


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file in an error of the system's, which knows only a descriptor."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _joined(tables: list[pa.Table]) -> Iterator[pa.Table]:
    """Join batches of one table into one, columns that came later being null before; else give them as they are."""
    import pyarrow as pa

    if len(tables) == 1:
        yield tables[0]
        return
    try:
        yield pa.concat_tables(tables, promote_options="default").combine_chunks()
    except pa.ArrowInvalid:  # one column in two precisions
        yield from tables


def sync_folder(folder: Path) -> None:
    """Make the entries of a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with _naming(folder):
            os.fsync(fd)
    finally:
        os.close(fd)


def check_job(folder: Path, job: Job, *, contents: bool, pipeline_name: str, load_id: str) -> None:
    """Refuse a job whose slice is not what was written.

    Raises:
        PackageDamaged: the file is missing, too short, or (with ``contents``) its checksum differs.
    """
    path = folder / job.file
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise PackageDamaged(pipeline_name, load_id, job.file, "is missing") from None
    if size < job.offset + job.size_bytes:
        raise PackageDamaged(
            pipeline_name, load_id, job.file, f"has {size} bytes, {job.offset + job.size_bytes} were written"
        )
    if contents and (found := _checksum(path, job)) != job.checksum:
        raise PackageDamaged(
            pipeline_name,
            load_id,
            job.file,
            f"has checksum {found} for table {job.table!r}, {job.checksum} was written",
        )


def _checksum(path: Path, job: Job) -> str:
    crc, left = 0, job.size_bytes
    with path.open("rb") as file:
        file.seek(job.offset)
        while left > 0 and (block := file.read(min(left, 1 << 20))):
            crc = zlib.crc32(block, crc)
            left -= len(block)
    return f"crc32:{crc:08x}"


def read_slice(folder: Path, job: Job) -> bytes:
    """Read a job's slice."""
    with (folder / job.file).open("rb") as file:
        file.seek(job.offset)
        return file.read(job.size_bytes)


def remove_files(folder: Path, jobs: Iterable[Job]) -> None:
    """Remove the files of jobs that the destination has; a file that is already gone is as good."""
    for name in {job.file for job in jobs}:
        (folder / name).unlink(missing_ok=True)


def sweep(
    folder: Path, *, is_alive: Callable[[str], bool], needed: Callable[[set[str]], tuple[set[str], set[str]]]
) -> list[str]:
    """Remove files that nobody needs any more; give their names.

    A file goes if its worker is dead and no package that waits names it, or if its package is done with: a loader that
    was killed between the mark and the removal leaves files of workers that live on.

    The order matters: who is dead is asked first, which files are needed second, so that a package that its worker
    committed just before it died is seen.

    Args:
        is_alive: says whether a worker lives.
        needed: given load ids, says which files the waiting packages name, and which of the load ids are done with.
    """
    try:
        names = [one.name for one in os.scandir(folder) if one.name.endswith(SUFFIX)]
    except FileNotFoundError:
        return []
    if not names:
        return []
    workers = {name: name.removesuffix(SUFFIX).partition("-")[2].partition(".")[2] for name in names}
    alive = {worker: is_alive(worker) for worker in set(workers.values())}
    load_ids = {name: name.partition("-")[0] for name in names}
    keep, done = needed({load_ids[name] for name in names if alive[workers[name]]})
    removed = [name for name in names if name not in keep and (not alive[workers[name]] or load_ids[name] in done)]
    for name in removed:
        (folder / name).unlink(missing_ok=True)
    return removed
