"""The k-mer BERT family: BERT's layers and parameter names, with what nucleotide work adds.

These things differ from `transformers.models.bert`; but for the stem none changes a weight's name or shape, so
checkpoints load both ways and plain heads export as `model_type: bert`:

* in training, masked-language-model heads score only the positions that carry a label (about one in seven), which is
  where most of the time of a small model over 4101 k-mers goes, and the last layer computes no others either: nothing
  reads them;
* several sequences may share a row, told apart by `position_ids` that start again;
* with `config.stem_stride` above 1 the encoder reads tokens joined in groups (`modeling_dna_stem`);
* the sequence classifier takes inputs longer than the position table, cut into chunks (thesis of Hurmer, LMU 2022,
  the `dnalongcat` head), with any number of chunks up to `config.max_chunks`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn
from transformers import BertConfig
from transformers import initialization as init
from transformers.masking_utils import create_bidirectional_mask, find_packed_sequence_indices
from transformers.modeling_outputs import (
    BaseModelOutputWithPastAndCrossAttentions,
    BaseModelOutputWithPoolingAndCrossAttentions,
    MaskedLMOutput,
    ModelOutput,
)
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.bert.modeling_bert import (
    BertEncoder,
    BertModel,
    BertOnlyMLMHead,
    BertPreTrainedModel,
    BertPreTrainingHeads,
    eager_attention_forward,
)
from transformers.utils.generic import can_return_tuple

from .configuration_kmer_bert import FIRST_KMER, KmerBertConfig
from .modeling_dna_heads import (
    DnaForSequenceClassification,
    DnaForTokenClassification,
    masked_lm_loss,
    places_of_labels,
)
from .modeling_dna_stem import DnaStem

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
_OWN_FIELDS = (
    "architectures", "auto_map", "class_weights", "classifier_pooling", "composition", "focal_gamma",
    "masked_lm_logits", "max_chunks", "model_type", "padding_attention", "stem_stride", "stem_width", "strands",
)  # fmt: skip


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
        directory.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=directory) as saved:  # the code of this class, which is saved too, stays behind
            self.save_pretrained(saved)
            for path in Path(saved).glob("model*.safetensors*"):
                path.replace(directory / path.name)
        config = self.config.to_dict()
        for name in _OWN_FIELDS:
            config.pop(name, None)
        stock = BertConfig(**config)
        stock.architectures = [type(self).__name__.removeprefix("Kmer")]
        stock.dtype = self.dtype
        stock.save_pretrained(directory)
        for path in directory.glob("model*.safetensors"):
            path.chmod((directory / "config.json").stat().st_mode)  # safetensors leaves it to its owner alone
        if tokenizer is not None:
            tokenizer.save_portable(directory)
        return directory

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """As BERT's; the convolutions of a stem likewise."""
        super()._init_weights(module)
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            init.normal_(module.weight, 0.0, self.config.initializer_range)
            assert module.bias is not None
            init.zeros_(module.bias)

    def _refuse_what_stock_bert_lacks(self) -> None:
        if self.config.stem_stride > 1:
            raise ValueError(
                f"stock BERT has no stem; this model has stem_stride={self.config.stem_stride}: publish it with its "
                "code (write_model_repository)"
            )
        if self.config.padding_attention != "masked":
            raise ValueError(
                f"padding_attention={self.config.padding_attention!r} lets padding change the result; stock BERT "
                "does not. Set config.padding_attention = 'masked' (same answers on unpadded input) and export again"
            )


