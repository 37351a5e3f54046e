"""Training of the pair CNN by stock `Trainer`: one-cycle rate, averaged weights, non-targets redrawn each epoch."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed

from benchmarks.tables.pair_cnn_data import Pairs
from seqformers import PairCnnConfig, PairCnnModel, PairCnnProcessor

MODEL: dict[str, Any] = {}
TRAINING = {
    "num_train_epochs": 8,
    "per_device_train_batch_size": 256,
    "learning_rate": 3e-3,
    "weight_decay": 0.01,
    "warmup_share": 0.2,
    "average_decay": 0.999,
}


class Redraw(TrainerCallback):
    """New non-targets at the start of every epoch."""

    def __init__(self, pairs: Pairs):
        self.pairs = pairs

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Draw for the epoch that begins."""
        self.pairs.redraw(int(state.epoch or 0))


class MovingAverage(TrainerCallback):
    """Exponential moving average of weights and batch statistics; the model has it when training ends."""

    def __init__(self, model: torch.nn.Module, decay: float):
        self.average = copy.deepcopy(model)
        self.decay = decay
        self.pairs = [
            (mean, value)
            for mean, value in zip(self.average.state_dict().values(), model.state_dict().values(), strict=True)
            if mean.is_floating_point()
        ]

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Move the average; faster in the first steps."""
        decay = min(self.decay, (1 + state.global_step) / (10 + state.global_step))
        with torch.no_grad():
            means, values = zip(*self.pairs, strict=True)
            torch._foreach_lerp_(means, values, 1 - decay)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Put the average in the model's place."""
        with torch.no_grad():
            for mean, value in self.pairs:
                value.copy_(mean)


def train(positives: pd.DataFrame, seed: int, work: Path) -> PairCnnModel:
    """Train one network on the positives of the training split."""
    set_seed(seed)
    model = PairCnnModel(PairCnnConfig(**MODEL))
    pairs = Pairs(positives, seed)
    size = int(TRAINING["per_device_train_batch_size"])
    steps = int(TRAINING["num_train_epochs"]) * (len(pairs) // size)
    groups = [
        {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": TRAINING["weight_decay"]},
        {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=TRAINING["learning_rate"])
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, TRAINING["learning_rate"], total_steps=steps + 1, pct_start=TRAINING["warmup_share"]
    )
    arguments = TrainingArguments(
        str(work / "trainer"), seed=seed, use_cpu=True, bf16=True, report_to="none", save_strategy="no",
        logging_steps=200, remove_unused_columns=False, disable_tqdm=True, dataloader_drop_last=True,
        num_train_epochs=TRAINING["num_train_epochs"], per_device_train_batch_size=size, max_grad_norm=1.0,
    )  # fmt: skip
    Trainer(
        model=model,
        args=arguments,
        train_dataset=pairs,
        data_collator=pairs.collate,
        optimizers=(optimizer, schedule),
        callbacks=[Redraw(pairs), MovingAverage(model, float(TRAINING["average_decay"]))],
    ).train()
    return model.eval()


@torch.no_grad()
def model_logits(model: PairCnnModel, mirnas: list[str], targets: list[str], rows: int = 4_096) -> np.ndarray:
    """Logits of pairs, `(n,)`; miRNAs are cut to what the model reads."""
    length = model.config.max_mirna_length
    processor = PairCnnProcessor(max_mirna_length=length)
    found = []
    for at in range(0, len(mirnas), rows):
        inputs = processor([mirna[:length] for mirna in mirnas[at : at + rows]], targets[at : at + rows])
        found.append(model(**inputs).logits.numpy())
    return np.concatenate(found)


def join(models: list[PairCnnModel]) -> PairCnnModel:
    """One model whose members are those of several."""
    config = PairCnnConfig(**(models[0].config.to_diff_dict() | {"num_members": len(models)}))
    joined = PairCnnModel(config)
    for member, model in zip(joined.members, models, strict=True):
        member.load_state_dict(model.members[0].state_dict())
    return joined.eval()
