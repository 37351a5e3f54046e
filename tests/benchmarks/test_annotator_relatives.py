"""Relatives by words and banded local alignments, against Biopython's aligner."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.tables.annotator_relatives import LETTERS, align_pairs, find_relatives, residue_numbers

pytest.importorskip("Bio")


def protein(rng, length):
    return rng.integers(0, 20, length).astype(np.int8)


def relative(rng, sequence):
    """A third of the residues changed, five taken out, four put in."""
    changed = np.where(rng.random(len(sequence)) < 0.35, protein(rng, len(sequence)), sequence)
    return np.r_[protein(rng, 9), changed[:30], changed[35:70], protein(rng, 4), changed[70:]].astype(np.int8)


@pytest.fixture(scope="module")
def families():
    rng = np.random.default_rng(0)
    queries = [protein(rng, int(length)) for length in rng.integers(100, 180, 12)]
    targets = [relative(rng, query) for query in queries] + [protein(rng, 150) for _ in range(20)]
    return queries, targets


def test_relatives_are_found_among_others(families):
    queries, targets = families
    query, target, diagonal = find_relatives(queries, targets, keep=2, least=2)
    first = {int(q): int(t) for q, t in zip(query[::-1], target[::-1], strict=True)}
    assert sum(first.get(number) == number for number in range(12)) >= 10
    assert np.all(np.abs(diagonal[query == target]) < 25)


def test_alignments_are_those_of_the_whole_matrix(families):
    from Bio.Align import PairwiseAligner, substitution_matrices

    aligner = PairwiseAligner(mode="local", open_gap_score=-11, extend_gap_score=-1)
    aligner.substitution_matrix = substitution_matrices.load("BLOSUM62")
    queries, targets = families
    pairs = (np.arange(12), np.arange(12), np.full(12, 8))
    found = {one.query: one for one in align_pairs(queries, targets, pairs, least_score=1, at_once=5)}
    assert len(found) == 12
    for number, one in found.items():
        a, b = ("".join(LETTERS[i] for i in x) for x in (queries[number], targets[number]))
        assert one.score == aligner.score(a, b)
        assert np.all(np.diff(one.query_places) > 0)
        assert np.all(np.diff(one.target_places) > 0)
        score, matrix = 0.0, aligner.substitution_matrix
        for q, t in zip(one.query_places, one.target_places, strict=True):
            score += matrix[a[q], b[t]]
        for places in (one.query_places, one.target_places):
            score -= sum(10 + gap for gap in np.diff(places) - 1 if gap)
        assert score == one.score


def test_low_scores_are_left_out_and_letters_have_numbers(families):
    queries, targets = families
    assert not list(align_pairs(queries, targets, (np.arange(3), np.arange(20, 23), np.zeros(3, int))))
    assert residue_numbers("ARVX").tolist() == [0, 1, 19, 20]
