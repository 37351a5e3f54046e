"""Splits keep groups whole and nested, and matched rows have one distribution."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqformers.datasets_scripts.common.splits import fraction_ranks, match_histograms, split_groups, spread_ranks


def items(count, groups, seed):
    rng = np.random.default_rng(seed)
    group = np.concatenate([np.arange(groups), rng.integers(0, groups, max(0, count - groups))])
    return [f"g{i}" for i in group], (group % 2).tolist(), rng.integers(1, 100, len(group)).tolist()


@settings(max_examples=60)
@given(st.integers(6, 80), st.integers(6, 40), st.integers(0, 10_000))
def test_groups_stay_whole_and_no_split_is_empty(count, groups, seed):
    names, strata, sizes = items(count, groups, seed)
    split = split_groups(names, strata, sizes, seed=seed)
    for name in set(names):
        assert len({split[i] for i in range(len(names)) if names[i] == name}) == 1
    for label in (0, 1):
        assert {split[i] for i in range(len(names)) if strata[i] == label} == {0, 1, 2}


def test_fractions_are_close():
    names, strata, sizes = items(2_000, 400, 1)
    split, sizes, strata = split_groups(names, strata, sizes, seed=3), np.array(sizes), np.array(strata)
    for label in (0, 1):
        shares = [sizes[(split == i) & (strata == label)].sum() / sizes[strata == label].sum() for i in range(3)]
        assert np.allclose(shares, (0.7, 0.1, 0.2), atol=0.02)


def test_order_does_not_matter_but_the_seed_does():
    names, strata, sizes = items(300, 60, 2)
    split = split_groups(names, strata, sizes, seed=5)
    turned = split_groups(names[::-1], strata[::-1], sizes[::-1], seed=5)
    assert (split == turned[::-1]).all()
    assert (split != split_groups(names, strata, sizes, seed=6)).any()


def test_a_group_of_both_classes_is_not_torn():
    names = ["both", "both", *(f"a{i}" for i in range(5)), *(f"b{i}" for i in range(5))]
    split = split_groups(names, [0, 1, *[0] * 5, *[1] * 5], [1] * 12)
    assert split[0] == split[1]


@pytest.mark.parametrize("fractions", [(0.5, 0.1, 0.1), (1.2, -0.1, -0.1)])
def test_bad_fractions(fractions):
    with pytest.raises(ValueError, match="sum to 1"):
        split_groups(["a"], [0], [1], fractions)


def test_too_few_groups():
    with pytest.raises(ValueError, match="a class has 2 groups, too few for 3 splits"):
        split_groups(["a", "b"], [0, 0], [1, 1])


@given(st.integers(1, 200), st.floats(0.001, 1), st.floats(0.001, 1))
def test_fractions_are_nested(count, one, other):
    rank = fraction_ranks([f"n{i}" for i in range(count)], [i % 2 for i in range(count)], seed=4)
    small, large = sorted((one, other))
    assert set(np.flatnonzero(rank < small)) <= set(np.flatnonzero(rank < large))
    for label in set(i % 2 for i in range(count)):
        size = sum(i % 2 == label for i in range(count))
        chosen = (rank[label::2] < small).sum()
        assert 1 <= chosen <= np.ceil(small * size + 1e-9)
    assert (rank < 1).all()


@given(st.lists(st.integers(0, 5), max_size=60), st.integers(0, 1000))
def test_spread_ranks_count_within_keys(keys, seed):
    rank = spread_ranks(np.array(keys, dtype=np.int64), np.random.default_rng(seed))
    for key in set(keys):
        assert sorted(rank[np.array(keys) == key]) == list(range(keys.count(key)))


@given(st.integers(1, 300), st.integers(0, 1000), st.none() | st.integers(0, 200))
def test_matched_rows_have_one_distribution(count, seed, rows):
    rng = np.random.default_rng(seed)
    classes, bins = np.r_[0, 1, rng.integers(0, 2, count)], np.r_[0, 0, rng.integers(0, 6, count)]
    chosen = match_histograms(bins, classes, rng.random(len(bins)), rows=rows)
    counts = [np.bincount(bins[chosen & (classes == label)], minlength=6) for label in (0, 1)]
    assert (counts[0] == counts[1]).all()
    most = np.minimum(*(np.bincount(bins[classes == label], minlength=6) for label in (0, 1)))
    assert (counts[0] <= most).all()
    wanted = most.sum() if rows is None else min(most.sum(), rows // 2)
    assert counts[0].sum() == wanted


def test_low_priority_rows_are_taken_first():
    chosen = match_histograms(np.zeros(5, int), np.array([0, 0, 0, 1, 1]), np.array([3.0, 1, 2, 5, 4]), rows=2)
    assert chosen.tolist() == [False, True, False, False, True]
