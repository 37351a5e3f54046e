"""P-ELMo, the language-model baseline of PLUS: its language model, and the encoder on top with its heads."""

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
    logsigmoid,
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

from .configuration_p_elmo import PElmoConfig

__all__ = [
    "PElmoForPairClassification",
    "PElmoForPreTraining",
    "PElmoForSequenceClassification",
    "PElmoForTokenClassification",
    "PElmoModel",
    "PElmoPreTrainedModel",
]


class PElmoWeightNorm(nn.Module):
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


class PElmoProteinHead(nn.Sequential):
    """Labels of a protein from its pooled vector, (B, pooled) to (B, num_labels)."""

    def __init__(self, config: PElmoConfig):
        width = config.classifier_hidden_size
        hidden = PElmoWeightNorm(config.pooled_size, width)
        super().__init__(hidden, nn.ReLU(), PElmoWeightNorm(width, config.num_labels or 2))


class PElmoResidueHead(nn.Module):
    """Labels of residues; padding is kept out of the batch statistics and is zero for the convolutions."""

    def __init__(self, config: PElmoConfig):
        super().__init__()
        self.norm = nn.BatchNorm1d(config.representation_size)
        self.hidden = PElmoWeightNorm(config.representation_size, config.classifier_hidden_size, kernel=5)
        self.output = PElmoWeightNorm(config.classifier_hidden_size, config.num_labels or 2, kernel=3)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Map (B, T, width) to (B, T, num_labels)."""
        normed = torch.zeros_like(hidden)
        normed[mask] = self.norm(hidden[mask]).to(hidden.dtype)
        x = torch.relu(self.hidden(normed.transpose(1, 2))) * mask[:, None, :].to(hidden.dtype)
        return self.output(x).transpose(1, 2)


@dataclass
class PElmoOutput(ModelOutput):
    """Output of [`PElmoModel`].

    Args:
        last_hidden_state (`torch.Tensor` of shape `(batch, tokens, representation_size)`): Zero at start, stop and
            padding.
        pooler_output (`torch.Tensor` of shape `(batch, pooled_size)`): One vector a protein.
    """

    last_hidden_state: torch.Tensor | None = None
    pooler_output: torch.Tensor | None = None


class PElmoPreTrainedModel(PreTrainedModel):
    """Weight initialisation and loading for the family."""

    config: PElmoConfig
    config_class = PElmoConfig
    base_model_prefix = "p_elmo"
    main_input_name = "input_ids"
    # The losses are means over their own batch; Trainer must divide by its accumulation steps.
    accepts_loss_kwargs = False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, PElmoWeightNorm):
            init.normal_(module.weight_v, std=0.02)
            init.copy_(module.weight_g, module.weight_v.norm())
            init.zeros_(module.bias)
        elif isinstance(module, nn.LSTM):
            bound = module.hidden_size**-0.5
            for parameter in module.parameters():
                init.uniform_(parameter, -bound, bound)
        elif isinstance(module, nn.Embedding):
            if not getattr(module.weight, "_is_hf_initialized", False):
                init.normal_(module.weight)
                if module.padding_idx is not None:
                    init.zeros_(module.weight[module.padding_idx])
        elif isinstance(module, nn.Linear):
            bound = module.in_features**-0.5
            init.uniform_(module.weight, -bound, bound)
            if module.bias is not None:
                init.uniform_(module.bias, -bound, bound)
        elif isinstance(module, PElmoForPairClassification):
            init.ones_(module.ordinal_weight)
            init.constant_(module.ordinal_bias, 10.0)
        elif isinstance(module, (nn.LayerNorm, nn.BatchNorm1d)):
            super()._init_weights(module)


class PElmoLanguageModel(nn.Module):
    """One stack of LSTMs that reads a protein from either end with the same weights."""

    def __init__(self, config: PElmoConfig):
        super().__init__()
        self.embeddings = nn.Embedding(config.vocab_size, config.embedding_size, padding_idx=config.mask_token_id)
        size = config.lm_hidden_size
        inputs = [config.embedding_size, *[size] * (config.lm_num_layers - 1)]
        self.layers = nn.ModuleList([nn.LSTM(width, size, batch_first=True) for width in inputs])

    def forward(self, embeds: torch.Tensor, lengths: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """States of all layers, each (B, T, size): read from the start, and read from the end."""
        ahead, back = [], []
        one, other = embeds, _turn(embeds, lengths)
        for layer in self.layers:  # what is behind a row cannot reach it, so nothing needs packing
            one, other = layer(one)[0], layer(other)[0]
            ahead.append(one)
            back.append(_turn(other, lengths))
        return ahead, back


class PElmoModel(PElmoPreTrainedModel):
    """Language-model states and a residue embedding, summed, through a bidirectional LSTM over the residues.

    A residue's states are those of its neighbours, forward of i - 1 and backward of i + 1, which have not read it.
    """

    def __init__(self, config: PElmoConfig):
        super().__init__(config)
        self.lm = PElmoLanguageModel(config)
        states = 2 * config.lm_num_layers * config.lm_hidden_size
        self.lm_projection = nn.Linear(states, config.input_size)
        # Residues only, so one row less than there are ids; the mask's row is the last and zero.
        self.embeddings = nn.Embedding(config.vocab_size - 1, config.input_size, padding_idx=config.mask_token_id - 1)
        self.rnn = nn.LSTM(
            config.input_size,
            config.hidden_size,
            num_layers=config.num_hidden_layers,
            batch_first=True,
            bidirectional=True,
        )
        self.lm.requires_grad_(not config.freeze_lm)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The language model's embedding of token ids."""
        return self.lm.embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the language model's embedding of token ids."""
        self.lm.embeddings = value  # type: ignore[assignment]

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> PElmoOutput:
        """Represent every token; the protein is the mean over its residues.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`): Token ids, first and last special.
            attention_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*): 1 for tokens, then 0 for padding.
                Needed for batches of different lengths, since padding shares its id with start and stop.
            inputs_embeds (`torch.FloatTensor`, *optional*): Not possible here.
            **kwargs: Ignored; accepted so that generic callers can pass what other models take.

        Raises:
            ValueError: `inputs_embeds` was given (there are two embeddings), or rows hold no residue or are padded on
                the left.
        """
        if input_ids is None or inputs_embeds is not None:
            raise ValueError("P-ELMo embeds its input twice, so it takes input_ids only")
        mask = _real_tokens(input_ids, attention_mask)
        lengths = _lengths(mask)
        if not bool((lengths > 2).all()):
            raise ValueError(f"row {(lengths > 2).tolist().index(False)} has no residue between start and stop")
        ahead, back = self.lm(self.lm.embeddings(input_ids), lengths)
        states = [state for one, other in zip(ahead, back, strict=True) for state in (one[:, :-2], other[:, 2:])]
        residues = self.embeddings((input_ids[:, 1:-1] - 1).clamp(min=0))
        hidden = torch.relu(self.lm_projection(torch.cat(states, -1)) + residues)
        hidden = nn.functional.pad(_run_both(self.rnn, hidden, lengths - 2), (0, 0, 1, 1))
        inside = _inside(mask).to(hidden.dtype)
        hidden = hidden * inside[..., None]
        pooled = torch.einsum("bt,btw->bw", inside, hidden) / inside.sum(1, keepdim=True).clamp(min=1.0)
        return PElmoOutput(last_hidden_state=hidden, pooler_output=pooled)


