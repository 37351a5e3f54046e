"""An AWD-LSTM (Merity, Keskar, Socher: Regularizing and Optimizing LSTM Language Models, 2018), of residues.

Layers of plain LSTMs whose recurrent weights are dropped (once a batch, alike at every token), with dropout that is
the same along a row, and an embedding that is also the head. A classifier reads the last state, the maximum and the
mean of the states, as ULMFiT (Howard and Ruder 2018) and, of proteins, UDSMProt (Strodthoff et al. 2020) do. The
paper's optimiser, averaged SGD begun when validation stands still, is not here: `Trainer` brings the optimiser.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.functional import dropout, linear
from transformers import GenerationMixin
from transformers import initialization as init

from .configuration_awd_lstm import AwdLstmConfig
from .modeling_protein_causal import ProteinForNextResidue, ProteinWithState, State
from .modeling_protein_heads import (
    ProteinForSequenceClassification,
    ProteinForTokenClassification,
    ProteinPreTrainedModel,
    exporting,
    mean_over,
    real_tokens,
)
from .modeling_protein_rnn import scan_tokens

__all__ = [
    "AwdLstmForCausalLM",
    "AwdLstmForSequenceClassification",
    "AwdLstmForTokenClassification",
    "AwdLstmModel",
    "AwdLstmPreTrainedModel",
]

_START = 0.1  # embeddings begin uniform within this


class AwdLstmPreTrainedModel(ProteinPreTrainedModel):
    """Weight initialisation and loading for the family."""

    config: AwdLstmConfig
    config_class = AwdLstmConfig
    base_model_prefix = "awd_lstm"

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, AwdLstmLayer):
            bound = module.weight_hh.shape[1] ** -0.5
            for parameter in module.parameters():
                init.uniform_(parameter, -bound, bound)
        elif isinstance(module, nn.Embedding):
            if not getattr(module.weight, "_is_hf_initialized", False):
                init.uniform_(module.weight, -_START, _START)
                init.zeros_(module.weight[module.padding_idx])
        elif isinstance(module, nn.Linear) and module.out_features == self.config.vocab_size:
            init.uniform_(module.weight, -_START, _START)  # where it is not tied
            init.zeros_(module.bias)
        else:
            super()._init_weights(module)


class AwdLstmLayer(nn.Module):
    """One LSTM over whole rows, its recurrent weights dropped in training."""

    def __init__(self, inputs: int, units: int, weight_dropout: float):
        super().__init__()
        self.weight_dropout = weight_dropout
        bound = units**-0.5
        self.weight_ih = nn.Parameter(torch.empty(4 * units, inputs).uniform_(-bound, bound))
        self.weight_hh = nn.Parameter(torch.empty(4 * units, units).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(4 * units).uniform_(-bound, bound))

    def forward(
        self,
        x: torch.Tensor,
        mask: torch.Tensor,
        state: tuple[torch.Tensor, torch.Tensor] | None,
        keep: bool,
        checkpoint: Callable[..., Any] | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """Map (B, T, inputs) to all states (B, T, units), and hidden and cell state after the last real token.

        The last state is right only with `keep`, or where no row has padding: rows padded behind are read through.
        """
        recurrent = dropout(self.weight_hh, self.weight_dropout, self.training)
        zeros = x.new_zeros(x.shape[0], recurrent.shape[1])
        hidden, cell = (zeros, zeros) if state is None else state
        if exporting():
            gates = linear(x, self.weight_ih, self.bias)
            return scan_tokens(_step, (hidden, cell.clone()), (gates, mask), recurrent)
        at_once = not keep and bool((mask[:, 1:] <= mask[:, :-1]).all())
        read = _read_at_once if at_once or bool(mask.all()) else _walk
        inputs = (x, mask, hidden, cell, self.weight_ih, recurrent, self.bias)
        return read(*inputs) if checkpoint is None else checkpoint(read, *inputs)


def _read_at_once(x, mask, hidden, cell, weight_ih, recurrent, bias) -> tuple[torch.Tensor, ...]:
    """All tokens by torch's LSTM; what stands behind the end of a row is read, too, and goes nowhere."""
    weights = [weight_ih, recurrent, bias, torch.zeros_like(bias)]
    states, last, after = torch.lstm(x, (hidden[None], cell[None]), weights, True, 1, 0.0, False, False, True)
    return states, last[0], after[0]


def _walk(x, mask, hidden, cell, weight_ih, recurrent, bias) -> tuple[torch.Tensor, ...]:
    """One token after the other; at padding the state stays as it is."""
    gates, states = linear(x, weight_ih, bias), []
    for token in range(x.shape[1]):
        hidden, cell = _step((hidden, cell), (gates[:, token], mask[:, token]), recurrent)
        states.append(hidden)
    return torch.stack(states, 1), hidden, cell


