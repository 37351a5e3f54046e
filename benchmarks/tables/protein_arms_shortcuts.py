"""What pairs of proteins give without a network, and what the same-family head adds, on families that no arm saw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import seqformers
from benchmarks.tables.annotator_baselines import linear_residues, linear_signal, matthews
from benchmarks.tables.annotator_data import Labelled
from benchmarks.tables.proteins_shortcuts import composition
from seqformers.metrics.homology import homology_metrics
from seqformers.metrics.residues import secondary_structure_metrics
from seqformers.modeling.protein.configuration_plus_rnn import PlusRnnConfig
from seqformers.tokenization.tokenization_protein import ProteinTokenizer

__all__ = [
    "aligner",
    "alignment_scores",
    "homology_shortcuts",
    "known_letters",
    "same_family",
    "signal_shortcuts",
    "structure_rows",
    "structure_shortcuts",
]

_ARMS = ("sfp-0.7", "sfp-0.5", "sfp-0", "plus-tfm")
_RESAMPLES = 1000


def alignment_scores(first: list[str], second: list[str]) -> np.ndarray:
    """Needleman-Wunsch score of each pair for each residue of the shorter: BLOSUM62, gaps 11 and 1 (Biopython)."""
    align = aligner()
    pairs = zip(map(known_letters, first), map(known_letters, second), strict=True)
    return np.array([align.score(a, b) / min(len(a), len(b)) for a, b in pairs])


def aligner() -> Any:
    """Biopython's global aligner with BLOSUM62 and affine gaps of 11 and 1."""
    from Bio.Align import PairwiseAligner, substitution_matrices

    found = PairwiseAligner(mode="global", open_gap_score=-11, extend_gap_score=-1)
    found.substitution_matrix = substitution_matrices.load("BLOSUM62")
    return found


def known_letters(sequence: str) -> str:
    """The sequence with X for letters that BLOSUM62 does not have."""
    return "".join(letter if letter in "ARNDCQEGHILKMFPSTWYVBZX" else "X" for letter in sequence.upper())


def _differences(table: pd.DataFrame) -> np.ndarray:
    """Of the composition and log length of the two proteins, `(pairs, 22)`."""
    sides = [composition(table[f"sequence_{side}"].tolist()) for side in "ab"]
    return np.abs(sides[0] - sides[1])


def homology_shortcuts(work: Path) -> dict[str, Any]:
    """Metrics of the test pairs by alignment, and by composition and length."""
    train, test = (pd.read_parquet(next((work / "rows/homology").glob(f"{part}-*"))) for part in ("train", "test"))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(_differences(train), train["label"])
    expected = model.predict_proba(_differences(test)) @ model[-1].classes_
    scores = {
        "Needleman-Wunsch": alignment_scores(test["sequence_a"].tolist(), test["sequence_b"].tolist()),
        "composition and length": expected,
        "majority": np.zeros(len(test)),
    }
    found = {}
    for name, values in scores.items():
        metrics = homology_metrics(values, test["label"])
        found[name] = {key: value for key, value in metrics.items() if np.isfinite(value)}
    return found


def structure_shortcuts(work: Path) -> dict[str, Any]:
    """Q3 of the test rows by the commonest state, and by a linear model of a one-hot window of 21 residues."""
    train, test = (structure_rows(work, part) for part in ("train", "test"))
    states = np.concatenate([row.structure for row in train])
    common = np.bincount(states[states >= 0]).argmax()
    majority = [np.eye(3)[np.full(len(row.structure), common)] for row in test]
    logits = {"majority": majority, "one-hot window": linear_residues("structure", train, test, 3)}
    truth = [row.structure for row in test]
    found = {name: secondary_structure_metrics(values, truth) for name, values in logits.items()}
    return {name: {key: row[key] for key in ("q3", "q3_per_protein")} for name, row in found.items()}


def structure_rows(work: Path, part: str) -> list[Labelled]:
    """The rows of secondary structure, `train` or `test`."""
    table = pd.read_parquet(next((work / "rows/secondary_structure").glob(f"{part}-*")))
    return [Labelled(s, structure=np.asarray(y)) for s, y in zip(table["sequence"], table["labels"], strict=True)]


