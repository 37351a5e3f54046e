"""Transmembrane topology: decode residue probabilities under a helix grammar, and compare membrane segments.

The grammar is TOPCONS' as used by Bepler & Berger 2019 (ICLR) and PLUS (Min et al. 2021, IEEE Access): a protein
starts inside, outside or in a signal peptide, crosses the membrane in helices of exactly 21 residues that change the
side, and ends inside or outside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import matthews_corrcoef

__all__ = [
    "HELIX_LENGTH",
    "INSIDE",
    "MEMBRANE",
    "OUTSIDE",
    "SIGNAL",
    "decode_topology",
    "matched_segments",
    "membrane_regions",
    "segments_agree",
    "topology_metrics",
]

INSIDE, OUTSIDE, MEMBRANE, SIGNAL = 0, 1, 2, 3
HELIX_LENGTH = 21
_IMPOSSIBLE = -math.inf


def decode_topology(
    log_probabilities: Sequence[ArrayLike], *, oriented: bool = False, legacy: bool = False
) -> tuple[list[NDArray[np.int64]], NDArray[np.float64]]:
    """Find each protein's most likely topology under the grammar (Viterbi), all proteins of the call at once.

    The recursion runs over positions; at each position every protein and state is one array operation. A helix is a
    chain without a choice, so only the two loop states keep back pointers.

    Args:
        log_probabilities (`Sequence` of `(length, 3 or 4)` arrays): Natural log of the probabilities of inside,
            outside, membrane and, when there is a fourth column, signal peptide.
        oriented (`bool`, *optional*, defaults to `False`): Let the inner loop emit only "inside" and the outer loop
            only "outside". The published grammar lets both emit both, so there the decoded side is arbitrary and
            only the membrane segments mean something.
        legacy (`bool`, *optional*, defaults to `False`): The original's arithmetic: forbidden steps cost log(2.2e-16)
            instead of being impossible, so strong predictions can break the grammar (helices shorter than 21), and a
            signal peptide (fourth column) is one residue long, its state having no step to itself.

    Returns:
        `tuple`: a list of `(length,)` label arrays (0 inside, 1 outside, 2 membrane, 3 signal) in input order, and
        the `(number of proteins,)` log probabilities of the paths. An empty protein gives an empty path, score 0.

    Raises:
        ValueError: an array is not `(length, 3 or 4)`, or holds NaN.
    """
    arrays = [_checked(values, index) for index, values in enumerate(log_probabilities)]
    scores = np.zeros(len(arrays))
    paths: list[NDArray[np.int64]] = [np.zeros(0, dtype=np.int64) for _ in arrays]
    filled = [index for index, array in enumerate(arrays) if len(array)]
    if not filled:
        return paths, scores
    lengths = np.array([len(arrays[index]) for index in filled])
    padded = np.zeros((len(filled), lengths.max(), 4))
    for row, index in enumerate(filled):  # one copy a protein
        padded[row, : lengths[row]] = arrays[index]
    decoded, best = (_decode_dense if legacy else _decode)(_emissions(padded, oriented=oriented), lengths)
    for row, index in enumerate(filled):
        paths[index] = decoded[row, : lengths[row]]
    scores[filled] = best
    return paths, scores


def _checked(values: ArrayLike, index: int) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] not in (3, 4):
        raise ValueError(f"protein {index}: expected (length, 3 or 4) log probabilities, got shape {array.shape}")
    if np.isnan(array).any():
        raise ValueError(f"protein {index}: log probabilities hold NaN")
    if array.shape[1] == 3:
        array = np.pad(array, ((0, 0), (0, 1)), constant_values=_IMPOSSIBLE)
    return array


def _emissions(log_p: NDArray[np.float64], *, oriented: bool) -> NDArray[np.float64]:
    """`(proteins, length, 4)` log probabilities -> emissions of inner loop, outer loop, helix and signal state."""
    if not oriented:
        log_p = log_p.copy()
        log_p[..., INSIDE] = log_p[..., OUTSIDE] = np.logaddexp(log_p[..., INSIDE], log_p[..., OUTSIDE])
    return log_p


def _decode(emit_NLS: NDArray[np.float64], lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray]:
    """Viterbi with the helices as shift registers; ties go to the state that the dense form lists first."""
    N, L, _ = emit_NLS.shape
    half, third = -math.log(2), -math.log(3)
    # Registers: where[:, 0] leads from inside to outside, where[:, 1] back; the entry at 20 is about to leave.
    helix = np.full((N, 2, HELIX_LENGTH), _IMPOSSIBLE)
    loop = emit_NLS[:, 0, :2] + third
    signal = emit_NLS[:, 0, SIGNAL] + third
    came_from = np.zeros((N, L, 2), dtype=np.int8)  # 0 stayed, 1 signal, 2 helix
    at_end = np.stack([loop[:, 0], loop[:, 1]], axis=1)
    final = np.where((lengths == 1)[:, None], at_end, _IMPOSSIBLE)
    for t in range(1, L):
        emission = emit_NLS[:, t]
        # Leaving a helix: the inside is reached by the register that came from the outside, and the other way round.
        leaving_signal = np.repeat(signal[:, None] + third, 2, axis=1)
        choices = np.stack([loop + half, leaving_signal, helix[:, ::-1, -1]], axis=2)
        came_from[:, t] = choices.argmax(axis=2)
        entering = loop + half
        helix[:, :, 1:] = helix[:, :, :-1]
        helix[:, :, 0] = entering
        helix += emission[:, None, None, MEMBRANE]
        loop = choices.max(axis=2) + emission[:, :2]
        signal = signal + third + emission[:, SIGNAL]
        final = np.where((lengths == t + 1)[:, None], loop, final)
    scores = final.max(axis=1) + half
    return _trace_back(came_from, final.argmax(axis=1), lengths), scores


def _trace_back(came_from: NDArray[np.int8], last: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    N, L, _ = came_from.shape
    rows = np.arange(N)
    path = np.full((N, L), -1, dtype=np.int64)
    state = np.full(N, -1, dtype=np.int64)
    left = np.zeros(N, dtype=np.int64)  # residues of the current helix still to be labelled
    after = np.zeros(N, dtype=np.int64)  # loop in front of the current helix
    for t in range(L - 1, -1, -1):
        state = np.where(lengths == t + 1, last, state)
        done = (state == MEMBRANE) & (left == 0)
        state = np.where(done, after, state)
        path[:, t] = state
        left = np.where(state == MEMBRANE, left - 1, left)
        in_loop = (state == INSIDE) | (state == OUTSIDE)
        back = came_from[rows, t, np.clip(state, 0, 1)]
        enter_helix = in_loop & (back == 2) & (t > 0)
        after = np.where(enter_helix, 1 - state, after)
        left = np.where(enter_helix, HELIX_LENGTH, left)
        state = np.where(enter_helix, MEMBRANE, np.where(in_loop & (back == 1) & (t > 0), SIGNAL, state))
    return path


def _decode_dense(emit_NLS: NDArray[np.float64], lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray]:
    """The original's arithmetic over all 45 states, forbidden steps at log(machine epsilon)."""
    states = 3 + 2 * HELIX_LENGTH
    labels = np.array([INSIDE, OUTSIDE, SIGNAL] + [MEMBRANE] * (2 * HELIX_LENGTH))
    start, end, step = _dense_grammar(states)
    emit = emit_NLS[:, :, labels]
    N, L, _ = emit.shape
    best = emit[:, 0] + start
    pointers = np.zeros((N, L, states), dtype=np.int8)
    final = np.where((lengths == 1)[:, None], best, _IMPOSSIBLE)
    for t in range(1, L):
        candidates = best[:, :, None] + step
        pointers[:, t] = candidates.argmax(axis=1)
        best = candidates.max(axis=1) + emit[:, t]
        final = np.where((lengths == t + 1)[:, None], best, final)
    final = final + end
    state = np.zeros(N, dtype=np.int64)
    path = np.zeros((N, L), dtype=np.int64)
    last = final.argmax(axis=1)
    for t in range(L - 1, -1, -1):
        state = np.where(lengths == t + 1, last, state)
        path[:, t] = labels[state]
        state = np.where(lengths > t, pointers[np.arange(N), t, state], state)
    return path, final.max(axis=1)


