"""Phage or not: encoders pretrained for the same time in different ways, and the frozen vectors they give of reads.

    seqformers build genomes ... --output genomes
    python -m benchmarks.tables.virbert_arms --genomes genomes --work runs/virbert-arms
    python -m benchmarks.tables.virbert --work runs/virbert-arms

The arms stand in `recipes/virbert/lists/arms.yaml`: a name, and what its recipe changes. An arm is pretrained by
`seqformers pretrain` on fresh reads of four folds of groups, then reads of all five folds (`virbert_reads`) go through
it once a length; the regressions and tables of `benchmarks.tables.virbert` need nothing but these vectors. With
`--without 1` fold 1 is left out in place of fold 0, so that its reads, too, are of groups that the encoder never saw.
What is there is not made again, so the job can be stopped and resumed.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from transformers import TrainerCallback

from benchmarks._results import ROOT
from benchmarks.recipe_lists import laid_over, read_list
from benchmarks.tables.virbert_reads import CLASSES, deal_folds, prepare, write_genomes
from seqformers.datasets_scripts.genomes.arrays import GenomeArrays
from seqformers.hub.load import load_model
from seqformers.inference.embed import embed_records
from seqformers.inference.windowing import Windowing
from seqformers.training.plan import resolve
from seqformers.training.recipe import load_recipe
from seqformers.training.running import train

ARMS = ROOT / "benchmarks" / "recipes" / "virbert" / "lists" / "arms.yaml"
LENGTHS = (150, 1000)
SECONDS = 180.0  # of CPU time that an arm is trained
_WARM, _TIMED = 4, 12  # steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--genomes", type=Path, required=True, help="classes phage and virus among others")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--arms", nargs="+", help="default: all of arms.yaml")
    parser.add_argument("--without", type=int, nargs="+", default=[0], help="fold that pretraining does not see")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of CPU time, pretraining of each arm")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    if not (arguments.work / "folds.json").is_file():
        prepare(arguments.genomes, arguments.work, LENGTHS)
    for name, fold in product(arguments.arms or read_list(ARMS), arguments.without):
        genomes = arguments.work / name_without("genomes", fold)
        if not genomes.is_dir():
            dealt = deal_folds(GenomeArrays.open(arguments.genomes).with_classes(CLASSES))
            write_genomes(arguments.genomes, genomes, dealt, held=fold)
        run_arm(name, arguments.work, arguments.seconds, fold)


def name_without(name: str, fold: int) -> str:
    """What a folder is called whose encoder did not see a fold."""
    return name if fold == 0 else f"{name}-without-{fold}"


def run_arm(name: str, work: Path, seconds: float, fold: int = 0) -> None:
    """Pretrain an arm without one fold, and write the vectors of all reads."""
    arm = read_list(ARMS)[name]
    folder = work / "arms" / name_without(name, fold)
    if not (folder / "config.json").is_file():
        print(f"== {name}", flush=True)
        recipe = arm["recipe"] | {"name": f"virBERT arm {name}"}
        recipe["data"]["path"] = str(work / name_without("genomes", fold))
        if "from" in recipe["tokenizer"]:
            recipe["tokenizer"]["from"] = str(work / "tokenizers" / Path(recipe["tokenizer"]["from"]).name)
        if arm.get("untrained"):
            _save_untrained(recipe, folder)
        else:
            _pretrain(recipe, folder, seconds)
    for length in LENGTHS:
        path = work / name_without("vectors", fold) / f"{name}-{length}.npy"
        if not path.is_file():
            began = time.process_time()
            reads = pd.read_parquet(work / f"reads-{length}.parquet", columns=["sequence"])
            vectors = vectors_of(folder, reads["sequence"].tolist(), arm.get("window"))
            path.parent.mkdir(exist_ok=True)
            np.save(path, vectors)
            print(f"{name}: vectors of {length} nt, {time.process_time() - began:.0f} s", flush=True)


def _save_untrained(recipe: dict[str, Any], folder: Path) -> None:
    plan = resolve(load_recipe(recipe))
    plan.make_model({}, seed=0).save_pretrained(folder)
    plan.encoder.save_pretrained(folder)


def _pretrain(recipe: dict[str, Any], folder: Path, seconds: float) -> None:
    """As many steps as fit into the CPU time, by the speed of the first few."""
    clock = Clock()
    partial = folder.with_name(folder.name + ".partial")
    facts = folder.with_name(f"{folder.name}.json")
    if not facts.is_file():
        trial = laid_over(recipe, {"training": {"max_steps": _WARM + _TIMED, "eval_strategy": "no"}})
        train(load_recipe(trial), folder.with_name(f"{folder.name}-trial"), overwrite=True, callbacks=[clock])
        facts.write_text(json.dumps({"seconds_per_step": clock.per_step}), encoding="utf-8")
    steps = max(2, int(seconds / json.loads(facts.read_text())["seconds_per_step"]))
    batch = recipe["training"]["per_device_train_batch_size"]
    changes = {
        "training": {"max_steps": steps, "save_steps": 200, "eval_strategy": "no"},
        "data": {"reads": {"per_epoch": steps * batch}},
    }
    train(load_recipe(laid_over(recipe, changes)), folder, resume=partial.exists(), callbacks=[clock])


class Clock(TrainerCallback):
    """CPU seconds of a step, without the first few."""

    per_step = float("nan")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start at the last warm-up step; keep the mean so far."""
        if state.global_step == _WARM:
            self._began = time.process_time()
        elif state.global_step > _WARM:
            self.per_step = (time.process_time() - self._began) / (state.global_step - _WARM)


def vectors_of(run: Path, sequences: list[str], window: int | None) -> np.ndarray:
    """Mean-pooled vectors of reads, float32 `(reads, hidden)`."""
    loaded = load_model(run, "AutoModel", device="cpu", precision="auto")
    records = (_Record(str(number), text) for number, text in enumerate(sequences))
    windows = min(window, max(map(len, sequences))) if window else max(map(len, sequences))
    rows = embed_records(records, loaded, Windowing(windows), batch_size=64)
    return np.array([row["embedding"] for row in rows], np.float32)


class _Record:
    def __init__(self, name: str, sequence: str):
        self.id, self.sequence = name, sequence


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
