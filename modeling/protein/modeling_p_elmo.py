"""P-ELMo, the language-model baseline of PLUS: its language model, and the encoder on top with its heads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutput, BaseModelOutputWithPooling
from transformers.utils.generic import can_return_tuple

from .configuration_p_elmo import PElmoConfig
from .modeling_protein_heads import (
    ProteinForSequenceClassification,
    ProteinForTokenClassification,
    ProteinLanguageModel,
    ProteinPairOutput,
    ProteinPreTrainedModel,
    ProteinTask,
    exporting,
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
    on_language_model = ("embeddings.", "lm_projection.", "rnn.")  # of the encoder: no language model has these

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

    def get_output_embeddings(self) -> None:
        """None: the decoder scores residues, not the vocabulary."""

    def resize_token_embeddings(self, new_num_tokens: int | None = None, *args: Any, **kwargs: Any) -> nn.Module:
        """Resize both embeddings of the input; see `transformers.PreTrainedModel.resize_token_embeddings`."""
        resized = super().resize_token_embeddings(new_num_tokens, *args, **kwargs)
        base = self.base_model
        if isinstance(base, PElmoModel):
            base.embeddings = self._get_resized_embeddings(base.embeddings, self.config.vocab_size - 1)
        return resized


class PElmoLanguageModel(nn.Module):
    """One stack of LSTMs that reads a protein from either end with the same weights."""

    def __init__(self, config: PElmoConfig):
        super().__init__()
        self.embeddings = nn.Embedding(config.vocab_size, config.embedding_size, padding_idx=config.mask_token_id)
        size = config.lm_hidden_size
        inputs = [config.embedding_size, *[size] * (config.lm_num_layers - 1)]
        self.layers = nn.ModuleList([nn.LSTM(width, size, batch_first=True) for width in inputs])

    def forward(
        self, embeds: torch.Tensor, lengths: torch.Tensor, checkpoint: Callable[..., Any] | None = None
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """States of all layers, each (B, T, size): read from the start, and read from the end."""
        ahead, back = [], []
        one, other = embeds, turn(embeds, lengths)
        for layer in self.layers:
            one, other = (run_lstm(layer, side, lengths, checkpoint)[0] for side in (one, other))
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
            **kwargs: `output_hidden_states`, `return_dict`; others are accepted so that generic callers can pass what
                other models take.

        Returns:
            `last_hidden_state` (batch, tokens, `representation_size`), zero at start, stop and padding;
            `pooler_output` (batch, `pooled_size`); on request `hidden_states`: what the bidirectional LSTM reads and
            the output of each of its layers.

        Raises:
            ValueError: `inputs_embeds` was given (there are two embeddings), several proteins are packed into a row,
                or rows hold no residue or are padded on the left.
        """
        self._refuse_foreign(kwargs)
        if input_ids is None or inputs_embeds is not None:
            raise ValueError("P-ELMo embeds its input twice, so it takes input_ids only")
        mask = real_tokens(input_ids, attention_mask)
        lengths = row_lengths(mask)
        if not exporting() and not bool((lengths > 2).all()):
            raise ValueError(f"row {(lengths > 2).tolist().index(False)} has no residue between start and stop")
        ahead, back = self.lm(self.lm.embeddings(input_ids), lengths, self._checkpoint())
        states = [state for one, other in zip(ahead, back, strict=True) for state in (one[:, :-2], other[:, 2:])]
        residues = self.embeddings((input_ids[:, 1:-1] - 1).clamp(min=0))
        hidden = torch.relu(self.lm_projection(torch.cat(states, -1)) + residues)
        inside = inner_tokens(mask)
        layers = [hidden, *run_lstm(self.rnn, hidden, lengths - 2, self._checkpoint())]
        wanted = self._wants_hidden_states(kwargs)
        padded = [
            nn.functional.pad(layer, (0, 0, 1, 1)) * inside[..., None].to(hidden.dtype)
            for layer in (layers if wanted else layers[-1:])
        ]
        return BaseModelOutputWithPooling(
            last_hidden_state=padded[-1],
            pooler_output=mean_over(inside, padded[-1]) if self.add_pooling_layer else None,
            hidden_states=tuple(padded) if wanted else None,
        )


