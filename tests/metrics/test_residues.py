"""Secondary structure and masked accuracy against values of the original functions."""

from __future__ import annotations

import numpy as np
import pytest

from seqformers.metrics.residues import masked_accuracy, residue_metrics, secondary_structure_metrics
from tests.conftest import golden_cases


def golden(kind):
    return [case for case in golden_cases("protein_metrics") if case["kind"] == kind]


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


def test_metrics_of_residues_and_proteins_from_one_padded_batch():
    rng = np.random.default_rng(0)
    labels = np.full((3, 50), -100)
    for row, length in enumerate((48, 30, 24)):
        labels[row, 1 : 1 + length] = [0] * 3 + [2] * 21 + [1] * (length - 24)
    logits = np.where(labels[..., None] == np.arange(3), 3.0, 0.0) + rng.normal(0, 0.1, (3, 50, 3))
    names = ["topology", "q3", "accuracy", "q3_per_protein"]
    assert residue_metrics(logits, labels, names) == dict.fromkeys(names, 1.0)
    assert list(residue_metrics(logits, labels, names)) == names
    logits[0, 4:25] = [9.0, 0, 0]  # the first protein loses its segment
    found = residue_metrics(logits, labels, names)
    assert found["topology"] == pytest.approx(2 / 3)
    assert found["accuracy"] == found["q3"] == pytest.approx(1 - 21 / 102)
    assert found["q3_per_protein"] == pytest.approx((27 / 48 + 2) / 3)


def test_proteins_alike_and_residues_alike():
    rng = np.random.default_rng(6)
    logits, labels = rng.normal(size=(5, 30, 3)), rng.integers(0, 3, (5, 30))
    for row, length in enumerate([30, 12, 1, 20, 0]):
        labels[row, length:] = -100
    names = ["accuracy", "accuracy_per_protein", "f1_macro_per_protein", "segment_recall", "topology"]
    found = residue_metrics(logits, labels, names)
    right = [logits[row, :length].argmax(1) == labels[row, :length] for row, length in enumerate([30, 12, 1, 20])]
    assert found["accuracy"] == pytest.approx(np.concatenate(right).mean())
    assert found["accuracy_per_protein"] == pytest.approx(np.mean([part.mean() for part in right]))
    f1 = []
    for row, length in enumerate([30, 12, 1, 20]):
        called, true = logits[row, :length].argmax(1), labels[row, :length]
        classes = sorted({*called.tolist(), *true.tolist()})
        each = [2 * ((called == c) & (true == c)).sum() / ((called == c).sum() + (true == c).sum()) for c in classes]
        f1.append(np.mean(each))
    assert found["f1_macro_per_protein"] == pytest.approx(np.mean(f1))
