"""Protein BERTs: the layers and parameter names of `transformers`' BERT, with what TAPE and PLUS-TFM add.

Shape suffixes and symbols: B batch, T tokens of a row, R = T - 2 residues, d hidden size.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import BertConfig
from transformers.masking_utils import (
    create_bidirectional_mask,
    find_packed_sequence_indices,
    packed_sequence_mask_function,
)
from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions
from transformers.models.bert.modeling_bert import BertModel, BertOnlyMLMHead, BertPreTrainedModel
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple, is_flash_attention_requested

from .configuration_protein_bert import ProteinBertConfig
from .modeling_protein_heads import (
    PACKED_INPUTS,
    ProteinContactHead,
    ProteinForContactPrediction,
    ProteinForSequenceClassification,
    ProteinForTokenClassification,
    ProteinLanguageModel,
    ProteinPreTrainingOutput,
    ProteinResidueHead,
    ProteinTask,
    ProteinWeightNorm,
    exporting,
    init_like_pytorch,
    inner_tokens,
    mask_residues,
    masked_mean_loss,
    mean_over,
    weigh_losses,
)

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


class ProteinBertValueHead(nn.Sequential):
    """TAPE's head for whole proteins, (B, d) to (B, num_labels): two weight-normed layers with a ReLU between."""

    def __init__(self, config: ProteinBertConfig):
        hidden = ProteinWeightNorm(config.hidden_size, config.classifier_hidden_size)
        output = ProteinWeightNorm(config.classifier_hidden_size, config.num_labels or 2)
        super().__init__(OrderedDict(hidden=hidden, activation=nn.ReLU(), output=output))


