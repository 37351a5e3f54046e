"""Metrics of numbers against the original functions and the definitions."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqformers.metrics.regression import regression_metrics
from tests.conftest import golden_cases


def golden(kind):
    return [case for case in golden_cases("protein_metrics") if case["kind"] == kind]


def test_spearman_is_tapes():
    (case,) = golden("spearman_metric")
    found = regression_metrics(case["prediction"], case["target"])
    assert found["spearman"] == pytest.approx(case["rho"], abs=1e-12)
    assert found["mse"] == pytest.approx(np.mean((np.array(case["prediction"]) - case["target"]) ** 2))


@pytest.mark.parametrize(("predictions", "labels"), [([1.0, 1.0, 1.0], [1, 2, 3]), ([1, 2, 3], [1.0, 1.0, 1.0])])
def test_a_constant_has_no_correlation(predictions, labels):
    with pytest.warns(UserWarning, match="equal"):
        found = regression_metrics(predictions, labels)
    assert np.isnan(found["spearman"]) and np.isnan(found["pearson"]) and np.isfinite(found["mse"])


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=20))
def test_predictions_stand_first(rows):
    predictions, labels = map(np.array, zip(*rows, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = regression_metrics(predictions, labels, ["mse", "mae", "r2"])
    assert found["mae"] == pytest.approx(np.abs(predictions - labels).mean())
    total = ((labels - labels.mean()) ** 2).sum()
    if len(labels) > 1 and total > 1e-6:
        assert found["r2"] == pytest.approx(1 - ((labels - predictions) ** 2).sum() / total)


def test_tiny_but_varying_predictions_still_rank():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert regression_metrics([1e-9, 2e-9, 3e-9], [1, 2, 3])["spearman"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("a", "b"), [([], []), ([1.0, 2], [1.0]), ([1.0, np.nan], [1.0, 2]), ([1.0, 2], [1.0, np.inf])]
)
def test_regression_errors(a, b):
    with pytest.raises(ValueError):
        regression_metrics(a, b)


def test_numbers_can_be_scored_on_binary_labels():
    assert regression_metrics([40.0, 10, 30, 5], [1, 0, 0, 0], ["auroc_positive"]) == {"auroc_positive": 1.0}
    assert regression_metrics([4.0, 10, 30, 50], [1, 0, 0, 1], ["auroc_positive"]) == {"auroc_positive": 0.5}
    assert np.isnan(regression_metrics([4.0, 10], [1, 1], ["auroc_positive"])["auroc_positive"])


def test_regression_by_hand():
    values = regression_metrics(np.array([[1.0], [3], [2], [5]]), np.array([1.0, 2, 3, 4]), ["spearman", "mse", "mae"])
    assert values == pytest.approx({"spearman": 0.8, "mse": 0.75, "mae": 0.75})
