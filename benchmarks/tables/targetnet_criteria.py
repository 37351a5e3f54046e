"""Table 4.2 of the TargetNet dissertation: other rules for candidate sites, with the published weights.

export SEQFORMERS_DATA=...
seqformers convert targetnet TargetNet.pt targetnet-published
python -m benchmarks.tables.targetnet_criteria --model targetnet-published

All windows are scored once; rules and steps are then chosen among them. The text says neither what step the rules but
miRAW's take, nor whether miRAW's count wobble pairs, so several are shown beside the printed figures (which are means
over ten folds; five are public). The printed recall is implied by the printed F1, accuracy and precision.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks._results import data_folder, write_result
from benchmarks.tables.targetnet import measure
from seqformers import TargetNetModel
from seqformers.datasets_scripts.miraw.miraw import read_target_table
from seqformers.modeling.targets.targetnet_sites import WINDOW, encode_rna, find_sites
from seqformers.targets.scanner import TargetScanner

PAIR = ["mirna_seq", "mrna_seq"]
RULES = ("targetnet", "miraw-7-1:10", "miraw-7-2:10", "targetscan", "pita")
STEPS = (1, 2, 3, 5, 10)
PRINTED = {  # F1 and implied recall
    "targetnet": (0.7491, 0.8130),
    "miraw-7-1:10": (0.7388, 0.7804),
    "miraw-7-2:10": (0.7422, 0.7828),
    "targetscan": (0.6747, 0.6383),
    "pita": (0.6901, 0.6730),
}


def best_logits(pairs: pd.DataFrame, scanner: TargetScanner) -> dict[tuple[str, int], np.ndarray]:
    """Highest logit among the windows of each rule and step, for each pair; -inf without one."""
    best = {(rule, step): np.full(len(pairs), -np.inf) for rule in RULES for step in STEPS}
    for number, (mirna, mrna) in enumerate(zip(pairs["mirna_seq"], pairs["mrna_seq"], strict=True)):
        codes = [encode_rna(mirna)], [encode_rna(mrna)], [0]
        whole = find_sites(*codes, criterion="all")
        if not len(whole):
            continue
        logits = np.full(len(mrna), -np.inf)
        logits[whole.start] = scanner.site_logits(whole.input_ids)
        for rule in RULES:
            start = find_sites(*codes, criterion=rule).start
            for step in STEPS:
                kept = start[(len(mrna) - WINDOW - start) % step == 0]
                best[rule, step][number] = logits[kept].max(initial=-np.inf)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder that `seqformers convert targetnet` wrote")
    parser.add_argument("--folds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = read_target_table(data_folder("mirna_target") / "miraw_test_0_4.parquet")
    rows = rows[rows["fold"].isin(given.folds)].reset_index(drop=True)
    pairs = rows[PAIR].drop_duplicates().reset_index(drop=True)
    scanner = TargetScanner(TargetNetModel.from_pretrained(given.model), threads=1)
    result: dict[str, Any] = {"folds": given.folds, "printed": PRINTED, "rules": {}}
    for (rule, step), logits in best_logits(pairs, scanner).items():
        score = pairs.assign(score=1 / (1 + np.exp(-logits)))
        found = measure(rows, score.merge(rows[PAIR], how="right", on=PAIR)["score"].to_numpy())
        result["rules"].setdefault(rule, {})[str(step)] = {
            name: found[name] for name in ("f1", "accuracy", "precision", "recall", "specificity")
        }
    for rule, steps in result["rules"].items():
        shown = "  ".join(f"step {step}: {found['f1']:.3f} ({found['recall']:.3f})" for step, found in steps.items())
        print(f"{rule:14} printed {PRINTED[rule][0]:.3f} ({PRINTED[rule][1]:.3f})  {shown}", flush=True)
    write_result("targetnet_criteria", result, data="miraw_test_0_4")


if __name__ == "__main__":
    main()
