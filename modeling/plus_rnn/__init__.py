"""PLUS-RNN: a bidirectional LSTM pre-trained on masked residues and on telling protein families apart.

Names are imported on first use: the Auto classes read the configuration before the model code can load.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = [
    "PlusRnnConfig",
    "PlusRnnForPairClassification",
    "PlusRnnForPreTraining",
    "PlusRnnForSequenceClassification",
    "PlusRnnForTokenClassification",
    "PlusRnnModel",
    "PlusRnnPreTrainedModel",
    "soft_align",
    "soft_align_map",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "configuration_plus_rnn" if name == "PlusRnnConfig" else "modeling_plus_rnn"
    return getattr(import_module(f"{__name__}.{module}"), name)
