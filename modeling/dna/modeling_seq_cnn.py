"""Convolutional networks over single bases: DeepBind, DeepSEA, Basset, DanQ and a dilated one, with shared strands.

Rows of unlike length give the answers that they give alone: whatever lies behind the last base of a row is left out of
pooling, batch statistics and the LSTM. With `config.strands = "shared"` every convolution is tied to its reverse
complement: channel c of a sequence, read backwards, is channel C - 1 - c of its reverse complement (Shrikumar,
Greenside, Kundaje: Reverse-complement parameter sharing, 2017), and what comes behind reads both directions alike.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils.generic import can_return_tuple

from .configuration_seq_cnn import SeqCnnConfig
from .modeling_dna_heads import DnaForRows
from .modeling_dna_letters import DnaLetters, backwards, bases_of, exporting, gathered, real_positions

__all__ = ["SeqCnnForSequenceClassification", "SeqCnnModel", "SeqCnnPreTrainedModel"]

_BASES = 4


class SeqCnnConv(nn.Module):
    """A convolution, tied to its reverse complement where strands are shared: then it holds half of its filters."""

    def __init__(self, inputs: int, filters: int, width: int, *, shared: bool, dilation: int = 1):
        super().__init__()
        self.shared, self.dilation = shared, dilation
        held = filters // 2 if shared else filters
        self.weight = nn.Parameter(torch.empty(held, inputs, width))
        self.bias = nn.Parameter(torch.zeros(held))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(batch, inputs, positions)` to `(batch, filters, positions - dilation * (width - 1))`."""
        weight, bias = self.weight, self.bias
        if self.shared:
            weight = torch.cat([weight, weight.flip(0, 1, 2)])
            bias = torch.cat([bias, bias.flip(0)])
        return nn.functional.conv1d(x, weight, bias, dilation=self.dilation)


