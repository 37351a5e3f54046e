"""TargetNet's parts on pairs that give no miRNA away: one left out at a time, trained on chimeric reads.

export SEQFORMERS_DATA=...
python -m benchmarks.tables.targetnet_chimeric measure report --work runs/targetnet-chimeric

In `chimeric_pairs_bias_corrected` each miRNA and each target is as often a target as a non-target, so what a network
learns there is pairing. It trains on a sample of the file, one window a row, and is measured on the held-out target
clusters (as the pair CNN) and on clash2013_eval. Scores are kept in `--work`; a run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks._results import RESULTS, data_folder, write_result
from benchmarks.tables.pair_cnn import measure
from benchmarks.tables.pair_cnn_data import TESTS, read_pairs, validation_pairs
from benchmarks.tables.targetnet_training import ABLATIONS, site_scores

ROWS, EPOCHS, SEEDS = 24_000, 4, (0, 1, 2)
RECURRENT = "GRUs like deepTarget"
HELD, EVALUATION = "held-out clusters", "clash2013_eval"


def as_sites(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of pairs as the training of TargetNet names them."""
    return rows.rename(columns={"target_seq": "mrna_seq"}).assign(weight=1)


def training_sites(pairs: pd.DataFrame) -> pd.DataFrame:
    """A sample of the training split without the qCLASH sites of one copy, half of it targets."""
    rows = pairs[(pairs["split"] == "train") & ~pairs["single"]]
    parts = [rows[rows["label"] == label].sample(ROWS // 2, random_state=0) for label in (0, 1)]
    return as_sites(pd.concat(parts, ignore_index=True))


def measure_all(work: Path) -> None:
    """Write `results/targetnet_chimeric.json`."""
    folder = data_folder("mirna_target")
    pairs = read_pairs(folder)
    tables = {HELD: validation_pairs(pairs), EVALUATION: pd.read_parquet(folder / TESTS[EVALUATION])}
    sites, rows = {name: as_sites(table) for name, table in tables.items()}, training_sites(pairs)
    result: dict[str, Any] = {"training_rows": len(rows), "epochs": EPOCHS, "models": {}}
    for name in [*ABLATIONS, RECURRENT]:
        found: dict[str, Any] = {key: [] for key in tables}
        for seed in SEEDS:
            path = work / f"{name} {seed}.npz"
            if not path.exists():
                np.savez(path, **site_scores(name, rows, sites, seed, work, num_train_epochs=EPOCHS))
            scores = np.load(path)
            for key, table in tables.items():
                found[key].append(measure(table, scores[key]))
        result["models"][name] = {
            key: pd.DataFrame(values).agg(["mean", "std"]).round(4).to_dict() for key, values in found.items()
        }
        print(name, json.dumps(result["models"][name]), flush=True)
    write_result("targetnet_chimeric", result, data="chimeric_pairs_bias_corrected", seeds=list(SEEDS))


def report() -> None:
    """Write `targetnet_chimeric.md` beside this file from what was measured."""
    found = json.loads((RESULTS / "targetnet_chimeric.json").read_text())
    result = found["result"]
    lines = ["# TargetNet's parts on chimeric reads", ""]
    lines += ["Written by `python -m benchmarks.tables.targetnet_chimeric report`. One window a row,"]
    lines += [f"{result['training_rows']:,} rows, {result['epochs']} epochs; mean and standard deviation over seeds"]
    lines += [f"{found['seeds']}.", ""]
    metrics = ("auroc_within_mirna", "average_precision", "auroc")
    for key in (HELD, EVALUATION):
        lines += [f"## {key}", "", "| | " + " | ".join(name.replace("_", " ") for name in metrics) + " |"]
        lines += ["|---|---|---|---|"]
        for name, values in result["models"].items():
            shown = (f"{values[key][m]['mean']:.3f} ± {values[key][m]['std']:.3f}" for m in metrics)
            lines.append(f"| {name} | " + " | ".join(shown) + " |")
        lines.append("")
    Path(__file__).with_suffix(".md").write_text("\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("actions", nargs="+", choices=["measure", "report"])
    parser.add_argument("--work", type=Path, required=True, help="folder that keeps scores")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.work.mkdir(parents=True, exist_ok=True)
    if "measure" in given.actions:
        measure_all(given.work)
    if "report" in given.actions:
        report()


if __name__ == "__main__":
    main()
