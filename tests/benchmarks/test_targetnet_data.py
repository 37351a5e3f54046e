"""mRNAs made up of sites: what is in them, and what knowing the miRNA says about them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.tables.targetnet_data import made_up_mrnas


def some_rows():
    rng = np.random.default_rng(3)

    def sequences(count, length):
        return ["".join(rng.choice(list("ACGU"), length)) for _ in range(count)]

    mirnas = sequences(4, 20)
    mirnas.append("A" + mirnas[0][1:8] + "C" * 12)  # the first one's seed
    table = {"mirna_seq": mirnas * 20, "mrna_seq": sequences(100, 50), "label": [1, 0, 1, 1] * 25}
    return pd.DataFrame(table).assign(source="clash", weight=1)


def test_targets_hold_a_site_and_the_others_none():
    rows = some_rows()
    made = made_up_mrnas(rows, 60, fewest=3, most=6, seed=1)
    known = rows[rows["label"] == 1].groupby(rows["mirna_seq"].str[1:8])["mrna_seq"].agg(list)
    for row in made.itertuples():
        held = [site in row.mrna_seq for site in known[row.mirna_seq[1:8]]]
        assert sum(held) == row.label
    assert made["mrna_seq"].str.len().max() <= 6 * 50


def test_the_mirna_says_nothing_and_the_seed_repeats():
    rows = some_rows()
    made = made_up_mrnas(rows, 200, seed=2)
    assert made.groupby("mirna_seq")["label"].mean().eq(0.5).all()
    pd.testing.assert_frame_equal(made, made_up_mrnas(rows, 200, seed=2))
