"""TAPE's LSTM (Rao et al. 2019): two stacks that read a protein from either end, and its language model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    conv1d,
    cross_entropy,
    dropout,
    linear,
    mse_loss,
)
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import (
    MaskedLMOutput,
    ModelOutput,
    TokenClassifierOutput,
)
from transformers.utils.generic import can_return_tuple

from .configuration_tape_lstm import TapeLstmConfig

__all__ = [
    "TapeLstmForContactPrediction",
    "TapeLstmForPreTraining",
    "TapeLstmForSequenceClassification",
    "TapeLstmForTokenClassification",
    "TapeLstmModel",
    "TapeLstmPreTrainedModel",
]


class TapeLstmWeightNorm(nn.Module):
    """A linear map (`kernel` 0) or convolution over tokens, its weight one direction tensor times one scalar gain."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 0):
        super().__init__()
        self.kernel = kernel
        self.weight_v = nn.Parameter(torch.empty(outputs, inputs, *([kernel] if kernel else [])).normal_(std=0.02))
        self.weight_g = nn.Parameter(self.weight_v.detach().norm())
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (..., inputs), or (B, inputs, T) with a kernel."""
        weight = self.weight_v * (self.weight_g / self.weight_v.norm())
        if self.kernel:
            return conv1d(x, weight.to(x.dtype), self.bias, padding=self.kernel // 2)
        return linear(x, weight.to(x.dtype), self.bias)


class TapeLstmProteinHead(nn.Sequential):
    """Labels of a protein from its pooled vector, (B, pooled) to (B, num_labels)."""

    def __init__(self, config: TapeLstmConfig):
        width = config.classifier_hidden_size
        hidden, output = (
            TapeLstmWeightNorm(config.pooled_size, width),
            TapeLstmWeightNorm(width, config.num_labels or 2),
        )
        super().__init__(hidden, nn.ReLU(), output)


class TapeLstmResidueHead(nn.Module):
    """Labels of residues; padding is kept out of the batch statistics and is zero for the convolutions."""

    def __init__(self, config: TapeLstmConfig):
        super().__init__()
        self.norm = nn.BatchNorm1d(config.representation_size)
        self.hidden = TapeLstmWeightNorm(config.representation_size, config.classifier_hidden_size, kernel=5)
        self.output = TapeLstmWeightNorm(config.classifier_hidden_size, config.num_labels or 2, kernel=3)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Map (B, T, width) to (B, T, num_labels)."""
        normed = torch.zeros_like(hidden)
        normed[mask] = self.norm(hidden[mask]).to(hidden.dtype)
        x = torch.relu(self.hidden(normed.transpose(1, 2))) * mask[:, None, :].to(hidden.dtype)
        return self.output(x).transpose(1, 2)


