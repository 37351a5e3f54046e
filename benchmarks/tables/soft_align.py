"""Soft alignment and Needleman-Wunsch of pairs of domains: the scatter and the maps of figures 5.4 and 5.5.

    python -m benchmarks.tables.soft_align --run RUN --pairs PAIRS.parquet --output pictures

RUN: a PLUS-RNN with a pair head, as `seqformers finetune` leaves it (of `benchmarks.tables.protein_arms`:
`work/arms/runs/homology.sfp-0.7.0`). PAIRS: columns `sequence_a`, `sequence_b`, `label` (level 0 to 4; of the same
table `work/arms/rows/homology/test-*`). Writes `scatter.png`, the soft-alignment score of each pair against that of
Needleman-Wunsch (BLOSUM62, gaps 11 and 1, for each residue of the shorter), a colour a level; `map-<level>.png`, the
weights of the best-scored pair of each level with the path of Needleman-Wunsch on top; and
`results/soft_align.json`: how well each score ranks the levels, and how much of the weight lies on that path.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score

from benchmarks._results import write_result
from benchmarks.tables.protein_arms_shortcuts import aligner, alignment_scores, known_letters
from seqformers.datasets_scripts.plus_tasks.homology_pairs import LEVELS
from seqformers.hub.load import Loaded, load_model
from seqformers.interpret.protein_maps import alignment_map, plot_alignment
from seqformers.pictures import save_picture

__all__ = ["aligned_residues", "draw_scatter", "main", "on_path"]

_COLOURS = ("#BBBBBB", "#56B4E9", "#E69F00", "#D55E00", "#000000")  # apart for colour-blind readers too
_BATCH = 50
_NEAR = 2  # residues beside the path


def aligned_residues(first: str, second: str) -> np.ndarray:
    """Pairs of residues (from 0) that Needleman-Wunsch puts beside each other, `(pairs, 2)`."""
    blocks = aligner().align(known_letters(first), known_letters(second))[0].aligned
    steps = [np.column_stack([np.arange(*one), np.arange(*other)]) for one, other in zip(*blocks, strict=True)]
    return np.concatenate(steps) if steps else np.zeros((0, 2), int)


def on_path(weights: np.ndarray, path: np.ndarray, near: int = _NEAR) -> float:
    """Share of the alignment weights that lie within `near` residues of the path."""
    close = np.zeros(weights.shape, bool)
    for i, j in path:
        close[i, max(j - near, 0) : j + near + 1] = True
    return float(weights[close].sum() / weights.sum())


@torch.inference_mode()
def soft_scores(loaded: Loaded, table: pd.DataFrame) -> np.ndarray:
    """Soft-alignment score of each pair."""
    found = []
    for start in range(0, len(table), _BATCH):
        part = table.iloc[start : start + _BATCH]
        batch = loaded.encoder(part["sequence_a"].tolist(), part["sequence_b"].tolist(), padding=True,
                               return_tensors="pt")  # fmt: skip
        found.append(loaded.model(**batch).scores.numpy())
    return np.concatenate(found)


def draw_scatter(soft: np.ndarray, hard: np.ndarray, levels: np.ndarray) -> Figure:
    """Both scores of each pair; the deeper levels on top."""
    figure = Figure(figsize=(6, 4.8), layout="constrained")
    axes = figure.subplots()
    for level in np.unique(levels):
        chosen = levels == level
        label = f"{LEVELS[level]} ({chosen.sum():,})"
        axes.scatter(hard[chosen], soft[chosen], s=9, color=_COLOURS[level], label=label, linewidths=0, alpha=0.8)
    axes.set_xlabel("Needleman-Wunsch score for each residue of the shorter")
    axes.set_ylabel("soft-alignment score")
    axes.legend(title="SCOP level in common", frameon=False)
    return figure


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="run folder or Hub name of a PLUS-RNN with a pair head")
    parser.add_argument("--pairs", type=Path, required=True, help="Parquet of pairs with their levels")
    parser.add_argument("--output", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--most", type=int, default=1000, help="pairs of the scatter, the first of the file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    loaded, table = load_model(options.run, None), pd.read_parquet(options.pairs).iloc[: options.most]
    levels = table["label"].to_numpy()
    soft = soft_scores(loaded, table)
    hard = alignment_scores(table["sequence_a"].tolist(), table["sequence_b"].tolist())
    options.output.mkdir(parents=True, exist_ok=True)
    save_picture(draw_scatter(soft, hard, levels), options.output / "scatter.png")
    result: dict[str, Any] = {"pairs": len(table), "maps": {}, "scores": {}}
    for name, values in {"soft alignment": soft, "Needleman-Wunsch": hard}.items():
        ranks = {"spearman_of_levels": float(spearmanr(values, levels).statistic)}
        for level in range(1, int(levels.max()) + 1):
            ranks[f"auprc_{LEVELS[level]}"] = float(average_precision_score(levels >= level, values))
        result["scores"][name] = ranks
    result["spearman_of_the_two"] = float(spearmanr(soft, hard).statistic)
    for level in np.unique(levels):
        row = table.iloc[int(np.flatnonzero(levels == level)[soft[levels == level].argmax()])]
        weights, score = alignment_map(loaded, row["sequence_a"], row["sequence_b"])
        path = aligned_residues(row["sequence_a"], row["sequence_b"])
        figure = plot_alignment(weights, score, names=("the first", "the second"))
        figure.axes[0].plot(path[:, 1] + 1, path[:, 0] + 1, ".", color="#D55E00", markersize=2)
        figure.axes[0].set_title(f"{LEVELS[level]}: soft alignment {score:.2f}, dots Needleman-Wunsch", fontsize=9)
        save_picture(figure, options.output / f"map-{LEVELS[level]}.png")
        result["maps"][LEVELS[level]] = {"score": score, "weight_near_the_path": on_path(weights, path)}
    write_result("soft_align", result, data="TAPE remote homology, SCOP classes", seeds=[0])
    print(result)


if __name__ == "__main__":
    main()
