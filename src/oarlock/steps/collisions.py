"""Collisions: keys of one row whose columns would have one name, told apart by the rule of ``oarlock.schema.keys``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set

import numpy as np

from oarlock.schema.keys import KeyMap, KeyPath, precedence
from oarlock.steps.gathered import Cells, Piece, joined

#: Pieces that share a name after all, and the key path if the name is one of its own.
Settled = tuple[str, KeyPath | None, list[Piece]]


def apart(named: Mapping[str, Sequence[Piece]], keys: KeyMap, taken: Set[str]) -> Iterator[Settled]:
    """Tell pieces of one name apart where a row has values for more than one of them.

    Args:
        named: the pieces by the name that each would take if it were alone.
        keys: the rule.
        taken: names that no piece may take.
    """
    used = {*named, *taken}
    for name, pieces in named.items():
        if name not in taken and (len(pieces) == 1 or not _overlap(pieces)):
            yield name, None, list(pieces)
        else:
            yield from _told_apart(name, pieces, keys, name in taken, used)


def _overlap(pieces: Sequence[Piece]) -> bool:
    rows = [_with_values(piece).cells.row_numbers() for piece in pieces]
    return len(np.unique(np.concatenate(rows))) < sum(map(len, rows))


def _with_values(piece: Piece) -> Piece:
    """Leave NULL out: it is no value, and collides with nothing."""
    return Piece(piece.path, piece.cells.compact(), piece.level)


def _told_apart(name: str, pieces: Sequence[Piece], keys: KeyMap, is_taken: bool, used: set[str]) -> list[Settled]:
    """Give each row's first piece the plain name, unless that is taken, and every other piece a name of its own."""
    owned = np.empty(0, np.int64)
    plain: list[Piece] = []
    others: list[Settled] = []
    for piece in sorted(map(_with_values, pieces), key=lambda piece: precedence(piece.path, name)):
        rows = piece.cells.row_numbers()
        late = np.ones(len(rows), np.bool_) if is_taken else np.isin(rows, owned)
        owned = np.concatenate((owned, rows[~late]))
        if not late.all():
            plain.append(_part(piece, ~late))
        if late.any():
            spare = keys.spare(piece.path, used)
            used.add(spare)
            others.append((spare, piece.path, [_part(piece, late)]))
    return [(name, None, plain), *others] if plain else others


def _part(piece: Piece, which: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Piece:
    return Piece(piece.path, piece.cells.at(np.flatnonzero(which).tolist()), piece.level)


def by_level(pieces: Sequence[Piece]) -> list[tuple[int, Cells]]:
    """Put lists together that have as many levels left for their elements."""
    levels = dict.fromkeys(piece.level for piece in pieces)
    return [(level, joined([piece for piece in pieces if piece.level == level])) for level in levels]
