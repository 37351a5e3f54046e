"""Data, networks, their training loop and the store of finished fits behind the tables of Cpf1 guides."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from transformers.modeling_outputs import SequenceClassifierOutput

from benchmarks.tables.deepcpf1_baselines import letter_features, structure_features, thermodynamic_features
from seqformers import (
    DeepCpf1Config,
    DeepCpf1Model,
    DeepCpf1Processor,
    KmerBertConfig,
    KmerBertForSequenceClassification,
    KmerTokenizer,
)
from seqformers.datasets_scripts.cpf1.cpf1 import read_weight

__all__ = ["LENGTHS", "NETWORKS", "TESTS", "TRAIN", "Data", "Fit", "Store", "fit_network", "network", "predict"]

TRAIN, TESTS = "ht_1_1", ("ht_1_2", "ht_2")
Fit = dict[str, np.ndarray]
# Part of the 50 known letters. 20 are the PAM and the 16 letters after it, 34 the usual context. The last ten of the
# 50 are one and the same vector sequence in every row, so 40 letters hold all that differs.
LENGTHS = {20: (10, 30), 24: (10, 34), 27: (10, 37), 30: (8, 38), 34: (6, 40), 40: (0, 40), 50: (0, 50)}


class Data:
    """HT 1-1 to train on, HT 1-2 and HT 2 to test on: codes, labels in percent, weights by reads.

    Attributes:
        fold (`np.ndarray`): Fold 0 to 4 of every row of HT 1-1, for choices made without the tests.
    """

    def __init__(self, folder: Path):
        self.tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in (TRAIN, *TESTS)}
        self.codes = {name: _encode(rows.target_34) for name, rows in self.tables.items()}
        self.labels = {name: rows.indel_freq_pct.to_numpy(np.float32) for name, rows in self.tables.items()}
        self.weight = read_weight(self.tables[TRAIN].total_reads_cpf1.to_numpy(np.float64), 400.0)
        self.fold = np.random.default_rng(1).permutation(len(self.weight)) % 5
        self._features: dict[tuple[str, bool], np.ndarray] = {}

    def context(self, name: str, length: int) -> np.ndarray:
        """Codes of contexts of another length; see [`LENGTHS`]."""
        start, stop = LENGTHS[length]
        return _encode(self.tables[name].context_50.str[start:stop])

    def features(self, name: str, *, structure: bool = False) -> np.ndarray:
        """The field's features of the 34 letters, and the structure of the crRNA if wanted."""
        if (name, structure) not in self._features:
            parts = [letter_features(self.codes[name]), thermodynamic_features(list(self.tables[name].target_34))]
            if structure:
                parts.append(structure_features(self.codes[name]))
            self._features[name, structure] = np.hstack(parts)
        return self._features[name, structure]


def _encode(sequences: pd.Series) -> np.ndarray:
    return DeepCpf1Processor(context_length=len(sequences.iloc[0])).encode(list(sequences))


class KmerRegressor(torch.nn.Module):
    """A small k-mer BERT with a regression head, behind the interface of [`DeepCpf1Model`]."""

    def __init__(self, k: int):
        super().__init__()
        self.tokenizer = KmerTokenizer(k=k, stride=1)
        self.bert = KmerBertForSequenceClassification(
            KmerBertConfig(
                k=k, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
                max_position_embeddings=36, num_labels=1, classifier_pooling="mean",
            )
        )  # fmt: skip
        self.letters = np.frombuffer(b"ACGTN", dtype=np.uint8)

    def forward(
        self,
        input_ids: torch.Tensor,
        labels: torch.Tensor | None = None,
        sample_weight: torch.Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Codes in, indel frequencies out."""
        texts = [row.tobytes().decode() for row in self.letters[input_ids.numpy()]]
        logits = self.bert(**self.tokenizer(texts, return_tensors="pt")).logits[:, 0] * 30 + 40
        loss = None if labels is None else (sample_weight * (logits - labels).square()).mean()
        return SequenceClassifierOutput(loss=loss, logits=logits)


# How each network is made and trained. `weighted`: rows count by their reads. Chosen by cross-validation in HT 1-1.
NETWORKS: dict[str, dict[str, Any]] = {
    "paper": {"epochs": 35},
    "paper_weighted": {"epochs": 35, "weighted": True},
    "wide_weighted": {
        "config": {"num_filters": 160, "hidden_sizes": [160, 80, 40]},
        "epochs": 30,
        "weighted": True,
    },
    "mlp": {"config": {"num_filters": 0, "hidden_sizes": [120, 80, 40]}, "epochs": 25},
    "transformer_6": {"k": 6, "epochs": 8, "batch": 64},
}


def network(data: Data, name: str, train: np.ndarray, test: list[np.ndarray], seed: int) -> list[np.ndarray]:
    """Train one of [`NETWORKS`] on these rows of HT 1-1 and score the `test` codes."""
    options = dict(NETWORKS[name])
    k, config, weighted = options.pop("k", None), options.pop("config", {}), options.pop("weighted", False)
    torch.manual_seed(seed)
    model = KmerRegressor(k) if k else DeepCpf1Model(DeepCpf1Config(output_scale=30, **config))
    weight = data.weight if weighted else np.ones(len(data.weight))
    fit_network(model, data.codes[TRAIN][train], data.labels[TRAIN][train], weight[train], seed=seed, **options)
    return [predict(model, codes) for codes in test]


def fit_network(
    model: torch.nn.Module,
    codes: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    seed: int,
    epochs: int,
    batch: int = 256,
    learning_rate: float = 1e-3,
) -> None:
    """Train through the model's own loss for so many passes; the rate warms up and falls by a cosine to nothing."""
    torch.manual_seed(seed)
    inputs, wanted = torch.from_numpy(codes).long(), torch.from_numpy(labels)
    weight = torch.ones(len(labels)) if weights is None else torch.from_numpy(weights).float()
    steps = epochs * math.ceil(len(codes) / batch)
    optimizer = torch.optim.Adam(model.parameters(), learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, steps, pct_start=0.1)
    model.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(codes)).split(batch):
            model(inputs[rows], labels=wanted[rows], sample_weight=weight[rows]).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()


def predict(model: torch.nn.Module, codes: np.ndarray) -> np.ndarray:
    """Indel frequencies in percent, `(rows,)`."""
    model.eval()
    with torch.inference_mode():
        parts = [model(part).logits.reshape(-1) for part in torch.from_numpy(codes).long().split(1024)]
    return torch.cat(parts).numpy()


class Store:
    """Finished fits under a folder, name -> arrays, so that a killed run goes on where it was."""

    def __init__(self, folder: Path):
        self.folder = folder

    def get(self, name: str, make: Callable[[], Fit]) -> Fit:
        """The fit called `name`, made and stored when it is not there."""
        path = self.folder / f"{name}.npz"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            started = time.process_time()
            fit = make()
            torn = path.with_suffix(".torn.npz")
            np.savez(torn, **fit)
            torn.replace(path)
            print(f"{name}: {time.process_time() - started:.1f} CPU s", file=sys.stderr, flush=True)
        return dict(np.load(path))
