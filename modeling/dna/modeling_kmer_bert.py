"""The k-mer BERT family: BERT's layers and parameter names, with what nucleotide work adds.

Three things differ from `transformers.models.bert`, none of which changes a weight's name or shape, so checkpoints
load both ways and plain heads export as `model_type: bert`:

* masked-language-model heads score only the positions that carry a label (about one in seven), which is where most
  of the time of a small model over 4101 k-mers goes;
* several sequences may share a row, told apart by `position_ids` that start again;
* the sequence classifier takes inputs longer than the position table, cut into chunks (thesis of Hurmer, LMU 2022,
  the `dnalongcat` head), with any number of chunks up to `config.max_chunks`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import BertConfig
from transformers.masking_utils import create_bidirectional_mask, find_packed_sequence_indices
from transformers.modeling_outputs import (
    BaseModelOutputWithPoolingAndCrossAttentions,
    MaskedLMOutput,
    ModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from transformers.models.bert.modeling_bert import (
    BertModel,
    BertOnlyMLMHead,
    BertPreTrainedModel,
    BertPreTrainingHeads,
)
from transformers.utils.generic import can_return_tuple

from .configuration_kmer_bert import KmerBertConfig

__all__ = [
    "KmerBertForMaskedLM",
    "KmerBertForPreTraining",
    "KmerBertForPreTrainingOutput",
    "KmerBertForSequenceClassification",
    "KmerBertForTokenClassification",
    "KmerBertModel",
    "KmerBertPreTrainedModel",
]

_TIED = {
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}
_OWN_FIELDS = ("max_chunks", "classifier_pooling", "padding_attention", "auto_map", "architectures", "model_type")


class KmerBertPreTrainedModel(BertPreTrainedModel):
    """Initialisation, loading and export shared by the family; see `transformers.PreTrainedModel`."""

    # The annotation is a string here (postponed evaluation) and transformers would take it as it is for the class.
    config_class = KmerBertConfig
    config: KmerBertConfig  # type: ignore[assignment]

    def export_portable(self, directory: str | Path, tokenizer: Any = None) -> Path:
        """Write this model as a stock BERT that loads where nothing but transformers is installed.

        `AutoModel...from_pretrained(directory)` of the same head then gives the same logits on padded and unpadded
        batches of one sequence a row.

        Args:
            directory (`str` or `Path`): Folder to write into; created when missing.
            tokenizer (*optional*): A tokenizer with `save_portable(directory)`, written beside the weights.

        Returns:
            `Path`: `directory`, holding `model.safetensors`, a `config.json` of `model_type: bert`, and the
            tokenizer when one was given.

        Raises:
            ValueError: the model does something that `BertFor...` cannot express (chunked or mean-pooled
                classifier, padding that is attended to).
        """
        self._refuse_what_stock_bert_lacks()
        directory = Path(directory)
        self.save_pretrained(directory)
        config = self.config.to_dict()
        for name in _OWN_FIELDS:
            config.pop(name, None)
        stock = BertConfig(**config)
        stock.architectures = [type(self).__name__.removeprefix("Kmer")]
        stock.dtype = self.dtype
        stock.save_pretrained(directory)
        if tokenizer is not None:
            tokenizer.save_portable(directory)
        return directory

    def _refuse_what_stock_bert_lacks(self) -> None:
        if self.config.padding_attention != "masked":
            raise ValueError(
                f"padding_attention={self.config.padding_attention!r} lets padding change the result; stock BERT "
                "does not. Set config.padding_attention = 'masked' (same answers on unpadded input) and export again"
            )


class KmerBertModel(KmerBertPreTrainedModel, BertModel):
    """BERT encoder over k-mers, with packed rows and a clear error for inputs that are too long.

    Example:
    ```python
    >>> import torch
    >>> from seqformers import KmerBertConfig, KmerBertModel

    >>> config = KmerBertConfig(k=3, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    >>> model = KmerBertModel(config).eval()
    >>> model(torch.tensor([[2, 7, 9, 3]])).last_hidden_state.shape
    torch.Size([1, 4, 16])

    ```
    """

    def __init__(self, config: KmerBertConfig, add_pooling_layer: bool = True):
        super().__init__(config, add_pooling_layer)  # type: ignore[arg-type]

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
            input_ids (`torch.LongTensor` of shape `(batch, length)`): Token ids.
            attention_mask (`torch.Tensor` of shape `(batch, length)`, *optional*): 1 for tokens, 0 for padding.
            token_type_ids (`torch.LongTensor` of shape `(batch, length)`, *optional*): 0 or 1.
            position_ids (`torch.LongTensor` of shape `(batch, length)`, *optional*): Where they do not go up by
                one, a new sequence begins; tokens attend within their own sequence only. `pooler_output` then
                describes the first sequence of the row.
            inputs_embeds (`torch.FloatTensor` of shape `(batch, length, hidden)`, *optional*): Instead of
                `input_ids`.
            **kwargs: `output_hidden_states`, `output_attentions`, `return_dict` and what the attention takes.

        Raises:
            ValueError: the input is longer than the position table, or neither or both inputs were given.
        """
        source = input_ids if input_ids is not None else inputs_embeds
        if (input_ids is None) == (inputs_embeds is None) or source is None:
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        batch, length = source.shape[:2]
        limit = self.config.max_position_embeddings
        longest = length if position_ids is None else int(position_ids.max()) + 1
        if longest > limit:
            raise ValueError(
                f"a sequence of {longest} tokens does not fit max_position_embeddings={limit}; truncate it, cut it "
                "into windows, or classify it with KmerBertForSequenceClassification and config.max_chunks > 1"
            )
        segments = None
        if position_ids is not None and (attention_mask is None or attention_mask.ndim == 2):
            position_ids = position_ids.expand(batch, length)
            if attention_mask is not None:  # each pad a sequence of its own, so that it reaches no token
                position_ids = position_ids.masked_fill(attention_mask == 0, 0)
            segments = find_packed_sequence_indices(position_ids)
        if segments is not None and "flash" in (self.config._attn_implementation or ""):
            return self._flattened(input_ids, token_type_ids, position_ids, inputs_embeds, **kwargs)
        if segments is not None:
            attention_mask = self._packed_mask(segments)
        elif attention_mask is not None and attention_mask.ndim == 2:
            attention_mask = self._legacy_mask(attention_mask)
        return super().forward(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            **kwargs,
        )

    def _packed_mask(self, segments: torch.Tensor) -> Any:
        """Attention mask that keeps tokens within their sequence. `segments`: sequence number, `(batch, length)`."""
        attention = self.config._attn_implementation
        same = (segments[:, None, :, None] == segments[:, None, None, :]) if attention != "flex_attention" else None
        if attention == "sdpa":
            return same
        if attention == "eager" and same is not None:
            return torch.zeros_like(same, dtype=self.dtype).masked_fill(~same, torch.finfo(self.dtype).min)
        mask = create_bidirectional_mask(
            config=self.config,
            inputs_embeds=segments.new_empty(*segments.shape, 0, dtype=self.dtype),  # read for its shape only
            attention_mask=None,
            and_mask_function=lambda b, h, q, kv: segments[b, q] == segments[b, kv],
        )
        if mask is None:
            raise ValueError(f"attn_implementation={attention!r} cannot keep packed sequences apart; use 'sdpa'")
        return mask

    def _flattened(
        self,
        input_ids: torch.Tensor | None,
        token_type_ids: torch.Tensor | None,
        position_ids: torch.Tensor | None,
        inputs_embeds: torch.Tensor | None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, ...] | BaseModelOutputWithPoolingAndCrossAttentions:
        """Packed rows for flash attention, which tells sequences apart by `position_ids`, in a single row only."""
        assert position_ids is not None
        batch, length = position_ids.shape
        parts = {"input_ids": input_ids, "token_type_ids": token_type_ids, "inputs_embeds": inputs_embeds}
        flat = {
            name: value.reshape(1, batch * length, *value.shape[2:])
            for name, value in parts.items()
            if value is not None
        }
        outputs = super().forward(position_ids=position_ids.reshape(1, -1), return_dict=True, **flat, **kwargs)
        outputs.last_hidden_state = outputs.last_hidden_state.reshape(batch, length, -1)
        if self.pooler is not None:
            outputs.pooler_output = self.pooler(outputs.last_hidden_state)
        if outputs.hidden_states is not None:
            outputs.hidden_states = tuple(state.reshape(batch, length, -1) for state in outputs.hidden_states)
        as_object = self.config.return_dict if return_dict is None else return_dict
        return outputs if as_object else outputs.to_tuple()

    def _legacy_mask(self, attention_mask: torch.Tensor) -> torch.Tensor | None:
        """What `config.padding_attention` makes of a 2-D mask; a 4-D float mask is added to the scores as it is."""
        if self.config.padding_attention == "attended":
            return None
        if self.config.padding_attention == "additive":
            if self.config._attn_implementation not in ("eager", "sdpa"):
                raise ValueError("padding_attention='additive' needs attn_implementation 'eager' or 'sdpa'")
            return attention_mask[:, None, None, :].to(self.dtype)
        return attention_mask


