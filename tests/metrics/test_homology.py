"""Homology levels against the original functions and a slow version."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqformers.metrics.homology import (
    apply_level_thresholds,
    fit_level_thresholds,
    homology_metrics,
    homology_score,
    ordinal_probabilities,
)
from tests.conftest import golden_cases


def golden(kind):
    return [case for case in golden_cases("protein_metrics") if case["kind"] == kind]


def test_ordinal_probabilities_are_the_originals():
    (case,) = golden("ordinal")
    assert ordinal_probabilities(case["logits"]) == pytest.approx(np.array(case["probabilities"]), abs=2e-6)
    assert homology_score(case["logits"]) == pytest.approx(np.array(case["probabilities"]) @ np.arange(5), abs=1e-5)


def slow_thresholds(scores, levels):
    """Every score of the kept pairs tried as a cut."""
    scores, levels = np.asarray(scores), np.asarray(levels)
    thresholds, previous = [], -np.inf
    for level in range(4):
        kept = scores > previous
        best, cut = None, previous
        for candidate in [-np.inf, *sorted(set(scores[kept]))]:
            right = np.sum((scores[kept] > candidate) == (levels[kept] > level))
            if best is None or right > best:
                best, cut = right, previous if candidate == -np.inf else candidate
        previous = cut
        thresholds.append(cut)
    return np.array(thresholds)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4)), min_size=1, max_size=25))
def test_thresholds_are_the_slow_version(pairs):
    scores, levels = np.array([pair[0] for pair in pairs]) / 4, np.array([pair[1] for pair in pairs])
    assert fit_level_thresholds(scores, levels).tolist() == slow_thresholds(scores, levels).tolist()


def test_homology_metrics_of_a_perfect_model():
    levels = np.repeat(np.arange(5), 20)
    scores = levels + np.linspace(0, 0.5, 100)
    found = homology_metrics(scores, levels, train_scores=scores, train_levels=levels)
    assert found["level_accuracy"] == 1
    assert found["auprc_family"] == pytest.approx(1)


def test_fitting_on_the_scored_pairs_flatters():
    rng = np.random.default_rng(0)
    levels, train_levels = rng.integers(0, 5, 60), rng.integers(0, 5, 60)
    scores, train_scores = rng.random(60), rng.random(60)
    honest = homology_metrics(scores, levels, train_scores=train_scores, train_levels=train_levels)
    assert homology_metrics(scores, levels, legacy=True)["level_accuracy"] > honest["level_accuracy"]


def test_homology_errors():
    with pytest.raises(ValueError, match="levels run from 0 to 4"):
        fit_level_thresholds([0.1], [5])
    with pytest.raises(ValueError, match="4\\) ordinal or"):
        homology_score(np.zeros((2, 3)))


def test_level_is_the_number_of_thresholds_strictly_below():
    assert apply_level_thresholds([0.0, 0.5, 0.6, 9], [0.5, 1, 1, 2]).tolist() == [0, 0, 1, 4]


def test_without_training_pairs_each_half_is_cut_by_the_other():
    rng = np.random.default_rng(1)
    levels = rng.integers(0, 5, 81)
    scores = levels + rng.normal(0, 0.7, 81)
    right = 0.0
    for fitted, scored in ((slice(0, None, 2), slice(1, None, 2)), (slice(1, None, 2), slice(0, None, 2))):
        thresholds = fit_level_thresholds(scores[fitted], levels[fitted])
        right += (apply_level_thresholds(scores[scored], thresholds) == levels[scored]).sum()
    assert homology_metrics(scores, levels)["level_accuracy"] == pytest.approx(right / 81)
