"""Networks over the pairing matrix of a miRNA and a target, by its diagonals or in two dimensions.

The first layer is linear in the cells of the matrix, so what a cell adds to a logit can be said: `pair_contributions`.

Sources: the two-dimensional shape is that of miRBind2 (BioGeMT/miRBind_2.0, MIT). The diagonal reader is this
package's. Cell (i, j) lies in register i + j, since the strands run against each other: miRNA nucleotide i + 1 faces
target nucleotide j + 1, both counted from their 5' ends, and in register r the target nucleotide facing the miRNA's
first is r + 1. Ids are 0 for nothing, 1 to 4 for A C G U, 5 for an unknown letter.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from .configuration_pair_cnn import PairCnnConfig

LETTERS = 4
UPSTREAM = 8  # filters over the target are centred this many nucleotides 5' of the one facing the miRNA's first
_AT_ONCE = 3  # letters of a target that are looked up together
_ROWS_AT_ONCE = 128  # without gradients: what fits a CPU's cache
_LOWEST = -1e4  # stands for minus infinity where a register is not real

__all__ = ["PairCnnModel", "PairCnnOutput", "PairCnnPreTrainedModel"]


@dataclass
class PairCnnOutput(ModelOutput):
    """What `PairCnnModel` returns.

    Args:
        loss (`torch.FloatTensor`, *optional*): Mean binary cross-entropy over members, weighted where weights are
            given; returned when `labels` are given.
        logits (`torch.FloatTensor`): `(batch,)`, the mean of the members'.
        member_logits (`torch.FloatTensor`, *optional*): `(members, batch)`, when there are several.
        hidden_states (`tuple[torch.FloatTensor]`, *optional*): On request, what the first layers make of the pair and
            the output of each convolution: `(batch, members, channels, registers)`, 0 where a register is not real; of
            `kind="matrix"` `(batch, channels, rows, columns)`, each after its pooling.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    member_logits: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None


class PairCnnPairLayer(nn.Module):
    """Vectors of the cells, summed along each anti-diagonal."""

    def __init__(self, config: PairCnnConfig):
        super().__init__()
        self.length, self.margin = config.max_mirna_length, config.max_mirna_length - config.min_overlap
        self.weight = nn.Parameter(torch.empty(self.length, LETTERS, LETTERS, config.pair_size))

    def vectors(self, mirna_ids: torch.Tensor, *, backwards: bool = False) -> torch.Tensor:
        """What each letter opposite each nucleotide of the miRNA adds: `(batch, length, 4, size)`, 0 after its end.

        With `backwards`, from the last nucleotide to the first.
        """
        position = torch.arange(self.length, device=mirna_ids.device)
        if backwards:
            position, mirna_ids = position.flip(0), mirna_ids.flip(1)
        known = (mirna_ids > 0) & (mirna_ids <= LETTERS)
        vectors = self.weight[position, mirna_ids.sub(1).clamp(0, LETTERS - 1)]
        return vectors * known[..., None, None].to(vectors.dtype)

    def forward(self, mirna_ids: torch.Tensor, letters: torch.Tensor) -> torch.Tensor:
        """Sum over each register.

        Args:
            mirna_ids (`torch.LongTensor` of shape `(batch or 1, max_mirna_length)`): One row serves all targets.
            letters (`torch.Tensor` of shape `(batch, 4, columns)`): One-hot targets.

        Returns:
            `torch.Tensor` of shape `(batch, size, registers)`.
        """
        kernels = self.vectors(mirna_ids, backwards=True)  # a register reads the target forwards
        letters = nn.functional.pad(letters, (self.margin, self.margin))
        if kernels.shape[0] == 1:  # len() would fix the number of rows of an exported graph
            return nn.functional.conv1d(letters, kernels[0].permute(2, 1, 0))
        batch, _, columns = letters.shape
        flat = letters.transpose(1, 2).contiguous()
        windows = flat.as_strided(
            (batch, columns - self.length + 1, self.length * LETTERS), (columns * LETTERS, LETTERS, 1)
        )
        return torch.bmm(windows, kernels.flatten(1, 2)).transpose(1, 2)


