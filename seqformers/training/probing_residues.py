"""Linear probes of labels of single residues: the vector of each residue, frozen, and a logistic regression on it.

A residue reaches the last layer on its own, so the fit needs no batches of proteins; proteins are kept apart all the
same: the strength of the ridge is chosen on proteins that are not fitted.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm.auto import tqdm

from seqformers.metrics.registry import greater_is_better
from seqformers.training.probing import cached, feature_key, frozen_model, last_linear, solve, strengths_of, write_into
from seqformers.training.run import Run
from seqformers.training.tasks import IGNORED

__all__ = ["Residues", "train_residue_probe"]

_RESIDUES = 200_000  # that are fitted
_HELD = 10  # one protein of so many chooses the strength where there is no validation split


class Residues(NamedTuple):
    """Residues of proteins, one behind the other.

    Args:
        features (`(residues, width)` float32): Frozen vectors.
        labels (`(residues,)` int64): Classes, -100 where unknown.
        protein (`(residues,)` int64): The row each is of.
    """

    features: np.ndarray
    labels: np.ndarray
    protein: np.ndarray

    def padded(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logits `(proteins, length, classes)` and labels `(proteins, length)` of these residues."""
        names, row, sizes = np.unique(self.protein, return_inverse=True, return_counts=True)
        column = np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        scores = np.zeros((len(names), sizes.max(), logits.shape[1]), np.float32)
        labels = np.full(scores.shape[:2], IGNORED, np.int64)
        scores[row, column], labels[row, column] = logits, self.labels
        return scores, labels


def train_residue_probe(run: Run, seed: int, folder: Path) -> tuple[Any, dict[str, Any]]:
    """Fit the last layer on frozen vectors of residues.

    Residues to fit are drawn among the labelled ones of all training proteins, about `probe.residues` of them. The
    strength is chosen by the first metric on the validation proteins (the first of them, where they have more residues
    than that), or on every tenth training protein, which then is not fitted.

    Args:
        run (`Run`): The run.
        seed (`int`): Draws weights that no pretraining set.
        folder (`Path`): The seed's folder.

    Returns:
        `tuple`: The probed model, and facts of the fit.
    """
    if run.recipe.probe.get("shots"):
        raise ValueError("probe.shots counts labelled rows; for labels of residues set probe.residues")
    began = time.perf_counter()
    model = frozen_model(run, seed)
    trainer = run.make_trainer(seed, folder, model, precise=True)
    most, cache = run.recipe.probe.get("residues") or _RESIDUES, run.recipe.probe.get("cache", True)
    fitted, choosing = _rows(run, most)
    train = _residues(run, trainer, fitted, most, cache=cache)
    held = _residues(run, trainer, choosing, None, cache=cache)
    strength, weight, bias = _best(run, train, held)
    write_into(last_linear(model), weight, bias)
    return model, {
        "c": strength,
        "parameters": int(sum(p.numel() for p in model.parameters())),
        "trained_parameters": int(weight.size + bias.size),
        "features": int(train.features.shape[1]),
        "residues_fitted": len(train.labels),
        "proteins_fitted": len(np.unique(train.protein)),
        "proteins_choosing": len(np.unique(held.protein)),
        "train_seconds": time.perf_counter() - began,
    }


def _rows(run: Run, most: int) -> tuple[Any, Any]:
    """Rows that are fitted, and those that choose."""
    train = run.table.splits["train"]
    if "validation" in run.table.splits:
        ends = np.cumsum(run.table.lengths("validation"))
        return train, run.table.splits["validation"].select(range(max(int((ends <= most).sum()), 1)))
    if len(train) < 2:
        raise ValueError("a probe needs at least two training rows: one to fit, one to choose its strength by")
    places = np.arange(len(train))
    chosen = places % _HELD == min(_HELD, len(train)) - 1
    return train.select(places[~chosen]), train.select(places[chosen])


def _residues(run: Run, trainer: Any, rows: Any, most: int | None, *, cache: bool) -> Residues:
    """Residues of rows: about `most` of the labelled ones, or with None all, unlabelled ones among them."""
    key = f"{feature_key(run, trainer.model, rows)}-{most or 'all'}" if cache else None
    table = cached(key, lambda: _compute(run, trainer, rows, most))
    numbers = table[:, -2:].astype(np.int64)
    return Residues(table[:, :-2], numbers[:, 0], numbers[:, 1])


def _compute(run: Run, trainer: Any, rows: Any, most: int | None) -> np.ndarray:
    """`(residues, width + 2)` float32: the vector, the class, the number of the protein (exact below 16 million)."""
    caught: list[torch.Tensor] = []
    hook = last_linear(trainer.model).register_forward_pre_hook(lambda module, inputs: caught.append(inputs[0]))
    model, share, rng = trainer.model.to(trainer.args.device), _share(run, rows, most), np.random.default_rng(0)
    parts, first = [], 0
    try:
        with torch.inference_mode():
            for batch in tqdm(trainer.get_test_dataloader(rows), desc="residues", unit="batch", disable=None):
                batch = dict(trainer._prepare_inputs(batch))
                labels = batch.pop("labels")
                caught.clear()
                model(**batch)
                if len(caught) != 1 or caught[0].shape[:2] != labels.shape:
                    raise ValueError(f"{type(model).__name__} does not pass one vector a residue to its last layer")
                places = (labels >= 0 if most else batch["attention_mask"] != 0).cpu().numpy()
                if most:
                    places[places] = rng.random(int(places.sum())) < share
                row, column = np.nonzero(places)
                vectors = caught[0].float().cpu().numpy()[row, column]
                classes = labels.cpu().numpy()[row, column]
                parts.append(np.column_stack([vectors, classes, first + row]).astype(np.float32))
                first += len(labels)
    finally:
        hook.remove()
    found = np.concatenate(parts)
    if not (found[:, -2] >= 0).any():
        raise ValueError("no residue has a label in the rows that are probed")
    return found


def _share(run: Run, rows: Any, most: int | None) -> float:
    """Of the labelled residues, so that about `most` are taken."""
    if most is None:
        return 1.0
    longest = run.plan.max_length or np.inf
    column = next(iter(run.table.columns.values()))
    return min(1.0, most / max(sum(min(len(text), longest) for text in rows[column][:]), 1))


def _best(run: Run, train: Residues, held: Residues) -> tuple[float, np.ndarray, np.ndarray]:
    """Strength, weight and bias that score best on the held proteins."""
    name = run.metrics[0]
    sign = 1 if greater_is_better(name) else -1
    best: tuple[float, float, np.ndarray, np.ndarray] | None = None
    for strength in strengths_of(run, True):
        weight, bias = solve(train.features, train.labels, strength, run.table.task)
        value = sign * run.table.task.score(*held.padded(held.features @ weight.T + bias), [name])[name]
        if best is None or value > best[0]:
            best = (value, strength, weight, bias)
    assert best is not None
    return best[1:]