class ProteinBertResidueHead(ProteinResidueHead):
    """The shared head for residues; `legacy_head_padding` lets padding in, as the original."""

    names = ("conv1", "conv2")

    def __init__(self, config: ProteinBertConfig):
        super().__init__(config)
        self.legacy_padding = config.legacy_head_padding

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Map (B, T, d) to (B, T, num_labels)."""
        if mask is not None and not self.legacy_padding:
            return super().forward(hidden, mask)
        x = self.conv1(self.norm(hidden.transpose(1, 2)))
        return self.conv2(torch.relu(x)).transpose(1, 2)


class ProteinBertPreTrainedModel(BertPreTrainedModel):
    """Initialisation, loading and export shared by the family; see `transformers.PreTrainedModel`."""

    config: ProteinBertConfig
    config_class = ProteinBertConfig
    # The losses are means over their own batch; Trainer must divide by its accumulation steps.
    accepts_loss_kwargs = False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, ProteinWeightNorm):
            module.reset(self.config.initializer_range)
        elif self.config.initialization == "pytorch" and isinstance(module, nn.Linear | nn.Embedding):
            init_like_pytorch(module)
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

    def _refuse_packed_rows(self, position_ids: torch.Tensor | None, attention_mask: torch.Tensor | None) -> None:
        if position_ids is not None and packed_proteins(position_ids, attention_mask) is not None:
            raise ValueError(
                f"{type(self).__name__} reads one protein or pair a row; these position_ids hold several. Packed rows "
                "are for the encoder, masked residues and residue labels with head_type='linear'"
            )

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
            elif stock_class == "BertForSequenceClassification" and self.config.sequence_head != "pooled":
                reasons.append(f"sequence_head={self.config.sequence_head!r} has no counterpart there")
            elif stock_class == "BertForSequenceClassification" and self.config.pooling != "pooler":
                reasons.append(f"pooling={self.config.pooling!r} has no counterpart there; train with 'pooler'")
        if reasons:
            raise ValueError(f"cannot export {type(self).__name__} as stock BERT: {'; '.join(reasons)}")
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=directory) as saved:  # the code of this class, which is saved too, stays behind
            self.save_pretrained(saved)
            for path in Path(saved).glob("model*.safetensors*"):
                path.replace(directory / path.name)
        config = self.config.to_dict()
        own = set(ProteinBertConfig.__annotations__) - set(BertConfig.__annotations__)
        for name in own | {"auto_map", "architectures", "model_type"}:
            config.pop(name, None)
        stock = BertConfig(**config)
        stock.architectures = [stock_class]
        stock.dtype = self.dtype
        stock.save_pretrained(directory)
        for path in directory.glob("model*.safetensors"):
            path.chmod((directory / "config.json").stat().st_mode)  # safetensors leaves it to its owner alone
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
            position_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): From 0 by default. Where they do
                not go up by one, a new protein begins; tokens attend within their own protein only, and
                `pooler_output` describes the first of the row.
            inputs_embeds (`torch.FloatTensor` of shape `(batch, tokens, hidden_size)`, *optional*): Instead of
                `input_ids`.
            **kwargs: `output_hidden_states`, `output_attentions`, `return_dict` and what the attention takes.

        Raises:
            ValueError: the input is longer than the learned positions reach, not exactly one input was given, or
                rows are packed in a way that this attention cannot keep apart.
        """
        source = input_ids if input_ids is not None else inputs_embeds
        if (input_ids is None) == (inputs_embeds is None) or source is None:
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        length, limit = source.shape[1], self.config.max_position_embeddings
        if self.config.position_embedding == "learned" and not exporting():
            longest = length if position_ids is None else int(position_ids.max()) + 1
            if longest > limit:
                raise ValueError(
                    f"{longest} tokens are more than max_position_embeddings={limit}; truncate, cut the protein into "
                    "pieces, or use position_embedding='sinusoidal'"
                )
        if position_ids is None:
            position_ids = torch.arange(length, device=source.device)[None]
            packed = [name for name in PACKED_INPUTS if kwargs.get(name) is not None]
            if packed:
                raise ValueError(f"proteins packed into a row need position_ids beside {packed[0]}: from 0 for each")
        elif (segments := packed_proteins(position_ids.expand(source.shape[:2]), attention_mask)) is not None:
            attention_mask = self._keep_apart(segments)
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

    def _keep_apart(self, segments: torch.Tensor) -> Any:
        """Attention mask that keeps tokens within their protein; `segments` (B, T) are its number."""
        attention = self.config._attn_implementation
        if is_flash_attention_requested(self.config):
            raise ValueError(f"attn_implementation={attention!r} cannot keep packed proteins apart here; use 'sdpa'")
        return create_bidirectional_mask(
            config=self.config,
            inputs_embeds=segments.new_empty(*segments.shape, 0, dtype=self.dtype),  # read for its shape only
            attention_mask=None,
            and_mask_function=packed_sequence_mask_function(segments),
        )


