"""Precision of contacts against a slow, obvious version."""

from __future__ import annotations

import numpy as np
import pytest

from seqformers.metrics.contacts import contact_precision


def slow_contact_precision(probabilities, labels, low, high, divisor, legacy=False):
    hits = picks = 0
    each = []
    for probability, label in zip(probabilities, labels, strict=True):
        length = len(label)
        pairs = [
            (-probability[i][j], i, j)
            for i in range(length)
            for j in range(i + low, length)
            if j - i <= high and (legacy or label[i][j] >= 0)
        ]
        if legacy:  # labelled pairs come first, the others fill up
            pairs.sort(key=lambda pair: (label[pair[1]][pair[2]] < 0, pair))
        else:
            pairs.sort()
        chosen = pairs[: length // divisor]
        found = sum(1 if label[i][j] == 1 else (-1 if label[i][j] < 0 else 0) for _, i, j in chosen)
        hits, picks = hits + found, picks + len(chosen)
        if chosen:
            each.append(found / len(chosen))
    return np.mean(each), hits / picks


@pytest.mark.parametrize("legacy", [False, True])
def test_contact_precision_is_the_slow_version(legacy):
    rng = np.random.default_rng(0)
    probabilities, labels = [], []
    for length in (8, 30, 45, 61):
        half = rng.random((length, length))
        probabilities.append((half + half.T) / 2)
        upper = np.triu(rng.choice([-100, 0, 0, 1], (length, length)), 1)
        labels.append(upper + upper.T)
    found = contact_precision(probabilities, labels, legacy=legacy)
    for name, low, high in (("all", 6, 999), ("short", 6, 11), ("medium", 12, 23), ("long", 24, 999)):
        for top, divisor in (("L/5", 5), ("L/2", 2), ("L", 1)):
            mean, pooled = slow_contact_precision(probabilities, labels, low, high, divisor, legacy)
            assert found[f"precision_{name}_{top}"] == pytest.approx(mean)
            assert found[f"precision_{name}_{top}_pooled"] == pytest.approx(pooled)


def test_perfect_contacts_and_nothing_to_pick():
    truth = np.ones((40, 40), dtype=int)
    found = contact_precision([truth.astype(float)], [truth])
    assert all(value == 1 for value in found.values())
    nothing = contact_precision([truth * 0.5], [np.full((40, 40), -100)])
    assert all(np.isnan(value) for value in nothing.values())


def test_contact_errors():
    with pytest.raises(ValueError, match="protein 0: maps of shape"):
        contact_precision([np.zeros((3, 4))], [np.zeros((3, 3))])
    with pytest.raises(ValueError, match="unknown range"):
        contact_precision([], [], ranges=("near",))
    with pytest.raises(ValueError, match="unknown top"):
        contact_precision([], [], top=("L/3",))
