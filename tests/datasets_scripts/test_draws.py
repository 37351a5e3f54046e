"""The laws by which windows are drawn, and the original's quirks number by number."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqformers.datasets_scripts.phage.draws import (
    LengthLaw,
    cut_lengths,
    finetune_starts,
    legacy_cut_lengths,
    legacy_drop_n_records,
    legacy_drop_n_records_of_files,
    legacy_finetune_starts,
    legacy_random_parts_starts,
    legacy_sample_spans,
    sample_spans,
)
from tests.conftest import golden_cases

GOLDEN = {case["id"]: case for case in golden_cases("phage")}


@pytest.mark.parametrize("name", sorted(GOLDEN["cut_no_overlap"]["expected"].keys() - {"is_prefix_partition"}))
def test_golden_cut(name):
    lower, upper = (int(part[3:]) for part in name.split("_"))
    lengths = legacy_cut_lengths(3000, LengthLaw(lower, upper, 0.5), np.random.RandomState(0))
    assert lengths == GOLDEN["cut_no_overlap"]["expected"][name]


def test_golden_n_filter():
    sequences = GOLDEN["removeNA_bug"]["input"]["list"]
    assert [sequences[i] for i in legacy_drop_n_records(sequences)] == GOLDEN["removeNA_bug"]["expected"]["code"]


def test_golden_n_filter_of_files():
    files = GOLDEN["removeNA_ft_bug"]["input"]["list"]
    kept = legacy_drop_n_records_of_files(files)
    found = [[file[i] for i in stay] for file, stay in zip(files, kept, strict=True) if stay]
    assert found == GOLDEN["removeNA_ft_bug"]["expected"]["code"]


@given(st.lists(st.sampled_from(["N", "NA", "A", "C"]), max_size=12))
def test_n_filter_removes_while_it_walks(sequences):
    walked = list(sequences)
    for text in walked:
        if "N" in text:
            walked.remove(text)
    assert [sequences[i] for i in legacy_drop_n_records(sequences)] == walked


@given(st.lists(st.lists(st.sampled_from(["N", "NA", "A"]), min_size=1, max_size=3), max_size=6))
def test_n_filter_of_files_removes_while_it_walks(files):
    walked = [list(file) for file in files]
    for file in walked:
        for text in file:
            if "N" in text:
                file.remove(text)
        if not file:
            walked.remove(file)
    kept = legacy_drop_n_records_of_files(files)
    assert [[file[i] for i in stay] for file, stay in zip(files, kept, strict=True) if stay] == walked


laws = st.builds(LengthLaw, st.integers(1, 20), st.integers(21, 60), st.sampled_from([0.0, 0.3, 0.5, 1.0]))


@given(st.integers(0, 500), laws, st.integers(0, 2**31))
def test_cut_partitions_a_prefix(length, law, seed):
    pieces = cut_lengths(length, law, np.random.default_rng(seed))
    assert (pieces >= law.lower).all() and (pieces <= law.upper).all()
    assert length - pieces.sum() < law.lower or length < law.lower
    assert pieces.sum() <= length


def test_lengths_follow_the_law():
    law = LengthLaw(36, 510, 0.5)
    drawn = law.draw(200_000, np.random.default_rng(0))
    assert drawn.min() == 36 and drawn.max() == 510
    assert abs((drawn == 510).mean() - (0.5 + 0.5 / 475)) < 0.005
    assert abs(drawn.mean() - law.mean()) < 1
    assert (law.mean(), law.mean(legacy=True)) == (391.5, 373.5)
    assert LengthLaw(5, 510).mean(legacy=True) == 381.25
    assert LengthLaw(36, 1000).mean(legacy=True) == 741
    assert law.draw(1_000, np.random.default_rng(0), longest=100).max() == 100


@given(st.integers(0, 400), st.floats(0, 4), laws, st.integers(0, 2**31))
def test_samples_lie_within_the_record(length, ratio, law, seed):
    starts, lengths = sample_spans(length, ratio, law, np.random.default_rng(seed))
    assert (starts >= 0).all() and (starts + lengths <= length).all()
    if length >= law.lower:
        assert len(starts) == int(ratio * np.ceil(length / law.mean()))
        assert (lengths >= law.lower).all()
    else:
        assert len(starts) == 0


def test_legacy_samples_may_be_one_short():
    spans = [span for seed in range(40) for span in legacy_sample_spans(510, 2, LengthLaw(5, 510, 1), _state(seed))]
    assert set(spans) == {(0, 510), (1, 509)}
    assert len(legacy_sample_spans(3000, 2, LengthLaw(5, 510), _state(0))) == 2 * 8
    assert legacy_sample_spans(4, 2, LengthLaw(5, 510), _state(0)) == []


def _state(seed):
    return np.random.RandomState(seed)


@given(st.lists(st.integers(0, 60), max_size=6), st.integers(1, 30), st.integers(1, 50), st.integers(0, 2**31))
def test_finetune_windows_are_whole_and_never_twice(lengths, window, cap, seed):
    record, start = finetune_starts(np.array(lengths, dtype=np.int64), window, cap, np.random.default_rng(seed))
    assert len(record) == min(cap, sum(max(0, length - window + 1) for length in lengths))
    assert len(set(zip(record.tolist(), start.tolist(), strict=True))) == len(record)
    assert all(s >= 0 and s + window <= lengths[r] for r, s in zip(record, start, strict=True))


def test_finetune_windows_are_uniform():
    rng = np.random.default_rng(0)
    drawn = [np.stack(finetune_starts(np.array([12, 9, 15]), 10, 3, rng), 1) for _ in range(3_000)]
    seen, counts = np.unique(np.concatenate(drawn), axis=0, return_counts=True)
    assert seen.tolist() == [[0, 0], [0, 1], [0, 2], *([2, i] for i in range(6))]
    assert counts.min() > 900 and counts.max() < 1100


def test_repeats_stop_at_the_multiple():
    lengths = np.array([12])
    for cap, mult, expected in ((10, 1, 3), (10, 2, 6), (4, 2, 4), (10, 9, 10)):
        assert len(finetune_starts(lengths, 10, cap, np.random.default_rng(0), max_mult=mult)[0]) == expected


@pytest.mark.parametrize(
    ("lengths", "cap", "mult", "expected"),
    [
        ([200], 512, 1, 51),  # fewer windows than the cap
        ([150], 512, 1, 0),  # exactly one window is left out
        ([151], 512, 1, 2),
        ([5000], 512, 1, 512),
        ([5000, 5000], 512, 1, 512),  # each gives the cap, the file is sampled down
        ([200], 80, 2, 80),  # topped up to the cap
        ([200], 512, 2, 102),  # topped up to the multiple
        ([160, 170], 30, 1, 30),
        ([], 10, 2, 0),
    ],
)
def test_legacy_counts(lengths, cap, mult, expected):
    drawn = legacy_finetune_starts(lengths, 150, cap, _state(1), max_mult=mult, picker=random.Random(1))
    assert len(drawn) == expected
    assert all(0 <= start <= lengths[record] - 150 for record, start in drawn)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(151, 220), min_size=2, max_size=4), st.integers(0, 2**31))
def test_legacy_top_up_of_several_records_ends(lengths, seed):
    total = sum(length - 149 for length in lengths)
    drawn = legacy_finetune_starts(lengths, 150, 500, np.random.RandomState(seed), max_mult=2)
    share = int((500 - total) / (5 * len(lengths)))
    assert total <= len(drawn) <= max(total, 2 * total + share) <= max(500 + share, 2 * total + share)


@given(st.integers(1, 12), st.integers(1, 9), st.integers(1, 30), st.integers(0, 2**31))
def test_legacy_parts_do_not_overlap(window, parts, spare, seed):
    length = window * parts + spare
    starts = legacy_random_parts_starts(length, window, parts, random.Random(seed))
    assert len(starts) == parts and starts[0] >= 0 and starts[-1] + window <= length
    assert (np.diff(starts) >= window).all()


@pytest.mark.parametrize("arguments", [(0, 5, 0.5), (5, 5, 0.5), (5, 10, 1.5)])
def test_bad_laws(arguments):
    with pytest.raises(ValueError, match="lengths need"):
        LengthLaw(*arguments)
