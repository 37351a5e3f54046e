"""Phage or not: the stride-3 network fine-tuned after pretraining, and from scratch, on the reads of `virbert_arms`.

    python -m benchmarks.tables.virbert_networks --work runs/virbert-arms

Fine-tuning costs minutes a cell where a probe of frozen vectors costs seconds, so it is done where it can tell most:
on GC-matched reads of fold 0, every length and label fraction, three seeds. A seed draws the labelled reads (as it
does for all arms), the new weights and their order. `fresh` is the same network from scratch on reads drawn anew all
the time. A cell is one file of scores and is not run again.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.recipe_lists import laid_over, read_list
from benchmarks.tables.virbert_arms import ARMS
from benchmarks.tables.virbert_cells import FRACTIONS, LENGTHS, SEEDS, labelled_rows
from seqformers.hub.load import load_model
from seqformers.training.recipe import load_recipe
from seqformers.training.running import train

SOURCE = "stride3"
# Steps of 16 reads: enough for the training loss of few reads to reach its floor.
STEPS = {150: {1.0: 600, 0.1: 300, 0.01: 80, 0.001: 30}, 1000: {1.0: 250, 0.1: 150, 0.01: 50, 0.001: 20}}
FRESH_STEPS = {150: 1500, 1000: 450}
RATES = {"finetuned": 3e-4, "scratch": 1e-3, "fresh": 1e-3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    for fraction, length, seed, kind in product(FRACTIONS[::-1], LENGTHS, SEEDS, ("finetuned", "scratch")):
        run_cell(arguments.work, kind, length, fraction, seed)
    for length in LENGTHS:
        run_cell(arguments.work, "fresh", length, 1.0, SEEDS[0])


def network_path(work: Path, kind: str, length: int, fraction: float, seed: int) -> Path:
    """Scores on the matched test reads of fold 0."""
    return work / "networks" / f"{kind}-{length}-{fraction:g}-{seed}.npy"


def run_cell(work: Path, kind: str, length: int, fraction: float, seed: int) -> None:
    """Train one network, and write its scores (logit of phage) on the test reads."""
    target = network_path(work, kind, length, fraction, seed)
    if target.is_file():
        return
    reads = pd.read_parquet(work / f"reads-{length}.parquet")
    rows = labelled_rows(reads, fold=0, variant="matched", fraction=fraction, seed=seed)
    print(f"== {target.stem}: {len(rows)} reads", flush=True)
    test = reads[(reads["fold"] == 0) & reads["matched"]]
    with TemporaryDirectory(dir=work) as place:
        data, run = Path(place) / "data", Path(place) / "run"
        data.mkdir()
        reads.iloc[rows][["sequence", "label"]].to_parquet(data / "train-00000-of-00001.parquet")
        train(load_recipe(_recipe(work, data, kind, length, fraction, seed)), run)
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


def _recipe(work: Path, data: Path, kind: str, length: int, fraction: float, seed: int) -> dict[str, Any]:
    steps = FRESH_STEPS[length] if kind == "fresh" else STEPS[length][fraction]
    arm = read_list(ARMS)[SOURCE]["recipe"]
    recipe: dict[str, Any] = {
        "task": "finetune",
        "model": {"type": "kmer_bert", "config": {"classifier_pooling": "mean"}},
        "data": {"path": str(data), "splits": {"validation": None, "test": None}},
        "training": {
            "per_device_train_batch_size": 32 if kind == "fresh" else 16, "max_steps": steps,
            "learning_rate": RATES[kind], "warmup_steps": 0.1, "eval_strategy": "no", "save_strategy": "no",
            "load_best_model_at_end": False, "logging_steps": 50,
        },
        "seeds": [seed],
        "metrics": ["macro_recall"],
        "baselines": {"names": []},
        "portable": False,
    }  # fmt: skip
    if kind == "finetuned":
        recipe["model"]["from"] = str(work / "arms" / SOURCE)
    else:
        recipe["model"]["config"] |= arm["model"]["config"]
        recipe["tokenizer"] = arm["tokenizer"]
    if kind == "fresh":
        classes = arm["data"]["reads"]["classes"]
        reads = {"length": length, "gc_match": True, "per_epoch": steps * 32, "classes": classes}
        fixed = {"path": str(work / "genomes"), "reads": reads}
        recipe = laid_over(recipe, {"data": fixed})
    return recipe


if __name__ == "__main__":
    main()
