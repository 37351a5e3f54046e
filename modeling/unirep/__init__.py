"""UniRep: a multiplicative LSTM that reads a protein from its start.

Names are imported on first use: the Auto classes read the configuration before the model code can load.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = [
    "UniRepConfig",
    "UniRepForCausalLM",
    "UniRepForContactPrediction",
    "UniRepForSequenceClassification",
    "UniRepForTokenClassification",
    "UniRepModel",
    "UniRepPreTrainedModel",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "configuration_unirep" if name == "UniRepConfig" else "modeling_unirep"
    return getattr(import_module(f"{__name__}.{module}"), name)
