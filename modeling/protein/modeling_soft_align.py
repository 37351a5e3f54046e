"""Soft symmetric alignment of two proteins (Bepler and Berger 2019), scored without the n × m × d tensor.

Shape suffixes: B batch, n and m residues of the two proteins, d width of a position.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from .modeling_protein_heads import exporting

__all__ = ["soft_align", "soft_align_map"]

# Elements of one working block of the alignment. On a CPU a block should stay in the cache; a GPU wants few launches.
_CPU_BLOCK = 2**17
_GPU_BLOCK = 2**26


def soft_align(
    z_a: torch.Tensor, z_b: torch.Tensor, mask_a: torch.Tensor | None = None, mask_b: torch.Tensor | None = None
) -> torch.Tensor:
    """Soft symmetric alignment scores of a batch of pairs (Bepler and Berger 2019; PLUS, section 3).

    With s(i, j) the negative L1 distance of the two positions, α its softmax over j, β its softmax over i and
    ω = α + β - αβ, the score is Σ ω s / Σ ω: zero or less, and below zero even for a protein against itself.

    Memory is n · m per pair, forward and backward; the n · m · d tensor of differences never exists. Gradients are
    first order only.

    Args:
        z_a (`torch.Tensor` of shape `(batch, n, d)`): Positions of the first proteins.
        z_b (`torch.Tensor` of shape `(batch, m, d)`): Positions of the second proteins.
        mask_a (`torch.Tensor` of shape `(batch, n)`, *optional*): Nonzero where `z_a` holds a residue.
        mask_b (`torch.Tensor` of shape `(batch, m)`, *optional*): Nonzero where `z_b` holds a residue.

    Returns:
        `torch.Tensor` of shape `(batch,)`, single precision at least.

    Raises:
        ValueError: shapes do not fit, or a protein of the batch has no residue.

    Example:
    ```python
    >>> import torch
    >>> from seqformers.modeling.protein.modeling_soft_align import soft_align
    >>> soft_align(torch.tensor([[[0.0], [1.0]]]), torch.tensor([[[0.0]]]))
    tensor([-0.5000])

    ```
    """
    z_a, z_b, mask_a, mask_b = _prepare(z_a, z_b, mask_a, mask_b)
    if exporting():  # no blocks by length, and operators that every runtime knows
        omega, s = _weights(-(z_a[:, :, None] - z_b[:, None]).abs().sum(-1), mask_a, mask_b)
        return (omega * s).sum((1, 2)) / omega.sum((1, 2))
    return _SoftAlign.apply(z_a, z_b, mask_a, mask_b, _plan(mask_a, mask_b))


def soft_align_map(
    z_a: torch.Tensor, z_b: torch.Tensor, mask_a: torch.Tensor | None = None, mask_b: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The weights ω and similarities s behind [`soft_align`], for looking at; no gradients.

    Args:
        z_a (`torch.Tensor` of shape `(batch, n, d)`): Positions of the first proteins.
        z_b (`torch.Tensor` of shape `(batch, m, d)`): Positions of the second proteins.
        mask_a (`torch.Tensor` of shape `(batch, n)`, *optional*): Nonzero where `z_a` holds a residue.
        mask_b (`torch.Tensor` of shape `(batch, m)`, *optional*): Nonzero where `z_b` holds a residue.

    Returns:
        `tuple` of ω and s, both of shape `(batch, n, m)`; ω is zero and s is zero where a side has no residue.
    """
    with torch.no_grad():
        z_a, z_b, mask_a, mask_b = _prepare(z_a, z_b, mask_a, mask_b)
        _plan(mask_a, mask_b)  # refuses proteins without residues
        return _weights(-torch.cdist(z_a, z_b, p=1), mask_a, mask_b)


