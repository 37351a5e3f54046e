"""Shortcuts to measure beside a model: majority class, base composition, k-mer and residue logistic regression.

They see the same rows as the model. A model that does not beat them has learned no more than composition.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, hstack

from seqformers.datasets_scripts.common.shortcuts import (
    fit_shortcut,
    gc_content,
    kmer_shares,
    letter_shares,
    placed_letters,
)
from seqformers.files import did_you_mean
from seqformers.metrics.registry import greater_is_better, needs_groups
from seqformers.tokenization.reading import reading_of
from seqformers.training.rows import Table
from seqformers.training.tasks import Numbers

__all__ = ["check_baselines", "default_baselines", "measure_baselines"]


def _features(name: str, columns: list[list[str]]) -> Any:
    """Features of a baseline; several text columns stand side by side."""
    match = re.fullmatch(r"kmer_(\d)_logistic", name)
    if match:
        parts = [kmer_shares(column, int(match[1])) for column in columns]
    elif name == "position_logistic":
        parts = [placed_letters(column) for column in columns]
    elif name == "gc_only":
        parts = [csr_matrix(gc_content(column)) for column in columns]
    else:
        parts = [letter_shares(column) for column in columns]
    return hstack(parts).tocsr()


def default_baselines(encoder: Any) -> list[str]:
    """Names of the shortcuts that fit the kind of sequence the tokenizer reads."""
    return (
        ["majority", "gc_only", "kmer_4_logistic"]
        if reading_of(encoder).is_nucleic
        else ["majority", "residue_composition"]
    )


def check_baselines(names: Sequence[str]) -> list[str]:
    """Return `names`, or raise `ValueError` for one that does not exist."""
    known = ["majority", "gc_only", *(f"kmer_{k}_logistic" for k in range(1, 8)), "residue_composition"]
    known.append("position_logistic")
    for name in names:
        if name not in known:
            raise ValueError(f"no baseline {name!r}; {did_you_mean(name, known)}known: {known}")
    return list(names)


def measure_baselines(
    names: Sequence[str], table: Table, metrics: Sequence[str], *, split: str, max_train_rows: int = 200_000
) -> dict[str, dict[str, float]]:
    """Fit each shortcut on the training rows, choose its ridge on validation, and score it on `split`.

    Args:
        names (`Sequence[str]`): `majority`, `gc_only`, `kmer_<k>_logistic`, `residue_composition`, and for rows that
            are aligned `position_logistic`, which letter stands where.
        table (`Table`): Rows with labels.
        metrics (`Sequence[str]`): Names of metrics of the table's task; the first one chooses.
        split (`str`): `test` or `validation`.
        max_train_rows (`int`): Training rows beyond this are left out (drawn with seed 0).

    Returns:
        `dict`: baseline -> metric -> value. A constant guess has no correlation, which is left out.
    """
    names = check_baselines(names)
    labels, truth = table.labels("train"), table.labels(split)
    groups = table.groups(split) if needs_groups(metrics) else None
    chosen = np.arange(len(labels))
    if len(labels) > max_train_rows:
        chosen = np.sort(np.random.default_rng(0).choice(len(labels), max_train_rows, replace=False))
    train = [[column[i] for i in chosen] for column in table.sequences("train")]
    results = {}
    for name in names:
        if name == "majority":
            outputs = _majority(labels, len(truth), table)
        elif not train:
            continue  # nothing to read letters from
        else:
            outputs = _outputs(name, train, labels[chosen], table, metrics[0], split)
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = table.task.score(outputs, truth, metrics, groups)
        results[name] = {metric: value for metric, value in values.items() if np.isfinite(value)}
    return results


def _majority(labels: np.ndarray, rows: int, table: Table) -> np.ndarray:
    if isinstance(table.task, Numbers):
        return np.full(rows, labels.mean())
    share = np.bincount(labels, minlength=len(table.task.names)) / len(labels)
    return np.tile(np.log(np.maximum(share, 1e-12)), (rows, 1))


def _outputs(
    name: str, train: list[list[str]], labels: np.ndarray, table: Table, metric: str, split: str
) -> np.ndarray:
    """Outputs on the rows of `split`."""
    validation, truth = None, np.empty(0)
    if split != "validation" and "validation" in table.splits:
        validation, truth = _features(name, table.sequences("validation")), table.labels("validation")
    groups = table.groups("validation") if validation is not None and needs_groups([metric]) else None
    sign = 1 if greater_is_better(metric) else -1
    return fit_shortcut(
        _features(name, train),
        labels,
        _features(name, table.sequences(split)),
        classes=None if isinstance(table.task, Numbers) else len(table.task.names),
        validation=validation,
        score=lambda outputs: sign * table.task.score(outputs, truth, [metric], groups)[metric],
    )[0]
