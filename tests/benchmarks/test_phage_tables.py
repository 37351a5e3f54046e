"""The tables of the phage detector: what is learnt from and left out, and what is said of margins."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from benchmarks.tables import phage_folds
from benchmarks.tables.phage_data import CLASSES
from benchmarks.tables.phage_folds import balanced_rows, deal
from benchmarks.tables.phage_networks import SixFrames
from benchmarks.tables.phage_peers import by_phylum, measured
from benchmarks.tables.phage_training import validation_groups


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


def test_tool_and_detector_stand_beside_each_other_on_the_contigs_that_the_tool_was_given() -> None:
    generator = np.random.default_rng(0)
    hosts = pd.DataFrame({"name": [f"h{i}" for i in range(12)], "group": [f"g{i // 3}" for i in range(12)],
                          "phylum": "A", "phylum_fold": 1, "detector": generator.normal(size=12)})  # fmt: skip
    phages = pd.DataFrame({"name": [f"p{i}" for i in range(20)], "group": [f"q{i // 2}" for i in range(20)],
                           "phylum_fold": [1, 0] * 10, "detector": generator.normal(1, 1, 20)})  # fmt: skip
    said = {name: value for name, value in zip(hosts["name"][:9], generator.normal(size=9), strict=True)}
    phage_said = {name: value for name, value in zip(phages["name"][:15], generator.normal(2, 1, 15), strict=True)}
    row = by_phylum(hosts, phages, said, phage_said)["A"]
    beside = [name for name in phages["name"][:15] if int(name[1:]) % 2 == 0]  # of the fold of the phylum alone
    assert (row["hosts"], row["phages"], row["host_groups"]) == (9, len(beside), 3)
    truth = [0] * 9 + [1] * len(beside)
    detector = [*hosts["detector"][:9], *phages.set_index("name")["detector"][beside]]
    tool = [*said.values(), *(phage_said[name] for name in beside)]
    assert row["tool"][0] == pytest.approx(roc_auc_score(truth, tool), abs=1e-4)
    assert row["detector"][0] == pytest.approx(roc_auc_score(truth, detector), abs=1e-4)
    assert row["gain"][1] <= row["gain"][0] <= row["gain"][2]


def test_an_arm_is_chosen_on_groups_that_are_not_of_the_fold() -> None:
    rows = [(kind, f"{kind}{i}", i % 3, "A" * (500 + 7 * i)) for kind in CLASSES for i in range(24)]
    records = pd.DataFrame(rows, columns=["class", "group", "fold", "sequence"])
    for fold in range(3):
        held = validation_groups(records, fold)
        own = records[records["group"].isin(held)]
        assert (own["fold"] != fold).all() and set(own["class"]) == set(CLASSES)
        assert own.groupby("class").size().between(3, 5).all()  # a quarter of 16


def test_six_frames_of_the_other_strand_are_the_same_six() -> None:
    torch.manual_seed(0)
    letters = torch.randint(5, 9, (3, 302))  # not a multiple of three: frames of the strands begin elsewhere
    other = torch.tensor([0, 1, 2, 3, 4, 6, 5, 8, 7])[letters].flip(1)
    model = SixFrames(8).eval()
    assert torch.allclose(model(letters), model(other), atol=1e-5)
