"""What the DNA families share: heads of the tasks, their losses, and long inputs cut into chunks.

A class of a task names its `base_class` and stands before the family's `PreTrainedModel`. The base model takes
`input_ids` or `inputs_embeds`, `attention_mask` and whatever else its family reads by name, and answers with
`last_hidden_state` and, for whole sequences, `pooler_output`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers.masking_utils import find_packed_sequence_indices
from transformers.modeling_outputs import SequenceClassifierOutput, TokenClassifierOutput
from transformers.utils.generic import can_return_tuple

from .configuration_dna_fields import check_class_weights

__all__ = [
    "Chunks",
    "DnaForRows",
    "DnaForSequenceClassification",
    "DnaForTokenClassification",
    "DnaTask",
    "class_loss",
    "masked_lm_loss",
    "places_of_labels",
    "reverse_complement_ids",
    "sequence_loss",
]

_NUM_SPECIAL_TOKENS = 5  # [PAD] [UNK] [CLS] [SEP] [MASK]


def masked_lm_loss(
    head: nn.Module,
    hidden: torch.Tensor,
    labels: torch.Tensor,
    num_items_in_batch: torch.Tensor | int | None = None,
    *,
    everywhere: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy over the labelled positions.

    Args:
        head (`nn.Module`): Hidden states to logits.
        hidden (`torch.Tensor` of shape `(batch, length, hidden)`): Encoder output.
        labels (`torch.LongTensor` of shape `(batch, length)`): Token ids, -100 where there is nothing to predict.
        num_items_in_batch (`int`, *optional*): Labels in all accumulated batches; the mean is taken over these.
        everywhere (`bool`): Give the logits of all positions; otherwise they are computed for the labelled ones
            alone, in row-major order of the labels, `(labelled, vocab)`.

    Returns:
        `tuple`: loss, and logits of shape `(batch, length, vocab)` or `(labelled, vocab)`. Without any label the loss
        is 0 and not NaN.
    """
    labelled = labels != -100
    if everywhere:  # nothing here asks the device how many labels there are
        logits = head(hidden)
        total = nn.functional.cross_entropy(logits.float().flatten(0, 1), labels.long().flatten(), reduction="sum")
    else:
        logits = head(hidden[labelled])
        total = nn.functional.cross_entropy(logits.float(), labels[labelled].long(), reduction="sum")
    return total / (labelled.sum().clamp(min=1) if num_items_in_batch is None else num_items_in_batch), logits


def places_of_labels(labels: torch.Tensor) -> torch.Tensor:
    """Positions of each row's labels in order, filled up with positions without one to the longest row.

    Args:
        labels (`torch.LongTensor` of shape `(batch, length)`): -100 where there is nothing to predict.

    Returns:
        `torch.LongTensor` of shape `(batch, places)`, `places` the most labels of a row, at least 1.

    Examples:
        >>> places_of_labels(torch.tensor([[-100, 7, -100, 8], [9, -100, -100, -100]]))
        tensor([[1, 3],
                [0, 1]])
    """
    unlabelled = labels == -100
    most = max(int((~unlabelled).sum(1).max()), 1)
    return unlabelled.to(torch.uint8).argsort(dim=1, stable=True)[:, :most]


def reverse_complement_ids(ids: torch.Tensor, lengths: Iterable[int]) -> torch.Tensor:
    """Ids of the reverse complements of k-mers by DNABERT's numbers (A 0, T 1, C 2, G 3); special ids stay.

    Args:
        ids (`torch.LongTensor`): Of any shape.
        lengths (`Iterable[int]`): Lengths of the k-mers in the order of their ids.
    """
    out, first = ids, _NUM_SPECIAL_TOKENS
    for k in lengths:
        number = (ids - first).clamp(min=0)
        turned = torch.zeros_like(number)
        for place in range(k):
            turned = turned * 4 + (((number >> (2 * place)) & 3) ^ 1)  # A and T, C and G differ in the last bit
        out = torch.where((ids >= first) & (ids < first + 4**k), turned + first, out)
        first += 4**k
    return out