def _dense_grammar(states: int) -> tuple[NDArray, NDArray, NDArray]:
    start, end, step = np.zeros(states), np.zeros(states), np.zeros((states, states))
    start[:3] = 1
    end[:2] = 1
    first_out, first_in = 3, 3 + HELIX_LENGTH
    step[0, [0, first_out]] = step[1, [1, first_in]] = step[2, [0, 1]] = 1
    chain = np.r_[first_out : first_in - 1, first_in : states - 1]
    step[chain, chain + 1] = 1
    step[first_in - 1, 1] = step[states - 1, 0] = 1
    tiny = np.finfo(np.float64).eps
    return (
        np.log(start + tiny) - np.log(start.sum()),
        np.log(end + tiny) - np.log(end.sum()),
        np.log(step + tiny) - np.log(step.sum(axis=1, keepdims=True)),
    )


def membrane_regions(labels: ArrayLike, *, legacy: bool = False) -> NDArray[np.int64]:
    """Runs of membrane residues.

    Args:
        labels (`(length,)` of int): 0 inside, 1 outside, 2 membrane, 3 signal.
        legacy (`bool`, *optional*, defaults to `False`): As the original: a region that starts at residue 0 is not
            found, and it hides every later region of the protein.

    Returns:
        `(regions, 2)` array of start (0-based) and end (exclusive).

    Examples:
        >>> membrane_regions([2, 2, 0, 2]).tolist()
        [[0, 2], [3, 4]]
        >>> membrane_regions([2, 2, 0, 2], legacy=True).tolist()
        []
    """
    inside = np.asarray(labels) == MEMBRANE
    if legacy and inside[:1].any():
        return np.zeros((0, 2), dtype=np.int64)
    edges = np.flatnonzero(np.diff(np.r_[False, inside, False]))
    return edges.reshape(-1, 2)


