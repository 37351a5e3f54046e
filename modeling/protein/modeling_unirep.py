"""A UniRep-style multiplicative LSTM (Alley et al. 2019; Krause et al. 2016) and its next-residue model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.functional import linear
from transformers import GenerationMixin
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling, CausalLMOutput
from transformers.utils.generic import can_return_tuple

from .configuration_unirep import UniRepConfig
from .modeling_protein_heads import (
    ProteinForContactPrediction,
    ProteinForSequenceClassification,
    ProteinForTokenClassification,
    ProteinPreTrainedModel,
    exporting,
    masked_mean_loss,
    real_tokens,
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


@dataclass
class UniRepModelOutput(BaseModelOutputWithPooling):
    """Output of [`UniRepModel`].

    Args:
        last_hidden_state (`torch.FloatTensor` of shape `(batch, tokens, hidden_size)`): Zero at padding.
        pooler_output (`torch.FloatTensor` of shape `(batch, 2 * hidden_size)`, *optional*): One vector a protein.
        hidden_states (`tuple`, *optional*): Embeddings and states.
        state (`tuple`, *optional*): Hidden and cell after the last token, both (batch, hidden_size), with `use_cache`.
    """

    state: tuple[torch.Tensor, torch.Tensor] | None = None


@dataclass
class UniRepCausalOutput(CausalLMOutput):
    """Output of [`UniRepForCausalLM`].

    Args:
        loss (`torch.FloatTensor`, *optional*): Mean cross-entropy of the next token.
        logits (`torch.FloatTensor` of shape `(batch, tokens, vocab_size)`): Of the token behind each.
        hidden_states (`tuple`, *optional*): Embeddings and states.
        state (`tuple`, *optional*): As in [`UniRepModelOutput`].
    """

    state: tuple[torch.Tensor, torch.Tensor] | None = None


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
        state: tuple[torch.Tensor, torch.Tensor] | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> UniRepModelOutput:
        """Represent every token and the protein.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): Token ids, first and last special.
            attention_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*): 1 for tokens, 0 for padding on
                either side; with `state` it may cover the tokens before, too.
            inputs_embeds (`torch.FloatTensor` of shape `(batch, tokens, embedding_size)`, *optional*): Instead of
                `input_ids`.
            state (`tuple`, *optional*): Hidden and cell after the tokens before these, both (batch, hidden_size).
            use_cache (`bool`, *optional*): Whether to give `state`.
            **kwargs: `output_hidden_states`, `return_dict`; others are accepted so that generic callers can pass what
                other models take.

        Returns:
            [`UniRepModelOutput`].

        Raises:
            ValueError: not exactly one input, or several proteins packed into a row.
        """
        if state is None:
            self._refuse_foreign(kwargs)
        embeds = self._embed(input_ids, inputs_embeds)
        if attention_mask is not None and state is not None:
            attention_mask = attention_mask[:, -embeds.shape[1] :]
        mask = real_tokens(embeds, attention_mask)
        states, hidden, cell = self.rnn(embeds, mask, state, self._checkpoint())
        real = mask[..., None].to(states.dtype)
        wanted = self._wants_hidden_states(kwargs)
        return UniRepModelOutput(
            last_hidden_state=states * real,
            pooler_output=torch.cat([hidden, cell], -1) if self.add_pooling_layer else None,
            hidden_states=(embeds * real, states * real) if wanted else None,
            state=(hidden, cell) if use_cache else None,
        )


class UniRepForCausalLM(UniRepPreTrainedModel, GenerationMixin):
    """Next-residue model: the logits at i are for the token at i + 1.

    `generate` carries the state on, so a token costs the same wherever it stands.
    """

    _is_stateful = True

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
        state: tuple[torch.Tensor, torch.Tensor] | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        **kwargs: Any,
    ) -> UniRepCausalOutput:
        """Predict every token from those before it.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): As in [`UniRepModel`].
            attention_mask (`torch.Tensor`, *optional*): As there.
            inputs_embeds (`torch.FloatTensor`, *optional*): As there.
            labels (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): The input ids, -100 where not to
                predict; they are shifted here.
            state (`tuple`, *optional*): As there.
            use_cache (`bool`, *optional*): As there.
            logits_to_keep (`int`, defaults to 0): Score the last tokens only; 0 for all.
            **kwargs: As there.
        """
        outputs = self.unirep(
            input_ids, attention_mask, inputs_embeds, state=state, use_cache=use_cache, return_dict=True, **kwargs
        )
        logits = self.lm_head(outputs.last_hidden_state[:, -logits_to_keep:])
        loss = None if labels is None else masked_mean_loss(logits[:, :-1], labels[:, 1:])
        return UniRepCausalOutput(loss=loss, logits=logits, hidden_states=outputs.hidden_states, state=outputs.state)

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False  # there are no keys and values; `state` is what goes on

    def _reorder_cache(self, state: tuple[torch.Tensor, ...], beam_idx: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(part.index_select(0, beam_idx) for part in state)


class UniRepForSequenceClassification(ProteinForSequenceClassification, UniRepPreTrainedModel):
    """UniRep's mLSTM with a head for whole proteins; `labels` as in [`ProteinForSequenceClassification`]."""

    base_class = UniRepModel


class UniRepForTokenClassification(ProteinForTokenClassification, UniRepPreTrainedModel):
    """UniRep's mLSTM with a class for every residue; `labels` as in [`ProteinForTokenClassification`]."""

    base_class = UniRepModel


class UniRepForContactPrediction(ProteinForContactPrediction, UniRepPreTrainedModel):
    """UniRep's mLSTM with a contact head; `labels` as in [`ProteinForContactPrediction`]."""

    base_class = UniRepModel