def _run_both(rnn: nn.LSTM, values: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """What the bidirectional `rnn` gives on packed rows, in half the time on a CPU and a fifth when training.

    Padding behind a row cannot reach the forward direction; the backward one reads each row turned round.
    """
    zeros = values.new_zeros(1, values.shape[0], rnn.hidden_size)
    for ahead, back in zip(rnn.all_weights[::2], rnn.all_weights[1::2], strict=True):
        sides = [
            torch.lstm(x, (zeros, zeros), weights, True, 1, 0.0, rnn.training, False, True)[0]
            for x, weights in ((values, ahead), (_turn(values, lengths), back))
        ]
        values = torch.cat([sides[0], _turn(sides[1], lengths)], -1)
    return values


def _turn(values: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Reverse the first `length` tokens of every row."""
    position = torch.arange(values.shape[1], device=values.device).expand(values.shape[:2])
    source = torch.where(position < lengths[:, None], lengths[:, None] - 1 - position, position)
    return values.gather(1, source[..., None].expand_as(values))


def _inside(mask: torch.Tensor) -> torch.Tensor:
    """Residues: real tokens but the first and the last."""
    position = torch.arange(mask.shape[1], device=mask.device)
    return mask & (position > 0) & (position < mask.sum(1, keepdim=True) - 1)


def _lengths(mask: torch.Tensor) -> torch.Tensor:
    """Tokens of each row, checked to be padded on the right and not empty."""
    lengths = mask.sum(1)
    fits = (mask == (torch.arange(mask.shape[1], device=mask.device) < lengths[:, None])).all(1) & (lengths > 0)
    if not bool(fits.all()):
        raise ValueError(f"row {fits.tolist().index(False)} is empty or padded on the left; pad on the right")
    return lengths


class PElmoForPreTraining(PElmoPreTrainedModel):
    """P-ELMo's language model: a residue is predicted from all before and all behind it.

    The logits at i are one linear map of the last layer's forward state at i - 1 plus the same map of the backward
    state at i + 1, so inputs need no masking; `labels` are the input ids, -100 where not to predict.
    """

    def __init__(self, config: PElmoConfig):
        super().__init__(config)
        self.lm = PElmoLanguageModel(config)
        self.lm_head = nn.Linear(config.lm_hidden_size, config.lm_vocab_size)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The embedding of token ids."""
        return self.lm.embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the embedding of token ids."""
        self.lm.embeddings = value  # type: ignore[assignment]

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> MaskedLMOutput:
        """Predict every residue from the others.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): As in [`PElmoModel`].
            attention_mask (`torch.Tensor`, *optional*): As there.
            inputs_embeds (`torch.FloatTensor` of shape `(batch, tokens, embedding_size)`, *optional*): Instead of
                `input_ids`.
            labels (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): Ids to predict, -100 elsewhere; X and
                start and stop are left out.
            **kwargs: Ignored.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        embeds = self.lm.embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        mask = _real_tokens(embeds, attention_mask)
        ahead, back = self.lm(embeds, _lengths(mask))
        before = nn.functional.pad(ahead[-1][:, :-1], (0, 0, 1, 0))
        behind = nn.functional.pad((back[-1] * mask[..., None].to(embeds.dtype))[:, 1:], (0, 0, 0, 1))
        logits = self.lm_head(before) + self.lm_head(behind)
        loss = None
        if labels is not None:
            known = (labels > 0) & (labels < self.config.lm_vocab_size)
            loss = _masked_mean_loss(logits, labels.masked_fill(~known, -100))
        return MaskedLMOutput(loss=loss, logits=logits)


@dataclass
class PElmoPairOutput(ModelOutput):
    """Output of [`PElmoForPairClassification`].

    Args:
        loss (`torch.Tensor`, *optional*): Mean binary cross-entropy over the ordinal thresholds.
        logits (`torch.Tensor` of shape `(batch, num_labels)`): Log-probabilities of the levels up to a constant.
        ordinal_logits (`torch.Tensor` of shape `(batch, num_labels - 1)`): Logit k says "level above k".
        scores (`torch.Tensor` of shape `(batch,)`): Soft-alignment scores.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    ordinal_logits: torch.Tensor | None = None
    scores: torch.Tensor | None = None


class PElmoForPairClassification(PElmoPreTrainedModel):
    """P-ELMo with the ordinal comparison of two proteins by soft alignment, `num_labels` levels.

    A row holds both proteins, each with its start and stop, `token_type_ids` 1 for the second, as
    `tokenizer(first, second)` gives them.
    """

    def __init__(self, config: PElmoConfig):
        super().__init__(config)
        thresholds = (config.num_labels or 2) - 1
        self.num_labels = thresholds + 1
        self.p_elmo = PElmoModel(config)
        self.projection = nn.Linear(config.representation_size, config.projection_size)
        self.ordinal_weight = nn.Parameter(torch.ones(1, thresholds))
        self.ordinal_bias = nn.Parameter(torch.full((thresholds,), 10.0))
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> PElmoPairOutput:
        """Compare the two proteins of every row.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`): Both proteins, one behind the other.
            attention_mask (`torch.Tensor`, *optional*): As in [`PElmoModel`].
            token_type_ids (`torch.LongTensor` of shape `(batch, tokens)`): 0 for the first protein, 1 for the second.
            labels (`torch.LongTensor` of shape `(batch,)`, *optional*): Level of each pair, 0 to `num_labels - 1`.
            **kwargs: As there.
        """
        if input_ids is None or token_type_ids is None:
            raise ValueError("pairs need input_ids and token_type_ids: 0 for the first protein, 1 for the second")
        mask = _real_tokens(input_ids, attention_mask)
        sides = []
        for second in (False, True):
            ids, own = _side(input_ids, mask & ((token_type_ids == 1) == second))
            z = self.projection(self.p_elmo(ids, own).last_hidden_state)
            sides.append((z, _inside(own)))
        scores = _soft_align(*sides[0], *sides[1])
        ordinal = scores[:, None] * self.ordinal_weight.clamp(min=0.0) + self.ordinal_bias
        loss = None
        if labels is not None:
            bits = labels[:, None] > torch.arange(ordinal.shape[1], device=labels.device)
            loss = binary_cross_entropy_with_logits(ordinal, bits.to(ordinal.dtype))
        levels = nn.functional.pad(logsigmoid(ordinal), (1, 0)) + nn.functional.pad(logsigmoid(-ordinal), (0, 1))
        return PElmoPairOutput(loss=loss, logits=levels, ordinal_logits=ordinal, scores=scores)


def _side(input_ids: torch.Tensor, own: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Move one protein of every row to the front: its ids and mask, both (B, longest of them)."""
    lengths = own.sum(1)
    if not bool((lengths > 2).all()):
        raise ValueError(f"row {(lengths > 2).tolist().index(False)} is not a pair of proteins")
    first = own.int().argmax(1)
    position = torch.arange(int(lengths.max()), device=own.device)
    columns = (first[:, None] + position).clamp(max=own.shape[1] - 1)
    return input_ids.gather(1, columns), position < lengths[:, None]


def _soft_align(z_a: torch.Tensor, mask_a: torch.Tensor, z_b: torch.Tensor, mask_b: torch.Tensor) -> torch.Tensor:
    """Scores (B,) of Bepler and Berger's soft symmetric alignment; memory n x m a pair."""
    s = -torch.cdist(z_a, z_b, p=1)
    lowest = torch.finfo(s.dtype).min
    alpha = s.masked_fill(~mask_b[:, None, :], lowest).softmax(2)
    beta = s.masked_fill(~mask_a[:, :, None], lowest).softmax(1)
    omega = (alpha + beta - alpha * beta) * (mask_a[:, :, None] & mask_b[:, None, :]).to(s.dtype)
    return (omega * s).sum((1, 2)) / omega.sum((1, 2))


class _PElmoWithHead(PElmoPreTrainedModel):
    """The model and a head: what the three tasks have in common."""

    def __init__(self, config: PElmoConfig, classifier: nn.Module):
        super().__init__(config)
        self.num_labels = config.num_labels or 2
        self.p_elmo = PElmoModel(config)
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
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): As in [`PElmoModel`].
            attention_mask (`torch.Tensor`, *optional*): As there.
            inputs_embeds (`torch.FloatTensor`, *optional*): As there.
            labels (`torch.Tensor`, *optional*): As the class says.
            **kwargs: As there.

        Raises:
            ValueError: the shape of the labels does not fit the input.
        """
        outputs = self.p_elmo(input_ids, attention_mask, inputs_embeds, **kwargs)
        logits = self._logits(outputs, attention_mask)
        return TokenClassifierOutput(loss=None if labels is None else self._loss(logits, labels), logits=logits)

    def _logits(self, outputs: PElmoOutput, attention_mask: torch.Tensor | None) -> torch.Tensor:
        raise NotImplementedError

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if labels.shape != logits.shape[:-1]:
            raise ValueError(
                f"labels have shape {tuple(labels.shape)}, wanted {tuple(logits.shape[:-1])}; give one label for each "
                "token or pair of residues, -100 at special tokens, padding and what to leave out"
            )
        return _masked_mean_loss(logits, labels)


class PElmoForSequenceClassification(_PElmoWithHead):
    """P-ELMo with a head for whole proteins: classes, or one value when `num_labels` is 1.

    `labels` are (batch,) or (batch, num_labels): class indices, values, or 0/1 for each label, by
    `config.problem_type`.
    """

    def __init__(self, config: PElmoConfig):
        super().__init__(config, PElmoProteinHead(config))

    def _logits(self, outputs: PElmoOutput, attention_mask: torch.Tensor | None) -> torch.Tensor:
        return self.classifier(outputs.pooler_output)

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return _protein_loss(self.config, logits, labels)


class PElmoForTokenClassification(_PElmoWithHead):
    """P-ELMo with a class for every residue.

    `labels` are (batch, tokens): classes; -100 (any negative value) at special tokens, padding and residues to leave
    out.
    """

    def __init__(self, config: PElmoConfig):
        super().__init__(config, PElmoResidueHead(config))

    def _logits(self, outputs: PElmoOutput, attention_mask: torch.Tensor | None) -> torch.Tensor:
        hidden = outputs.last_hidden_state
        assert hidden is not None
        return self.classifier(hidden, _real_tokens(hidden, attention_mask))


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


def _protein_loss(config: PElmoConfig, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
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
