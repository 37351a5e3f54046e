"""One-hot residues and the heads of TAPE: what the task gives without any pre-training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    conv1d,
    cross_entropy,
    linear,
    mse_loss,
    one_hot,
)
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import (
    ModelOutput,
    TokenClassifierOutput,
)
from transformers.utils.generic import can_return_tuple

from .configuration_onehot import OneHotConfig

__all__ = [
    "OneHotForContactPrediction",
    "OneHotForSequenceClassification",
    "OneHotForTokenClassification",
    "OneHotModel",
    "OneHotPreTrainedModel",
]


class OneHotWeightNorm(nn.Module):
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


class OneHotProteinHead(nn.Sequential):
    """Labels of a protein from its pooled vector, (B, pooled) to (B, num_labels)."""

    def __init__(self, config: OneHotConfig):
        width = config.classifier_hidden_size
        hidden = OneHotWeightNorm(config.pooled_size, width)
        super().__init__(hidden, nn.ReLU(), OneHotWeightNorm(width, config.num_labels or 2))


class OneHotResidueHead(nn.Module):
    """Labels of residues; padding is kept out of the batch statistics and is zero for the convolutions."""

    def __init__(self, config: OneHotConfig):
        super().__init__()
        self.norm = nn.BatchNorm1d(config.representation_size)
        self.hidden = OneHotWeightNorm(config.representation_size, config.classifier_hidden_size, kernel=5)
        self.output = OneHotWeightNorm(config.classifier_hidden_size, config.num_labels or 2, kernel=3)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Map (B, T, width) to (B, T, num_labels)."""
        normed = torch.zeros_like(hidden)
        normed[mask] = self.norm(hidden[mask]).to(hidden.dtype)
        x = torch.relu(self.hidden(normed.transpose(1, 2))) * mask[:, None, :].to(hidden.dtype)
        return self.output(x).transpose(1, 2)


class OneHotContactHead(nn.Module):
    """Contact logits, one bilinear form a class: h_i · diag(w) · h_j + b.

    It is what is left of TAPE's head on [h_i * h_j, h_i - h_j] after the mean over both orders of i and j.
    """

    def __init__(self, config: OneHotConfig):
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
class OneHotOutput(ModelOutput):
    """Output of [`OneHotModel`].

    Args:
        last_hidden_state (`torch.Tensor` of shape `(batch, tokens, representation_size)`): Zero at padding.
        pooler_output (`torch.Tensor` of shape `(batch, pooled_size)`): One vector a protein.
    """

    last_hidden_state: torch.Tensor | None = None
    pooler_output: torch.Tensor | None = None


class OneHotPreTrainedModel(PreTrainedModel):
    """Weight initialisation and loading for the family."""

    config: OneHotConfig
    config_class = OneHotConfig
    base_model_prefix = "onehot"
    main_input_name = "input_ids"
    # The losses are means over their own batch; Trainer must divide by its accumulation steps.
    accepts_loss_kwargs = False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, OneHotWeightNorm):
            init.normal_(module.weight_v, std=0.02)
            init.copy_(module.weight_g, module.weight_v.norm())
            init.zeros_(module.bias)
        elif isinstance(module, OneHotModel):
            init.zeros_(module.anchor)
        elif isinstance(module, nn.Linear):
            bound = module.in_features**-0.5
            init.uniform_(module.weight, -bound, bound)
            if module.bias is not None:
                init.uniform_(module.bias, -bound, bound)
        elif isinstance(module, (nn.LayerNorm, nn.BatchNorm1d)):
            super()._init_weights(module)