class TapeLstmContactHead(nn.Module):
    """Contact logits, one bilinear form a class: h_i · diag(w) · h_j + b.

    It is what is left of TAPE's head on [h_i * h_j, h_i - h_j] after the mean over both orders of i and j.

    The original's head is built for half the width it gets and fails.
    """

    def __init__(self, config: TapeLstmConfig):
        super().__init__()
        self.dropout = nn.Dropout(config.contact_dropout)
        self.product = nn.Linear(config.representation_size, 2)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Map residues (B, R, width) to symmetric logits (B, R, R, 2): no contact, contact."""
        hidden = self.dropout(hidden)
        weighed = hidden[:, None] * self.product.weight[:, None, :]
        logits = weighed @ hidden[:, None].transpose(-1, -2) + self.product.bias[:, None, None]
        return logits.permute(0, 2, 3, 1)


@dataclass
class TapeLstmOutput(ModelOutput):
    """Output of [`TapeLstmModel`].

    Args:
        last_hidden_state (`torch.Tensor` of shape `(batch, tokens, representation_size)`): Zero at padding.
        pooler_output (`torch.Tensor` of shape `(batch, pooled_size)`): One vector a protein.
    """

    last_hidden_state: torch.Tensor | None = None
    pooler_output: torch.Tensor | None = None


class TapeLstmPreTrainedModel(PreTrainedModel):
    """Weight initialisation and loading for the family."""

    config: TapeLstmConfig
    config_class = TapeLstmConfig
    base_model_prefix = "tape_lstm"
    main_input_name = "input_ids"
    # The losses are means over their own batch; Trainer must divide by its accumulation steps.
    accepts_loss_kwargs = False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, TapeLstmWeightNorm):
            init.normal_(module.weight_v, std=0.02)
            init.copy_(module.weight_g, module.weight_v.norm())
            init.zeros_(module.bias)
        elif isinstance(module, (nn.Linear, nn.Embedding)):
            init.normal_(module.weight, std=self.config.initializer_range)
            if isinstance(module, nn.Linear) and module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.LSTM):
            bound = module.hidden_size**-0.5
            for parameter in module.parameters():
                init.uniform_(parameter, -bound, bound)
        elif isinstance(module, (nn.LayerNorm, nn.BatchNorm1d)):
            super()._init_weights(module)


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

    def get_input_embeddings(self) -> nn.Module:
        """The embedding of token ids."""
        return self.embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the embedding of token ids."""
        self.embeddings = value  # type: ignore[assignment]

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> TapeLstmOutput:
        """Represent every token and the protein.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): Token ids, first and last special.
            attention_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*): 1 for tokens, then 0 for padding.
            inputs_embeds (`torch.FloatTensor` of shape `(batch, tokens, embedding_size)`, *optional*): Instead of
                `input_ids`.
            **kwargs: Ignored; accepted so that generic callers can pass what other models take.

        Raises:
            ValueError: not exactly one input, or rows that are empty or padded on the left.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        embeds = self.embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        mask = _real_tokens(embeds, attention_mask)
        lengths = _lengths(mask)
        turned = _turn(embeds, lengths)
        last = torch.full_like(lengths, embeds.shape[1] - 1) if self.config.legacy_padding else lengths - 1
        ahead, ahead_states = _run(self.forward_rnn, embeds, last)
        back, back_states = _run(self.reverse_rnn, turned, last)
        hidden = torch.cat([ahead, _turn(back, lengths)], -1) * mask[..., None].to(ahead.dtype)
        pooled = None
        if self.pool_layers is not None and self.pool_dense is not None:
            states = torch.stack([*ahead_states, *back_states], -1)  # (B, hidden, all layers)
            pooled = torch.tanh(self.pool_dense(self.pool_layers(states)[..., 0]))
        return TapeLstmOutput(last_hidden_state=hidden, pooler_output=pooled)


def _run(rnn: nn.LSTM, values: torch.Tensor, last: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Outputs (B, T, hidden) of the last layer, and of every layer the state (B, hidden) at the token `last` (B,).

    Nothing needs packing: what is behind a row cannot reach it.
    """
    zeros = values.new_zeros(1, values.shape[0], rnn.hidden_size)
    rows = torch.arange(values.shape[0], device=values.device)
    states = []
    for layer, weights in enumerate(rnn.all_weights):
        values = dropout(values, rnn.dropout, rnn.training and layer > 0)
        values = torch.lstm(values, (zeros, zeros), weights, True, 1, 0.0, rnn.training, False, True)[0]
        states.append(values[rows, last])
    return values, states


