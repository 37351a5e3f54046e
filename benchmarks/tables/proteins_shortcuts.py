"""What the protein tasks give without a network: the majority, composition, and one-hot residues, by linear models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression, RidgeCV, SGDClassifier
from sklearn.preprocessing import StandardScaler

from benchmarks.tables.proteins_data import Rows, Task
from seqformers.tokenization.tokenization_protein import ProteinTokenizer

__all__ = ["SHORTCUTS", "composition", "shortcut"]

SHORTCUTS = ("majority", "composition", "one_hot_linear")
_TOKENIZER = ProteinTokenizer("plus")


def shortcut(arm: str, task: Task, rows: Rows) -> list[np.ndarray]:
    """Fit a shortcut and return its logits or values for the test rows."""
    if task.kind == "tokens":
        return _residue_shortcut(arm, rows)
    return _protein_shortcut(arm, task, rows)


def _ids(sequences: Sequence[str]) -> list[np.ndarray]:
    """Residue ids of PLUS' alphabet, 1 to 21, of each sequence."""
    return [np.asarray(row) for row in _TOKENIZER(list(sequences), add_special_tokens=False)["input_ids"]]


def composition(sequences: Sequence[str]) -> np.ndarray:
    """Share of each residue and the logarithm of the length, `(sequences, 22)`."""
    ids = _ids(sequences)
    shares = [np.bincount(row, minlength=22)[1:] / len(row) for row in ids]
    return np.column_stack([np.stack(shares), np.log([len(row) for row in ids])])


def _one_hot(sequences: Sequence[str], length: int) -> Any:
    """Residue at each of the first `length` positions, `(sequences, length * 21)` sparse."""
    columns = [row - 1 + 21 * np.arange(len(row)) for row in _ids([sequence[:length] for sequence in sequences])]
    row = np.repeat(np.arange(len(columns)), [len(column) for column in columns])
    places = np.concatenate(columns)
    return csr_matrix((np.ones(len(places), np.float32), (row, places)), shape=(len(columns), 21 * length))


def _protein_shortcut(arm: str, task: Task, rows: Rows) -> list[np.ndarray]:
    values = np.asarray(rows.labels)
    if arm == "majority":
        best = values.mean() if task.kind == "regression" else np.bincount(values) == np.bincount(values).max()
        return [np.atleast_1d(best) for _ in rows.tested]
    if arm == "composition":
        scaler = StandardScaler()
        train, test = scaler.fit_transform(composition(rows.sequences)), scaler.transform(composition(rows.tested))
    else:
        train, test = _one_hot(rows.sequences, task.length), _one_hot(rows.tested, task.length)
    if task.kind == "regression":
        model = RidgeCV(alphas=(0.1, 1.0, 10.0, 100.0)).fit(train, values)
        return list(model.predict(test)[:, None])
    many = len(np.unique(values)) > 50  # hundreds of folds: the last iterations change nothing but the time
    strength = 1.0 if arm == "composition" else 0.1
    model = LogisticRegression(C=strength, max_iter=40 if many else 300).fit(train, values)
    scores = model.decision_function(test)
    scores = np.stack([-scores, scores], axis=1) if scores.ndim == 1 else scores
    whole = np.full((len(rows.tested), values.max() + 1), -1e9)
    whole[:, model.classes_] = scores
    return list(whole)


def _windows(sequences: Sequence[str], half: int) -> Any:
    """One-hot of each residue and its neighbours up to `half` away, `(residues, (2 half + 1) * 21)` sparse."""
    width = 2 * half + 1
    padded = [np.pad(row, half, constant_values=0) for row in _ids(sequences)]
    window = np.concatenate([np.lib.stride_tricks.sliding_window_view(row, width) for row in padded])
    row, place = np.nonzero(window)
    columns = window[row, place] - 1 + 21 * place
    return csr_matrix((np.ones(len(row), np.float32), (row, columns)), shape=(len(window), 21 * width))


def _residue_shortcut(arm: str, rows: Rows) -> list[np.ndarray]:
    """`composition`: the residue alone; `one_hot_linear`: the residue and 10 neighbours on each side."""
    flat = np.concatenate(rows.labels)
    known = flat != -100
    if arm == "majority":
        shares = np.bincount(flat[known]) / known.sum()
        return [np.tile(np.log(shares), (len(sequence), 1)) for sequence in rows.tested]
    half = 0 if arm == "composition" else 10
    model = SGDClassifier(loss="log_loss", alpha=1e-5, random_state=0, max_iter=30, early_stopping=False, tol=1e-4)
    model.fit(_windows(rows.sequences, half)[known], flat[known])
    cuts = np.cumsum([len(sequence) for sequence in rows.tested])[:-1]
    return np.split(model.decision_function(_windows(rows.tested, half)), cuts)
