"""TAPE's ResNet (Rao et al. 2019), made independent of padding, and its masked-residue model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    conv1d,
    cross_entropy,
    gelu,
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

from .configuration_tape_resnet import TapeResnetConfig

__all__ = [
    "TapeResnetForContactPrediction",
    "TapeResnetForMaskedLM",
    "TapeResnetForSequenceClassification",
    "TapeResnetForTokenClassification",
    "TapeResnetModel",
    "TapeResnetPreTrainedModel",
]


class TapeResnetWeightNorm(nn.Module):
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


class TapeResnetProteinHead(nn.Sequential):
    """Labels of a protein from its pooled vector, (B, pooled) to (B, num_labels)."""

    def __init__(self, config: TapeResnetConfig):
        width = config.classifier_hidden_size
        hidden, output = (
            TapeResnetWeightNorm(config.pooled_size, width),
            TapeResnetWeightNorm(width, config.num_labels or 2),
        )
        super().__init__(hidden, nn.ReLU(), output)


class TapeResnetResidueHead(nn.Module):
    """Labels of residues; padding is kept out of the batch statistics and is zero for the convolutions."""

    def __init__(self, config: TapeResnetConfig):
        super().__init__()
        self.norm = nn.BatchNorm1d(config.representation_size)
        self.hidden = TapeResnetWeightNorm(config.representation_size, config.classifier_hidden_size, kernel=5)
        self.output = TapeResnetWeightNorm(config.classifier_hidden_size, config.num_labels or 2, kernel=3)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Map (B, T, width) to (B, T, num_labels)."""
        normed = torch.zeros_like(hidden)
        normed[mask] = self.norm(hidden[mask]).to(hidden.dtype)
        x = torch.relu(self.hidden(normed.transpose(1, 2))) * mask[:, None, :].to(hidden.dtype)
        return self.output(x).transpose(1, 2)


class TapeResnetContactHead(nn.Module):
    """Contact logits, one bilinear form a class: h_i · diag(w) · h_j + b.

    It is what is left of TAPE's head on [h_i * h_j, h_i - h_j] after the mean over both orders of i and j.
    """

    def __init__(self, config: TapeResnetConfig):
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
class TapeResnetOutput(ModelOutput):
    """Output of [`TapeResnetModel`].

    Args:
        last_hidden_state (`torch.Tensor` of shape `(batch, tokens, representation_size)`): Zero at padding.
        pooler_output (`torch.Tensor` of shape `(batch, pooled_size)`): One vector a protein.
    """

    last_hidden_state: torch.Tensor | None = None
    pooler_output: torch.Tensor | None = None


class TapeResnetPreTrainedModel(PreTrainedModel):
    """Weight initialisation and loading for the family."""

    config: TapeResnetConfig
    config_class = TapeResnetConfig
    base_model_prefix = "tape_resnet"
    main_input_name = "input_ids"
    # The losses are means over their own batch; Trainer must divide by its accumulation steps.
    accepts_loss_kwargs = False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, TapeResnetWeightNorm):
            init.normal_(module.weight_v, std=0.02)
            init.copy_(module.weight_g, module.weight_v.norm())
            init.zeros_(module.bias)
        elif isinstance(module, (nn.Linear, nn.Embedding)):
            init.normal_(module.weight, std=self.config.initializer_range)
            if isinstance(module, nn.Linear) and module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.Conv1d):
            init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, (nn.LayerNorm, nn.BatchNorm1d)):
            super()._init_weights(module)


