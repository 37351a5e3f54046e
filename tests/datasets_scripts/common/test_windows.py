"""Windows against the slow, obvious version, and the test-set rule of the original."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqformers.datasets_scripts.common.windows import (
    evaluation_starts,
    letters_of,
    random_parts_starts,
    strings_of_spans,
    take_windows,
    window_starts,
)
from tests.conftest import golden_cases


def slow_starts(length, window, step, tail):
    starts = [start for start in range(0, length, step) if start + window <= length]
    if tail == "cover" and length:
        covered = starts[-1] + window if starts else 0
        if covered < length:
            starts.append(max(0, length - window))
    return starts


@given(st.integers(0, 60), st.integers(1, 20), st.integers(1, 25), st.sampled_from(["cover", "drop"]))
def test_window_starts_are_those_of_a_loop(length, window, step, tail):
    assert window_starts(length, window, step, tail=tail).tolist() == slow_starts(length, window, step, tail)


@pytest.mark.parametrize(("window", "step"), [(0, 1), (4, 0), (-1, None)])
def test_windows_need_a_size(window, step):
    with pytest.raises(ValueError, match="at least 1"):
        window_starts(10, window, step)


@given(st.text("ACGTNU", min_size=1, max_size=80), st.integers(1, 30), st.integers(0, 2**31))
def test_windows_hold_the_letters(text, window, seed):
    letters = letters_of(text, fold=False)
    starts = np.random.default_rng(seed).integers(0, max(1, len(text) - window + 1), 7)
    if len(text) < window:
        starts = starts[:0]
    rows = take_windows(letters, starts, window)
    assert rows.shape == (len(starts), window)
    assert [row.tobytes().decode() for row in rows] == [text[start : start + window] for start in starts]


@given(st.text("ACGT", min_size=1, max_size=200), st.integers(0, 40), st.integers(0, 2**31))
def test_spans_hold_the_letters(text, count, seed):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, len(text) + 1, count)
    starts = rng.integers(0, len(text) - lengths + 1)
    spans = strings_of_spans(letters_of(text), starts, lengths).to_pylist()
    assert spans == [text[start : start + length] for start, length in zip(starts, lengths, strict=True)]


def test_letters_are_folded():
    assert letters_of("acgunRyU").tobytes() == b"ACGTNRYT"
    assert letters_of("acgu", fold=False).tobytes() == b"acgu"


@given(st.integers(1, 12), st.integers(1, 9), st.integers(0, 30), st.integers(0, 2**31))
def test_random_parts_do_not_overlap(window, parts, spare, seed):
    length = window * parts + spare
    starts = random_parts_starts(length, window, parts, np.random.default_rng(seed))
    assert len(starts) == parts
    assert starts[0] >= 0 and starts[-1] + window <= length
    assert (np.diff(starts) >= window).all()


def test_random_parts_are_all_equally_likely():
    rng = np.random.default_rng(0)
    drawn = [tuple(random_parts_starts(7, 2, 2, rng)) for _ in range(5_000)]
    possible = [(a, b) for a in range(6) for b in range(a + 2, 6)]
    counts = [drawn.count(pair) for pair in possible]
    assert sum(counts) == len(drawn)
    assert max(counts) - min(counts) < 6 * np.sqrt(len(drawn) / len(possible))


def test_random_parts_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        random_parts_starts(9, 5, 2, np.random.default_rng(0))


class Fixed:
    """A generator whose uniform number is given."""

    def __init__(self, share):
        self.share = share

    def uniform(self, low, high):
        assert (low, high) == (0, 0.1)
        return self.share


@pytest.mark.parametrize("case", [c for c in golden_cases("phage") if c["id"] == "eval_tiling_rule"])
def test_golden_tiling(case):
    for length, expected in case["expected"].items():
        if expected["branch"] != "tiling":
            starts = evaluation_starts(int(length), 150, np.random.default_rng(0), legacy_rounding=True)
            assert len(starts) == 64 and (np.diff(starts) >= 150).all()
            continue
        for share, (first, count) in zip((0, 0.05, 0.1), expected["start,n for u=0,.05,.10"], strict=True):
            starts = evaluation_starts(int(length), 150, Fixed(share), legacy_rounding=True)
            assert len(starts) == count
            assert count == 0 or (starts[0] == first and (np.diff(starts) == 150).all())


@settings(max_examples=50)
@given(st.integers(1000, 1100), st.integers(0, 2**31))
def test_a_record_of_one_window_stays(length, seed):
    assert len(evaluation_starts(length, 1000, np.random.default_rng(seed))) == 1
