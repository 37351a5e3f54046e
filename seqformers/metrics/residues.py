"""Metrics of single residues and tokens: masked accuracy, and secondary structure as PLUS and TAPE define it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, softmax

from seqformers.metrics.classification import classification_metrics
from seqformers.metrics.topology import topology_metrics

__all__ = ["RESIDUE_METRICS", "SS8_GROUPS", "masked_accuracy", "residue_metrics", "secondary_structure_metrics"]

SS8_GROUPS = (0, 0, 0, 1, 1, 2, 2, 2)
"""Group of each of the 8 states G H I | B E | S T C: helix, strand, coil."""


_STRUCTURE = {"q3": (3, 8), "q8": (8,), "q3_per_protein": (3, 8), "q8_per_protein": (8,)}
# Name here -> name in `topology_metrics`.
_TOPOLOGY = {
    "topology": "protein_accuracy",
    **{name: name for name in ("membrane_mcc", "segment_precision", "segment_recall", "segment_f1")},
}
_PER_PROTEIN = ("accuracy_per_protein", "f1_macro_per_protein")

RESIDUE_METRICS: dict[str, tuple[int, ...] | None] = {
    **_STRUCTURE,
    **dict.fromkeys(_TOPOLOGY, (3, 4)),
    **dict.fromkeys(_PER_PROTEIN),
}
"""Metrics of whole proteins that [`residue_metrics`] gives, and how many classes each is defined for (None: any)."""


def residue_metrics(logits: ArrayLike, labels: ArrayLike, names: Iterable[str]) -> dict[str, float]:
    """Score logits of residues against their classes.

    Args:
        logits (`(proteins, length, classes)` of float): Unnormalised scores, proteins padded to one length.
        labels (`(proteins, length)` of int): Class numbers; -100 at padding, special tokens and unknown residues.
        names (`Iterable[str]`): Keys of `RESIDUE_METRICS`, or of `CLASSIFICATION_METRICS`, which count residues of
            all proteins alike. `*_per_protein` are means of the proteins with a labelled residue. `topology` is the
            share of proteins whose decoded membrane segments are all right, `segment_*` and `membrane_mcc` are of the
            same topologies (classes inside, outside, membrane and, where there is a fourth, signal peptide).

    Returns:
        `dict[str, float]`: One value a name.
    """
    logits, labels = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    names = list(names)
    whole = [name for name in names if name in RESIDUE_METRICS]
    plain = [name for name in names if name not in RESIDUE_METRICS]
    found = classification_metrics(logits.reshape(-1, logits.shape[-1]), labels, plain)
    if set(whole) & set(_TOPOLOGY):
        parts = [_known_part(label) for label in labels]
        scores = [log_softmax(logit[part], axis=1) for logit, part in zip(logits, parts, strict=True)]
        wanted = [label[part] for label, part in zip(labels, parts, strict=True)]
        measured = topology_metrics(scores, wanted)
        found |= {name: measured[key] for name, key in _TOPOLOGY.items()}
    if set(whole) & set(_STRUCTURE):
        found |= secondary_structure_metrics(list(logits), list(labels))
    for name in set(whole) & set(_PER_PROTEIN):
        plain_name = name.removesuffix("_per_protein")
        labelled = np.flatnonzero((labels != -100).any(axis=1))
        each = [classification_metrics(logits[row], labels[row], [plain_name])[plain_name] for row in labelled]
        found[name] = float(np.mean(each))
    return {name: found[name] for name in names}


def _known_part(labels: NDArray) -> slice:
    """From the first labelled residue to the last, without special tokens and padding."""
    places = np.flatnonzero(labels != -100)
    return slice(places[0], places[-1] + 1) if len(places) else slice(0, 0)


def masked_accuracy(predictions: ArrayLike, labels: ArrayLike, *, ignore_index: int = -100) -> float:
    """Share of labelled positions that are right, all positions of the set pooled (TAPE's accuracy).

    Args:
        predictions (`(..., classes)` scores or `(...)` class ids): Any leading shape.
        labels (`(...)` of int): `ignore_index` where there is none.
        ignore_index (`int`, *optional*, defaults to -100): TAPE's files use -1.

    Examples:
        >>> masked_accuracy([[0.1, 0.9], [0.8, 0.2], [0.8, 0.2]], [1, 1, -100])
        0.5
    """
    found: NDArray[Any] = np.asarray(predictions)
    wanted: NDArray[Any] = np.asarray(labels)
    if found.ndim == wanted.ndim + 1:
        found = found.argmax(axis=-1)
    if found.shape != wanted.shape:
        raise ValueError(f"predictions of shape {found.shape} do not fit labels of shape {wanted.shape}")
    known = wanted != ignore_index
    if not known.any():
        raise ValueError("no position has a label")
    return float(np.mean(found[known] == wanted[known]))


def secondary_structure_metrics(
    logits: Sequence[ArrayLike], labels: Sequence[ArrayLike], *, ignore_index: int = -100
) -> dict[str, float]:
    """Q3, and Q8 for 8-state models.

    Q8 is the share of residues whose best state is right. Q3 of an 8-state model takes the group (helix G H I,
    strand B E, coil S T C) with the largest summed probability, which need not be the group of the best state.

    Args:
        logits (`Sequence` of `(length, 3 or 8)` arrays, or one padded `(proteins, length, 3 or 8)` array): Scores
            before the softmax, in the order H E C or G H I B E S T C.
        labels (`Sequence` of `(length,)` arrays, or one padded array): State ids; `ignore_index` for padding and for
            residues that are not resolved in the structure.
        ignore_index (`int`, *optional*, defaults to -100): Label to leave out.

    Returns:
        `dict`: `q3` (pooled over residues, as published), `q3_per_protein` (mean of proteins), the same for `q8`
        when there are 8 states, and `residues`.

    Raises:
        ValueError: labels and logits differ in length, another number of states, or nothing is labelled.
    """
    scores = [np.asarray(values, dtype=np.float64) for values in logits]
    targets = [np.asarray(values) for values in labels]
    owner, flat_scores, flat_labels = _flatten(scores, targets, ignore_index)
    states = flat_scores.shape[1]
    if states == 3:
        return _residue_accuracies("q3", flat_scores.argmax(axis=1) == flat_labels, owner)
    if states != 8:
        raise ValueError(f"secondary structure has 3 or 8 states, not {states}")
    groups = np.asarray(SS8_GROUPS)
    mass = softmax(flat_scores, axis=1) @ np.eye(3)[groups]
    result = _residue_accuracies("q8", flat_scores.argmax(axis=1) == flat_labels, owner)
    return result | _residue_accuracies("q3", mass.argmax(axis=1) == groups[flat_labels], owner)


def _flatten(scores: list[NDArray], targets: list[NDArray], ignore_index: int) -> tuple[NDArray, NDArray, NDArray]:
    if len(scores) != len(targets):
        raise ValueError(f"{len(scores)} proteins with scores but {len(targets)} with labels")
    for index, (score, target) in enumerate(zip(scores, targets, strict=True)):
        if len(score) != len(target):
            raise ValueError(f"protein {index}: {len(target)} labels for {len(score)} residues")
    flat_labels = np.concatenate(targets) if targets else np.zeros(0, dtype=np.int64)
    known = flat_labels != ignore_index
    if not known.any():
        raise ValueError("no residue has a label")
    owner = np.repeat(np.arange(len(targets)), [len(target) for target in targets])
    return owner[known], np.concatenate(scores)[known], flat_labels[known]


def _residue_accuracies(name: str, right: NDArray[np.bool_], owner: NDArray) -> dict[str, float]:
    residues = np.bincount(owner)
    per_protein = np.bincount(owner, weights=right)[residues > 0] / residues[residues > 0]
    return {
        name: float(right.mean()),
        f"{name}_per_protein": float(per_protein.mean()),
        "residues": float(len(right)),
    }
