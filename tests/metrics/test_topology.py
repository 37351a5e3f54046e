"""Transmembrane topology against the original functions and against all paths listed."""

from __future__ import annotations

import numpy as np
import pytest

from seqformers.metrics.topology import (
    decode_topology,
    matched_segments,
    membrane_regions,
    segments_agree,
    topology_metrics,
)
from tests.conftest import golden_cases


def golden(kind):
    return [case for case in golden_cases("protein_metrics") if case["kind"] == kind]


def log_probabilities(rng, length, classes=3):
    return np.log(rng.dirichlet(np.ones(classes), length))


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("case", golden("transmembrane"), ids=lambda case: case["name"])
def test_viterbi_is_the_originals(case, legacy):
    (path,), (score,) = decode_topology([case["log_probs"]], legacy=legacy)
    assert path.tolist() == case["decoded"]
    assert score == pytest.approx(case["score"], abs=1e-5)
    assert membrane_regions(path).tolist() == case["regions"]
    assert segments_agree(path, case["labels"]) == bool(case["correct"])


def test_many_proteins_at_once_decode_as_alone():
    rng = np.random.default_rng(1)
    proteins = [log_probabilities(rng, length) for length in (1, 5, 22, 23, 24, 60, 120)]
    together, scores = decode_topology(proteins)
    for protein, path, score in zip(proteins, together, scores, strict=True):
        (alone,), (alone_score,) = decode_topology([protein])
        assert path.tolist() == alone.tolist()
        assert score == pytest.approx(alone_score)


def best_by_listing(log_p):
    """Best score over all topologies of a short protein, listed one by one (at most one helix fits)."""
    length = len(log_p)
    loop = np.logaddexp(log_p[:, 0], log_p[:, 1])
    start, half = -np.log(3), -np.log(2)
    best = start + loop.sum() + half * (length - 1) + half
    for first in range(1, length - 21):
        inside = loop[:first].sum() + log_p[first : first + 21, 2].sum() + loop[first + 21 :].sum()
        steps = (first - 1) + 1 + (length - first - 22)  # stays, entry, stays; within a helix no choice
        best = max(best, start + inside + half * steps + half)
    return best


def test_score_is_the_best_of_all_paths():
    rng = np.random.default_rng(2)
    for length in (3, 23, 30, 40):
        log_p = log_probabilities(rng, length)
        log_p[5:26, 2] += 4
        _, (score,) = decode_topology([log_p])
        assert score == pytest.approx(best_by_listing(log_p))


def test_helices_are_21_long_and_change_the_side():
    rng = np.random.default_rng(3)
    log_p = log_probabilities(rng, 300)
    log_p[40:70, 2] += 8
    log_p[120:140, 2] += 8
    (path,), _ = decode_topology([log_p], oriented=True)
    regions = membrane_regions(path)
    assert len(regions) >= 2
    assert (regions[:, 1] - regions[:, 0] == 21).all()
    for begin, end in regions:
        assert {path[begin - 1], path[end]} == {0, 1}


def test_oriented_decoding_follows_the_sides():
    log_p = np.log(np.tile([0.05, 0.9, 0.05], (30, 1)))
    assert set(decode_topology([log_p])[0][0]) == {0}  # the published grammar cannot tell
    assert set(decode_topology([log_p], oriented=True)[0][0]) == {1}


def test_signal_peptides_may_be_longer_than_one():
    log_p = np.log(np.full((30, 4), 0.01))
    log_p[:12, 3] = log_p[12:, 0] = np.log(0.97)
    assert decode_topology([log_p])[0][0].tolist() == [3] * 12 + [0] * 18


def test_region_at_residue_0():
    (case,) = golden("regions_from_0")
    assert membrane_regions(case["labels"], legacy=True).tolist() == case["regions"] == []
    assert membrane_regions(case["labels"]).tolist() == [[0, 6], [11, 15]]


def test_segment_rules():
    true = [0] * 5 + [2] * 10 + [1] * 5
    assert segments_agree([0] * 10 + [2] * 10, true)
    assert not segments_agree([0] * 11 + [2] * 9, true)  # overlap 4
    assert not segments_agree([0] * 20, true)
    assert not segments_agree([0] * 5 + [2] * 10 + [1] * 5, [3, *true[1:]])  # signal peptide missed


def test_topology_metrics():
    log_p = np.log(np.tile([0.9, 0.05, 0.05], (40, 1)))
    log_p[10:31] = np.log([0.05, 0.05, 0.9])
    labels = [0] * 10 + [2] * 21 + [0] * 9
    found = topology_metrics([log_p, log_p], [labels, [-100] * 10 + labels[10:31] + [-100] * 9])
    assert found.pop("proteins") == 2.0
    assert set(found.values()) == {1.0}
    with pytest.raises(ValueError, match="protein 0: 3 labels for 40"):
        topology_metrics([log_p], [[0, 0, 0]])


def test_topology_input_errors():
    with pytest.raises(ValueError, match="protein 1: expected"):
        decode_topology([np.zeros((3, 3)), np.zeros((3, 2))])
    with pytest.raises(ValueError, match="NaN"):
        decode_topology([np.full((3, 3), np.nan)])
    assert decode_topology([np.zeros((0, 3))])[0][0].tolist() == []


def most_pairs(predicted, expected, min_overlap):
    """The largest set of pairs of segments that overlap enough, each segment in one pair, by an assignment problem."""
    from scipy.optimize import linear_sum_assignment

    found, true = membrane_regions(predicted), membrane_regions(expected)
    table = np.array([[min(a[1], b[1]) - max(a[0], b[0]) >= min_overlap for b in true] for a in found], dtype=int)
    if not table.size:
        return 0
    rows, columns = linear_sum_assignment(-table)
    return int(table[rows, columns].sum())


def test_segments_are_matched_as_often_as_can_be():
    rng = np.random.default_rng(4)
    for _ in range(300):
        predicted, expected = (np.repeat(rng.integers(0, 3, 12), rng.integers(1, 9, 12))[:40] for _ in range(2))
        size = min(len(predicted), len(expected))
        predicted, expected = predicted[:size], expected[:size]
        found, *totals = matched_segments(predicted, expected, min_overlap=3)
        assert found == most_pairs(predicted, expected, 3)
        assert totals == [len(membrane_regions(predicted)), len(membrane_regions(expected))]


def test_segments_and_membrane_residues_of_many_proteins():
    rng = np.random.default_rng(5)
    proteins = [log_probabilities(rng, length) for length in (30, 80, 150)]
    labels = [np.repeat([0, 2, 1, 2, 0, 1], length // 6 + 1)[:length] for length in (30, 80, 150)]
    found = topology_metrics(proteins, labels)
    paths, _ = decode_topology(proteins)
    matched = sum(most_pairs(path, label, 5) for path, label in zip(paths, labels, strict=True))
    called, true = (sum(len(membrane_regions(one)) for one in many) for many in (paths, labels))
    assert found["segment_precision"] == pytest.approx(matched / called)
    assert found["segment_recall"] == pytest.approx(matched / true)
    assert found["segment_f1"] == pytest.approx(2 * matched / (called + true))
    inside, is_true = (np.concatenate(many) == 2 for many in (paths, labels))
    assert found["membrane_mcc"] == pytest.approx(np.corrcoef(inside, is_true)[0, 1])  # what MCC is
