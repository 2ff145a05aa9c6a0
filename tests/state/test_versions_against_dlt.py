"""Hash, encoding and typed JSON of the state, compared with the library whose datasets we share."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from test_versions import HASH, STATE

from oarlock.state.typed_json import dumps, loads
from oarlock.state.versions import decode_state, encode_state, state_hash

pytest.importorskip("dlt")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

MARKED = [Decimal("1.5"), datetime(2026, 1, 2, tzinfo=UTC), date(2026, 1, 2), time(1, 2), b"ab"]
STATES: list[dict[str, Any]] = [
    STATE,
    {},
    {"sources": {}},
    {"a": [Decimal("1.50"), date(2026, 1, 2), time(1, 2), b"bytes", 2**63, 1.5, "é"]},
    {"a": {2: "two", 10: "ten", "z": None}, "b": UUID("c4a760a8-dbcf-4e14-9f39-645a8e933d74")},
    {"a": datetime(2026, 1, 2, 3, 4, 5, 6), "b": datetime(2026, 1, 2, tzinfo=UTC), "c": math.nan},
]


@pytest.mark.parametrize("state", STATES)
def test_hashes_agree(state: dict[str, Any]) -> None:
    from dlt.pipeline.state_sync import generate_pipeline_state_version_hash

    assert state_hash(state) == generate_pipeline_state_version_hash(dict(state))


def test_the_fixed_vector_is_theirs() -> None:
    from dlt.pipeline.state_sync import generate_pipeline_state_version_hash

    assert generate_pipeline_state_version_hash(dict(STATE)) == HASH


@pytest.mark.parametrize("state", STATES[:4])
def test_each_reads_what_the_other_wrote(state: dict[str, Any]) -> None:
    from dlt.common.versioned_state import compress_state, decompress_state

    plain = {key: value for key, value in state.items() if key != "_local"}

    assert decode_state(compress_state(dict(plain))) == plain
    assert decompress_state(encode_state(state)) == plain


@pytest.mark.parametrize(
    "value", [Decimal("1.5"), datetime(2026, 1, 2, tzinfo=UTC), date(2026, 1, 2), time(1, 2), b"ab"]
)
def test_each_marker_is_read_by_the_other(value: Any) -> None:
    from dlt.common.json import json

    assert json.typed_dumpb({"k": value}) == dumps({"k": value})
    assert json.typed_loadb(dumps({"k": value})) == {"k": value}
    assert loads(json.typed_dumpb({"k": value})) == {"k": value}


def test_hex_bytes_and_wei_are_read_by_the_other() -> None:
    from dlt.common.json import json
    from dlt.common.libs.hexbytes import HexBytes
    from dlt.common.wei import Wei

    theirs = {"h": HexBytes(b"\x01\xab"), "w": Wei(12)}

    assert dumps(loads(json.typed_dumpb(theirs))) == json.typed_dumpb(theirs)
