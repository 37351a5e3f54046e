"""Ids that come again, by rounds over a temporary file, against a set."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqformers.inference import repeats
from seqformers.inference.repeats import RepeatedIds


@given(
    names=st.lists(st.text("abc\u00e9", max_size=2), max_size=60), at_once=st.integers(1, 70), most=st.integers(1, 4)
)
def test_as_a_set_says(names, at_once, most):
    seen, again = set(), []
    for name in names:
        again += [name] * (name in seen)
        seen.add(name)
    with pytest.MonkeyPatch.context() as patch, RepeatedIds() as ids:
        patch.setattr(repeats, "_AT_ONCE", at_once)
        for name in names:
            ids.add(name)
        assert ids.found(most) == (len(again), again[:most])


def test_on_the_disk(monkeypatch):
    monkeypatch.setattr(repeats, "_IN_MEMORY", 100)
    with RepeatedIds() as ids:
        for number in range(3000):
            ids.add(f"r{number % 2998}")
        assert ids.found(3) == (2, ["r0", "r1"])


def test_memory_does_not_grow_with_the_ids(monkeypatch):
    monkeypatch.setattr(repeats, "_AT_ONCE", 1 << 11)
    monkeypatch.setattr(repeats, "_IN_MEMORY", 1 << 14)

    def peak(count):
        tracemalloc.start()
        try:
            with RepeatedIds() as ids:
                for number in range(count):
                    ids.add(f"r{number}")
                assert ids.found(3) == (0, [])
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(60_000) < 1.2 * peak(10_000) + 50_000
