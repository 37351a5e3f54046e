"""Tiny data and recipes for training tests: sequences whose class is readable from their letters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqformers.datasets import build_dataset

TINY = {
    "k": 3,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


def sequences(rows: int, rng: np.random.Generator, *, low: int = 30, high: int = 50) -> tuple[list[str], list[int]]:
    """Half of the rows rich in A and T (class 0), half in G and C (class 1)."""
    labels = rng.permutation(np.arange(rows) % 2)
    share = np.array([[0.4, 0.1, 0.1, 0.4], [0.1, 0.4, 0.4, 0.1]])
    texts = ["".join(rng.choice(list("ACGT"), size=rng.integers(low, high), p=share[label])) for label in labels]
    return texts, labels.tolist()


def write_split(folder: Path, split: str, columns: dict[str, Any], features: Any = None) -> None:
    import datasets

    folder.mkdir(parents=True, exist_ok=True)
    rows = datasets.Dataset.from_dict(columns, features=features)
    rows.to_parquet(folder / f"{split}-00000-of-00001.parquet")


@pytest.fixture(autouse=True)
def _caches(tmp_path_factory, monkeypatch):
    """Nothing is read from or left in the user's caches."""
    import datasets

    monkeypatch.setenv("SEQFORMERS_CACHE", str(tmp_path_factory.mktemp("features")))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("arrow"))


@pytest.fixture(scope="module")
def no_intervals():
    """Runs without bootstrap intervals, which take longer than a tiny training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("seqformers.training.folder.bootstrap_intervals", lambda score, rows: None)
        yield


@pytest.fixture(scope="session")
def reads(tmp_path_factory) -> Path:
    """A labelled data set with three splits."""
    import datasets

    folder = tmp_path_factory.mktemp("reads")
    rng = np.random.default_rng(0)
    features = datasets.Features(
        {"sequence": datasets.Value("string"), "label": datasets.ClassLabel(names=["non-phage", "phage"])}
    )
    for split, rows in (("train", 96), ("validation", 32), ("test", 32)):
        texts, labels = sequences(rows, rng)
        write_split(folder, split, {"sequence": texts, "label": labels}, features)
    return folder


@pytest.fixture(scope="session")
def genomes(tmp_path_factory) -> Path:
    """Unlabelled pieces of genomes, two splits."""
    folder = tmp_path_factory.mktemp("genomes")
    rng = np.random.default_rng(1)
    for split, rows in (("train", 128), ("validation", 24)):
        texts, _ = sequences(rows, rng, low=10, high=60)
        write_split(folder, split, {"sequence": texts})
    return folder


@pytest.fixture(scope="session")
def arrays(tmp_path_factory) -> Path:
    """Genomes of two classes that differ in composition, in ten groups each."""
    folder = tmp_path_factory.mktemp("arrays")
    texts, labels = sequences(40, np.random.default_rng(0), low=500, high=900)
    counts = [0, 0]
    for text, label in zip(texts, labels, strict=True):
        path = folder / "in" / ("host", "phage")[label] / f"g{label}_{counts[label]}.fa"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f">c\n{text}\n")
        counts[label] += 1
    return build_dataset("genomes", output=folder / "out", data_dir=folder / "in", groups="none")


@pytest.fixture
def pretrain_recipe(genomes) -> dict[str, Any]:
    return {
        "task": "pretrain",
        "model": {"type": "kmer_bert", "config": TINY},
        "tokenizer": {"type": "KmerTokenizer", "k": 3},
        "data": {"path": str(genomes)},
        "training": {
            "per_device_train_batch_size": 16,
            "max_steps": 8,
            "save_steps": 4,
            "eval_steps": 4,
            "logging_steps": 2,
            "use_cpu": True,
        },
    }


@pytest.fixture
def finetune_recipe(reads) -> dict[str, Any]:
    return {
        "task": "finetune",
        "model": {"type": "kmer_bert", "config": TINY | {"classifier_pooling": "mean"}},
        "tokenizer": {"type": "KmerTokenizer", "k": 3},
        "data": {"path": str(reads)},
        "training": {
            "per_device_train_batch_size": 16,
            "learning_rate": 5e-3,
            "num_train_epochs": 2,
            "use_cpu": True,
            "bf16": False,
        },
        "metrics": ["mcc", "auroc"],
    }
