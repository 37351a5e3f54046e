"""Attention and dropout of a training step on a CPU, faster than what PyTorch has for bfloat16 there.

`scaled_dot_product_attention` on a CPU recomputes the scores in its backward pass and converts block by block; here
the probabilities are kept, a few heads at a time fit the cache, and all products are batched matrix products in
bfloat16. Dropout compares 16 random bits a value, where PyTorch draws a number for each, one after the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

__all__ = ["NAME", "FastDropout", "blocked_attention", "use_fast_cpu_training"]

NAME = "cpu_blocks"
_SCORES = 1 << 20  # scores worked on at once: two megabytes, a share of a core's cache
_KEPT = 1 << 27  # scores of a layer that are kept for the backward pass at most; more are computed again


def use_fast_cpu_training(model: nn.Module) -> bool:
    """Let a model that trains in bfloat16 on a CPU use this module if its attention is `sdpa`; say whether it does.

    Weights, state and configuration stay as they are; results differ by rounding, and by which units are dropped.
    """
    config: Any = model.config
    if getattr(config, "_attn_implementation", None) != "sdpa":
        return False
    model.set_attn_implementation(NAME)  # type: ignore[operator]
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, FastDropout(child.p))
    return True


def blocked_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """An attention function of transformers; what it does not do is left to `sdpa`.

    Args:
        module (`nn.Module`): The attention layer.
        query (`torch.Tensor` of shape `(batch, heads, queries, size)`): Likewise key and value, `(batch, heads, keys,
            size)`.
        key (`torch.Tensor`): See query.
        value (`torch.Tensor`): See query.
        attention_mask (`torch.Tensor`, *optional*): True where a query may look, `(batch, 1, queries or 1, keys)`.
        dropout (`float`): Share of the probabilities set to 0.
        scaling (`float`, *optional*): Of the scores; default `size ** -0.5`.
        is_causal (`bool`, *optional*): Left to `sdpa` if true.
        **kwargs: Passed on to `sdpa`.

    Returns:
        `tuple`: `(batch, queries, heads, size)`, and None.
    """
    plain = query.dtype == torch.bfloat16 and query.device.type == "cpu" and query.shape[:2] == key.shape[:2]
    boolean = attention_mask is None or attention_mask.dtype == torch.bool
    if not plain or not boolean or is_causal or getattr(module, "is_causal", False):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, is_causal=is_causal, **kwargs
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    out = _Blocked.apply(query, key, value, attention_mask, scale, dropout)
    return out.transpose(1, 2), None


class _Blocked(torch.autograd.Function):
    @staticmethod
    @torch.autocast("cpu", enabled=False)
    def forward(  # type: ignore[override]
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None,
        scale: float,
        dropout: float,
    ) -> torch.Tensor:
        batch, heads, queries, size = query.shape
        keys = key.shape[2]
        q, k, v = (part.reshape(batch * heads, -1, size) for part in (query * scale, key, value))
        if mask is not None:
            mask = torch.zeros(mask.shape, dtype=q.dtype).masked_fill(~mask, torch.finfo(q.dtype).min)
            mask = mask.expand(batch, heads, -1, keys).reshape(batch * heads, -1, keys)
        kept = batch * heads * queries * keys <= _KEPT or dropout > 0
        probabilities = q.new_empty(batch * heads, queries, keys) if kept else None
        dropped = _keep_mask(batch * heads * queries * keys, dropout) if dropout else None
        dropped = None if dropped is None else dropped.view(batch * heads, queries, keys)
        out = torch.empty_like(q)
        for block, scores in _blocks(batch * heads, queries, keys, q):
            p = scores if probabilities is None else probabilities[block]
            _probabilities(q[block], k[block], None if mask is None else mask[block], scores, p)
            torch.bmm(_scaled(p, dropped, block, dropout), v[block], out=out[block])
        ctx.save_for_backward(q, k, v, mask, probabilities, dropped)
        ctx.shape, ctx.scale, ctx.dropout = query.shape, scale, dropout
        return out.view(query.shape)

    @staticmethod
    @torch.autocast("cpu", enabled=False)
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[override]
        q, k, v, mask, probabilities, dropped = ctx.saved_tensors
        g = gradient.to(q.dtype).reshape(q.shape)
        dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        for block, scores in _blocks(len(q), q.shape[1], k.shape[1], q):
            if probabilities is None:
                p = torch.empty_like(scores)
                _probabilities(q[block], k[block], None if mask is None else mask[block], scores, p)
            else:
                p = probabilities[block]
            torch.bmm(_scaled(p, dropped, block, ctx.dropout).transpose(1, 2), g[block], out=dv[block])
            torch.bmm(g[block], v[block].transpose(1, 2), out=scores)
            if dropped is not None:
                scores.mul_(dropped[block]).mul_(1 / (1 - ctx.dropout))
            torch._softmax_backward_data(scores, p, -1, p.dtype, grad_input=scores)
            torch.bmm(scores, k[block], out=dq[block])
            torch.bmm(scores.transpose(1, 2), q[block], out=dk[block])
        batch, heads, _, size = ctx.shape
        grads = (dq.mul_(ctx.scale), dk, dv)
        return *(part.view(batch, heads, -1, size) for part in grads), None, None, None


def _blocks(rows: int, queries: int, keys: int, like: torch.Tensor) -> Any:
    """Slices of the heads of a batch, and room for their scores."""
    step = max(1, _SCORES // (queries * keys))
    room = like.new_empty(min(step, rows), queries, keys)
    for first in range(0, rows, step):
        block = slice(first, min(first + step, rows))
        yield block, room[: block.stop - first]


def _probabilities(
    q: torch.Tensor, k: torch.Tensor, mask: torch.Tensor | None, scores: torch.Tensor, out: torch.Tensor
) -> None:
    torch.bmm(q, k.transpose(1, 2), out=scores)
    if mask is not None:
        scores.add_(mask)
    torch.softmax(scores, -1, out=out)


def _scaled(p: torch.Tensor, dropped: torch.Tensor | None, block: slice, dropout: float) -> torch.Tensor:
    return p if dropped is None else (p * dropped[block]).mul_(1 / (1 - dropout))


def _keep_mask(count: int, share: float) -> torch.Tensor:
    """Which of `count` values are kept, `(count,)` bool, from torch's seed."""
    seed = int(torch.randint(2**63 - 1, ()))
    bits = np.frombuffer(np.random.Generator(np.random.SFC64(seed)).bytes(2 * count), np.uint16)
    return torch.from_numpy(bits >= np.uint16(round(share * 65536)))


class FastDropout(nn.Dropout):
    """`nn.Dropout` with a mask of 16 random bits a value: the share is met to 1 in 65536. On a CPU only."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Set values to 0 and scale the others up, while training."""
        if not self.training or self.p in (0.0, 1.0) or input.device.type != "cpu" or self.inplace:
            return super().forward(input)
        return input * _keep_mask(input.numel(), self.p).view(input.shape).to(input.dtype).mul_(1 / (1 - self.p))


AttentionInterface.register(NAME, blocked_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
