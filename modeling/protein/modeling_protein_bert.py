"""Protein BERTs: the layers and parameter names of `transformers`' BERT, with what TAPE and PLUS-TFM add.

Shape suffixes and symbols: B batch, T tokens of a row, R = T - 2 residues, d hidden size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, conv1d, cross_entropy, linear, mse_loss
from transformers import BertConfig
from transformers import initialization as init
from transformers.modeling_outputs import (
    BaseModelOutputWithPoolingAndCrossAttentions,
    MaskedLMOutput,
    ModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from transformers.models.bert.modeling_bert import BertModel, BertOnlyMLMHead, BertPreTrainedModel
from transformers.utils.generic import can_return_tuple

from .configuration_protein_bert import ProteinBertConfig

__all__ = [
    "ProteinBertForContactPrediction",
    "ProteinBertForMaskedLM",
    "ProteinBertForPairClassification",
    "ProteinBertForPreTraining",
    "ProteinBertForSequenceClassification",
    "ProteinBertForTokenClassification",
    "ProteinBertModel",
    "ProteinBertPreTrainedModel",
]

_TIED = {
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}


class ProteinBertPlusLayerNorm(nn.Module):
    """Layer norm of the PLUS-TFM code, which divides by √(s + ε), s being the standard deviation itself (n - 1)."""

    def __init__(self, width: int, eps: float):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise the last axis."""
        centred = x - x.mean(-1, keepdim=True)
        return self.weight * (centred / (x.std(-1, keepdim=True) + self.eps).sqrt()) + self.bias


class ProteinBertSinusoidalPositions(nn.Module):
    """Sine on even and cosine on odd channels; worked out when needed, so there is no table and no longest input."""

    def __init__(self, width: int):
        super().__init__()
        self.width = width

    def forward(self, position_ids: torch.Tensor) -> torch.Tensor:
        """Map positions (...) to (..., width)."""
        channel = torch.arange(0, self.width, 2, device=position_ids.device, dtype=torch.float32)
        angle = position_ids[..., None] * torch.exp(channel * (-math.log(10000.0) / self.width))
        return torch.stack([angle.sin(), angle.cos()], -1).flatten(-2)[..., : self.width]


class ProteinBertWeightNorm(nn.Module):
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


class ProteinBertValueHead(nn.Module):
    """TAPE's head for whole proteins: two weight-normed linear layers with a ReLU between."""

    def __init__(self, config: ProteinBertConfig):
        super().__init__()
        self.hidden = ProteinBertWeightNorm(config.hidden_size, config.classifier_hidden_size)
        self.output = ProteinBertWeightNorm(config.classifier_hidden_size, config.num_labels or 2)

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        """Map (B, d) to (B, num_labels)."""
        return self.output(torch.relu(self.hidden(pooled)))