class _ProteinBertDecoder(ProteinBertPreTrainedModel):
    """A decoder of masked residues tied to the embedding; the same parameters as `BertForMaskedLM`."""

    _tied_weights_keys = _TIED
    cls: Any

    def get_output_embeddings(self) -> nn.Module:
        """The layer that scores the vocabulary."""
        return self.cls.predictions.decoder

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the layer that scores the vocabulary."""
        self.cls.predictions.decoder = new_embeddings
        self.cls.predictions.bias = new_embeddings.bias


class _ProteinBertTask(ProteinTask, ProteinBertPreTrainedModel):
    """A head on the encoder."""

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
    ) -> ModelOutput:
        """Predict the labels of the task.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): As in [`ProteinBertModel`].
            attention_mask (`torch.Tensor`, *optional*): As there.
            token_type_ids (`torch.LongTensor`, *optional*): As there.
            position_ids (`torch.LongTensor`, *optional*): As there.
            inputs_embeds (`torch.FloatTensor`, *optional*): As there.
            labels (`torch.Tensor`, *optional*): As the class says.
            **kwargs: As there.

        Raises:
            ValueError: the shape of the labels does not fit the input, or rows hold several packed proteins and the
                head is one of whole rows.
        """
        if not self._packs():
            self._refuse_packed_rows(position_ids, attention_mask)
        outputs, mlm_loss = self._encode(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, return_dict=True, **kwargs
        )
        return self._answer(outputs, attention_mask, labels, mlm_loss)

    def _packs(self) -> bool:
        """Whether the head may read rows that hold several proteins."""
        return True

    def _encode(self, *args: Any, **kwargs: Any) -> Any:
        """Outputs of the encoder and the loss of residues it has masked by itself."""
        return self.bert(*args, **kwargs), None


class ProteinBertForMaskedLM(ProteinLanguageModel, _ProteinBertTask, _ProteinBertDecoder):
    """Masked residues; the same parameters as `BertForMaskedLM`. `labels` are ids to predict, -100 elsewhere."""

    def _build(self, config: ProteinBertConfig) -> None:
        self.bert = ProteinBertModel(config, add_pooling_layer=False)
        self.cls = BertOnlyMLMHead(config)
        self._use_plus_layer_norm()

    def _logits(self, outputs: Any, attention_mask: torch.Tensor | None) -> torch.Tensor:
        return self.cls(outputs.last_hidden_state)


class ProteinBertForPreTraining(_ProteinBertDecoder):
    """PLUS pre-training of a BERT: masked residues and, for pairs in one row, same-family prediction on CLS."""

    def __init__(self, config: ProteinBertConfig):
        super().__init__(config)
        self.bert = ProteinBertModel(config, add_pooling_layer=config.pooling == "pooler")
        self.cls = BertOnlyMLMHead(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.sfp_head = nn.Linear(config.hidden_size, 2)
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
        same_family: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> ProteinPreTrainingOutput:
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

        Raises:
            ValueError: `same_family` was given for rows that hold several packed proteins.
        """
        if same_family is not None:
            self._refuse_packed_rows(position_ids, attention_mask)
        outputs = self.bert(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, return_dict=True, **kwargs
        )
        logits = self.cls(outputs.last_hidden_state)
        pooled = _pool(self.config, outputs, attention_mask)
        similarity = self.sfp_head(self.dropout(pooled))
        mlm_loss = None if labels is None else masked_mean_loss(logits, labels)
        sfp_loss = None if same_family is None else cross_entropy(similarity.float(), same_family.long())
        return ProteinPreTrainingOutput(
            loss=weigh_losses(self.config.mlm_weight, mlm_loss, sfp_loss),
            prediction_logits=logits,
            similarity_logits=similarity,
            mlm_loss=mlm_loss,
            sfp_loss=sfp_loss,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class _ProteinBertWithHead(_ProteinBertTask):
    """A head that may mask its own input while training, the masked-residue loss serving as a regulariser."""

    def _build(self, config: ProteinBertConfig) -> None:
        pooled = self.reads_pooled and config.pooling == "pooler"
        self.bert = ProteinBertModel(config, add_pooling_layer=pooled)
        # Not tied: the decoder of a head that is to be exported or fine-tuned must not pull the embeddings along.
        self.cls = BertOnlyMLMHead(config) if config.finetuning_mlm_weight > 0 else None
        self.dropout = nn.Dropout(config.hidden_dropout_prob if config.head_type == "linear" else 0.0)
        linear = self.head_class is not ProteinContactHead and config.head_type == "linear"
        self.classifier = nn.Linear(config.hidden_size, config.num_labels or 2) if linear else self._make_head(config)
        self._use_plus_layer_norm()

    def _packs(self) -> bool:
        return False

    def get_output_embeddings(self) -> nn.Module | None:
        """The layer that scores the vocabulary, where there is a regulariser."""
        return None if self.cls is None else self.cls.predictions.decoder

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the layer that scores the vocabulary."""
        assert self.cls is not None
        self.cls.predictions.decoder = new_embeddings
        self.cls.predictions.bias = new_embeddings.bias

    def _encode(self, input_ids: Any, *args: Any, **kwargs: Any) -> Any:
        config, targets = self.config, None
        if self.cls is not None and self.training and input_ids is not None:
            candidates = (input_ids >= config.first_residue_id) & (input_ids <= config.last_residue_id)
            wanted = (candidates.sum(1).double() * config.mlm_probability).floor()
            if config.max_masked is not None:
                wanted = wanted.clamp(max=config.max_masked)
            residues = range(config.first_residue_id, config.last_residue_id + 1)
            input_ids, targets = mask_residues(input_ids, candidates, wanted, config.mask_token_id, residues)
        outputs = self.bert(input_ids, *args, **kwargs)
        mlm_loss = None
        if self.cls is not None and targets is not None:
            chosen = targets != -100
            mlm_loss = masked_mean_loss(self.cls(outputs.last_hidden_state[chosen]), targets[chosen])
        return outputs, mlm_loss


class ProteinBertForSequenceClassification(ProteinForSequenceClassification, _ProteinBertWithHead):
    """Protein BERT with a head for whole proteins; `labels` as in [`ProteinForSequenceClassification`]."""

    head_class = ProteinBertValueHead

    def _pooled_logits(self, outputs: Any, attention_mask: torch.Tensor | None) -> torch.Tensor:
        return self.classifier(self.dropout(_pool(self.config, outputs, attention_mask)))


class ProteinBertForPairClassification(ProteinBertForSequenceClassification):
    """Protein BERT that reads two proteins as one row, CLS first SEP second SEP, and classifies the pair.

    Homology in PLUS: `num_labels=5`, the levels of SCOP; the expected level is Σ k · softmax(logits)_k.
    """

    may_read_residues = False


class ProteinBertForTokenClassification(ProteinForTokenClassification, _ProteinBertWithHead):
    """Protein BERT with a class for every residue: TAPE's convolutions, or a linear layer.

    `labels` as in [`ProteinForTokenClassification`].
    """

    head_class = ProteinBertResidueHead

    def _packs(self) -> bool:
        # Convolutions reach over the end of a protein.
        return self.config.head_type == "linear" or self.config.token_head == "linear"

    def _logits(self, outputs: Any, attention_mask: torch.Tensor | None) -> torch.Tensor:
        hidden = self.dropout(outputs.last_hidden_state)
        if isinstance(self.classifier, ProteinBertResidueHead):
            return self.classifier(hidden, attention_mask)
        return self.classifier(hidden)


class ProteinBertForContactPrediction(ProteinForContactPrediction, _ProteinBertWithHead):
    """Protein BERT with a bilinear contact head; `labels` as in [`ProteinForContactPrediction`].

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


def _pool(config: ProteinBertConfig, outputs: Any, attention_mask: torch.Tensor | None) -> torch.Tensor:
    """One vector a row, by `config.pooling`."""
    hidden = outputs.last_hidden_state
    if config.pooling == "pooler":
        return outputs.pooler_output
    if config.pooling == "cls":
        return hidden[:, 0]
    if attention_mask is None:
        return hidden[:, 1:-1].mean(1)
    return mean_over(inner_tokens(attention_mask), hidden)


def packed_proteins(position_ids: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor | None:
    """Number (B, T) of the protein each token belongs to, None where every row holds one.

    Each padding token counts as one of its own, so that it reaches no other.
    """
    if exporting() or (attention_mask is not None and attention_mask.ndim != 2):
        return None
    real = torch.ones_like(position_ids, dtype=torch.bool) if attention_mask is None else attention_mask.bool()
    segments = find_packed_sequence_indices(position_ids)
    if segments is None or not bool((segments.masked_fill(~real, 0) > 0).any()):
        return None
    return find_packed_sequence_indices(position_ids.masked_fill(~real, 0))
