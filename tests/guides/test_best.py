"""The model `best`: its features by hand, its members, and which model answers."""

from __future__ import annotations

import numpy as np
import pytest

from seqformers.guides import best
from seqformers.guides.best import FEATURE_NAMES, best_folder
from seqformers.guides.features import MELTING_PARTS, letter_features, melting_features, melting_temperature
from seqformers.guides.folding import STRUCTURE_NAMES
from seqformers.guides.score import score_guides
from seqformers.hub.load import load_model
from tests.guides.test_score import OTHER, TARGET


def codes_of(*targets):
    return np.array([["ACGTN".index(letter) for letter in target] for target in targets], np.uint8)


def test_letters_are_counted_as_one_counts_them():
    row = dict(zip(FEATURE_NAMES, letter_features(codes_of(TARGET))[0], strict=False))
    assert row["T_0"] == 1 and row["A_0"] == 0 and row["TG_0"] == 1 and row["GA_1"] == 1
    assert row["A"] == TARGET.count("A") and row["gc"] == sum(letter in "GC" for letter in TARGET[8:31])
    assert row["AA"] == sum(TARGET[place : place + 2] == "AA" for place in range(33))
    unknown = letter_features(codes_of("N" * 34))[0]
    assert unknown[:-1].sum() == 0 and unknown[-1] == 9  # nine letters below nine
    assert letter_features(codes_of(TARGET)).shape[1] + len(MELTING_PARTS) + len(STRUCTURE_NAMES) == len(FEATURE_NAMES)


def test_melting_temperatures_are_those_of_primer3():
    primer3 = pytest.importorskip("primer3")
    for target in (TARGET, OTHER):
        parts = [target[start:stop] for start, stop in MELTING_PARTS]
        wanted = [primer3.calc_tm(part, dv_conc=0, dntp_conc=0) for part in parts]
        assert melting_features(codes_of(target))[0] == pytest.approx(wanted, abs=0.01)
    assert np.isfinite(melting_temperature(np.full((1, 20), 4))).all()


def test_every_network_loads_by_itself():
    networks = [load_model(best_folder() / f"network-{number}", family="deepcpf1") for number in range(3)]
    assert {network.model.num_parameters() for network in networks} == {403_681}
    assert len({network.fingerprint for network in networks}) == 3


@pytest.fixture(scope="module")
def scorer():
    return best.BestScorer(device="cpu")


def test_the_score_is_the_mean_of_both_halves(scorer):
    codes = codes_of(TARGET, OTHER, TARGET)
    networks = np.mean([network.score(codes)[0] for network in scorer.networks], axis=0)
    trees = scorer.trees.predict(best.tree_features(codes))
    found, again = scorer.score(codes)
    assert found == pytest.approx((networks + trees) / 2, abs=1e-3) and found is again
    assert found[0] == found[2]
    assert scorer.score(codes[:0])[0].shape == (0,)


def test_a_score_does_not_depend_on_what_else_is_scored(scorer):
    codes = np.random.default_rng(0).integers(0, 5, (300, 34)).astype(np.uint8)
    whole = scorer.members(codes)
    for some in (slice(0, 1), slice(250, 253), slice(7, 299)):
        assert (scorer.members(codes[some]) == whole[:, some]).all()


def test_it_answers_unless_another_is_named_and_the_command_says_which(tmp_path):
    (tmp_path / "g.fa").write_text(f">g\n{TARGET}\n")
    for name in (None, "best", "fast"):
        report = score_guides(tmp_path / "g.fa", tmp_path / "o.tsv", model=name, overwrite=True)
        assert report.model == (name or "best") and report.rows == 1
