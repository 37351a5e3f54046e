"""The tables of the phage detector: what is learnt from and left out, and what is said of margins."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.tables import phage_folds
from benchmarks.tables.phage_data import CLASSES
from benchmarks.tables.phage_folds import balanced_rows, deal
from benchmarks.tables.phage_peers import measured


def test_rows_to_learn_from_are_as_many_of_each_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phage_folds, "READS", 50)
    generator = np.random.default_rng(0)
    labels, allowed = np.repeat(np.arange(5), [40, 4, 30, 20, 20]), np.ones(114, bool)
    allowed[:20] = False
    rows = balanced_rows(allowed, labels, generator)
    assert np.bincount(labels[rows]).tolist() == [10] * 5 and allowed[rows].all()
    times = np.bincount(rows, minlength=len(labels))
    assert times.max() == 3 and set(times[labels == 1]) == {2, 3}  # of four rows, each as seldom again as can be
    assert times[labels != 1].max() == 1


def test_folds_hold_genera_or_phyla_together() -> None:
    rows = [("bacterium", f"b{i}", f"P{i % 4}") for i in range(12)]
    rows += [("archaeon", f"a{i}", f"Q{i % 2}") for i in range(4)] + [("plasmid", "b3", ""), ("plasmid", "p", "")]
    rows += [(kind, f"{kind}{i}", "") for kind in ("phage", "virus") for i in range(10)]
    records = pd.DataFrame(rows, columns=["class", "group", "phylum"])
    records["sequence"] = ["A" * (100 + 7 * number) for number in range(len(records))]
    for by in ("genus", "phylum"):
        folds = deal(records, by)
        assert set(folds) == set(records["group"]) and len(set(folds.values())) == phage_folds.KINDS[by]
    hosts = records[records["class"].isin(phage_folds.HOSTS)]
    assert (hosts.assign(fold=hosts["group"].map(folds)).groupby("phylum")["fold"].nunique() == 1).all()


def test_margins_are_measured_as_by_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    kind = np.repeat(["bacterium", "archaeon", CLASSES[3]], [60, 30, 80])
    phage = kind == CLASSES[3]
    margin = (generator.normal(size=170) + phage).round(1)
    found = measured(margin, phage, kind)
    assert found["auroc"] == pytest.approx(roc_auc_score(phage, margin))
    own = kind != "bacterium"
    assert found["auroc_archaeon"] == pytest.approx(roc_auc_score(phage[own], margin[own]))
    assert found["macro_recall"] == pytest.approx((np.mean(margin[phage] > 0) + np.mean(margin[~phage] <= 0)) / 2)