def segments_agree(predicted: ArrayLike, expected: ArrayLike, *, min_overlap: int = 5, legacy: bool = False) -> bool:
    """Whether a predicted topology has the right membrane segments.

    Right means: as many segments as expected, each pair in order overlapping by `min_overlap` residues or more, and
    a signal peptide at the first residue where one is expected.

    Args:
        predicted (`(length,)` of int): Labels as in [`membrane_regions`].
        expected (`(length,)` of int): The true ones.
        min_overlap (`int`, *optional*, defaults to 5): Residues.
        legacy (`bool`, *optional*, defaults to `False`): See [`membrane_regions`].
    """
    predicted, expected = np.asarray(predicted), np.asarray(expected)
    if predicted.shape != expected.shape:
        raise ValueError(f"{len(predicted)} predicted labels but {len(expected)} expected ones")
    if expected[:1].tolist() == [SIGNAL] and predicted[0] != SIGNAL:
        return False
    found, true = membrane_regions(predicted, legacy=legacy), membrane_regions(expected, legacy=legacy)
    if len(found) != len(true):
        return False
    overlap = np.minimum(found[:, 1], true[:, 1]) - np.maximum(found[:, 0], true[:, 0])
    return bool((overlap >= min_overlap).all())


def matched_segments(predicted: ArrayLike, expected: ArrayLike, *, min_overlap: int = 5) -> tuple[int, int, int]:
    """How many membrane segments of a protein are found.

    Args:
        predicted (`(length,)` of int): Labels as in [`membrane_regions`].
        expected (`(length,)` of int): The true ones.
        min_overlap (`int`, *optional*, defaults to 5): Residues that a predicted segment shares with the true one.

    Returns:
        `tuple`: pairs of a predicted and a true segment, each segment in one pair at most; predicted segments; true
        ones.

    Examples:
        >>> matched_segments([2] * 8 + [0] * 4, [0] * 2 + [2] * 10)
        (1, 1, 1)
    """
    found, true = membrane_regions(predicted).tolist(), membrane_regions(expected).tolist()
    pairs = here = there = 0
    while here < len(found) and there < len(true):
        overlap = min(found[here][1], true[there][1]) - max(found[here][0], true[there][0])
        if overlap >= min_overlap:
            pairs, here, there = pairs + 1, here + 1, there + 1
        elif found[here][1] < true[there][1]:
            here += 1
        else:
            there += 1
    return pairs, len(found), len(true)


