"""TAPE's ResNet (Rao et al. 2019), made independent of padding, and its masked-residue model."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import gelu
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer

from .configuration_tape_resnet import TapeResnetConfig
from .modeling_protein_heads import (
    ProteinEncoder,
    ProteinForContactPrediction,
    ProteinForSequenceClassification,
    ProteinForTokenClassification,
    ProteinPreTrainedModel,
    ProteinTiedLanguageModel,
)

__all__ = [
    "TapeResnetForContactPrediction",
    "TapeResnetForMaskedLM",
    "TapeResnetForSequenceClassification",
    "TapeResnetForTokenClassification",
    "TapeResnetModel",
    "TapeResnetPreTrainedModel",
]


class TapeResnetPreTrainedModel(ProteinPreTrainedModel):
    """Weight initialisation and loading for the family."""

    config: TapeResnetConfig
    config_class = TapeResnetConfig
    base_model_prefix = "tape_resnet"
    _starts_normal = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv1d):
            init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        else:
            super()._init_weights(module)


class TapeResnetBlock(GradientCheckpointingLayer):
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


class TapeResnetModel(ProteinEncoder, TapeResnetPreTrainedModel):
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

    def _read(
        self, embeds: torch.Tensor, mask: torch.Tensor, keep: bool
    ) -> tuple[list[torch.Tensor], torch.Tensor | None]:
        real = mask[..., None].to(embeds.dtype)
        x = self.dropout(self.norm(embeds + self._positions(embeds)))
        states = [x]
        for block in self.blocks:
            x = block(x, real)
            states = [*states, x] if keep else [x]
        return states, self._pool(x, mask) if self.pool_dense is not None else None

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
        scores = self.pool_attention(x)[..., 0]
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)  # under autocast not of the type of x
        return torch.tanh(self.pool_dense(torch.einsum("bt,btw->bw", scores.softmax(1).to(x.dtype), x)))


class TapeResnetForMaskedLM(ProteinTiedLanguageModel, TapeResnetPreTrainedModel):
    """Masked residues; the decoder is tied to the embedding. `labels` are ids to predict, -100 elsewhere."""

    base_class = TapeResnetModel
    _tied_weights_keys = {"lm_decoder.weight": "tape_resnet.embeddings.weight"}  # noqa: RUF012 (the base class's form)


class TapeResnetForSequenceClassification(ProteinForSequenceClassification, TapeResnetPreTrainedModel):
    """TAPE's ResNet with a head for whole proteins; `labels` as in [`ProteinForSequenceClassification`]."""

    base_class = TapeResnetModel


class TapeResnetForTokenClassification(ProteinForTokenClassification, TapeResnetPreTrainedModel):
    """TAPE's ResNet with a class for every residue; `labels` as in [`ProteinForTokenClassification`]."""

    base_class = TapeResnetModel


class TapeResnetForContactPrediction(ProteinForContactPrediction, TapeResnetPreTrainedModel):
    """TAPE's ResNet with a contact head; `labels` as in [`ProteinForContactPrediction`]."""

    base_class = TapeResnetModel
