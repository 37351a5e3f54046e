"""PLUS-RNN and its soft symmetric alignment.

A batch of single proteins is `input_ids` (batch, length): start, residues, stop, padding. A batch of pairs is the
same with the second protein behind the first, `token_type_ids` 0 and 1, as the tokenizer's
`tokenizer(first, second)` gives it; the LSTM reads the two proteins of a row apart from each other.

Shape suffixes: B batch, T tokens of a row, H width of R, d width of Z, n and m residues of the two proteins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, logsigmoid, mse_loss
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import SequenceClassifierOutput, TokenClassifierOutput
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple

from .configuration_plus_rnn import PlusRnnConfig

__all__ = [
    "PlusRnnForPairClassification",
    "PlusRnnForPreTraining",
    "PlusRnnForSequenceClassification",
    "PlusRnnForTokenClassification",
    "PlusRnnModel",
    "PlusRnnPreTrainedModel",
    "soft_align",
    "soft_align_map",
]

# Elements of one working block of the alignment. On a CPU a block should stay in the cache; a GPU wants few launches.
_CPU_BLOCK = 2**17
_GPU_BLOCK = 2**26
# Share of tokens in a batch below which packing pays on a CPU.
_LEAST_FILLED = 1 / 3


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
    >>> from seqformers.modeling.protein.modeling_plus_rnn import soft_align
    >>> soft_align(torch.tensor([[[0.0], [1.0]]]), torch.tensor([[[0.0]]]))
    tensor([-0.5000])

    ```
    """
    z_a, z_b, mask_a, mask_b, plan = _prepare(z_a, z_b, mask_a, mask_b)
    return _SoftAlign.apply(z_a, z_b, mask_a, mask_b, plan)


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
        z_a, z_b, mask_a, mask_b, _ = _prepare(z_a, z_b, mask_a, mask_b)
        s = -torch.cdist(z_a, z_b, p=1)
        alpha, beta = _attention(s, *_log_sums(s, mask_a, mask_b), mask_a, mask_b)
        outside = ~(mask_a[:, :, None] & mask_b[:, None, :])
        return alpha + beta - alpha * beta, s.masked_fill(outside, 0.0)


