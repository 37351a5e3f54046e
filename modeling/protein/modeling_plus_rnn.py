"""PLUS-RNN (Min et al. 2021): a bidirectional LSTM over residues, its pre-training and the heads of its tasks.

A batch of single proteins is `input_ids` (batch, length): start, residues, stop, padding. A batch of pairs is the
same with the second protein behind the first, `token_type_ids` 0 and 1, as the tokenizer's
`tokenizer(first, second)` gives it; the LSTM reads the two proteins of a row apart from each other.

Shape suffixes: B batch, T tokens of a row, H width of R, d width of Z.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers import initialization as init
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple

from .configuration_plus_rnn import PlusRnnConfig
from .modeling_protein_heads import (
    ProteinForSequenceClassification,
    ProteinForTokenClassification,
    ProteinPairOutput,
    ProteinPreTrainedModel,
    ProteinPreTrainingOutput,
    ProteinTask,
    exporting,
    mask_residues,
    masked_mean_loss,
    ordinal_levels,
    ordinal_loss,
    real_tokens,
    weigh_losses,
)
from .modeling_protein_rnn import run_lstm
from .modeling_soft_align import soft_align

__all__ = [
    "PlusRnnForPairClassification",
    "PlusRnnForPreTraining",
    "PlusRnnForSequenceClassification",
    "PlusRnnForTokenClassification",
    "PlusRnnModel",
    "PlusRnnPreTrainedModel",
]

# Share of tokens in a batch below which packing pays on a CPU.
_LEAST_FILLED = 1 / 3


@dataclass
class PlusRnnModelOutput(ModelOutput):
    """Output of [`PlusRnnModel`].

    Args:
        last_hidden_state (`torch.FloatTensor` of shape `(batch, tokens, 2 * hidden_size)`): R for every token, start
            and stop included, zero at padding.
        projection (`torch.FloatTensor` of shape `(batch, tokens, projection_size)`, *optional*): Z, a linear map of
            R; not masked.
        residue_mask (`torch.BoolTensor` of shape `(batch, tokens)`): True at residues, False at start, stop and
            padding.
        hidden_states (`tuple`, *optional*): Embeddings and the output of each layer.
    """

    last_hidden_state: torch.Tensor | None = None
    projection: torch.Tensor | None = None
    residue_mask: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None


class PlusRnnOrdinalHead(nn.Module):
    """Logits c · w_k + b_k of "more alike than level k"."""

    def __init__(self, num_thresholds: int, constrain: bool):
        super().__init__()
        self.constrain = constrain
        self.weight = nn.Parameter(torch.ones(1, num_thresholds))
        self.bias = nn.Parameter(torch.full((num_thresholds,), 10.0))

    def forward(self, scores: torch.Tensor) -> torch.Tensor:
        """Map scores (batch,) to logits (batch, thresholds)."""
        if self.constrain and self.training:
            with torch.no_grad():  # a projection after every step, as Bepler and Berger do
                self.weight.clamp_(min=0.0)
        weight = self.weight.clamp(min=0.0) if self.constrain else self.weight
        return scores[:, None] * weight + self.bias


class PlusRnnSequenceHead(nn.Module):
    """Pool the residues of a protein, then two linear layers with a ReLU between, or one (`sequence_head`)."""

    def __init__(self, config: PlusRnnConfig):
        super().__init__()
        self.pooling = config.pooling
        # The original code has these weights too but, pooling by sum, never trains them.
        self.attention = nn.Linear(config.classifier_input_size, 1) if config.pooling == "attention" else None
        width = config.classifier_input_size
        linear = config.sequence_head == "linear"
        self.hidden = None if linear else nn.Linear(width, config.classifier_hidden_size)
        self.output = nn.Linear(width if linear else config.classifier_hidden_size, config.num_labels or 2)

    def forward(self, features: torch.Tensor, residue_mask: torch.Tensor) -> torch.Tensor:
        """Map (batch, tokens, width) to (batch, num_labels), reading residues only."""
        if self.attention is not None:
            logits = self.attention(features)[..., 0]  # under autocast not of the type of the features
            logits = logits.masked_fill(~residue_mask, torch.finfo(logits.dtype).min)
            weights = logits.softmax(1).masked_fill(~residue_mask, 0.0).to(features.dtype)
        else:
            weights = residue_mask.to(features.dtype)
            if self.pooling == "mean":
                weights = weights / weights.sum(1, keepdim=True).clamp(min=1.0)
        pooled = torch.einsum("bt,btw->bw", weights, features)
        return self.output(pooled if self.hidden is None else torch.relu(self.hidden(pooled)))


class PlusRnnTokenHead(nn.Sequential):
    """Two linear layers with a ReLU between, (B, T, width) to (B, T, num_labels)."""

    def __init__(self, config: PlusRnnConfig):
        hidden = nn.Linear(config.classifier_input_size, config.classifier_hidden_size)
        output = nn.Linear(config.classifier_hidden_size, config.num_labels or 2)
        super().__init__(OrderedDict(hidden=hidden, activation=nn.ReLU(), output=output))


class PlusRnnPreTrainedModel(ProteinPreTrainedModel):
    """Weight initialisation and loading for the family; initial values are PyTorch's, as in the original."""

    config: PlusRnnConfig
    config_class = PlusRnnConfig
    base_model_prefix = "plus_rnn"

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, PlusRnnOrdinalHead):
            init.ones_(module.weight)
            init.constant_(module.bias, 10.0)
        else:
            super()._init_weights(module)

    def get_output_embeddings(self) -> None:
        """None: the decoder scores residues, not the vocabulary."""


