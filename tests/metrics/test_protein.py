"""Protein metrics against values of the original functions and against slow, obvious versions."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqformers.metrics.protein import (
    apply_level_thresholds,
    contact_precision,
    fit_level_thresholds,
    homology_metrics,
    homology_score,
    masked_accuracy,
    ordinal_probabilities,
    regression_metrics,
    secondary_structure_metrics,
)
from seqformers.metrics.topology import decode_topology, membrane_regions, segments_agree, topology_metrics
from tests.conftest import golden_cases


def golden(kind):
    return [case for case in golden_cases("protein_metrics") if case["kind"] == kind]


def log_probabilities(rng, length, classes=3):
    return np.log(rng.dirichlet(np.ones(classes), length))


# Secondary structure and accuracy


def test_q3_and_q8_are_those_of_the_original():
    (case,) = golden("secstr")
    logits = [np.array(logit)[: len(label)] for logit, label in zip(case["logits"], case["labels"], strict=True)]
    found = secondary_structure_metrics(logits, case["labels"])
    assert found["q8"] == pytest.approx(case["acc8"], abs=1e-6)
    assert found["q3"] == pytest.approx(case["acc3"], abs=1e-6)


def test_q3_sums_probability_before_it_chooses():
    # State E is the single best, but the three helix states together are likelier.
    logits = np.log([[0.25, 0.25, 0.15, 0.0001, 0.3, 0.01, 0.01, 0.0299]])
    found = secondary_structure_metrics([logits], [[0]])
    assert found["q8"] == 0 and found["q3"] == 1


def test_unresolved_residues_count_nowhere():
    logits = np.array([[[5.0, 0, 0], [0, 5, 0], [0, 5, 0]], [[5.0, 0, 0], [5, 0, 0], [5, 0, 0]]])
    labels = [[0, -100, 2], [0, -100, -100]]
    found = secondary_structure_metrics(logits, labels)
    assert found == {"q3": pytest.approx(2 / 3), "q3_per_protein": 0.75, "residues": 3}


def test_protein_without_a_labelled_residue_does_not_lower_the_mean():
    logits = np.zeros((3, 1, 3))
    assert secondary_structure_metrics(logits, [[0], [-100], [0]])["q3_per_protein"] == 1


def test_tape_accuracy():
    (case,) = golden("accuracy_metric")
    right = [(np.argmax(score, axis=1), label) for score, label in zip(case["scores"], case["targets"], strict=True)]
    predictions = np.concatenate([prediction for prediction, _ in right])
    labels = np.concatenate([label for _, label in right])
    assert masked_accuracy(predictions, labels, ignore_index=-1) == pytest.approx(case["accuracy"])


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        ([np.zeros((3, 3))], [[0, 1]], "protein 0: 2 labels for 3 residues"),
        ([np.zeros((2, 4))], [[0, 1]], "3 or 8 states"),
        ([np.zeros((2, 3))], [[-100, -100]], "no residue has a label"),
        ([np.zeros((2, 3))], [], "1 proteins with scores but 0 with labels"),
    ],
)
def test_secondary_structure_errors(logits, labels, message):
    with pytest.raises(ValueError, match=message):
        secondary_structure_metrics(logits, labels)


# Regression


def test_spearman_is_tapes():
    (case,) = golden("spearman_metric")
    found = regression_metrics(case["prediction"], case["target"])
    assert found["spearman"] == pytest.approx(case["rho"], abs=1e-12)
    assert found["mse"] == pytest.approx(np.mean((np.array(case["prediction"]) - case["target"]) ** 2))


def test_collapsed_regression_warns():
    with pytest.warns(UserWarning, match="equal"):
        assert regression_metrics([1.0, 1.0, 1.0], [1, 2, 3])["spearman"] == 0


def test_tiny_but_varying_predictions_still_rank():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert regression_metrics([1e-9, 2e-9, 3e-9], [1, 2, 3])["spearman"] == pytest.approx(1)


@pytest.mark.parametrize(("a", "b"), [([1.0], [1.0]), ([1.0, 2], [1.0]), ([1.0, np.nan], [1.0, 2])])
def test_regression_errors(a, b):
    with pytest.raises(ValueError):
        regression_metrics(a, b)


# Contacts


def slow_contact_precision(probabilities, labels, low, high, divisor, legacy=False):
    hits = picks = 0
    each = []
    for probability, label in zip(probabilities, labels, strict=True):
        length = len(label)
        pairs = [
            (-probability[i][j], i, j)
            for i in range(length)
            for j in range(i + low, length)
            if j - i <= high and (legacy or label[i][j] >= 0)
        ]
        if legacy:  # labelled pairs come first, the others fill up
            pairs.sort(key=lambda pair: (label[pair[1]][pair[2]] < 0, pair))
        else:
            pairs.sort()
        chosen = pairs[: length // divisor]
        found = sum(1 if label[i][j] == 1 else (-1 if label[i][j] < 0 else 0) for _, i, j in chosen)
        hits, picks = hits + found, picks + len(chosen)
        if chosen:
            each.append(found / len(chosen))
    return np.mean(each), hits / picks


@pytest.mark.parametrize("legacy", [False, True])
def test_contact_precision_is_the_slow_version(legacy):
    rng = np.random.default_rng(0)
    probabilities, labels = [], []
    for length in (8, 30, 45, 61):
        half = rng.random((length, length))
        probabilities.append((half + half.T) / 2)
        upper = np.triu(rng.choice([-100, 0, 0, 1], (length, length)), 1)
        labels.append(upper + upper.T)
    found = contact_precision(probabilities, labels, legacy=legacy)
    for name, low, high in (("all", 6, 999), ("short", 6, 11), ("medium", 12, 23), ("long", 24, 999)):
        for top, divisor in (("L/5", 5), ("L", 1)):
            mean, pooled = slow_contact_precision(probabilities, labels, low, high, divisor, legacy)
            assert found[f"precision_{name}_{top}"] == pytest.approx(mean)
            assert found[f"precision_{name}_{top}_pooled"] == pytest.approx(pooled)


def test_perfect_contacts_and_nothing_to_pick():
    truth = np.ones((40, 40), dtype=int)
    found = contact_precision([truth.astype(float)], [truth])
    assert all(value == 1 for value in found.values())
    nothing = contact_precision([truth * 0.5], [np.full((40, 40), -100)])
    assert all(np.isnan(value) for value in nothing.values())


def test_contact_errors():
    with pytest.raises(ValueError, match="protein 0: maps of shape"):
        contact_precision([np.zeros((3, 4))], [np.zeros((3, 3))])
    with pytest.raises(ValueError, match="unknown range"):
        contact_precision([], [], ranges=("near",))
    with pytest.raises(ValueError, match="unknown top"):
        contact_precision([], [], top=("L/3",))


# Homology


def test_ordinal_probabilities_are_the_originals():
    (case,) = golden("ordinal")
    assert ordinal_probabilities(case["logits"]) == pytest.approx(np.array(case["probabilities"]), abs=2e-6)
    assert homology_score(case["logits"]) == pytest.approx(np.array(case["probabilities"]) @ np.arange(5), abs=1e-5)


def slow_thresholds(scores, levels):
    """Every score of the kept pairs tried as a cut."""
    scores, levels = np.asarray(scores), np.asarray(levels)
    thresholds, previous = [], -np.inf
    for level in range(4):
        kept = scores > previous
        best, cut = None, previous
        for candidate in [-np.inf, *sorted(set(scores[kept]))]:
            right = np.sum((scores[kept] > candidate) == (levels[kept] > level))
            if best is None or right > best:
                best, cut = right, previous if candidate == -np.inf else candidate
        previous = cut
        thresholds.append(cut)
    return np.array(thresholds)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4)), min_size=1, max_size=25))
def test_thresholds_are_the_slow_version(pairs):
    scores, levels = np.array([pair[0] for pair in pairs]) / 4, np.array([pair[1] for pair in pairs])
    assert fit_level_thresholds(scores, levels).tolist() == slow_thresholds(scores, levels).tolist()


def test_homology_metrics_of_a_perfect_model():
    levels = np.repeat(np.arange(5), 20)
    scores = levels + np.linspace(0, 0.5, 100)
    found = homology_metrics(scores, levels, train_scores=scores, train_levels=levels)
    assert found["accuracy"] == 1
    assert found["average_precision_family"] == pytest.approx(1)


def test_fitting_on_the_scored_pairs_flatters():
    rng = np.random.default_rng(0)
    levels, train_levels = rng.integers(0, 5, 60), rng.integers(0, 5, 60)
    scores, train_scores = rng.random(60), rng.random(60)
    honest = homology_metrics(scores, levels, train_scores=train_scores, train_levels=train_levels)
    assert homology_metrics(scores, levels, legacy=True)["accuracy"] > honest["accuracy"]


def test_homology_errors():
    with pytest.raises(ValueError, match="needs train_scores"):
        homology_metrics([0.1, 0.2], [0, 1])
    with pytest.raises(ValueError, match="levels run from 0 to 4"):
        fit_level_thresholds([0.1], [5])
    with pytest.raises(ValueError, match="4\\) ordinal or"):
        homology_score(np.zeros((2, 3)))


def test_level_is_the_number_of_thresholds_strictly_below():
    assert apply_level_thresholds([0.0, 0.5, 0.6, 9], [0.5, 1, 1, 2]).tolist() == [0, 0, 1, 4]


# Transmembrane


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
