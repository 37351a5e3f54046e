"""Shortcuts: linear models that see only length, base composition or k-mers, fitted one way for reports and cards.

Who uses them scores them by their own metric; here are the features, the ridge that is tried, and the fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, hstack, vstack
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

__all__ = [
    "STRENGTHS",
    "fit_shortcut",
    "gc_content",
    "kmer_shares",
    "letter_shares",
    "placed_letters",
    "residue_shares",
]

STRENGTHS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Inverse ridge strengths (scikit-learn's C) that are tried where there are rows to choose by."""

_BASES = "ACGT"
_BATCH = 20_000
_PLACES, _ALPHABET = 1000, 26
# Up to so many features are fitted without choosing a ridge.
_FEW = 64


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


def kmer_shares(sequences: Sequence[str], k: int, *, alphabet: str = _BASES) -> Any:
    """Frequencies of the k-mers of each sequence, a sparse matrix `(sequences, len(alphabet) ** k)`.

    Examples:
        >>> kmer_shares(["ACGA"], 1).toarray().tolist()
        [[0.5, 0.25, 0.25, 0.0]]
    """
    parts = [csr_matrix((0, len(alphabet) ** k))]
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


def residue_shares(sequences: Sequence[str]) -> Any:
    """Frequencies of the 20 amino acids, a sparse matrix `(sequences, 20)`."""
    return kmer_shares(sequences, 1, alphabet="ACDEFGHIKLMNPQRSTVWY")


def letter_shares(sequences: Sequence[str]) -> Any:
    """Frequencies of the 20 amino acids and the logarithm of the length, `(sequences, 21)`."""
    frequencies = residue_shares(sequences)
    lengths = np.log([[max(len(sequence), 1)] for sequence in sequences])
    return hstack([frequencies, csr_matrix(lengths)]).tocsr()


def placed_letters(sequences: Sequence[str]) -> Any:
    """Which letter stands at each of the first 1,000 places, `(sequences, 26,000)`, 0 or 1: for aligned rows."""
    cut = [sequence[:_PLACES].upper() for sequence in sequences]
    lengths = np.fromiter(map(len, cut), np.int64, len(cut))
    letters = np.frombuffer("".join(cut).encode("latin-1", "replace"), np.uint8).astype(np.int64) - ord("A")
    rows = np.repeat(np.arange(len(cut)), lengths)
    places = np.arange(len(letters)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    known = (letters >= 0) & (letters < _ALPHABET)
    columns = (places * _ALPHABET + letters)[known]
    return csr_matrix((np.ones(len(columns)), (rows[known], columns)), shape=(len(cut), _PLACES * _ALPHABET))


def fit_shortcut(
    train: Any,
    labels: np.ndarray,
    wanted: Any,
    *,
    classes: int | None,
    validation: Any = None,
    score: Callable[[np.ndarray], float] | None = None,
) -> tuple[np.ndarray, float]:
    """Outputs of a linear model on the rows `wanted`, its ridge chosen on validation as a network's checkpoint is.

    A table of thousands of correlated k-mers needs a ridge orders of magnitude stronger than a few columns do; fixed
    in advance, the shortcut would be made to look weaker than it is.

    Args:
        train (sparse matrix `(rows, features)`): Of the training rows.
        labels (`(rows,)`): Their class numbers, or numbers.
        wanted (sparse matrix `(others, features)`): Of the rows to answer for.
        classes (`int`, *optional*): How many classes there are; None fits numbers.
        validation (sparse matrix, *optional*): Of the rows to choose by.
        score (`Callable`, *optional*): What the outputs on `validation` are worth; more is better.

    Returns:
        `tuple`: logits `(others, classes)` or numbers `(others,)`, and the strength chosen.
    """
    few = train.shape[1] <= _FEW
    if few or validation is None or score is None:
        strength = 1.0 if few else 0.001
        return _fit(train, labels, [wanted], strength, classes)[0], strength
    best: tuple[float, np.ndarray, float] | None = None
    for strength in STRENGTHS:
        on_validation, outputs = _fit(train, labels, [validation, wanted], strength, classes)
        value = score(on_validation)
        if best is None or value > best[0]:
            best = (value, outputs, strength)
    assert best is not None
    return best[1:]


def _fit(
    train: Any, labels: np.ndarray, held: Sequence[Any], strength: float, classes: int | None
) -> list[np.ndarray]:
    """Logits (or numbers) of a linear model of ridge strength 1 / `strength` over scaled features, for each table."""
    scale = StandardScaler(with_mean=False)
    if classes is None:
        model = make_pipeline(scale, Ridge(alpha=1 / strength)).fit(train, labels)
        return [model.predict(rows) for rows in held]
    model = make_pipeline(scale, LogisticRegression(C=strength, max_iter=300)).fit(train, labels)
    return [_all_classes(model.decision_function(rows), model.classes_, classes) for rows in held]


def _all_classes(logits: np.ndarray, classes: np.ndarray, count: int) -> np.ndarray:
    """Logits of every class, `(rows, count)`; a class without training rows never wins."""
    if logits.ndim == 1:
        logits = np.stack([np.zeros_like(logits), logits], axis=1)
    out = np.full((len(logits), count), -1e3)
    out[:, classes] = logits
    return out
