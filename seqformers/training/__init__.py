"""Recipes in, stock transformers Trainer runs out."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["distill", "evaluate", "finetune", "load_recipe", "pretrain", "probe", "train", "tune"]

_HOMES = {"evaluate": "evaluation", "load_recipe": "recipe", "tune": "tuning"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'running')}"), name)
    globals()[name] = value
    return value
