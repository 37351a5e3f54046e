"""The alignment beside the soft one: scores and paths against the textbook recursion."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("Bio")

from benchmarks.tables.protein_arms_shortcuts import aligner, alignment_scores, known_letters
from benchmarks.tables.soft_align import aligned_residues, draw_scatter, on_path


def textbook(first: str, second: str) -> float:
    """Gotoh's recursion, a cell at a time; ends cost as other gaps do."""
    matrix = aligner().substitution_matrix
    low = -1e9
    n, m = len(first), len(second)
    best = np.full((3, n + 1, m + 1), low)  # match, gap in the second, gap in the first
    best[0, 0, 0] = 0
    for i in range(n + 1):
        for j in range(m + 1):
            if i:
                best[1, i, j] = max(best[0, i - 1, j] - 11, best[2, i - 1, j] - 11, best[1, i - 1, j] - 1)
            if j:
                best[2, i, j] = max(best[0, i, j - 1] - 11, best[1, i, j - 1] - 11, best[2, i, j - 1] - 1)
            if i and j:
                best[0, i, j] = best[:, i - 1, j - 1].max() + matrix[first[i - 1], second[j - 1]]
    return float(best[:, n, m].max())


def test_scores_and_paths_are_those_of_the_recursion():
    rng = np.random.default_rng(0)
    for _ in range(20):
        first, second = ("".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWYU"), rng.integers(3, 18))) for _ in range(2))
        wanted = textbook(known_letters(first), known_letters(second))
        assert alignment_scores([first], [second])[0] == pytest.approx(wanted / min(len(first), len(second)))
        path = aligned_residues(first, second)
        assert (np.diff(path, axis=0) > 0).all() and (path >= 0).all()
        assert (path < [len(first), len(second)]).all()
    assert aligned_residues("ACDEF", "ACDEF").tolist() == [[i, i] for i in range(5)]


def test_weight_beside_the_path():
    weights = np.ones((10, 10))
    path = np.column_stack([np.arange(10)] * 2)
    assert on_path(weights, path, near=0) == pytest.approx(0.1)
    assert on_path(np.eye(10), path, near=0) == 1


def test_the_scatter_has_a_colour_a_level():
    figure = draw_scatter(np.arange(6.0), np.arange(6.0), np.array([0, 0, 1, 2, 2, 2]))
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == [
        "none (2)",
        "class (1)",
        "fold (3)",
    ]
