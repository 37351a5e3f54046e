"""TAPE's LSTM (Rao et al. 2019): two stacks that read a protein from either end, and its language model."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .configuration_tape_lstm import TapeLstmConfig
from .modeling_protein_heads import (
    ProteinEncoder,
    ProteinForContactPrediction,
    ProteinForSequenceClassification,
    ProteinForTokenClassification,
    ProteinLanguageModel,
    ProteinPreTrainedModel,
)
from .modeling_protein_rnn import predict_from_both_sides, row_lengths, run_lstm, turn

__all__ = [
    "TapeLstmForContactPrediction",
    "TapeLstmForPreTraining",
    "TapeLstmForSequenceClassification",
    "TapeLstmForTokenClassification",
    "TapeLstmModel",
    "TapeLstmPreTrainedModel",
]


class TapeLstmPreTrainedModel(ProteinPreTrainedModel):
    """Weight initialisation and loading for the family."""

    config: TapeLstmConfig
    config_class = TapeLstmConfig
    base_model_prefix = "tape_lstm"
    _starts_normal = True


class TapeLstmModel(ProteinEncoder, TapeLstmPreTrainedModel):
    """Two stacks of LSTMs, one from either end; outputs beside each other.

    Args:
        config (`TapeLstmConfig`): Sizes and switches.
        add_pooling_layer (`bool`, defaults to `True`): Whether to build what makes `pooler_output`.
    """

    def __init__(self, config: TapeLstmConfig, add_pooling_layer: bool = True):
        super().__init__(config)
        layers = config.num_hidden_layers
        self.embeddings = nn.Embedding(config.vocab_size, config.embedding_size, padding_idx=config.pad_token_id)
        sizes = {
            "num_layers": layers,
            "batch_first": True,
            "dropout": config.hidden_dropout_prob if layers > 1 else 0.0,
        }
        self.forward_rnn = nn.LSTM(config.embedding_size, config.hidden_size, **sizes)
        self.reverse_rnn = nn.LSTM(config.embedding_size, config.hidden_size, **sizes)
        self.pool_layers = nn.Linear(2 * layers, 1) if add_pooling_layer else None
        self.pool_dense = nn.Linear(config.hidden_size, config.hidden_size) if add_pooling_layer else None
        self.post_init()

    def _read(
        self, embeds: torch.Tensor, mask: torch.Tensor, keep: bool
    ) -> tuple[list[torch.Tensor], torch.Tensor | None]:
        lengths = row_lengths(mask)
        ahead = run_lstm(self.forward_rnn, embeds, lengths, self._checkpoint())
        back = run_lstm(self.reverse_rnn, turn(embeds, lengths), lengths, self._checkpoint())
        layers = zip(ahead, back, strict=True) if keep else [(ahead[-1], back[-1])]
        states = [torch.cat([one, turn(other, lengths)], -1) for one, other in layers]
        pooled = None
        if self.pool_layers is not None and self.pool_dense is not None:
            rows = torch.arange(embeds.shape[0], device=lengths.device)
            last = torch.full_like(lengths, embeds.shape[1] - 1) if self.config.legacy_padding else lengths - 1
            ends = torch.stack([layer[rows, last] for layer in (*ahead, *back)], -1)  # (B, hidden, all layers)
            pooled = torch.tanh(self.pool_dense(self.pool_layers(ends)[..., 0]))
        return [embeds, *states], pooled


class TapeLstmForPreTraining(ProteinLanguageModel, TapeLstmPreTrainedModel):
    """Language model in both directions: a token is predicted from all before and all behind it.

    The logits at i are one linear map of the forward state at i - 1 plus the same map of the backward state at i + 1
    (zero beyond the ends), so inputs need no masking; `labels` are the input ids, -100 where not to predict.
    """

    def _build(self, config: TapeLstmConfig) -> None:
        self.tape_lstm = TapeLstmModel(config, add_pooling_layer=False)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size)

    def _logits(self, outputs: Any, attention_mask: torch.Tensor | None) -> torch.Tensor:
        return predict_from_both_sides(self.lm_head, *outputs.last_hidden_state.chunk(2, -1))


class TapeLstmForSequenceClassification(ProteinForSequenceClassification, TapeLstmPreTrainedModel):
    """TAPE's LSTM with a head for whole proteins; `labels` as in [`ProteinForSequenceClassification`]."""

    base_class = TapeLstmModel


class TapeLstmForTokenClassification(ProteinForTokenClassification, TapeLstmPreTrainedModel):
    """TAPE's LSTM with a class for every residue; `labels` as in [`ProteinForTokenClassification`]."""

    base_class = TapeLstmModel


class TapeLstmForContactPrediction(ProteinForContactPrediction, TapeLstmPreTrainedModel):
    """TAPE's LSTM with a contact head; `labels` as in [`ProteinForContactPrediction`].

    The original's head is built for half the width it gets and fails.
    """

    base_class = TapeLstmModel