def class_loss(
    config: Any, logits: torch.Tensor, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None
) -> torch.Tensor:
    """Mean cross-entropy of classes, weighed by `config.class_weights` where there are any.

    With `config.focal_gamma` above 0 each term is multiplied by (1 - p) ** gamma, p being the probability of the right
    class, so that rows that are right already count less (Lin et al. 2017).

    Args:
        config (`PreTrainedConfig`): Of the model.
        logits (`torch.Tensor` of shape `(..., num_labels)`): Scores.
        labels (`torch.LongTensor` of shape `(...)`): Class numbers, -100 where there is none.
        num_items_in_batch (`int`, *optional*): Labels in all accumulated batches; the mean is taken over these, but
            for weighed classes, whose mean is over the weights of this batch.

    Raises:
        ValueError: labels and logits differ in shape.
    """
    if labels.shape != logits.shape[:-1]:
        raise ValueError(
            f"labels have the shape {tuple(labels.shape)}, wanted is {tuple(logits.shape[:-1])}: one class number for "
            "each answer, -100 for those to leave out"
        )
    scores, labels = logits.float().flatten(0, -2), labels.long().flatten()
    if config.class_weights is None:
        total = _total(config, scores, labels)
        return total / ((labels != -100).sum().clamp(min=1) if num_items_in_batch is None else num_items_in_batch)
    weight = scores.new_tensor(config.class_weights)
    total = _total(config, scores, labels, weight)
    counted = weight[labels.clamp(min=0)].masked_fill(labels < 0, 0.0).sum()
    return total / counted.clamp(min=torch.finfo(scores.dtype).tiny)


def _total(
    config: Any, scores: torch.Tensor, labels: torch.Tensor, weight: torch.Tensor | None = None
) -> torch.Tensor:
    """Sum of the rows' terms, with `config.focal_gamma` by how sure the right class is."""
    gamma = getattr(config, "focal_gamma", 0.0)
    if not gamma:
        return nn.functional.cross_entropy(scores, labels, weight=weight, reduction="sum")
    right = scores.softmax(-1).gather(-1, labels.clamp(min=0)[:, None])[:, 0]
    focus = (1 - right).clamp(min=torch.finfo(scores.dtype).tiny) ** gamma
    return (nn.functional.cross_entropy(scores, labels, weight=weight, reduction="none") * focus).sum()


def sequence_loss(
    config: Any, logits: torch.Tensor, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None
) -> torch.Tensor:
    """Loss of whole sequences by `config.problem_type`, which is decided from the labels where it is None.

    Args:
        config (`PreTrainedConfig`): Of the model; remembers the kind of problem.
        logits (`torch.Tensor` of shape `(batch, num_labels)`): Scores.
        labels (`torch.Tensor`): `(batch,)` class numbers, `(batch, num_labels)` 0/1 for several labels at once, or
            floats to regress.
        num_items_in_batch (`int`, *optional*): Values in all accumulated batches; the mean is taken over these.

    Raises:
        ValueError: the shape of the labels does not fit the kind of problem.
    """
    if config.problem_type is None:  # as BertForSequenceClassification decides it, and by shape
        several = torch.is_floating_point(labels) or (labels.ndim == 2 and labels.shape[1] == logits.shape[1] > 1)
        kind = "multi_label_classification" if several else "single_label_classification"
        config.problem_type = "regression" if logits.shape[1] == 1 else kind
    if config.problem_type == "single_label_classification":
        single = labels.squeeze(1) if labels.ndim == 2 and labels.shape[1] == 1 else labels
        return class_loss(config, logits, single, num_items_in_batch)
    if config.class_weights is not None:
        raise ValueError(f"class_weights weigh the classes of a single label, not of {config.problem_type}")
    logits = logits.float()
    if labels.numel() != logits.numel() or len(labels) != len(logits):
        raise ValueError(
            f"labels have the shape {tuple(labels.shape)}; {config.problem_type} with num_labels={logits.shape[1]} "
            f"wants {tuple(logits.shape)}"
        )
    labels = labels.to(logits.dtype).view_as(logits)
    if config.problem_type == "regression":
        total = nn.functional.mse_loss(logits, labels, reduction="sum")
    else:
        total = nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
    return total / (labels.numel() if num_items_in_batch is None else num_items_in_batch)


class DnaTask:
    """A base model with a head; `base_options` are further arguments of the base model."""

    base_class: Any
    base_options: dict[str, Any] = {}  # noqa: RUF012 (set by a class, not by an object)
    config: Any
    base_model: Any
    base_model_prefix: str
    get_input_embeddings: Any

    def __init__(self, config: Any):
        super().__init__(config)  # type: ignore[call-arg]
        self.num_labels = config.num_labels
        check_class_weights(config)  # both may have been set one after the other
        if config.class_weights is not None:
            self.accepts_loss_kwargs = False  # the loss is a mean over weights: Trainer divides it by its batches
        base = self.base_class(config, **self.base_options)
        setattr(self, self.base_model_prefix, base)
        dropout = config.classifier_dropout if config.classifier_dropout is not None else config.hidden_dropout_prob
        self.dropout = nn.Dropout(dropout)
        self._build_head(config)
        self.post_init()  # type: ignore[attr-defined]

    def _build_head(self, config: Any) -> None:
        """Make what comes after the base model."""
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)

    def _encode(self, **inputs: Any) -> Any:
        """Outputs of the base model; inputs that are None are left out, since not every family reads all of them."""
        return self.base_model(
            **{name: value for name, value in inputs.items() if value is not None}, return_dict=True
        )


