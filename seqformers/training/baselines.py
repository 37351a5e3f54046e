"""Shortcuts to measure beside a model: majority class, base composition, k-mer and residue logistic regression.

They see the same rows as the model. A model that does not beat them has learned no more than composition.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["default_baselines", "gc_content", "kmer_counts", "letter_counts", "measure_baselines"]

_BASES = "ACGT"
_BATCH = 20_000
# Up to so many features are fitted without choosing a ridge.
_FEW = 64
_STRENGTHS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)


def _codes(sequences: Sequence[str], alphabet: str) -> tuple[np.ndarray, np.ndarray]:
    """Letters as their place in `alphabet` (255: not in it), all sequences end to end, and their lengths."""
    table = np.full(256, 255, np.uint8)
    for index, letter in enumerate(alphabet):
        table[ord(letter)] = table[ord(letter.lower())] = index
    if alphabet == _BASES:
        table[ord("U")] = table[ord("u")] = 3
    lengths = np.fromiter(map(len, sequences), np.int64, len(sequences))
    letters = np.frombuffer("".join(sequences).encode("latin-1", "replace"), np.uint8)
    return table[letters], lengths


def gc_content(sequences: Sequence[str]) -> np.ndarray:
    """Share of G and C among the known bases, `(sequences, 1)`; 0.5 where there is none.

    Examples:
        >>> gc_content(["GGCA", "NN"]).ravel().tolist()
        [0.75, 0.5]
    """
    codes, lengths = _codes(sequences, _BASES)
    row = np.repeat(np.arange(len(lengths)), lengths)
    strong = np.bincount(row[(codes == 1) | (codes == 2)], minlength=len(lengths))
    known = np.bincount(row[codes != 255], minlength=len(lengths))
    return np.where(known > 0, strong / np.maximum(known, 1), 0.5)[:, None]


def kmer_counts(sequences: Sequence[str], k: int, *, alphabet: str = _BASES) -> Any:
    """Frequencies of the k-mers of each sequence, a sparse matrix `(sequences, len(alphabet) ** k)`.

    Examples:
        >>> kmer_counts(["ACGA"], 1).toarray().tolist()
        [[0.5, 0.25, 0.25, 0.0]]
    """
    from scipy.sparse import csr_matrix, vstack

    parts = []
    for start in range(0, len(sequences), _BATCH):
        codes, lengths = _codes(sequences[start : start + _BATCH], alphabet)
        row = np.repeat(np.arange(len(lengths)), lengths)
        n = max(len(codes) - k + 1, 0)
        number, good = np.zeros(n, np.int64), np.ones(n, bool)
        for offset in range(k):
            here = codes[offset : offset + n]
            number = number * len(alphabet) + here
            good &= (here != 255) & (row[offset : offset + n] == row[:n])
        row = row[:n][good]
        counts = np.bincount(row, minlength=len(lengths))
        values = 1.0 / counts[row]
        shape = (len(lengths), len(alphabet) ** k)
        parts.append(csr_matrix((values, (row, number[good])), shape=shape))
    return vstack(parts).tocsr()


def letter_counts(sequences: Sequence[str]) -> Any:
    """Frequencies of the 20 amino acids and the logarithm of the length, `(sequences, 21)`."""
    from scipy.sparse import csr_matrix, hstack

    frequencies = kmer_counts(sequences, 1, alphabet="ACDEFGHIKLMNPQRSTVWY")
    lengths = np.log([[max(len(sequence), 1)] for sequence in sequences])
    return hstack([frequencies, csr_matrix(lengths)]).tocsr()


def _features(name: str, columns: list[list[str]]) -> Any:
    """Features of a baseline; several text columns stand side by side."""
    from scipy.sparse import csr_matrix, hstack

    match = re.fullmatch(r"kmer_(\d)_logistic", name)
    if match:
        parts = [kmer_counts(column, int(match[1])) for column in columns]
    elif name == "gc_only":
        parts = [csr_matrix(gc_content(column)) for column in columns]
    else:
        parts = [letter_counts(column) for column in columns]
    return hstack(parts).tocsr()


def default_baselines(encoder: Any, *, dna: bool | None = None) -> list[str]:
    """Names of the shortcuts that fit the kind of sequence the tokenizer reads."""
    if dna is None:
        dna = hasattr(encoder, "k") or not hasattr(encoder, "pad_token_id")
    return ["majority", "gc_only", "kmer_4_logistic"] if dna else ["majority", "residue_composition"]


def check_baselines(names: Sequence[str]) -> list[str]:
    """Return `names`, or raise `ValueError` for one that does not exist."""
    known = ["majority", "gc_only", *(f"kmer_{k}_logistic" for k in range(1, 8)), "residue_composition"]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise ValueError(f"no baseline {name!r}; {f'did you mean {near[0]!r}? ' if near else ''}known: {known}")
    return list(names)


def measure_baselines(
    names: Sequence[str], table: Any, metrics: Sequence[str], *, split: str, max_train_rows: int = 200_000
) -> dict[str, dict[str, float]]:
    """Fit each shortcut on the training rows, choose its ridge on validation, and score it on `split`.

    Args:
        names (`Sequence[str]`): `majority`, `gc_only`, `kmer_<k>_logistic`, `residue_composition`.
        table (`Table`): Rows with labels.
        metrics (`Sequence[str]`): Names of `seqformers.metrics.scores`.
        split (`str`): `test` or `validation`.
        max_train_rows (`int`): Training rows beyond this are left out (drawn with seed 0).

    Returns:
        `dict`: baseline -> metric -> value.
    """
    from seqformers.metrics.scores import classification_metrics, regression_metrics

    names = check_baselines(names)
    rng = np.random.default_rng(0)
    labels = table.labels("train")
    chosen = np.arange(len(labels))
    if len(labels) > max_train_rows:
        chosen = np.sort(rng.choice(len(labels), max_train_rows, replace=False))
    train = [[column[i] for i in chosen] for column in table.sequences("train")]
    held, truth = table.sequences(split), table.labels(split)
    results = {}
    for name in names:
        if name == "majority":
            outputs = _majority(labels, len(truth), table)
        elif not train:
            continue  # nothing to read letters from
        else:
            outputs = _best_outputs(name, train, labels[chosen], held, table, metrics[0], split)
        score = regression_metrics if table.kind == "regression" else classification_metrics
        with np.errstate(all="ignore"):
            values = score(truth, outputs, metrics)
        # A constant guess has no rank correlation: say none instead of NaN, which JSON and cards cannot hold.
        results[name] = {metric: value for metric, value in values.items() if np.isfinite(value)}
    return results


def _majority(labels: np.ndarray, rows: int, table: Any) -> np.ndarray:
    if table.kind == "regression":
        return np.full(rows, labels.mean())
    share = np.bincount(labels, minlength=len(table.names)) / len(labels)
    return np.tile(np.log(np.maximum(share, 1e-12)), (rows, 1))


def _best_outputs(
    name: str, train: list[list[str]], labels: np.ndarray, held: list[list[str]], table: Any, metric: str, split: str
) -> np.ndarray:
    """Outputs on the held rows, the ridge chosen on validation as the model's checkpoint is.

    A table of thousands of correlated k-mers needs a ridge orders of magnitude stronger than a few columns do; fixed
    in advance, the shortcut would be made to look weaker than it is.
    """
    from seqformers.metrics.scores import GREATER_IS_BETTER, classification_metrics, regression_metrics

    features, wanted = _features(name, train), _features(name, held)
    few = features.shape[1] <= _FEW
    if few or split == "validation" or "validation" not in table.splits:
        return _fit_predict(features, labels, [wanted], 1.0 if few else 0.001, table)[0]
    middle, truth = _features(name, table.sequences("validation")), table.labels("validation")
    score = regression_metrics if table.kind == "regression" else classification_metrics
    sign = 1 if GREATER_IS_BETTER.get(metric, True) else -1
    best: tuple[float, np.ndarray] | None = None
    for strength in _STRENGTHS:
        on_validation, outputs = _fit_predict(features, labels, [middle, wanted], strength, table)
        value = sign * score(truth, on_validation, [metric])[metric]
        if best is None or value > best[0]:
            best = (value, outputs)
    assert best is not None
    return best[1]


def _fit_predict(train: Any, labels: np.ndarray, held: Sequence[Any], strength: float, table: Any) -> list[np.ndarray]:
    """Logits (or numbers) of a linear model of ridge strength 1 / `strength` over scaled features, for each table."""
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scale = StandardScaler(with_mean=False)
    if table.kind == "regression":
        model = make_pipeline(scale, Ridge(alpha=1 / strength)).fit(train, labels)
        return [model.predict(rows) for rows in held]
    model = make_pipeline(scale, LogisticRegression(C=strength, max_iter=300)).fit(train, labels)
    return [_all_classes(model.decision_function(rows), model.classes_, len(table.names)) for rows in held]


def _all_classes(logits: np.ndarray, classes: np.ndarray, count: int) -> np.ndarray:
    """Logits of every class, `(rows, count)`; a class without training rows never wins."""
    if logits.ndim == 1:
        logits = np.stack([np.zeros_like(logits), logits], axis=1)
    out = np.full((len(logits), count), -1e3)
    out[:, classes] = logits
    return out
