"""Spread over seeds, and intervals by resampling against the normal approximation."""

from __future__ import annotations

import numpy as np
import pytest

from seqformers.metrics.classification import classification_metrics
from seqformers.metrics.intervals import bootstrap_intervals, spread


def test_spread_of_seeds():
    assert spread([0.5]) == {"mean": 0.5, "sd": None, "values": [0.5]}
    assert spread([1, 2, 3])["sd"] == pytest.approx(1.0)


def test_intervals_by_resampling_agree_with_the_normal_approximation():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 1000)
    outputs = labels + rng.normal(size=1000)
    logits = np.stack([np.full(1000, 0.5), outputs], axis=1)
    names = ["accuracy", "auroc"]
    found = bootstrap_intervals(lambda drawn: classification_metrics(logits[drawn], labels[drawn], names), 1000)
    value = classification_metrics(logits, labels, names)
    assert list(found) == names and all(low < value[name] < high for name, (low, high) in found.items())
    expected = 1.96 * np.sqrt(value["accuracy"] * (1 - value["accuracy"]) / 1000)
    low, high = found["accuracy"]
    assert (high - low) / 2 == pytest.approx(expected, rel=0.2)


def test_intervals_leave_out_draws_without_a_value():
    labels = np.array([0, 0, 0, 1])
    logits = np.array([[1.0, 0], [1, 0], [0, 1], [0, 2]])
    found = bootstrap_intervals(lambda drawn: classification_metrics(logits[drawn], labels[drawn], ["auroc"]), 4)
    assert found["auroc"][1] == 1.0
    assert bootstrap_intervals(lambda drawn: {"auroc": float("nan")}, 4) == {}
