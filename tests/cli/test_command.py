"""The command, run as a process: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

import oarlock

DATA = Path(__file__).parent.parent.parent / "examples" / "data"


class Command:
    """Runs ``oarlock`` in a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environ = {**os.environ, "HOME": str(home), "NO_COLOR": "1", "COLUMNS": "120"}

    def __call__(self, *words: str, code: int = 0, **environ: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "oarlock.cli", *words],
            capture_output=True, text=True, timeout=120, cwd=self.home, stdin=subprocess.DEVNULL,
            env={**self.environ, **environ},
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(self(*words, "--json", code=code).stdout)


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)


def test_load_real_files_with_four_workers_and_look_at_them(command: Command, tmp_path: Path) -> None:
    done = command("load", str(DATA), "--pipeline", "demo", "--destination", "duckdb:///demo.duckdb", "--workers", "4")

    assert "movies" in done.stdout
    assert "3,201" in done.stdout
    assert "4 worker(s)" in done.stdout
    assert "pipeline demo info" in done.stdout
    assert "webhooks" in done.stderr  # progress is talk
    with duckdb.connect(str(tmp_path / "demo.duckdb")) as connection:
        for table in ("movies", "webhooks"):
            wanted = len((DATA / f"{table}.jsonl").read_text().splitlines())
            found = connection.execute(f"SELECT count(*), count(DISTINCT _dlt_id) FROM demo_dataset.{table}").fetchone()
            assert found == (wanted, wanted)

    for hint in done.stdout.splitlines()[-2:]:  # what it says to look at the result with
        shown = subprocess.run(
            ["bash", "-c", hint], check=True, capture_output=True, text=True, cwd=tmp_path, env=command.environ
        )
        assert "demo_dataset" in shown.stdout or "Gramercy" in shown.stdout
    info = command.json("pipeline", "demo", "info")
    assert info["dataset_name"] == "demo_dataset"
    assert info["normalized_packages"] == 0
    assert "movies" in command("pipeline", "demo", "schema").stdout
    assert command.json("pipeline", "demo", "packages")[0]["state"] == "loaded"
    assert all(one["ok"] for one in command.json("doctor", "demo"))
    assert json.loads(command("pipeline", "demo", "state").stdout)["pipeline_name"] == "demo"


def test_the_report_as_json_and_replace(command: Command, tmp_path: Path) -> None:
    (tmp_path / "games.csv").write_text("id,white\n1,Anand\n2,Carlsen\n")

    for _ in range(2):
        report = command.json("load", "games.csv", "--pipeline", "demo", "--replace", "--progress", "none")

    assert report["tables"] == {"games": 2}
    assert report["rows"] == 2
    assert report["failures"] == report["pending"] == []
    with duckdb.connect(str(tmp_path / "demo.duckdb")) as connection:
        assert connection.execute("SELECT id, white FROM demo_dataset.games ORDER BY id").fetchall() == [
            (1, "Anand"), (2, "Carlsen"),
        ]  # fmt: skip


def test_a_replace_in_many_parts_empties_once(command: Command, tmp_path: Path) -> None:
    lines = [json.dumps({"id": n, "text": "x" * 1000}) for n in range(4000)]
    (tmp_path / "items.jsonl").write_text("\n".join(lines))

    for _ in range(2):
        report = command.json("load", "items.jsonl", "--pipeline", "demo", "--replace", "--workers", "2")

    assert report["packages"] > 1
    assert report["tables"] == {"items": 4000}
    with duckdb.connect(str(tmp_path / "demo.duckdb")) as connection:
        found = connection.execute("SELECT count(*), count(DISTINCT id) FROM demo_dataset.items").fetchone()
    assert found == (4000, 4000)


