"""What a table of miRNA targets can be solved by without looking at the pairing, and what its splits share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score, roc_auc_score

__all__ = ["mirna_only_scores", "report_markdown", "seed_match", "target_report"]

_PAIR = ["mirna_seq", "mrna_seq"]


def target_report(splits: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Duplicates, contradictions, shortcut baselines and overlap of the splits.

    Args:
        splits (`Mapping[str, pd.DataFrame]`): Split -> rows with `mirna_seq`, `mrna_id`, `mrna_seq`, `label`, `fold`.

    Returns:
        `dict`: `splits` (counts of each), `folds` (what folds of a split share), `shortcuts` (AUROC of scores that
        ignore the pairing), `overlap` (of each two splits).
    """
    report: dict[str, Any] = {"splits": {}, "folds": {}, "shortcuts": {}, "overlap": {}}
    for split, table in splits.items():
        report["splits"][split] = _counts(table)
        if "label" in table and table["fold"].nunique() > 1:
            report["folds"][split] = _shared_by_folds(table)
    labelled = {split: table for split, table in splits.items() if "label" in table and table["label"].nunique() == 2}
    for split, table in labelled.items():
        report["shortcuts"][split] = _shortcuts(table, labelled.get("train") if split != "train" else None)
    names = list(splits)
    for number, first in enumerate(names):
        for second in names[number + 1 :]:
            report["overlap"][f"{first} and {second}"] = _overlap(splits[first], splits[second])
    return report


def seed_match(table: pd.DataFrame) -> np.ndarray:
    """Whether the target holds the reverse complement of miRNA nucleotides 2-7: `(rows,)` bool."""
    complement = str.maketrans("ACGU", "UGCA")
    seeds = table["mirna_seq"].str[1:7].str.translate(complement).str[::-1]
    return np.fromiter((seed in mrna for seed, mrna in zip(seeds, table["mrna_seq"], strict=True)), bool, len(table))


def mirna_only_scores(train: pd.DataFrame, table: pd.DataFrame) -> np.ndarray:
    """Share of targets among the training rows of the same miRNA, shrunk to the mean: `(rows,)`; reads no mRNA."""
    mean = train["label"].mean()
    groups = train.groupby("mirna_seq")["label"].agg(["sum", "size"])
    rate = (groups["sum"] + mean) / (groups["size"] + 1)
    return table["mirna_seq"].map(rate).fillna(mean).to_numpy()


def _counts(table: pd.DataFrame) -> dict[str, Any]:
    counts: dict[str, Any] = {
        "rows": len(table),
        "mirnas": int(table["mirna_seq"].nunique()),
        "mrnas": int(_genes(table).nunique()),
        "repeated_in_a_fold": int(table.duplicated([*_PAIR, "fold"]).sum()),
        "mrna_shorter_than_40": int((table["mrna_seq"].str.len() < 40).sum()),
    }
    if "label" in table:
        both = table.groupby(_PAIR)["label"].transform("nunique") > 1
        counts["targets"] = int(table["label"].sum())
        counts["pairs_with_both_labels"] = int(table.loc[both, _PAIR].drop_duplicates().shape[0])
    return counts


def _genes(table: pd.DataFrame) -> pd.Series:
    return table["mrna_id"].where(table["mrna_id"].notna(), table["mrna_seq"])


def _shared_by_folds(table: pd.DataFrame) -> dict[str, int]:
    """Pairs that are in every fold, by label."""
    folds = table["fold"].nunique()
    seen = table.groupby([*_PAIR, "label"])["fold"].nunique()
    everywhere = seen[seen == folds].reset_index()["label"]
    return {
        "folds": int(folds),
        "targets_in_every_fold": int((everywhere == 1).sum()),
        "non_targets_in_every_fold": int((everywhere == 0).sum()),
        "distinct_targets": int((seen.reset_index()["label"] == 1).sum()),
        "distinct_non_targets": int((seen.reset_index()["label"] == 0).sum()),
    }


def _shortcuts(table: pd.DataFrame, train: pd.DataFrame | None) -> dict[str, Any]:
    """AUROC of the miRNA alone, of the mRNA's length and of the seed match; F1 of the seed match.

    The miRNA-only table is fitted on `train`; without one, on the other half of the distinct pairs, both ways.
    """
    labels = table["label"].to_numpy()
    match = seed_match(table)
    if train is not None:
        mirna, fitted = mirna_only_scores(train, table), "train"
    else:
        half = (table.groupby(_PAIR).ngroup().to_numpy() * 2_654_435_761 >> 7) % 2
        mirna, fitted = np.empty(len(table)), "the other half of the pairs"
        for side in (0, 1):
            mirna[half == side] = mirna_only_scores(table[half != side], table[half == side])
    return {
        "mirna_only_auroc": float(roc_auc_score(labels, mirna)),
        "mirna_only_fitted_on": fitted,
        "seed_match_auroc": float(roc_auc_score(labels, match)),
        "seed_match_f1": float(f1_score(labels, match)),
        "seed_match_share_of_targets": float(match[labels == 1].mean()),
        "seed_match_share_of_non_targets": float(match[labels == 0].mean()),
        "mrna_length_auroc": float(roc_auc_score(labels, table["mrna_seq"].str.len())),
    }


def _overlap(first: pd.DataFrame, second: pd.DataFrame) -> dict[str, int]:
    """Values of the second split that the first has too."""
    pairs = set(zip(first["mirna_seq"], first["mrna_seq"], strict=True))
    return {
        "mirnas": len(set(first["mirna_seq"]) & set(second["mirna_seq"])),
        "rows_of_known_mirna": int(second["mirna_seq"].isin(set(first["mirna_seq"])).sum()),
        "mrnas": len(set(_genes(first)) & set(_genes(second))),
        "pairs": len(pairs & set(zip(second["mirna_seq"], second["mrna_seq"], strict=True))),
    }


def report_markdown(report: Mapping[str, Any]) -> str:
    """The report as a section of the card."""
    lines = ["## Report", ""]
    for title, part in (
        ("Counts", report["splits"]),
        ("Shared by folds", report["folds"]),
        ("Shortcuts (AUROC 0.5 is chance)", report["shortcuts"]),
        ("Overlap of splits", report["overlap"]),
    ):
        if not part:
            continue
        keys = list(next(iter(part.values())))
        lines += [f"### {title}", "", f"| | {' | '.join(part)} |", f"|---|{'---:|' * len(part)}"]
        for key in keys:
            cells = [values.get(key, "") for values in part.values()]
            shown = " | ".join(f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells)
            lines.append(f"| {key.replace('_', ' ')} | {shown} |")
        lines.append("")
    return "\n".join(lines)
