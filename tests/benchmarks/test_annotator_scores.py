"""Scores of the protein annotator by hand, the paired bootstrap, and what trainings stand behind a network."""

import numpy as np
import pytest

from benchmarks.tables.annotator_data import Labelled
from benchmarks.tables.annotator_page import _behind
from benchmarks.tables.annotator_scores import compared, signal_score, structure_score, topology_score


def test_structure_counts_residues_alike_and_proteins_alike():
    rows = [Labelled("ACDE", structure=np.array([0, 1, 2, -100])), Labelled("A", structure=np.array([2]))]
    score = structure_score([np.array([0, 1, 0, 0]), np.array([0])], rows)
    assert score(np.array([0, 1])) == {"q3": pytest.approx(2 / 4), "q3_per_protein": pytest.approx((2 / 3 + 0) / 2)}
    assert score(np.array([1, 1])) == {"q3": 0.0, "q3_per_protein": 0.0}


def test_topology_scores_what_is_known():
    truth = np.array([0, 2, 2, 1, -100])
    score = topology_score([np.array([0, 2, 1, 1, 2])], [np.array([0, 1, 0, 0, 1], bool)], [truth.clip(0)],
                           [Labelled("ACDEF", topology=truth)])  # fmt: skip
    found = score(np.array([0]))
    assert found["residue_accuracy"] == pytest.approx(3 / 4) and found["decoded_accuracy"] == 1
    assert found["membrane_mcc"] == pytest.approx((1 * 2 - 0) / (1 * 2 * 2 * 3) ** 0.5)


def test_a_paired_lead_has_a_smaller_deviation_than_either_arm():
    rng = np.random.default_rng(0)
    rows = [Labelled("A", signal=int(value)) for value in rng.integers(0, 2, 400)]
    truth = np.array([row.signal == 1 for row in rows])
    weaker = np.where(rng.random(400) < 0.3, -1, 1) * np.where(truth, 1, -1)
    better = np.where(np.arange(400) < 40, np.where(truth, 1, -1), weaker)
    table = compared({"packaged": signal_score(better, rows), "other": signal_score(weaker, rows)}, np.arange(400))
    lead = table["other"]["packaged_minus"]["accuracy"]
    assert table["packaged"]["packaged_minus"] == {}
    assert lead["value"] == pytest.approx(np.sum(weaker[:40] * np.where(truth[:40], 1, -1) < 0) / 400)
    assert (
        lead["interval"][0] <= lead["value"] <= lead["interval"][1] and lead["sd"] < table["other"]["sd"]["accuracy"]
    )


def test_trainings_behind_a_network_are_those_of_its_labels_and_of_their_teachers():
    arms = ("scratch-structure", "long-structure", "consensus", "consensus-structure", "second", "second-structure")
    labels = {
        "consensus": {"teachers": ["scratch-structure.0"]},
        "second": {"teachers": ["long-structure.0", "consensus-structure.0"]},
    }
    result = {"training": {arm: arm for arm in arms}, "labels": labels}
    assert _behind("long-structure", result) == ["long-structure"]
    assert sorted(_behind("second-structure", result)) == sorted(arms)
    assert sorted(_behind("second", result)) == sorted(arm for arm in arms if arm != "second-structure")
