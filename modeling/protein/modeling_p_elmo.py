"""P-ELMo, the language-model baseline of PLUS: its language model, and the encoder on top with its heads."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling, MaskedLMOutput
from transformers.utils.generic import can_return_tuple

from .configuration_p_elmo import PElmoConfig
from .modeling_protein_heads import (
    ProteinForSequenceClassification,
    ProteinForTokenClassification,
    ProteinPairOutput,
    ProteinPreTrainedModel,
    inner_tokens,
    masked_mean_loss,
    mean_over,
    ordinal_levels,
    ordinal_loss,
    real_tokens,
)
from .modeling_protein_rnn import predict_from_both_sides, row_lengths, run_lstm, turn
from .modeling_soft_align import soft_align

__all__ = [
    "PElmoForPairClassification",
    "PElmoForPreTraining",
    "PElmoForSequenceClassification",
    "PElmoForTokenClassification",
    "PElmoModel",
    "PElmoPreTrainedModel",
]


class PElmoPreTrainedModel(ProteinPreTrainedModel):
    """Weight initialisation and loading for the family."""

    config: PElmoConfig
    config_class = PElmoConfig
    base_model_prefix = "p_elmo"

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, PElmoForPairClassification):
            init.ones_(module.ordinal_weight)
            init.constant_(module.ordinal_bias, 10.0)
        else:
            super()._init_weights(module)

    def get_input_embeddings(self) -> nn.Module:
        """The language model's embedding of token ids."""
        return self.base_model.lm.embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the language model's embedding of token ids."""
        self.base_model.lm.embeddings = value