def _weights(s: torch.Tensor, mask_a: torch.Tensor, mask_b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """ω and s of whole pairs, zero outside the residues."""
    alpha, beta = _attention(s, *_log_sums(s, mask_a, mask_b), mask_a, mask_b)
    outside = ~(mask_a[:, :, None] & mask_b[:, None, :])
    return alpha + beta - alpha * beta, s.masked_fill(outside, 0.0)


def _prepare(z_a: torch.Tensor, z_b: torch.Tensor, mask_a: torch.Tensor | None, mask_b: torch.Tensor | None) -> tuple:
    """Checked inputs in single precision or better, and boolean masks."""
    if z_a.ndim != 3 or z_b.ndim != 3 or z_a.shape[0] != z_b.shape[0] or z_a.shape[2] != z_b.shape[2]:
        raise ValueError(
            f"soft_align wants (batch, n, d) and (batch, m, d), not {tuple(z_a.shape)} and {tuple(z_b.shape)}"
        )
    dtype = torch.promote_types(torch.promote_types(z_a.dtype, z_b.dtype), torch.float32)
    masks = []
    for name, z, mask in (("mask_a", z_a, mask_a), ("mask_b", z_b, mask_b)):
        if mask is None:
            mask = torch.ones(z.shape[:2], dtype=torch.bool, device=z.device)
        elif mask.shape != z.shape[:2]:
            raise ValueError(f"{name} has shape {tuple(mask.shape)}, its positions {tuple(z.shape[:2])}")
        masks.append(mask.to(z.device).bool())
    return z_a.to(dtype), z_b.to(dtype), *masks


def _plan(mask_a: torch.Tensor, mask_b: torch.Tensor) -> list[tuple[list[int], slice, slice]]:
    """Group pairs of like size, each group cut to the span of its residues, so that little work goes to padding."""
    spans = []
    for mask in (mask_a, mask_b):
        if mask.shape[1] == 0:
            raise ValueError("soft_align got proteins without residues")
        first = mask.int().argmax(1)
        last = mask.shape[1] - mask.flip(1).int().argmax(1)
        spans += [first, last, mask.any(1).to(first.dtype)]
    spans_list = torch.stack(spans, 1).tolist()  # the one transfer from device to host
    empty = [row for row, span in enumerate(spans_list) if not (span[2] and span[5])]
    if empty:
        raise ValueError(f"soft_align needs a residue on both sides; pairs without: {empty[:10]}")
    budget = _GPU_BLOCK if mask_a.is_cuda else 2 * _CPU_BLOCK
    plan: list[tuple[list[int], slice, slice]] = []
    rows: list[int] = []
    a0 = a1 = b0 = b1 = 0
    for row in sorted(range(len(spans_list)), key=lambda r: spans_list[r]):
        i0, i1, _, j0, j1, _ = spans_list[row]
        joint = (min(a0, i0), max(a1, i1), min(b0, j0), max(b1, j1)) if rows else (i0, i1, j0, j1)
        area = (joint[1] - joint[0]) * (joint[3] - joint[2])
        if rows and (len(rows) + 1) * area > budget:
            plan.append((rows, slice(a0, a1), slice(b0, b1)))
            rows, joint = [], (i0, i1, j0, j1)
        rows.append(row)
        a0, a1, b0, b1 = joint
    if rows:
        plan.append((rows, slice(a0, a1), slice(b0, b1)))
    return plan


def _log_sums(s: torch.Tensor, mask_a: torch.Tensor, mask_b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalisers of both softmaxes: over the residues of b for each row, over those of a for each column."""
    if not exporting() and bool(mask_a.all()) and bool(mask_b.all()):
        return s.logsumexp(2), s.logsumexp(1)
    rows = s.masked_fill(~mask_b[:, None, :], -math.inf).logsumexp(2)
    columns = s.masked_fill(~mask_a[:, :, None], -math.inf).logsumexp(1)
    return rows, columns


def _attention(
    s: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor, mask_a: torch.Tensor, mask_b: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """α and β of a block, zero outside the residues."""
    outside = ~(mask_a[:, :, None] & mask_b[:, None, :])
    alpha = (s - rows[:, :, None]).exp_().masked_fill_(outside, 0.0)
    beta = (s - columns[:, None, :]).exp_().masked_fill_(outside, 0.0)
    return alpha, beta


def _strips(s: torch.Tensor) -> list[slice]:
    """Cut the rows of a block so that the temporaries of one strip stay small."""
    budget = _GPU_BLOCK if s.is_cuda else _CPU_BLOCK
    step = max(1, budget // max(1, s.shape[0] * s.shape[2]))
    return [slice(start, start + step) for start in range(0, s.shape[1], step)]


def _l1_gradients(grad: torch.Tensor, z_a: torch.Tensor, z_b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of the L1 distances of all positions, weighed by `grad` (pairs, n, m)."""
    if z_a.device.type == "cpu":
        # The last argument matters for other norms only, so any tensor of the right shape will do.
        grad_t = grad.transpose(1, 2).contiguous()
        grad_a = torch.ops.aten._cdist_backward(grad, z_a, z_b, 1.0, grad)
        return grad_a, torch.ops.aten._cdist_backward(grad_t, z_b, z_a, 1.0, grad_t)
    # The CUDA kernel behind the call above allocates pairs · n · m · d; strips of rows keep that bounded.
    grad_a, grad_b = torch.empty_like(z_a), torch.zeros_like(z_b)
    step = max(1, _GPU_BLOCK // max(1, z_a.shape[0] * z_b.shape[1] * z_a.shape[2]))
    for start in range(0, z_a.shape[1], step):
        strip = slice(start, start + step)
        signs = torch.sign(z_a[:, strip, None] - z_b[:, None])
        grad_a[:, strip] = torch.einsum("bnm,bnmd->bnd", grad[:, strip], signs)
        grad_b -= torch.einsum("bnm,bnmd->bmd", grad[:, strip], signs)
    return grad_a, grad_b


class _SoftAlign(torch.autograd.Function):
    """Keeps s and the normalisers of the softmaxes; everything else is worked out again, strip by strip."""

    @staticmethod
    def forward(ctx: Any, z_a, z_b, mask_a, mask_b, plan):  # type: ignore[override]
        scores = z_a.new_empty(z_a.shape[0])
        totals = z_a.new_empty(z_a.shape[0])
        saved = []
        for rows, span_a, span_b in plan:
            valid_a, valid_b = mask_a[rows, span_a], mask_b[rows, span_b]
            s = torch.cdist(z_a[rows, span_a], z_b[rows, span_b], p=1).neg_()
            log_rows, log_columns = _log_sums(s, valid_a, valid_b)
            numerator = s.new_zeros(len(rows))
            total = s.new_zeros(len(rows))
            for strip in _strips(s):
                alpha, beta = _attention(s[:, strip], log_rows[:, strip], log_columns, valid_a[:, strip], valid_b)
                omega = torch.addcmul(alpha, alpha, beta, value=-1.0).add_(beta)
                total += omega.sum((1, 2))
                numerator += omega.mul_(s[:, strip]).sum((1, 2))
            scores[rows], totals[rows] = numerator / total, total
            saved += [s, log_rows, log_columns]
        ctx.plan = plan
        ctx.save_for_backward(z_a, z_b, mask_a, mask_b, scores, totals, *saved)
        return scores

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_scores):  # type: ignore[override]
        z_a, z_b, mask_a, mask_b, scores, totals, *saved = ctx.saved_tensors
        grad_a, grad_b = torch.zeros_like(z_a), torch.zeros_like(z_b)
        for block, (rows, span_a, span_b) in enumerate(ctx.plan):
            s, log_rows, log_columns = saved[3 * block : 3 * block + 3]
            grad = _distance_gradient(
                s,
                log_rows,
                log_columns,
                mask_a[rows, span_a],
                mask_b[rows, span_b],
                scores[rows],
                grad_scores[rows] / totals[rows],
            )
            grad_a[rows, span_a], grad_b[rows, span_b] = _l1_gradients(grad, z_a[rows, span_a], z_b[rows, span_b])
        return grad_a, grad_b, None, None, None


def _distance_gradient(s, log_rows, log_columns, mask_a, mask_b, scores, scale) -> torch.Tensor:
    """Gradient with respect to the distances, -s.

    With u = (s - c) · scale the gradient of ω, softmax rules give
    ω · scale + u (α + β - 2αβ) - α Σ_j u (α - αβ) - β Σ_i u (β - αβ) for s.
    """
    strips = _strips(s)
    row_sums = torch.empty_like(log_rows)
    column_sums = torch.zeros_like(log_columns)
    for strip in strips:
        alpha, beta = _attention(s[:, strip], log_rows[:, strip], log_columns, mask_a[:, strip], mask_b)
        u = (s[:, strip] - scores[:, None, None]).mul_(scale[:, None, None])
        product = alpha * beta
        row_sums[:, strip] = (alpha.sub_(product)).mul_(u).sum(2)
        column_sums += (beta.sub_(product)).mul_(u).sum(1)
    gradient = torch.empty_like(s)
    for strip in strips:
        alpha, beta = _attention(s[:, strip], log_rows[:, strip], log_columns, mask_a[:, strip], mask_b)
        u = (s[:, strip] - scores[:, None, None]).mul_(scale[:, None, None])
        product = alpha * beta
        omega = (alpha + beta).sub_(product)
        out = omega * scale[:, None, None]
        out.addcmul_(u, omega.sub_(product))
        out.addcmul_(alpha, row_sums[:, strip, None], value=-1.0)
        out.addcmul_(beta, column_sums[:, None, :], value=-1.0)
        gradient[:, strip] = out.neg_()
    return gradient
