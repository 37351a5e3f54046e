"""Effect map and filters against changing one letter at a time and looking at every window."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from seqformers.cli import app
from seqformers.guides.effects import explain_guides, filter_counts, letter_effects
from seqformers.guides.scorer import GuideScorer
from tests.guides.test_score import OTHER, TARGET, model

CODES = np.array([["ACGT".index(letter) for letter in text] for text in (TARGET, OTHER)], np.uint8)


def test_effects_are_those_of_one_letter_at_a_time():
    scorer = GuideScorer(model(), device="cpu")
    found = letter_effects(scorer, CODES)
    assert found.shape == (34, 4) and np.allclose(found.sum(1), 0, atol=1e-6)
    for place in (0, 9, 33):
        scores = []
        for base in range(4):
            changed = torch.from_numpy(CODES.copy()).long()
            changed[:, place] = base
            scores.append(scorer.model(changed).logits.mean().item())
        assert found[place] == pytest.approx(np.array(scores) - np.mean(scores), abs=1e-4)


def test_filters_count_the_letters_of_their_strong_windows():
    scorer = GuideScorer(model(), device="cpu")
    weight, bias = (
        value.detach().numpy() for value in (scorer.model.convolution.weight, scorer.model.convolution.bias)
    )
    for index, counts in filter_counts(scorer, CODES):
        windows = [row[start : start + 5] for row in CODES for start in range(30)]
        active = [max(0.0, bias[index] + sum(weight[index, c, k] for k, c in enumerate(w))) for w in windows]
        wanted = np.zeros((5, 4), int)
        for window, value in zip(windows, active, strict=True):
            if value > max(active) / 2 + 1e-6:
                wanted[np.arange(5), window] += 1
        assert (counts == wanted).all()
    assert filter_counts(GuideScorer(model(num_filters=0), device="cpu"), CODES) == []


def test_the_packaged_model_shuns_a_fourth_t_in_the_pam(tmp_path):
    done = CliRunner().invoke(
        app, ["explain-guides", "-o", str(tmp_path / "e.tsv"), "--picture", str(tmp_path / "e.png")]
    )
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path / "e.tsv", sep="\t")
    pam = table[(table.part == "pam") & (table.place == 4)].set_index("letter").effect
    assert len(table) == 136 and pam.idxmin() == "T" and (tmp_path / "e.png").stat().st_size > 10_000


def test_a_file_without_guides(tmp_path):
    (tmp_path / "a.fa").write_text(">a\nGCGCGCGCGC\n")
    with pytest.raises(ValueError, match="holds no TTTV"):
        explain_guides(tmp_path / "e.tsv", tmp_path / "a.fa", model=model())
    assert not (tmp_path / "e.tsv").exists()