def _prepare(z_a: torch.Tensor, z_b: torch.Tensor, mask_a: torch.Tensor | None, mask_b: torch.Tensor | None) -> tuple:
    """Checked inputs in single precision or better, boolean masks, and the blocks to work in."""
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
    return z_a.to(dtype), z_b.to(dtype), *masks, _plan(*masks)


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
    if bool(mask_a.all()) and bool(mask_b.all()):
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
    """

    last_hidden_state: torch.Tensor | None = None
    projection: torch.Tensor | None = None
    residue_mask: torch.Tensor | None = None


@dataclass
class PlusRnnForPreTrainingOutput(ModelOutput):
    """Output of [`PlusRnnForPreTraining`].

    Args:
        loss (`torch.FloatTensor`, *optional*): λ · masked residues + (1 - λ) · same family, or the one of the two
            whose labels were given.
        prediction_logits (`torch.FloatTensor` of shape `(batch, tokens, lm_vocab_size)`): Residue logits.
        similarity_logits (`torch.FloatTensor` of shape `(batch,)`, *optional*): Logit of "same family".
        mlm_loss (`torch.FloatTensor`, *optional*): Masked-residue loss; the two proteins' means added up.
        sfp_loss (`torch.FloatTensor`, *optional*): Same-family loss.
    """

    loss: torch.Tensor | None = None
    prediction_logits: torch.Tensor | None = None
    similarity_logits: torch.Tensor | None = None
    mlm_loss: torch.Tensor | None = None
    sfp_loss: torch.Tensor | None = None


@dataclass
class PlusRnnPairOutput(ModelOutput):
    """Output of [`PlusRnnForPairClassification`].

    Args:
        loss (`torch.FloatTensor`, *optional*): Mean binary cross-entropy over the ordinal thresholds.
        logits (`torch.FloatTensor` of shape `(batch, num_labels)`): Log-probabilities of the levels up to a constant:
            their softmax is p(level), in proportion to σ_k (1 - σ_(k+1)).
        ordinal_logits (`torch.FloatTensor` of shape `(batch, num_labels - 1)`): Logit k says "level above k".
        scores (`torch.FloatTensor` of shape `(batch,)`): Soft-alignment scores.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    ordinal_logits: torch.Tensor | None = None
    scores: torch.Tensor | None = None


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

    @staticmethod
    def loss(logits: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        """Binary cross-entropy against the cumulative bits of the level."""
        thresholds = torch.arange(logits.shape[1], device=logits.device)
        return binary_cross_entropy_with_logits(logits, (levels[:, None] > thresholds).to(logits.dtype))

    @staticmethod
    def level_logits(logits: torch.Tensor) -> torch.Tensor:
        """Log σ_k (1 - σ_(k+1)) for every level, with σ_0 = 1 and σ_K = 0."""
        return nn.functional.pad(logsigmoid(logits), (1, 0)) + nn.functional.pad(logsigmoid(-logits), (0, 1))


class PlusRnnSequenceHead(nn.Module):
    """Pool the residues of a protein, then two linear layers with a ReLU between."""

    def __init__(self, config: PlusRnnConfig):
        super().__init__()
        self.pooling = config.pooling
        # The original code has these weights too but, pooling by sum, never trains them.
        self.attention = nn.Linear(config.classifier_input_size, 1) if config.pooling == "attention" else None
        self.hidden = nn.Linear(config.classifier_input_size, config.classifier_hidden_size)
        self.output = nn.Linear(config.classifier_hidden_size, config.num_labels or 2)

    def forward(self, features: torch.Tensor, residue_mask: torch.Tensor) -> torch.Tensor:
        """Map (batch, tokens, width) to (batch, num_labels), reading residues only."""
        if self.attention is not None:
            logits = self.attention(features)[..., 0].masked_fill(~residue_mask, torch.finfo(features.dtype).min)
            weights = logits.softmax(1).masked_fill(~residue_mask, 0.0)
        else:
            weights = residue_mask.to(features.dtype)
            if self.pooling == "mean":
                weights = weights / weights.sum(1, keepdim=True).clamp(min=1.0)
        pooled = torch.einsum("bt,btw->bw", weights, features)
        return self.output(torch.relu(self.hidden(pooled)))


class PlusRnnTokenHead(nn.Module):
    """Two linear layers with a ReLU between, for every residue."""

    def __init__(self, config: PlusRnnConfig):
        super().__init__()
        self.hidden = nn.Linear(config.classifier_input_size, config.classifier_hidden_size)
        self.output = nn.Linear(config.classifier_hidden_size, config.num_labels or 2)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map (batch, tokens, width) to (batch, tokens, num_labels)."""
        return self.output(torch.relu(self.hidden(features)))


class PlusRnnPreTrainedModel(PreTrainedModel):
    """Weight initialisation and loading for the family; initial values are PyTorch's, as in the original."""

    config: PlusRnnConfig
    config_class = PlusRnnConfig
    base_model_prefix = "plus_rnn"
    main_input_name = "input_ids"
    # The losses are means over their own batch; Trainer must divide by its accumulation steps.
    accepts_loss_kwargs = False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            bound = 1.0 / math.sqrt(module.in_features)
            init.uniform_(module.weight, -bound, bound)
            if module.bias is not None:
                init.uniform_(module.bias, -bound, bound)
        elif isinstance(module, nn.LSTM):
            bound = 1.0 / math.sqrt(module.hidden_size)
            for parameter in module.parameters():
                init.uniform_(parameter, -bound, bound)
        elif isinstance(module, nn.Embedding):
            if not getattr(module.weight, "_is_hf_initialized", False):
                init.normal_(module.weight)
                if module.padding_idx is not None:
                    init.zeros_(module.weight[module.padding_idx])
        elif isinstance(module, PlusRnnOrdinalHead):
            init.ones_(module.weight)
            init.constant_(module.bias, 10.0)


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

    def get_input_embeddings(self) -> nn.Module:
        """The residue embedding."""
        return self.embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the residue embedding."""
        self.embeddings = value  # type: ignore[assignment]

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
            kwargs: Ignored; accepted so that generic callers can pass `output_attentions` and the like.

        Returns:
            [`PlusRnnModelOutput`].
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        if inputs_embeds is None:
            assert input_ids is not None
            if attention_mask is None:
                attention_mask = _mask_from_ids(input_ids, self.config.pad_token_id or 0)
            inputs_embeds = self.embeddings(input_ids)  # type: ignore[assignment]
        assert inputs_embeds is not None
        if attention_mask is None:
            attention_mask = torch.ones(inputs_embeds.shape[:2], dtype=torch.long, device=inputs_embeds.device)
        first, second = _protein_lengths(attention_mask, token_type_ids)
        pairs = any(second)
        hidden = self._run_pairs(inputs_embeds, first, second) if pairs else self._run(inputs_embeds, first)
        return PlusRnnModelOutput(
            last_hidden_state=hidden,
            projection=self.projection(hidden) if self.projection is not None else None,
            residue_mask=_residue_mask(first, second, hidden.shape[1], hidden.device),
        )

    def _run(self, embeds: torch.Tensor, lengths: list[int]) -> torch.Tensor:
        """R of every token, zero at padding.

        On a CPU packed rows take twice as long as padded ones to read and five times as long to learn from, so rows
        are packed only on a GPU, and where most of a batch is padding.
        """
        if embeds.is_cuda or sum(lengths) < _LEAST_FILLED * embeds.shape[0] * embeds.shape[1]:
            packed = pack_padded_sequence(embeds, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
            return pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=embeds.shape[1])[0]
        return _run_padded(self.rnn, embeds, torch.tensor(lengths, device=embeds.device))

    def _run_pairs(self, embeds: torch.Tensor, first: list[int], second: list[int]) -> torch.Tensor:
        """Run the two proteins of each row as two rows, then put them back behind each other."""
        batch, tokens, _ = embeds.shape
        device = embeds.device
        start = torch.tensor(first, device=device)
        arange = torch.arange(max(*first, *second), device=device)
        rows = torch.arange(batch, device=device)
        columns = torch.stack([arange.expand(batch, -1), start[:, None] + arange]).clamp(max=tokens - 1)
        apart = embeds[rows[None, :, None], columns]  # (2, B, longest protein, embedding)
        # A row without a second protein still needs one token to be packed; it is not put back.
        lengths = first + [max(length, 1) for length in second]
        hidden = self._run(apart.flatten(0, 1), lengths).unflatten(0, (2, batch))
        position = torch.arange(tokens, device=device).expand(batch, -1)
        side = (position >= start[:, None]).long()
        within = (position - side * start[:, None]).clamp(max=hidden.shape[2] - 1)
        joined = hidden[side, rows[:, None], within]
        end = start + torch.tensor(second, device=device)
        return joined * (position < end[:, None])[..., None].to(joined.dtype)


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
    ) -> PlusRnnForPreTrainingOutput | tuple:
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
            [`PlusRnnForPreTrainingOutput`].
        """
        outputs = self.plus_rnn(input_ids, attention_mask, token_type_ids, inputs_embeds, **kwargs)
        logits = self.lm_head(outputs.last_hidden_state)
        if token_type_ids is not None and not bool((token_type_ids == 1).any()):
            token_type_ids = None  # a tokenizer writes zeros for single proteins
        similarity, sfp_loss = None, None
        if token_type_ids is not None:
            similarity = self.sfp_head(_pair_scores(outputs, token_type_ids))[:, 0]
            if same_family is not None:
                sfp_loss = PlusRnnOrdinalHead.loss(similarity[:, None], same_family)
        elif same_family is not None:
            raise ValueError("same_family needs pairs: pass token_type_ids with 1 for the second protein")
        mlm_loss = None if labels is None else self._mlm_loss(logits, labels, token_type_ids)
        return PlusRnnForPreTrainingOutput(
            loss=self._total(mlm_loss, sfp_loss),
            prediction_logits=logits,
            similarity_logits=similarity,
            mlm_loss=mlm_loss,
            sfp_loss=sfp_loss,
        )

    def _mlm_loss(
        self, logits: torch.Tensor, labels: torch.Tensor, token_type_ids: torch.Tensor | None
    ) -> torch.Tensor:
        """The two proteins' mean losses added up, so λ weighs their sum."""
        if token_type_ids is None:
            return _masked_mean_loss(logits, labels)
        first = _masked_mean_loss(logits, labels.masked_fill(token_type_ids == 1, -100))
        if self.config.legacy_pair_loss:
            return first * (1.0 + self.config.mlm_weight)
        return first + _masked_mean_loss(logits, labels.masked_fill(token_type_ids == 0, -100))

    def _total(self, mlm_loss: torch.Tensor | None, sfp_loss: torch.Tensor | None) -> torch.Tensor | None:
        if mlm_loss is None or sfp_loss is None:
            return sfp_loss if mlm_loss is None else mlm_loss
        weight = self.config.mlm_weight
        return weight * mlm_loss + (1.0 - weight) * sfp_loss


class _PlusRnnWithMaskedInput(PlusRnnPreTrainedModel):
    """A head that may mask its own input while training, the masked-residue loss serving as a regulariser."""

    def __init__(self, config: PlusRnnConfig, add_projection: bool):
        super().__init__(config)
        self.plus_rnn = PlusRnnModel(config, add_projection=add_projection)
        regularised = config.finetuning_mlm_weight > 0
        self.lm_head = nn.Linear(config.representation_size, config.lm_vocab_size) if regularised else None

    def _encode(self, input_ids, attention_mask, token_type_ids, inputs_embeds, **kwargs):
        """Outputs of the base model and the masked-residue loss, `None` unless training with the regulariser."""
        if self.lm_head is None or not self.training or input_ids is None:
            return self.plus_rnn(input_ids, attention_mask, token_type_ids, inputs_embeds, **kwargs), None
        if attention_mask is None:
            attention_mask = _mask_from_ids(input_ids, self.config.pad_token_id or 0)
        lengths = _protein_lengths(attention_mask, token_type_ids)
        residues = _residue_mask(*lengths, input_ids.shape[1], input_ids.device)
        masked, targets = _mask_residues(input_ids, residues, self.config)
        outputs = self.plus_rnn(masked, attention_mask, token_type_ids, **kwargs)
        chosen = targets != -100
        logits = self.lm_head(outputs.last_hidden_state[chosen])  # the decoder reads the selected residues only
        return outputs, _masked_mean_loss(logits, targets[chosen])

    def _features(self, outputs: PlusRnnModelOutput) -> torch.Tensor:
        features = outputs.projection if self.config.classifier_input == "projection" else outputs.last_hidden_state
        assert features is not None
        return features

    def _combine(self, task_loss: torch.Tensor, mlm_loss: torch.Tensor | None) -> torch.Tensor:
        if mlm_loss is None:
            return task_loss
        weight = self.config.finetuning_mlm_weight
        return weight * mlm_loss + (1.0 - weight) * task_loss

    def _class_weights(self, like: torch.Tensor) -> torch.Tensor | None:
        weights = self.config.class_weights
        return None if weights is None else like.new_tensor(weights)


class PlusRnnForSequenceClassification(_PlusRnnWithMaskedInput):
    """PLUS-RNN with a pooled head: classes, or one value when `num_labels` is 1.

    Pooling, what the head reads and the masked-residue regulariser are set in [`PlusRnnConfig`].
    """

    def __init__(self, config: PlusRnnConfig):
        super().__init__(config, add_projection=config.classifier_input == "projection")
        self.num_labels = config.num_labels
        self.classifier = PlusRnnSequenceHead(config)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput | tuple:
        """Classify or value whole proteins.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): As for [`PlusRnnModel`].
            attention_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*): As for [`PlusRnnModel`].
            token_type_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): As for [`PlusRnnModel`].
            inputs_embeds (`torch.FloatTensor`, *optional*): As for [`PlusRnnModel`].
            labels (`torch.Tensor` of shape `(batch,)` or `(batch, num_labels)`, *optional*): Class indices, values,
                or 0/1 for each label, by `config.problem_type`.
            kwargs: Passed to the base model.

        Returns:
            [`~transformers.modeling_outputs.SequenceClassifierOutput`].
        """
        outputs, mlm_loss = self._encode(input_ids, attention_mask, token_type_ids, inputs_embeds, **kwargs)
        logits = self.classifier(self._features(outputs), outputs.residue_mask)
        loss = None
        if labels is not None:
            task = _sequence_loss(self.config, logits, labels, self._class_weights(logits))
            loss = self._combine(task, mlm_loss)
        return SequenceClassifierOutput(loss=loss, logits=logits)


class PlusRnnForTokenClassification(_PlusRnnWithMaskedInput):
    """PLUS-RNN with a class for every residue, such as secondary structure or transmembrane topology."""

    def __init__(self, config: PlusRnnConfig):
        super().__init__(config, add_projection=config.classifier_input == "projection")
        self.num_labels = config.num_labels
        self.classifier = PlusRnnTokenHead(config)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.LongTensor | None = None,
        **kwargs: Any,
    ) -> TokenClassifierOutput | tuple:
        """Classify every residue.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): As for [`PlusRnnModel`].
            attention_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*): As for [`PlusRnnModel`].
            token_type_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): As for [`PlusRnnModel`].
            inputs_embeds (`torch.FloatTensor`, *optional*): As for [`PlusRnnModel`].
            labels (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): Class of each residue; -100 (any
                negative value) at start, stop, padding and residues to leave out.
            kwargs: Passed to the base model.

        Returns:
            [`~transformers.modeling_outputs.TokenClassifierOutput`].
        """
        outputs, mlm_loss = self._encode(input_ids, attention_mask, token_type_ids, inputs_embeds, **kwargs)
        logits = self.classifier(self._features(outputs))
        loss = None
        if labels is not None:
            if labels.shape != logits.shape[:2]:
                raise ValueError(
                    f"labels have shape {tuple(labels.shape)}, the tokens {tuple(logits.shape[:2])}: give one label "
                    "for each token, -100 at start, stop and padding"
                )
            task = _masked_mean_loss(logits, labels, self._class_weights(logits))
            loss = self._combine(task, mlm_loss)
        return TokenClassifierOutput(loss=loss, logits=logits)


