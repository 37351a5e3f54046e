"""TAPE's LSTM (Rao et al. 2019): two stacks that read a protein from either end, and its language model."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers.modeling_outputs import BaseModelOutputWithPooling, MaskedLMOutput
from transformers.utils.generic import can_return_tuple

from .configuration_tape_lstm import TapeLstmConfig
from .modeling_protein_heads import (
    ProteinForContactPrediction,
    ProteinForSequenceClassification,
    ProteinForTokenClassification,
    ProteinPreTrainedModel,
    masked_mean_loss,
    real_tokens,
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


class TapeLstmModel(TapeLstmPreTrainedModel):
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
            `last_hidden_state` (batch, tokens, `representation_size`), zero at padding; `pooler_output` (batch,
            `pooled_size`).

        Raises:
            ValueError: not exactly one input, or rows that are empty or padded on the left.
        """
        embeds = self._embed(input_ids, inputs_embeds)
        mask = real_tokens(embeds, attention_mask)
        lengths = row_lengths(mask)
        ahead = run_lstm(self.forward_rnn, embeds, lengths)
        back = run_lstm(self.reverse_rnn, turn(embeds, lengths), lengths)
        hidden = torch.cat([ahead[-1], turn(back[-1], lengths)], -1) * mask[..., None].to(embeds.dtype)
        pooled = None
        if self.pool_layers is not None and self.pool_dense is not None:
            rows = torch.arange(len(lengths), device=lengths.device)
            last = torch.full_like(lengths, embeds.shape[1] - 1) if self.config.legacy_padding else lengths - 1
            states = torch.stack([layer[rows, last] for layer in (*ahead, *back)], -1)  # (B, hidden, all layers)
            pooled = torch.tanh(self.pool_dense(self.pool_layers(states)[..., 0]))
        return BaseModelOutputWithPooling(last_hidden_state=hidden, pooler_output=pooled)


class TapeLstmForPreTraining(TapeLstmPreTrainedModel):
    """Language model in both directions: a token is predicted from all before and all behind it.

    The logits at i are one linear map of the forward state at i - 1 plus the same map of the backward state at i + 1
    (zero beyond the ends), so inputs need no masking; `labels` are the input ids, -100 where not to predict.
    """

    def __init__(self, config: TapeLstmConfig):
        super().__init__(config)
        self.tape_lstm = TapeLstmModel(config, add_pooling_layer=False)
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
    ) -> MaskedLMOutput:
        """Predict every token from the others.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): As in [`TapeLstmModel`].
            attention_mask (`torch.Tensor`, *optional*): As there.
            inputs_embeds (`torch.FloatTensor`, *optional*): As there.
            labels (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): Ids to predict, -100 elsewhere.
            **kwargs: As there.
        """
        outputs = self.tape_lstm(input_ids, attention_mask, inputs_embeds, return_dict=True, **kwargs)
        logits = predict_from_both_sides(self.lm_head, *outputs.last_hidden_state.chunk(2, -1))
        loss = None if labels is None else masked_mean_loss(logits, labels)
        return MaskedLMOutput(loss=loss, logits=logits, hidden_states=outputs.hidden_states)


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