class PElmoLanguageModel(nn.Module):
    """One stack of LSTMs that reads a protein from either end with the same weights."""

    def __init__(self, config: PElmoConfig):
        super().__init__()
        self.embeddings = nn.Embedding(config.vocab_size, config.embedding_size, padding_idx=config.mask_token_id)
        size = config.lm_hidden_size
        inputs = [config.embedding_size, *[size] * (config.lm_num_layers - 1)]
        self.layers = nn.ModuleList([nn.LSTM(width, size, batch_first=True) for width in inputs])

    def forward(self, embeds: torch.Tensor, lengths: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """States of all layers, each (B, T, size): read from the start, and read from the end."""
        ahead, back = [], []
        one, other = embeds, turn(embeds, lengths)
        for layer in self.layers:  # what is behind a row cannot reach it, so nothing needs packing
            one, other = layer(one)[0], layer(other)[0]
            ahead.append(one)
            back.append(turn(other, lengths))
        return ahead, back


class PElmoModel(PElmoPreTrainedModel):
    """Language-model states and a residue embedding, summed, through a bidirectional LSTM over the residues.

    A residue's states are those of its neighbours, forward of i - 1 and backward of i + 1, which have not read it.

    Args:
        config (`PElmoConfig`): Sizes and switches.
        add_pooling_layer (`bool`, defaults to `True`): Whether to give `pooler_output`.
    """

    def __init__(self, config: PElmoConfig, add_pooling_layer: bool = True):
        super().__init__(config)
        self.add_pooling_layer = add_pooling_layer
        self.lm = PElmoLanguageModel(config)
        states = 2 * config.lm_num_layers * config.lm_hidden_size
        self.lm_projection = nn.Linear(states, config.input_size)
        # Residues only, so one row less than there are ids; the mask's row is the last and zero.
        self.embeddings = nn.Embedding(config.vocab_size - 1, config.input_size, padding_idx=config.mask_token_id - 1)
        self.rnn = nn.LSTM(
            config.input_size,
            config.hidden_size,
            num_layers=config.num_hidden_layers,
            batch_first=True,
            bidirectional=True,
        )
        self.lm.requires_grad_(not config.freeze_lm)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPooling:
        """Represent every token; the protein is the mean over its residues.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`): Token ids, first and last special.
            attention_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*): 1 for tokens, then 0 for padding.
                Needed for batches of different lengths, since padding shares its id with start and stop.
            inputs_embeds (`torch.FloatTensor`, *optional*): Not possible here.
            **kwargs: Ignored; accepted so that generic callers can pass what other models take.

        Returns:
            `last_hidden_state` (batch, tokens, `representation_size`), zero at start, stop and padding;
            `pooler_output` (batch, `pooled_size`).

        Raises:
            ValueError: `inputs_embeds` was given (there are two embeddings), or rows hold no residue or are padded on
                the left.
        """
        if input_ids is None or inputs_embeds is not None:
            raise ValueError("P-ELMo embeds its input twice, so it takes input_ids only")
        mask = real_tokens(input_ids, attention_mask)
        lengths = row_lengths(mask)
        if not bool((lengths > 2).all()):
            raise ValueError(f"row {(lengths > 2).tolist().index(False)} has no residue between start and stop")
        ahead, back = self.lm(self.lm.embeddings(input_ids), lengths)
        states = [state for one, other in zip(ahead, back, strict=True) for state in (one[:, :-2], other[:, 2:])]
        residues = self.embeddings((input_ids[:, 1:-1] - 1).clamp(min=0))
        hidden = torch.relu(self.lm_projection(torch.cat(states, -1)) + residues)
        inside = inner_tokens(mask)
        hidden = nn.functional.pad(run_lstm(self.rnn, hidden, lengths - 2)[-1], (0, 0, 1, 1))
        hidden = hidden * inside[..., None].to(hidden.dtype)
        pooled = mean_over(inside, hidden) if self.add_pooling_layer else None
        return BaseModelOutputWithPooling(last_hidden_state=hidden, pooler_output=pooled)


class PElmoForPreTraining(PElmoPreTrainedModel):
    """P-ELMo's language model: a residue is predicted from all before and all behind it.

    The logits at i are one linear map of the last layer's forward state at i - 1 plus the same map of the backward
    state at i + 1, so inputs need no masking; `labels` are the input ids, -100 where not to predict.
    """

    def __init__(self, config: PElmoConfig):
        super().__init__(config)
        self.lm = PElmoLanguageModel(config)
        self.lm_head = nn.Linear(config.lm_hidden_size, config.lm_vocab_size)
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
        """Predict every residue from the others.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): As in [`PElmoModel`].
            attention_mask (`torch.Tensor`, *optional*): As there.
            inputs_embeds (`torch.FloatTensor` of shape `(batch, tokens, embedding_size)`, *optional*): Instead of
                `input_ids`.
            labels (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): Ids to predict, -100 elsewhere; X and
                start and stop are left out.
            **kwargs: Ignored.
        """
        embeds = self._embed(input_ids, inputs_embeds)
        mask = real_tokens(embeds, attention_mask)
        ahead, back = self.lm(embeds, row_lengths(mask))
        logits = predict_from_both_sides(self.lm_head, ahead[-1], back[-1] * mask[..., None].to(embeds.dtype))
        loss = None
        if labels is not None:
            known = (labels > 0) & (labels < self.config.lm_vocab_size)
            loss = masked_mean_loss(logits, labels.masked_fill(~known, -100))
        return MaskedLMOutput(loss=loss, logits=logits)


class PElmoForPairClassification(PElmoPreTrainedModel):
    """P-ELMo with the ordinal comparison of two proteins by soft alignment, `num_labels` levels.

    A row holds both proteins, each with its start and stop, `token_type_ids` 1 for the second, as
    `tokenizer(first, second)` gives them.
    """

    def __init__(self, config: PElmoConfig):
        super().__init__(config)
        thresholds = (config.num_labels or 2) - 1
        self.num_labels = thresholds + 1
        self.p_elmo = PElmoModel(config)
        self.projection = nn.Linear(config.representation_size, config.projection_size)
        self.ordinal_weight = nn.Parameter(torch.ones(1, thresholds))
        self.ordinal_bias = nn.Parameter(torch.full((thresholds,), 10.0))
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> ProteinPairOutput:
        """Compare the two proteins of every row.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`): Both proteins, one behind the other.
            attention_mask (`torch.Tensor`, *optional*): As in [`PElmoModel`].
            token_type_ids (`torch.LongTensor` of shape `(batch, tokens)`): 0 for the first protein, 1 for the second.
            labels (`torch.LongTensor` of shape `(batch,)`, *optional*): Level of each pair, 0 to `num_labels - 1`.
            **kwargs: As there.
        """
        if input_ids is None or token_type_ids is None:
            raise ValueError("pairs need input_ids and token_type_ids: 0 for the first protein, 1 for the second")
        mask = real_tokens(input_ids, attention_mask)
        sides = []
        for second in (False, True):
            ids, own = _side(input_ids, mask & ((token_type_ids == 1) == second))
            z = self.projection(self.p_elmo(ids, own).last_hidden_state)
            sides.append((z, inner_tokens(own)))
        (first, in_first), (second, in_second) = sides
        scores = soft_align(first, second, in_first, in_second)
        ordinal = scores[:, None] * self.ordinal_weight.clamp(min=0.0) + self.ordinal_bias
        loss = None if labels is None else ordinal_loss(ordinal, labels)
        return ProteinPairOutput(loss=loss, logits=ordinal_levels(ordinal), ordinal_logits=ordinal, scores=scores)


def _side(input_ids: torch.Tensor, own: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Move one protein of every row to the front: its ids and mask, both (B, longest of them)."""
    lengths = own.sum(1)
    if not bool((lengths > 2).all()):
        raise ValueError(f"row {(lengths > 2).tolist().index(False)} is not a pair of proteins")
    first = own.int().argmax(1)
    position = torch.arange(int(lengths.max()), device=own.device)
    columns = (first[:, None] + position).clamp(max=own.shape[1] - 1)
    return input_ids.gather(1, columns), position < lengths[:, None]


class PElmoForSequenceClassification(ProteinForSequenceClassification, PElmoPreTrainedModel):
    """P-ELMo with a head for whole proteins; `labels` as in [`ProteinForSequenceClassification`]."""

    base_class = PElmoModel


class PElmoForTokenClassification(ProteinForTokenClassification, PElmoPreTrainedModel):
    """P-ELMo with a class for every residue; `labels` as in [`ProteinForTokenClassification`]."""

    base_class = PElmoModel
