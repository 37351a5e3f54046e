"""A dilated convolutional encoder of proteins, and the three heads that annotate them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple

from .configuration_protein_cnn import ProteinCnnConfig
from .modeling_protein_heads import (
    ProteinEncoder,
    ProteinForSequenceClassification,
    ProteinForTokenClassification,
    ProteinPreTrainedModel,
    ProteinTiedLanguageModel,
    inner_tokens,
    masked_mean_loss,
    mean_over,
    real_tokens,
)

__all__ = [
    "ProteinAnnotationOutput",
    "ProteinCnnForAnnotation",
    "ProteinCnnForMaskedLM",
    "ProteinCnnForSequenceClassification",
    "ProteinCnnForTokenClassification",
    "ProteinCnnModel",
    "ProteinCnnPreTrainedModel",
]


@dataclass
class ProteinAnnotationOutput(ModelOutput):
    """Output of [`ProteinCnnForAnnotation`].

    Args:
        loss (`torch.FloatTensor`, *optional*): Sum of the losses of the heads that were given labels.
        signal_logits (`torch.FloatTensor` of shape `(batch,)`): Signal peptide, above 0 for yes.
        topology_logits (`torch.FloatTensor` of shape `(batch, tokens, 4)`): Inside, outside, membrane, signal.
        structure_logits (`torch.FloatTensor` of shape `(batch, tokens, 3)`): Helix, strand, coil.
        hidden_states (`tuple`, *optional*): Embeddings and the output of each block.
    """

    loss: torch.Tensor | None = None
    signal_logits: torch.Tensor | None = None
    topology_logits: torch.Tensor | None = None
    structure_logits: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None


class ProteinCnnPreTrainedModel(ProteinPreTrainedModel):
    """Weight initialisation and loading for the family."""

    config: ProteinCnnConfig
    config_class = ProteinCnnConfig
    base_model_prefix = "protein_cnn"
    _starts_normal = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv1d):
            bound = (module.in_channels * module.kernel_size[0]) ** -0.5
            init.uniform_(module.weight, -bound, bound)
            if module.bias is not None:
                init.uniform_(module.bias, -bound, bound)
        else:
            super()._init_weights(module)


class ProteinCnnBlock(GradientCheckpointingLayer):
    """Norm, ReLU, narrow; norm, ReLU, dilated convolution over real tokens; norm, ReLU, widen; added to the input."""

    def __init__(self, config: ProteinCnnConfig, dilation: int):
        super().__init__()
        width, narrow, eps = config.hidden_size, config.bottleneck_size, config.layer_norm_eps
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.narrow = nn.Linear(width, narrow)
        self.norm2 = nn.LayerNorm(narrow, eps=eps)
        padding = dilation * (config.kernel_size // 2)
        self.conv = nn.Conv1d(narrow, narrow, config.kernel_size, padding=padding, dilation=dilation)
        self.norm3 = nn.LayerNorm(narrow, eps=eps)
        self.widen = nn.Linear(narrow, width)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """Map (B, T, width) with `real` (B, T, 1), 1 at tokens and 0 at padding."""
        inner = torch.relu(self.norm2(self.narrow(torch.relu(self.norm1(x))))) * real
        inner = self.conv(inner.transpose(1, 2)).transpose(1, 2)
        return x + self.dropout(self.widen(torch.relu(self.norm3(inner))))


class ProteinCnnModel(ProteinEncoder, ProteinCnnPreTrainedModel):
    """Embedding and a tower of dilated blocks (the ByteNet block of Kalchbrenner et al. 2016, without causality).

    What a token's vector says depends on `config.reach` tokens to either side and on no others, so a protein of any
    length can be read in pieces that overlap by twice that.

    Args:
        config (`ProteinCnnConfig`): Sizes.
        add_pooling_layer (`bool`, defaults to `True`): Whether to make `pooler_output`, the mean over the residues.
    """

    def __init__(self, config: ProteinCnnConfig, add_pooling_layer: bool = True):
        super().__init__(config)
        assert config.dilations is not None
        self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        dilations = [config.dilations[index % len(config.dilations)] for index in range(config.num_hidden_layers)]
        self.blocks = nn.ModuleList([ProteinCnnBlock(config, dilation) for dilation in dilations])
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.pools = add_pooling_layer
        self.post_init()

    def _read(
        self, embeds: torch.Tensor, mask: torch.Tensor, keep: bool
    ) -> tuple[list[torch.Tensor], torch.Tensor | None]:
        real = mask[..., None].to(embeds.dtype)
        x, states = embeds, [embeds]
        for block in self.blocks:
            x = block(x, real)
            states = [*states, x] if keep else [x]
        states[-1] = self.norm(states[-1])
        return states, mean_over(inner_tokens(mask), states[-1]) if self.pools else None


class ProteinCnnForMaskedLM(ProteinTiedLanguageModel, ProteinCnnPreTrainedModel):
    """Masked residues; the decoder is tied to the embedding. `labels` are ids to predict, -100 elsewhere."""

    base_class = ProteinCnnModel
    _tied_weights_keys = {"lm_decoder.weight": "protein_cnn.embeddings.weight"}  # noqa: RUF012 (the base class's form)


class ProteinCnnForSequenceClassification(ProteinForSequenceClassification, ProteinCnnPreTrainedModel):
    """The encoder with a head for whole proteins; `labels` as in [`ProteinForSequenceClassification`]."""

    base_class = ProteinCnnModel


class ProteinCnnForTokenClassification(ProteinForTokenClassification, ProteinCnnPreTrainedModel):
    """The encoder with a class for every residue; `labels` as in [`ProteinForTokenClassification`]."""

    base_class = ProteinCnnModel


class ProteinCnnForAnnotation(ProteinCnnPreTrainedModel):
    """Signal peptide, membrane topology and secondary structure of a protein, from one encoder.

    Example:
    ```python
    >>> import torch
    >>> from seqformers import ProteinCnnConfig, ProteinCnnForAnnotation
    >>> config = ProteinCnnConfig(hidden_size=8, bottleneck_size=4, num_hidden_layers=1)
    >>> output = ProteinCnnForAnnotation(config).eval()(torch.tensor([[2, 16, 14, 23, 3]]))
    >>> output.signal_logits.shape, output.topology_logits.shape, output.structure_logits.shape
    (torch.Size([1]), torch.Size([1, 5, 4]), torch.Size([1, 5, 3]))

    ```
    """

    def __init__(self, config: ProteinCnnConfig):
        super().__init__(config)
        width, hidden = config.hidden_size, config.classifier_hidden_size
        self.protein_cnn = ProteinCnnModel(config, add_pooling_layer=False)
        self.signal_head = _head(2 * width, hidden, 1)
        self.topology_blocks = nn.ModuleList([ProteinCnnBlock(config, d) for d in config.topology_dilations or ()])
        self.topology_head = _head(width, hidden, 4)
        own = config.structure_encoder
        self.structure_encoder = ProteinCnnModel(config, add_pooling_layer=False) if own else None
        self.structure_blocks = nn.ModuleList([ProteinCnnBlock(config, d) for d in config.structure_dilations or ()])
        self.structure_head = _head(width, hidden, 3)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        signal_labels: torch.Tensor | None = None,
        topology_labels: torch.Tensor | None = None,
        structure_labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> ProteinAnnotationOutput:
        """Annotate every protein of the batch.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): As in the base model.
            attention_mask (`torch.Tensor`, *optional*): As there.
            inputs_embeds (`torch.FloatTensor`, *optional*): As there.
            signal_labels (`torch.Tensor` of shape `(batch,)`, *optional*): 1 with a signal peptide, 0 without,
                negative where it is not known.
            topology_labels (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): 0 inside, 1 outside,
                2 membrane, 3 signal peptide; negative where it is not known.
            structure_labels (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): 0 helix, 1 strand, 2 coil;
                negative where it is not known.
            kwargs: As in the base model.
        """
        kwargs["return_dict"] = True
        outputs = self.protein_cnn(input_ids, attention_mask, inputs_embeds, **kwargs)
        hidden = outputs.last_hidden_state
        tokens = real_tokens(hidden, attention_mask)
        signal = self.signal_head(self._start(hidden, tokens))[:, 0]
        topology = self.topology_head(_through(self.topology_blocks, hidden, tokens))
        if self.structure_encoder is not None:
            if input_ids is None:
                raise ValueError("the head of structures has an embedding of its own, so this takes input_ids only")
            hidden = self.structure_encoder(input_ids, attention_mask, return_dict=True).last_hidden_state
        structure = self.structure_head(_through(self.structure_blocks, hidden, tokens))
        losses = []
        if signal_labels is not None and bool((known := signal_labels >= 0).any()):
            wanted = signal_labels[known].float()
            losses.append(binary_cross_entropy_with_logits(signal[known].float(), wanted))
        for logits, labels in ((topology, topology_labels), (structure, structure_labels)):
            if labels is not None:
                losses.append(masked_mean_loss(logits, labels))
        return ProteinAnnotationOutput(
            loss=torch.stack(losses).sum() if losses else None,
            signal_logits=signal,
            topology_logits=topology,
            structure_logits=structure,
            hidden_states=outputs.hidden_states,
        )

    def _start(self, hidden: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """Mean and maximum (B, 2 width) over the first residues."""
        window = self.config.signal_window + 1
        hidden, chosen = hidden[:, :window], inner_tokens(real)[:, :window]
        lowest = torch.finfo(hidden.dtype).min
        top = hidden.masked_fill(~chosen[..., None], lowest).amax(1)
        return torch.cat([mean_over(chosen, hidden), torch.where(chosen.any(1)[:, None], top, 0.0)], 1)


def _through(blocks: nn.ModuleList, hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    real = tokens[..., None].to(hidden.dtype)
    for block in blocks:
        hidden = block(hidden, real)
    return hidden


def _head(width: int, hidden: int, labels: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(0.1), nn.Linear(hidden, labels))
