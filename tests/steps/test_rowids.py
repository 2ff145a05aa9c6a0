"""Row ids: the same for the same row, different for every other."""

from __future__ import annotations

import base64
import string
import subprocess
import sys

import numpy as np
import pytest

from oarlock.steps import rowids

ALPHABET = set(string.ascii_letters + string.digits + "+/")


def test_an_id_is_its_128_bits_in_base64() -> None:
    ids = rowids.root_ids("1700000000.5", "t", 0, 3)

    texts = [text.decode() for text in rowids.texts(ids).tolist()]

    assert [base64.b64decode(text + "==") for text in texts] == [row.astype("<u8").tobytes() for row in ids]
    assert all(len(text) == rowids.TEXT_LENGTH and set(text) <= ALPHABET for text in texts)
    assert rowids.string_array(rowids.texts(ids)).to_pylist() == texts


def test_no_two_ids_are_equal() -> None:
    roots = [rowids.root_ids(load_id, table, 0, 50_000) for load_id in ("1.5", "1.6") for table in ("t", "u")]
    parents = roots[0][:100]
    children = [
        rowids.child_ids(np.repeat(parents, 500, axis=0), table, np.tile(np.arange(500), 100))
        for table in ("t__a", "t__b")
    ]

    texts = np.concatenate([rowids.texts(ids) for ids in (*roots, *children)])
    assert len(np.unique(texts)) == len(texts)
    for word in (0, 1):
        words = np.concatenate([ids[:, word] for ids in (*roots, *children)])
        # Each half alone has 64 random bits: among 300,000 a repetition has a chance of 1 in 400 million.
        assert len(np.unique(words)) == len(words)


def test_every_bit_is_set_in_half_of_the_ids() -> None:
    parents = rowids.root_ids("1.5", "t", 0, 20_000)
    children = rowids.child_ids(np.repeat(parents[:1], 20_000, axis=0), "t__a", np.arange(20_000))

    for ids in (parents, children):
        shares = np.unpackbits(np.ascontiguousarray(ids).view(np.uint8).reshape(len(ids), 16), axis=1).mean(axis=0)
        assert shares.min() > 0.48
        assert shares.max() < 0.52


def test_ids_do_not_depend_on_how_rows_are_cut_into_batches() -> None:
    whole = rowids.root_ids("1.5", "t", 0, 40_000)

    parts = [rowids.root_ids("1.5", "t", first, 10_000) for first in range(0, 40_000, 10_000)]

    assert np.array_equal(whole, np.concatenate(parts))


def test_ids_are_the_same_in_every_process() -> None:
    code = (
        "import numpy as np; from oarlock.steps import rowids\n"
        "ids = rowids.root_ids('1.5', 't', 0, 2)\n"
        "print(rowids.texts(rowids.child_ids(ids, 't__a', np.array([0, 7]))).tolist(), rowids.texts(ids).tolist())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in ("0", "1")
    }

    # Kept as they are for ever: a package that is written again must have the ids it had.
    children = "[b'w1U3HRjmnlmPUOUgfIkwvw', b'nKgZeqHAI+njK6XLoFFJlw']"
    roots = "[b'i8BOluII96coPpL7wlyTGA', b'Cuo0qBBzu9IUN57I8i9LcA']"
    assert found == {f"{children} {roots}\n"}


def test_a_supplied_id_stands_for_itself() -> None:
    first, second, third = rowids.ids_of_texts(["a", "b", "a"])

    assert np.array_equal(first, third)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("count", [0, 1, 16_384, 16_385])
def test_any_number_of_ids_can_be_made(count: int) -> None:
    ids = rowids.root_ids("1.5", "t", 3, count)

    assert len(rowids.texts(ids)) == count
    assert len(rowids.string_array(rowids.texts(ids))) == count
    assert len(rowids.child_ids(ids, "t__a", np.zeros(count, np.int64))) == count