def topology_metrics(
    log_probabilities: Sequence[ArrayLike],
    labels: Sequence[ArrayLike],
    *,
    ignore_index: int = -100,
    oriented: bool = False,
    legacy: bool = False,
) -> dict[str, float]:
    """How right the topologies are: residue by residue, segment by segment, and whole proteins.

    Args:
        log_probabilities (`Sequence` of `(length, 3 or 4)` arrays): See [`decode_topology`].
        labels (`Sequence` of `(length,)` arrays): 0 inside, 1 outside, 2 membrane, 3 signal; `ignore_index` where
            unknown. Unknown residues count for neither figure; in the segment test they are not membrane.
        ignore_index (`int`, *optional*, defaults to -100): Label of residues without annotation.
        oriented (`bool`, *optional*, defaults to `False`): See [`decode_topology`].
        legacy (`bool`, *optional*, defaults to `False`): See [`decode_topology`] and [`membrane_regions`].

    Returns:
        `dict`: `residue_accuracy` of the most likely labels (all residues pooled); of the decoded topologies
        `membrane_mcc` (membrane or not, all labelled residues pooled), `segment_precision`, `segment_recall` and
        `segment_f1` ([`matched_segments`], all proteins pooled; 0/0 gives NaN), `protein_accuracy` (proteins whose
        segments are all right); and `proteins`.

    Raises:
        ValueError: labels and probabilities of a protein differ in length, or nothing is labelled.
    """
    arrays = [np.asarray(values) for values in log_probabilities]
    targets = [np.asarray(values) for values in labels]
    if len(arrays) != len(targets):
        raise ValueError(f"{len(arrays)} proteins with probabilities but {len(targets)} with labels")
    for index, (array, target) in enumerate(zip(arrays, targets, strict=True)):
        if len(array) != len(target):
            raise ValueError(f"protein {index}: {len(target)} labels for {len(array)} residues")
    flat = np.concatenate(targets) if targets else np.zeros(0)
    known = flat != ignore_index
    if not known.any():
        raise ValueError("no residue has a label")
    best = np.concatenate([array.argmax(axis=1) for array in arrays])
    decoded, _ = decode_topology(arrays, oriented=oriented, legacy=legacy)
    pairs = list(zip(decoded, targets, strict=True))
    right = [segments_agree(path, target, legacy=legacy) for path, target in pairs]
    matched, found, true = np.sum([matched_segments(path, target) for path, target in pairs], axis=0)
    membrane = matthews_corrcoef((flat == MEMBRANE)[known], (np.concatenate(decoded) == MEMBRANE)[known])
    return {
        "residue_accuracy": float((best == flat)[known].mean()),
        "membrane_mcc": float(membrane),
        "segment_precision": float(matched / found) if found else math.nan,
        "segment_recall": float(matched / true) if true else math.nan,
        "segment_f1": float(2 * matched / (found + true)) if found + true else math.nan,
        "protein_accuracy": float(np.mean(right)),
        "proteins": float(len(targets)),
    }