class PlusRnnForPairClassification(_PlusRnnWithMaskedInput):
    """PLUS-RNN with the ordinal comparison of two proteins, `num_labels` levels.

    The soft-alignment score of the pair goes through `num_labels - 1` thresholds; the target of threshold k is
    "the level is above k".
    """

    def __init__(self, config: PlusRnnConfig):
        super().__init__(config, add_projection=True)
        self.num_labels = config.num_labels or 2
        if self.num_labels < 2:
            raise ValueError(f"a pair has at least two levels of similarity, num_labels is {self.num_labels}")
        self.ordinal_head = PlusRnnOrdinalHead(self.num_labels - 1, config.constrain_ordinal)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.LongTensor | None = None,
        **kwargs: Any,
    ) -> PlusRnnPairOutput | tuple:
        """Compare the two proteins of every row.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): As for [`PlusRnnModel`].
            attention_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*): As for [`PlusRnnModel`].
            token_type_ids (`torch.LongTensor` of shape `(batch, tokens)`): 0 for the first protein, 1 for the second.
            inputs_embeds (`torch.FloatTensor`, *optional*): As for [`PlusRnnModel`].
            labels (`torch.LongTensor` of shape `(batch,)`, *optional*): Level of each pair, 0 to `num_labels - 1`.
            kwargs: Passed to the base model.

        Returns:
            [`PlusRnnPairOutput`].
        """
        if token_type_ids is None:
            raise ValueError("pairs need token_type_ids: 0 for the first protein, 1 for the second")
        outputs, mlm_loss = self._encode(input_ids, attention_mask, token_type_ids, inputs_embeds, **kwargs)
        scores = _pair_scores(outputs, token_type_ids)
        ordinal = self.ordinal_head(scores)
        loss = None
        if labels is not None:
            loss = self._combine(PlusRnnOrdinalHead.loss(ordinal, labels), mlm_loss)
        return PlusRnnPairOutput(
            loss=loss,
            logits=PlusRnnOrdinalHead.level_logits(ordinal),
            ordinal_logits=ordinal,
            scores=scores,
        )


