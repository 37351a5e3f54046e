"""One-hot residues and the heads of TAPE: what the task gives without any pre-training."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.functional import one_hot
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils.generic import can_return_tuple

from .configuration_onehot import OneHotConfig
from .modeling_protein_heads import (
    ProteinForContactPrediction,
    ProteinForSequenceClassification,
    ProteinForTokenClassification,
    ProteinPreTrainedModel,
    real_tokens,
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

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, OneHotModel):
            init.zeros_(module.anchor)
        else:
            super()._init_weights(module)


class OneHotModel(OneHotPreTrainedModel):
    """Identity over ids; the protein is the mean over its real tokens.

    It has no weights but a dummy of size one, which transformers needs to know its device and type.

    Args:
        config (`OneHotConfig`): Sizes and switches.
        add_pooling_layer (`bool`, defaults to `True`): Whether to give `pooler_output`.
    """

    def __init__(self, config: OneHotConfig, add_pooling_layer: bool = True):
        super().__init__(config)
        self.add_pooling_layer = add_pooling_layer
        self.anchor = nn.Parameter(torch.zeros(1), requires_grad=False)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPooling:
        """One-hot vectors of every token and their mean.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): Token ids, first and last special.
            attention_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*): 1 for tokens, then 0 for padding.
            inputs_embeds (`torch.FloatTensor` of shape `(batch, tokens, vocab_size)`, *optional*): Instead of
                `input_ids`.
            **kwargs: Ignored; accepted so that generic callers can pass what other models take.

        Returns:
            `last_hidden_state` (batch, tokens, `vocab_size`), zero at padding; `pooler_output` (batch, `vocab_size`).

        Raises:
            ValueError: not exactly one input.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        if inputs_embeds is None:
            assert input_ids is not None
            inputs_embeds = one_hot(input_ids, self.config.vocab_size).to(self.anchor.dtype)
        real = real_tokens(inputs_embeds, attention_mask)[..., None].to(inputs_embeds.dtype)
        hidden = inputs_embeds * real
        pooled = hidden.sum(1) / real.sum(1).clamp(min=1.0) if self.add_pooling_layer else None
        return BaseModelOutputWithPooling(last_hidden_state=hidden, pooler_output=pooled)


class OneHotForSequenceClassification(ProteinForSequenceClassification, OneHotPreTrainedModel):
    """One-hot residues with a head for whole proteins; `labels` as in [`ProteinForSequenceClassification`]."""

    base_class = OneHotModel


class OneHotForTokenClassification(ProteinForTokenClassification, OneHotPreTrainedModel):
    """One-hot residues with a class for every residue; `labels` as in [`ProteinForTokenClassification`]."""

    base_class = OneHotModel


class OneHotForContactPrediction(ProteinForContactPrediction, OneHotPreTrainedModel):
    """One-hot residues with a contact head; `labels` as in [`ProteinForContactPrediction`]."""

    base_class = OneHotModel