class PlusRnnModel(PlusRnnPreTrainedModel):
    """The bidirectional LSTM and the projection used for comparing proteins.

    Every protein is read to its own length, start and stop included, so padding changes nothing.

    Args:
        config (`PlusRnnConfig`): Sizes and switches.
        add_projection (`bool`, defaults to `True`): Whether to build the linear map to Z.
    """

    def __init__(self, config: PlusRnnConfig, add_projection: bool = True):
        super().__init__(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.embedding_size, padding_idx=config.mask_token_id)
        self.rnn = nn.LSTM(
            config.embedding_size,
            config.hidden_size,
            num_layers=config.num_hidden_layers,
            bidirectional=True,
            batch_first=True,
        )
        self.projection = nn.Linear(config.representation_size, config.projection_size) if add_projection else None
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        **kwargs: Any,
    ) -> PlusRnnModelOutput | tuple:
        """Represent every residue.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): Residue ids with start and stop.
            attention_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*): 1 up to the last stop, then 0.
                Without it, a row of `input_ids` ends one token behind its last residue.
            token_type_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): 1 for the tokens of a second
                protein; the two are read apart from each other.
            inputs_embeds (`torch.FloatTensor` of shape `(batch, tokens, embedding_size)`, *optional*): Instead of
                `input_ids`.
            kwargs: `output_hidden_states`, `return_dict`; others are accepted so that generic callers can pass what
                other models take.

        Returns:
            [`PlusRnnModelOutput`].

        Raises:
            ValueError: not exactly one input, rows that are empty or padded on the left, or several proteins or pairs
                packed into a row.
        """
        self._refuse_foreign(kwargs)
        embeds = self._embed(input_ids, inputs_embeds)
        if attention_mask is None and input_ids is not None:
            attention_mask = _mask_from_ids(input_ids, self.config.pad_token_id or 0)
        mask = real_tokens(embeds, attention_mask)
        lengths, on_host = _protein_lengths(mask, token_type_ids)
        pairs = token_type_ids is not None if on_host is None else any(on_host[1])
        wanted = self._wants_hidden_states(kwargs)
        if pairs:
            states = self._run_pairs(embeds, lengths, on_host, wanted)
        else:
            states = self._run(embeds, lengths[0], None if on_host is None else on_host[0], wanted)
        return PlusRnnModelOutput(
            last_hidden_state=states[-1],
            projection=self.projection(states[-1]) if self.projection is not None else None,
            residue_mask=_residue_mask(lengths, embeds.shape[1]),
            hidden_states=(embeds * mask[..., None].to(embeds.dtype), *states) if wanted else None,
        )

    def _run(
        self, embeds: torch.Tensor, lengths: torch.Tensor, on_host: list[int] | None, keep: bool
    ) -> list[torch.Tensor]:
        """R of every token, zero at padding, as a list of one; of every layer with `keep`.

        Rows are packed only on a GPU, and where most of a batch is padding. `on_host` are the lengths, too.
        """
        batch, tokens = embeds.shape[:2]
        padded = on_host is None or keep or self._checkpoint() is not None or not isinstance(self.rnn, nn.LSTM)
        if not padded and (embeds.is_cuda or sum(on_host or ()) < _LEAST_FILLED * batch * tokens):
            packed = pack_padded_sequence(embeds, torch.tensor(on_host), batch_first=True, enforce_sorted=False)
            return [pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=tokens)[0]]
        inside = (torch.arange(tokens, device=embeds.device) < lengths[:, None])[..., None]
        states = run_lstm(self.rnn, embeds, lengths, self._checkpoint())
        return [state * inside.to(state.dtype) for state in (states if keep else states[-1:])]

    def _run_pairs(
        self, embeds: torch.Tensor, lengths: torch.Tensor, on_host: list[list[int]] | None, keep: bool
    ) -> list[torch.Tensor]:
        """Run the two proteins of each row as two rows, then put them back behind each other."""
        batch, tokens, _ = embeds.shape
        device, start = embeds.device, lengths[0]
        arange = torch.arange(tokens if on_host is None else max(map(max, on_host)), device=device)
        rows = torch.arange(batch, device=device)
        columns = torch.stack([arange.expand(batch, -1), start[:, None] + arange]).clamp(max=tokens - 1)
        apart = embeds[rows[None, :, None], columns]  # (2, B, longest protein, embedding)
        # A row without a second protein still needs one token to be packed; it is not put back.
        flat = None if on_host is None else [max(length, 1) for side in on_host for length in side]
        states = self._run(apart.flatten(0, 1), lengths.clamp(min=1).flatten(), flat, keep)
        position = torch.arange(tokens, device=device).expand(batch, -1)
        side = (position >= start[:, None]).long()
        within = (position - side * start[:, None]).clamp(max=arange.shape[0] - 1)
        inside = (position < lengths.sum(0)[:, None])[..., None]
        joined = [state.unflatten(0, (2, batch))[side, rows[:, None], within] for state in states]
        return [state * inside.to(state.dtype) for state in joined]