def _step(
    state: tuple[torch.Tensor, ...], inputs: tuple[torch.Tensor, ...], recurrent: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    (hidden, cell), (gates, real) = state, inputs
    take, keep, new, give = (gates + linear(hidden, recurrent)).chunk(4, -1)
    moved = keep.sigmoid() * cell + take.sigmoid() * new.tanh()
    return torch.where(real[:, None], give.sigmoid() * moved.tanh(), hidden), torch.where(real[:, None], moved, cell)


def _along_rows(x: torch.Tensor, share: float, training: bool) -> torch.Tensor:
    """Dropout (B, T, width) of the same channels at every token of a row (Gal and Ghahramani 2016)."""
    if not training or not share:
        return x
    return x * dropout(x.new_ones(x.shape[0], 1, x.shape[2]), share)


class AwdLstmModel(ProteinWithState, AwdLstmPreTrainedModel):
    """Embedding and LSTMs; the protein is its last state, the maximum and the mean of its states.

    Args:
        config (`AwdLstmConfig`): Sizes and shares.
        add_pooling_layer (`bool`, defaults to `True`): Whether to give `pooler_output`.
    """

    def __init__(self, config: AwdLstmConfig, add_pooling_layer: bool = True):
        super().__init__(config)
        self.add_pooling_layer = add_pooling_layer
        self.embeddings = nn.Embedding(config.vocab_size, config.embedding_size, padding_idx=config.pad_token_id)
        share = config.weight_dropout
        self.layers = nn.ModuleList(AwdLstmLayer(inputs, units, share) for inputs, units in config.layer_sizes)
        self.post_init()

    def _embed(self, input_ids: torch.Tensor | None, inputs_embeds: torch.Tensor | None) -> torch.Tensor:
        embeds = super()._embed(input_ids, inputs_embeds)
        if self.training and input_ids is not None and self.config.embedding_dropout:
            kept = dropout(embeds.new_ones(self.config.vocab_size, 1), self.config.embedding_dropout)
            embeds = embeds * kept[input_ids]
        return embeds

    def _read(
        self, embeds: torch.Tensor, mask: torch.Tensor, state: State | None, keep: bool
    ) -> tuple[list[torch.Tensor], State, torch.Tensor | None]:
        x, layers, after = _along_rows(embeds, self.config.input_dropout, self.training), [], []
        for number, layer in enumerate(self.layers):
            x = _along_rows(x, self.config.hidden_dropout, self.training) if number else x
            before = None if state is None else (state[2 * number], state[2 * number + 1])
            x, hidden, cell = layer(x, mask, before, keep, self._checkpoint())
            layers.append(x)
            after += [hidden, cell]
        return layers, tuple(after), self._pooled(x, mask) if self.add_pooling_layer else None

    @staticmethod
    def _pooled(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        place = torch.arange(mask.shape[1], device=mask.device)
        last = (mask * place).argmax(1)
        ends = states.gather(1, last[:, None, None].expand(-1, 1, states.shape[2]))[:, 0]
        most = states.masked_fill(~mask[..., None], torch.finfo(states.dtype).min).amax(1)
        return torch.cat([ends, most, mean_over(mask, states)], -1)


class AwdLstmForCausalLM(ProteinForNextResidue, AwdLstmPreTrainedModel, GenerationMixin):
    """Next-residue model; the head shares the weights of the embedding.

    In training the loss holds two penalties: the mean square of what the head reads (AR), and of the change of the
    last layer's state from a token to the next (TAR), both over real tokens.
    """

    base_class = AwdLstmModel
    _tied_weights_keys = {"lm_head.weight": "awd_lstm.embeddings.weight"}  # noqa: RUF012 (the base class's form)

    def _before_head(self, hidden: torch.Tensor) -> torch.Tensor:
        return _along_rows(hidden, self.config.output_dropout, self.training)

    def _penalty(
        self, hidden: torch.Tensor, read: torch.Tensor, attention_mask: torch.Tensor | None
    ) -> torch.Tensor | float:
        real = real_tokens(hidden, attention_mask)
        both = (real[:, 1:] & real[:, :-1])[..., None]
        strength = read.square().sum() / (real.sum().clamp(min=1) * read.shape[2])
        change = ((hidden[:, 1:] - hidden[:, :-1]).square() * both).sum() / (both.sum().clamp(min=1) * read.shape[2])
        return self.config.activation_penalty * strength + self.config.slowness_penalty * change


class AwdLstmForSequenceClassification(ProteinForSequenceClassification, AwdLstmPreTrainedModel):
    """The LSTMs with a head for whole proteins; `labels` as in [`ProteinForSequenceClassification`]."""

    base_class = AwdLstmModel


class AwdLstmForTokenClassification(ProteinForTokenClassification, AwdLstmPreTrainedModel):
    """The LSTMs with a class for every residue; `labels` as in [`ProteinForTokenClassification`]."""

    base_class = AwdLstmModel