def _masked_lm_loss(
    head: nn.Module, hidden: torch.Tensor, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy over the labelled positions, computing logits there and nowhere else.

    Args:
        head (`nn.Module`): Hidden states to logits.
        hidden (`torch.Tensor` of shape `(batch, length, hidden)`): Encoder output.
        labels (`torch.LongTensor` of shape `(batch, length)`): Token ids, -100 where there is nothing to predict.
        num_items_in_batch (`int`, *optional*): Labels in all accumulated batches; the mean is taken over these.

    Returns:
        `tuple`: loss, and logits of shape `(labelled, vocab)` in row-major order of the labels. Without any label
        the loss is 0 and not NaN.
    """
    labelled = labels != -100
    logits = head(hidden[labelled])
    total = nn.functional.cross_entropy(logits.float(), labels[labelled].long(), reduction="sum")
    return total / (max(len(logits), 1) if num_items_in_batch is None else num_items_in_batch), logits


class KmerBertForMaskedLM(KmerBertPreTrainedModel):
    """Masked language model over k-mers; the same parameters as `BertForMaskedLM`.

    Example:
    ```python
    >>> import torch
    >>> from seqformers import KmerBertConfig, KmerBertForMaskedLM

    >>> config = KmerBertConfig(k=3, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    >>> model = KmerBertForMaskedLM(config).eval()
    >>> ids = torch.tensor([[2, 7, 4, 9, 3]])
    >>> model(ids).logits.shape  # all positions
    torch.Size([1, 5, 69])
    >>> model(ids, labels=torch.tensor([[-100, -100, 8, -100, -100]])).logits.shape  # the labelled one
    torch.Size([1, 69])

    ```
    """

    _tied_weights_keys = _TIED

    def __init__(self, config: KmerBertConfig):
        super().__init__(config)
        self.bert = KmerBertModel(config, add_pooling_layer=False)
        self.cls = BertOnlyMLMHead(config)
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
        num_items_in_batch: torch.Tensor | int | None = None,
        **kwargs: Any,
    ) -> MaskedLMOutput:
        """Predict masked k-mers.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, length)`): As in [`KmerBertModel.forward`].
            attention_mask (`torch.Tensor`, *optional*): As there.
            token_type_ids (`torch.LongTensor`, *optional*): As there.
            position_ids (`torch.LongTensor`, *optional*): As there.
            inputs_embeds (`torch.FloatTensor`, *optional*): As there.
            labels (`torch.LongTensor` of shape `(batch, length)`, *optional*): Ids to predict, -100 elsewhere.
                With labels, `logits` has the shape `(labelled positions, vocab)`, in the order of
                `labels[labels != -100]`; without, `(batch, length, vocab)`.
            num_items_in_batch (`int`, *optional*): What the summed loss is divided by instead of the number of
                labels here; `Trainer` passes it when it accumulates gradients.
            **kwargs: As in [`KmerBertModel.forward`].
        """
        outputs = self.bert(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, return_dict=True, **kwargs
        )
        loss = None
        if labels is None:
            logits = self.cls(outputs.last_hidden_state)
        else:
            loss, logits = _masked_lm_loss(self.cls, outputs.last_hidden_state, labels, num_items_in_batch)
        return MaskedLMOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )


@dataclass
class KmerBertForPreTrainingOutput(ModelOutput):
    """Output of [`KmerBertForPreTraining`].

    Args:
        loss (`torch.Tensor`, *optional*): Sum of the losses whose labels were given.
        prediction_logits (`torch.Tensor`): `(batch, length, vocab)`, or `(labelled positions, vocab)` with `labels`.
        seq_relationship_logits (`torch.Tensor` of shape `(batch, 2)`): 0 means the second part follows the first.
        hidden_states (`tuple`, *optional*): Embeddings and the output of each layer, `(batch, length, hidden)`.
        attentions (`tuple`, *optional*): Of each layer, `(batch, heads, length, length)`.
    """

    loss: torch.Tensor | None = None
    prediction_logits: torch.Tensor | None = None
    seq_relationship_logits: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


class KmerBertForPreTraining(KmerBertPreTrainedModel):
    """Masked-language-model and next-sequence heads; the same parameters as `BertForPreTraining`."""

    _tied_weights_keys = _TIED
    # The two losses have different denominators, so Trainer shall average over accumulated batches itself.
    accepts_loss_kwargs = False

    def __init__(self, config: KmerBertConfig):
        super().__init__(config)
        self.bert = KmerBertModel(config)
        self.cls = BertPreTrainingHeads(config)
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
        next_sentence_label: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> KmerBertForPreTrainingOutput:
        """Predict masked k-mers, and whether the second part follows the first.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, length)`): As in [`KmerBertModel.forward`].
            attention_mask (`torch.Tensor`, *optional*): As there.
            token_type_ids (`torch.LongTensor`, *optional*): As there.
            position_ids (`torch.LongTensor`, *optional*): As there.
            inputs_embeds (`torch.FloatTensor`, *optional*): As there.
            labels (`torch.LongTensor` of shape `(batch, length)`, *optional*): Ids to predict, -100 elsewhere.
            next_sentence_label (`torch.LongTensor` of shape `(batch,)`, *optional*): 0 where the second part
                follows the first, 1 where it is a random one.
            **kwargs: As in [`KmerBertModel.forward`].
        """
        outputs = self.bert(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, return_dict=True, **kwargs
        )
        losses = []
        if labels is None:
            predictions = self.cls.predictions(outputs.last_hidden_state)
        else:
            masked, predictions = _masked_lm_loss(self.cls.predictions, outputs.last_hidden_state, labels, None)
            losses.append(masked)
        relationship = self.cls.seq_relationship(outputs.pooler_output)
        if next_sentence_label is not None:
            losses.append(nn.functional.cross_entropy(relationship.float(), next_sentence_label.long().view(-1)))
        return KmerBertForPreTrainingOutput(
            loss=torch.stack(losses).sum() if losses else None,
            prediction_logits=predictions,
            seq_relationship_logits=relationship,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class _Chunks(NamedTuple):
    """Inputs cut into chunks that fit the position table; only chunks that hold something are kept.

    Args:
        inputs (`dict`): `attention_mask`, `token_type_ids` and `input_ids` or `inputs_embeds`, each
            `(chunks, width, ...)`.
        residues (`torch.BoolTensor` of shape `(chunks, width)`): True for k-mers, False for special tokens and
            padding.
        row (`torch.LongTensor` of shape `(chunks,)`): Row of the batch a chunk comes from.
        place (`torch.LongTensor` of shape `(chunks,)`): Its number within that row.
    """

    inputs: dict[str, torch.Tensor]
    residues: torch.Tensor
    row: torch.Tensor
    place: torch.Tensor


class KmerBertForSequenceClassification(KmerBertPreTrainedModel):
    """Classifier or regressor of whole sequences, of any length up to `config.max_chunks` contexts.

    With `max_chunks=1` and `classifier_pooling="cls"` this is `BertForSequenceClassification`, parameter for
    parameter. Otherwise a row `[CLS] k-mers [SEP]` of any length is cut into chunks of
    `max_position_embeddings - 2` k-mers, each wrapped in [CLS] and [SEP] with positions that start at 0, and encoded;
    the pooled chunks, in order and with zeros for those a shorter row lacks, are concatenated and pass
    dropout, a linear layer to the hidden size, ReLU, dropout and the classifier. A row that already comes as
    `[CLS] ... [SEP] [CLS] ... [SEP]` is laid out in the same way. No padding reaches the result.

    Example:
    ```python
    >>> import torch
    >>> from seqformers import KmerBertConfig, KmerBertForSequenceClassification

    >>> config = KmerBertConfig(
    ...     k=3, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
    ...     max_position_embeddings=32, max_chunks=4,
    ... )
    >>> model = KmerBertForSequenceClassification(config).eval()
    >>> model(torch.cat([torch.tensor([2]), torch.arange(5, 69), torch.tensor([3])])[None]).logits.shape
    torch.Size([1, 2])

    ```
    """

    def __init__(self, config: KmerBertConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.bert = KmerBertModel(config)
        dropout = config.classifier_dropout if config.classifier_dropout is not None else config.hidden_dropout_prob
        self.dropout = nn.Dropout(dropout)
        if config.max_chunks > 1:
            self.chunk_projection = nn.Linear(config.max_chunks * config.hidden_size, config.hidden_size)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)  # type: ignore[arg-type]
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
        num_items_in_batch: torch.Tensor | int | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput:
        """Score whole sequences, one a row.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, length)`): As in [`KmerBertModel.forward`].
            attention_mask (`torch.Tensor`, *optional*): As there.
            token_type_ids (`torch.LongTensor`, *optional*): As there.
            position_ids (`torch.LongTensor`, *optional*): As there.
            inputs_embeds (`torch.FloatTensor`, *optional*): As there.
            labels (`torch.Tensor`, *optional*): `(batch,)` class numbers, `(batch, num_labels)` 0/1 as floats for
                several labels at once, or floats for regression (`num_labels=1`, or
                `config.problem_type="regression"`).
            num_items_in_batch (`int`, *optional*): What the summed loss is divided by instead of the number of
                labels here; `Trainer` passes it when it accumulates gradients.
            **kwargs: As in [`KmerBertModel.forward`].

        Returns:
            `SequenceClassifierOutput`: `logits` of shape `(batch, num_labels)`. With chunks, `hidden_states` and
            `attentions` are per chunk, rows in order.

        Raises:
            ValueError: a row needs more than `config.max_chunks` chunks, or is packed.
        """
        if position_ids is not None and find_packed_sequence_indices(position_ids) is not None:
            raise ValueError("sequence classification takes one sequence a row; these position_ids hold several")
        plain = self.config.max_chunks == 1 and self.config.classifier_pooling == "cls"
        if plain:
            outputs = self.bert(
                input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, return_dict=True, **kwargs
            )
            pooled = outputs.pooler_output
        else:
            chunks = self._cut(input_ids, attention_mask, token_type_ids, inputs_embeds)
            outputs = self.bert(**chunks.inputs, return_dict=True, **kwargs)
            pooled = self._join(outputs, chunks)
        logits = self.classifier(self.dropout(pooled))
        loss = None if labels is None else self._loss(logits, labels, num_items_in_batch)
        return SequenceClassifierOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )

    def _cut(
        self,
        input_ids: torch.Tensor | None,
        attention_mask: torch.Tensor | None,
        token_type_ids: torch.Tensor | None,
        inputs_embeds: torch.Tensor | None,
    ) -> _Chunks:
        """Lay rows out as chunks `[CLS] k-mers [SEP]`. Lengths below are in tokens."""
        source = input_ids if input_ids is not None else inputs_embeds
        if (input_ids is None) == (inputs_embeds is None) or source is None:
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        batch = len(source)
        mask = torch.ones(source.shape[:2], device=source.device) if attention_mask is None else attention_mask
        content = self._content(input_ids, mask != 0)
        counts_B = content.sum(-1)
        size = self.config.max_position_embeddings - 2
        chunks_B = torch.div(counts_B + size - 1, size, rounding_mode="floor").clamp(min=1)
        if int(chunks_B.max()) > self.config.max_chunks:
            worst = int(counts_B.argmax())
            raise ValueError(
                f"row {worst} of the batch has {int(counts_B[worst])} k-mers; max_chunks={self.config.max_chunks} "
                f"chunks of {size} hold {self.config.max_chunks * size}. Truncate it to max_length="
                f"{self.config.max_chunks * size + 2}, or fine-tune with config.max_chunks={int(chunks_B.max())}"
            )
        row = torch.repeat_interleave(torch.arange(batch, device=source.device), chunks_B)
        place = torch.arange(len(row), device=source.device) - (chunks_B.cumsum(0) - chunks_B)[row]
        held = (counts_B[row] - place * size).clamp(max=size)  # k-mers in each chunk
        width = int(held.max()) + 2
        # Content first, in order; then position j of a chunk is content number place*size + j - 1 of its row.
        order = torch.argsort((~content).to(torch.uint8), dim=-1, stable=True)
        column = torch.arange(width, device=source.device)
        wanted = torch.minimum(place[:, None] * size + column - 1, counts_B[row, None] - 1).clamp(min=0)
        index = order[row[:, None], wanted]
        residues = (column >= 1) & (column <= held[:, None])
        is_sep = column == held[:, None] + 1
        inputs = {"attention_mask": (column <= held[:, None] + 1).to(mask.dtype)}
        if token_type_ids is not None:
            inputs["token_type_ids"] = token_type_ids[row[:, None], index] * (column <= held[:, None] + 1)
        if input_ids is not None:
            ids = torch.full_like(index, self.config.pad_token_id or 0)
            ids = torch.where(residues, input_ids[row[:, None], index], ids).masked_fill(
                is_sep, self.config.sep_token_id
            )
            ids[:, 0] = self.config.cls_token_id
            inputs["input_ids"] = ids
        if inputs_embeds is not None:
            table: torch.Tensor = self.bert.embeddings.word_embeddings.weight
            embeds = inputs_embeds[row[:, None], index] * residues[..., None]
            embeds = torch.where(is_sep[..., None], table[self.config.sep_token_id], embeds)
            embeds = torch.where((column == 0)[:, None], table[self.config.cls_token_id], embeds)
            inputs["inputs_embeds"] = embeds
        return _Chunks(inputs, residues, row, place)

    def _content(self, input_ids: torch.Tensor | None, real: torch.Tensor) -> torch.Tensor:
        """Which tokens are left, `(batch, length)` bool, when the [CLS] and [SEP] that frame a row or chunk are gone.

        A [SEP] inside (between the two parts of a pair) stays. Embeddings do not tell, so their first and last real
        positions are taken for the frame.
        """
        number = real.cumsum(-1)
        last = real & (number == number[:, -1:])
        if input_ids is None:
            return real & ~last & (number > 1)
        is_cls = real & (input_ids == self.config.cls_token_id)
        before_cls = torch.zeros_like(is_cls)
        before_cls[:, :-1] = is_cls[:, 1:]
        frame_end = (input_ids == self.config.sep_token_id) & (last | before_cls)
        return real & ~is_cls & ~frame_end

    def _join(self, outputs: Any, chunks: _Chunks) -> torch.Tensor:
        """One vector a row, `(batch, hidden)`, from the encoded chunks."""
        pooled_TH = outputs.pooler_output
        if self.config.classifier_pooling == "mean":
            weight = chunks.residues.to(outputs.last_hidden_state.dtype)
            mean_TH = torch.einsum("tlh,tl->th", outputs.last_hidden_state, weight)
            mean_TH = mean_TH / weight.sum(-1, keepdim=True).clamp(min=1)
            pooled_TH = self.bert.pooler(mean_TH[:, None])  # type: ignore[misc]
        batch = int(chunks.row[-1]) + 1
        if self.config.max_chunks == 1:
            return pooled_TH
        pooled_BCH = pooled_TH.new_zeros(batch, self.config.max_chunks, pooled_TH.shape[-1])
        pooled_BCH = pooled_BCH.index_put((chunks.row, chunks.place), pooled_TH)
        return nn.functional.relu(self.chunk_projection(self.dropout(pooled_BCH.flatten(1))))

    def _loss(
        self, logits: torch.Tensor, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None
    ) -> torch.Tensor:
        logits = logits.float()
        if self.config.problem_type is None:  # as BertForSequenceClassification decides it
            if self.num_labels == 1:
                self.config.problem_type = "regression"
            elif torch.is_floating_point(labels):
                self.config.problem_type = "multi_label_classification"
            else:
                self.config.problem_type = "single_label_classification"
        if self.config.problem_type == "single_label_classification":
            count = int((labels != -100).sum())
            total = nn.functional.cross_entropy(logits, labels.long().view(-1), reduction="sum")
        else:
            labels = labels.to(logits.dtype).view_as(logits)
            count = labels.numel()
            if self.config.problem_type == "regression":
                total = nn.functional.mse_loss(logits, labels, reduction="sum")
            else:
                total = nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
        return total / (max(count, 1) if num_items_in_batch is None else num_items_in_batch)

    def _refuse_what_stock_bert_lacks(self) -> None:
        super()._refuse_what_stock_bert_lacks()
        if self.config.max_chunks > 1 or self.config.classifier_pooling != "cls":
            raise ValueError(
                f"BertForSequenceClassification has no chunks and pools [CLS] only; this head has max_chunks="
                f"{self.config.max_chunks}, classifier_pooling={self.config.classifier_pooling!r}. Export the encoder "
                "with model.bert.export_portable(...), or publish the model with its code (write_model_repository)"
            )


class KmerBertForTokenClassification(KmerBertPreTrainedModel):
    """Classifier of every k-mer; the same parameters as `BertForTokenClassification`."""

    def __init__(self, config: KmerBertConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.bert = KmerBertModel(config, add_pooling_layer=False)
        dropout = config.classifier_dropout if config.classifier_dropout is not None else config.hidden_dropout_prob
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)  # type: ignore[arg-type]
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
        num_items_in_batch: torch.Tensor | int | None = None,
        **kwargs: Any,
    ) -> TokenClassifierOutput:
        """Score every token.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, length)`): As in [`KmerBertModel.forward`].
            attention_mask (`torch.Tensor`, *optional*): As there.
            token_type_ids (`torch.LongTensor`, *optional*): As there.
            position_ids (`torch.LongTensor`, *optional*): As there.
            inputs_embeds (`torch.FloatTensor`, *optional*): As there.
            labels (`torch.LongTensor` of shape `(batch, length)`, *optional*): Class numbers; -100 where there is
                none (special tokens, padding).
            num_items_in_batch (`int`, *optional*): What the summed loss is divided by instead of the number of
                labels here; `Trainer` passes it when it accumulates gradients.
            **kwargs: As in [`KmerBertModel.forward`].
        """
        outputs = self.bert(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, return_dict=True, **kwargs
        )
        logits = self.classifier(self.dropout(outputs.last_hidden_state))
        loss = None
        if labels is not None:
            total = nn.functional.cross_entropy(logits.float().flatten(0, 1), labels.long().flatten(), reduction="sum")
            count = (labels != -100).sum().clamp(min=1) if num_items_in_batch is None else num_items_in_batch
            loss = total / count
        return TokenClassifierOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )
