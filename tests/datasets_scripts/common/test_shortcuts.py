"""Features of the shortcuts against counting, and the fit against scikit-learn's own."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression, Ridge

from seqformers.datasets_scripts.common.shortcuts import (
    STRENGTHS,
    fit_shortcut,
    gc_content,
    kmer_shares,
    letter_shares,
    placed_letters,
)

LETTERS = st.text(alphabet="ACGTNacgtu", max_size=30)


@settings(max_examples=60, deadline=None)
@given(st.lists(LETTERS, max_size=6), st.integers(1, 4))
def test_kmer_shares_against_counting(texts, k):
    found = kmer_shares(texts, k).toarray()
    for row, text in zip(found, texts, strict=True):
        clean = text.upper().replace("U", "T")
        counts = Counter(clean[i : i + k] for i in range(len(clean) - k + 1) if set(clean[i : i + k]) <= set("ACGT"))
        expected = np.zeros(4**k)
        for kmer, n in counts.items():
            expected[sum("ACGT".index(x) * 4 ** (k - 1 - i) for i, x in enumerate(kmer))] = n / counts.total()
        assert row == pytest.approx(expected)


@given(st.lists(LETTERS, min_size=1, max_size=6))
def test_gc_content_against_counting(texts):
    for value, text in zip(gc_content(texts)[:, 0], texts, strict=True):
        known = [letter for letter in text.upper() if letter in "ACGTU"]
        assert value == pytest.approx(sum(letter in "GC" for letter in known) / len(known) if known else 0.5)


def test_letter_shares_of_a_protein():
    row = letter_shares(["AAC", "W"]).toarray()
    assert row[0, :2] == pytest.approx([2 / 3, 1 / 3])
    assert row[:, 20] == pytest.approx([np.log(3), 0])


def test_placed_letters_are_those_of_each_place():
    texts = ["acgU", "", "N-", "A" * 1200]
    found = placed_letters(texts).toarray()
    assert found.shape == (4, 26_000)
    for row, text in zip(found, texts, strict=True):
        expected = {26 * at + ord(x) - 65 for at, x in enumerate(text.upper()[:1000]) if x.isalpha()}
        assert set(np.flatnonzero(row).tolist()) == expected


def test_the_ridge_is_chosen_on_validation():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(90, 80))
    features, labels = csr_matrix(values), (values[:, :20].sum(1) > 0).astype(int)
    train, middle, wanted = features[:40], features[40:65], features[65:]

    def score(outputs):
        return -float(np.log1p(np.exp(-(outputs[:, 1] - outputs[:, 0]) * (2 * labels[40:65] - 1))).mean())

    outputs, strength = fit_shortcut(train, labels[:40], wanted, classes=2, validation=middle, score=score)
    scale = train.toarray().std(0)
    fits = {c: LogisticRegression(C=c, max_iter=300).fit(train.toarray() / scale, labels[:40]) for c in STRENGTHS}
    logits = {c: fit.decision_function(middle.toarray() / scale) for c, fit in fits.items()}
    best = max(logits, key=lambda c: score(np.stack([np.zeros(25), logits[c]], axis=1)))
    assert strength == best != STRENGTHS[0]
    expected = fits[best].decision_function(wanted.toarray() / scale)
    assert outputs[:, 1] - outputs[:, 0] == pytest.approx(expected, abs=1e-3)


def test_few_columns_and_numbers_need_no_choice():
    rng = np.random.default_rng(1)
    features = csr_matrix(rng.normal(size=(30, 2)))
    values = rng.normal(size=30)
    outputs, strength = fit_shortcut(features[:20], values[:20], features[20:], classes=None)
    scale = features[:20].toarray().std(0)
    fit = Ridge(alpha=1.0).fit(features[:20].toarray() / scale, values[:20])
    assert strength == 1.0 and outputs == pytest.approx(fit.predict(features[20:].toarray() / scale))