class OneHotModel(OneHotPreTrainedModel):
    """Identity over ids; the protein is the mean over its real tokens.

    It has no weights but a dummy of size one, which transformers needs to know its device and type.
    """

    def __init__(self, config: OneHotConfig):
        super().__init__(config)
        self.anchor = nn.Parameter(torch.zeros(1), requires_grad=False)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> OneHotOutput:
        """One-hot vectors of every token and their mean.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): Token ids, first and last special.
            attention_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*): 1 for tokens, then 0 for padding.
            inputs_embeds (`torch.FloatTensor` of shape `(batch, tokens, vocab_size)`, *optional*): Instead of
                `input_ids`.
            **kwargs: Ignored; accepted so that generic callers can pass what other models take.

        Raises:
            ValueError: not exactly one input.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        if inputs_embeds is None:
            assert input_ids is not None
            inputs_embeds = one_hot(input_ids, self.config.vocab_size).to(self.anchor.dtype)
        real = _real_tokens(inputs_embeds, attention_mask)[..., None].to(inputs_embeds.dtype)
        hidden = inputs_embeds * real
        return OneHotOutput(
            last_hidden_state=hidden,
            pooler_output=hidden.sum(1) / real.sum(1).clamp(min=1.0),
        )


class _OneHotWithHead(OneHotPreTrainedModel):
    """The model and a head: what the three tasks have in common."""

    def __init__(self, config: OneHotConfig, classifier: nn.Module):
        super().__init__(config)
        self.num_labels = config.num_labels or 2
        self.onehot = OneHotModel(config)
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
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): As in [`OneHotModel`].
            attention_mask (`torch.Tensor`, *optional*): As there.
            inputs_embeds (`torch.FloatTensor`, *optional*): As there.
            labels (`torch.Tensor`, *optional*): As the class says.
            **kwargs: As there.

        Raises:
            ValueError: the shape of the labels does not fit the input.
        """
        outputs = self.onehot(input_ids, attention_mask, inputs_embeds, **kwargs)
        logits = self._logits(outputs, attention_mask)
        return TokenClassifierOutput(loss=None if labels is None else self._loss(logits, labels), logits=logits)

    def _logits(self, outputs: OneHotOutput, attention_mask: torch.Tensor | None) -> torch.Tensor:
        raise NotImplementedError

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if labels.shape != logits.shape[:-1]:
            raise ValueError(
                f"labels have shape {tuple(labels.shape)}, wanted {tuple(logits.shape[:-1])}; give one label for each "
                "token or pair of residues, -100 at special tokens, padding and what to leave out"
            )
        return _masked_mean_loss(logits, labels)


class OneHotForSequenceClassification(_OneHotWithHead):
    """One-hot residues with a head for whole proteins: classes, or one value when `num_labels` is 1.

    `labels` are (batch,) or (batch, num_labels): class indices, values, or 0/1 for each label, by
    `config.problem_type`.
    """

    def __init__(self, config: OneHotConfig):
        super().__init__(config, OneHotProteinHead(config))

    def _logits(self, outputs: OneHotOutput, attention_mask: torch.Tensor | None) -> torch.Tensor:
        return self.classifier(outputs.pooler_output)

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return _protein_loss(self.config, logits, labels)


class OneHotForTokenClassification(_OneHotWithHead):
    """One-hot residues with a class for every residue.

    `labels` are (batch, tokens): classes; -100 (any negative value) at special tokens, padding and residues to leave
    out.
    """

    def __init__(self, config: OneHotConfig):
        super().__init__(config, OneHotResidueHead(config))

    def _logits(self, outputs: OneHotOutput, attention_mask: torch.Tensor | None) -> torch.Tensor:
        hidden = outputs.last_hidden_state
        assert hidden is not None
        return self.classifier(hidden, _real_tokens(hidden, attention_mask))


class OneHotForContactPrediction(_OneHotWithHead):
    """One-hot residues with a contact head; logits are (batch, residues, residues, 2).

    `labels` are (batch, tokens - 2, tokens - 2): 1 for contacts, 0 for none, any negative value for pairs to leave
    out.
    """

    def __init__(self, config: OneHotConfig):
        super().__init__(config, OneHotContactHead(config))

    def _logits(self, outputs: OneHotOutput, attention_mask: torch.Tensor | None) -> torch.Tensor:
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


def _protein_loss(config: OneHotConfig, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
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
