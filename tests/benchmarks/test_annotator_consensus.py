"""What aligned proteins say of each other, and the crops a network is taught by."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

pytest.importorskip("pyarrow")

from benchmarks.tables.annotator_consensus import Consensus, choose_weights, leave_out
from benchmarks.tables.annotator_data import Labelled, encode, structure_csv
from benchmarks.tables.annotator_relatives import LETTERS, Alignment
from benchmarks.tables.annotator_training import LENGTH, SoftDraws


def chances(rng, length):
    return rng.dirichlet([1, 1, 1], length).astype(np.float32)


@pytest.fixture
def three():
    """Two unlabelled proteins and a labelled one, with the alignments between them."""
    rng = np.random.default_rng(0)
    own = [chances(rng, 6), chances(rng, 5), np.zeros((4, 3), np.float32)]
    consensus = Consensus(own, [None, None, np.array([0, -100, 2, 1])])
    consensus.add(Alignment(0, 1, np.array([1, 2, 4]), np.array([0, 1, 2]), 90, 0.5))
    consensus.add(Alignment(2, 0, np.array([0, 1, 2]), np.array([2, 3, 4]), 90, 0.4))
    return own, consensus


def test_a_residue_is_the_mean_of_what_is_aligned_to_it(three):
    own, consensus = three
    found = consensus.averaged(0, own=2.0, truth=5.0)
    expected = 2 * own[0]
    expected[[1, 2, 4]] += own[1][[0, 1, 2]]
    expected[2, 0] += 5 * 0.4  # helix; the next residue is not resolved
    expected[4, 2] += 5 * 0.4
    np.testing.assert_allclose(found, expected / expected.sum(1, keepdims=True), rtol=1e-5)
    back = own[1].copy()
    back[[0, 1, 2]] += own[0][[1, 2, 4]]
    np.testing.assert_allclose(consensus.averaged(1, 1.0, 5.0), back / back.sum(1, keepdims=True), rtol=1e-5)


def test_proteins_that_are_nearly_the_same_say_nothing_new(three):
    _, consensus = three
    consensus.add(Alignment(1, 0, np.arange(5), np.arange(5), 90, 0.95))
    assert np.array_equal(consensus.relatives[1][3:], np.zeros((2, 3)))


def test_weights_are_those_that_make_most_residues_right():
    truth, wrong = np.array([0, 1, 2, 0]), np.eye(3, dtype=np.float32)[[1, 2, 0, 1]]
    consensus = Consensus([wrong, np.zeros((4, 3), np.float32)], [None, truth])
    consensus.add(Alignment(1, 0, np.arange(4), np.arange(4), 90, 0.8))
    (own, weight), facts = choose_weights(consensus, [Labelled("ACDE", structure=truth)], 0)
    assert own * 1.0 < weight * 0.8
    assert (facts["teacher"], facts["consensus"], facts["proteins"]) == (0.0, 1.0, 1)


@pytest.fixture
def written(tmp_path):
    rng = np.random.default_rng(1)
    sequences = ["".join(rng.choice(list(LETTERS), n)) for n in (300, 70, 260)]
    labels = rng.integers(0, 255, (630, 3)).astype(np.uint8)
    np.savez(tmp_path / "consensus.npz", sequences=np.array(sequences), labels=labels)
    (tmp_path / "consensus.json").write_text("{}")
    return tmp_path, sequences, np.split(labels, [300, 370])


def test_crops_carry_the_labels_of_their_residues(written):
    folder, sequences, labels = written
    ids, found = SoftDraws(folder / "consensus.npz").batch(np.random.default_rng(0))
    assert found.shape == (*ids.shape, 3)
    seen = set()
    for row, values in zip(ids, found, strict=True):
        for number, sequence in enumerate(sequences):
            whole = torch.from_numpy(encode(sequence))
            for start in range(max(len(whole) - LENGTH, 0) + 1):
                piece = whole[start : start + LENGTH]
                if torch.equal(piece, row[: len(piece)]) and not row[len(piece) :].any():
                    padded = np.zeros((len(whole), 3))
                    padded[1:-1] = labels[number] / 255
                    np.testing.assert_allclose(values[: len(piece)], padded[start : start + LENGTH], atol=1e-6)
                    assert not values[len(piece) :].any()
                    seen.add((number, start))
    assert len(seen) > 5 and {number for number, _ in seen} == {0, 1, 2}


def test_relatives_of_a_further_test_set_are_left_out(written):
    pytest.importorskip("Bio")
    folder, sequences, labels = written
    near = "MKV" + sequences[2][20:140].replace("A", "S")
    leave_out(folder, [Labelled(near), Labelled("ACDEFGHIKLMNPQRSTVWY")], "consensus")
    saved = np.load(folder / "consensus.npz")
    assert saved["sequences"].tolist() == sequences[:2]
    assert np.array_equal(saved["labels"], np.concatenate(labels[:2]))
    facts = json.loads((folder / "consensus.json").read_text())
    assert facts == {"left_out_later": 1, "proteins_left": 2, "residues_left": 370}


def test_files_of_the_published_tests_are_read(tmp_path):
    (tmp_path / "t.csv").write_text(
        "input, dssp3, dssp8, disorder, cb513_mask\nM K V,C H E,S H E,0.0 1.0 1.0,1.0 1.0 1.0\n"
    )
    (row,) = structure_csv(tmp_path / "t.csv")
    assert row.sequence == "MKV" and row.structure.tolist() == [-100, 0, 1]
