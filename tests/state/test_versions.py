"""The state's hash and encoded form: fixed vectors, so that a dataset's states stay readable for ever."""

from __future__ import annotations

import base64
import zlib
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from oarlock.state import versions
from oarlock.state.versions import decode_state, encode_state, state_hash

STATE: dict[str, Any] = {
    "_state_version": 3,
    "_state_engine_version": 4,
    "pipeline_name": "demo",
    "dataset_name": "data",
    "default_schema_name": "demo",
    "schema_names": ["demo"],
    "destination_type": "dlt.destinations.duckdb",
    "destination_name": None,
    "sources": {
        "demo": {
            "resources": {
                "games": {
                    "incremental": {
                        "updated": {
                            "initial_value": None,
                            "last_value": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
                            "unique_hashes": ["abc"],
                        }
                    },
                    "spent": Decimal("12.50"),
                }
            }
        }
    },
    "_local": {"first_run": False, "initial_cwd": "/anywhere"},
}
#: Computed by dlt 1.31.0; test_versions_against_dlt.py computes it again where dlt is installed.
HASH = "rx+Z7z1YDlJpu6EyyFLZxaGzJ8ikDxKLirylggOS9lY="
ENCODED = (
    "eNpdj0tuwyAQhu8y2zrWxEm64BzdVRGa2NMYFWNihkiVZamnaY/XKxSCErllg+Yb/gcz6CAkrK88BTM6ULvqjtidjVtt9hV449lm"
    "6GhgUNDxMEIFHQkFlgdNY6b8RtGKDm3PA/2TrGAA9VrwMYuCGEeSErV8+JvCSr3Coe5i+96d4O/jYu+itcl8jFObfefim+6JV/Bc"
    "Umcwrp14YCdk8xh9qs5d2RgxZPWVbHz4WgpyJ/Dz+d1g87zB7QabF9wp3Cs8PCEqxNQtOnOJrHsKffkhnVo4Lktq51PgzeBr29QH"
    "hCWfXzoOif0="
)


def test_the_hash_is_the_one_that_dlt_computes() -> None:
    assert state_hash(STATE) == HASH


def test_version_hash_and_bookkeeping_are_no_part_of_the_hash() -> None:
    other = {**STATE, "_local": {"first_run": True}, "_state_version": 99, "_version_hash": "x"}

    assert state_hash(other) == HASH
    assert state_hash({**STATE, "dataset_name": "other"}) != HASH


def test_the_order_of_keys_does_not_count() -> None:
    assert state_hash(dict(reversed(STATE.items()))) == HASH


def test_an_encoded_state_reads_back_without_its_bookkeeping() -> None:
    wanted = {key: value for key, value in STATE.items() if key != "_local"}

    assert decode_state(encode_state(STATE)) == wanted
    assert decode_state(ENCODED) == wanted


def test_plain_json_is_read_too() -> None:
    assert decode_state('{"a":"\uf0261.5"}') == {"a": Decimal("1.5")}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[1]",
        base64.b64encode(b"no zlib").decode(),
        base64.b64encode(zlib.compress(b"no json")).decode(),
        base64.b64encode(zlib.compress(b"{}")[:-1]).decode(),
        base64.b64encode(zlib.compress(b"[1]")).decode(),
    ],
)
def test_what_is_no_state_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        decode_state(text)


def test_a_bomb_is_refused_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "UNPACKED_LIMIT_BYTES", 100_000)
    bomb = base64.b64encode(zlib.compress(b" " * 1_000_000, 9)).decode()

    with pytest.raises(ValueError, match="over 100000 bytes"):
        decode_state(bomb)
