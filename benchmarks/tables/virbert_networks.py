"""Phage or not: networks of `virbert_arms` fine-tuned after pretraining, and from scratch, on its reads.

    python -m benchmarks.tables.virbert_networks --work runs/virbert-arms

Cells are those of `virbert_cells`: the seeds of fold 0 first, then the other folds. A seed draws the labelled reads,
the same for all arms, the new weights and their order. What is fine-tuned was pretrained without the fold that is
tested (`virbert_arms --without 1 2 3 4`); a fold for which this was not done is passed over. `fresh` and
`profile-fresh` are networks from scratch on reads drawn anew all the time. A cell is one file of scores and is not
run again; `--minutes` stops before the next cell, so that a long job can be had in parts, and `--folds 1 2` picks
cells, as `--fractions`, `--lengths`, `--variants` and `--seeds` do.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.recipe_lists import laid_over, read_list
from benchmarks.tables.virbert_arms import ARMS, name_without
from benchmarks.tables.virbert_cells import (
    FOLDS,
    FRACTIONS,
    LENGTHS,
    SEEDS,
    VARIANTS,
    cells,
    labelled_rows,
    test_rows,
)
from seqformers.hub.load import load_model
from seqformers.training.recipe import load_recipe
from seqformers.training.running import train

# Kind of network -> the arm whose shape it has, and whether it begins with the arm's weights.
KINDS = {
    "finetuned": ("stride3", True),
    "contrast-finetuned": ("contrast", True),
    "scratch": ("stride3", False),
    "profile-finetuned": ("profile-contrast", True),
    "profile-scratch": ("profile-contrast", False),
    "fresh": ("stride3", False),
    "profile-fresh": ("profile-contrast", False),
}
FRESH = ("fresh", "profile-fresh")
# Steps of 16 reads: enough for the training loss of few reads to reach its floor.
STEPS = {150: {1.0: 600, 0.1: 300, 0.01: 80, 0.001: 30}, 1000: {1.0: 250, 0.1: 150, 0.01: 50, 0.001: 20}}
# A profile is standardised by running means, which take a hundred steps to settle.
PROFILE_STEPS = {1.0: 600, 0.1: 300, 0.01: 150, 0.001: 150}
FRESH_STEPS = {"fresh": {150: 1500, 1000: 450}, "profile-fresh": {150: 3000, 1000: 1500}}  # of 32 reads
RATES = {True: 3e-4, False: 1e-3}  # after pretraining, from scratch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="of wall time; no cell begins after them")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--variants", nargs="+", default=VARIANTS, choices=VARIANTS)
    parser.add_argument("--fractions", type=float, nargs="+", default=FRACTIONS, help="shares of the labels")
    parser.add_argument("--folds", type=int, nargs="+", default=range(FOLDS))
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    arguments = parser.parse_args()
    ends = time.monotonic() + 60 * arguments.minutes
    for kind, cell in network_cells(arguments.kinds):
        if any(value not in vars(arguments)[f"{key}s"] for key, value in cell.items()):
            continue
        if time.monotonic() > ends:
            print("out of time: call again for the rest")
            return
        run_cell(arguments.work, kind, cell)


def network_cells(kinds: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Kinds of networks and cells, what tells most first."""
    cells_of = {length: list(cells(length)) for length in LENGTHS}
    rounds = [(variant, 0, seed) for seed, variant in product(SEEDS, VARIANTS)]
    rounds += [(variant, fold, 0) for fold, variant in product(range(1, FOLDS), VARIANTS)]
    for where, length in product(rounds, LENGTHS):
        for cell in cells_of[length]:
            if (cell["variant"], cell["fold"], cell["seed"]) == where:
                yield from ((kind, cell) for kind in kinds if kind not in FRESH)
    for kind, length, variant in product(FRESH, LENGTHS, VARIANTS):
        if kind in kinds:
            yield kind, {"length": length, "variant": variant, "fraction": 1.0, "fold": 0, "seed": 0}