class DnaForRows(DnaTask):
    """Classifier (of one label or several) or regressor of whole sequences, of the base model's vector of a row."""

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput:
        """Score whole sequences, one a row.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, length)`): As in the base model.
            attention_mask (`torch.Tensor`, *optional*): As there.
            inputs_embeds (`torch.FloatTensor`, *optional*): As there.
            labels (`torch.Tensor`, *optional*): `(batch,)` class numbers, `(batch, num_labels)` 0/1 as floats for
                several labels at once, or floats for regression.
            num_items_in_batch (`int`, *optional*): What the summed loss is divided by instead of the number of
                labels here; `Trainer` passes it when it accumulates gradients.
            **kwargs: As in the base model.

        Returns:
            `SequenceClassifierOutput`: `logits` of shape `(batch, num_labels)`; `hidden_states` of the base model.
        """
        given = {"input_ids": input_ids, "attention_mask": attention_mask, "inputs_embeds": inputs_embeds}
        outputs = self._encode(**given, **kwargs)
        logits = self._score(outputs.pooler_output, **given)
        loss = None if labels is None else sequence_loss(self.config, logits, labels, num_items_in_batch)
        return SequenceClassifierOutput(loss=loss, logits=logits, hidden_states=outputs.hidden_states)

    def _score(self, pooled: torch.Tensor, **given: torch.Tensor | None) -> torch.Tensor:
        """Logits of vectors of rows, `(batch, num_labels)`; `given` are the inputs that they were made of."""
        return self.classifier(self.dropout(pooled))


class Chunks(NamedTuple):
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


