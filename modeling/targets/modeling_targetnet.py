"""TargetNet: a small residual convolutional network over aligned candidate target sites.

Source: Min, Lee, Yoon, Bioinformatics 2022, section 2.3. Convolutions run on channels-last tensors of height one,
which on a CPU takes a third of the time of the same one-dimensional convolutions.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from .configuration_targetnet import TargetNetConfig

NO_SITE = -10_000.0  # logit of a pair without a candidate site: probability 0, and finite for whoever averages logits
_SITES_AT_ONCE = 1024  # without gradients; what fits a CPU's cache is twice as fast as a batch that does not

__all__ = ["NO_SITE", "TargetNetModel", "TargetNetOutput", "TargetNetPreTrainedModel"]


@dataclass
class TargetNetOutput(ModelOutput):
    """What `TargetNetModel` returns.

    Args:
        loss (`torch.FloatTensor`, *optional*): Mean binary cross-entropy; returned when `labels` are given.
        logits (`torch.FloatTensor`): `(num_pairs,)`, the best site's of each pair (-10,000 for a pair without a
            site, so its probability is 0); `(num_sites,)` when no `pair_index` is given.
        site_logits (`torch.FloatTensor`, *optional*): `(num_sites,)`, when `pair_index` is given.
        best_site (`torch.LongTensor`, *optional*): `(num_pairs,)`, the first site with the best logit, -1 for none.
        hidden_states (`tuple`, *optional*): Of the sites, on request: the one-hot matrix, the stem's output and each
            block's, `(num_sites, channels, columns)`.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    site_logits: torch.Tensor | None = None
    best_site: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None


class TargetNetConv(nn.Conv1d):
    """One-dimensional "same" convolution without bias, over `(sites, channels, 1, columns)`.

    An even kernel pads (k-1)//2 on the left and the rest on the right.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int):
        super().__init__(in_channels, out_channels, kernel_size, bias=False)
        self.left = (kernel_size - 1) // 2

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Convolve; the shape stays but for the channels."""
        right = self.kernel_size[0] - 1 - self.left
        weight = self.weight.unsqueeze(2)
        if right == self.left:
            return nn.functional.conv2d(hidden_states, weight, padding=(0, self.left))
        return nn.functional.conv2d(nn.functional.pad(hidden_states, (self.left, right)), weight)


class TargetNetStem(nn.Module):
    """Convolutions with ReLU and dropout between them, none after the last."""

    def __init__(self, config: TargetNetConfig):
        super().__init__()
        widths = [2 * config.num_symbols] + [config.channels[0]] * config.num_blocks[0]
        self.convs = nn.ModuleList(TargetNetConv(a, b, config.stem_kernel_size) for a, b in pairwise(widths))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """From symbols to the stem's channels."""
        hidden_states = self.convs[0](hidden_states)
        for conv in self.convs[1:]:
            hidden_states = conv(self.dropout(hidden_states.relu_()))
        return hidden_states


class TargetNetBlock(nn.Module):
    """Pre-activation residual block; where it widens, the skipped input reaches the first channels only.

    Convolutions own their outputs, so activations happen in place; only what a skip still needs is copied.
    """

    def __init__(self, config: TargetNetConfig, in_channels: int, out_channels: int):
        super().__init__()
        self.conv1 = TargetNetConv(in_channels, out_channels, config.block_kernel_size)
        self.conv2 = TargetNetConv(out_channels, out_channels, config.block_kernel_size)
        self.dropout = nn.Dropout(config.dropout)
        self.use_skip = config.use_skip

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """ReLU, dropout, convolution, twice; plus the input."""
        skipped = hidden_states
        hidden_states = self.conv1(self.dropout(skipped.relu() if self.use_skip else skipped.relu_()))
        hidden_states = self.conv2(self.dropout(hidden_states.relu_()))
        if self.use_skip:
            hidden_states[:, : skipped.shape[1]] += skipped
        return hidden_states


