"""Site-level tests: what boosted trees read, and the parts of a test."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.tables.duplex_features import FOLDED, UNFOLDED, duplex_features
from benchmarks.tables.pair_cnn import seed_class
from benchmarks.tables.site_tests import difference, measured_parts
from seqformers.targets.duplex import energy_version

LET7 = "TGAGGTAGTAGGTTGTATAGTT"


def test_features_see_the_pairing():
    site = LET7[:20].translate(str.maketrans("ACGT", "TGCA"))[::-1]
    targets = ["C" * 12 + site + "C" * 18, "C" * 50]
    rows = pd.DataFrame({"mirna_seq": [LET7] * 2, "target_seq": targets})
    features = pd.DataFrame(duplex_features(rows, seed_class(rows)))
    names = [*UNFOLDED, *(FOLDED if energy_version() else ())]
    features.columns = names
    assert len(UNFOLDED) + len(FOLDED) == 31
    good, bad = (features.iloc[row] for row in (0, 1))
    strength = {"A": 1.0, "T": 1.0, "C": 1.3, "G": 1.3}
    assert good["best seed register"] == pytest.approx(sum(strength[letter] for letter in LET7[:8]))
    assert good["best whole register"] == pytest.approx(sum(strength[letter] for letter in LET7[:20]))
    assert good["seed class"] == 4 and bad["seed class"] == 0 and good["C"] == bad["C"] - 20 + site.count("C")
    if energy_version():
        assert good["pairs"] == good["longest run"] == 20 and good["energy"] < -25 < bad["energy"]
        assert [good[f"pairs of nt {part}"] for part in ("2-8", "9-12", "13-16")] == [7, 4, 4]
        assert good["first paired nt"] == 0 and good["target's place of the first pair"] == 31


def test_how_far_two_models_are_apart():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"mirna_seq": rng.choice(list("abcdef"), 300), "label": rng.integers(0, 2, 300)})
    good, same = rows["label"] + rng.normal(0, 0.4, 300), rng.random(300)
    found = difference(rows, good.to_numpy(), same, draws=40)["average_precision"]
    assert found["interval"][0] > 0 and found["interval"][0] <= found["value"] <= found["interval"][1]
    assert difference(rows, same, same, draws=3)["auroc_within_mirna"]["interval"] == [0, 0]


def test_parts_without_both_labels_are_left_out():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"mirna_seq": rng.choice(["a", "b", "c"], 60), "label": np.arange(60) % 2})
    scores = {"perfect": rows["label"].to_numpy(float), "flat": np.zeros(60)}
    found = measured_parts(rows, scores, {"odd": np.arange(60) % 2 == 1, "first": np.arange(60) < 30})
    assert list(found["parts"]) == ["first"] and found["parts"]["first"]["rows"] == 30
    assert found["models"]["perfect"]["auroc"] == 1.0 and found["models"]["flat"]["auroc"] == 0.5
    assert found["models"]["perfect"]["interval"]["average_precision"] == [1.0, 1.0]