class PairCnnBlock(nn.Module):
    """Convolution over registers, batch norm, GELU, dropout of whole channels; plus the input where widths agree."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, dropout: float):
        super().__init__()
        self.conv = nn.Conv1d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm1d(out_channels)
        self.dropout = nn.Dropout1d(dropout)
        self.use_skip = in_channels == out_channels

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """`(batch, channels, registers)` to the same with other channels."""
        changed = self.dropout(nn.functional.gelu(self.norm(self.conv(hidden_states))))
        return hidden_states + changed if self.use_skip else changed


class PairCnnDiagonal(nn.Module):
    """One diagonal reader: registers, convolutions over them, attention and maximum over them, a logit."""

    def __init__(self, config: PairCnnConfig):
        super().__init__()
        self.min_overlap = config.min_overlap
        self.margin = config.max_mirna_length - config.min_overlap
        half = config.target_kernel_size // 2
        # Register r is column r + margin - (length - 1) of the padded pair layer; keep the target's filters beside it.
        shift = config.max_mirna_length - 1 - self.margin
        self.left, self.right = half + UPSTREAM - shift, half - UPSTREAM + self.margin
        self.pair = PairCnnPairLayer(config)
        self.pair_norm = nn.BatchNorm1d(config.pair_size)
        self.target = nn.Conv1d(LETTERS + 1, config.target_size, config.target_kernel_size)
        widths = [config.pair_size + config.target_size, *config.channels]
        self.blocks = nn.ModuleList(
            PairCnnBlock(a, b, width, config.dropout)
            for (a, b), width in zip(pairwise(widths), config.kernel_sizes, strict=True)
        )
        self.num_heads = config.num_heads
        self.attention = nn.Conv1d(widths[-1], config.num_heads, 1)
        self.value = nn.Conv1d(widths[-1], widths[-1], 1)
        self.hidden = nn.Linear(2 * widths[-1], config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.hidden_size, 1)

    def registers(self, mirna_ids: torch.Tensor, letters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Sums of the pair layer `(batch, size, registers)`, and the known cells in each `(batch, registers)`."""
        known = ((mirna_ids > 0) & (mirna_ids <= LETTERS)).to(letters.dtype).flip(1)
        facing = nn.functional.pad(letters.sum(1), (self.margin, self.margin))
        if known.shape[0] == 1:
            cells = nn.functional.conv1d(facing[:, None], known[:, None])[:, 0]
        else:
            cells = torch.bmm(facing.unfold(1, known.shape[1], 1), known[:, :, None])[..., 0]
        return self.pair(mirna_ids, letters), cells

    def read(
        self,
        sums: torch.Tensor,
        cells: torch.Tensor,
        letters: torch.Tensor,
        states: list[torch.Tensor] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Features `(batch, channels, registers)` and which registers are real `(batch, 1, registers)`.

        `states` takes up what the blocks read and what each of them gives.
        """
        real = (cells > self.min_overlap - 0.5)[:, None]
        known = letters.sum(1, keepdim=True)
        target = nn.functional.pad(torch.cat([letters, known], 1), (self.left, self.right))
        target = nn.functional.gelu(self.target(target))
        hidden = torch.cat([self.pair_norm(sums), target.to(sums.dtype)], 1)
        kept = real.to(hidden.dtype)  # a product with a mask of another type takes several times as long
        hidden = hidden * kept
        for block in (None, *self.blocks):
            if block is not None:
                hidden = block(hidden)
                hidden = hidden * kept.to(hidden.dtype)
            if states is not None:
                states.append(hidden)
        return hidden, real

    def forward(
        self,
        sums: torch.Tensor,
        cells: torch.Tensor,
        letters: torch.Tensor,
        states: list[torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Logits, `(batch,)`; `states` as in `read`."""
        hidden, real = self.read(sums, cells, letters, states)
        batch, channels, registers = hidden.shape
        weights = self.attention(hidden).masked_fill(~real, _LOWEST).softmax(-1) * real
        values = self.value(hidden).view(batch, self.num_heads, channels // self.num_heads, registers)
        pooled = torch.einsum("bhr,bhcr->bhc", weights, values).flatten(1)
        return self.answer(pooled, hidden.masked_fill(~real, _LOWEST).amax(-1) * real.any(-1))

    def answer(self, pooled: torch.Tensor, highest: torch.Tensor) -> torch.Tensor:
        """Logits from what was pooled, both `(..., channels)`."""
        hidden = self.hidden(self.dropout(torch.cat([pooled, highest], -1)))
        return self.classifier(self.dropout(nn.functional.gelu(hidden)))[..., 0]

    def slide(self, hidden: torch.Tensor, real: torch.Tensor, registers: int, windows: int, step: int) -> torch.Tensor:
        """Pool `registers` at a time instead of all, from register to register `step`: logits `(batch, windows)`.

        Sums and maxima over a stretch come from those over powers of two: no difference of large sums is taken. A
        register whose weight is below e^-80 of the row's largest counts as if it had that.

        Args:
            hidden (`torch.Tensor` of shape `(batch, registers, channels)`): Features, 0 where a register is not real.
            real (`torch.Tensor` of shape `(batch, registers, 1)`): 1 where it is real, else 0.
            registers (`int`): Of a window.
            windows (`int`): How many.
            step (`int`): Registers from window to window.
        """
        channels = hidden.shape[-1]
        each = channels // self.num_heads
        layers = (self.value, self.attention)
        weight, bias = (torch.cat([getattr(layer, name) for layer in layers]) for name in ("weight", "bias"))
        found = nn.functional.linear(hidden, weight[..., 0], bias)
        below = (real - 1) * -_LOWEST  # 0 where real
        scores = found[..., channels:] + below
        weights = (scores - scores.transpose(1, 2).amax(-1)[:, None]).clamp(min=-80.0).exp() * real
        values = found[..., :channels] * weights.repeat_interleave(each, -1)
        summed = _pooled(torch.cat([values, weights], -1), registers, windows, step, torch.add)
        total = summed[..., channels:]
        pooled = summed[..., :channels] / total.clamp(min=1e-37).repeat_interleave(each, -1)
        highest = _pooled(hidden + below, registers, windows, step, torch.maximum)
        return self.answer(pooled, highest * (total[..., :1] > 0))


def _running(values: torch.Tensor, width: int, join: Callable[..., torch.Tensor]) -> torch.Tensor:
    """Join `width` neighbours along the second axis, each once: `(b, n, c)` to `(b, n - width + 1, c)`."""
    have, power, joined = 0, 1, values
    places = values.shape[1] - width + 1
    while True:
        if width & power:
            part = values[:, have : have + places]
            joined = part if have == 0 else join(joined, part)
            have += power
        if have == width:
            return joined
        values = join(values[:, :-power], values[:, power:])
        power *= 2


def _pooled(
    values: torch.Tensor, width: int, windows: int, step: int, join: Callable[..., torch.Tensor]
) -> torch.Tensor:
    """As `_running`, for every `step`-th place, the first `windows` of them: whole steps first, then what is left."""
    if step == 1 or width < step:
        return _running(values, width, join)[:, ::step][:, :windows]
    whole, left = divmod(width, step)
    missing = -values.shape[1] % step  # copies behind the end, which no window reaches
    values = torch.cat([values, values[:, -1:].expand(-1, missing, -1)], 1) if missing else values
    parts = values.unflatten(1, (-1, step)).unbind(2)
    blocks = parts[0]
    for part in parts[1:]:
        blocks = join(blocks, part)
    joined = _running(blocks, whole, join)[:, :windows]
    for part in parts[:left]:
        joined = join(joined, part[:, whole : whole + windows])
    return joined


class PairCnnReader:
    """The members of a diagonal reader made ready for one miRNA, to slide along many targets without gradients.

    What the first layers make of letters is a sum over neighbouring letters, so it is looked up, three letters at a
    time, and batch norms are folded into what they follow. Values lie as `(batch, registers, channels)`.

    Args:
        model (`PairCnnModel`): A diagonal reader.
        mirna_ids (`torch.Tensor` of shape `(1, max_mirna_length)`): The miRNA.
    """

    def __init__(self, model: "PairCnnModel", mirna_ids: torch.Tensor):
        length = int(((mirna_ids > 0) & (mirna_ids <= LETTERS)).sum())
        self.config, self.length = model.config, length
        with torch.no_grad():
            self.members = [_PreparedMember(member, mirna_ids) for member in model.members]

    @torch.no_grad()
    def __call__(self, target_ids: torch.Tensor, *, width: int | None = None, step: int = 1) -> torch.Tensor:
        """As `PairCnnModel.score_windows`: `(batch, windows)`."""
        width = min(width or self.config.target_length, target_ids.shape[1])
        windows = (target_ids.shape[1] - width) // step + 1
        registers = max(width + self.length - 2 * self.config.min_overlap + 1, 1)
        return torch.stack([member(target_ids, registers, windows, step) for member in self.members]).mean(0)


class _PreparedMember:
    """One member: tables of letters, folded convolutions."""

    def __init__(self, member: PairCnnDiagonal, mirna_ids: torch.Tensor):
        self.member = member
        vectors = member.pair.vectors(mirna_ids, backwards=True)[0]  # (length, 4, size)
        known = ((mirna_ids > 0) & (mirna_ids <= LETTERS)).to(vectors.dtype).flip(1)[0]
        target = member.target.weight
        length, _, self.size = vectors.shape
        self.filters, _, wide = target.shape
        # The first letter that each layer reads for register 0, and how many letters the two read together.
        of_pair, of_target = -member.margin, -member.left
        self.first = min(of_pair, of_target)
        reads = max(of_pair + length, of_target + wide) - self.first
        self.groups = -(-reads // _AT_ONCE)
        weights = vectors.new_zeros(self.groups * _AT_ONCE, LETTERS + 1, self.size + self.filters + 1)
        scale, shift = _folded(member.pair_norm)
        at = of_pair - self.first
        weights[at : at + length, :LETTERS, : self.size] = vectors * scale
        weights[at : at + length, :LETTERS, -1] = known[:, None]
        at = of_target - self.first
        letters = (target[:, :LETTERS] + target[:, LETTERS:]).permute(2, 1, 0)
        weights[at : at + wide, :LETTERS, self.size : -1] = letters
        self.table = self._of_groups(weights, torch.cat([shift, member.target.bias, shift.new_zeros(1)]))
        self.blocks = _FoldedBlocks(member)

    def _of_groups(self, weights: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """Sums of each group of letters, `(groups x 125, outputs)`; the first group's hold the bias, too."""
        grouped = weights.unflatten(0, (self.groups, _AT_ONCE))
        one, two, three = grouped[:, 0, :, None, None], grouped[:, 1, None, :, None], grouped[:, 2, None, None]
        table = (one + two + three).flatten(1, 3)
        table[0] += bias
        return table.flatten(0, 1)

    def __call__(self, target_ids: torch.Tensor, registers: int, windows: int, step: int) -> torch.Tensor:
        """Logits `(batch, windows)`."""
        hidden, real = self.read(target_ids)
        return self.member.slide(hidden, real, registers, windows, step)

    def read(self, target_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features `(batch, registers, channels)`, and 1 where a register is real `(batch, registers, 1)`."""
        member, (batch, columns) = self.member, target_ids.shape
        count = columns + 2 * member.margin - member.pair.length + 1
        codes = _codes(target_ids)
        after = count + self.groups * _AT_ONCE - 1 - columns + self.first
        codes = nn.functional.pad(codes, (-self.first, after), value=LETTERS)
        codes = (codes[:, :-2] * (LETTERS + 1) + codes[:, 1:-1]) * (LETTERS + 1) + codes[:, 2:]
        rows = codes.as_strided((batch, count, self.groups), (codes.shape[1], 1, _AT_ONCE))
        rows = rows + torch.arange(self.groups, dtype=rows.dtype, device=rows.device) * (LETTERS + 1) ** _AT_ONCE
        found = nn.functional.embedding_bag(rows.reshape(-1, self.groups), self.table, mode="sum")
        found = found.view(batch, count, -1)
        real = (found[..., -1:] > member.min_overlap - 0.5).to(found.dtype)
        target = nn.functional.gelu(found[..., self.size : -1].contiguous())
        hidden = torch.cat([found[..., : self.size], target], -1).mul_(real)
        return self.blocks(hidden, real), real


class PairCnnScorer:
    """The members of a diagonal reader made ready to score windows of any miRNAs, without gradients.

    What a cell adds is looked up for all members at once, and batch norms are folded into what they follow. As the
    model itself scores, up to rounding.

    Args:
        model (`PairCnnModel`): A diagonal reader, in evaluation mode.
    """

    def __init__(self, model: "PairCnnModel"):
        members: list[PairCnnDiagonal] = list(model.members)  # type: ignore[arg-type]
        config = model.config
        first = members[0]
        self.model, self.margin, self.min_overlap = model, first.margin, first.min_overlap
        self.left, self.right, self.heads = first.left, first.right, first.num_heads
        self.size, self.filters, self.length = config.pair_size, config.target_size, config.max_mirna_length
        with torch.no_grad():
            self.members = [(member, _FoldedBlocks(member)) for member in members]
            norms = [_folded(member.pair_norm) for member in members]
            size = self.size
            table = first.pair.weight.new_zeros(self.length, LETTERS + 1, LETTERS + 1, size * len(members) + 1)
            for number, (member, (scale, _)) in enumerate(zip(members, norms, strict=True)):
                columns = slice(number * size, (number + 1) * size)
                table[:, :LETTERS, :LETTERS, columns] = (member.pair.weight * scale).flip(0)
            table[:, :LETTERS, :LETTERS, -1] = 1
            table[0, ..., :-1] += torch.cat([shift for _, shift in norms])
            self.table = table.flatten(0, 2)
            self.target_weight = torch.cat([member.target.weight for member in members])
            self.target_bias = torch.cat([member.target.bias for member in members if member.target.bias is not None])

    @torch.no_grad()
    def __call__(self, mirna_ids: torch.Tensor, target_ids: torch.Tensor) -> torch.Tensor:
        """Logits `(batch,)` of miRNAs `(batch, m)` and targets `(batch, t)`, ids as for the model."""
        parts = zip(mirna_ids.split(_ROWS_AT_ONCE), target_ids.split(_ROWS_AT_ONCE), strict=True)
        return torch.cat([self._score(self.model._ids(one), other) for one, other in parts])

    def _score(self, mirna_ids: torch.Tensor, target_ids: torch.Tensor) -> torch.Tensor:
        sums, real, targets = self._read(mirna_ids, target_ids)
        logits = [
            self._answer(member, blocks(torch.cat([pairs, target], -1).mul_(real), real), real)
            for (member, blocks), pairs, target in zip(
                self.members, sums.split(self.size, -1), targets.split(self.filters, -1), strict=True
            )
        ]
        return torch.stack(logits).mean(0)

    def _read(
        self, mirna_ids: torch.Tensor, target_ids: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Sums of pairs, 1 where a register is real, what reads the target: each `(batch, registers, ...)`."""
        nucleotides, letters = (_codes(ids) for ids in (mirna_ids, target_ids))
        batch = len(letters)
        facing = nn.functional.pad(letters, (self.margin, self.margin), value=LETTERS).unfold(1, self.length, 1)
        positions = torch.arange(self.length, device=letters.device, dtype=letters.dtype) * (LETTERS + 1)
        rows = (positions + nucleotides.flip(1))[:, None] * (LETTERS + 1) + facing
        found = nn.functional.embedding_bag(rows.flatten(0, 1), self.table, mode="sum").view(
            batch, -1, len(self.table[0])
        )
        real = (found[..., -1:] > self.min_overlap - 0.5).to(found.dtype)
        known = self.model._letters(target_ids.int())
        known = torch.cat([known, known.sum(1, keepdim=True)], 1)
        known = nn.functional.pad(known, (self.left, self.right))
        targets = nn.functional.gelu(nn.functional.conv1d(known, self.target_weight, self.target_bias))
        return found[..., :-1], real, targets.transpose(1, 2)

    def _answer(self, member: PairCnnDiagonal, hidden: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """As `PairCnnDiagonal.forward` pools, the attention first and the values of what it pooled."""
        channels, below = hidden.shape[-1], (real - 1) * -_LOWEST  # 0 where real
        scores = nn.functional.linear(hidden, member.attention.weight[..., 0], member.attention.bias) + below
        weights = (scores - scores.amax(1, keepdim=True)).exp() * real
        weights = weights / weights.sum(1, keepdim=True).clamp(min=1e-37)
        pooled = torch.bmm(weights.transpose(1, 2), hidden)  # (batch, heads, channels)
        value = member.value.weight[..., 0].unflatten(0, (self.heads, -1))
        values = torch.einsum("bhc,hec->bhe", pooled, value)
        if member.value.bias is not None:
            values = values + member.value.bias.view(self.heads, -1) * weights.sum(1)[..., None]
        return member.answer(values.reshape(-1, channels), (hidden + below).amax(1) * real.amax(1))


class _FoldedBlocks:
    """A member's convolutions over registers, norms folded in, channels last."""

    def __init__(self, member: PairCnnDiagonal):
        self.blocks = [(*_folded_conv(block), block.use_skip) for block in member.blocks]

    def __call__(self, hidden: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """`(batch, registers, channels)` to the same with other channels; `real` `(batch, registers, 1)`."""
        for weight, bias, use_skip in self.blocks:
            changed = nn.functional.conv2d(_as_picture(hidden), weight, bias, padding=(0, weight.shape[-1] // 2))
            changed = nn.functional.gelu(changed[:, :, 0].transpose(1, 2))
            hidden = (changed.add_(hidden) if use_skip else changed).mul_(real)
        return hidden


def _codes(ids: torch.Tensor) -> torch.Tensor:
    """Ids as int32 codes: letters 0-3, everything else 4."""
    codes = ids.int() - 1
    return torch.where((codes >= 0) & (codes < LETTERS), codes, LETTERS)


def _folded(norm: nn.BatchNorm1d) -> tuple[torch.Tensor, torch.Tensor]:
    """What a batch norm multiplies by, and what it adds."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return scale, norm.bias - norm.running_mean * scale


def _folded_conv(block: PairCnnBlock) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights and bias of a block's convolution with its norm, for pictures of one row."""
    scale, shift = _folded(block.norm)
    weight = (block.conv.weight * scale[:, None, None])[:, :, None]
    return weight.contiguous(memory_format=torch.channels_last), shift


def _as_picture(values: torch.Tensor) -> torch.Tensor:
    """`(batch, registers, channels)` as pictures of one row, whose channels lie together in memory."""
    return values.transpose(1, 2)[:, :, None]


class PairCnnMatrix(nn.Module):
    """The two-dimensional network: a linear layer on pairs, convolutions with pooling, two linear layers."""

    def __init__(self, config: PairCnnConfig):
        super().__init__()
        self.shape = (config.max_mirna_length, config.target_length)
        self.pair = nn.Linear(LETTERS * LETTERS + 2, config.pair_size)
        widths = [config.pair_size, *config.channels]
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, width, padding=(width - 1) // 2)
            for (a, b), width in zip(pairwise(widths), config.kernel_sizes, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in config.channels)
        self.dropout = nn.Dropout(config.dropout)
        self.hidden = nn.Linear(config.flat_size, config.hidden_size)
        self.hidden_norm = nn.BatchNorm1d(config.hidden_size)
        self.classifier = nn.Linear(config.hidden_size, 1)

    def cells(self, mirna_ids: torch.Tensor, target_ids: torch.Tensor) -> torch.Tensor:
        """Kind of each cell, `(batch, rows, columns)`: 0 to 15 the pairs by miRNA letter, 17 where one is unknown.

        Kind 16 is the original's own token for padding, which its encoder never writes.
        """
        if target_ids.shape[1] > self.shape[1]:
            raise ValueError(
                f"a target of {target_ids.shape[1]} nt does not fit the {self.shape[1]} columns of this model's matrix"
            )
        mirna_ids = nn.functional.pad(mirna_ids, (0, self.shape[0] - mirna_ids.shape[1]))
        target_ids = nn.functional.pad(target_ids, (0, self.shape[1] - target_ids.shape[1]))
        rows, columns = mirna_ids[:, :, None], target_ids[:, None, :]
        known = (rows > 0) & (rows <= LETTERS) & (columns > 0) & (columns <= LETTERS)
        return torch.where(known, (rows - 1) * LETTERS + columns - 1, LETTERS * LETTERS + 1)

    def vectors(self, kinds: torch.Tensor) -> torch.Tensor:
        """The pair layer's outputs, `(batch, size, rows, columns)`."""
        return (nn.functional.embedding(kinds, self.pair.weight.t()) + self.pair.bias).permute(0, 3, 1, 2)

    def forward(self, hidden_states: torch.Tensor, states: list[torch.Tensor] | None = None) -> torch.Tensor:
        """Logits `(batch,)` from the pair layer's outputs; `states` takes up these and what each convolution gives."""
        taken = [] if states is None else states
        taken.append(hidden_states)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            hidden_states = nn.functional.leaky_relu(norm(conv(hidden_states)), 0.1)
            hidden_states = self.dropout(nn.functional.max_pool2d(hidden_states, 2))
            taken.append(hidden_states)
        hidden = nn.functional.leaky_relu(self.hidden_norm(self.hidden(hidden_states.flatten(1))), 0.1)
        return self.classifier(self.dropout(hidden))[:, 0]


class PairCnnPreTrainedModel(PreTrainedModel):
    """Base class: configuration, weight initialisation, loading and saving."""

    config: PairCnnConfig
    base_model_prefix = "pair_cnn"
    # The loss is a mean over its own batch, and `**kwargs` would make Trainer leave out its division by the
    # accumulated batches.
    accepts_loss_kwargs = False
    main_input_name = "target_ids"

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Uniform within 1/sqrt(fan-in) for convolutions and linear layers, zero bias; cells start as pairs.

        The vector of a cell is the strength of its pair (G-C 1.3, A-U 1, G-U 0.4, less 0.3, which makes others
        negative) times a smooth random profile over the miRNA, plus N(0, 0.05).
        """
        if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Linear)):
            init.kaiming_uniform_(module.weight, a=5**0.5)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            init.ones_(module.weight)
            init.zeros_(module.bias)
            init.zeros_(module.running_mean)
            init.ones_(module.running_var)
            init.zeros_(module.num_batches_tracked)
        elif isinstance(module, PairCnnPairLayer):
            length, _, _, size = module.weight.shape
            profile = nn.functional.avg_pool1d(torch.randn(size, length), 5, 1, 2).T
            strength = torch.full((LETTERS, LETTERS), -0.3)
            for one, other, pair in ((0, 3, 1.0), (1, 2, 1.3), (2, 3, 0.4)):
                strength[one, other] = strength[other, one] = pair - 0.3
            start = 0.75 * profile[:, None, None] * strength[..., None]
            init.copy_(module.weight, start + 0.05 * torch.randn(module.weight.shape))


class PairCnnModel(PairCnnPreTrainedModel):
    """Score of a miRNA and a stretch of target, from the pairing matrix of the two.

    Args:
        config (`PairCnnConfig`): Shape of the network.

    Examples:
        >>> import torch
        >>> from seqformers import PairCnnConfig, PairCnnModel
        >>> model = PairCnnModel(PairCnnConfig()).eval()
        >>> model(torch.ones(2, 22, dtype=torch.long), torch.ones(2, 50, dtype=torch.long)).logits.shape
        torch.Size([2])
    """

    def __init__(self, config: PairCnnConfig):
        super().__init__(config)
        if config.kind == "matrix":
            self.matrix = PairCnnMatrix(config)
        else:
            self.members = nn.ModuleList(PairCnnDiagonal(config) for _ in range(config.num_members))
        self.post_init()

    def forward(
        self,
        mirna_ids: torch.Tensor,
        target_ids: torch.Tensor,
        labels: torch.Tensor | None = None,
        row_weights: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> PairCnnOutput | tuple[torch.Tensor, ...]:
        """Score pairs.

        Args:
            mirna_ids (`torch.Tensor` of shape `(batch, m)`): From `PairCnnProcessor`, 5'->3'; any integer type. What
                exceeds `max_mirna_length` is not read.
            target_ids (`torch.Tensor` of shape `(batch, t)`): 5'->3'; zeros before or behind count as nothing.
            labels (`torch.Tensor` of shape `(batch,)`, *optional*): 0 or 1, or a probability.
            row_weights (`torch.Tensor` of shape `(batch,)`, *optional*): How much each label counts; 1 by default.
            output_hidden_states (`bool`, *optional*): Give the hidden states.
            output_attentions (`bool`, *optional*): Refused: what its pooling weighs are registers, not tokens.
            return_dict (`bool`, *optional*): `False` for a tuple.
            **kwargs: Other outputs of the processor; not used.

        Returns:
            `PairCnnOutput`.

        Raises:
            ValueError: attentions are asked for, or a target does not fit the matrix of `kind="matrix"`.
        """
        if output_attentions:
            raise ValueError("pair_cnn is a network without attention; leave output_attentions out")
        wanted = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        mirna_ids, target_ids = self._ids(mirna_ids), target_ids.long()
        states = None
        if self.training or wanted or target_ids.device.type != "cpu" or torch.compiler.is_compiling():
            logits, states = self._read(mirna_ids, target_ids, wanted)
        else:
            parts = zip(mirna_ids.split(_ROWS_AT_ONCE), target_ids.split(_ROWS_AT_ONCE), strict=True)
            logits = torch.cat([self._read(*part)[0] for part in parts], 1)
        output = PairCnnOutput(logits=logits.mean(0), hidden_states=states)
        if len(logits) > 1:
            output.member_logits = logits
        if labels is not None:
            output.loss = self._loss(logits, labels, row_weights)
        return output if return_dict is not False else output.to_tuple()

    def score_windows(
        self, mirna_ids: torch.Tensor, target_ids: torch.Tensor, *, width: int | None = None, step: int = 1
    ) -> torch.Tensor:
        """Score every window of long targets for one miRNA, each register read once.

        A window's registers are those in which the miRNA and the window have `min_overlap` cells in common. They are
        read with what surrounds the window, so a score is near that of the window cut out, but not equal to it.

        Args:
            mirna_ids (`torch.Tensor` of shape `(m,)` or `(1, m)`): One miRNA.
            target_ids (`torch.Tensor` of shape `(batch, t)`): Targets, zeros behind the shorter ones.
            width (`int`, *optional*): Nucleotides a window; by default `target_length`.
            step (`int`, defaults to 1): Nucleotides from window to window.

        Returns:
            `torch.Tensor` of shape `(batch, windows)`: logits; window w starts at nucleotide w x step, and a target
            shorter than a window has one, of the whole of it.
        """
        return self.reader(mirna_ids)(target_ids, width=width, step=step)

    def reader(self, mirna_ids: torch.Tensor) -> PairCnnReader:
        """What `score_windows` makes of one miRNA first, to be called on many batches of targets.

        Args:
            mirna_ids (`torch.Tensor` of shape `(m,)` or `(1, m)`): One miRNA.
        """
        if self.config.kind != "diagonal":
            raise ValueError("only a diagonal reader slides along a target; cut the windows and call the model")
        return PairCnnReader(self, self._ids(mirna_ids.reshape(1, -1)))

    def scorer(self) -> PairCnnScorer:
        """What scores many windows fast, without gradients: made once, called with ids as `forward` takes them."""
        if self.config.kind != "diagonal":
            raise ValueError("only a diagonal reader has a scorer; call the model")
        return PairCnnScorer(self)

    def pair_contributions(
        self, mirna_ids: torch.Tensor, target_ids: torch.Tensor, *, steps: int = 16
    ) -> torch.Tensor:
        """What each cell of the pairing matrix adds to the logit: integrated gradients of the pair layer.

        The path runs from no pairing at all (in every cell the mean over the letters that could face the nucleotide;
        for `"matrix"` the vector of an unknown pair) to the pair that is there. The layer is linear in cells, so the
        sum over cells is what pairing as a whole adds, up to the error of `steps`; the part that reads the target
        alone stays as it is.

        Args:
            mirna_ids (`torch.Tensor` of shape `(batch, m)`): As for `forward`.
            target_ids (`torch.Tensor` of shape `(batch, t)`): As for `forward`.
            steps (`int`, defaults to 16): Points on the path.

        Returns:
            `torch.Tensor` of shape `(batch, max_mirna_length, t)`, in logits.
        """
        training = self.training
        self.eval()
        try:
            with torch.enable_grad():
                parts = self._integrate_matrix if self.config.kind == "matrix" else self._integrate_diagonal
                return parts(self._ids(mirna_ids), target_ids.long(), steps)
        finally:
            self.train(training)

    def _integrate_diagonal(self, mirna_ids: torch.Tensor, target_ids: torch.Tensor, steps: int) -> torch.Tensor:
        letters = self._letters(target_ids)
        known = letters.sum(1)
        batch, columns = target_ids.shape
        total = letters.new_zeros(batch, self.config.max_mirna_length, columns)
        for member in self.members:
            with torch.no_grad():
                sums, cells = member.registers(mirna_ids, letters)
                vectors = member.pair.vectors(mirna_ids)  # (batch, length, 4, size)
                mean = vectors.mean(2)
                none = member.pair(mirna_ids, known[:, None].expand(-1, LETTERS, -1) / LETTERS)
                effect = torch.einsum("bilc,blt->bitc", vectors, letters) - mean[:, :, None] * known[:, None, :, None]
            gradient = torch.zeros_like(sums)
            for step in range(steps):
                point = torch.lerp(none, sums, (step + 0.5) / steps).requires_grad_()
                gradient += torch.autograd.grad(member(point, cells, letters).sum(), point)[0] / steps
            # Register of cell (i, j) as a column of the pair layer; cells in registers that are left out add nothing.
            row, column = torch.meshgrid(
                torch.arange(total.shape[1], device=total.device),
                torch.arange(columns, device=total.device),
                indexing="ij",
            )
            register = row + column - (self.config.min_overlap - 1)
            inside = (register >= 0) & (register < gradient.shape[2])
            of_cell = gradient[:, :, register.clamp(0, gradient.shape[2] - 1)] * inside
            total += torch.einsum("bitc,bcit->bit", effect, of_cell) / len(self.members)
        return total

    def _integrate_matrix(self, mirna_ids: torch.Tensor, target_ids: torch.Tensor, steps: int) -> torch.Tensor:
        with torch.no_grad():
            kinds = self.matrix.cells(mirna_ids, target_ids)
            there = self.matrix.vectors(kinds)
            none = self.matrix.vectors(torch.full_like(kinds, LETTERS * LETTERS + 1))
        gradient = torch.zeros_like(there)
        for step in range(steps):
            point = torch.lerp(none, there, (step + 0.5) / steps).requires_grad_()
            gradient += torch.autograd.grad(self.matrix(point).sum(), point)[0] / steps
        return ((there - none) * gradient).sum(1)[:, :, : target_ids.shape[1]]

    def _read(
        self, mirna_ids: torch.Tensor, target_ids: torch.Tensor, wanted: bool = False
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...] | None]:
        """Logits of the members, `(members, batch)`, and the hidden states where they are wanted."""
        if self.config.kind == "matrix":
            states: list[torch.Tensor] = []
            logits = self.matrix(self.matrix.vectors(self.matrix.cells(mirna_ids, target_ids)), states)[None]
            return logits, tuple(states) if wanted else None
        letters = self._letters(target_ids)
        of_members: list[list[torch.Tensor]] = [[] for _ in self.members]
        answers = [
            member(*member.registers(mirna_ids, letters), letters, states if wanted else None)
            for member, states in zip(self.members, of_members, strict=True)
        ]
        together = tuple(torch.stack(layer, 1) for layer in zip(*of_members, strict=True))
        return torch.stack(answers), together if wanted else None

    def _ids(self, mirna_ids: torch.Tensor) -> torch.Tensor:
        """Exactly `max_mirna_length` columns."""
        length = self.config.max_mirna_length
        mirna_ids = mirna_ids[:, :length].long()
        return nn.functional.pad(mirna_ids, (0, length - mirna_ids.shape[1]))

    def _letters(self, target_ids: torch.Tensor) -> torch.Tensor:
        """One-hot targets `(batch, 4, t)`; unknown letters and padding are zeros."""
        rows = torch.zeros(LETTERS + 2, LETTERS, device=target_ids.device, dtype=self.dtype)
        rows[1 : LETTERS + 1] = torch.eye(LETTERS, device=target_ids.device, dtype=self.dtype)
        return nn.functional.embedding(target_ids, rows).transpose(1, 2)

    @staticmethod
    def _loss(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
        """Each member learns for itself."""
        labels = labels.to(logits.dtype).expand_as(logits)
        losses = nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(0)
        if weights is None:
            return losses.mean()
        weights = weights.to(losses.dtype)
        return (losses * weights).sum() / weights.sum().clamp(min=1e-12)