class _KmerBertEncoder(BertEncoder):
    """BERT's layers; the last one can compute some positions only."""

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: Any = None,
        *args: Any,
        wanted: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """Encode; with `wanted`, `(batch, places)`, the last state is that of these positions alone."""
        if wanted is None:
            return super().forward(hidden_states, attention_mask, *args, **kwargs)
        kwargs.pop("use_cache", None)
        for layer in self.layer[:-1]:
            hidden_states = layer(hidden_states, attention_mask, *args, **kwargs)
        layer = self.layer[-1]
        if hasattr(layer, "unshard"):  # spread over processes by FSDP, which gathers weights when a layer is called
            rows = torch.arange(len(wanted), device=wanted.device)[:, None]
            last = layer(hidden_states, attention_mask, *args, **kwargs)[rows, wanted]
        else:
            last = self._of_wanted(layer, hidden_states, attention_mask, wanted)
        return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=last)

    def _of_wanted(
        self, layer: Any, hidden_states: torch.Tensor, mask: torch.Tensor | None, wanted: torch.Tensor
    ) -> torch.Tensor:
        """`layer(hidden_states, mask)` at `wanted` positions: they ask, all positions answer."""
        attention, (batch, places) = layer.attention.self, wanted.shape
        rows = torch.arange(batch, device=wanted.device)[:, None]
        asking = hidden_states[rows, wanted]
        heads = (batch, -1, attention.num_attention_heads, attention.attention_head_size)
        query = attention.query(asking).view(heads).transpose(1, 2)
        key = attention.key(hidden_states).view(heads).transpose(1, 2)
        value = attention.value(hidden_states).view(heads).transpose(1, 2)
        if mask is not None and mask.shape[2] > 1:
            mask = mask.expand(batch, -1, -1, -1)[rows, :, wanted].transpose(1, 2)
        name = self.config._attn_implementation
        attend = eager_attention_forward if name in (None, "eager") else ALL_ATTENTION_FUNCTIONS[name]
        dropout = attention.dropout.p if self.training else 0.0
        found, _ = attend(attention, query, key, value, mask, dropout=dropout, scaling=attention.scaling)
        return layer.feed_forward_chunk(layer.attention.output(found.reshape(batch, places, -1), asking))


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
        self.encoder.__class__ = _KmerBertEncoder  # the same layers, initialised already
        if config.stem_stride > 1:
            self.stem = DnaStem(config)
            self.stem.apply(self._init_weights)

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
            **kwargs: `output_hidden_states`, `output_attentions`, `return_dict` and what the attention takes;
                `wanted`, `(batch, places)`: positions that the last layer computes, in place of all.

        Raises:
            ValueError: the input is longer than the position table, or neither or both inputs were given.
        """
        source = input_ids if input_ids is not None else inputs_embeds
        if (input_ids is None) == (inputs_embeds is None) or source is None:
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        batch, length = source.shape[:2]
        limit = self.config.max_position_embeddings
        # No sequence is longer than its row, so that most batches need not be looked at.
        longest = length if position_ids is None or length <= limit else int(position_ids.max()) + 1
        if longest > limit:
            raise ValueError(
                f"a sequence of {longest} tokens does not fit max_position_embeddings={limit}; truncate it, cut it "
                "into windows, or classify it with KmerBertForSequenceClassification and config.max_chunks > 1"
            )
        if self.config.stem_stride > 1:
            return self._by_stem(input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, **kwargs)
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

    def _by_stem(
        self,
        input_ids: torch.Tensor | None,
        attention_mask: torch.Tensor | None,
        token_type_ids: torch.Tensor | None,
        position_ids: torch.Tensor | None,
        inputs_embeds: torch.Tensor | None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, ...] | BaseModelOutputWithPoolingAndCrossAttentions:
        """Encode tokens joined in groups; hidden states and attentions are of the joined positions."""
        if position_ids is not None or (attention_mask is not None and attention_mask.ndim != 2):
            raise ValueError("a model with a stem counts its own positions: leave position_ids (packed rows) out")
        tokens = self.embeddings.word_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        real = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        real = real if attention_mask is None else attention_mask != 0
        joined, held = self.stem.joined(tokens, real)
        if token_type_ids is not None:  # that of the first token of each group
            token_type_ids = torch.cat([token_type_ids[:, :1], token_type_ids[:, 1 :: self.config.stem_stride]], 1)
        outputs = super().forward(
            inputs_embeds=joined,
            attention_mask=held.to(torch.long),
            token_type_ids=token_type_ids,
            return_dict=True,
            **kwargs,
        )
        outputs.last_hidden_state = self.stem.spread_out(outputs.last_hidden_state, tokens)
        as_object = self.config.return_dict if return_dict is None else return_dict
        return outputs if as_object else outputs.to_tuple()

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


class _KmerBertLanguageModel(KmerBertPreTrainedModel):
    """Scores of the vocabulary, by the embeddings of the k-mers."""

    _tied_weights_keys = _TIED
    cls: Any

    def get_output_embeddings(self) -> nn.Module:
        """The layer that scores the vocabulary."""
        return self.cls.predictions.decoder

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the layer that scores the vocabulary."""
        self.cls.predictions.decoder = new_embeddings
        self.cls.predictions.bias = new_embeddings.bias

    @property
    def _everywhere(self) -> bool:
        """Whether logits are wanted of positions without a label, too."""
        wanted = self.config.masked_lm_logits
        return not self.training if wanted == "auto" else wanted == "all"

    def _skips_unlabelled(self, position_ids: torch.Tensor | None, options: dict[str, Any]) -> bool:
        """Whether the last layer may leave out positions without a label: nothing reads them, and it knows how."""
        shown = any(
            options.get(name, getattr(self.config, name, False))
            for name in ("output_hidden_states", "output_attentions")
        )
        attention = self.config._attn_implementation or "eager"
        packed = position_ids is not None and ("flash" in attention or "flex" in attention)
        plain = self.config.stem_stride == 1 and not self.config.is_decoder
        return not self._everywhere and not shown and not packed and plain


