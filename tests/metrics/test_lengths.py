"""Bins of lengths: every row in one of them, and in the one whose name says so."""

from __future__ import annotations

import numpy as np
import pytest

from seqformers.metrics.lengths import length_bins


def test_every_row_is_in_the_bin_its_length_says():
    lengths = np.random.default_rng(0).integers(0, 500, 300)
    found = length_bins(lengths, [50, 120, 400])
    assert sorted(np.concatenate(list(found.values())).tolist()) == list(range(300))
    limits = {"up to 50": (0, 50), "51 to 120": (51, 120), "121 to 400": (121, 400), "above 400": (401, 10**9)}
    assert list(found) == list(limits)
    for name, (low, high) in limits.items():
        assert ((lengths[found[name]] >= low) & (lengths[found[name]] <= high)).all()


def test_edges():
    assert length_bins([1, 2], []) == {}
    assert list(length_bins([5], [10, 20])) == ["up to 10"]
    for edges in ([20, 10], [10, 10], [0, 3]):
        with pytest.raises(ValueError, match="must rise"):
            length_bins([5], edges)
