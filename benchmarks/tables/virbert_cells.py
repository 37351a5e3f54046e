"""Cells of the phage table: regressions on composition, on frozen vectors and on both, on the same labelled reads.

    python -m benchmarks.tables.virbert_cells --work runs/virbert-arms

A cell is a read length, GC-matched or plain reads, a share of the labels, a fold that is tested and a seed that draws
the labelled reads from the other folds. All regressions are logistic with a ridge, on standardised features; its
strength is chosen on a quarter of the groups of the labelled reads, which are then fitted again with the rest. Under
40 reads there is nothing to choose by, and it is fixed. `ARM-unseen`: the encoder was pretrained without the fold that
is tested (`virbert_arms --without 1 2 3 4`). What is done is not done again, so arms can be added.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from sklearn.metrics import roc_auc_score

from benchmarks.tables.virbert_reads import CLASSES
from seqformers.datasets_scripts.common.shortcuts import gc_content, kmer_shares
from seqformers.datasets_scripts.genomes.arrays import GenomeArrays
from seqformers.datasets_scripts.genomes.reads import ReadOptions, ReadSampler

LENGTHS = (150, 1000)
VARIANTS = ("matched", "plain")
FRACTIONS = (1.0, 0.1, 0.01, 0.001)
FOLDS = 5
SEEDS = (0, 1, 2)  # in fold 0; the other folds have seed 0
UNSEEN = "-unseen"
SHORTCUTS = ("gc", "kmer4", "kmer6")
FRESH_READS = 30_000
_STRENGTHS = (3e-5, 3e-4, 3e-3, 3e-2, 3e-1)
_FIXED = 3e-3
_LEAST = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--both-6", nargs="*", default=[], help="arms that are also put beside 6-mers (slow)")
    arguments = parser.parse_args()
    for length in arguments.lengths:
        table = Features(arguments.work, length)
        methods = [*SHORTCUTS, *table.arms, *(f"{arm}+kmer4" for arm in table.arms)]
        methods += [f"{arm}+kmer6" for arm in arguments.both_6]
        for cell in cells(length):
            run_cell(arguments.work, table, cell, methods)
        for variant in VARIANTS:
            run_fresh(arguments.work, table, variant)


def cells(length: int) -> Iterator[dict[str, Any]]:
    """The cells of a read length, few labels first."""
    places = [(0, seed) for seed in SEEDS] + [(fold, 0) for fold in range(1, FOLDS)]
    for fraction, variant, (fold, seed) in product(FRACTIONS[::-1], VARIANTS, places):
        yield {"length": length, "variant": variant, "fraction": fraction, "fold": fold, "seed": seed}


def labelled_rows(reads: pd.DataFrame, *, fold: int, variant: str, fraction: float, seed: int) -> np.ndarray:
    """Rows of the labelled reads: of the other folds, as many of each class, at least two; nested by fraction."""
    usable = (reads["fold"] != fold) & (reads["matched"] | (variant == "plain"))
    rng = np.random.default_rng([seed, fold])
    chosen = []
    for label in (0, 1):
        rows = np.flatnonzero(usable & (reads["label"] == label))
        chosen.append(rng.permutation(rows)[: max(2, round(fraction * len(rows)))])
    return np.sort(np.concatenate(chosen))


def test_rows(reads: pd.DataFrame, cell: dict[str, Any]) -> np.ndarray:
    """Rows of the reads that a cell is tested on."""
    return np.flatnonzero((reads["fold"] == cell["fold"]) & (reads["matched"] | (cell["variant"] == "plain")))


class Features:
    """Reads of a length with what regressions read of them."""

    def __init__(self, work: Path, length: int):
        self.reads = pd.read_parquet(work / f"reads-{length}.parquet")
        texts = self.reads["sequence"].tolist()
        self.blocks = {"gc": gc_content(texts).astype(np.float32)}
        self.blocks |= {f"kmer{k}": root_counts(texts, k) for k in (4, 6)}
        self.arms = []
        for path in sorted((work / "vectors").glob(f"*-{length}.npy")):
            self.arms.append(path.name.removesuffix(f"-{length}.npy"))
            self.blocks[self.arms[-1]] = np.load(path)
        for arm in list(self.arms):
            paths = {fold: work / f"vectors-without-{fold}" / f"{arm}-{length}.npy" for fold in range(1, FOLDS)}
            held = {fold: np.load(path) for fold, path in paths.items() if path.is_file()}
            if held:
                self.arms.append(f"{arm}{UNSEEN}")
                self.blocks |= {
                    f"{arm}{UNSEEN}{fold}": block for fold, block in ({0: self.blocks[arm]} | held).items()
                }

    def of(self, method: str, fold: int) -> np.ndarray | None:
        """Features of a method where a fold is tested: of a block, or of several joined by `+`; None: not made yet."""
        names = [f"{name}{fold}" if name.endswith(UNSEEN) else name for name in method.split("+")]
        if any(name not in self.blocks for name in names):
            return None
        return np.concatenate([self.blocks[name] for name in names], axis=1)


def root_counts(sequences: list[str], k: int) -> np.ndarray:
    """Square roots of the counts of k-mers, a k-mer and its reverse complement counted together."""
    counts = kmer_shares(sequences, k).multiply(np.array([len(text) - k + 1 for text in sequences])[:, None]).tocsr()
    codes = np.arange(4**k)
    other, rest = np.zeros_like(codes), codes.copy()
    for _ in range(k):
        other = other * 4 + 3 - rest % 4
        rest //= 4
    first = np.flatnonzero(codes <= other)
    merged = counts[:, first] + counts[:, other[first]]
    merged[:, np.flatnonzero(first == other[first])] *= 0.5
    return np.sqrt(merged.toarray()).astype(np.float32)


def run_cell(work: Path, table: Features, cell: dict[str, Any], methods: list[str]) -> None:
    """Fit and score the methods that this cell lacks."""
    path = work / "cells" / ("-".join(str(value) for value in cell.values()) + ".json")
    found = json.loads(path.read_text()) if path.is_file() else {}
    missing = [method for method in methods if method not in found]
    if not missing:
        return
    reads = table.reads
    rows = labelled_rows(reads, **{key: cell[key] for key in ("fold", "variant", "fraction", "seed")})
    test = test_rows(reads, cell)
    labels, groups = reads["label"].to_numpy(), reads["group"].to_numpy()
    held = np.array([zlib.crc32(name.encode()) % 4 == 0 for name in groups[rows]])
    path.parent.mkdir(exist_ok=True)
    for method in missing:
        features = table.of(method, cell["fold"])
        if features is None:
            continue
        scores = fit_and_score(features[rows], labels[rows], held, features[test])
        found[method] = measure(scores, labels[test]) | {"labelled": len(rows)}
        place = path.parent / "scores" / path.stem
        place.mkdir(parents=True, exist_ok=True)
        np.save(place / f"{method}.npy", scores.astype(np.float16))
    path.write_text(json.dumps(found))
    print(path.stem, f"{len(rows)} reads", flush=True)


def run_fresh(work: Path, table: Features, variant: str) -> None:
    """The 6-mer regression on many more reads of the training folds, tested on fold 0; kept in the cell of seed 0."""
    length = int(table.reads["sequence"].str.len().iloc[0])
    path = work / "cells" / f"{length}-{variant}-1.0-0-0.json"
    found = json.loads(path.read_text())
    if "kmer6-fresh" in found:
        return
    options = ReadOptions(length=length, gc_match=variant == "matched", classes=CLASSES)
    sampler = ReadSampler(GenomeArrays.open(work / "genomes", "train"), options, seed=1000)
    reads = sampler.draw(range(FRESH_READS))
    groups = sampler.genomes.group[reads.record]
    rows = np.flatnonzero((table.reads["fold"] == 0) & (table.reads["matched"] | (variant == "plain")))
    features = root_counts(reads.strings(), 6)
    scores = fit_and_score(features, reads.labels, groups % 4 == 0, table.blocks["kmer6"][rows])
    found["kmer6-fresh"] = measure(scores, table.reads["label"].to_numpy()[rows]) | {"labelled": FRESH_READS}
    path.write_text(json.dumps(found))


def fit_and_score(train: np.ndarray, labels: np.ndarray, held: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Logits of class 1 for `test`."""
    mean, scale = train.mean(0), train.std(0)
    scale = np.where(scale > 1e-6, scale, 1.0)
    train, test = (train - mean) / scale, (test - mean) / scale
    strength = _FIXED
    parts = (labels[held], labels[~held])
    if len(labels) >= _LEAST and all(0 < part.mean() < 1 for part in parts if len(part)) and all(map(len, parts)):
        best, start = -1.0, None
        for candidate in _STRENGTHS:
            start = fit(train[~held], labels[~held], candidate, start)
            score = macro_recall(train[held] @ start[:-1] + start[-1], labels[held])
            if score > best:
                best, strength = score, candidate
    weights = fit(train, labels, strength)
    return test @ weights[:-1] + weights[-1]


