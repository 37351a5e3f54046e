"""P-ELMo: a bidirectional language model feeding a bidirectional LSTM (Bepler and Berger 2019, as in PLUS).

Names are imported on first use: the Auto classes read the configuration before the model code can load.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = [
    "PElmoConfig",
    "PElmoForPairClassification",
    "PElmoForPreTraining",
    "PElmoForSequenceClassification",
    "PElmoForTokenClassification",
    "PElmoModel",
    "PElmoPreTrainedModel",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "configuration_p_elmo" if name == "PElmoConfig" else "modeling_p_elmo"
    return getattr(import_module(f"{__name__}.{module}"), name)
