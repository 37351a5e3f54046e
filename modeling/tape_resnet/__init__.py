"""TAPE's ResNet: one-dimensional convolutions over residues.

Names are imported on first use: the Auto classes read the configuration before the model code can load.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = [
    "TapeResnetConfig",
    "TapeResnetForContactPrediction",
    "TapeResnetForMaskedLM",
    "TapeResnetForSequenceClassification",
    "TapeResnetForTokenClassification",
    "TapeResnetModel",
    "TapeResnetPreTrainedModel",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "configuration_tape_resnet" if name == "TapeResnetConfig" else "modeling_tape_resnet"
    return getattr(import_module(f"{__name__}.{module}"), name)