class TargetNetPreTrainedModel(PreTrainedModel):
    """Base class: configuration, weight initialisation, loading and saving."""

    config: TargetNetConfig
    base_model_prefix = "targetnet"
    # The loss is a mean over its own batch, and `**kwargs` would make Trainer leave out its division by the
    # accumulated batches.
    accepts_loss_kwargs = False
    main_input_name = "input_ids"

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Kaiming normal (fan-in, ReLU) for every weight, the linear layer's too; zero bias."""
        if isinstance(module, (nn.Conv1d, nn.Linear)):
            init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                init.zeros_(module.bias)


class TargetNetModel(TargetNetPreTrainedModel):
    """Probability that a miRNA acts on an mRNA: the best of its candidate target sites.

    Args:
        config (`TargetNetConfig`): Shape of the network.

    Examples:
        >>> import torch
        >>> from seqformers import TargetNetConfig, TargetNetModel
        >>> model = TargetNetModel(TargetNetConfig()).eval()
        >>> sum(weight.numel() for weight in model.parameters())
        8737
        >>> model(torch.zeros(3, 2, 50, dtype=torch.long), pair_index=torch.tensor([0, 0, 1])).logits.shape
        torch.Size([2])
    """

    def __init__(self, config: TargetNetConfig):
        super().__init__(config)
        stem, first, second = config.channels
        self.stem = TargetNetStem(config)
        widths = [stem] + [first] * config.num_blocks[1] + [second] * config.num_blocks[2]
        self.blocks = nn.ModuleList(TargetNetBlock(config, a, b) for a, b in pairwise(widths))
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(second * (config.num_columns // config.pool_size), 1)
        self.post_init()

    def embed(self, input_ids: torch.Tensor) -> torch.Tensor:
        """One-hot matrix of sites, the miRNA's symbols before the site's.

        Args:
            input_ids (`torch.Tensor` of shape `(num_sites, 2, columns)`): Any integer type; 0 is an empty column,
                1 to 4 A C G U, 5 a gap.

        Returns:
            `torch.Tensor` of shape `(num_sites, 10, columns)`, float, columns strided before channels.
        """
        symbols = self.config.num_symbols
        rows = torch.eye(symbols + 1, symbols + 1, device=input_ids.device, dtype=self.dtype)[:, 1:]
        # One row of both symbols for each of their combinations: a column is a single look-up.
        table = torch.cat([rows.repeat_interleave(symbols + 1, 0), rows.repeat(symbols + 1, 1)], dim=1)
        combined = input_ids[:, 0] * (symbols + 1) + input_ids[:, 1]
        return nn.functional.embedding(combined.int(), table).transpose(1, 2)

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        pair_index: torch.Tensor | None = None,
        num_pairs: int | torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> TargetNetOutput | tuple[torch.Tensor, ...]:
        """Score sites, or pairs by their best site.

        Args:
            input_ids (`torch.Tensor` of shape `(num_sites, 2, columns)`): From `TargetNetProcessor`.
            inputs_embeds (`torch.Tensor` of shape `(num_sites, 10, columns)`): The 0/1 matrix instead of ids.
            pair_index (`torch.LongTensor` of shape `(num_sites,)`, *optional*): The pair of each site.
            num_pairs (`int`, *optional*): Pairs in the batch, where the last may have no site; by default as many
                as `labels`, else as `pair_index` names.
            labels (`torch.Tensor`, *optional*): 0 or 1, of each pair (of each site without `pair_index`).
            output_hidden_states (`bool`, *optional*): Give the hidden states of the sites.
            output_attentions (`bool`, *optional*): Refused: there is no attention here.
            return_dict (`bool`, *optional*): `False` for a tuple.
            **kwargs: Other outputs of the processor; not used.

        Returns:
            `TargetNetOutput`. Pairs without a site do not enter the loss.

        Raises:
            ValueError: neither or both inputs, attentions are asked for, or hidden states while training on pairs,
                where only the best sites are looked at twice.
        """
        if output_attentions:
            raise ValueError("TargetNet is a convolutional network without attention; leave output_attentions out")
        wanted = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        states: list[torch.Tensor] | None = [] if wanted else None
        if wanted and self.training and pair_index is not None:
            raise ValueError(
                "hidden states are given for sites, or in evaluation; leave pair_index out, or model.eval()"
            )
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("pass either input_ids or inputs_embeds")
        hidden = self.embed(input_ids) if inputs_embeds is None else inputs_embeds  # type: ignore[arg-type]
        if pair_index is None:
            output = TargetNetOutput(logits=self._score(hidden, states))
        else:
            if num_pairs is None:
                num_pairs = len(labels) if labels is not None else int(pair_index.max()) + 1 if len(pair_index) else 0
            output = self._score_pairs(hidden, pair_index.long(), int(num_pairs), states)
        if labels is not None:
            assert output.logits is not None
            output.loss = self._loss(output.logits, labels)
        output.hidden_states = None if states is None else tuple(states)
        return output if return_dict is not False else output.to_tuple()

    def _score(self, hidden: torch.Tensor, states: list[torch.Tensor] | None = None) -> torch.Tensor:
        """Logits `(num_sites,)`; `states` takes up copies of the hidden states, since activations happen in place."""
        if hidden.shape[0] == 0:  # some backends refuse an empty batch
            return hidden.new_zeros(0)
        if states is not None:
            states.append(hidden)
        for layer in (self.stem, *self.blocks):
            hidden = layer(hidden.unsqueeze(2) if layer is self.stem else hidden)
            if states is not None:
                states.append(hidden.squeeze(2).clone())
        hidden = self.dropout(hidden.relu_())
        hidden = nn.functional.max_pool2d(hidden, (1, self.config.pool_size))
        return self.classifier(hidden.flatten(1)).squeeze(1)

    def _score_pairs(
        self, hidden: torch.Tensor, pair_index: torch.Tensor, num_pairs: int, states: list[torch.Tensor] | None = None
    ) -> TargetNetOutput:
        """Best site of each pair. In training, only the best gets a gradient, so the others are scored without one.

        They are looked up without dropout, as they are in use; a 1,000-nt mRNA then costs a third of the time, and the
        memory of one site.
        """
        if not self.training or len(pair_index) <= num_pairs:
            return self._best(self._score(hidden, states), pair_index, num_pairs)
        with torch.no_grad():
            self.eval()
            size = _SITES_AT_ONCE if hidden.device.type == "cpu" else len(hidden)
            logits = torch.cat([self._score(part) for part in hidden.split(size)])
            output = self._best(logits, pair_index, num_pairs)
            self.train()
        assert output.logits is not None and output.best_site is not None
        found = output.best_site >= 0
        best = self._score(hidden[output.best_site[found]])
        output.logits = output.logits.masked_scatter(found, best)
        return output

    def _best(self, site_logits: torch.Tensor, pair_index: torch.Tensor, num_pairs: int) -> TargetNetOutput:
        """Maximum of each pair; always, where the original skipped it when sites and pairs were equally many."""
        lowest = site_logits.new_full((num_pairs,), NO_SITE)
        logits = lowest.scatter_reduce(0, pair_index, site_logits, "amax")
        number = torch.arange(len(site_logits), device=site_logits.device)
        is_best = site_logits.detach() == logits.detach()[pair_index]
        best = torch.full((num_pairs,), len(number), dtype=torch.long, device=number.device)
        best = best.scatter_reduce(0, pair_index[is_best], number[is_best], "amin")
        return TargetNetOutput(logits=logits, site_logits=site_logits, best_site=best.where(best < len(number), -1))

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        dtype = torch.float64 if self.config.double_loss else logits.dtype
        scored = logits > NO_SITE
        if not bool(scored.any()):
            return logits.new_zeros(()) + 0.0 * self.classifier.bias.sum()
        logits, labels = logits[scored].to(dtype), labels[scored].to(dtype)
        if self.config.class_weights is None:
            return nn.functional.binary_cross_entropy_with_logits(logits, labels)
        weight = logits.new_tensor(self.config.class_weights)[(labels > 0.5).long()]
        total = nn.functional.binary_cross_entropy_with_logits(logits, labels, weight=weight, reduction="sum")
        return total / weight.sum()
