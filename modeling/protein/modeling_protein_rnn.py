"""Padded rows through LSTMs, in place of packed ones.

On a CPU packed rows take twice as long as padded ones to read and five times as long to learn from. Padding behind a
row cannot reach the forward direction; the backward one reads each row turned round.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.functional import dropout, linear, pad

from .modeling_protein_heads import exporting

__all__ = ["predict_from_both_sides", "row_lengths", "run_lstm", "scan_tokens", "turn"]


def run_lstm(
    rnn: nn.LSTM, values: torch.Tensor, lengths: torch.Tensor, checkpoint: Callable[..., Any] | None = None
) -> list[torch.Tensor]:
    """States of every layer of `rnn`, read in one direction or both, each (B, T, directions · hidden).

    Args:
        rnn (`nn.LSTM`): Batch first, or its dynamically quantised form; its dropout acts between layers.
        values (`torch.Tensor` of shape `(B, T, inputs)`): Rows, padding behind them.
        lengths (`torch.LongTensor` of shape `(B,)`): Real tokens of each row.
        checkpoint (`Callable`, *optional*): `checkpoint(function, *inputs)` calls a layer without keeping its gates.

    Returns:
        `list[torch.Tensor]`: What packed rows give at real tokens; at padding anything.
    """
    directions = 1 + rnn.bidirectional
    quantised = getattr(rnn, "_all_weight_values", None)
    weights = rnn.all_weights if quantised is None else [[one.param] for one in quantised]
    states = []
    for layer in range(rnn.num_layers):
        values = dropout(values, rnn.dropout, rnn.training and layer > 0)
        own = weights[layer * directions : (layer + 1) * directions]
        if checkpoint is None:
            values = _run_layer(rnn, values, lengths, own)
        else:
            values = checkpoint(_run_layer, rnn, values, lengths, own)
        states.append(values)
    return states


def _run_layer(rnn: nn.LSTM, values: torch.Tensor, lengths: torch.Tensor, weights: list[Any]) -> torch.Tensor:
    """One layer, with the `weights` of its direction or of both."""
    zeros = values.new_zeros(1, values.shape[0], rnn.hidden_size)
    sides: list[torch.Tensor] = []
    for side in weights:
        x = turn(values, lengths) if sides else values
        if exporting() and torch.is_tensor(side[0]):
            gates = linear(x, side[0], side[2] + side[3])
            x = scan_tokens(_step, (zeros[0], zeros[0].clone()), (gates,), side[1])[0]
        elif torch.is_tensor(side[0]):
            x = torch.lstm(x, (zeros, zeros), side, True, 1, 0.0, rnn.training, False, True)[0]
        else:
            options = {"dtype": rnn.dtype, "use_dynamic": True}
            x = torch.quantized_lstm(x, (zeros, zeros), side, True, 1, 0.0, False, False, True, **options)[0]
        sides.append(turn(x, lengths) if sides else x)
    return torch.cat(sides, -1) if len(sides) > 1 else sides[0]


def _step(
    state: tuple[torch.Tensor, ...], inputs: tuple[torch.Tensor, ...], weight: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Hidden and cell state of an LSTM after one token more; `inputs` are its gates before the recurrent weight."""
    hidden, cell = state
    take, keep, new, give = (inputs[0] + linear(hidden, weight)).chunk(4, -1)
    cell = keep.sigmoid() * cell + take.sigmoid() * new.tanh()
    return give.sigmoid() * cell.tanh(), cell


def scan_tokens(
    step: Callable[..., tuple[torch.Tensor, ...]],
    state: tuple[torch.Tensor, ...],
    inputs: tuple[torch.Tensor, ...],
    *weights: torch.Tensor,
) -> tuple[torch.Tensor, ...]:
    """A recurrence as one operator of an exported graph, so that the graph takes rows of any length.

    Args:
        step (`Callable`): `step(state, inputs of a token, *weights)` gives the next state.
        state (`tuple` of `torch.Tensor`): Before the first token.
        inputs (`tuple` of `torch.Tensor` of shape `(B, T, ...)`): What the tokens bring.
        weights (`torch.Tensor`): Passed on.

    Returns:
        `tuple` of `torch.Tensor`: The first part of the state after every token, (B, T, ...), and the last state.
    """
    from torch._higher_order_ops.scan import scan  # for exports alone

    def one(before: tuple[torch.Tensor, ...], at: tuple[torch.Tensor, ...]) -> tuple[Any, torch.Tensor]:
        after = step(before, at, *weights)
        return after, after[0].clone()

    last, all_first = scan(one, state, tuple(each.transpose(0, 1) for each in inputs), dim=0)
    return all_first.transpose(0, 1), *last


def turn(values: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Reverse the first `length` tokens of every row."""
    position = torch.arange(values.shape[1], device=values.device).expand(values.shape[:2])
    source = torch.where(position < lengths[:, None], lengths[:, None] - 1 - position, position)
    return values.gather(1, source[..., None].expand_as(values))


def row_lengths(mask: torch.Tensor) -> torch.Tensor:
    """Tokens of each row, checked to be padded on the right and not empty."""
    lengths = mask.sum(1)
    if exporting():
        return lengths
    fits = (mask == (torch.arange(mask.shape[1], device=mask.device) < lengths[:, None])).all(1) & (lengths > 0)
    if not bool(fits.all()):
        raise ValueError(f"row {fits.tolist().index(False)} is empty or padded on the left; pad on the right")
    return lengths


def predict_from_both_sides(head: nn.Module, ahead: torch.Tensor, back: torch.Tensor) -> torch.Tensor:
    """Logits at i: one linear map of the forward state at i - 1 plus the same map of the backward state at i + 1.

    Beyond the ends of a row there is zero, so `back` must be zero at padding.
    """
    return head(pad(ahead[:, :-1], (0, 0, 1, 0))) + head(pad(back[:, 1:], (0, 0, 0, 1)))