class SeqCnnBatchNorm(nn.BatchNorm1d):
    """Batch normalisation of real positions alone; of a channel and its reverse complement together where shared."""

    def __init__(self, channels: int, *, shared: bool):
        super().__init__(channels // 2 if shared else channels)
        self.shared = shared

    def forward(self, x: torch.Tensor, real: torch.Tensor | None = None) -> torch.Tensor:  # type: ignore[override]
        """Normalise `(batch, channels, positions)`; `real` is `(batch, positions)`, None where all are."""
        if self.shared:
            half = x.shape[1] // 2
            both = torch.cat([x[:, :half], x[:, half:].flip(1)])
            both = self._normed(both, None if real is None else real.repeat(2, 1))
            return torch.cat([both[: x.shape[0]], both[x.shape[0] :].flip(1)], 1)
        return self._normed(x, real)

    def _normed(self, x: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
        if real is None or not self.training:
            return super().forward(x)
        rows = x.transpose(1, 2)
        return rows.masked_scatter(real[..., None], super().forward(rows[real])).transpose(1, 2)


class SeqCnnDilatedBlock(nn.Module):
    """A residual block: three positions, some way apart, then a mix of channels."""

    def __init__(self, config: SeqCnnConfig, dilation: int):
        super().__init__()
        shared, channels = config.strands == "shared", config.num_filters[-1]
        self.dilation = dilation
        self.norm_in = SeqCnnBatchNorm(channels, shared=shared)
        self.spread = SeqCnnConv(channels, channels // 2, 3, shared=shared, dilation=dilation)
        self.norm_mid = SeqCnnBatchNorm(channels // 2, shared=shared)
        self.mix = SeqCnnConv(channels // 2, channels, 1, shared=shared)
        self.dropout = nn.Dropout(config.dropouts[-1] if config.dropouts else 0.0)

    def forward(self, x: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
        """Map `(batch, channels, positions)` to the same shape."""
        inner = nn.functional.gelu(self.norm_in(x, real))
        inner = inner if real is None else inner * real[:, None]
        inner = self.spread(nn.functional.pad(inner, (self.dilation, self.dilation)))
        return x + self.dropout(self.mix(nn.functional.gelu(self.norm_mid(inner, real))))


class SeqCnnPreTrainedModel(PreTrainedModel):
    """Initialisation and loading shared by the family; see `transformers.PreTrainedModel`."""

    config: SeqCnnConfig
    config_class = SeqCnnConfig
    base_model_prefix = "seq_cnn"
    main_input_name = "input_ids"

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """He et al.'s start: N(0, 2 / inputs), biases 0; an LSTM as torch does, uniform within 1 / sqrt(units)."""
        if isinstance(module, SeqCnnConv | nn.Linear):
            deviation = self.config.initializer_range or (2 / module.weight[0].numel()) ** 0.5
            init.normal_(module.weight, 0.0, deviation)
            init.zeros_(module.bias)
        elif isinstance(module, nn.LSTM):
            for parameter in module.parameters():
                init.uniform_(parameter, -(module.hidden_size**-0.5), module.hidden_size**-0.5)
        elif isinstance(module, nn.BatchNorm1d):
            init.ones_(module.weight)
            init.zeros_(module.bias)
            init.zeros_(module.running_mean)
            init.ones_(module.running_var)
            init.zeros_(module.num_batches_tracked)


class SeqCnnModel(SeqCnnPreTrainedModel):
    """The network up to the vector of a row.

    Example:
    ```python
    >>> import torch
    >>> from seqformers import KmerTokenizer, SeqCnnConfig, SeqCnnModel

    >>> model = SeqCnnModel(SeqCnnConfig(num_filters=[8], filter_widths=[5], strands="shared")).eval()
    >>> batch = KmerTokenizer(k=1)(["AACGTTGCAA", "TTGCAACGTT"], return_tensors="pt")
    >>> one, other = model(batch.input_ids).pooler_output
    >>> torch.allclose(one, other)  # a sequence and its reverse complement
    True

    ```
    """

    def __init__(self, config: SeqCnnConfig):
        super().__init__(config)
        self.shared = config.strands == "shared"
        self.letters = DnaLetters()
        sizes = [_BASES, *config.num_filters]
        pairs = list(zip(sizes[:-1], sizes[1:], config.filter_widths, strict=True))
        self.convolutions = nn.ModuleList(SeqCnnConv(a, b, width, shared=self.shared) for a, b, width in pairs)
        normed = config.num_filters if config.batch_norm else []
        self.norms = nn.ModuleList(SeqCnnBatchNorm(filters, shared=self.shared) for filters in normed)
        self.dropouts = nn.ModuleList(nn.Dropout(share) for share in config.dropouts)
        self.blocks = nn.ModuleList(SeqCnnDilatedBlock(config, 2**i) for i in range(config.num_dilated_layers))
        if config.lstm_size:
            self.lstm = nn.LSTM(config.num_filters[-1], config.lstm_size, batch_first=True)
            self.lstm_back = nn.LSTM(config.num_filters[-1], config.lstm_size, batch_first=True)
            self.lstm_dropout = nn.Dropout(config.lstm_dropout)
        widths = [config.pooled_size, *config.dense_sizes]
        self.dense = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.dense_norms = nn.ModuleList(nn.BatchNorm1d(b) for b in widths[1:] if config.batch_norm)
        self.dense_dropout = nn.Dropout(config.dense_dropout)
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
            `BaseModelOutputWithPooling`: `last_hidden_state` of shape `(batch, positions, channels)`, zero behind the
            end of a row; `pooler_output` of shape `(batch, config.hidden_size)`; `hidden_states`, where wanted: the
            bases, then what every convolution (pooled), dilated block and the LSTM gives.

        Raises:
            ValueError: neither or both inputs, or a row that is too short or too long for the network.
        """
        if kwargs.get("output_attentions"):
            raise ValueError("seq_cnn is a network without attention; leave output_attentions out")
        x, lengths = self._letters_of(input_ids, attention_mask, inputs_embeds)
        states = [x]
        for layer in range(len(self.convolutions)):
            x, lengths = self._convolve(layer, x, lengths)
            states.append(x)
        real = self._mask(x, lengths)
        for block in self.blocks:
            x = block(x, real)
            x = x if real is None else x * real[:, None]
            states.append(x)
        if self.config.lstm_size:
            x = self._both_ways(x, lengths)
            x = self.lstm_dropout(x if real is None else x * real[:, None])
            states.append(x)
        wanted = kwargs.get("output_hidden_states")
        wanted = self.config.output_hidden_states if wanted is None else wanted
        return BaseModelOutputWithPooling(
            last_hidden_state=x.transpose(1, 2),
            pooler_output=self._vector(x, lengths),
            hidden_states=tuple(state.transpose(1, 2) for state in states) if wanted else None,
        )

    @torch.no_grad()
    def motif_activations(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, int]:
        """What the first layer's filters make of every place, and where place 0 begins.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, length)`): As in `forward`.
            attention_mask (`torch.Tensor`, *optional*): As there.

        Returns:
            `tuple`: activations `(batch, filters, places)` after ReLU, zero where a row is over; and the base (counted
            from the row's first one; with `pooling="flatten"` from the first column) that the window of place 0
            begins at, which is negative where filters hang over the end.
        """
        x, lengths = self._letters_of(input_ids, attention_mask, None)
        places = self._filter(0, x, lengths)
        real = real_positions(self.config.length_after(0, lengths, pooled=False), places.shape[2])
        width = self.config.filter_widths[0]
        before = {"valid": 0, "same": (width - 1) // 2, "full": width - 1}[self.config.padding]
        return places * real[:, None], -before

    def _letters_of(
        self, input_ids: torch.Tensor | None, mask: torch.Tensor | None, embeds: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Bases `(batch, 4, positions)`, from the left or, for a fixed length, in the middle; and lengths of rows."""
        if (input_ids is None) == (embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        letters = embeds if embeds is not None else self.letters(input_ids)
        letters = letters.to(self.convolutions[0].weight.dtype)
        content = bases_of(letters, mask)
        counts = content.sum(-1)
        fixed = self.config.sequence_length if self.config.pooling == "flatten" else None
        if not exporting():
            self._refuse_lengths(counts, fixed)
        width = fixed or (letters.shape[1] if exporting() else int(counts.max()))
        before = (fixed - counts) // 2 if fixed else torch.zeros_like(counts)
        x = gathered(letters, content, width, before)
        return x, torch.full_like(counts, fixed) if fixed else counts

    def _refuse_lengths(self, counts: torch.Tensor, fixed: int | None) -> None:
        if fixed is not None and bool((counts > fixed).any()):
            row = int(counts.argmax())
            raise ValueError(
                f"row {row} of the batch has {int(counts[row])} bases; this network was made for sequence_length="
                f"{fixed}: truncate to max_length={fixed + 2}, or cut it into windows"
            )
        if fixed is None and self.config.positions(int(counts.min())) < 1:
            row = int(counts.argmin())
            raise ValueError(
                f"row {row} of the batch has {int(counts[row])} bases; this network needs at least "
                f"{self.config.shortest} (filter_widths, pool_widths and padding of its configuration)"
            )

    def _mask(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor | None:
        """Which positions are real, `(batch, positions)`; None where all of them are."""
        real = real_positions(lengths, x.shape[2])
        return real if exporting() or not bool(real.all()) else None

    def _filter(self, layer: int, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """A convolution with what goes before and behind it, unpooled; junk where rows are over."""
        width, padding = self.config.filter_widths[layer], self.config.padding
        if padding == "full" and layer == 0:
            x = torch.where(real_positions(lengths, x.shape[2])[:, None], x, x.new_tensor(1 / _BASES))
            x = nn.functional.pad(x, (width - 1, width - 1), value=1 / _BASES)
        elif padding != "valid":
            x = nn.functional.pad(x, ((width - 1) // 2, width // 2))
        x = self.convolutions[layer](x)
        if self.norms:
            x = self.norms[layer](x, self._mask(x, self.config.length_after(layer, lengths, pooled=False)))
        return nn.functional.relu(x)

    def _convolve(self, layer: int, x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One convolution, pooled; zero where rows are over."""
        x = self._filter(layer, x, lengths)
        unpooled = self.config.length_after(layer, lengths, pooled=False)
        lengths = self.config.length_after(layer, lengths)
        if self.config.pool_widths[layer] > 1:
            x = self._pool(x, unpooled, self.config.pool_widths[layer])
        x = self.dropouts[layer](x) if self.dropouts else x
        real = self._mask(x, lengths)
        return (x if real is None else x * real[:, None]), lengths

    def _pool(self, x: torch.Tensor, lengths: torch.Tensor, pool: int) -> torch.Tensor:
        """Max pooling; of shared strands by windows that lie alike from both ends of each row."""
        if not self.shared:
            return nn.functional.max_pool1d(x, pool)
        if not exporting() and x.shape[2] % pool == 0 and bool((lengths == x.shape[2]).all()):
            return nn.functional.max_pool1d(x, pool)
        bins = ((lengths + pool - 1) // pool).clamp(min=1)[:, None]
        number = torch.arange(-(-x.shape[2] // pool), device=x.device)
        first = number * lengths[:, None] // bins
        last = ((number + 1) * lengths[:, None] + bins - 1) // bins - 1
        places = torch.minimum(first[..., None] + torch.arange(pool + 1, device=x.device), last[..., None])
        places = places.clamp(min=0, max=x.shape[2] - 1).flatten(1)
        windows = x.gather(2, places[:, None].expand(-1, x.shape[1], -1))
        return windows.unflatten(2, (-1, pool + 1)).amax(-1)

    def _both_ways(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """The bidirectional LSTM; of shared strands the mean over both strands, position by position."""
        if not self.shared:
            return self._recur(x, lengths)
        other = self._recur(backwards(x.flip(1), lengths), lengths)
        return (self._recur(x, lengths) + backwards(other, lengths)) / 2

    def _recur(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        ahead, _ = self.lstm(x.transpose(1, 2))
        back, _ = self.lstm_back(backwards(x, lengths).transpose(1, 2))
        return torch.cat([ahead.transpose(1, 2), backwards(back.transpose(1, 2), lengths)], 1)

    def _vector(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """One vector a row, the same for both strands where they are shared."""
        how = self.config.pooling
        if how == "flatten":
            if self.shared:
                x = (x + backwards(x if self.config.lstm_size else x.flip(1), lengths)) / 2
            vector = x.flatten(1)
        else:
            real = real_positions(lengths, x.shape[2])[:, None]
            parts = []
            if how != "mean":
                parts.append(self._joined(x.masked_fill(~real, torch.finfo(x.dtype).min).amax(2), torch.maximum))
            if how != "max":
                parts.append(self._joined((x * real).sum(2) / real.sum(2).clamp(min=1), lambda a, b: (a + b) / 2))
            vector = torch.cat(parts, 1)
        for layer, dense in enumerate(self.dense):
            vector = dense(vector)
            vector = self.dense_norms[layer](vector) if self.dense_norms else vector
            vector = self.dense_dropout(nn.functional.relu(vector))
        return vector

    def _joined(self, channels: torch.Tensor, join: Any) -> torch.Tensor:
        """A channel and its reverse complement as one, where they come in pairs: `(batch, channels)` halved."""
        if not self.shared or self.config.lstm_size:
            return channels
        half = channels.shape[1] // 2
        return join(channels[:, :half], channels[:, half:].flip(1))


class SeqCnnForSequenceClassification(DnaForRows, SeqCnnPreTrainedModel):
    """Classifier (of one label or several) or regressor of whole sequences.

    With `config.strands` `"max"` or `"mean"` both strands of every row are scored and their logits joined; hidden
    states are of the strand given.
    """

    base_class = SeqCnnModel

    def _score(self, pooled: torch.Tensor, **given: torch.Tensor | None) -> torch.Tensor:
        if self.config.strands == "mean":  # of vectors, which is that of logits: the classifier is linear
            pooled = (pooled + self._other_strand(**given)) / 2
        logits = super()._score(pooled)
        if self.config.strands != "max":
            return logits
        return torch.maximum(logits, super()._score(self._other_strand(**given)))

    def _other_strand(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Vectors of the reverse complements: positions from the last to the first, A for T and C for G."""
        embeds = self.get_input_embeddings()(input_ids) if inputs_embeds is None else inputs_embeds
        turned = torch.cat([embeds[..., :_BASES].flip(1, 2), embeds[..., _BASES:].flip(1)], -1)
        mask = None if attention_mask is None else attention_mask.flip(1)
        return self._encode(attention_mask=mask, inputs_embeds=turned).pooler_output
