"""Site-level tests: what boosted trees read, and the parts of a test."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.tables.site_tests import duplex_features, measured_parts

LET7 = "TGAGGTAGTAGGTTGTATAGTT"


def test_features_see_the_pairing():
    site = LET7[:20].translate(str.maketrans("ACGT", "TGCA"))[::-1]
    targets = ["C" * 12 + site + "C" * 18, "C" * 50]
    rows = pd.DataFrame({"mirna_seq": [LET7] * 2, "target_seq": targets})
    good, bad = duplex_features(rows, np.array([-30.0, -2.0]))
    strength = {"A": 1.0, "T": 1.0, "C": 1.3, "G": 1.3}
    assert good[1] == pytest.approx(sum(strength[letter] for letter in LET7[:8]))
    assert good[3] == pytest.approx(sum(strength[letter] for letter in LET7[:20]))
    assert good[0] == 4 and bad[0] == 0 and good[3] > bad[3] and good[-1] == -30.0


def test_parts_without_both_labels_are_left_out():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"mirna_seq": rng.choice(["a", "b", "c"], 60), "label": np.arange(60) % 2})
    scores = {"perfect": rows["label"].to_numpy(float), "flat": np.zeros(60)}
    found = measured_parts(rows, scores, {"odd": np.arange(60) % 2 == 1, "first": np.arange(60) < 30})
    assert list(found["parts"]) == ["first"] and found["parts"]["first"]["rows"] == 30
    assert found["models"]["perfect"]["auroc"] == 1.0 and found["models"]["flat"]["auroc"] == 0.5
    assert found["models"]["perfect"]["interval"]["average_precision"] == [1.0, 1.0]
