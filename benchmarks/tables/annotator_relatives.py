"""Relatives among many proteins: found by shared words, aligned locally in batches.

Words are of six letters of a reduced alphabet (Murphy et al. 2000, Protein Eng 13:149, ten groups), so that relatives
of a third identical residues still share some. Pairs with the most words near one diagonal are aligned (Smith-
Waterman, BLOSUM62, gaps of 11 and 1) in a band around it; the alignment of thousands of pairs is one loop over
residues.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

__all__ = ["Alignment", "align_pairs", "find_relatives", "residue_numbers"]

LETTERS = "ARNDCQEGHILKMFPSTWYV"
_GROUPS = ("LVIM", "C", "A", "G", "ST", "P", "FYW", "EDNQ", "KR", "H")
_WORD, _BASE = 6, 10
_BIN = 16  # diagonals that count as near each other
_HALF = 24  # of the band, to both sides of its middle
_OPEN, _EXTEND = 11, 1
_AGREE = 0  # score of a residue that is none of the twenty
_OUTSIDE = -100
_HITS_AT_ONCE = 2_000_000


@dataclass
class Alignment:
    """A local alignment of two proteins: number of each, aligned positions of each, score, share of equal residues."""

    query: int
    target: int
    query_places: np.ndarray
    target_places: np.ndarray
    score: int
    identity: float


def residue_numbers(sequence: str) -> np.ndarray:
    """0 to 19 in the order of BLOSUM62, 20 for any other letter."""
    table = np.full(128, 20, np.int8)
    table[np.frombuffer(LETTERS.encode(), np.uint8)] = np.arange(20)
    return table[np.frombuffer(sequence.encode("ascii", "replace"), np.uint8)]


def find_relatives(
    queries: list[np.ndarray],
    targets: list[np.ndarray],
    keep: int,
    *,
    least: int = 3,
    frequent: int = 300,
    stride: int = 1,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs that may be related: for each query the `keep` targets with most shared words near one diagonal.

    Args:
        queries (`list[np.ndarray]`): Residue numbers.
        targets (`list[np.ndarray]`): Residue numbers.
        keep (`int`): Targets a query.
        least (`int`, defaults to 3): Shared words near one diagonal, below which a target does not count.
        frequent (`int`, defaults to 300): Words that occur more often in the targets are passed over.
        stride (`int`, defaults to 1): Look up one of so many words of the queries.

    Returns:
        Numbers of queries, of targets, and the diagonal (target place less query place) of each pair.
    """
    words, owners, places = _words(targets)
    order = np.argsort(words, kind="stable")
    owners, places = owners[order], places[order]
    starts = np.searchsorted(words[order], np.arange(_BASE**_WORD + 1))
    count = np.diff(starts)
    count[count > frequent] = 0
    asked = tuple(part[::stride] for part in _words(queries))
    found = [
        _most_shared(part, starts, count, owners, places, len(targets), keep, least)
        for part in _parts(asked, len(queries), count)
    ]
    return tuple(np.concatenate([part[i] for part in found]) for i in range(3))  # type: ignore[return-value]


