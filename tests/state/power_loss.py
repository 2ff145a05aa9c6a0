"""Cut the power in the middle of commits, on paper: rebuild what a disk may hold, and look whether the store stands.

    python power_loss.py FOLDER SEED

Processes commit to one store while strace writes down every write and sync of its files. Then, for each moment, images
of the disk are built: what had been synced is there; of what had not, nothing, everything, or some of it, whole, torn
or as zeros. Each image must open, be whole, and hold every transaction that was told before that moment.
Prints ``points=… lost=0 dup=0 stuck=0``; exits with 77 where strace may not trace.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from oarlock.errors import OarlockError
from oarlock.state import store as store_module
from oarlock.state.connection import Connection
from oarlock.state.store import SqliteStore

PROCESSES, TRANSACTIONS = 4, 10
NOT_ALLOWED = 77
FILES = ("state.db", "state.db-wal")
_PATH = re.compile(r"<((?:\\x[0-9a-f]{2})+)>")
_LINE = re.compile(r"^(\d+) +(?:<\.\.\. )?(\w+)")
_FILE = re.compile(r"\(\d+<[^>]*/(state\.db(?:-wal)?)>")
_WRITE = re.compile(r'>, "((?:\\x[0-9a-f]{2})*)", (\d+), (\d+)')
_CUT = re.compile(r">, (\d+)")
_TOLD = re.compile(r'^\d+ +write\(1<[^"]*"((?:\\x[0-9a-f]{2})*)"')


def work(folder: Path) -> None:
    """Commit from several processes, with the log moved and begun anew all the while; nobody closes."""
    store_module.CHECKPOINT_EVERY, store_module.LOG_PAGES = 5, 20
    for number in range(PROCESSES):
        if os.fork() == 0:
            store = SqliteStore.open(folder, worker=f"w{number}")
            for turn in range(TRANSACTIONS):
                with store.transaction("count") as tx:
                    total = tx.get(("n",), 0) + 1
                    tx.put(("n",), total)
                    tx.put(("counts", str(number)), turn + 1)
                    tx.put(("_local", "text"), "x" * (turn * 700))
                os.write(1, f"told {total}\n".encode())
            os._exit(0)
    for _ in range(PROCESSES):
        os.wait()
    os._exit(0)


@dataclass
class Write:
    """One write, or cut, of a file: when it happened, and when a sync that covers it had ended."""

    at: int
    file: str
    offset: int
    content: bytes
    cut: bool = False
    durable_at: float = field(default=float("inf"))


def _plain(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))


def read_calls(calls: str) -> tuple[list[Write], list[tuple[int, int]], int]:
    """Give the writes, what was told when, and how many moments there were."""
    writes: list[Write] = []
    told: list[tuple[int, int]] = []
    syncing: dict[str, tuple[int, str]] = {}
    at = 0
    for at, raw in enumerate(calls.splitlines()):
        line = _PATH.sub(lambda path: f"<{_plain(path[1]).decode()}>", raw, count=1)
        begins = _LINE.match(line)
        if begins is None:
            continue
        pid, call = begins[1], begins[2]
        file = _FILE.search(line)
        if call == "pwrite64" and file:
            parts = _WRITE.search(line)
            assert parts, line
            writes.append(Write(at, file[1], int(parts[3]), _plain(parts[1])))
        elif call == "ftruncate" and file:
            cut = _CUT.search(line)
            assert cut, line
            writes.append(Write(at, file[1], int(cut[1]), b"", cut=True))
        elif call == "fdatasync" and file:
            syncing[pid] = (at, file[1])
        if call == "fdatasync" and "= 0" in line and pid in syncing:
            began, synced_file = syncing.pop(pid)
            for write in writes:
                if write.file == synced_file and write.at < began:
                    write.durable_at = min(write.durable_at, at)
        said = _TOLD.match(line)
        if said:
            told.append((at, int(_plain(said[1]).split()[1])))
    return writes, told, at + 1


def image(
    before: dict[str, bytes], writes: list[Write], moment: int, kind: str, chance: random.Random
) -> dict[str, bytes]:
    """Build what the files may hold after the power went at a moment."""
    files = {name: bytearray(content) for name, content in before.items()}
    for write in writes:
        if write.at >= moment:
            break
        content, is_there = write.content, True
        if write.durable_at >= moment:
            is_there = kind == "all" or (kind != "none" and chance.random() < 0.5)
            if kind == "torn" and content:
                half = len(content) // 2
                content = content[:half] + (bytes(len(content) - half) if chance.random() < 0.5 else b"")
        if not is_there:
            continue
        file = files[write.file]
        if write.cut:
            del file[write.offset :]
            file.extend(bytes(write.offset - len(file)))
        else:
            file.extend(bytes(max(0, write.offset - len(file))))
            file[write.offset : write.offset + len(content)] = content
    return {name: bytes(content) for name, content in files.items()}


def look(folder: Path, files: dict[str, bytes], told: int) -> str:
    """Open an image; say what is wrong with it."""
    for old in folder.iterdir():
        old.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    try:
        connection = Connection(folder / "state.db")
        found = dict(connection.rows("all_documents"))
        whole = connection.run("PRAGMA quick_check") == [("ok",)]
        connection.close()
    except OarlockError as error:
        return f"stuck: {error}"
    total = int(found.get('["n"]', b"0"))
    counts = sum(map(int, re.findall(rb":(\d+)", found.get('["counts"]', b""))))
    if not whole or counts != total:
        return f"dup: total {total}, counts {counts}, whole {whole}"
    return f"lost: {total} of {told}" if total < told else ""


def main() -> int:
    folder, seed = Path(sys.argv[1]), int(sys.argv[2])
    if "work" in sys.argv[3:]:
        work(folder)
    SqliteStore.create(folder, pipeline_name="p", worker="creator").close()
    before = {"state.db": (folder / "state.db").read_bytes(), "state.db-wal": b""}
    watch = ["strace", "-f", "-y", "-xx", "-s", "100000", "-o", str(folder / "calls")]
    # A slow disk: others commit while a sync is under way, and must not be told by it.
    watch += ["-e", "trace=pwrite64,fdatasync,ftruncate,write", "-e", "inject=fdatasync:delay_exit=3000"]
    done = subprocess.run(
        [*watch, sys.executable, __file__, *sys.argv[1:3], "work"], capture_output=True, text=True, check=False
    )
    if "Operation not permitted" in done.stderr:
        return NOT_ALLOWED
    writes, told, moments = read_calls((folder / "calls").read_text())
    assert len(told) == PROCESSES * TRANSACTIONS, done.stderr
    chance = random.Random(seed)
    (folder / "image").mkdir()
    found = {"points": 0, "lost": 0, "dup": 0, "stuck": 0}
    interesting = sorted({write.at + 1 for write in writes} | {at + 1 for at, _ in told} | {moments})
    for moment in interesting:
        for kind in ("none", "all", "some", "torn"):
            newest_told = max((total for at, total in told if at < moment), default=0)
            wrong = look(folder / "image", image(before, writes, moment, kind, chance), newest_told)
            found["points"] += 1
            if wrong:
                found[wrong.split(":")[0]] += 1
                print(f"moment {moment}, {kind}: {wrong}", file=sys.stderr)
    print(" ".join(f"{name}={count}" for name, count in found.items()), f"seed={seed}")
    return int(bool(found["lost"] or found["dup"] or found["stuck"]))


if __name__ == "__main__":
    sys.exit(main())