class PlusRnnForPreTraining(PlusRnnPreTrainedModel):
    """PLUS: masked residues and same-family prediction, in one forward with one loss.

    Both tasks read the same, masked, input. A batch of single proteins trains the masked residues alone.

    Example:
    ```python
    >>> import torch
    >>> from seqformers import PlusRnnConfig, PlusRnnForPreTraining
    >>> model = PlusRnnForPreTraining(PlusRnnConfig(hidden_size=8, num_hidden_layers=1))
    >>> ids = torch.tensor([[0, 13, 21, 17, 0, 0, 5, 21, 0]])
    >>> second = torch.tensor([[0, 0, 0, 0, 0, 1, 1, 1, 1]])
    >>> labels = torch.full_like(ids, -100)
    >>> labels[0, 2], labels[0, 7] = 12, 4
    >>> output = model(ids, token_type_ids=second, labels=labels, same_family=torch.tensor([1]))
    >>> bool(torch.isclose(output.loss, 0.7 * output.mlm_loss + 0.3 * output.sfp_loss))
    True

    ```
    """

    def __init__(self, config: PlusRnnConfig):
        super().__init__(config)
        self.plus_rnn = PlusRnnModel(config)
        self.lm_head = nn.Linear(config.representation_size, config.lm_vocab_size)
        self.sfp_head = PlusRnnOrdinalHead(1, config.constrain_ordinal)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.LongTensor | None = None,
        same_family: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> ProteinPreTrainingOutput | tuple:
        """Predict masked residues and, for pairs, whether the two proteins are of one family.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): As for [`PlusRnnModel`].
            attention_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*): As for [`PlusRnnModel`].
            token_type_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): As for [`PlusRnnModel`].
            inputs_embeds (`torch.FloatTensor`, *optional*): As for [`PlusRnnModel`].
            labels (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): Residue ids where a residue was
                selected, -100 elsewhere.
            same_family (`torch.Tensor` of shape `(batch,)`, *optional*): 1 for pairs of one family, 0 for others.
            kwargs: Passed to the base model.

        Returns:
            [`ProteinPreTrainingOutput`].
        """
        kwargs["return_dict"] = True
        outputs = self.plus_rnn(input_ids, attention_mask, token_type_ids, inputs_embeds, **kwargs)
        logits = self.lm_head(outputs.last_hidden_state)
        if token_type_ids is not None and not exporting() and not bool((token_type_ids == 1).any()):
            token_type_ids = None  # a tokenizer writes zeros for single proteins
        similarity, sfp_loss = None, None
        if token_type_ids is not None:
            similarity = self.sfp_head(_pair_scores(outputs, token_type_ids))[:, 0]
            if same_family is not None:
                sfp_loss = ordinal_loss(similarity[:, None], same_family)
        elif same_family is not None:
            raise ValueError("same_family needs pairs: pass token_type_ids with 1 for the second protein")
        mlm_loss = None if labels is None else self._mlm_loss(logits, labels, token_type_ids)
        return ProteinPreTrainingOutput(
            loss=weigh_losses(self.config.mlm_weight, mlm_loss, sfp_loss),
            prediction_logits=logits,
            similarity_logits=similarity,
            mlm_loss=mlm_loss,
            sfp_loss=sfp_loss,
            hidden_states=outputs.hidden_states,
        )

    def _mlm_loss(
        self, logits: torch.Tensor, labels: torch.Tensor, token_type_ids: torch.Tensor | None
    ) -> torch.Tensor:
        """The two proteins' mean losses added up, so λ weighs their sum."""
        if token_type_ids is None:
            return masked_mean_loss(logits, labels)
        first = masked_mean_loss(logits, labels.masked_fill(token_type_ids == 1, -100))
        if self.config.legacy_pair_loss:
            return first * (1.0 + self.config.mlm_weight)
        return first + masked_mean_loss(logits, labels.masked_fill(token_type_ids == 0, -100))


