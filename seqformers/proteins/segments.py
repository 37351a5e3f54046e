"""The most likely topology of a protein under a grammar of segments: signal peptide, loops, membrane helices."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["LETTERS", "MIN_HELIX", "MIN_SIGNAL", "Segment", "decode_segments", "segments_of"]

INSIDE, OUTSIDE, MEMBRANE, SIGNAL = 0, 1, 2, 3
LETTERS = "ioMS"
MIN_HELIX = 15  # residues; shorter stretches do not span the membrane
MIN_SIGNAL = 10  # residues; the shortest signal peptides of SignalP's sets
_NEVER = -np.inf


class Segment(NamedTuple):
    """A run of one letter: residues `[start, end)`, 0-based."""

    kind: str
    start: int
    end: int


def decode_segments(
    log_probabilities: Sequence[NDArray[np.floating]],
    signal: Sequence[bool],
    *,
    min_helix: int = MIN_HELIX,
    helix_cost: float = 0.0,
) -> list[str]:
    """Cut each protein into the segments whose residues are most likely (Viterbi over segments).

    A protein is a chain of loops and membrane helices; every helix changes the side and is at least `min_helix`
    residues long. One with a signal peptide starts with it, at least `MIN_SIGNAL` residues, and goes on outside.

    The recursion runs over positions, all proteins at once; a helix is scored as a whole by cumulative sums, so the
    way back goes segment by segment.

    Args:
        log_probabilities (`Sequence` of `(length, 4)` arrays): Natural logs of the probabilities of inside, outside,
            membrane and signal peptide, residue by residue.
        signal (`Sequence[bool]`): Whether each protein starts with a signal peptide. One shorter than `MIN_SIGNAL`
            residues is all signal peptide.
        min_helix (`int`, defaults to 15): Shortest helix.
        helix_cost (`float`, defaults to 0.0): By how much the best topology with helices has to be likelier (sum of
            the logs) than the best without any; else the protein gets none. One helix more or less costs nothing.

    Returns:
        `list[str]`: A letter of `ioMS` a residue.

    Examples:
        >>> sure = np.log(np.full((40, 4), 0.01) + 0.96 * np.eye(4)[[0] * 10 + [2] * 20 + [1] * 10])
        >>> decode_segments([sure], [False])[0] == "i" * 10 + "M" * 20 + "o" * 10
        True
    """
    order = [index for index, values in enumerate(log_probabilities) if len(values)]
    found = [""] * len(log_probabilities)
    if order:
        arrays = [np.asarray(log_probabilities[index], dtype=np.float64) for index in order]
        paths = _decode(arrays, np.array([bool(signal[index]) for index in order]), min_helix)
        for index, array, path in zip(order, arrays, paths, strict=True):
            found[index] = path
            if helix_cost > 0 and "M" in path:
                score, plain = _without_helices(array, bool(signal[index]))
                letters = [LETTERS.index(letter) for letter in path]
                if array[np.arange(len(array)), letters].sum() - score < helix_cost:
                    found[index] = plain
    return found


def _without_helices(array: NDArray, signal: bool) -> tuple[float, str]:
    """Best score of a protein that does not cross the membrane, and its letters."""
    length, sums = len(array), array.sum(0)
    if not signal:
        side = INSIDE if sums[INSIDE] >= sums[OUTSIDE] else OUTSIDE
        return float(sums[side]), LETTERS[side] * length
    if length < MIN_SIGNAL:
        return float(sums[SIGNAL]), LETTERS[SIGNAL] * length
    before, outside = np.r_[0.0, array[:, SIGNAL].cumsum()], np.r_[0.0, array[:, OUTSIDE].cumsum()]
    scores = (before + sums[OUTSIDE] - outside)[MIN_SIGNAL:]
    end = MIN_SIGNAL + int(scores.argmax())
    return float(scores.max()), LETTERS[SIGNAL] * end + LETTERS[OUTSIDE] * (length - end)


def _decode(arrays: list[NDArray], signal: NDArray[np.bool_], min_helix: int) -> list[str]:
    lengths = np.array([len(array) for array in arrays])
    N, L = len(arrays), int(lengths.max())
    emit = np.zeros((N, L, 4))
    for row, array in enumerate(arrays):
        emit[row, : len(array)] = array
    membrane = np.concatenate([np.zeros((N, 1)), emit[..., MEMBRANE].cumsum(1)], 1)  # of residues before t
    signal_sum = np.concatenate([np.zeros((N, 1)), emit[..., SIGNAL].cumsum(1)], 1)
    # enter[n, x, s]: best score of a helix that starts at s, coming from side x, without its own residues.
    enter = np.full((N, 2, L + 1), _NEVER)
    enter[:, :, 0] = np.where(signal, _NEVER, 0.0)[:, None]
    best_enter = np.full((N, 2), _NEVER)  # over starts that leave room for a whole helix
    best_start = np.zeros((N, 2), dtype=np.int64)
    helix_start = np.zeros((N, 2, L + 1), dtype=np.int64)  # of the best helix that ends before t, by side of origin
    helix_score = np.full((N, 2, L + 1), _NEVER)
    loop = np.full((N, 2), _NEVER)
    loop_start = np.zeros((N, 2, L), dtype=np.int64)
    from_signal = np.zeros((N, L), dtype=np.bool_)  # an outer loop that begins here follows the signal peptide
    final_loop = np.full((N, 2), _NEVER)
    for t in range(L + 1):
        if t >= min_helix:
            start = t - min_helix
            better = enter[:, :, start] > best_enter
            best_enter = np.where(better, enter[:, :, start], best_enter)
            best_start = np.where(better, start, best_start)
            helix_start[:, :, t] = best_start
            helix_score[:, :, t] = best_enter + membrane[:, t, None]
        if t == L:
            break
        stay = loop if t else np.where(signal, _NEVER, 0.0)[:, None].repeat(2, 1)
        arrive = helix_score[:, ::-1, t].copy()  # a helix from the other side
        if t >= MIN_SIGNAL:
            leaving = np.where(signal, signal_sum[:, t], _NEVER)
            from_signal[:, t] = leaving > arrive[:, OUTSIDE]
            arrive[:, OUTSIDE] = np.maximum(arrive[:, OUTSIDE], leaving)
        fresh = arrive > stay
        loop_start[:, :, t] = np.where(fresh, t, loop_start[:, :, t - 1] if t else 0)
        loop = np.where(fresh, arrive, stay) + emit[:, t, :2]
        enter[:, :, t + 1] = loop - membrane[:, t + 1, None]
        ends = lengths == t + 1
        final_loop[ends] = loop[ends]
    paths = []
    for row, length in enumerate(lengths.tolist()):
        scores = [*final_loop[row], *helix_score[row, :, length]]
        if signal[row]:
            scores.append(signal_sum[row, length])
        last = int(np.argmax(scores))
        paths.append(_way_back(last, length, loop_start[row], helix_start[row], from_signal[row]))
    return paths


def _way_back(state: int, end: int, loop_start: NDArray, helix_start: NDArray, from_signal: NDArray) -> str:
    """Letters, last segment first; states: loops 0 and 1, helices that come from those 2 and 3, signal peptide 4."""
    pieces: list[str] = []
    while end > 0:
        if state == 4:
            start, letter, before = 0, LETTERS[SIGNAL], 4
        elif state < 2:
            start, letter = int(loop_start[state, end - 1]), LETTERS[state]
            before = 4 if state == OUTSIDE and from_signal[start] else 3 - state
        else:
            start, letter, before = int(helix_start[state - 2, end]), LETTERS[MEMBRANE], state - 2
        pieces.append(letter * (end - start))
        state, end = before, start
    return "".join(reversed(pieces))


def segments_of(topology: str, kinds: str = "MS") -> list[Segment]:
    """Runs of the letters `kinds` in a topology.

    Examples:
        >>> segments_of("SSSooMMMi")
        [Segment(kind='S', start=0, end=3), Segment(kind='M', start=5, end=8)]
    """
    found, start = [], 0
    for letter, run in groupby(topology):
        end = start + sum(1 for _ in run)
        if letter in kinds:
            found.append(Segment(letter, start, end))
        start = end
    return found