class KmerBertForMaskedLM(_KmerBertLanguageModel):
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
    >>> labels = torch.tensor([[-100, -100, 8, -100, -100]])
    >>> model(ids, labels=labels).logits.shape, model.train()(ids, labels=labels).logits.shape  # there, the labelled
    (torch.Size([1, 5, 69]), torch.Size([1, 69]))

    ```
    """

    def __init__(self, config: KmerBertConfig):
        super().__init__(config)
        self.bert = KmerBertModel(config, add_pooling_layer=False)
        self.cls = BertOnlyMLMHead(config)
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
        scored_places: torch.Tensor | None = None,
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
                `logits` has the shape `(batch, length, vocab)`, but while training with labels
                `(labelled positions, vocab)`, in the order of `labels[labels != -100]`; `config.masked_lm_logits`
                asks for one of the two always.
            num_items_in_batch (`int`, *optional*): What the summed loss is divided by instead of the number of
                labels here; `Trainer` passes it when it accumulates gradients.
            scored_places (`torch.LongTensor` of shape `(batch, places)`, *optional*): Positions of the labels of each
                row, filled up with others; see [`places_of_labels`]. While training the last layer computes no
                others; given here, no step waits for the device to count them, and `logits` is
                `(batch * places, vocab)`.
            **kwargs: As in [`KmerBertModel.forward`].
        """
        counted = scored_places is not None
        if labels is None or not self._skips_unlabelled(position_ids, kwargs):
            scored_places = None
        elif scored_places is None:
            scored_places = places_of_labels(labels)
        outputs = self.bert(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            inputs_embeds,
            return_dict=True,
            **({} if scored_places is None else {"wanted": scored_places}),
            **kwargs,
        )
        loss = None
        if labels is None:
            logits = self.cls(outputs.last_hidden_state)
        else:
            labels = labels if scored_places is None else labels.gather(1, scored_places)
            everywhere = self._everywhere or (counted and scored_places is not None)
            loss, logits = masked_lm_loss(
                self.cls, outputs.last_hidden_state, labels, num_items_in_batch, everywhere=everywhere
            )
            logits = logits.flatten(0, 1) if everywhere and not self._everywhere else logits
        return MaskedLMOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )


@dataclass
class KmerBertForPreTrainingOutput(ModelOutput):
    """Output of [`KmerBertForPreTraining`].

    Args:
        loss (`torch.Tensor`, *optional*): Sum of the losses whose labels were given.
        prediction_logits (`torch.Tensor`): `(batch, length, vocab)`; while training with labels `(labelled positions,
            vocab)`, see `config.masked_lm_logits`.
        seq_relationship_logits (`torch.Tensor` of shape `(batch, 2)`): 0 means the second part follows the first.
        hidden_states (`tuple`, *optional*): Embeddings and the output of each layer, `(batch, length, hidden)`.
        attentions (`tuple`, *optional*): Of each layer, `(batch, heads, length, length)`.
    """

    loss: torch.Tensor | None = None
    prediction_logits: torch.Tensor | None = None
    seq_relationship_logits: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


class KmerBertForPreTraining(_KmerBertLanguageModel):
    """Masked-language-model and next-sequence heads; the same parameters as `BertForPreTraining`."""

    # The two losses have different denominators, so Trainer shall average over accumulated batches itself.
    accepts_loss_kwargs = False

    def __init__(self, config: KmerBertConfig):
        super().__init__(config)
        self.bert = KmerBertModel(config)
        self.cls = BertPreTrainingHeads(config)
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
            masked, predictions = masked_lm_loss(
                self.cls.predictions, outputs.last_hidden_state, labels, everywhere=self._everywhere
            )
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


def kmer_composition(input_ids: torch.Tensor, counted: torch.Tensor, k: int, stride: int, width: int) -> torch.Tensor:
    """Composition of rows in words of `width` bases, a word and its reverse complement counted as one.

    Every word that starts in the first `stride` bases of a token is counted, so each of the sequence once (where `k -
    width + 1 >= stride`, but for the last few).

    Args:
        input_ids (`torch.LongTensor` of shape `(batch, length)`): Tokens, bases in the order A, T, C, G.
        counted (`torch.BoolTensor` of shape `(batch, length)`): Which tokens are k-mers.
        k (`int`): Bases of a token.
        stride (`int`): Bases between the starts of neighbouring tokens.
        width (`int`): Bases of a word, at most `k`.

    Returns:
        `torch.FloatTensor` of shape `(batch, words)`: Square roots of the shares, times that of the number of words,
        so that they are about 1.
    """
    codes = (input_ids - FIRST_KMER).clamp(min=0)
    weight = counted.float()
    counts = weight.new_zeros(len(input_ids), 4**width)
    for offset in range(min(stride, k - width + 1)):
        counts = counts.scatter_add(1, codes // 4 ** (k - width - offset) % 4**width, weight)
    first, other = (torch.tensor(places, device=counts.device) for places in _strands_as_one(width))
    merged = (counts[:, first] + counts[:, other]) * torch.where(first == other, 0.5, 1.0)
    return 2 * (merged.sqrt() - (merged.sum(1, keepdim=True) / len(first)).sqrt())


def _strands_as_one(width: int) -> tuple[list[int], list[int]]:
    """Codes of the words that are not above their reverse complements, and of these."""
    first, others = [], []
    for code in range(4**width):
        other, rest = 0, code
        for _ in range(width):
            other, rest = other * 4 + (rest % 4 ^ 1), rest // 4  # A and T, C and G differ in the last bit
        if code <= other:
            first.append(code)
            others.append(other)
    return first, others


class KmerBertForSequenceClassification(DnaForSequenceClassification, KmerBertPreTrainedModel):
    """Classifier or regressor of whole sequences, of any length up to `config.max_chunks` contexts.

    With `max_chunks=1` and `classifier_pooling="cls"` this is `BertForSequenceClassification`, parameter for
    parameter; see [`DnaForSequenceClassification`] for longer inputs.

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

    base_class = KmerBertModel

    def _build_head(self, config: Any) -> None:
        super()._build_head(config)
        if config.composition:
            width = config.hidden_size + len(_strands_as_one(config.composition)[0])
            self.classifier = nn.Linear(width, config.num_labels)

    def _beside(
        self, pooled: torch.Tensor, input_ids: torch.Tensor | None, attention_mask: torch.Tensor | None
    ) -> torch.Tensor:
        config = self.config
        if not config.composition:
            return pooled
        if input_ids is None:
            raise ValueError(f"composition={config.composition} counts k-mers: give input_ids, not inputs_embeds")
        counted = (input_ids >= FIRST_KMER) & (input_ids < FIRST_KMER + 4**config.k)
        if attention_mask is not None:
            counted &= attention_mask != 0
        shares = kmer_composition(input_ids, counted, config.k, config.stride, config.composition)
        return torch.cat([pooled, shares.to(pooled.dtype)], dim=-1)

    def _refuse_what_stock_bert_lacks(self) -> None:
        super()._refuse_what_stock_bert_lacks()
        if self.config.composition:
            raise ValueError(
                "BertForSequenceClassification counts no k-mers; this head has composition="
                f"{self.config.composition}. Publish the model with its code (write_model_repository)"
            )
        if self.config.strands != "forward":
            raise ValueError(
                "BertForSequenceClassification reads one strand; this head has strands='mean'. Set config.strands = "
                "'forward' (another answer) and export again, or publish the model with its code"
            )
        if self.config.max_chunks > 1 or self.config.classifier_pooling != "cls":
            raise ValueError(
                f"BertForSequenceClassification has no chunks and pools [CLS] only; this head has max_chunks="
                f"{self.config.max_chunks}, classifier_pooling={self.config.classifier_pooling!r}. Export the encoder "
                "with model.bert.export_portable(...), or publish the model with its code (write_model_repository)"
            )


class KmerBertForTokenClassification(DnaForTokenClassification, KmerBertPreTrainedModel):
    """Classifier of every k-mer; the same parameters as `BertForTokenClassification`."""

    base_class = KmerBertModel
    base_options = {"add_pooling_layer": False}  # noqa: RUF012 (set by a class, not by an object)
