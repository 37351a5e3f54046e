"""Every metric by name: it exists for its kind of task, takes predictions first, and says whether more is better."""

from __future__ import annotations

import ast
import math

import numpy as np
import pytest

from seqformers.metrics.classification import classification_metrics
from seqformers.metrics.registry import (
    METRICS,
    check_metrics,
    compute_metrics,
    evaluation_module,
    greater_is_better,
    needs_groups,
)
from tests.conftest import ROOT

LABELS = np.array([0, 0, 0, 1, 1, 1, 1, 1])
LOGITS = np.array([[2, 0], [1, 0], [0, 1], [0, 2], [0, 3], [0, 1.5], [0.5, 0], [0, 4]])


def rows(kind, metric, rng):
    """Labels, predictions that are right and predictions that are not, for a metric."""
    n = 1200
    if kind in ("regression", "ranking"):
        truth = rng.normal(size=n)
        return truth, truth if kind == "regression" else -truth, rng.normal(size=n)
    if kind == "contacts":
        truth = [rng.integers(0, 2, (60, 60)) for _ in range(3)]
        return truth, [label.astype(float) for label in truth], [1.0 - label for label in truth]
    if kind == "tokens":
        truth = np.array(([0] * 10 + [2] * 21 + [1] * 19) * 4).reshape(4, 50)
        classes = 8 if metric.startswith("q8") else 3
        return truth, np.eye(classes)[truth] * 9, np.eye(classes)[(truth + 1) % 3] * 9
    if kind == "multi_label":
        truth = rng.integers(0, 2, (n, 3))
        return truth, truth * 9.0 - 4, rng.normal(size=(n, 3))
    classes = 5 if metric.startswith("level") or metric[6:] in ("class", "fold", "superfamily", "family") else 2
    truth = rng.integers(0, classes, n)
    return truth, np.eye(classes)[truth] * 9, rng.normal(size=(n, classes))


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in METRICS.items() for name in names])
def test_every_metric_can_be_asked_for_and_prefers_what_is_right(kind, name):
    rng = np.random.default_rng(0)
    labels, right, wrong = rows(kind, name, rng)
    groups = rng.integers(0, 20, len(labels)) if needs_groups([name]) else None
    good = compute_metrics(kind, right, labels, [name], groups)[name]
    bad = compute_metrics(kind, wrong, labels, [name], groups)[name]
    if kind == "ranking" and name in ("spearman", "pearson"):
        assert good == pytest.approx(-1)  # a target has a high score and a low change
    else:
        assert math.isfinite(good) and math.isfinite(bad)
        assert good > bad if greater_is_better(name) else good < bad


def test_metrics_of_other_numbers_of_classes_are_refused():
    with pytest.raises(ValueError, match="'q8' is of 8 classes; here are 3"):
        check_metrics(["q8"], "tokens", classes=3)
    with pytest.raises(ValueError, match="'level_accuracy' is of 5 classes; here are 2"):
        check_metrics(["level_accuracy"], "classification", classes=2)
    with pytest.raises(ValueError, match="no metric 'mcx' for classification; did you mean 'mcc'"):
        check_metrics(["mcx"], "classification")


def test_the_room_knows_nobody_else():
    for path in (ROOT / "seqformers" / "metrics").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            ours = [name for name in names if name.startswith("seqformers")]
            assert all(name.startswith("seqformers.metrics.") for name in ours), (path, ours)


def test_the_face_of_evaluate_works_offline():
    module = evaluation_module("mcc")
    for row, label in zip(LOGITS.tolist(), LABELS.tolist(), strict=True):
        module.add_batch(predictions=[row], references=[label])
    assert module.compute() == pytest.approx(classification_metrics(LOGITS, LABELS, ["mcc"]))
    values = evaluation_module("spearman").compute(predictions=[1.0, 3.0, 2.0], references=[1.0, 2.0, 3.0])
    assert values == pytest.approx({"spearman": 0.5})
