"""Rows of the protein tasks: which data, how many, and the families of pretraining."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from seqformers.datasets import load_dataset

__all__ = ["TASKS", "Rows", "Task", "families", "load", "rows_of"]

datasets.disable_progress_bars()


@dataclass(frozen=True)
class Task:
    """One downstream task and how much of it is used.

    Args:
        dataset, config: Name and configuration for `seqformers.load_dataset`.
        train, test: Splits used.
        kind: `classification`, `regression` or `tokens` (one label a residue).
        metric: The figure of the table.
        rows: Training rows drawn for each seed; fewer when the split is smaller.
        test_rows: Test rows, drawn once with seed 0.
        length: Longest training sequence; longer ones are cut at the end (`tokens` tasks test at full length).
        epochs: Passes over the training rows.
        options: Options of the builder.
        published: Figures of the papers, full data and large pretraining, for orientation.
    """

    dataset: str
    config: str
    train: str
    test: str
    kind: str
    metric: str
    rows: int
    test_rows: int
    length: int
    epochs: int
    options: tuple[tuple[str, Any], ...] = ()
    published: tuple[tuple[str, float], ...] = ()
    differs: str = ""


_PLUS = "PLUS-RNN base (14.7 M Pfam sequences)"
TASKS: dict[str, Task] = {
    "signal_peptide": Task(
        "plus_tasks", "signal_peptide", "train", "test", "classification", "mcc", 3000, 2000, 70, 4,
        differs="No published figure of PLUS or TAPE; data of SignalP 5 as ProteinBERT stores them.",
    ),
    "stability": Task(
        "tape", "stability", "train", "test", "regression", "spearman", 4000, 5000, 60, 5,
        options=(("drop_test_duplicates", True),),
        published=((_PLUS, 0.77), ("TAPE transformer", 0.73), ("TAPE one-hot", 0.19)),
        differs="4,000 of 53,614 training rows; 5,000 of 12,851 test rows; 26 sequences shared with test left out.",
    ),
    "transmembrane": Task(
        "plus_tasks", "transmembrane", "train", "test", "tokens", "residue_accuracy", 239, 118, 500, 10,
        published=((_PLUS + ", proteins all right", 0.89),),
        differs="TMbed's helical proteins (folds 0-1 train, fold 3 test), not the TOPCONS2 set of the papers.",
    ),
    "secondary_structure": Task(
        "tape", "secondary_structure", "train", "cb513", "tokens", "q3", 800, 513, 300, 4,
        published=((_PLUS, 0.75), ("TAPE transformer", 0.73), ("TAPE one-hot", 0.69)),
        differs="800 of 9,712 training proteins, cut at 300 residues; all 513 rows of CB513, unresolved left out.",
    ),
    "solubility": Task(
        "plus_tasks", "solubility", "train", "test", "classification", "accuracy", 1500, 1513, 250, 6,
        published=((_PLUS, 0.70),),
        differs="Trained on 1,500 proteins of DeepSol's pool (62,478), tested on Chang's 1,513; first 250 "
        "residues.",
    ),
    "remote_homology": Task(
        "tape", "remote_homology", "train", "test_fold_holdout", "classification", "accuracy", 12312, 718, 200, 8,
        published=(("TAPE transformer", 0.21), ("TAPE LSTM", 0.26), ("TAPE one-hot", 0.09)),
        differs="All 12,312 training domains and the whole fold holdout; first 200 residues.",
    ),
    "localization": Task(
        "plus_tasks", "localization", "validation", "test", "classification", "accuracy", 1678, 1500, 200, 6,
        options=(("max_length", 200),),
        published=((_PLUS, 0.69),),
        differs="Trained on the 1,678 proteins of one validation split (the 9,503 of the paper were not available); "
        "first and last 100 residues instead of 500; 1,500 of 2,768 test proteins.",
    ),
    "fluorescence": Task(
        "tape", "fluorescence", "train", "test", "regression", "spearman", 8000, 3000, 237, 6,
        published=((_PLUS, 0.67), ("TAPE transformer", 0.68), ("TAPE one-hot", 0.14)),
        differs="8,000 of 21,446 training genotypes; 3,000 of 27,217 test genotypes.",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Rows:
    """Training rows of one seed and the test rows of every seed; labels of residues are lists."""

    sequences: list[str]
    labels: list[Any]
    tested: list[str]
    truth: list[Any]


def load(task: Task, data: Path, split: str) -> Any:
    """One split as a `datasets.Dataset`."""
    return load_dataset(task.dataset, name=task.config, data_dir=data, split=split, **dict(task.options))


def rows_of(task: Task, data: Path, seed: int) -> Rows:
    """Rows of a task: the training rows are drawn with `seed`, the test rows once."""
    train, test = load(task, data, task.train), load(task, data, task.test)
    column = "labels" if task.kind == "tokens" else "label"
    chosen = np.random.default_rng(seed).permutation(len(train))[: task.rows]
    held = np.sort(np.random.default_rng(0).permutation(len(test))[: task.test_rows])
    train, test = train.select(chosen), test.select(held)
    sequences = [sequence[: task.length] for sequence in train["sequence"]]
    labels = [label[: task.length] if task.kind == "tokens" else label for label in train[column]]
    tested = list(test["sequence"])
    if task.kind != "tokens":
        tested = [sequence[: task.length] for sequence in tested]
    return Rows(sequences, labels, tested, list(test[column]))


def families(data: Path, held_out: set[str]) -> Any:
    """Sequences with family labels for pretraining: fold labels of the homology training split, and 21 families."""
    folds = load_dataset("tape", name="remote_homology", data_dir=data, split="train")
    named = load_dataset("pfam", name="sequences", data_dir=data / "protein_families", split="train")
    rows = [
        *zip(folds["sequence"], (f"fold {fold}" for fold in folds["label"]), strict=True),
        *zip(named["sequence"], named["family"], strict=True),
    ]
    kept = {sequence: family for sequence, family in rows if 20 <= len(sequence) <= 300 and sequence not in held_out}
    print(f"pretraining on {len(kept)} of {len(rows)} sequences (repeats, tested ones and lengths out)", flush=True)
    return datasets.Dataset.from_dict({"sequence": list(kept), "family": list(kept.values())})
