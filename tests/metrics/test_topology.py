"""Transmembrane topology against the original functions and against all paths listed."""

from __future__ import annotations

import numpy as np
import pytest

from seqformers.metrics.topology import decode_topology, membrane_regions, segments_agree, topology_metrics
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
    assert found == {"residue_accuracy": 1.0, "protein_accuracy": 1.0, "proteins": 2.0}
    with pytest.raises(ValueError, match="protein 0: 3 labels for 40"):
        topology_metrics([log_p], [[0, 0, 0]])


def test_topology_input_errors():
    with pytest.raises(ValueError, match="protein 1: expected"):
        decode_topology([np.zeros((3, 3)), np.zeros((3, 2))])
    with pytest.raises(ValueError, match="NaN"):
        decode_topology([np.full((3, 3), np.nan)])
    assert decode_topology([np.zeros((0, 3))])[0][0].tolist() == []