def network_path(work: Path, kind: str, cell: dict[str, Any]) -> Path:
    """Scores on the test reads of a cell."""
    return work / "networks" / ("-".join([kind, *(str(value) for value in cell.values())]) + ".npy")


def run_cell(work: Path, kind: str, cell: dict[str, Any]) -> None:
    """Train one network, and write its scores (logit of phage) on the test reads."""
    target, (source, pretrained) = network_path(work, kind, cell), KINDS[kind]
    if target.is_file():
        return
    encoder = work / "arms" / name_without(source, cell["fold"]) if pretrained else None
    if encoder is not None and not encoder.is_dir():
        print(f"{target.stem}: passed over, there is no {encoder}", flush=True)
        return
    reads = pd.read_parquet(work / f"reads-{cell['length']}.parquet")
    rows = labelled_rows(reads, **{key: cell[key] for key in ("fold", "variant", "fraction", "seed")})
    print(f"== {target.stem}: {len(rows)} reads", flush=True)
    test = reads.iloc[test_rows(reads, cell)]
    with TemporaryDirectory(dir=work) as place:
        data, run = Path(place) / "data", Path(place) / "run"
        data.mkdir()
        reads.iloc[rows][["sequence", "label"]].to_parquet(data / "train-00000-of-00001.parquet")
        train(load_recipe(_recipe(work, data, kind, cell, encoder)), run)
        scores = scores_of(run, test["sequence"].tolist())
    target.parent.mkdir(exist_ok=True)
    np.save(target, scores)


def scores_of(run: Path, sequences: list[str]) -> np.ndarray:
    """Logit of class 1 against class 0, float32 `(sequences,)`."""
    loaded = load_model(run, "AutoModelForSequenceClassification", device="cpu")
    parts = []
    for first in range(0, len(sequences), 64):
        batch = loaded.encoder(sequences[first : first + 64], padding=True, return_tensors="pt")
        with torch.inference_mode():
            logits = loaded.model(**batch).logits
        parts.append((logits[:, 1] - logits[:, 0]).float().numpy())
    return np.concatenate(parts)


def _recipe(work: Path, data: Path, kind: str, cell: dict[str, Any], encoder: Path | None) -> dict[str, Any]:
    length = cell["length"]
    arm = read_list(ARMS)[KINDS[kind][0]]["recipe"]
    by_fraction = PROFILE_STEPS if arm["model"]["type"] == "coding_profile" else STEPS[length]
    steps = FRESH_STEPS[kind][length] if kind in FRESH else by_fraction[cell["fraction"]]
    pooling = {"classifier_pooling": "mean"} if arm["model"]["type"] == "kmer_bert" else {}
    recipe: dict[str, Any] = {
        "task": "finetune",
        "model": {"type": arm["model"]["type"], "config": pooling},
        "data": {"path": str(data), "splits": {"validation": None, "test": None}},
        "training": {
            "per_device_train_batch_size": 32 if kind in FRESH else 16, "max_steps": steps,
            "learning_rate": RATES[encoder is not None], "warmup_steps": 0.1, "logging_steps": 50,
            "eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False,
        },
        "seeds": [cell["seed"]],
        "metrics": ["macro_recall"],
        "baselines": {"names": []},
        "portable": False,
    }  # fmt: skip
    if encoder is not None:
        recipe["model"]["from"] = str(encoder)
    else:
        recipe["model"]["config"] |= arm["model"]["config"]
        recipe["tokenizer"] = arm["tokenizer"]
    if kind in FRESH:
        classes = arm["data"]["reads"]["classes"]
        matched = cell["variant"] == "matched"
        reads = {"length": length, "gc_match": matched, "per_epoch": steps * 32, "classes": classes}
        fixed = {"path": str(work / "genomes"), "reads": reads}
        recipe = laid_over(recipe, {"data": fixed})
    return recipe


if __name__ == "__main__":
    main()
