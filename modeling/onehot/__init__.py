"""One-hot residues: the baseline that has learnt nothing beforehand.

Names are imported on first use: the Auto classes read the configuration before the model code can load.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = [
    "OneHotConfig",
    "OneHotForContactPrediction",
    "OneHotForSequenceClassification",
    "OneHotForTokenClassification",
    "OneHotModel",
    "OneHotPreTrainedModel",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "configuration_onehot" if name == "OneHotConfig" else "modeling_onehot"
    return getattr(import_module(f"{__name__}.{module}"), name)