class ProteinBertResidueHead(nn.Module):
    """TAPE's head for residues: batch norm, convolutions of width 5 and 3 with a ReLU between.

    Padding is kept out of the batch statistics and is zero for the convolutions, so a protein's labels do not depend
    on its batch; `legacy_head_padding` lets padding in, as the original.
    """

    def __init__(self, config: ProteinBertConfig):
        super().__init__()
        self.legacy_padding = config.legacy_head_padding
        self.norm = nn.BatchNorm1d(config.hidden_size)
        self.conv1 = ProteinBertWeightNorm(config.hidden_size, config.classifier_hidden_size, kernel=5)
        self.conv2 = ProteinBertWeightNorm(config.classifier_hidden_size, config.num_labels or 2, kernel=3)

    def forward(self, hidden: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
        """Map (B, T, d) to (B, T, num_labels)."""
        if attention_mask is None or self.legacy_padding:
            x = self.conv1(self.norm(hidden.transpose(1, 2)))
            return self.conv2(torch.relu(x)).transpose(1, 2)
        real = attention_mask.bool()
        normed = torch.zeros_like(hidden)
        normed[real] = self.norm(hidden[real]).to(hidden.dtype)
        x = torch.relu(self.conv1(normed.transpose(1, 2))) * real[:, None, :].to(hidden.dtype)
        return self.conv2(x).transpose(1, 2)


class ProteinBertContactHead(nn.Module):
    """Contact logits as one bilinear form for each class: h_i · diag(w) · h_j + b.

    TAPE maps [h_i * h_j, h_i - h_j] by a linear layer and averages over both orders of i and j, in which the
    difference half cancels. What is left is this form; the L × L × 2d tensor never exists.
    """

    def __init__(self, config: ProteinBertConfig):
        super().__init__()
        self.dropout = nn.Dropout(config.contact_dropout)
        self.product = nn.Linear(config.hidden_size, 2)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Map residues (B, R, d) to symmetric logits (B, R, R, 2): no contact, contact."""
        hidden = self.dropout(hidden)
        weighed = hidden[:, None] * self.product.weight[:, None, :]  # (B, 2, R, d)
        logits = weighed @ hidden[:, None].transpose(-1, -2)
        return (logits + self.product.bias[:, None, None]).permute(0, 2, 3, 1)


class ProteinBertPreTrainedModel(BertPreTrainedModel):
    """Initialisation, loading and export shared by the family; see `transformers.PreTrainedModel`."""

    config: ProteinBertConfig
    config_class = ProteinBertConfig
    # The losses are means over their own batch; Trainer must divide by its accumulation steps.
    accepts_loss_kwargs = False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, ProteinBertWeightNorm):
            init.normal_(module.weight_v, std=self.config.initializer_range)
            init.copy_(module.weight_g, module.weight_v.norm())
            init.zeros_(module.bias)
        elif self.config.initialization == "pytorch" and isinstance(module, nn.Linear):
            bound = 1.0 / math.sqrt(module.in_features)
            init.uniform_(module.weight, -bound, bound)
            if module.bias is not None:
                init.uniform_(module.bias, -bound, bound)
        elif self.config.initialization == "pytorch" and isinstance(module, nn.Embedding):
            if not getattr(module.weight, "_is_hf_initialized", False):
                init.normal_(module.weight)
                if module.padding_idx is not None:
                    init.zeros_(module.weight[module.padding_idx])
        else:
            super()._init_weights(module)

    def _use_plus_layer_norm(self) -> None:
        """Replace every layer norm of the module tree when the configuration asks for PLUS-TFM's."""
        if self.config.layer_norm != "plus":
            return
        for parent in list(self.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, nn.LayerNorm):
                    setattr(parent, name, ProteinBertPlusLayerNorm(child.normalized_shape[0], child.eps))

    def export_portable(self, directory: str | Path, tokenizer: Any = None) -> Path:
        """Write this model as a stock BERT that loads where nothing but transformers is installed.

        Args:
            directory (`str` or `Path`): Folder to write into; created when missing.
            tokenizer (*optional*): A tokenizer with `save_portable(directory)`, written beside the weights.

        Returns:
            `Path`: `directory`, holding `model.safetensors`, a `config.json` of `model_type: bert`, and the
            tokenizer when one was given.

        Raises:
            ValueError: the model does something that stock BERT cannot express.
        """
        stock_class = type(self).__name__.removeprefix("Protein")
        reasons = []
        if self.config.layer_norm != "standard" or self.config.position_embedding != "learned":
            reasons.append("layer_norm='plus' and position_embedding='sinusoidal' have no counterpart there")
        if stock_class not in ("BertModel", "BertForMaskedLM"):
            if stock_class not in ("BertForSequenceClassification", "BertForTokenClassification"):
                reasons.append(f"there is no {stock_class} like it")
            elif self.config.head_type != "linear":
                reasons.append("head_type='tape' has no counterpart there; train with head_type='linear'")
            elif stock_class == "BertForSequenceClassification" and self.config.pooling != "pooler":
                reasons.append(f"pooling={self.config.pooling!r} has no counterpart there; train with 'pooler'")
        if reasons:
            raise ValueError(f"cannot export {type(self).__name__} as stock BERT: {'; '.join(reasons)}")
        directory = Path(directory)
        self.save_pretrained(directory)
        config = self.config.to_dict()
        own = set(ProteinBertConfig.__annotations__) - set(BertConfig.__annotations__)
        for name in own | {"auto_map", "architectures", "model_type"}:
            config.pop(name, None)
        stock = BertConfig(**config)
        stock.architectures = [stock_class]
        stock.dtype = self.dtype
        stock.save_pretrained(directory)
        if tokenizer is not None:
            tokenizer.save_portable(directory)
        return directory


class ProteinBertModel(ProteinBertPreTrainedModel, BertModel):
    """BERT encoder over residues, with PLUS-TFM's layer norm and positions as switches of the configuration.

    Example:
    ```python
    >>> import torch
    >>> from seqformers import ProteinBertConfig, ProteinBertModel
    >>> config = ProteinBertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    >>> ProteinBertModel(config).eval()(torch.tensor([[2, 16, 14, 3]])).last_hidden_state.shape
    torch.Size([1, 4, 16])

    ```
    """

    def __init__(self, config: ProteinBertConfig, add_pooling_layer: bool = True):
        super().__init__(config, add_pooling_layer=add_pooling_layer)
        if config.position_embedding == "sinusoidal":
            self.embeddings.position_embeddings = ProteinBertSinusoidalPositions(config.hidden_size)
        self._use_plus_layer_norm()
        self.post_init()

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, ...] | BaseModelOutputWithPoolingAndCrossAttentions:
        """Encode a batch.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): Token ids, first and last special.
            attention_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*): 1 for tokens, 0 for padding.
            token_type_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): 1 for the second protein.
            position_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): From 0 by default.
            inputs_embeds (`torch.FloatTensor` of shape `(batch, tokens, hidden_size)`, *optional*): Instead of
                `input_ids`.
            **kwargs: `output_hidden_states`, `output_attentions`, `return_dict` and what the attention takes.

        Raises:
            ValueError: the input is longer than the learned positions reach, or not exactly one input was given.
        """
        source = input_ids if input_ids is not None else inputs_embeds
        if (input_ids is None) == (inputs_embeds is None) or source is None:
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        length, limit = source.shape[1], self.config.max_position_embeddings
        if position_ids is None:
            if length > limit and self.config.position_embedding == "learned":
                raise ValueError(
                    f"{length} tokens are more than max_position_embeddings={limit}; truncate, cut the protein into "
                    "pieces, or use position_embedding='sinusoidal'"
                )
            position_ids = torch.arange(length, device=source.device)[None]
        if token_type_ids is None:
            token_type_ids = torch.zeros(source.shape[:2], dtype=torch.long, device=source.device)
        return super().forward(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            **kwargs,
        )