class _PlusRnnWithHead(ProteinTask, PlusRnnPreTrainedModel):
    """A head that may mask its own input while training, the masked-residue loss serving as a regulariser."""

    def _build(self, config: PlusRnnConfig) -> None:
        self._build_base(config, add_projection=config.classifier_input == "projection")
        self.classifier = self._make_head(config)

    def _build_base(self, config: PlusRnnConfig, add_projection: bool) -> None:
        self.plus_rnn = PlusRnnModel(config, add_projection=add_projection)
        regularised = config.finetuning_mlm_weight > 0
        self.lm_head = nn.Linear(config.representation_size, config.lm_vocab_size) if regularised else None

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> ModelOutput:
        """Predict the labels of the task.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): As for [`PlusRnnModel`].
            attention_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*): As for [`PlusRnnModel`].
            token_type_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): As for [`PlusRnnModel`].
            inputs_embeds (`torch.FloatTensor`, *optional*): As for [`PlusRnnModel`].
            labels (`torch.Tensor`, *optional*): As the class says.
            kwargs: Passed to the base model.

        Raises:
            ValueError: the shape of the labels does not fit the input.
        """
        outputs, mlm_loss = self._encode(input_ids, attention_mask, token_type_ids, inputs_embeds, **kwargs)
        return self._answer(outputs, attention_mask, labels, mlm_loss)

    def _encode(self, input_ids, attention_mask, token_type_ids, inputs_embeds, **kwargs):
        """Outputs of the base model and the masked-residue loss, `None` unless training with the regulariser."""
        kwargs["return_dict"] = True
        if self.lm_head is None or not self.training or input_ids is None:
            return self.plus_rnn(input_ids, attention_mask, token_type_ids, inputs_embeds, **kwargs), None
        config = self.config
        if attention_mask is None:
            attention_mask = _mask_from_ids(input_ids, config.pad_token_id or 0)
        lengths, _ = _protein_lengths(attention_mask, token_type_ids)
        residues = _residue_mask(lengths, input_ids.shape[1])
        wanted = (residues.sum(1).double() * config.mlm_probability).floor().clamp(max=config.max_masked)
        candidates = residues & (input_ids != config.mask_token_id)
        masked, targets = mask_residues(
            input_ids, candidates, wanted, config.mask_token_id or 0, range(1, config.lm_vocab_size)
        )
        outputs = self.plus_rnn(masked, attention_mask, token_type_ids, **kwargs)
        chosen = targets != -100
        logits = self.lm_head(outputs.last_hidden_state[chosen])  # the decoder reads the selected residues only
        return outputs, masked_mean_loss(logits, targets[chosen])

    def _features(self, outputs: PlusRnnModelOutput) -> torch.Tensor:
        features = outputs.projection if self.config.classifier_input == "projection" else outputs.last_hidden_state
        assert features is not None
        return features


class PlusRnnForSequenceClassification(ProteinForSequenceClassification, _PlusRnnWithHead):
    """PLUS-RNN with a pooled head; `labels` as in [`ProteinForSequenceClassification`].

    Pooling, what the head reads and the masked-residue regulariser are set in [`PlusRnnConfig`].
    """

    head_class = PlusRnnSequenceHead

    def _make_head(self, config: Any) -> nn.Module:
        return self.head_class(config)  # which pools, too

    def _residues(self, outputs: Any, attention_mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        return self._features(outputs), outputs.residue_mask

    def _pooled_logits(self, outputs: Any, attention_mask: torch.Tensor | None) -> torch.Tensor:
        return self.classifier(*self._residues(outputs, attention_mask))


class PlusRnnForTokenClassification(ProteinForTokenClassification, _PlusRnnWithHead):
    """PLUS-RNN with a class for every residue, such as secondary structure or transmembrane topology.

    `labels` as in [`ProteinForTokenClassification`].
    """

    head_class = PlusRnnTokenHead

    def _logits(self, outputs: Any, attention_mask: torch.Tensor | None) -> torch.Tensor:
        return self.classifier(self._features(outputs))


class PlusRnnForPairClassification(_PlusRnnWithHead):
    """PLUS-RNN with the ordinal comparison of two proteins, `num_labels` levels.

    The soft-alignment score of the pair goes through `num_labels - 1` thresholds; the target of threshold k is
    "the level is above k".
    """

    def _num_classes(self) -> int:
        return 0

    def _build(self, config: PlusRnnConfig) -> None:
        if self.num_labels < 2:
            raise ValueError(f"a pair has at least two levels of similarity, num_labels is {self.num_labels}")
        self._build_base(config, add_projection=True)
        self.ordinal_head = PlusRnnOrdinalHead(self.num_labels - 1, config.constrain_ordinal)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.LongTensor | None = None,
        **kwargs: Any,
    ) -> ProteinPairOutput | tuple:
        """Compare the two proteins of every row.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): As for [`PlusRnnModel`].
            attention_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*): As for [`PlusRnnModel`].
            token_type_ids (`torch.LongTensor` of shape `(batch, tokens)`): 0 for the first protein, 1 for the second.
            inputs_embeds (`torch.FloatTensor`, *optional*): As for [`PlusRnnModel`].
            labels (`torch.LongTensor` of shape `(batch,)`, *optional*): Level of each pair, 0 to `num_labels - 1`.
            kwargs: Passed to the base model.

        Returns:
            [`ProteinPairOutput`].
        """
        if token_type_ids is None:
            raise ValueError("pairs need token_type_ids: 0 for the first protein, 1 for the second")
        outputs, mlm_loss = self._encode(input_ids, attention_mask, token_type_ids, inputs_embeds, **kwargs)
        scores = _pair_scores(outputs, token_type_ids)
        ordinal = self.ordinal_head(scores)
        loss = None
        if labels is not None:
            loss = weigh_losses(self.config.finetuning_mlm_weight, mlm_loss, ordinal_loss(ordinal, labels))
        return ProteinPairOutput(
            loss=loss,
            logits=ordinal_levels(ordinal),
            ordinal_logits=ordinal,
            scores=scores,
            hidden_states=outputs.hidden_states,
        )


def _pair_scores(outputs: PlusRnnModelOutput, token_type_ids: torch.Tensor) -> torch.Tensor:
    z, residues = outputs.projection, outputs.residue_mask
    assert z is not None and residues is not None
    return soft_align(z, z, residues & (token_type_ids == 0), residues & (token_type_ids == 1))


def _mask_from_ids(input_ids: torch.Tensor, pad_token_id: int) -> torch.Tensor:
    """Start, stop and padding share an id, so a row ends one token behind its last residue."""
    position = torch.arange(input_ids.shape[1], device=input_ids.device)
    last = torch.where(input_ids != pad_token_id, position, 0).amax(1, keepdim=True)
    return (position <= last + 1).long()


def _protein_lengths(
    attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None
) -> tuple[torch.Tensor, list[list[int]] | None]:
    """Tokens of the first and of the second protein of each row, (2, B), and the same read from the device at once."""
    mask = attention_mask.bool()
    total = mask.sum(1)
    position = torch.arange(mask.shape[1], device=mask.device)
    second = torch.zeros_like(total)
    fits = mask == (position < total[:, None])
    if token_type_ids is not None:
        other = (token_type_ids == 1) & mask
        second = other.sum(1)
        fits = fits & (other == ((position >= (total - second)[:, None]) & mask))
    lengths = torch.stack([total - second, second])
    if exporting():
        return lengths, None
    *on_host, fits_list = torch.cat([lengths, fits.all(1)[None].to(total.dtype)]).tolist()
    if not all(fits_list):
        raise ValueError(
            f"row {fits_list.index(0)}: a row must be the first protein, then the second (token_type_ids 1), then "
            "padding; pad on the right"
        )
    if not all(on_host[0]):
        raise ValueError(f"row {on_host[0].index(0)} of the batch is empty: attention_mask has no 1")
    return lengths, on_host


def _residue_mask(lengths: torch.Tensor, tokens: int) -> torch.Tensor:
    """True at residues: every token but the first and last of each protein; `lengths` (2, B)."""
    position = torch.arange(tokens, device=lengths.device)
    start = torch.stack([torch.zeros_like(lengths[0]), lengths[0]])[..., None]
    inside = (position > start) & (position < start + lengths[..., None] - 1)
    return inside.any(0)
