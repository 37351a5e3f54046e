"""Self-GenomeNet: a convolution over bases and an LSTM, pretrained by contrast between the two halves of a sequence.

The LSTM reads a sequence from its start, and its reverse complement from its own: after t positions of one and u of
the other, which together cover the sequence without sharing a base, the state of each is to tell the other's among
those of all rows of the batch (Gündüz et al., A self-supervised deep learning method for data-efficient training in
genomics, 2023). One pass over each strand gives the states of every split, so more lengths cost next to nothing. Loss
and vectors do not depend on which strand was given. `config.objective = "cpc"` is contrastive predictive coding
(van den Oord et al. 2018) by the same network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling, ModelOutput
from transformers.utils.generic import can_return_tuple

from .configuration_self_genomenet import SelfGenomeNetConfig
from .modeling_dna_heads import DnaForRows
from .modeling_dna_letters import DnaLetters, backwards, bases_of, exporting, gathered, real_positions

__all__ = [
    "SelfGenomeNetForPreTraining",
    "SelfGenomeNetForPreTrainingOutput",
    "SelfGenomeNetForSequenceClassification",
    "SelfGenomeNetModel",
    "SelfGenomeNetPreTrainedModel",
]

_BASES = 4


class SelfGenomeNetPreTrainedModel(PreTrainedModel):
    """Initialisation and loading shared by the family; see `transformers.PreTrainedModel`."""

    config: SelfGenomeNetConfig
    config_class = SelfGenomeNetConfig
    base_model_prefix = "self_genomenet"
    main_input_name = "input_ids"

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """He et al.'s start for the filters, an LSTM as torch does, predictions N(0, 1 / inputs); biases 0."""
        if isinstance(module, nn.Conv1d | nn.Linear):
            gain = 2 if isinstance(module, nn.Conv1d) else 1
            init.normal_(module.weight, 0.0, (gain / module.weight[0].numel()) ** 0.5)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.LSTM):
            for parameter in module.parameters():
                init.uniform_(parameter, -(module.hidden_size**-0.5), module.hidden_size**-0.5)


