"""One-hot residues and the heads of TAPE: what the task gives without any pre-training."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.functional import one_hot
from transformers import initialization as init

from .configuration_onehot import OneHotConfig
from .modeling_protein_heads import (
    ProteinEncoder,
    ProteinForContactPrediction,
    ProteinForSequenceClassification,
    ProteinForTokenClassification,
    ProteinPreTrainedModel,
)

__all__ = [
    "OneHotForContactPrediction",
    "OneHotForSequenceClassification",
    "OneHotForTokenClassification",
    "OneHotModel",
    "OneHotPreTrainedModel",
]


class OneHotPreTrainedModel(ProteinPreTrainedModel):
    """Weight initialisation and loading for the family."""

    config: OneHotConfig
    config_class = OneHotConfig
    base_model_prefix = "onehot"
    supports_gradient_checkpointing = False  # there are no layers

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, OneHotModel):
            init.zeros_(module.anchor)
        else:
            super()._init_weights(module)

    def resize_token_embeddings(self, new_num_tokens: int | None = None, *args: Any, **kwargs: Any) -> nn.Module:
        """Not possible: the vectors are as wide as the vocabulary, and so is what the heads read."""
        if new_num_tokens not in (None, self.config.vocab_size):
            raise ValueError(
                f"{type(self).__name__} reads vectors as wide as its vocabulary, so {self.config.vocab_size} ids "
                f"cannot become {new_num_tokens}; make a new model with OneHotConfig(vocab_size={new_num_tokens})"
            )
        return self.get_input_embeddings()


class OneHotEmbedding(nn.Module):
    """Ids as vectors with a single 1; it has no weights."""

    def __init__(self, vocab_size: int):
        super().__init__()
        self.num_embeddings = self.embedding_dim = vocab_size

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Map (...) to (..., vocab_size)."""
        return one_hot(input_ids, self.num_embeddings).to(torch.get_default_dtype())


class OneHotModel(ProteinEncoder, OneHotPreTrainedModel):
    """Identity over ids; the protein is the mean over its real tokens.

    It has no weights but a dummy of size one, which transformers needs to know its device and type, and no layers:
    `hidden_states` are the vectors alone.

    Args:
        config (`OneHotConfig`): Sizes and switches.
        add_pooling_layer (`bool`, defaults to `True`): Whether to give `pooler_output`.
    """

    def __init__(self, config: OneHotConfig, add_pooling_layer: bool = True):
        super().__init__(config)
        self.add_pooling_layer = add_pooling_layer
        self.embeddings = OneHotEmbedding(config.vocab_size)
        self.anchor = nn.Parameter(torch.zeros(1), requires_grad=False)
        self.post_init()

    def _read(
        self, embeds: torch.Tensor, mask: torch.Tensor, keep: bool
    ) -> tuple[list[torch.Tensor], torch.Tensor | None]:
        embeds = embeds.to(self.anchor.dtype)
        real = mask[..., None].to(embeds.dtype)
        pooled = (embeds * real).sum(1) / real.sum(1).clamp(min=1.0) if self.add_pooling_layer else None
        return [embeds], pooled


class OneHotForSequenceClassification(ProteinForSequenceClassification, OneHotPreTrainedModel):
    """One-hot residues with a head for whole proteins; `labels` as in [`ProteinForSequenceClassification`]."""

    base_class = OneHotModel


class OneHotForTokenClassification(ProteinForTokenClassification, OneHotPreTrainedModel):
    """One-hot residues with a class for every residue; `labels` as in [`ProteinForTokenClassification`]."""

    base_class = OneHotModel


class OneHotForContactPrediction(ProteinForContactPrediction, OneHotPreTrainedModel):
    """One-hot residues with a contact head; `labels` as in [`ProteinForContactPrediction`]."""

    base_class = OneHotModel