def test_a_bad_file_is_named_and_the_others_are_loaded(command: Command, tmp_path: Path) -> None:
    (tmp_path / "good.jsonl").write_text('{"id": 1}\n')
    (tmp_path / "bad.jsonl").write_text('{"id": 1}\n{"id": \n')

    done = command("load", "good.jsonl", "bad.jsonl", "--pipeline", "demo", code=1)

    assert "bad.jsonl" in done.stderr
    assert "line 2" in done.stderr
    with duckdb.connect(str(tmp_path / "demo.duckdb")) as connection:
        assert connection.execute("SELECT count(*) FROM demo_dataset.good").fetchone() == (1,)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("load",), 2, "Missing argument"),
        (("load", "none.jsonl"), 2, "there is no such file"),
        (("load", "none.xyz", "--workers", "0"), 2, "greater than or equal"),
        (("load", str(DATA), "--destination", "nowhere"), 2, "unknown destination 'nowhere'"),
        (("pipeline", "missing", "info"), 1, "does not exist"),
        (("pipeline", "a/b", "info"), 2, "cannot be used"),
        (("nonsense",), 2, "No such command"),
    ],
)
def test_wrong_use_and_failed_work_are_told_apart(
    words: tuple[str, ...], code: int, said: str, command: Command
) -> None:
    done = command(*words, code=code)

    assert said in done.stderr
    assert done.stdout == ""


def test_pending_packages_are_listed_and_dropped_only_when_said(command: Command, tmp_path: Path) -> None:
    pipeline = oarlock.pipeline("demo", str(tmp_path / ".oarlock" / "pipelines"), destination="duckdb")
    pipeline.extract([{"id": 1}], table_name="items")
    pipeline.close()

    assert [one["state"] for one in command.json("pipeline", "demo", "packages")] == ["extracted"]
    assert "--yes" in command("pipeline", "demo", "drop-pending-packages", code=1).stderr
    assert [one["state"] for one in command.json("pipeline", "demo", "packages")] == ["extracted"]
    assert command("pipeline", "demo", "drop-pending-packages", "--yes").stdout.strip() != ""
    assert [one["state"] for one in command.json("pipeline", "demo", "packages")] == ["aborted"]
    assert command.json("pipeline", "demo", "failed-jobs") == []
    assert "--yes" in command("pipeline", "demo", "drop", code=1).stderr
    command("pipeline", "demo", "drop", "--yes")
    command("pipeline", "demo", "info", code=1)


def test_trace_and_sync_restore_a_lost_folder(command: Command, tmp_path: Path) -> None:
    (tmp_path / "games.jsonl").write_text('{"id": 1}\n')
    command("load", "games.jsonl", "--pipeline", "demo", "--destination", "duckdb:///demo.duckdb", "--dataset", "data")
    shutil.rmtree(tmp_path / ".oarlock")

    done = command("pipeline", "demo", "sync", "--destination", "duckdb:///demo.duckdb", "--dataset", "data")

    assert "schemas demo" in done.stdout
    assert "games" in command("pipeline", "demo", "schema", "--format", "json").stdout
    assert "nothing ran yet" in command("pipeline", "demo", "trace", code=1).stderr


def test_every_command_has_an_example(command: Command) -> None:
    verbs = ["info", "state", "schema", "trace", "packages", "failed-jobs", "drop-pending-packages", "sync", "drop"]
    for words in (("load",), ("doctor",), *(("pipeline", "x", verb) for verb in verbs)):
        assert "Example: oarlock" in command(*words, "--help").stdout
    assert command("--version").stdout.strip() == oarlock.__version__


def test_doctor_says_what_is_wrong(command: Command, tmp_path: Path) -> None:
    pipeline = oarlock.pipeline("demo", str(tmp_path / ".oarlock" / "pipelines"), destination="duckdb")
    pipeline.run([{"id": 1}], table_name="items", wait=False)
    (path,) = pipeline.member.packages_folder.iterdir()
    path.write_bytes(path.read_bytes()[:-4] + b"torn")
    pipeline._unflushed.clear()
    pipeline.close()

    findings = command.json("doctor", "demo", code=1)

    assert [one["check"] for one in findings if not one["ok"]] == ["pending packages"]
    assert "checksum" in command("doctor", "demo", code=1).stdout
