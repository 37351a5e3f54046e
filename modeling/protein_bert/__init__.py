"""Protein BERTs: TAPE's transformer and PLUS-TFM, with heads for residues, proteins, pairs and contacts.

Names are imported on first use: the Auto classes read the configuration before the model code can load.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = [
    "ProteinBertConfig",
    "ProteinBertForContactPrediction",
    "ProteinBertForMaskedLM",
    "ProteinBertForPairClassification",
    "ProteinBertForPreTraining",
    "ProteinBertForSequenceClassification",
    "ProteinBertForTokenClassification",
    "ProteinBertModel",
    "ProteinBertPreTrainedModel",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "configuration_protein_bert" if name == "ProteinBertConfig" else "modeling_protein_bert"
    return getattr(import_module(f"{__name__}.{module}"), name)
