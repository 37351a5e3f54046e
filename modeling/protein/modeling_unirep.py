"""A UniRep-style multiplicative LSTM (Alley et al. 2019; Krause et al. 2016) and its next-residue model."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.functional import linear
from transformers import GenerationMixin
from transformers import initialization as init

from .configuration_unirep import UniRepConfig
from .modeling_protein_causal import ProteinForNextResidue, ProteinWithState
from .modeling_protein_heads import (
    ProteinForContactPrediction,
    ProteinForSequenceClassification,
    ProteinForTokenClassification,
    ProteinPreTrainedModel,
    exporting,
)
from .modeling_protein_rnn import scan_tokens

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

    def forward(
        self,
        x: torch.Tensor,
        mask: torch.Tensor,
        state: tuple[torch.Tensor, torch.Tensor] | None = None,
        checkpoint: Callable[..., Any] | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """Map (B, T, inputs) to all states (B, T, hidden), and hidden and cell state after the last real token.

        `state` is hidden and cell before the first token, zero by default. With `checkpoint` stretches of √T tokens
        are worked out again for the gradients.
        """
        from_x = linear(x, self.wx.weight(), self.bias)
        factor = linear(x, self.wmx.weight())
        weights = self.wh.weight(), self.wmh.weight()
        zeros = x.new_zeros(x.shape[0], weights[1].shape[0])
        hidden, cell = (zeros, zeros) if state is None else state
        if exporting():
            return scan_tokens(self._step, (hidden, cell.clone()), (from_x, factor, mask), *weights)
        if checkpoint is None:
            return self._walk(from_x, factor, mask, hidden, cell, *weights)
        stretch = math.isqrt(x.shape[1] - 1) + 1
        parts = []
        for part in zip(*(each.split(stretch, 1) for each in (from_x, factor, mask)), strict=True):
            states, hidden, cell = checkpoint(self._walk, *part, hidden, cell, *weights)
            parts.append(states)
        return torch.cat(parts, 1), hidden, cell

    def _walk(self, from_x, factor, mask, hidden, cell, wh, wmh) -> tuple[torch.Tensor, ...]:
        """One token after the other: each needs the one before."""
        states = []
        for step in range(from_x.shape[1]):
            inputs = (from_x[:, step], factor[:, step], mask[:, step])
            hidden, cell = self._step((hidden, cell), inputs, wh, wmh)
            states.append(hidden)
        return torch.stack(states, 1), hidden, cell

    @staticmethod
    def _step(
        state: tuple[torch.Tensor, ...], inputs: tuple[torch.Tensor, ...], wh: torch.Tensor, wmh: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Hidden and cell state after one token more, or as they were at padding."""
        (hidden, cell), (from_x, factor, mask) = state, inputs
        take, keep, give, new = (from_x + linear(factor * linear(hidden, wmh), wh)).chunk(4, -1)
        moved = keep.sigmoid() * cell + take.sigmoid() * new.tanh()
        real = mask[:, None]
        return torch.where(real, give.sigmoid() * moved.tanh(), hidden), torch.where(real, moved, cell)


class UniRepModel(ProteinWithState, UniRepPreTrainedModel):
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

    def _read(
        self, embeds: torch.Tensor, mask: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor] | None, keep: bool
    ) -> tuple[list[torch.Tensor], tuple[torch.Tensor, torch.Tensor], torch.Tensor | None]:
        states, hidden, cell = self.rnn(embeds, mask, state, self._checkpoint())
        pooled = torch.cat([hidden, cell], -1) if self.add_pooling_layer else None
        return [states], (hidden, cell), pooled


class UniRepForCausalLM(ProteinForNextResidue, UniRepPreTrainedModel, GenerationMixin):
    """Next-residue model: the logits at i are for the token at i + 1; `generate` carries the state on."""

    base_class = UniRepModel


class UniRepForSequenceClassification(ProteinForSequenceClassification, UniRepPreTrainedModel):
    """UniRep's mLSTM with a head for whole proteins; `labels` as in [`ProteinForSequenceClassification`]."""

    base_class = UniRepModel


class UniRepForTokenClassification(ProteinForTokenClassification, UniRepPreTrainedModel):
    """UniRep's mLSTM with a class for every residue; `labels` as in [`ProteinForTokenClassification`]."""

    base_class = UniRepModel


class UniRepForContactPrediction(ProteinForContactPrediction, UniRepPreTrainedModel):
    """UniRep's mLSTM with a contact head; `labels` as in [`ProteinForContactPrediction`]."""

    base_class = UniRepModel
