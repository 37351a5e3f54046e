"""The segment decoder against the slow, obvious search over every topology."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from seqformers.proteins import segments
from seqformers.proteins.segments import decode_segments, segments_of


def every_topology(length: int, signal: bool, min_helix: int, min_signal: int) -> list[str]:
    """All strings the grammar allows, by trying all strings."""
    return [text for text in map("".join, itertools.product("ioMS", repeat=length)) if _allowed(text, signal, min_helix, min_signal)]  # fmt: skip # noqa: E501


def _allowed(text: str, signal: bool, min_helix: int, min_signal: int) -> bool:
    runs = [(letter, len(list(run))) for letter, run in itertools.groupby(text)]
    letters = "".join(letter for letter, _ in runs)
    if signal:
        if letters == "S":
            return True
        if not letters.startswith("So") or runs[0][1] < min_signal:
            return False
        runs, letters = runs[1:], letters[1:]
    if "S" in letters or any(letter == "M" and count < min_helix for letter, count in runs):
        return False
    sides = letters.replace("M", "")
    helices_part = "io" not in letters and "oi" not in letters
    return helices_part and all(a != b for a, b in itertools.pairwise(sides))


@pytest.mark.parametrize("cost", [0.0, 1.5])
@pytest.mark.parametrize("signal", [False, True])
@pytest.mark.parametrize("length", [1, 2, 4, 6, 7])
def test_finds_the_best_of_all_topologies(
    signal: bool, length: int, cost: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "MIN_SIGNAL", 2)
    rng = np.random.default_rng(length)
    allowed = every_topology(length, signal, 2, 2)
    arrays = [np.log(rng.dirichlet(np.full(4, 0.4), size=length) + 1e-9) for _ in range(20)]
    paths = decode_segments(arrays, [signal] * len(arrays), min_helix=2, helix_cost=cost)
    for array, found in zip(arrays, paths, strict=True):
        scores = {}
        for text in allowed:
            likely = sum(array[i, "ioMS".index(letter)] for i, letter in enumerate(text))
            scores[text] = likely - cost * ("M" in text)
        best = max(scores.values())
        assert found in scores
        assert scores[found] == pytest.approx(best)


def test_proteins_of_a_batch_do_not_change_each_other() -> None:
    rng = np.random.default_rng(0)
    arrays = [np.log(rng.dirichlet(np.full(4, 0.3), size=n)) for n in (0, 1, 40, 200, 17)]
    signal = [False, True, True, False, False]
    alone = [decode_segments([array], [s])[0] for array, s in zip(arrays, signal, strict=True)]
    assert decode_segments(arrays, signal) == alone
    assert [len(path) for path in alone] == [0, 1, 40, 200, 17]


def test_helices_are_never_short() -> None:
    rng = np.random.default_rng(1)
    arrays = [np.log(rng.dirichlet([0.2, 0.2, 0.6, 0.1], size=300)) for _ in range(5)]
    for path in decode_segments(arrays, [False] * 5):
        assert all(end - start >= segments.MIN_HELIX for _, start, end in segments_of(path))