class TapeResnetBlock(nn.Module):
    """Two convolutions of width 3 over real tokens, each with a layer norm, and an identity skip."""

    def __init__(self, config: TapeResnetConfig):
        super().__init__()
        width = config.hidden_size
        self.conv1 = nn.Conv1d(width, width, 3, padding=1, bias=False)
        self.norm1 = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.conv2 = nn.Conv1d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.LayerNorm(width, eps=config.layer_norm_eps)

    def forward(self, x: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """Map (B, T, width) with `real` (B, T, 1), 1 at tokens and 0 at padding."""
        out = gelu(self.norm1(self.conv1((x * real).transpose(1, 2)).transpose(1, 2)))
        out = self.norm2(self.conv2((out * real).transpose(1, 2)).transpose(1, 2))
        return gelu(out + x)


class TapeResnetModel(TapeResnetPreTrainedModel):
    """Embedding, sinusoidal positions and a tower of convolutional blocks.

    Args:
        config (`TapeResnetConfig`): Sizes and switches.
        add_pooling_layer (`bool`, defaults to `True`): Whether to build what makes `pooler_output`.
    """

    def __init__(self, config: TapeResnetConfig, add_pooling_layer: bool = True):
        super().__init__(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.blocks = nn.ModuleList([TapeResnetBlock(config) for _ in range(config.num_hidden_layers)])
        self.pool_attention = nn.Linear(config.hidden_size, 1) if add_pooling_layer else None
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
    ) -> TapeResnetOutput:
        """Represent every token and the protein.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): Token ids, first and last special.
            attention_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*): 1 for tokens, then 0 for padding.
            inputs_embeds (`torch.FloatTensor` of shape `(batch, tokens, hidden_size)`, *optional*): Instead of
                `input_ids`.
            **kwargs: Ignored; accepted so that generic callers can pass what other models take.

        Raises:
            ValueError: not exactly one input.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        embeds = self.embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        mask = _real_tokens(embeds, attention_mask)
        real = mask[..., None].to(embeds.dtype)
        x = self.dropout(self.norm(embeds + self._positions(embeds)))
        for block in self.blocks:
            x = block(x, real)
        pooled = self._pool(x, mask) if self.pool_dense is not None else None
        return TapeResnetOutput(last_hidden_state=x * real, pooler_output=pooled)

    def _positions(self, embeds: torch.Tensor) -> torch.Tensor:
        """Sines, then cosines, of every position (T, width)."""
        tokens, width = embeds.shape[1:]
        position = torch.arange(tokens, device=embeds.device, dtype=torch.float32)
        if self.config.legacy_positions:
            position = position.flip(0)
        channel = torch.arange(0, width, 2, device=embeds.device, dtype=torch.float32)
        angle = position[:, None] * 10000.0 ** (-channel / width)
        return torch.cat([angle.sin(), angle.cos()], -1)[:, :width].to(embeds.dtype)

    def _pool(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        assert self.pool_attention is not None and self.pool_dense is not None
        if self.config.legacy_pooling:
            return torch.tanh(self.pool_dense(x.sum(1)))
        scores = self.pool_attention(x)[..., 0].masked_fill(~mask, torch.finfo(x.dtype).min)
        return torch.tanh(self.pool_dense(torch.einsum("bt,btw->bw", scores.softmax(1), x)))


class TapeResnetForMaskedLM(TapeResnetPreTrainedModel):
    """Masked residues; the decoder is tied to the embedding."""

    _tied_weights_keys = {"lm_decoder.weight": "tape_resnet.embeddings.weight"}  # noqa: RUF012 (the base class's form)

    def __init__(self, config: TapeResnetConfig):
        super().__init__(config)
        self.tape_resnet = TapeResnetModel(config, add_pooling_layer=False)
        self.lm_dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.lm_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.lm_decoder = nn.Linear(config.hidden_size, config.vocab_size)
        self.post_init()

    def get_output_embeddings(self) -> nn.Module:
        """The layer that scores the vocabulary."""
        return self.lm_decoder

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the layer that scores the vocabulary."""
        self.lm_decoder = new_embeddings  # type: ignore[assignment]

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> MaskedLMOutput:
        """Predict masked residues.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): As in [`TapeResnetModel`].
            attention_mask (`torch.Tensor`, *optional*): As there.
            inputs_embeds (`torch.FloatTensor`, *optional*): As there.
            labels (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): Ids to predict, -100 elsewhere.
            **kwargs: As there.
        """
        hidden = self.tape_resnet(input_ids, attention_mask, inputs_embeds, **kwargs).last_hidden_state
        logits = self.lm_decoder(self.lm_norm(gelu(self.lm_dense(hidden))))
        return MaskedLMOutput(
            loss=None if labels is None else _masked_mean_loss(logits, labels),
            logits=logits,
        )


class _TapeResnetWithHead(TapeResnetPreTrainedModel):
    """The model and a head: what the three tasks have in common."""

    def __init__(self, config: TapeResnetConfig, classifier: nn.Module, add_pooling_layer: bool = False):
        super().__init__(config)
        self.num_labels = config.num_labels or 2
        self.tape_resnet = TapeResnetModel(config, add_pooling_layer=add_pooling_layer)
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
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): As in [`TapeResnetModel`].
            attention_mask (`torch.Tensor`, *optional*): As there.
            inputs_embeds (`torch.FloatTensor`, *optional*): As there.
            labels (`torch.Tensor`, *optional*): As the class says.
            **kwargs: As there.

        Raises:
            ValueError: the shape of the labels does not fit the input.
        """
        outputs = self.tape_resnet(input_ids, attention_mask, inputs_embeds, **kwargs)
        logits = self._logits(outputs, attention_mask)
        return TokenClassifierOutput(loss=None if labels is None else self._loss(logits, labels), logits=logits)

    def _logits(self, outputs: TapeResnetOutput, attention_mask: torch.Tensor | None) -> torch.Tensor:
        raise NotImplementedError

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if labels.shape != logits.shape[:-1]:
            raise ValueError(
                f"labels have shape {tuple(labels.shape)}, wanted {tuple(logits.shape[:-1])}; give one label for each "
                "token or pair of residues, -100 at special tokens, padding and what to leave out"
            )
        return _masked_mean_loss(logits, labels)


class TapeResnetForSequenceClassification(_TapeResnetWithHead):
    """TAPE's ResNet with a head for whole proteins: classes, or one value when `num_labels` is 1.

    `labels` are (batch,) or (batch, num_labels): class indices, values, or 0/1 for each label, by
    `config.problem_type`.
    """

    def __init__(self, config: TapeResnetConfig):
        super().__init__(config, TapeResnetProteinHead(config), add_pooling_layer=True)

    def _logits(self, outputs: TapeResnetOutput, attention_mask: torch.Tensor | None) -> torch.Tensor:
        return self.classifier(outputs.pooler_output)

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return _protein_loss(self.config, logits, labels)


class TapeResnetForTokenClassification(_TapeResnetWithHead):
    """TAPE's ResNet with a class for every residue.

    `labels` are (batch, tokens): classes; -100 (any negative value) at special tokens, padding and residues to leave
    out.
    """

    def __init__(self, config: TapeResnetConfig):
        super().__init__(config, TapeResnetResidueHead(config))

    def _logits(self, outputs: TapeResnetOutput, attention_mask: torch.Tensor | None) -> torch.Tensor:
        hidden = outputs.last_hidden_state
        assert hidden is not None
        return self.classifier(hidden, _real_tokens(hidden, attention_mask))


class TapeResnetForContactPrediction(_TapeResnetWithHead):
    """TAPE's ResNet with a contact head; logits are (batch, residues, residues, 2).

    `labels` are (batch, tokens - 2, tokens - 2): 1 for contacts, 0 for none, any negative value for pairs to leave
    out.
    """

    def __init__(self, config: TapeResnetConfig):
        super().__init__(config, TapeResnetContactHead(config))

    def _logits(self, outputs: TapeResnetOutput, attention_mask: torch.Tensor | None) -> torch.Tensor:
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


def _protein_loss(config: TapeResnetConfig, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
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