def _words(proteins: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every word of every protein, with the number of the protein and its place; words across an end are left out."""
    lengths = np.array([len(protein) for protein in proteins])
    flat = np.concatenate(proteins)
    group = np.full(21, _BASE, np.int64)
    for number, letters in enumerate(_GROUPS):
        group[[LETTERS.index(letter) for letter in letters]] = number
    reduced = group[flat]
    owners = np.repeat(np.arange(len(proteins), dtype=np.int32), lengths)
    places = np.concatenate([np.arange(length, dtype=np.int32) for length in lengths])
    whole = len(flat) - _WORD + 1
    words = sum(reduced[i : i + whole] * _BASE ** (_WORD - 1 - i) for i in range(_WORD))
    good = owners[:whole] == owners[_WORD - 1 :]
    for i in range(_WORD):
        good &= reduced[i : i + whole] < _BASE
    return words[good].astype(np.int32), owners[:whole][good], places[:whole][good]


def _parts(asked, queries, count):  # type: ignore[no-untyped-def]
    """Words of the queries in pieces that have not too many hits, each query whole in one."""
    words, owners, places = asked
    hits = np.cumsum(count[words])
    ends = np.searchsorted(owners, np.arange(queries), side="right")  # end of each query
    begin, done = 0, 0
    for number, end in enumerate(ends):
        last = number + 1 == len(ends)
        if end > begin and (last or hits[ends[number + 1] - 1] - done > _HITS_AT_ONCE):
            yield words[begin:end], owners[begin:end], places[begin:end]
            begin, done = end, hits[end - 1]


def _most_shared(part, starts, count, owners, places, targets, keep, least):  # type: ignore[no-untyped-def]
    """The pairs of one piece of the queries."""
    words, query_owners, query_places = part
    times = count[words]
    of_word = np.repeat(np.arange(len(words)), times)
    hit = np.arange(len(of_word)) - np.repeat(np.cumsum(times) - times, times) + np.repeat(starts[words], times)
    query, target = query_owners[of_word].astype(np.int64), owners[hit]
    diagonal = places[hit] - query_places[of_word]
    shift = 1 << 14  # above any protein's length in these sets
    key = (query * targets + target) * (2 * shift // _BIN) + (diagonal + shift) // _BIN
    keys, number = np.unique(key, return_counts=True)
    near = keys[1:] == keys[:-1] + 1  # words on both sides of a border between bins count together
    both = number.copy()
    both[:-1][near] += number[1:][near]
    both[1:][near] += number[:-1][near]
    enough = both >= least
    keys, both = keys[enough], both[enough]
    pair = keys // (2 * shift // _BIN)
    order = np.lexsort((-both, pair))
    first = np.r_[True, np.diff(pair[order]) > 0]
    best = order[first]
    pair, both, middle = pair[best], both[best], (keys[best] % (2 * shift // _BIN)) * _BIN - shift + _BIN // 2
    query, target = pair // targets, pair % targets
    order = np.lexsort((-both, query))
    rank = np.arange(len(order)) - np.searchsorted(query[order], query[order])
    chosen = order[rank < keep]
    return query[chosen], target[chosen], middle[chosen]


def align_pairs(
    queries: list[np.ndarray],
    targets: list[np.ndarray],
    pairs: tuple[np.ndarray, np.ndarray, np.ndarray],
    least_score: int = 70,
    at_once: int = 1500,
) -> Iterator[Alignment]:
    """Local alignments of pairs of numbers and diagonals, as `find_relatives` gives them, from a score on."""
    lengths = np.array([len(queries[number]) for number in pairs[0]])
    order = np.argsort(lengths, kind="stable")
    for start in range(0, len(order), at_once):
        some = [part[order[start : start + at_once]] for part in pairs]
        for row, score, query_places, target_places in _banded(queries, targets, some, least_score):
            query, target = int(some[0][row]), int(some[1][row])
            equal = queries[query][query_places] == targets[target][target_places]
            yield Alignment(query, target, query_places, target_places, score, float(equal.mean()))


def _banded(queries, targets, pairs, least_score):  # type: ignore[no-untyped-def]
    """Scores, then traces of the pairs that reach the least score."""
    width, number = 2 * _HALF + 1, len(pairs[0])
    longest = max(len(queries[q]) for q in pairs[0])
    query = np.full((number, longest), 21, np.int8)
    target = np.full((number, longest + width), 21, np.int8)  # target[:, i + b] meets query[:, i] in column b
    for row, (q, t, diagonal) in enumerate(zip(*pairs, strict=True)):
        query[row, : len(queries[q])] = queries[q]
        offset = int(diagonal) - _HALF
        begin, end = max(offset, 0), min(offset + longest + width, len(targets[t]))
        if end > begin:
            target[row, begin - offset : end - offset] = targets[t][begin:end]
    matrix = _matrix()
    steps = np.arange(width, dtype=np.int16) * _EXTEND
    scores = np.zeros((number, width), np.int16)
    gaps = np.full((number, width), -1000, np.int16)  # best that ends in a gap of the target
    trace = np.zeros((longest, number, width), np.uint8)
    best, where = np.zeros(number, np.int16), np.zeros((number, 2), np.int64)
    for i in range(longest):
        above_scores = np.full_like(scores, -1000)
        above_scores[:, :-1] = scores[:, 1:]
        above_gaps = np.full_like(gaps, -1000)
        above_gaps[:, :-1] = gaps[:, 1:]
        opened = above_scores - _OPEN
        gaps = np.maximum(opened, above_gaps - _EXTEND)
        along = scores + matrix[query[:, i, None], target[:, i : i + width]]
        middle = np.maximum(np.maximum(along, gaps), 0)
        left = np.full_like(scores, -1000)
        left[:, 1:] = np.maximum.accumulate(middle + steps, axis=1)[:, :-1] - steps[1:] + _EXTEND - _OPEN
        scores = np.maximum(middle, left)
        code = np.where(scores <= 0, 0, np.where(scores == along, 1, np.where(scores == gaps, 2, 3))).astype(np.uint8)
        code |= (gaps == opened).astype(np.uint8) << 2
        code[:, 1:] |= (left[:, 1:] == scores[:, :-1] - _OPEN).astype(np.uint8) << 3
        trace[i] = code
        highest = scores.argmax(1)
        value = scores[np.arange(number), highest]
        better = value > best
        best[better] = value[better]
        where[better, 0], where[better, 1] = i, highest[better]
    for row in np.flatnonzero(best >= least_score):
        query_places, columns = _follow(trace[:, row], *where[row])
        offset = int(pairs[2][row]) - _HALF
        yield row, int(best[row]), query_places, query_places + columns + offset


def _matrix() -> np.ndarray:
    from Bio.Align import substitution_matrices

    table = substitution_matrices.load("BLOSUM62")
    matrix = np.full((22, 22), _AGREE, np.int16)
    matrix[:20, :20] = [[table[a, b] for b in LETTERS] for a in LETTERS]
    matrix[21], matrix[:, 21] = _OUTSIDE, _OUTSIDE
    return matrix


def _follow(trace: np.ndarray, i: int, b: int) -> tuple[np.ndarray, np.ndarray]:
    """Query places and band columns of the aligned residues, from the end of one alignment back to its start."""
    places: list[int] = []
    columns: list[int] = []
    state = trace[i, b] & 3
    while state:
        code = trace[i, b]
        if state == 1:
            places.append(i)
            columns.append(b)
            i -= 1
        elif state == 2:
            i, b = i - 1, b + 1
            if not code & 4:
                continue
        else:
            b -= 1
            if not code & 8:
                continue
        if i < 0:
            break
        state = trace[i, b] & 3
    return np.array(places[::-1], np.int64), np.array(columns[::-1], np.int64)