def _run_padded(rnn: nn.LSTM, values: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """What the bidirectional `rnn` gives on the packed rows, without packing them: zero at padding.

    Padding behind a row cannot reach the forward direction; the backward one reads each row turned round.
    """
    position = torch.arange(values.shape[1], device=values.device)
    inside = position < lengths[:, None]
    turned = torch.where(inside, lengths[:, None] - 1 - position, position)[..., None]
    zeros = values.new_zeros(1, values.shape[0], rnn.hidden_size)
    for ahead, back in zip(rnn.all_weights[::2], rnn.all_weights[1::2], strict=True):
        sides = []
        for weights, order in ((ahead, None), (back, turned)):
            x = values if order is None else values.gather(1, order.expand_as(values))
            x = torch.lstm(x, (zeros, zeros), weights, True, 1, 0.0, rnn.training, False, True)[0]
            sides.append(x if order is None else x.gather(1, order.expand_as(x)))
        values = torch.cat(sides, -1)
    return values * inside[..., None].to(values.dtype)


def _pair_scores(outputs: PlusRnnModelOutput, token_type_ids: torch.Tensor) -> torch.Tensor:
    z, residues = outputs.projection, outputs.residue_mask
    assert z is not None and residues is not None
    return soft_align(z, z, residues & (token_type_ids == 0), residues & (token_type_ids == 1))


def _mask_from_ids(input_ids: torch.Tensor, pad_token_id: int) -> torch.Tensor:
    """Start, stop and padding share an id, so a row ends one token behind its last residue."""
    position = torch.arange(input_ids.shape[1], device=input_ids.device)
    last = torch.where(input_ids != pad_token_id, position, 0).amax(1, keepdim=True)
    return (position <= last + 1).long()


def _protein_lengths(attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None) -> tuple[list[int], list[int]]:
    """Tokens of the first and of the second protein of each row, read from the device at once."""
    mask = attention_mask.bool()
    total = mask.sum(1)
    position = torch.arange(mask.shape[1], device=mask.device)
    second = torch.zeros_like(total)
    fits = mask == (position < total[:, None])
    if token_type_ids is not None:
        other = (token_type_ids == 1) & mask
        second = other.sum(1)
        fits &= other == ((position >= (total - second)[:, None]) & mask)
    first_list, second_list, fits_list = torch.stack([total - second, second, fits.all(1).to(total.dtype)]).tolist()
    if not all(fits_list):
        raise ValueError(
            f"row {fits_list.index(0)}: a row must be the first protein, then the second (token_type_ids 1), then "
            "padding; pad on the right"
        )
    if not all(first_list):
        raise ValueError(f"row {first_list.index(0)} of the batch is empty: attention_mask has no 1")
    return first_list, second_list


def _residue_mask(first: list[int], second: list[int], tokens: int, device: torch.device) -> torch.Tensor:
    """True at residues: every protein but its first and last token."""
    position = torch.arange(tokens, device=device)
    lengths = torch.tensor([first, second], device=device)
    start = torch.stack([torch.zeros_like(lengths[0]), lengths[0]])[..., None]
    inside = (position > start) & (position < start + lengths[..., None] - 1)
    return inside.any(0)


def _mask_residues(
    input_ids: torch.Tensor, residues: torch.Tensor, config: PlusRnnConfig
) -> tuple[torch.Tensor, torch.Tensor]:
    """Select residues of every row, hide 80 % of them behind X, replace 10 % and keep 10 %."""
    candidates = residues & (input_ids != config.mask_token_id)
    wanted = (residues.sum(1).double() * config.mlm_probability).floor().clamp(max=config.max_masked)
    keys = torch.rand(input_ids.shape, device=input_ids.device).masked_fill(~candidates, 2.0)
    rank = keys.argsort(1).argsort(1)
    chosen = (rank < wanted[:, None]) & candidates
    targets = input_ids.masked_fill(~chosen, -100)
    action = torch.rand(input_ids.shape, device=input_ids.device)
    random_ids = torch.randint_like(input_ids, 1, config.lm_vocab_size)
    masked = torch.where(chosen & (action < 0.8), config.mask_token_id or 0, input_ids)
    return torch.where(chosen & (action >= 0.8) & (action < 0.9), random_ids, masked), targets


def _masked_mean_loss(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """Mean cross-entropy over the labelled tokens (label 0 or more); zero when there are none."""
    logits, labels = logits.flatten(0, -2).float(), labels.flatten()
    labels = labels.masked_fill(labels < 0, -100)
    weights = None if weights is None else weights.float()
    total = cross_entropy(logits, labels, weight=weights, ignore_index=-100, reduction="sum")
    if weights is None:
        count = (labels != -100).sum()
    else:
        count = weights[labels.clamp(min=0)].masked_fill(labels < 0, 0.0).sum()
    return total / count.clamp(min=torch.finfo(torch.float32).tiny if weights is not None else 1)


def _sequence_loss(
    config: PlusRnnConfig, logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None
) -> torch.Tensor:
    """Squared error, cross-entropy or binary cross-entropy, by `problem_type` or else by number and kind of labels."""
    problem = config.problem_type
    if problem is None:
        problem = "multi_label_classification" if labels.is_floating_point() else "single_label_classification"
        problem = "regression" if config.num_labels == 1 else problem
    if problem == "regression":
        return mse_loss(logits.float().flatten(), labels.float().flatten())
    if problem == "single_label_classification":
        return cross_entropy(logits.float(), labels.flatten(), weight=weights)
    return binary_cross_entropy_with_logits(logits.float(), labels.float())