class PElmoForPreTraining(ProteinLanguageModel, PElmoPreTrainedModel):
    """P-ELMo's language model: a residue is predicted from all before and all behind it.

    The logits at i are one linear map of the last layer's forward state at i - 1 plus the same map of the backward
    state at i + 1, so inputs need no masking; `labels` are the input ids, -100 where not to predict; X and start and
    stop are left out. `inputs_embeds` are (batch, tokens, `embedding_size`).
    """

    def _build(self, config: PElmoConfig) -> None:
        self.lm = PElmoLanguageModel(config)
        self.lm_head = nn.Linear(config.lm_hidden_size, config.lm_vocab_size)

    def _encode(self, input_ids: Any, attention_mask: Any, inputs_embeds: Any, **kwargs: Any) -> BaseModelOutput:
        """States of both directions side by side, the backward one zero at padding."""
        self._refuse_foreign(kwargs)
        embeds = self._embed(input_ids, inputs_embeds)
        mask = real_tokens(embeds, attention_mask)
        ahead, back = self.lm(embeds, row_lengths(mask), self._checkpoint())
        real = mask[..., None].to(embeds.dtype)
        states = None
        if self._wants_hidden_states(kwargs):
            states = (embeds * real, *(torch.cat(layer, -1) * real for layer in zip(ahead, back, strict=True)))
        hidden = torch.cat([ahead[-1], back[-1] * real], -1)
        return BaseModelOutput(last_hidden_state=hidden, hidden_states=states)

    def _logits(self, outputs: Any, attention_mask: torch.Tensor | None) -> torch.Tensor:
        return predict_from_both_sides(self.lm_head, *outputs.last_hidden_state.chunk(2, -1))

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        known = (labels > 0) & (labels < self.config.lm_vocab_size)
        return masked_mean_loss(logits, labels.masked_fill(~known, -100))


class PElmoForPairClassification(ProteinTask, PElmoPreTrainedModel):
    """P-ELMo with the ordinal comparison of two proteins by soft alignment, `num_labels` levels.

    A row holds both proteins, each with its start and stop, `token_type_ids` 1 for the second, as
    `tokenizer(first, second)` gives them.
    """

    def _num_classes(self) -> int:
        return 0

    def _build(self, config: PElmoConfig) -> None:
        thresholds = self.num_labels - 1
        self.p_elmo = PElmoModel(config)
        self.projection = nn.Linear(config.representation_size, config.projection_size)
        self.ordinal_weight = nn.Parameter(torch.ones(1, thresholds))
        self.ordinal_bias = nn.Parameter(torch.full((thresholds,), 10.0))

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
        kwargs["return_dict"] = True
        zs, insides, states = [], [], []
        for second in (False, True):
            ids, columns, own = _side(input_ids, mask & ((token_type_ids == 1) == second))
            outputs = self.p_elmo(ids, own, **kwargs)
            zs.append(self.projection(outputs.last_hidden_state))
            insides.append(inner_tokens(own))
            states.append([_put_back(state, columns, mask) for state in outputs.hidden_states or ()])
        scores = soft_align(*zs, *insides)
        ordinal = scores[:, None] * self.ordinal_weight.clamp(min=0.0) + self.ordinal_bias
        return ProteinPairOutput(
            loss=None if labels is None else ordinal_loss(ordinal, labels),
            logits=ordinal_levels(ordinal),
            ordinal_logits=ordinal,
            scores=scores,
            hidden_states=tuple(one + other for one, other in zip(*states, strict=True)) if states[0] else None,
        )


def _side(input_ids: torch.Tensor, own: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Move one protein of every row to the front: its ids, where they stood, and its mask, (B, longest of them)."""
    lengths = own.sum(1)
    if not exporting() and not bool((lengths > 2).all()):
        raise ValueError(f"row {(lengths > 2).tolist().index(False)} is not a pair of proteins")
    first = own.int().argmax(1)
    longest = own.shape[1] if exporting() else int(lengths.max())
    position = torch.arange(longest, device=own.device)
    columns = (first[:, None] + position).clamp(max=own.shape[1] - 1)
    return input_ids.gather(1, columns), columns, position < lengths[:, None]


def _put_back(state: torch.Tensor, columns: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """States of one protein of every row, zero behind it, at the columns where it stood."""
    whole = state.new_zeros(*mask.shape, state.shape[-1])
    return whole.scatter_add(1, columns[..., None].expand_as(state), state)


class PElmoForSequenceClassification(ProteinForSequenceClassification, PElmoPreTrainedModel):
    """P-ELMo with a head for whole proteins; `labels` as in [`ProteinForSequenceClassification`]."""

    base_class = PElmoModel


class PElmoForTokenClassification(ProteinForTokenClassification, PElmoPreTrainedModel):
    """P-ELMo with a class for every residue; `labels` as in [`ProteinForTokenClassification`]."""

    base_class = PElmoModel
