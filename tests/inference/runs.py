"""Tiny runs for the tests of inference: of bases and of residues, with heads of every kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from seqformers import (
    KmerBertConfig,
    KmerBertForSequenceClassification,
    KmerTokenizer,
    ProteinBertConfig,
    ProteinBertForSequenceClassification,
    ProteinTokenizer,
)
from seqformers.hub.repository import write_model_repository

__all__ = ["dna", "dna_run", "protein_run"]

_SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


def dna(length: int, seed: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def dna_run(
    folder: Path, *, seed: int = 0, k: int = 3, stride: int = 1, portable: bool = False, **config: Any
) -> Path:
    torch.manual_seed(seed)
    values = {
        "k": k, "stride": stride, "max_position_embeddings": 64, "initializer_range": 0.3,
        "id2label": {0: "non-phage", 1: "phage"}, **_SIZES, **config,
    }  # fmt: skip
    model = KmerBertForSequenceClassification(KmerBertConfig(**values)).eval()
    tokenizer = KmerTokenizer(k=k, stride=stride, model_max_length=64)
    write_model_repository(folder, model, tokenizer=tokenizer)
    if portable:
        model.export_portable(folder / "portable", tokenizer)
    return folder


def protein_run(folder: Path, **config: Any) -> Path:
    torch.manual_seed(0)
    values = {"initializer_range": 0.3, "max_position_embeddings": 128, **_SIZES, **config}
    model = ProteinBertForSequenceClassification(ProteinBertConfig(**values))
    return write_model_repository(folder, model, tokenizer=ProteinTokenizer("tape", model_max_length=128))
