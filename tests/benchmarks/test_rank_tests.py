"""Many tests at once: Holm's p by its definition, and in the results."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.tables.rank_tests import holm
from tests.conftest import ROOT


def slow_holm(p_values):
    """For each test the largest of (number of tests not yet rejected) x p over it and all smaller ones."""
    ranked = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = {}
    for place, index in enumerate(ranked):
        adjusted[index] = min(1.0, max((len(ranked) - i) * p_values[ranked[i]] for i in range(place + 1)))
    return [adjusted[i] for i in range(len(p_values))]


@pytest.mark.parametrize("seed", range(5))
def test_holm(seed):
    p = (np.random.default_rng(seed).random(20) ** 4).tolist()
    assert holm(p) == pytest.approx(slow_holm(p), rel=0.06)  # two digits are kept
    assert holm([0.5, 0.5, 0.5]) == [1.0, 1.0, 1.0] and holm([0.02]) == [0.02]


def test_the_tests_of_cpf1_models_are_corrected_together():
    result = json.loads((ROOT / "benchmarks" / "results" / "deepcpf1_models.json").read_text())["result"]
    assert [test["p_holm"] for test in result["tests"]] == holm([test["p"] for test in result["tests"]])
