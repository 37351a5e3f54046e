"""A UniRep-style multiplicative LSTM (Alley et al. 2019; Krause et al. 2016) and its next-residue model."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.functional import linear
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling, CausalLMOutput
from transformers.utils.generic import can_return_tuple

from .configuration_unirep import UniRepConfig
from .modeling_protein_heads import (
    ProteinForContactPrediction,
    ProteinForSequenceClassification,
    ProteinForTokenClassification,
    ProteinPreTrainedModel,
    masked_mean_loss,
    real_tokens,
)

__all__ = [
    "UniRepForCausalLM",
    "UniRepForContactPrediction",
    "UniRepForSequenceClassification",
    "UniRepForTokenClassification",
    "UniRepModel",
    "UniRepPreTrainedModel",
]


class UniRepPreTrainedModel(ProteinPreTrainedModel):
    """Weight initialisation and loading for the family."""

    config: UniRepConfig
    config_class = UniRepConfig
    base_model_prefix = "unirep"

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, UniRepRowWeightNorm):
            bound = module.weight_v.shape[1] ** -0.5
            init.uniform_(module.weight_v, -bound, bound)
            init.copy_(module.weight_g, module.weight_v.norm(dim=1, keepdim=True))
        elif isinstance(module, UniRepCell):
            init.zeros_(module.bias)
        else:
            super()._init_weights(module)


class UniRepRowWeightNorm(nn.Module):
    """A linear map without bias, one gain for each output."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.weight_v = nn.Parameter(torch.empty(outputs, inputs).uniform_(-(inputs**-0.5), inputs**-0.5))
        self.weight_g = nn.Parameter(self.weight_v.detach().norm(dim=1, keepdim=True))

    def weight(self) -> torch.Tensor:
        """The weight in use, (outputs, inputs)."""
        return self.weight_v * (self.weight_g / self.weight_v.norm(dim=1, keepdim=True))


class UniRepCell(nn.Module):
    """Multiplicative LSTM over whole rows; everything that depends on inputs alone is worked out before the loop."""

    def __init__(self, inputs: int, hidden: int):
        super().__init__()
        self.wx = UniRepRowWeightNorm(inputs, 4 * hidden)
        self.wh = UniRepRowWeightNorm(hidden, 4 * hidden)
        self.wmx = UniRepRowWeightNorm(inputs, hidden)
        self.wmh = UniRepRowWeightNorm(hidden, hidden)
        self.bias = nn.Parameter(torch.zeros(4 * hidden))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Map (B, T, inputs) to all states (B, T, hidden), and hidden and cell state after the last real token."""
        from_x = linear(x, self.wx.weight(), self.bias)
        factor = linear(x, self.wmx.weight())
        wh, wmh = self.wh.weight(), self.wmh.weight()
        hidden = cell = x.new_zeros(x.shape[0], wmh.shape[0])
        states = []
        for step in range(x.shape[1]):  # a recurrence: one token needs the one before
            gates = from_x[:, step] + linear(factor[:, step] * linear(hidden, wmh), wh)
            take, keep, give, new = gates.chunk(4, -1)
            moved = keep.sigmoid() * cell + take.sigmoid() * new.tanh()
            real = mask[:, step, None]
            cell = torch.where(real, moved, cell)
            hidden = torch.where(real, give.sigmoid() * moved.tanh(), hidden)
            states.append(hidden)
        return torch.stack(states, 1), hidden, cell


class UniRepModel(UniRepPreTrainedModel):
    """Embedding and multiplicative LSTM; the protein is the last hidden beside the last cell state.

    Args:
        config (`UniRepConfig`): Sizes and switches.
        add_pooling_layer (`bool`, defaults to `True`): Whether to give `pooler_output`.
    """

    def __init__(self, config: UniRepConfig, add_pooling_layer: bool = True):
        super().__init__(config)
        self.add_pooling_layer = add_pooling_layer
        self.embeddings = nn.Embedding(config.vocab_size, config.embedding_size, padding_idx=config.pad_token_id)
        self.rnn = UniRepCell(config.embedding_size, config.hidden_size)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPooling:
        """Represent every token and the protein.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): Token ids, first and last special.
            attention_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*): 1 for tokens, then 0 for padding.
            inputs_embeds (`torch.FloatTensor` of shape `(batch, tokens, embedding_size)`, *optional*): Instead of
                `input_ids`.
            **kwargs: Ignored; accepted so that generic callers can pass what other models take.

        Returns:
            `last_hidden_state` (batch, tokens, `hidden_size`), zero at padding; `pooler_output` (batch,
            2 * `hidden_size`).

        Raises:
            ValueError: not exactly one input.
        """
        embeds = self._embed(input_ids, inputs_embeds)
        mask = real_tokens(embeds, attention_mask)
        states, hidden, cell = self.rnn(embeds, mask)
        return BaseModelOutputWithPooling(
            last_hidden_state=states * mask[..., None].to(states.dtype),
            pooler_output=torch.cat([hidden, cell], -1) if self.add_pooling_layer else None,
        )


class UniRepForCausalLM(UniRepPreTrainedModel):
    """Next-residue model: the logits at i are for the token at i + 1."""

    def __init__(self, config: UniRepConfig):
        super().__init__(config)
        self.unirep = UniRepModel(config, add_pooling_layer=False)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> CausalLMOutput:
        """Predict every token from those before it.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): As in [`UniRepModel`].
            attention_mask (`torch.Tensor`, *optional*): As there.
            inputs_embeds (`torch.FloatTensor`, *optional*): As there.
            labels (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): The input ids, -100 where not to
                predict; they are shifted here.
            **kwargs: As there.
        """
        outputs = self.unirep(input_ids, attention_mask, inputs_embeds, return_dict=True, **kwargs)
        logits = self.lm_head(outputs.last_hidden_state)
        loss = None if labels is None else masked_mean_loss(logits[:, :-1], labels[:, 1:])
        return CausalLMOutput(loss=loss, logits=logits, hidden_states=outputs.hidden_states)


class UniRepForSequenceClassification(ProteinForSequenceClassification, UniRepPreTrainedModel):
    """UniRep's mLSTM with a head for whole proteins; `labels` as in [`ProteinForSequenceClassification`]."""

    base_class = UniRepModel


class UniRepForTokenClassification(ProteinForTokenClassification, UniRepPreTrainedModel):
    """UniRep's mLSTM with a class for every residue; `labels` as in [`ProteinForTokenClassification`]."""

    base_class = UniRepModel


class UniRepForContactPrediction(ProteinForContactPrediction, UniRepPreTrainedModel):
    """UniRep's mLSTM with a contact head; `labels` as in [`ProteinForContactPrediction`]."""

    base_class = UniRepModel
