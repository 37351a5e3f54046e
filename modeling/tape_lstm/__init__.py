"""TAPE's LSTM: three layers forward and three backward, each direction a stack of its own.

Names are imported on first use: the Auto classes read the configuration before the model code can load.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = [
    "TapeLstmConfig",
    "TapeLstmForContactPrediction",
    "TapeLstmForPreTraining",
    "TapeLstmForSequenceClassification",
    "TapeLstmForTokenClassification",
    "TapeLstmModel",
    "TapeLstmPreTrainedModel",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "configuration_tape_lstm" if name == "TapeLstmConfig" else "modeling_tape_lstm"
    return getattr(import_module(f"{__name__}.{module}"), name)
