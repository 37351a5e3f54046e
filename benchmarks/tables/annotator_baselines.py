"""What the packaged protein annotator has to beat: one-hot linear models, composition, Kyte-Doolittle hydropathy."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from torch import nn

from benchmarks.tables.annotator_data import Labelled
from benchmarks.tables.annotator_training import LabelledDraws
from benchmarks.tables.proteins_shortcuts import composition

__all__ = ["hydropathy_membrane", "hydropathy_proteins", "linear_residues", "linear_signal", "matthews"]

# Kyte & Doolittle 1982.
_HYDROPATHY = dict(
    zip(
        "RKNDQEHPYWSTGAMCFLVI",
        (
            -4.5,
            -3.9,
            -3.5,
            -3.5,
            -3.5,
            -3.5,
            -3.2,
            -1.6,
            -1.3,
            -0.9,
            -0.8,
            -0.7,
            -0.4,
            1.8,
            1.9,
            2.5,
            2.8,
            3.8,
            4.2,
            4.5,
        ),
        strict=True,
    )
)
_HALF, _VOCABULARY, _STEPS = 10, 30, 1200
_WINDOW = 19  # residues, the window that Kyte and Doolittle take for membrane helices


def linear_signal(train: list[Labelled], test: list[Labelled]) -> dict[str, np.ndarray]:
    """Decision values for the test rows of two logistic regressions: residue by position, and composition."""
    labels = [row.signal for row in train]
    first, second = ([row.sequence[:70] for row in rows] for rows in (train, test))
    found = {}
    model = LogisticRegression(C=0.1, max_iter=300).fit(_one_hot(first), labels)
    found["one-hot linear"] = model.decision_function(_one_hot(second))
    counts = composition(first)
    spread = np.maximum(counts.std(0), 1e-6)  # a letter that nobody has
    model = LogisticRegression(max_iter=300).fit(counts / spread, labels)
    found["composition"] = model.decision_function(composition(second) / spread)
    return found


def _one_hot(sequences: list[str]) -> csr_matrix:
    places = [(np.frombuffer(s.encode(), np.uint8) - ord("A")) + 26 * np.arange(len(s)) for s in sequences]
    rows = np.repeat(np.arange(len(places)), [len(place) for place in places])
    columns = np.concatenate(places)
    return csr_matrix((np.ones(len(columns), np.float32), (rows, columns)), shape=(len(places), 26 * 70))


def linear_residues(task: str, train: list[Labelled], test: list[Labelled], classes: int) -> list[np.ndarray]:
    """Logits (length, classes) of a linear model of each residue and its 10 neighbours on each side, one-hot."""
    torch.manual_seed(0)
    draws, rng = LabelledDraws(task, train), np.random.default_rng(0)
    model = nn.Conv1d(_VOCABULARY, classes, 2 * _HALF + 1, padding=_HALF)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
    for _ in range(_STEPS):
        batch = draws.batch(rng)
        labels = batch[f"{task}_labels"]
        loss = nn.functional.cross_entropy(model(_letters(batch["input_ids"])), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return [
            model(_letters(torch.from_numpy(ids)[None]))[0].T[1:-1].numpy() for ids in LabelledDraws(task, test).ids
        ]


def _letters(ids: torch.Tensor) -> torch.Tensor:
    return nn.functional.one_hot(ids, _VOCABULARY).transpose(1, 2).float() * (ids != 0)[:, None]


def hydropathy_membrane(train: list[Labelled], test: list[Labelled]) -> tuple[list[np.ndarray], float]:
    """Whether each residue lies in the membrane by the mean hydropathy around it; the cut is of the training rows."""
    values = np.concatenate([_hydropathy(row.sequence) for row in train])
    labels: Any = np.concatenate([row.topology for row in train])
    known = labels >= 0
    cuts = np.arange(-1, 3, 0.05)
    best = max(cuts, key=lambda cut: matthews(labels[known] == 2, values[known] > cut))
    return [_hydropathy(row.sequence) > best for row in test], float(best)


def hydropathy_proteins(train: list[Labelled], test: list[Labelled]) -> np.ndarray:
    """Whether each protein is a helical membrane protein: some residue's mean hydropathy above a cut.

    The cut is the one that tells the training proteins of kind `alpha` from the others best.
    """
    truth = np.array([row.kind == "alpha" for row in train])
    values = np.array([_hydropathy(row.sequence).max() for row in train])
    best = max(np.arange(0, 4, 0.05), key=lambda cut: matthews(truth, values > cut))
    return np.array([_hydropathy(row.sequence).max() > best for row in test])


def _hydropathy(sequence: str) -> np.ndarray:
    values = np.array([_HYDROPATHY.get(letter, 0.0) for letter in sequence])
    kernel = np.ones(_WINDOW)
    inside = np.convolve(np.ones(len(values)), kernel, "same")[: max(len(values), 1)]
    return np.convolve(values, kernel, "same")[: len(values)] / inside[: len(values)]


def matthews(truth: np.ndarray, found: np.ndarray) -> float:
    """Matthews' correlation of two boolean arrays; 0 where one of them is constant."""
    both, neither = float((truth & found).sum()), float((~truth & ~found).sum())
    wrong, missed = float((~truth & found).sum()), float((truth & ~found).sum())
    below = (both + wrong) * (both + missed) * (neither + wrong) * (neither + missed)
    return (both * neither - wrong * missed) / below**0.5 if below else 0.0
