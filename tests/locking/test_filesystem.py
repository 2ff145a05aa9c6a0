"""File systems: where locks hold is known, tried, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from oarlock.errors import UnsupportedFileSystem
from oarlock.locking import check_locks_hold, filesystem

_MOUNTS = """\
21 1 254:0 / / rw,relatime shared:1 - {root} /dev/vda rw
30 21 0:50 / {folder}/with\\040space rw - nfs4 server:/home rw
31 21 0:51 / {folder}/hidden rw - ext4 /dev/vdb rw
32 21 0:52 / {folder}/hidden rw shared:2 master:1 - fuse.sshfs host: rw
33 21 0:53 / {folder}/rootless rw - fuse.fuse-overlayfs fuse rw
torn line
"""


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table of mounts, in the kernel's words."""
    table = tmp_path / "mountinfo"
    table.write_text(_MOUNTS.format(root="ext4", folder=tmp_path))
    monkeypatch.setattr(filesystem, "MOUNTS", table)
    return table


def test_a_local_folder_is_accepted_and_nothing_is_written(tmp_path: Path, mounts: Path) -> None:
    check_locks_hold(tmp_path / "with")

    assert [each.name for each in tmp_path.iterdir()] == ["mountinfo"]


@pytest.mark.parametrize(("name", "kind"), [("with space", "nfs4"), ("hidden", r"fuse\.sshfs")])
def test_a_network_folder_is_refused_with_the_way_out(
    tmp_path: Path, mounts: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    folder = tmp_path / name / "pipeline"

    with pytest.raises(UnsupportedFileSystem, match=f"{kind}.*local disk"):
        check_locks_hold(folder)
    monkeypatch.setenv("OARLOCK_ALLOW_UNSAFE_FS", "1")
    check_locks_hold(folder)


@pytest.mark.parametrize("name", ["rootless", "unknown"])
def test_an_unknown_file_system_is_tried_by_two_processes_once(tmp_path: Path, mounts: Path, name: str) -> None:
    mounts.write_text(_MOUNTS.format(root="newfs", folder=tmp_path))
    folder = tmp_path / name
    folder.mkdir()

    check_locks_hold(folder)
    answer = folder / filesystem.ANSWER_NAME
    first = answer.stat()
    check_locks_hold(folder)

    assert [each.name for each in folder.iterdir()] == [answer.name]
    assert answer.stat().st_mtime_ns == first.st_mtime_ns


def test_an_answer_from_another_device_is_not_believed(tmp_path: Path, mounts: Path) -> None:
    mounts.write_text(_MOUNTS.format(root="newfs", folder=tmp_path))
    answer = tmp_path / filesystem.ANSWER_NAME
    answer.write_text('["newfs", -1]')

    check_locks_hold(tmp_path)

    assert answer.read_text() != '["newfs", -1]'


def test_a_file_system_where_locks_do_not_hold_is_found_out(
    tmp_path: Path, mounts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts.write_text(_MOUNTS.format(root="newfs", folder=tmp_path))
    # As a file system does that says yes to every lock.
    monkeypatch.setattr(filesystem, "lock_descriptor", lambda fd, blocking: True)

    with pytest.raises(UnsupportedFileSystem, match="another process got a lock that was held on file system newfs"):
        check_locks_hold(tmp_path)

    assert [each.name for each in tmp_path.iterdir()] == ["mountinfo"]


def test_the_folder_of_the_tests_has_locks_that_hold(tmp_path: Path) -> None:
    assert filesystem.try_two_processes(tmp_path) == ""
    assert list(tmp_path.iterdir()) == []