def signal_shortcuts(work: Path) -> dict[str, Any]:
    """MCC and AUROC of the test rows by composition, and by a linear model of residue and position."""
    train, test = (
        [Labelled(s, signal=int(y)) for s, y in zip(table["sequence"], table["label"], strict=True)]
        for table in (pd.read_parquet(next((work / "rows/signal_peptide").glob(f"{p}-*"))) for p in ("train", "test"))
    )
    truth = np.array([row.signal for row in test])
    return {
        name: {"mcc": matthews(truth == 1, values > 0), "auroc": float(roc_auc_score(truth, values))}
        for name, values in linear_signal(train, test).items()
    }


def same_family(work: Path) -> dict[str, Any]:
    """Accuracy and AUROC of scorers on pairs of unseen families, each fitted on other families of these (5 folds).

    `gain`: what a score adds to the AUROC of composition and length, with 95 % of a bootstrap over families.
    """
    table = pd.read_parquet(next((work / "rows/unseen").glob("test-*")))
    truth, groups = table["same_family"].to_numpy(), table["family"].to_numpy()
    plain = _differences(table)
    scores = {"Needleman-Wunsch": alignment_scores(table["sequence_a"].tolist(), table["sequence_b"].tolist())}
    for arm in _ARMS:
        folder = work / "pretrained" / arm
        if (folder / "config.json").is_file():
            scores[f"network {arm}"] = _network_scores(folder, table)
    alone = _fitted(plain, truth, groups)
    result: dict[str, Any] = {"composition and length": _judged(alone, truth)}
    for name, values in scores.items():
        result[name] = _judged(_fitted(values[:, None], truth, groups), truth)
        both = _fitted(np.column_stack([plain, values]), truth, groups)
        gain = roc_auc_score(truth, both) - roc_auc_score(truth, alone)
        low, high = np.quantile(_gains(both, alone, truth, groups), [0.025, 0.975])
        result[f"composition, length and {name}"] = _judged(both, truth) | {"gain": [gain, low, high]}
    return {"pairs": len(table), "families": int(table["family"].nunique()), "scores": result}


def _fitted(features: np.ndarray, truth: np.ndarray, groups: np.ndarray) -> np.ndarray:
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    folds = GroupKFold(5)
    return cross_val_predict(model, features, truth, groups=groups, cv=folds, method="predict_proba")[:, 1]


def _judged(chance: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    return {"accuracy": float(((chance > 0.5) == truth).mean()), "auroc": float(roc_auc_score(truth, chance))}


def _gains(both: np.ndarray, alone: np.ndarray, truth: np.ndarray, groups: np.ndarray) -> list[float]:
    rng, members = np.random.default_rng(0), [np.flatnonzero(groups == name) for name in np.unique(groups)]
    gains = []
    for _ in range(_RESAMPLES):
        drawn = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        gains.append(roc_auc_score(truth[drawn], both[drawn]) - roc_auc_score(truth[drawn], alone[drawn]))
    return gains


@torch.inference_mode()
def _network_scores(folder: Path, table: pd.DataFrame) -> np.ndarray:
    """Logit of "same family" of each pair by a pretrained arm."""
    tokenizer = ProteinTokenizer.from_pretrained(folder)
    model = seqformers.PlusRnnForPreTraining.from_pretrained(folder) if _is_rnn(folder) else None
    model = (model or seqformers.ProteinBertForPreTraining.from_pretrained(folder)).eval()
    found = []
    for start in range(0, len(table), 50):
        part = table.iloc[start : start + 50]
        batch = tokenizer(part["sequence_a"].tolist(), part["sequence_b"].tolist(), padding=True, truncation=True,
                          max_length=1000, return_tensors="pt")  # fmt: skip
        logits = model(**batch).similarity_logits
        found.append((logits if logits.ndim == 1 else logits[:, 1] - logits[:, 0]).numpy())
    return np.concatenate(found)


def _is_rnn(folder: Path) -> bool:
    return f'"{PlusRnnConfig.model_type}"' in (folder / "config.json").read_text()