def _turn(values: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Reverse the first `length` tokens of every row."""
    position = torch.arange(values.shape[1], device=values.device).expand(values.shape[:2])
    source = torch.where(position < lengths[:, None], lengths[:, None] - 1 - position, position)
    return values.gather(1, source[..., None].expand_as(values))


def _lengths(mask: torch.Tensor) -> torch.Tensor:
    """Tokens of each row, checked to be padded on the right and not empty."""
    lengths = mask.sum(1)
    fits = (mask == (torch.arange(mask.shape[1], device=mask.device) < lengths[:, None])).all(1) & (lengths > 0)
    if not bool(fits.all()):
        raise ValueError(f"row {fits.tolist().index(False)} is empty or padded on the left; pad on the right")
    return lengths


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
        hidden = self.tape_lstm(input_ids, attention_mask, inputs_embeds, **kwargs).last_hidden_state
        ahead, back = hidden.chunk(2, -1)
        before = nn.functional.pad(ahead[:, :-1], (0, 0, 1, 0))
        behind = nn.functional.pad(back[:, 1:], (0, 0, 0, 1))
        logits = self.lm_head(before) + self.lm_head(behind)
        return MaskedLMOutput(
            loss=None if labels is None else _masked_mean_loss(logits, labels),
            logits=logits,
        )


class _TapeLstmWithHead(TapeLstmPreTrainedModel):
    """The model and a head: what the three tasks have in common."""

    def __init__(self, config: TapeLstmConfig, classifier: nn.Module, add_pooling_layer: bool = False):
        super().__init__(config)
        self.num_labels = config.num_labels or 2
        self.tape_lstm = TapeLstmModel(config, add_pooling_layer=add_pooling_layer)
        self.classifier = classifier
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> TokenClassifierOutput:
        """Predict the labels of the task.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): As in [`TapeLstmModel`].
            attention_mask (`torch.Tensor`, *optional*): As there.
            inputs_embeds (`torch.FloatTensor`, *optional*): As there.
            labels (`torch.Tensor`, *optional*): As the class says.
            **kwargs: As there.

        Raises:
            ValueError: the shape of the labels does not fit the input.
        """
        outputs = self.tape_lstm(input_ids, attention_mask, inputs_embeds, **kwargs)
        logits = self._logits(outputs, attention_mask)
        return TokenClassifierOutput(loss=None if labels is None else self._loss(logits, labels), logits=logits)

    def _logits(self, outputs: TapeLstmOutput, attention_mask: torch.Tensor | None) -> torch.Tensor:
        raise NotImplementedError

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if labels.shape != logits.shape[:-1]:
            raise ValueError(
                f"labels have shape {tuple(labels.shape)}, wanted {tuple(logits.shape[:-1])}; give one label for each "
                "token or pair of residues, -100 at special tokens, padding and what to leave out"
            )
        return _masked_mean_loss(logits, labels)


class TapeLstmForSequenceClassification(_TapeLstmWithHead):
    """TAPE's LSTM with a head for whole proteins: classes, or one value when `num_labels` is 1.

    `labels` are (batch,) or (batch, num_labels): class indices, values, or 0/1 for each label, by
    `config.problem_type`.
    """

    def __init__(self, config: TapeLstmConfig):
        super().__init__(config, TapeLstmProteinHead(config), add_pooling_layer=True)

    def _logits(self, outputs: TapeLstmOutput, attention_mask: torch.Tensor | None) -> torch.Tensor:
        return self.classifier(outputs.pooler_output)

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return _protein_loss(self.config, logits, labels)


class TapeLstmForTokenClassification(_TapeLstmWithHead):
    """TAPE's LSTM with a class for every residue.

    `labels` are (batch, tokens): classes; -100 (any negative value) at special tokens, padding and residues to leave
    out.
    """

    def __init__(self, config: TapeLstmConfig):
        super().__init__(config, TapeLstmResidueHead(config))

    def _logits(self, outputs: TapeLstmOutput, attention_mask: torch.Tensor | None) -> torch.Tensor:
        hidden = outputs.last_hidden_state
        assert hidden is not None
        return self.classifier(hidden, _real_tokens(hidden, attention_mask))


class TapeLstmForContactPrediction(_TapeLstmWithHead):
    """TAPE's LSTM with a contact head; logits are (batch, residues, residues, 2).

    `labels` are (batch, tokens - 2, tokens - 2): 1 for contacts, 0 for none, any negative value for pairs to leave
    out.
    """

    def __init__(self, config: TapeLstmConfig):
        super().__init__(config, TapeLstmContactHead(config))

    def _logits(self, outputs: TapeLstmOutput, attention_mask: torch.Tensor | None) -> torch.Tensor:
        assert outputs.last_hidden_state is not None
        return self.classifier(outputs.last_hidden_state[:, 1:-1])


def _real_tokens(like: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
    """Boolean mask (B, T); every token is real when no mask is given."""
    if attention_mask is None:
        return torch.ones(like.shape[:2], dtype=torch.bool, device=like.device)
    return attention_mask.bool()


def _masked_mean_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy over what is labelled (label 0 or more); zero when nothing is."""
    labels = labels.flatten().masked_fill(labels.flatten() < 0, -100)
    total = cross_entropy(logits.flatten(0, -2).float(), labels, ignore_index=-100, reduction="sum")
    return total / (labels != -100).sum().clamp(min=1)


def _protein_loss(config: TapeLstmConfig, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Squared error, cross-entropy or binary cross-entropy, by `problem_type` or else by number and kind of labels."""
    problem = config.problem_type
    if problem is None:
        problem = "multi_label_classification" if labels.is_floating_point() else "single_label_classification"
        problem = "regression" if config.num_labels == 1 else problem
    if problem == "regression":
        return mse_loss(logits.float().flatten(), labels.float().flatten())
    if problem == "single_label_classification":
        return cross_entropy(logits.float(), labels.flatten())
    return binary_cross_entropy_with_logits(logits.float(), labels.float())
