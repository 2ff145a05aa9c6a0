"""Row ids: 128 bits, the same again when the same rows are normalized again, made a column at a time."""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

#: Characters of one id as text: 128 bits in base64 without padding.
TEXT_LENGTH = 22

#: Ids as numbers: one row of two 64-bit words for each id.
Ids = NDArray[np.uint64]
#: Row numbers, list indexes and row positions.
Numbers = NDArray[np.int64]

#: Odd multipliers with well spread bits (the finalizer of SplitMix64 and the golden ratio).
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
#: Ids worked on at a time, so that the words stay in the processor's cache.
_BLOCK = 16_384


def _seed(*parts: str) -> tuple[np.uint64, np.uint64]:
    digest = blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
    first, second = np.frombuffer(digest.digest(), dtype="<u8")
    return np.uint64(first), np.uint64(second)


def _mix(words: Ids) -> Ids:
    """Spread every bit of each word over the whole word, in place (a bijection)."""
    words ^= words >> np.uint64(30)
    words *= _MIX_1
    words ^= words >> np.uint64(27)
    words *= _MIX_2
    words ^= words >> np.uint64(31)
    return words


def root_ids(load_id: str, table: str, first: int, count: int) -> Ids:
    """Make the ids of rows ``first`` … ``first + count - 1`` of a root table; no two of a table are equal."""
    key_1, key_2 = _seed("root", load_id, table)
    ids = np.empty((count, 2), np.uint64)
    for start in range(0, count, _BLOCK):
        stop = min(start + _BLOCK, count)
        numbers = np.arange(first + start, first + stop, dtype=np.uint64)
        # A bijection of the row number: equal first words cannot be within one table.
        head = _mix(numbers * _GOLDEN + key_1)
        ids[start:stop, 0] = head
        ids[start:stop, 1] = _mix(head ^ key_2)
    return ids


def child_ids(parents: Ids, table: str, indexes: Numbers) -> Ids:
    """Make the ids of list elements from their parents' ids, the child table, and their places in the list."""
    key_1, key_2 = _seed("child", table)
    ids = np.empty((len(indexes), 2), np.uint64)
    for start in range(0, len(indexes), _BLOCK):
        block = slice(start, start + _BLOCK)
        place = indexes[block].astype(np.uint64) * _GOLDEN
        left, right = parents[block, 0] ^ key_1, parents[block, 1] + place
        # A Feistel network of three rounds: for a given place it is a bijection of the parent's 128 bits.
        right ^= _mix(left + place)
        left ^= _mix(right + key_2)
        right ^= _mix(left + _GOLDEN)
        ids[block, 0], ids[block, 1] = left, right
    return ids


def ids_of_texts(texts: Sequence[str]) -> Ids:
    """Make numbers of ids that the user supplied, so that their children have ids as well."""
    digests = b"".join(
        blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16, person=b"oarlock row id").digest()
        for text in texts
    )
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64).reshape(len(texts), 2)


def texts(ids: Ids) -> NDArray[np.bytes_]:
    """Write ids as base64 text, 22 characters each."""
    count = len(ids)
    padded = np.zeros((count, 18), np.uint8)
    padded[:, :16] = np.ascontiguousarray(ids.astype("<u8", copy=False)).view(np.uint8).reshape(count, 16)
    encoded = np.frombuffer(binascii.b2a_base64(padded.data, newline=False), np.uint8).reshape(count, 24)
    return np.ascontiguousarray(encoded[:, :TEXT_LENGTH]).view(f"S{TEXT_LENGTH}").reshape(count)


def string_array(written: NDArray[np.bytes_]) -> pa.StringArray:
    """Make a string column of ids as text, without copying them."""
    offsets = np.arange(0, (len(written) + 1) * TEXT_LENGTH, TEXT_LENGTH, dtype=np.int32)
    return pa.StringArray.from_buffers(len(written), pa.py_buffer(offsets), pa.py_buffer(written))
