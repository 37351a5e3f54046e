"""The counts and intervals behind the claims on miRNA targets."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.tables.targetnet_data import rows_seen
from benchmarks.tables.targetnet_intervals import intervals, six_mers

LET7 = "UGAGGUAGUAGGUUGUAUAGUU"


def test_six_mers_count_every_place():
    rows = pd.DataFrame({"mirna_seq": [LET7, LET7, "U" * 22], "mrna_seq": ["GGUACCUCUACCUCG", "UACCU", "A" * 8]})
    assert six_mers(rows).tolist() == [2, 0, 3]


def test_intervals_hold_the_value_and_differences_are_paired():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"mirna_seq": np.repeat([f"m{i}" for i in range(30)], 8), "label": np.tile([0, 1], 120)})
    rows["mrna_seq"] = [f"u{i}" for i in range(240)]
    good = rows["label"].to_numpy() + rng.normal(0, 0.5, 240)
    found = intervals(rows, {"packaged": good, "same": 2 * good, "noise": rng.normal(0, 1, 240)})
    within = found["auroc_within_mirna"]["packaged"]
    assert within["interval"][0] < within["value"] < within["interval"][1] and within["value"] > 0.85
    assert found["packaged minus"]["same"] == {"value": 0.0, "interval": [0.0, 0.0]}
    low, high = found["packaged minus"]["noise"]["interval"]
    assert 0.2 < low < found["packaged minus"]["noise"]["value"] < high and found["mirnas"] == 30


def test_rows_are_seen_where_one_holds_the_other():
    training = pd.DataFrame({"mirna_seq": [LET7, LET7], "mrna_seq": ["CUACCUCA", "GGGGG"], "label": [1, 0]})
    rows = pd.DataFrame(
        {
            "mirna_seq": [LET7 + "A", LET7, LET7, "C" * 22],
            "mrna_seq": ["AACUACCUCAGG", "UACC", "GGGGGGUUU", "CUACCUCA"],
        }
    )
    assert list(rows_seen(training, rows).values()) == [2, 1]
