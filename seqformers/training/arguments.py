"""`transformers.TrainingArguments` of a run: the recipe's fields over the defaults of its task."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers import TrainingArguments

from seqformers.metrics.registry import greater_is_better
from seqformers.training.recipe import Recipe

__all__ = [
    "DEFAULTS",
    "defaults",
    "effective_batch_size",
    "has_fast_bf16",
    "is_main_process",
    "training_arguments",
    "wait_for_everyone",
]


def has_fast_bf16(config: Any) -> bool:
    """Whether bf16 autocast pays on this device: GPUs that have it, and CPUs with such instructions for attention.

    On a CPU with AVX512-BF16 a step of a small BERT takes 0.56 of the time of fp32; convolutions and LSTMs of the
    other families are small and stay in fp32 there.
    """
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    fast = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
    return fast and not torch.accelerator.is_available() and hasattr(config, "num_attention_heads")


DEFAULTS: dict[str, dict[str, Any]] = {
    "pretrain": {
        "per_device_train_batch_size": 64,
        "per_device_eval_batch_size": 128,
        "learning_rate": 1e-3,
        "adam_beta2": 0.98,
        "adam_epsilon": 1e-6,
        "weight_decay": 0.01,
        "warmup_steps": 0.06,
        "lr_scheduler_type": "linear",
        "num_train_epochs": 1,
        "train_sampling_strategy": "group_by_length",
        "logging_steps": 20,
        "save_strategy": "steps",
        "save_steps": 200,
        "eval_strategy": "steps",
        "eval_steps": 200,
        "save_total_limit": 2,
    },
    "finetune": {
        "per_device_train_batch_size": 32,
        "per_device_eval_batch_size": 128,
        "learning_rate": 5e-5,
        "weight_decay": 0.01,
        "warmup_steps": 0.1,
        "lr_scheduler_type": "linear",
        "num_train_epochs": 3,
        "logging_steps": 20,
        "save_strategy": "epoch",
        "eval_strategy": "epoch",
        "load_best_model_at_end": True,
        "save_total_limit": 2,
    },
    "probe": {"per_device_eval_batch_size": 128},
}


def defaults(recipe: Recipe) -> dict[str, Any]:
    """Fields of `TrainingArguments` that a recipe leaves to its task."""
    if recipe.learns == "views":  # neighbours of like length would be told apart by that
        return DEFAULTS["pretrain"] | {"train_sampling_strategy": "random", "learning_rate": 1e-4}
    return DEFAULTS["probe" if recipe.task == "probe" else "pretrain" if recipe.learns == "tokens" else "finetune"]


def training_arguments(
    recipe: Recipe,
    output: Path,
    *,
    seed: int,
    has_validation: bool,
    metric: str,
    counts_tokens: bool,
    half: bool,
) -> TrainingArguments:
    """`transformers.TrainingArguments` of a run: the recipe's fields over the defaults of its task.

    Args:
        recipe (`Recipe`): Its `training` section.
        output (`Path`): Where checkpoints go.
        seed (`int`): Of weights, order and dropout.
        has_validation (`bool`): Without validation rows nothing is evaluated on the way and the last step counts.
        metric (`str`): Metric that chooses the best checkpoint, unless the recipe names another.
        counts_tokens (`bool`): Whether batches have `input_ids`, whose number per second is then logged.
        half (`bool`): Switch bf16 autocast on, unless the recipe says anything about precision.
    """
    values = {**defaults(recipe), **recipe.training}
    if not has_validation:
        values |= {"eval_strategy": "no", "load_best_model_at_end": False}
    if values.get("load_best_model_at_end"):
        chosen = values.setdefault("metric_for_best_model", metric).removeprefix("eval_")
        values.setdefault("greater_is_better", greater_is_better(chosen))
    if half and not {"bf16", "fp16", "bf16_full_eval", "fp16_full_eval"} & set(recipe.training):
        values["bf16"] = True
        values.setdefault("use_cpu", not torch.accelerator.is_available())
    if "dataloader_num_workers" not in values:
        # A batch costs a small part of a CPU step, where a worker would only take a core from the model.
        values["dataloader_num_workers"] = 2 if torch.cuda.is_available() else 0
    values.setdefault("dataloader_pin_memory", torch.cuda.is_available())
    values.setdefault("logging_nan_inf_filter", not torch.cuda.is_available())  # the filter waits for every step
    values.setdefault("report_to", "none")
    values.setdefault("include_num_input_tokens_seen", "non_padding" if counts_tokens else "no")
    # The collator reads text columns, which Trainer would drop as unknown to `forward`.
    return TrainingArguments(output_dir=str(output), seed=seed, remove_unused_columns=False, **values)


def effective_batch_size(arguments: TrainingArguments) -> int:
    """Rows an optimizer step sees, over devices and accumulation."""
    return int(arguments.train_batch_size * arguments.gradient_accumulation_steps * max(1, arguments.world_size))


def is_main_process() -> bool:
    """Whether this process writes: the only one, or the first of those that a launcher started."""
    return int(os.environ.get("RANK", "0")) == 0


def wait_for_everyone() -> None:
    """Wait until every process of a launch is here; one alone waits for nobody."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        PartialState().wait_for_everyone()