class ProteinBertForMaskedLM(ProteinBertPreTrainedModel):
    """Masked residues; the same parameters as `BertForMaskedLM`."""

    _tied_weights_keys = _TIED

    def __init__(self, config: ProteinBertConfig):
        super().__init__(config)
        self.bert = ProteinBertModel(config, add_pooling_layer=False)
        self.cls = BertOnlyMLMHead(config)
        self._use_plus_layer_norm()
        self.post_init()

    def get_output_embeddings(self) -> nn.Module:
        """The layer that scores the vocabulary."""
        return self.cls.predictions.decoder

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the layer that scores the vocabulary."""
        self.cls.predictions.decoder = new_embeddings
        self.cls.predictions.bias = new_embeddings.bias

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> MaskedLMOutput:
        """Predict masked residues.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): As in [`ProteinBertModel`].
            attention_mask (`torch.Tensor`, *optional*): As there.
            token_type_ids (`torch.LongTensor`, *optional*): As there.
            position_ids (`torch.LongTensor`, *optional*): As there.
            inputs_embeds (`torch.FloatTensor`, *optional*): As there.
            labels (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): Ids to predict, -100 elsewhere.
            **kwargs: As there.
        """
        outputs = self.bert(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, return_dict=True, **kwargs
        )
        logits = self.cls(outputs.last_hidden_state)
        return MaskedLMOutput(
            loss=None if labels is None else _masked_mean_loss(logits, labels),
            logits=logits,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


@dataclass
class ProteinBertForPreTrainingOutput(ModelOutput):
    """Output of [`ProteinBertForPreTraining`].

    Args:
        loss (`torch.Tensor`, *optional*): λ · masked residues + (1 - λ) · same family, or the one whose labels came.
        prediction_logits (`torch.Tensor` of shape `(batch, tokens, vocab_size)`): Residue logits.
        similarity_logits (`torch.Tensor` of shape `(batch, 2)`): Other family, same family.
        mlm_loss (`torch.Tensor`, *optional*): Masked-residue loss.
        sfp_loss (`torch.Tensor`, *optional*): Same-family loss.
        hidden_states (`tuple`, *optional*): Embeddings and the output of each layer.
        attentions (`tuple`, *optional*): Of each layer.
    """

    loss: torch.Tensor | None = None
    prediction_logits: torch.Tensor | None = None
    similarity_logits: torch.Tensor | None = None
    mlm_loss: torch.Tensor | None = None
    sfp_loss: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


class ProteinBertForPreTraining(ProteinBertPreTrainedModel):
    """PLUS pre-training of a BERT: masked residues and, for pairs in one row, same-family prediction on CLS."""

    _tied_weights_keys = _TIED

    def __init__(self, config: ProteinBertConfig):
        super().__init__(config)
        self.bert = ProteinBertModel(config, add_pooling_layer=config.pooling == "pooler")
        self.cls = BertOnlyMLMHead(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.sfp_head = nn.Linear(config.hidden_size, 2)
        self._use_plus_layer_norm()
        self.post_init()

    def get_output_embeddings(self) -> nn.Module:
        """The layer that scores the vocabulary."""
        return self.cls.predictions.decoder

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the layer that scores the vocabulary."""
        self.cls.predictions.decoder = new_embeddings
        self.cls.predictions.bias = new_embeddings.bias

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        same_family: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> ProteinBertForPreTrainingOutput:
        """Predict masked residues and whether the two proteins of a row are of one family.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): As in [`ProteinBertModel`].
            attention_mask (`torch.Tensor`, *optional*): As there.
            token_type_ids (`torch.LongTensor`, *optional*): As there.
            position_ids (`torch.LongTensor`, *optional*): As there.
            inputs_embeds (`torch.FloatTensor`, *optional*): As there.
            labels (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): Ids to predict, -100 elsewhere.
            same_family (`torch.Tensor` of shape `(batch,)`, *optional*): 1 for pairs of one family, 0 for others.
            **kwargs: As there.
        """
        outputs = self.bert(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, return_dict=True, **kwargs
        )
        logits = self.cls(outputs.last_hidden_state)
        pooled = _pool(self.config, outputs, attention_mask)
        similarity = self.sfp_head(self.dropout(pooled))
        mlm_loss = None if labels is None else _masked_mean_loss(logits, labels)
        sfp_loss = None if same_family is None else cross_entropy(similarity.float(), same_family.long())
        loss = sfp_loss if mlm_loss is None else mlm_loss
        if mlm_loss is not None and sfp_loss is not None:
            loss = self.config.mlm_weight * mlm_loss + (1.0 - self.config.mlm_weight) * sfp_loss
        return ProteinBertForPreTrainingOutput(
            loss=loss,
            prediction_logits=logits,
            similarity_logits=similarity,
            mlm_loss=mlm_loss,
            sfp_loss=sfp_loss,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class _ProteinBertWithHead(ProteinBertPreTrainedModel):
    """A head that may mask its own input while training, the masked-residue loss serving as a regulariser."""

    def __init__(self, config: ProteinBertConfig, add_pooling_layer: bool):
        super().__init__(config)
        self.num_labels = config.num_labels or 2
        self.bert = ProteinBertModel(config, add_pooling_layer=add_pooling_layer)
        # Not tied: the decoder of a head that is to be exported or fine-tuned must not pull the embeddings along.
        self.cls = BertOnlyMLMHead(config) if config.finetuning_mlm_weight > 0 else None

    def _encode(self, input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, **kwargs):
        """Outputs of the encoder and the masked-residue loss, `None` unless training with the regulariser."""
        targets = None
        if self.cls is not None and self.training and input_ids is not None:
            input_ids, targets = _mask_residues(input_ids, self.config)
        outputs = self.bert(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, return_dict=True, **kwargs
        )
        if targets is None:
            return outputs, None
        chosen = targets != -100
        return outputs, _masked_mean_loss(self.cls(outputs.last_hidden_state[chosen]), targets[chosen])

    def _combine(self, task_loss: torch.Tensor, mlm_loss: torch.Tensor | None) -> torch.Tensor:
        if mlm_loss is None:
            return task_loss
        weight = self.config.finetuning_mlm_weight
        return weight * mlm_loss + (1.0 - weight) * task_loss


class ProteinBertForSequenceClassification(_ProteinBertWithHead):
    """Protein BERT with a head for whole proteins: classes, or one value when `num_labels` is 1."""

    def __init__(self, config: ProteinBertConfig):
        super().__init__(config, add_pooling_layer=config.pooling == "pooler")
        self.dropout = nn.Dropout(config.hidden_dropout_prob if config.head_type == "linear" else 0.0)
        self.classifier = _protein_head(config)
        self._use_plus_layer_norm()
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput:
        """Classify or value whole proteins.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): As in [`ProteinBertModel`].
            attention_mask (`torch.Tensor`, *optional*): As there.
            token_type_ids (`torch.LongTensor`, *optional*): As there.
            position_ids (`torch.LongTensor`, *optional*): As there.
            inputs_embeds (`torch.FloatTensor`, *optional*): As there.
            labels (`torch.Tensor` of shape `(batch,)` or `(batch, num_labels)`, *optional*): Class indices, values,
                or 0/1 for each label, by `config.problem_type`.
            **kwargs: As there.
        """
        outputs, mlm_loss = self._encode(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, **kwargs
        )
        logits = self.classifier(self.dropout(_pool(self.config, outputs, attention_mask)))
        loss = None if labels is None else self._combine(_protein_loss(self.config, logits, labels), mlm_loss)
        return SequenceClassifierOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )


class ProteinBertForPairClassification(ProteinBertForSequenceClassification):
    """Protein BERT that reads two proteins as one row, CLS first SEP second SEP, and classifies the pair.

    Homology in PLUS: `num_labels=5`, the levels of SCOP; the expected level is Σ k · softmax(logits)_k.
    """


class ProteinBertForTokenClassification(_ProteinBertWithHead):
    """Protein BERT with a class for every residue: TAPE's convolutions, or a linear layer."""

    def __init__(self, config: ProteinBertConfig):
        super().__init__(config, add_pooling_layer=False)
        self.dropout = nn.Dropout(config.hidden_dropout_prob if config.head_type == "linear" else 0.0)
        self.classifier: nn.Module = (
            ProteinBertResidueHead(config)
            if config.head_type == "tape"
            else nn.Linear(config.hidden_size, config.num_labels or 2)
        )
        self._use_plus_layer_norm()
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> TokenClassifierOutput:
        """Classify every residue.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): As in [`ProteinBertModel`].
            attention_mask (`torch.Tensor`, *optional*): As there.
            token_type_ids (`torch.LongTensor`, *optional*): As there.
            position_ids (`torch.LongTensor`, *optional*): As there.
            inputs_embeds (`torch.FloatTensor`, *optional*): As there.
            labels (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): Class of each residue; -100 (any
                negative value) at special tokens, padding and residues to leave out.
            **kwargs: As there.
        """
        outputs, mlm_loss = self._encode(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, **kwargs
        )
        hidden = self.dropout(outputs.last_hidden_state)
        if isinstance(self.classifier, ProteinBertResidueHead):
            logits = self.classifier(hidden, attention_mask)
        else:
            logits = self.classifier(hidden)
        loss = None
        if labels is not None:
            if labels.shape != logits.shape[:2]:
                raise ValueError(
                    f"labels have shape {tuple(labels.shape)}, the tokens {tuple(logits.shape[:2])}: give one label "
                    "for each token, -100 at special tokens and padding"
                )
            loss = self._combine(_masked_mean_loss(logits, labels, self.config.class_weights), mlm_loss)
        return TokenClassifierOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )


@dataclass
class ProteinBertContactOutput(ModelOutput):
    """Output of [`ProteinBertForContactPrediction`].

    Args:
        loss (`torch.Tensor`, *optional*): Mean cross-entropy over the labelled pairs.
        logits (`torch.Tensor` of shape `(batch, residues, residues, 2)`): No contact, contact; residues are the
            tokens but the first and the last column.
        hidden_states (`tuple`, *optional*): Embeddings and the output of each layer.
        attentions (`tuple`, *optional*): Of each layer.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


class ProteinBertForContactPrediction(_ProteinBertWithHead):
    """Protein BERT with a bilinear contact head.

    Example:
    ```python
    >>> import torch
    >>> from seqformers import ProteinBertConfig, ProteinBertForContactPrediction
    >>> config = ProteinBertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    >>> model = ProteinBertForContactPrediction(config).eval()
    >>> model(torch.tensor([[2, 16, 14, 23, 3]])).logits.shape
    torch.Size([1, 3, 3, 2])

    ```
    """

    def __init__(self, config: ProteinBertConfig):
        super().__init__(config, add_pooling_layer=False)
        self.classifier = ProteinBertContactHead(config)
        self._use_plus_layer_norm()
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> ProteinBertContactOutput:
        """Predict which residues are in contact.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): As in [`ProteinBertModel`].
            attention_mask (`torch.Tensor`, *optional*): As there.
            token_type_ids (`torch.LongTensor`, *optional*): As there.
            position_ids (`torch.LongTensor`, *optional*): As there.
            inputs_embeds (`torch.FloatTensor`, *optional*): As there.
            labels (`torch.LongTensor` of shape `(batch, tokens - 2, tokens - 2)`, *optional*): 1 for contacts, 0 for
                none, any negative value for pairs to leave out.
            **kwargs: As there.
        """
        outputs, mlm_loss = self._encode(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, **kwargs
        )
        logits = self.classifier(outputs.last_hidden_state[:, 1:-1])
        loss = None
        if labels is not None:
            if labels.shape != logits.shape[:3]:
                raise ValueError(
                    f"contact labels have shape {tuple(labels.shape)}, wanted {tuple(logits.shape[:3])}: one row and "
                    "column for each residue, padded with -100 to the longest of the batch"
                )
            loss = self._combine(_masked_mean_loss(logits, labels, self.config.class_weights), mlm_loss)
        return ProteinBertContactOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )


def _protein_head(config: ProteinBertConfig) -> nn.Module:
    if config.head_type == "tape":
        return ProteinBertValueHead(config)
    return nn.Linear(config.hidden_size, config.num_labels or 2)


def _pool(config: ProteinBertConfig, outputs: Any, attention_mask: torch.Tensor | None) -> torch.Tensor:
    """One vector a row, by `config.pooling`."""
    hidden = outputs.last_hidden_state
    if config.pooling == "pooler":
        return outputs.pooler_output
    if config.pooling == "cls":
        return hidden[:, 0]
    if attention_mask is None:
        return hidden[:, 1:-1].mean(1)
    # First and last real token are special.
    position = torch.arange(hidden.shape[1], device=hidden.device)
    inside = (position > 0) & (position < attention_mask.sum(1, keepdim=True) - 1) & attention_mask.bool()
    weights = inside.to(hidden.dtype)
    return torch.einsum("bt,btd->bd", weights, hidden) / weights.sum(1, keepdim=True).clamp(min=1.0)


def _mask_residues(input_ids: torch.Tensor, config: ProteinBertConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """Select residues of every row, hide 80 % of them, replace 10 % and keep 10 %."""
    candidates = (input_ids >= config.first_residue_id) & (input_ids <= config.last_residue_id)
    wanted = (candidates.sum(1).double() * config.mlm_probability).floor()
    if config.max_masked is not None:
        wanted = wanted.clamp(max=config.max_masked)
    keys = torch.rand(input_ids.shape, device=input_ids.device).masked_fill(~candidates, 2.0)
    rank = keys.argsort(1).argsort(1)
    chosen = (rank < wanted[:, None]) & candidates
    targets = input_ids.masked_fill(~chosen, -100)
    action = torch.rand(input_ids.shape, device=input_ids.device)
    random_ids = torch.randint_like(input_ids, config.first_residue_id, config.last_residue_id + 1)
    masked = torch.where(chosen & (action < 0.8), config.mask_token_id, input_ids)
    return torch.where(chosen & (action >= 0.8) & (action < 0.9), random_ids, masked), targets


def _masked_mean_loss(logits: torch.Tensor, labels: torch.Tensor, weights: list[float] | None = None) -> torch.Tensor:
    """Mean cross-entropy over what is labelled (label 0 or more); zero when nothing is."""
    logits, labels = logits.flatten(0, -2).float(), labels.flatten()
    labels = labels.masked_fill(labels < 0, -100)
    weight = None if weights is None else logits.new_tensor(weights)
    total = cross_entropy(logits, labels, weight=weight, ignore_index=-100, reduction="sum")
    if weight is None:
        return total / (labels != -100).sum().clamp(min=1)
    counted = weight[labels.clamp(min=0)].masked_fill(labels < 0, 0.0).sum()
    return total / counted.clamp(min=torch.finfo(torch.float32).tiny)


def _protein_loss(config: ProteinBertConfig, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Squared error, cross-entropy or binary cross-entropy, by `problem_type` or else by number and kind of labels."""
    problem = config.problem_type
    if problem is None:
        problem = "multi_label_classification" if labels.is_floating_point() else "single_label_classification"
        problem = "regression" if config.num_labels == 1 else problem
    if problem == "regression":
        return mse_loss(logits.float().flatten(), labels.float().flatten())
    if problem == "single_label_classification":
        weight = None if config.class_weights is None else logits.new_tensor(config.class_weights).float()
        return cross_entropy(logits.float(), labels.flatten(), weight=weight)
    return binary_cross_entropy_with_logits(logits.float(), labels.float())
