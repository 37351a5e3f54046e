"""The likelihood of whole topologies against the sum over every path, listed."""

from __future__ import annotations

import itertools

import pytest
import torch

from benchmarks.tables.annotator_grammar import _EMITS, _STEPS, GrammarLoss


def by_listing(logits, labels, loss):
    """-log of the share that the paths which agree with the labels have among all paths."""
    emit = logits.log_softmax(-1) * loss.scale.exp()
    leave, stay = loss.chances.sigmoid().log(), (-loss.chances).sigmoid().log()
    every, right = [], []
    for path in itertools.product(range(5), repeat=len(labels)):
        score = emit[0, _EMITS[path[0]]]
        for place, (before, after) in enumerate(itertools.pairwise(path), start=1):
            chance = next(number for (start, _), number in _STEPS.items() if start == before)
            if before != after and (before, after) not in _STEPS:
                break
            score = score + (stay[chance] if before == after else leave[chance]) + emit[place, _EMITS[after]]
        else:
            every.append(score)
            if all(label < 0 or _EMITS[state] == label for state, label in zip(path, labels, strict=True)):
                right.append(score)
    return torch.logsumexp(torch.stack(every), 0) - torch.logsumexp(torch.stack(right), 0)


def test_the_loss_is_the_likelihood_of_the_true_topology():
    torch.manual_seed(0)
    loss = GrammarLoss()
    rows = [[0, 2, 2, 1, -100], [-100, 3, 3, 1, 1], [1, 1, -100, -100, 0]]
    logits = torch.randn(3, 5, 4) * 2
    expected = [by_listing(logits[row], labels, loss) / sum(label >= 0 for label in labels) for row, labels in
                enumerate(rows)]  # fmt: skip
    found = loss(logits, torch.tensor(rows), torch.ones(3, 5))
    assert float(found.detach()) == pytest.approx(float(torch.stack(expected).mean().detach()) * 20, rel=1e-4)


def test_padding_and_broken_labels_count_nowhere():
    torch.manual_seed(1)
    loss, logits = GrammarLoss(), torch.randn(1, 6, 4)
    labels = torch.tensor([[0, 0, 2, 2, 1, 1]])
    alone = loss(logits, labels, torch.ones(1, 6)).detach()
    padded = torch.cat([logits, torch.randn(1, 3, 4)], 1)
    longer = torch.cat([labels, torch.full((1, 3), -100)], 1)
    mask = torch.tensor([[1] * 6 + [0] * 3])
    assert torch.allclose(alone, loss(padded, longer, mask).detach())
    broken = torch.tensor([[0, 2, 0, 0, 2, 0]])  # into the membrane and back on the same side
    both = loss(logits.repeat(2, 1, 1), torch.cat([labels, broken]), torch.ones(2, 6)).detach()
    assert torch.allclose(both, alone)