def fit(features: np.ndarray, labels: np.ndarray, strength: float, start: np.ndarray | None = None) -> np.ndarray:
    """Weights and bias of a logistic regression; `strength` is scikit-learn's C."""
    sign = np.where(labels > 0, 1.0, -1.0)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (features @ weights[:-1].astype(np.float32) + weights[-1])
        slope = -sign / (1 + np.exp(np.clip(margin, -50, 50)))
        gradient = np.append(strength * (slope.astype(np.float32) @ features), strength * slope.sum())
        gradient[:-1] += weights[:-1]
        value = strength * np.logaddexp(0, -margin).sum() + 0.5 * (weights[:-1] ** 2).sum()
        return float(value), gradient.astype(float)

    begin = np.zeros(features.shape[1] + 1) if start is None else start
    tolerance = 1e-4 * strength * len(labels)
    return minimize(loss, begin, jac=True, method="L-BFGS-B", options={"maxiter": 100, "gtol": tolerance}).x


def macro_recall(scores: np.ndarray, labels: np.ndarray) -> float:
    """Mean of the recalls of both classes."""
    return float(((scores > 0)[labels == 1].mean() + (scores <= 0)[labels == 0].mean()) / 2)


def measure(scores: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Macro recall, area under the ROC curve, share called phage, and `[[tn, fp], [fn, tp]]`."""
    called = (scores > 0).astype(int)
    confusion = np.zeros((2, 2), int)
    np.add.at(confusion, (labels, called), 1)
    return {
        "macro_recall": macro_recall(scores, labels),
        "auroc": float(roc_auc_score(labels, scores)),
        "called_phage": float(called.mean()),
        "confusion": confusion.tolist(),
    }


if __name__ == "__main__":
    main()
