"""Matched pairs of families, and the soft alignment that scores them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.tables.protein_arms_data import UNSEEN, hidden_families
from benchmarks.tables.same_family import PairScore, area, differences, judged, matched_pairs, soft_alignment
from seqformers.datasets_scripts.pfam.family_pairs import FamilyPairs


@pytest.fixture(scope="module")
def families():
    """Forty families; proteins of one have nearly the same two numbers."""
    rng = np.random.default_rng(0)
    names = np.repeat([f"f{i}" for i in range(40)], 8)
    return names, np.repeat(rng.normal(size=(40, 2)), 8, axis=0) + 0.4 * rng.normal(size=(320, 2))


def test_the_shortcut_knows_nothing_of_matched_pairs(families):
    names, plain = families
    first, second, same = FamilyPairs(names, seed=0).draw(0)
    shortcut = make_pipeline(StandardScaler(), LogisticRegression()).fit(differences(plain, first, second), same)
    assert roc_auc_score(same, shortcut.decision_function(differences(plain, first, second))) > 0.8
    a, b, truth = matched_pairs(first[same], second[same], names, plain, shortcut)
    assert abs(roc_auc_score(truth, shortcut.decision_function(differences(plain, a, b))) - 0.5) < 0.03
    assert ((names[a] == names[b]) == truth).all() and truth.mean() == 0.5
    strangers = {(min(pair), max(pair)) for pair in zip(a[~truth], b[~truth], strict=True)}
    assert len(strangers) == (~truth).sum()


def test_the_soft_alignment_is_that_of_loops():
    torch.manual_seed(0)
    sharp = torch.tensor(5.0)
    x, y = (torch.nn.functional.normalize(torch.randn(1, n, 4), dim=-1) for n in (3, 5))
    padded = torch.cat([x, torch.randn(1, 2, 4)], 1), torch.tensor([[1.0, 1, 1, 0, 0]])
    found = soft_alignment(padded, (y, torch.ones(1, 5)), sharp)[0]
    s = (x[0] @ y[0].T).tolist()
    total = weight = 0.0
    for i in range(3):
        for j in range(5):
            a = np.exp(5 * s[i][j]) / sum(np.exp(5 * s[i][k]) for k in range(5))
            b = np.exp(5 * s[i][j]) / sum(np.exp(5 * s[k][j]) for k in range(3))
            total, weight = total + (a + b - a * b) * s[i][j], weight + a + b - a * b
    best = (np.mean([max(row) for row in s]) + np.mean([max(row[j] for row in s) for j in range(5)])) / 2
    assert found.tolist() == pytest.approx([total / weight, best], rel=1e-4)


@pytest.mark.parametrize("parts", ["pooled", "aligned", "combined"])
def test_the_score_of_a_pair_does_not_know_its_order_or_padding(parts):
    torch.manual_seed(0)
    model = PairScore(6, 3, parts).eval()
    one, other = (torch.randn(2, 4, 6), torch.ones(2, 4)), (torch.randn(2, 7, 6), torch.ones(2, 7))
    extra = torch.randn(2, 3)
    score = model([one, other], extra)
    longer = torch.cat([other[0], torch.randn(2, 3, 6)], 1), torch.cat([other[1], torch.zeros(2, 3)], 1)
    torch.testing.assert_close(model([other, one], extra), score)
    torch.testing.assert_close(model([one, longer], extra), score)


def test_a_lead_over_the_shortcut_has_an_interval():
    rng = np.random.default_rng(0)
    truth, groups = rng.random(400) < 0.5, rng.integers(0, 50, 400)
    scores = {"plain": [rng.normal(size=400)], "good": [truth + rng.normal(size=400) for _ in range(2)]}
    table = judged(scores, truth, groups, "plain")
    low, high = table["good"]["lead_interval"]
    ties = np.round(scores["good"][0], 1)
    assert area(truth, ties) == pytest.approx(roc_auc_score(truth, ties))
    assert 0 < low < table["good"]["lead"] < high and table["plain"]["lead"] == 0.0
    assert len(table["good"]["seeds"]) == 2


def test_families_are_hidden_whole():
    names = [f"f{i}" for i in range(100) for _ in range(2)] + ["alone"]
    hidden = hidden_families(names, np.random.default_rng(0))
    assert len(hidden) == int(UNSEEN * 100) and "alone" not in hidden
