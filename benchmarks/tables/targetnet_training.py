"""Training of the packaged TargetNet with stock `Trainer`, of its ablations and of a recurrent network beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from transformers import Trainer, TrainingArguments, set_seed

from benchmarks.tables.targetnet_data import made_up_mrnas, one_window_each
from seqformers import TargetNetConfig, TargetNetModel, TargetNetProcessor
from seqformers.modeling.targets.modeling_targetnet import TargetNetOutput

DROPOUT = 0.2
ON_SITES = {
    "num_train_epochs": 8,
    "per_device_train_batch_size": 512,
    "learning_rate": 4e-3,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 40,
}
ON_MRNAS = {
    "num_train_epochs": 1,
    "per_device_train_batch_size": 64,
    "learning_rate": 2e-3,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 40,
}
MADE_UP = 64_000
ABLATIONS: dict[str, dict[str, Any]] = {
    "TargetNet": {},
    "without alignment in the input": {"encode_alignment": False},
    "without skips": {"use_skip": False},
    "half the width": {"channels": [8, 8, 16]},
    "twice the width": {"channels": [32, 32, 64]},
    "two blocks a stage": {"num_blocks": [2, 2, 2]},
}


class Rows(torch.utils.data.Dataset):
    """Numbers of rows, each as often as its weight says; the collator looks them up."""

    def __init__(self, weights: np.ndarray):
        self.numbers = np.repeat(np.arange(len(weights)), weights)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> int:
        return int(self.numbers[index])


class SiteRnn(nn.Module):
    """In the manner of deepTarget (Lee et al. 2016): a GRU reads the miRNA, another the site, a third both outputs."""

    def __init__(self, width: int = 32):
        super().__init__()
        self.embed = nn.Embedding(5, 8, padding_idx=0)
        self.readers = nn.ModuleList(nn.GRU(8, width, batch_first=True, bidirectional=True) for _ in range(2))
        self.both = nn.GRU(4 * width, width, batch_first=True)
        self.classifier = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(width, 1))

    def forward(self, input_ids: torch.Tensor, labels: torch.Tensor | None = None) -> TargetNetOutput:
        """Logits `(sites,)` from ids `(sites, 2, 40)` without alignment."""
        mirna, site = (reader(self.embed(input_ids[:, row].long()))[0] for row, reader in enumerate(self.readers))
        logits = self.classifier(self.both(torch.cat([mirna, site], dim=-1))[0][:, -1]).squeeze(1)
        loss = None if labels is None else nn.functional.binary_cross_entropy_with_logits(logits, labels)
        return TargetNetOutput(loss=loss, logits=logits)


def fit(model: nn.Module, weights: np.ndarray, collate: Callable, seed: int, work: Path, **options: Any) -> None:
    """Train on rows by number."""
    arguments = TrainingArguments(
        str(work / "trainer"), seed=seed, use_cpu=True, report_to="none", save_strategy="no", logging_steps=100,
        remove_unused_columns=False, disable_tqdm=True, **options,
    )  # fmt: skip
    Trainer(model=model, args=arguments, train_dataset=Rows(weights), data_collator=collate).train()
    model.eval()


def fit_sites(
    model: nn.Module, rows: pd.DataFrame, seed: int, work: Path, *, encode_alignment: bool = True, **options: Any
) -> None:
    """Train on one window a row: cheap, and enough to find what a site looks like. Options change `ON_SITES`."""
    ids = torch.from_numpy(one_window_each(rows, encode_alignment=encode_alignment))
    labels = torch.from_numpy(rows["label"].to_numpy(np.float32))

    def collate(numbers: list[int]) -> dict[str, torch.Tensor]:
        return {"input_ids": ids[numbers], "labels": labels[numbers]}

    fit(model, rows["weight"].to_numpy(), collate, seed, work, **(ON_SITES | options))


def fit_mrnas(model: TargetNetModel, rows: pd.DataFrame, seed: int, work: Path, pairs: int = MADE_UP) -> None:
    """Train on made-up mRNAs and, for three in ten pairs, on the labelled targets themselves, all windows of each."""
    made = made_up_mrnas(rows, pairs * 7 // 10, seed=seed)
    labelled = rows.sample(pairs - len(made), weights="weight", replace=True, random_state=seed)
    table = pd.concat([made, labelled[["mirna_seq", "mrna_seq", "label"]]], ignore_index=True)
    processor = TargetNetProcessor()

    def collate(numbers: list[int]) -> dict[str, Any]:
        chosen = table.iloc[numbers]
        inputs = processor(list(chosen["mirna_seq"]), list(chosen["mrna_seq"]))
        return {**inputs, "labels": torch.tensor(chosen["label"].to_numpy(np.float32))}

    fit(model, np.ones(len(table), int), collate, seed, work, **ON_MRNAS)


def train(rows: pd.DataFrame, seed: int, work: Path) -> TargetNetModel:
    """The packaged model's two steps; `rows` are those that are not for validation."""
    set_seed(seed)
    model = TargetNetModel(TargetNetConfig(dropout=DROPOUT))
    fit_sites(model, rows, seed, work)
    fit_mrnas(model, rows, seed, work)
    return model


def site_scores(
    name: str, rows: pd.DataFrame, tables: dict[str, pd.DataFrame], seed: int, work: Path, **options: Any
) -> dict:
    """Train an ablation (or the recurrent network) on one window a row: scores `(rows,)` of each table of sites."""
    changes = ABLATIONS.get(name)
    aligned = changes is not None and changes.get("encode_alignment", True)
    set_seed(seed)
    model = SiteRnn() if changes is None else TargetNetModel(TargetNetConfig(dropout=DROPOUT, **changes))
    fit_sites(model, rows, seed, work, encode_alignment=aligned, **options)
    with torch.inference_mode():
        return {
            key: model(torch.from_numpy(one_window_each(table, encode_alignment=aligned))).logits.sigmoid().numpy()
            for key, table in tables.items()
        }
