"""The layout: rooms at the root are oarlock's, nothing generic is installed, joining imports nothing heavy."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import oarlock

ROOT = Path(__file__).parent.parent
ROOMS = ("locking", "state", "workers")
HEAVY = ("pyarrow", "duckdb", "structlog", "pydantic", "numpy", "psycopg", "pandas", "polars", "typer", "multiprocess")


def test_every_module_imports_and_no_generic_name_is_taken() -> None:
    for module in pkgutil.walk_packages(oarlock.__path__, "oarlock."):
        importlib.import_module(module.name)

    assert [name for name in ROOMS if name in sys.modules] == []
    for room in ROOMS:
        assert (ROOT / "src" / "oarlock" / room).is_symlink()
        assert Path(sys.modules[f"oarlock.{room}"].__path__[0]).resolve() == ROOT / room


def test_joining_imports_nothing_heavy(tmp_path: Path) -> None:
    oarlock.pipeline("light", str(tmp_path), destination="duckdb").close()
    code = (
        f"import oarlock, sys; p = oarlock.attach('light', {str(tmp_path)!r}); p.state; p.schema_names; p.destination\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )

    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert out.stdout.strip() == "[]"


def test_public_names_are_these() -> None:
    assert set(oarlock.__all__) == {
        "Collector", "Pipeline", "Resource", "Schema", "Source", "__version__", "attach", "config", "current",
        "destinations", "exceptions", "pipeline", "progress", "resource", "run", "secrets", "source", "transformer",
    }  # fmt: skip
    for name in oarlock.__all__:
        assert getattr(oarlock, name) is not None
    assert oarlock.exceptions.LockTimeout is oarlock.LockTimeout
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = oarlock.nothing


def test_the_wheel_holds_the_tree(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="hatchling builds the wheel; pip downloads it when it is missing here")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if not name.split("/")[0].endswith(".dist-info")}

    expected = set()
    for folder, inner in ((ROOT / "src" / "oarlock", "oarlock"), *((ROOT / room, f"oarlock/{room}") for room in ROOMS)):
        for path in folder.rglob("*"):
            relative = path.relative_to(folder)
            linked = inner == "oarlock" and relative.parts[0] in ROOMS
            if path.is_file() and not linked and "__pycache__" not in path.parts:
                expected.add(f"{inner}/{relative}")
    assert inside == expected