class SelfGenomeNetModel(SelfGenomeNetPreTrainedModel):
    """Convolution and LSTM, up to the vector of a row.

    Example:
    ```python
    >>> import torch
    >>> from seqformers import KmerTokenizer, SelfGenomeNetConfig, SelfGenomeNetModel

    >>> config = SelfGenomeNetConfig(num_filters=8, filter_width=4, filter_stride=2, lstm_size=6)
    >>> model = SelfGenomeNetModel(config).eval()
    >>> one, other = model(**KmerTokenizer(k=1)(["AACGTTGCAA", "TTGCAACGTT"], return_tensors="pt")).pooler_output
    >>> torch.allclose(one, other, atol=1e-6)  # a sequence and its reverse complement
    True

    ```
    """

    def __init__(self, config: SelfGenomeNetConfig):
        super().__init__(config)
        self.letters = DnaLetters()
        self.convolution = nn.Conv1d(_BASES, config.num_filters, config.filter_width, stride=config.filter_stride)
        self.dropout = nn.Dropout(config.dropout)
        self.lstm = nn.LSTM(config.num_filters, config.lstm_size, batch_first=True)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """What makes vectors of ids; it has no weights."""
        return self.letters

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPooling:
        """Read a batch.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, length)`): Ids of `KmerTokenizer(k=1)`.
            attention_mask (`torch.Tensor` of shape `(batch, length)`, *optional*): 1 for tokens, 0 for padding.
            inputs_embeds (`torch.FloatTensor` of shape `(batch, length, 5)`, *optional*): Instead of `input_ids`:
                weights of A, C, G and T, and 1 where there is no base (as `get_input_embeddings()` makes them).
            **kwargs: `output_hidden_states`, `return_dict`; others are accepted so that generic callers can pass
                what other models take.

        Returns:
            `BaseModelOutputWithPooling`: `last_hidden_state` of shape `(batch, positions, lstm_size)`, of the strand
            given, zero behind the end of a row; `pooler_output` of shape `(batch, lstm_size)`; `hidden_states`, where
            wanted: the bases, what the convolution gives, and the LSTM.

        Raises:
            ValueError: neither or both inputs, or attentions are asked for.
        """
        if kwargs.get("output_attentions"):
            raise ValueError("self_genomenet is a network without attention; leave output_attentions out")
        x, lengths = self.bases(input_ids, attention_mask, inputs_embeds)
        filtered, states = self.read(x, lengths)
        pooled = self._pooled(states, lengths)
        if self.config.strands == "mean":
            pooled = (pooled + self._pooled(self.read(self.other_strand(x, lengths), lengths)[1], lengths)) / 2
        wanted = kwargs.get("output_hidden_states")
        wanted = self.config.output_hidden_states if wanted is None else wanted
        return BaseModelOutputWithPooling(
            last_hidden_state=states,
            pooler_output=pooled,
            hidden_states=(x.transpose(1, 2), filtered, states) if wanted else None,
        )

    def bases(
        self, input_ids: torch.Tensor | None, mask: torch.Tensor | None, embeds: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Bases of rows from the first on, `(batch, 4, bases)`, zero behind the last; and how many a row has."""
        if (input_ids is None) == (embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        letters = embeds if embeds is not None else self.letters(input_ids)
        letters = letters.to(self.convolution.weight.dtype)
        content = bases_of(letters, mask)
        lengths = content.sum(-1)
        width = letters.shape[1] if exporting() else max(int(lengths.max()), self.config.filter_width)
        return gathered(letters, content, width, torch.zeros_like(lengths)), lengths

    def other_strand(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """The reverse complements of rows of bases, shapes as they are."""
        return backwards(x.flip(1), lengths) * real_positions(lengths, x.shape[2])[:, None]

    def read(self, x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What convolution and LSTM give at each position, `(batch, positions, ...)`, zero behind the end of a row."""
        x = nn.functional.pad(x, (0, max(self.config.filter_width - x.shape[2], 0)))
        filtered = self.dropout(nn.functional.relu(self.convolution(x))).transpose(1, 2)
        real = real_positions(self.config.positions(lengths), filtered.shape[1])[..., None]
        filtered = filtered * real
        return filtered, self.lstm(filtered)[0] * real

    def _pooled(self, states: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """One vector a row, `(batch, lstm_size)`."""
        counts = self.config.positions(lengths)
        if self.config.pooling == "last":
            return at_positions(states, counts - 1)
        if self.config.pooling == "mean":
            return states.sum(1) / counts[:, None]
        real = real_positions(counts, states.shape[1])[..., None]
        return states.masked_fill(~real, torch.finfo(states.dtype).min).amax(1)


def at_positions(states: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """The state of each row at one position of its own, `(batch, width)`; `places` is `(batch,)`."""
    index = places.clamp(min=0, max=states.shape[1] - 1)[:, None, None].expand(-1, 1, states.shape[2])
    return states.gather(1, index)[:, 0]


@dataclass
class SelfGenomeNetForPreTrainingOutput(ModelOutput):
    """Output of [`SelfGenomeNetForPreTraining`].

    Args:
        loss (`torch.Tensor`, *optional*): Mean cross-entropy of finding the right row among those of the batch, where
            labels came; log(rows) is chance.
        predictions (`torch.Tensor`): What is predicted by each row: the vector of its other half, `(batch,
            lstm_size)`; of CPC, at each position what comes first, `(batch, positions, num_filters)`.
        hidden_states (`tuple`, *optional*): The bases, what the convolution gives, and the LSTM.
    """

    loss: torch.Tensor | None = None
    predictions: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None


class SelfGenomeNetForPreTraining(SelfGenomeNetPreTrainedModel):
    """Pretraining by contrast: each row finds the rest of itself among the rows of the batch."""

    accepts_loss_kwargs = False  # the mean is over pairs, which no collator counts

    def __init__(self, config: SelfGenomeNetConfig):
        super().__init__(config)
        self.self_genomenet = SelfGenomeNetModel(config)
        ahead = config.objective == "cpc"
        self.predictors = nn.ModuleList(
            nn.Linear(config.lstm_size, config.num_filters if ahead else config.lstm_size, bias=False)
            for _ in range(config.num_targets if ahead else 1)
        )
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """What makes vectors of ids; it has no weights."""
        return self.self_genomenet.letters

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> SelfGenomeNetForPreTrainingOutput:
        """Predict by a part of each row the rest of it.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, length)`): As in [`SelfGenomeNetModel.forward`].
            attention_mask (`torch.Tensor`, *optional*): As there.
            inputs_embeds (`torch.FloatTensor`, *optional*): As there.
            labels (`torch.Tensor`, *optional*): Asks for the loss; the numbers are not read.
            **kwargs: As there.

        Raises:
            ValueError: no row is long enough for two parts that share no base.
        """
        if kwargs.get("output_attentions"):
            raise ValueError("self_genomenet is a network without attention; leave output_attentions out")
        x, lengths = self.self_genomenet.bases(input_ids, attention_mask, inputs_embeds)
        filtered, states = self.self_genomenet.read(x, lengths)
        loss = None
        if self.config.objective == "cpc":
            predictions = self.predictors[0](states)
            loss = None if labels is None else self._ahead(filtered, states, lengths)
        else:
            room = self._room(lengths)
            predictions = self.predictors[0](at_positions(states, room // 2))
            if labels is not None:
                other = self.self_genomenet.read(self.self_genomenet.other_strand(x, lengths), lengths)[1]
                loss = self._between_strands(states, other, room)
        wanted = kwargs.get("output_hidden_states")
        wanted = self.config.output_hidden_states if wanted is None else wanted
        return SelfGenomeNetForPreTrainingOutput(
            loss=loss,
            predictions=predictions,
            hidden_states=(x.transpose(1, 2), filtered, states) if wanted else None,
        )

    def _room(self, lengths: torch.Tensor) -> torch.Tensor:
        """Sum of the positions at which the two strands of each row meet; negative where they would overlap."""
        rest = lengths - 2 * self.config.filter_width
        return torch.div(rest, self.config.filter_stride, rounding_mode="floor")

    def _between_strands(self, states: torch.Tensor, other: torch.Tensor, room: torch.Tensor) -> torch.Tensor:
        """Loss of both strands telling each other's state, at splits of several lengths."""
        fits = room >= 0
        if not bool(fits.any()):
            raise ValueError(
                f"pretraining splits rows into two parts of at least filter_width={self.config.filter_width} bases; "
                f"no row of this batch has {2 * self.config.filter_width}: give longer reads, or narrower filters"
            )
        states, other, room = states[fits], other[fits], room[fits]
        losses = []
        for number in range(1, self.config.num_targets + 1):
            short = room * number // (2 * self.config.num_targets)
            for place in (short, room - short):  # each strand once the shorter part: neither is the first
                one, rest = at_positions(states, place), at_positions(other, room - place)
                losses += [self._found(one, rest), self._found(rest, one)]
        return torch.stack(losses).mean()

    def _found(self, given: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of finding each row's own `wanted` by `given`, both `(rows, lstm_size)`."""
        scores = (self.predictors[0](given) @ wanted.T).float()
        return nn.functional.cross_entropy(scores, torch.arange(len(scores), device=scores.device))

    def _ahead(self, filtered: torch.Tensor, states: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Loss of telling, at each position, what the convolution gives further on among the rows that go so far."""
        first = -(-self.config.filter_width // self.config.filter_stride)
        counts = self.config.positions(lengths)
        losses = []
        for step, predict in enumerate(self.predictors, start=first):
            places = max(states.shape[1] - step, 0)
            there = (torch.arange(places, device=counts.device) + step < counts[:, None]).T  # (places, rows)
            if not bool(there.any()):
                break
            scores = torch.einsum("bpf,cpf->pbc", predict(states[:, :places]), filtered[:, step:]).float()
            scores = scores.masked_fill(~there[:, None], torch.finfo(scores.dtype).min)
            own = torch.arange(len(states), device=scores.device).expand(places, -1)
            losses.append(nn.functional.cross_entropy(scores[there], own[there]))
        if not losses:
            needed = self.config.filter_width + first * self.config.filter_stride
            raise ValueError(f"pretraining looks ahead by {first} positions; no row of this batch has {needed} bases")
        return torch.stack(losses).mean()


class SelfGenomeNetForSequenceClassification(DnaForRows, SelfGenomeNetPreTrainedModel):
    """Classifier (of one label or several) or regressor of whole sequences."""

    base_class = SelfGenomeNetModel