class DnaForSequenceClassification(DnaTask):
    """Classifier or regressor of whole sequences, of any length up to `config.max_chunks` contexts.

    With `max_chunks=1` and `classifier_pooling="cls"` it is a linear layer on `pooler_output`. Otherwise a row
    `[CLS] tokens [SEP]` of any length is cut into chunks of `max_position_embeddings - 2` tokens, each wrapped in
    [CLS] and [SEP] with positions that start at 0, and encoded; the pooled chunks, in order and with zeros for those a
    shorter row lacks, are concatenated and pass dropout, a linear layer to the hidden size, ReLU, dropout and the
    classifier. A row that already comes as `[CLS] ... [SEP] [CLS] ... [SEP]` is laid out in the same way. No padding
    reaches the result.
    """

    def _build_head(self, config: Any) -> None:
        if config.max_chunks > 1:
            self.chunk_projection = nn.Linear(config.max_chunks * config.hidden_size, config.hidden_size)
        super()._build_head(config)

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
            input_ids (`torch.LongTensor` of shape `(batch, length)`): As in the base model.
            attention_mask (`torch.Tensor`, *optional*): As there.
            token_type_ids (`torch.LongTensor`, *optional*): As there.
            position_ids (`torch.LongTensor`, *optional*): As there.
            inputs_embeds (`torch.FloatTensor`, *optional*): As there.
            labels (`torch.Tensor`, *optional*): `(batch,)` class numbers, `(batch, num_labels)` 0/1 as floats for
                several labels at once, or floats for regression (`num_labels=1`, or
                `config.problem_type="regression"`).
            num_items_in_batch (`int`, *optional*): What the summed loss is divided by instead of the number of
                labels here; `Trainer` passes it when it accumulates gradients.
            **kwargs: As in the base model.

        Returns:
            `SequenceClassifierOutput`: `logits` of shape `(batch, num_labels)`. With chunks, `hidden_states` and
            `attentions` are per chunk, rows in order.

        Raises:
            ValueError: a row needs more than `config.max_chunks` chunks, or is packed.
        """
        if position_ids is not None and find_packed_sequence_indices(position_ids) is not None:
            raise ValueError("sequence classification takes one sequence a row; these position_ids hold several")
        given = {
            "attention_mask": attention_mask, "token_type_ids": token_type_ids, "position_ids": position_ids,
            "inputs_embeds": inputs_embeds,
        }  # fmt: skip
        outputs, pooled = self._read(input_ids, given, **kwargs)
        if getattr(self.config, "strands", "forward") == "mean":  # of vectors, so that a probe fits: it is linear
            pooled = (pooled + self._read(self._other_strand(input_ids, attention_mask), given, **kwargs)[1]) / 2
        logits = self.classifier(self._beside(self.dropout(pooled), input_ids, attention_mask))
        loss = None if labels is None else sequence_loss(self.config, logits, labels, num_items_in_batch)
        return SequenceClassifierOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )

    def _beside(
        self, pooled: torch.Tensor, input_ids: torch.Tensor | None, attention_mask: torch.Tensor | None
    ) -> torch.Tensor:
        """What the classifier reads; a family may put more beside the pooled vector."""
        return pooled

    def _read(
        self, input_ids: torch.Tensor | None, given: dict[str, torch.Tensor | None], **kwargs: Any
    ) -> tuple[Any, torch.Tensor]:
        """Outputs of the base model, and one vector a row."""
        if self.config.max_chunks == 1 and self.config.classifier_pooling == "cls":
            outputs = self._encode(input_ids=input_ids, **given, **kwargs)
            return outputs, outputs.pooler_output
        chunks = self._cut(input_ids, given["attention_mask"], given["token_type_ids"], given["inputs_embeds"])
        outputs = self._encode(**chunks.inputs, **kwargs)
        return outputs, self._join(outputs, chunks)

    def _other_strand(self, input_ids: torch.Tensor | None, mask: torch.Tensor | None) -> torch.Tensor:
        """Ids of the reverse complements: the k-mers of each row from the last to the first, each turned."""
        if input_ids is None:
            raise ValueError(
                "strands='mean' turns k-mers by their ids; give input_ids, or set config.strands='forward'"
            )
        content = self._content(input_ids, torch.ones_like(input_ids, dtype=torch.bool) if mask is None else mask != 0)
        count, number = content.sum(-1, keepdim=True), content.cumsum(-1) - 1
        order = torch.argsort((~content).to(torch.uint8), dim=-1, stable=True)  # content first
        mirrored = order.gather(1, (count - 1 - number).clamp(min=0))
        turned = reverse_complement_ids(input_ids.gather(1, mirrored), [self.config.k])
        return torch.where(content, turned, input_ids)

    def _cut(
        self,
        input_ids: torch.Tensor | None,
        attention_mask: torch.Tensor | None,
        token_type_ids: torch.Tensor | None,
        inputs_embeds: torch.Tensor | None,
    ) -> Chunks:
        """Lay rows out as chunks `[CLS] k-mers [SEP]`. Lengths below are in tokens."""
        if getattr(torch.compiler, "is_exporting", bool)():  # torch 2.6 does not say it
            raise ValueError(
                "a classifier that cuts its input into chunks cannot be exported: how many there are depends on the "
                f"input. Export the encoder ({self.base_model_prefix}), or fine-tune with max_chunks=1 and "
                "classifier_pooling='cls'"
            )
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
            table: torch.Tensor = self.get_input_embeddings().weight
            embeds = inputs_embeds[row[:, None], index] * residues[..., None]
            embeds = torch.where(is_sep[..., None], table[self.config.sep_token_id], embeds)
            embeds = torch.where((column == 0)[:, None], table[self.config.cls_token_id], embeds)
            inputs["inputs_embeds"] = embeds
        return Chunks(inputs, residues, row, place)

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

    def _join(self, outputs: Any, chunks: Chunks) -> torch.Tensor:
        """One vector a row, `(batch, hidden)`, from the encoded chunks."""
        pooled_TH = outputs.pooler_output
        if self.config.classifier_pooling == "mean":
            weight = chunks.residues.to(outputs.last_hidden_state.dtype)
            mean_TH = torch.einsum("tlh,tl->th", outputs.last_hidden_state, weight)
            mean_TH = mean_TH / weight.sum(-1, keepdim=True).clamp(min=1)
            pooled_TH = self.base_model.pooler(mean_TH[:, None])
        batch = int(chunks.row[-1]) + 1
        if self.config.max_chunks == 1:
            return pooled_TH
        pooled_BCH = pooled_TH.new_zeros(batch, self.config.max_chunks, pooled_TH.shape[-1])
        pooled_BCH = pooled_BCH.index_put((chunks.row, chunks.place), pooled_TH)
        return nn.functional.relu(self.chunk_projection(self.dropout(pooled_BCH.flatten(1))))


class DnaForTokenClassification(DnaTask):
    """Classifier of every token."""

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
            input_ids (`torch.LongTensor` of shape `(batch, length)`): As in the base model.
            attention_mask (`torch.Tensor`, *optional*): As there.
            token_type_ids (`torch.LongTensor`, *optional*): As there.
            position_ids (`torch.LongTensor`, *optional*): As there.
            inputs_embeds (`torch.FloatTensor`, *optional*): As there.
            labels (`torch.LongTensor` of shape `(batch, length)`, *optional*): Class numbers; -100 where there is
                none (special tokens, padding).
            num_items_in_batch (`int`, *optional*): What the summed loss is divided by instead of the number of
                labels here; `Trainer` passes it when it accumulates gradients.
            **kwargs: As in the base model.
        """
        outputs = self._encode(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            **kwargs,
        )
        logits = self.classifier(self.dropout(outputs.last_hidden_state))
        loss = None if labels is None else class_loss(self.config, logits, labels, num_items_in_batch)
        return TokenClassifierOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )
