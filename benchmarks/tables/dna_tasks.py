"""Other questions than phage or not, for encoders pretrained on virus genomes: linear evaluation of frozen vectors.

    SEQFORMERS_DATA=data python -m benchmarks.tables.dna_tasks --arms runs/virbert-arms/arms --work runs/dna-tasks

`hosts`: the genus of a virus's host from reads of 150 nt (`build phage --config hosts-150`), groups of genomes split;
`enhancers`: regions of 200 nt of the human genome (`build regulatory --config enhancers`), another field altogether.
The arms are those of `benchmarks.tables.virbert_arms`, each pretrained for the same time; `random` is an encoder as
drawn. Each is probed by its recipe (`recipes/hosts`, `recipes/regulatory`); intervals are bootstrapped over groups of
genomes (rows of enhancers). A cell is one run folder; what is there is not run again. The result is
`results/dna_tasks.json`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import matthews_corrcoef, recall_score

from benchmarks._results import ROOT, data_folder, write_result
from seqformers.datasets import build_dataset
from seqformers.settings import read_yaml
from seqformers.training import probe

RECIPES = ROOT / "benchmarks" / "recipes"
ARMS = ("random", "base-space", "self-genomenet", "bpe", "dnavec", "stride3", "contrast", "profile-contrast")
SHORTCUTS = ("gc_only", "kmer_4_logistic", "kmer_6_logistic")
RESAMPLES = 500
LIMITS = {"train": 800, "validation": 200}  # rows: labels are few, as where pretraining is to help
# Task -> builder, its configuration, folder of the raw data, its options, recipe, and the score that counts.
TASKS: dict[str, tuple[str, str, str, dict[str, Any], str, str]] = {
    "hosts": (
        "phage", "hosts-150", "virus_genomes",
        {
            "least_groups": 10, "known_hosts": {"phagesdb(wabio)": "Mycobacterium"}, "reads_per_genome": 8,
            "max_train_reads": 800, "max_validation_reads": 200, "max_test_reads": 600, "report_kmers": (),
        },
        "hosts/probe-1000", "macro_recall",
    ),
    "enhancers": (
        "regulatory", "enhancers", "enhancers_ienhancer", {}, "regulatory/probe-enhancers", "mcc",
    ),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", type=Path, required=True, help="folder of run folders, one an arm")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    arguments = parser.parse_args()
    result: dict[str, Any] = {}
    for task in arguments.tasks:
        data = arguments.work / "data" / task
        builder, config, folder, options, recipe, metric = TASKS[task]
        if not data.is_dir():
            build_dataset(builder, config, output=data, data_dir=data_folder(folder), **options)
        result[task] = {"metric": metric, "rows": rows_of(data), "arms": {}}
        for arm in ARMS:
            if not (arguments.arms / arm / "config.json").is_file():
                print(f"{arm} is not there yet", flush=True)
                continue
            run = arguments.work / task / arm
            if not (run / "metrics.json").is_file():
                run_probe(recipe, arguments.arms / arm, data, run, shortcuts=arm == ARMS[0])
            found = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
            result[task]["arms"][arm] = scores(run, data, metric)
            if arm == ARMS[0]:
                result[task]["shortcuts"] = {name: found["baselines"][name][metric] for name in SHORTCUTS}
            print(task, arm, result[task]["arms"][arm], flush=True)
            write_result(
                "dna_tasks", result,
                data="virus_genomes (hosts, groups of genomes split), enhancers_ienhancer", seeds=[0],
            )  # fmt: skip


def rows_of(data: Path) -> dict[str, Any]:
    """Rows of each split, its classes and groups."""
    found = {}
    for split in ("train", "validation", "test"):
        rows = pd.concat(map(pd.read_parquet, sorted(data.rglob(f"{split}-*.parquet"))))
        groups = int(rows["group"].nunique()) if "group" in rows else len(rows)
        found[split] = {"rows": len(rows), "classes": int(rows["label"].nunique()), "groups": groups}
    return found


def run_probe(recipe: str, arm: Path, data: Path, run: Path, *, shortcuts: bool) -> None:
    """One cell."""
    values = read_yaml((RECIPES / f"{recipe}.yaml").read_text(encoding="utf-8"))
    kind = json.loads((arm / "config.json").read_text(encoding="utf-8"))["model_type"]
    values["model"] |= {"type": kind, "from": str(arm)}
    if kind != "kmer_bert":
        values["model"]["config"] = {}
    values["data"] |= {"path": str(data), "limits": LIMITS}
    values["baselines"] = {"names": list(SHORTCUTS) if shortcuts else []}
    values |= {"portable": False, "training": {"use_cpu": True, "per_device_eval_batch_size": 64}}
    probe(values, output=run, overwrite=True)  # of what a stopped call left


def scores(run: Path, data: Path, metric: str) -> dict[str, Any]:
    """The score on the test split, and its interval when groups (or rows) are drawn with replacement."""
    predictions = pd.read_parquet(next(run.rglob("predictions-test.parquet")))
    rows = pd.concat(map(pd.read_parquet, sorted(data.rglob("test-*.parquet"))), ignore_index=True)
    groups = (rows["group"] if "group" in rows else pd.Series(range(len(rows)))).astype(str).to_numpy()
    truth = predictions["label"].to_numpy()
    called = predictions.filter(like="score_").to_numpy().argmax(1)
    measure = (
        (lambda a, b: recall_score(a, b, average="macro", labels=np.unique(a), zero_division=0))
        if metric == "macro_recall"
        else matthews_corrcoef
    )
    members = [np.flatnonzero(groups == name) for name in np.unique(groups)]
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(RESAMPLES):
        rows_drawn = np.concatenate([members[number] for number in rng.integers(0, len(members), len(members))])
        drawn.append(measure(truth[rows_drawn], called[rows_drawn]))
    low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
    return {metric: float(measure(truth, called)), "interval": [low, high]}


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
