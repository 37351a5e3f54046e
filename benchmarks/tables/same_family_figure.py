"""Soft alignment and Needleman-Wunsch of pairs of unseen families: the scatter and the maps of figures 5.4 and 5.5.

    python -m benchmarks.tables.same_family_figure --data DATA --work work/arms --output docs/pictures

The score is the one that `benchmarks.tables.same_family` calls `aligned`, seed 0. Writes `soft_alignment.png`, the
score of each random pair against that of Needleman-Wunsch (for each residue of the shorter), and the alignment weights
of a pair of one family and of a pair of two with the path of Needleman-Wunsch on top (of the pairs of middle length,
those whose scores are the median of their kind); and `results/soft_alignment.json`: how the two scores agree, and how
much of the weight lies within two residues of the path, beside what lies there when all weights are alike.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from benchmarks._results import write_result
from benchmarks.tables.same_family import Proteins, alignment_weights, prepare, scored, trained_score
from benchmarks.tables.soft_align import aligned_residues, on_path
from seqformers.pictures import save_picture

__all__ = ["draw", "main", "map_of"]

_COMMAND = "python -m benchmarks.tables.same_family_figure --data DATA --work work/arms --output docs/pictures"
_MAPS = 60  # pairs of each kind whose weights are laid beside the path
_KINDS = {True: "one family", False: "two families"}
_COLOURS = {True: "#D55E00", False: "#888888"}


@torch.inference_mode()
def map_of(model: Any, proteins: Proteins, first: int, second: int) -> np.ndarray:
    """Alignment weights `(residues, residues)` of a pair."""
    sides = []
    for row in (first, second):
        x, mask = proteins.batch(np.array([row]), None)
        sides.append((torch.nn.functional.normalize(model.projection(x), dim=-1), mask))
    return alignment_weights(sides[0], sides[1], model.sharpness)[1][0].numpy()


def draw(
    soft: np.ndarray, hard: np.ndarray, same: np.ndarray, maps: dict[bool, tuple[np.ndarray, np.ndarray]]
) -> Figure:
    """The scatter, and a map of each kind with the path of Needleman-Wunsch."""
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    axes = figure.subplots(1, 3)
    for kind in (False, True):
        chosen = same == kind
        label = f"{_KINDS[kind]} ({chosen.sum():,})"
        axes[0].scatter(hard[chosen], soft[chosen], s=8, color=_COLOURS[kind], label=label, linewidths=0, alpha=0.7)
    axes[0].set_xlabel("Needleman-Wunsch score for each residue of the shorter")
    axes[0].set_ylabel("soft-alignment score (log-odds)")
    axes[0].legend(frameon=False)
    for axis, (kind, (weights, path)) in zip(axes[1:], maps.items(), strict=True):
        n, m = weights.shape
        extent = (0.5, m + 0.5, n + 0.5, 0.5)
        image = axis.imshow(weights, cmap="Blues", aspect="auto", interpolation="nearest", extent=extent)
        axis.plot(path[:, 1] + 1, path[:, 0] + 1, ".", color="#D55E00", markersize=2)
        axis.set_title(f"{_KINDS[kind]}; dots: Needleman-Wunsch", fontsize=9)
        axis.set_xlabel("residue of the second")
        axis.set_ylabel("residue of the first")
        figure.colorbar(image, ax=axis, label="weight")
    return figure


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the public data")
    parser.add_argument("--work", type=Path, default=Path("work/arms"))
    parser.add_argument("--output", type=Path, required=True, help="folder of the picture")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seen, unseen, pairs, tests, scores = prepare(options.data, options.work)
    trained = trained_score(options.work, seen, pairs, "aligned", 0)
    first, second, same = tests["random"]
    soft, hard = scored(trained, unseen, first, second), scores["random"]["Needleman-Wunsch"][0]
    result: dict[str, Any] = {"pairs": len(first), "spearman_of_the_two": float(spearmanr(soft, hard).statistic)}
    maps, rng = {}, np.random.default_rng(0)
    for kind, name in _KINDS.items():
        rows = np.flatnonzero(same == kind)
        lengths = np.array([len(unseen.residues[i]) + len(unseen.residues[j])
                            for i, j in zip(first[rows], second[rows], strict=True)])  # fmt: skip
        middle = rows[np.abs(lengths - np.median(lengths)) <= np.median(np.abs(lengths - np.median(lengths)))]
        shown = middle[np.argsort(soft[middle])[len(middle) // 2]]
        found = []
        for row in [shown, *rng.permutation(rows)[:_MAPS]]:
            weights = map_of(trained[0], unseen, first[row], second[row])
            path = aligned_residues(unseen.sequences[first[row]], unseen.sequences[second[row]])
            found.append((on_path(weights, path), on_path(np.ones_like(weights), path)))
            if row == shown:
                maps[kind] = (weights, path)
        near = np.array(found[1:])
        result[name.replace(" ", "_")] = {
            "pairs": len(rows), "maps": len(near), "weight_near_the_path": near[:, 0].mean(),
            "near_the_path_if_all_alike": near[:, 1].mean(), "sd": near[:, 0].std(ddof=1),
            "spearman_of_the_two": float(spearmanr(soft[rows], hard[rows]).statistic),
        }  # fmt: skip
    options.output.mkdir(parents=True, exist_ok=True)
    save_picture(draw(soft, hard, same, maps), options.output / "soft_alignment.png")
    path = write_result("soft_alignment", result, data="TAPE remote homology, 21 families", seeds=[0])
    path.write_text(json.dumps(json.loads(path.read_text()) | {"command": _COMMAND}, indent=2) + "\n")
    print(result)


if __name__ == "__main__":
    main()
