"""Scores of a protein annotator by task, and arms compared by a bootstrap over proteins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.tables.annotator_baselines import matthews
from benchmarks.tables.annotator_data import Labelled
from seqformers.metrics.topology import segments_agree

__all__ = ["MAIN", "METRICS", "Score", "all_right", "compared", "signal_score", "structure_score", "topology_score"]

METRICS = {
    "structure": ("q3", "q3_per_protein"),
    "structure_ts115": ("q3", "q3_per_protein"),
    "signal": ("mcc", "accuracy"),
    "topology": ("decoded_accuracy", "residue_accuracy", "membrane_mcc", "protein_accuracy"),
}
MAIN = {"structure": "q3", "signal": "mcc", "topology": "decoded_accuracy"}
_RESAMPLES = 1000
Score = Callable[[np.ndarray], dict[str, float]]


def structure_score(calls: list[np.ndarray], rows: list[Labelled]) -> Score:
    """Q3 of the proteins with the given numbers: residues alike, and proteins alike."""
    right = np.array([np.sum(call == row.structure) for call, row in zip(calls, rows, strict=True)], dtype=float)
    known = np.array([np.sum(row.structure >= 0) for row in rows], dtype=float)

    def score(drawn: np.ndarray) -> dict[str, float]:
        return {
            "q3": right[drawn].sum() / known[drawn].sum(),
            "q3_per_protein": float(np.mean(right[drawn] / known[drawn])),
        }

    return score


def signal_score(values: np.ndarray, rows: list[Labelled]) -> Score:
    """MCC and accuracy of decision values (above 0: signal peptide)."""
    truth, found = np.array([row.signal == 1 for row in rows]), np.asarray(values) > 0
    return lambda drawn: {
        "mcc": matthews(truth[drawn], found[drawn]),
        "accuracy": float((truth == found)[drawn].mean()),
    }


def topology_score(
    calls: list[np.ndarray] | None, membrane: list[np.ndarray], paths: list[np.ndarray] | None, rows: list[Labelled]
) -> Score:
    """Residues right of inside, outside and membrane; MCC of the membrane alone; proteins with all segments right.

    `decoded_accuracy` is of the topologies that the command writes, `residue_accuracy` of the likeliest class residue
    by residue, `membrane_mcc` of `membrane`.
    """
    known = [(row.topology >= 0) & (row.topology < 3) for row in rows]
    total = np.array([mask.sum() for mask in known], dtype=float)
    right, decoded = _right(calls, rows, known), _right(paths, rows, known)
    table = np.array(
        [
            [np.sum((row.topology == 2)[mask] & m[mask]), np.sum((row.topology != 2)[mask] & ~m[mask]),
             np.sum((row.topology != 2)[mask] & m[mask]), np.sum((row.topology == 2)[mask] & ~m[mask])]
            for m, row, mask in zip(membrane, rows, known, strict=True)
        ],
        dtype=float,
    )  # fmt: skip
    whole = None if paths is None else np.array([all_right(p, row) for p, row in zip(paths, rows, strict=True)])

    def score(drawn: np.ndarray) -> dict[str, float]:
        both, neither, wrong, missed = table[drawn].sum(0)
        below = (both + wrong) * (both + missed) * (neither + wrong) * (neither + missed)
        found = {"membrane_mcc": (both * neither - wrong * missed) / below**0.5 if below else 0.0}
        if right is not None:
            found["residue_accuracy"] = right[drawn].sum() / total[drawn].sum()
        if decoded is not None:
            found["decoded_accuracy"] = decoded[drawn].sum() / total[drawn].sum()
        if whole is not None:
            found["protein_accuracy"] = float(whole[drawn].mean())
        return found

    return score


def _right(calls: list[np.ndarray] | None, rows: list[Labelled], known: list[np.ndarray]) -> np.ndarray | None:
    """Residues called right in each protein."""
    if calls is None:
        return None
    pairs = zip(calls, rows, known, strict=True)
    return np.array([np.sum((call == row.topology)[mask]) for call, row, mask in pairs], dtype=float)


def all_right(path: np.ndarray, row: Labelled) -> bool:
    """Whether the segments agree; a segment where nothing is known of the residues counts as wrong."""
    return segments_agree(path, row.topology)


def compared(scores: dict[str, Score], groups: np.ndarray) -> dict[str, Any]:
    """Every arm's metrics with bootstrap sd and interval, and the packaged model's paired difference to it."""
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    draws = [
        np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))]) for _ in range(_RESAMPLES)
    ]
    everything = np.arange(len(groups))
    values = {arm: [score(drawn) for drawn in draws] for arm, score in scores.items()}
    table = {}
    for arm, score in scores.items():
        entry: dict[str, Any] = {"metrics": score(everything), "sd": {}, "interval": {}, "packaged_minus": {}}
        for name in entry["metrics"]:
            own = np.array([value[name] for value in values[arm]])
            entry["sd"][name] = float(own.std(ddof=1))
            entry["interval"][name] = np.quantile(own, [0.025, 0.975]).tolist()
            if arm != "packaged" and name in values["packaged"][0]:
                apart = np.array([value[name] for value in values["packaged"]]) - own
                entry["packaged_minus"][name] = {
                    "value": scores["packaged"](everything)[name] - entry["metrics"][name],
                    "sd": float(apart.std(ddof=1)),
                    "interval": np.quantile(apart, [0.025, 0.975]).tolist(),
                }
        table[arm] = entry
    return table
