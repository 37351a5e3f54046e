"""Soft alignment against values of the original code and the plain formula."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqformers.modeling.protein import modeling_soft_align as implementation
from seqformers.modeling.protein.modeling_soft_align import soft_align, soft_align_map
from tests.conftest import golden_cases

GOLDEN = [case for case in golden_cases("plus_models") if case["kind"] == "soft_align"]


def slow_soft_align(z_a, z_b):
    """The formula as printed, through the n × m × d tensor of differences."""
    s = -(z_a[:, :, None] - z_b[:, None]).abs().sum(-1)
    alpha, beta = s.softmax(2), s.softmax(1)
    omega = alpha + beta - alpha * beta
    return (omega * s).sum((1, 2)) / omega.sum((1, 2))


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: f"{len(case['z_a'])}x{len(case['z_b'])}")
def test_soft_align_golden(case):
    z_a, z_b = torch.tensor([case["z_a"]]), torch.tensor([case["z_b"]])
    assert soft_align(z_a, z_b).item() == pytest.approx(case["score"], abs=1e-5)
    torch.testing.assert_close(soft_align_map(z_a, z_b)[0][0], torch.tensor(case["weights"]), atol=1e-5, rtol=0)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_soft_align_equals_the_formula_on_ragged_batches(data):
    draw = data.draw
    lengths = draw(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    width = draw(st.integers(1, 5))
    scale = draw(st.sampled_from([0.1, 1.0, 30.0]))
    shape = (len(lengths), 10, width)
    z_a = torch.randn(shape, generator=generator, dtype=torch.float64) * scale
    z_b = torch.randn(shape, generator=generator, dtype=torch.float64) * scale
    masks = [torch.zeros(len(lengths), 10, dtype=torch.bool) for _ in range(2)]
    chosen = []
    for row, pair in enumerate(lengths):
        # any set of positions, not only the first ones
        where = [torch.randperm(10, generator=generator)[:n].sort().values for n in pair]
        for mask, positions in zip(masks, where, strict=True):
            mask[row, positions] = True
        chosen.append(where)
    leaves = [z.clone().requires_grad_() for z in (z_a, z_b)]
    scores = soft_align(*leaves, *masks)
    references = [z.clone().requires_grad_() for z in (z_a, z_b)]
    expected = torch.cat(
        [slow_soft_align(references[0][[row]][:, i], references[1][[row]][:, j]) for row, (i, j) in enumerate(chosen)]
    )
    torch.testing.assert_close(scores, expected)
    weights = torch.randn(len(lengths), generator=generator, dtype=torch.float64)
    (scores * weights).sum().backward()
    (expected * weights).sum().backward()
    for leaf, reference in zip(leaves, references, strict=True):
        torch.testing.assert_close(leaf.grad, reference.grad)


@pytest.mark.parametrize("block", [1, 7, 40])
def test_soft_align_does_not_depend_on_its_block_size(monkeypatch, block):
    torch.manual_seed(0)
    z_a, z_b = torch.randn(4, 6, 3), torch.randn(4, 5, 3)
    mask = torch.arange(6) < torch.tensor([[6], [2], [4], [1]])
    expected = soft_align(z_a.requires_grad_(), z_b, mask)
    (gradient,) = torch.autograd.grad(expected.sum(), z_a)
    monkeypatch.setattr(implementation, "_CPU_BLOCK", block)
    scores = soft_align(z_a, z_b, mask)
    torch.testing.assert_close(scores, expected)
    torch.testing.assert_close(torch.autograd.grad(scores.sum(), z_a)[0], gradient)


def test_soft_align_gradients_off_the_cpu_agree():
    """The strip-wise L1 gradient of other devices, run here on the CPU."""
    torch.manual_seed(0)
    z_a, z_b, grad = torch.randn(2, 5, 3), torch.randn(2, 4, 3), torch.randn(2, 5, 4)

    class Elsewhere:
        type = "elsewhere"

    class Tensor(torch.Tensor):
        device = Elsewhere()

    expected = implementation._l1_gradients(grad, z_a, z_b)
    found = implementation._l1_gradients(grad, z_a.as_subclass(Tensor), z_b)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.as_subclass(torch.Tensor), other)


def test_soft_align_numbers_stay_finite():
    """Far apart, identical, and padded with values far from everything."""
    z = torch.randn(2, 4, 3) * 1e4
    z[:, 3] = 1e9
    mask = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0]])
    leaf = z.clone().requires_grad_()
    scores = soft_align(leaf, leaf, mask, mask)
    scores.sum().backward()
    assert torch.isfinite(scores).all() and torch.isfinite(leaf.grad).all()
    assert (scores <= 0).all() and (leaf.grad[:, 3] == 0).all()


def test_soft_align_lowers_no_precision():
    z = torch.randn(1, 3, 2)
    assert soft_align(z.bfloat16(), z.bfloat16()).dtype == torch.float32
    assert soft_align(z.double(), z).dtype == torch.float64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(2, 3), torch.zeros(2, 3)), "wants"),
        ((torch.zeros(2, 3, 4), torch.zeros(2, 3, 5)), "wants"),
        ((torch.zeros(2, 3, 4), torch.zeros(1, 3, 4)), "wants"),
        ((torch.zeros(1, 3, 4), torch.zeros(1, 3, 4), torch.zeros(1, 2)), "mask_a"),
        ((torch.zeros(2, 3, 4), torch.zeros(2, 3, 4), torch.tensor([[1, 1, 1], [0, 0, 0]])), r"without: \[1\]"),
        ((torch.zeros(1, 0, 4), torch.zeros(1, 3, 4)), "without residues"),
    ],
)
def test_soft_align_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        soft_align(*arguments)
