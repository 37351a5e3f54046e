"""What the miRNA target tests can tell apart: intervals over miRNAs, the count of 6-mers, rows that training has seen.

export SEQFORMERS_DATA=...
seqformers convert targetnet TargetNet.pt targetnet-published
python -m benchmarks.tables.targetnet_intervals --published targetnet-published
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks._results import data_folder, write_result
from benchmarks.tables.targetnet import PAIR, TESTS, model_scores
from benchmarks.tables.targetnet_data import rows_seen, training_rows
from seqformers.datasets_scripts.miraw.miraw import read_target_table
from seqformers.hub.load import packaged_model
from seqformers.metrics.targets import auroc_within_groups

RESAMPLES = 2000
COMPLEMENT = str.maketrans("ACGU", "UGCA")


def six_mers(rows: pd.DataFrame) -> np.ndarray:
    """How often the match of nucleotides 2-7 stands in each mRNA, overlapping ones included."""
    words = rows["mirna_seq"].str[1:7].str.translate(COMPLEMENT).str[::-1]
    counts = [
        sum(mrna.startswith(word, at) for at in range(len(mrna) - 5))
        for word, mrna in zip(words, rows["mrna_seq"], strict=True)
    ]
    return np.array(counts, dtype=float)


def compared_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Each pair once, of miRNAs with targets and non-targets: no other row counts within miRNAs."""
    rows = rows.drop_duplicates(PAIR)
    both = rows.groupby("mirna_seq")["label"].transform("nunique") == 2
    return rows[both].reset_index(drop=True)


def by_mirna(rows: pd.DataFrame, scores: np.ndarray) -> pd.DataFrame:
    """Of each miRNA: comparisons of a target with a non-target, and the share in the right order."""
    found = []
    for _, group in rows.assign(score=scores).groupby("mirna_seq"):
        compared = int(group["label"].sum() * (1 - group["label"]).sum())
        if compared:
            found.append((compared, auroc_within_groups(group["score"], group["label"], group["mirna_seq"])))
    return pd.DataFrame(found, columns=["compared", "auroc"])


def intervals(rows: pd.DataFrame, scores: dict[str, np.ndarray]) -> dict[str, Any]:
    """AUROC within miRNAs with 95 % intervals over miRNAs drawn with replacement, and differences of the first."""
    parts = {name: by_mirna(rows, values) for name, values in scores.items()}
    first, *others = parts
    number = len(parts[first])
    drawn = np.random.default_rng(0).integers(0, number, (RESAMPLES, number))
    draws = {}
    for name, part in parts.items():
        weight = part["compared"].to_numpy()[drawn]
        draws[name] = (part["auroc"].to_numpy()[drawn] * weight).sum(1) / weight.sum(1)
    values = {name: np.average(part["auroc"], weights=part["compared"]) for name, part in parts.items()}

    def shown(value: float, draws: np.ndarray) -> dict[str, Any]:
        low, high = np.quantile(draws, [0.025, 0.975])
        return {"value": round(float(value), 4), "interval": [round(float(low), 4), round(float(high), 4)]}

    return {
        "mirnas": number,
        "auroc_within_mirna": {name: shown(values[name], draws[name]) for name in parts},
        f"{first} minus": {name: shown(values[first] - values[name], draws[first] - draws[name]) for name in others},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--published", type=Path, required=True, help="folder of the converted published weights")
    parser.add_argument("--work", type=Path, help="folder that keeps the scores of each model and test")
    parser.add_argument("--tests", nargs="+", choices=TESTS, default=list(TESTS), help="score these; write if all")
    given = parser.parse_args()
    torch.set_num_threads(1)
    folder, result = data_folder("mirna_target"), {}
    training = training_rows(folder)
    fitted = training[~training["validation"]]
    if given.work is not None:
        given.work.mkdir(parents=True, exist_ok=True)
    for name in given.tests:
        rows = read_target_table(folder / TESTS[name])
        compared = compared_rows(rows)
        models = {"packaged": packaged_model("targetnet"), "published": given.published}
        scores = {}
        for label, model in models.items():
            cache = None if given.work is None else given.work / f"{label}-{name}.npy"
            scores[label] = model_scores(model, compared, cache)
        scores["count of 6mers"] = six_mers(compared)
        result[name] = {"rows": len(rows)} | intervals(compared, scores) | rows_seen(fitted, rows)
        print(name, result[name], flush=True)
    if set(result) == set(TESTS):
        write_result("targetnet_intervals", {"resamples": RESAMPLES, "tests": result}, data="mirna_target", seeds=[0])


if __name__ == "__main__":
    main()
