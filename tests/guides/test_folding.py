"""Folding of the crRNA: against every structure of short RNAs, one by one, and against ViennaRNA."""

from __future__ import annotations

import math

import numpy as np
import pytest

from seqformers.guides import folding
from seqformers.guides.folding import DIRECT_REPEAT, STRUCTURE_NAMES, fold, structure_features
from tests.guides.test_score import OTHER, TARGET

PAIRS = {pair: number for number, pair in enumerate(folding._PAIRS)}
KT = folding._KT


def structures(rna, start, stop):
    """Every set of nested pairs of letters that can pair, in `rna[start:stop]`."""
    if start >= stop:
        yield ()
        return
    yield from structures(rna, start + 1, stop)
    for last in range(start + 4, stop):
        if rna[start] + rna[last] in PAIRS:
            for inner in structures(rna, start + 1, last):
                for behind in structures(rna, last + 1, stop):
                    yield ((start, last), *inner, *behind)


def mismatch(rows, pair, first, second):
    """An energy by the letters next to a pair; an unknown one counts as the worst of the four."""
    table = np.reshape(rows[PAIRS[pair]], (4, 4))
    known = ["ACGU".index(letter) if letter in "ACGU" else slice(None) for letter in (first, second)]
    return np.max(table[known[0], known[1]])


def weak(pair, price):
    return 0 if set(pair) == set("CG") else price


def energy(rna, pairs):
    """Energy of a structure in 0.01 kcal/mol, or None where a loop has three helices."""
    total, padded = 0, f"N{rna}N"
    for first, last in pairs:
        pair, size = rna[first] + rna[last], last - first - 1
        inside = [inner for inner in pairs if first < inner[0] and inner[1] < last]
        inside = [one for one in inside if not any(other[0] < one[0] and one[1] < other[1] for other in inside)]
        if not any(other[0] < first and last < other[1] for other in pairs):
            total += mismatch(folding._AT_END, pair, padded[first], padded[last + 2]) + weak(pair, 50)
        if len(inside) > 1:
            return None
        if not inside:
            known = [540, 560, 570, 540, 600, 550, 640]
            total += known[size - 3] if size <= 9 else 640 + 1.75 * KT * math.log(size / 9)
            total += (
                weak(pair, 50) if size == 3 else mismatch(folding._IN_HAIRPIN, pair, rna[first + 1], rna[last - 1])
            )
            continue
        left, right = inside[0][0] - first - 1, last - inside[0][1] - 1
        within = rna[inside[0][1]] + rna[inside[0][0]]  # read from its 3' side
        if left + right > 8:
            return None
        if left + right <= 1:
            total += folding._STACKS[PAIRS[pair]][PAIRS[within]] + 380 * (left + right)
            continue
        total += weak(pair, 70) + weak(within, 70)
        if left and right:
            total += folding._INTERNAL[left + right - 2] + min(300, 60 * abs(left - right))
        else:
            total += folding._BULGE[left + right - 2]
    return total


@pytest.mark.parametrize(
    "rna", ["GGGAAAACCC", "GCGAUAAUCGCAAGC", "GGACGUCUGAGAGCUC", "GACNGAAACGUUCA", "GUCAAGCUUAAGGAC", "AAAAAAAA"]
)
def test_it_is_the_sum_over_every_structure(rna):
    whole, paired = 0.0, {}
    for pairs in structures(rna, 0, len(rna)):
        found = energy(rna, pairs)
        if found is not None:
            whole += math.exp(-found / KT)
            for pair in pairs:
                paired[pair] = paired.get(pair, 0.0) + math.exp(-found / KT)
    energies, chances = fold(np.array([["ACGUN".index(letter) for letter in rna]] * 2))
    assert energies == pytest.approx(np.full(2, -KT / 100 * math.log(whole)), abs=1e-3)
    order = [(first, first + apart) for apart in range(4, len(rna)) for first in range(len(rna) - apart)]
    assert chances[:, 1] == pytest.approx(np.array([paired.get(pair, 0) / whole for pair in order]), abs=1e-4)


def test_features_count_what_they_say():
    codes = np.array([["ACGT".index(letter) for letter in target] for target in (TARGET, OTHER)], np.uint8)
    rna = np.array([["ACGU".index(letter) for letter in DIRECT_REPEAT] + row[8:31].tolist() for row in codes])
    energies, chances = fold(rna)
    order = [(first, first + apart) for apart in range(4, 42) for first in range(42 - apart)]
    for row, found in enumerate(structure_features(codes)):
        named = dict(zip(STRUCTURE_NAMES, found, strict=True))
        assert named["ensemble_energy"] == pytest.approx(energies[row], abs=1e-5)
        for letter in (0, 5, 18, 19, 41):
            wanted = sum(chances[at, row] for at, pair in enumerate(order) if letter in pair)
            assert named[f"paired_{letter}"] == pytest.approx(wanted, abs=1e-5)
        for name, holds in (
            ("pairs_repeat", lambda pair: pair[1] < 19), ("pairs_guide", lambda pair: pair[0] >= 19),
            ("pairs_repeat_guide", lambda pair: pair[0] < 19 <= pair[1]),
        ):  # fmt: skip
            wanted = sum(chances[at, row] for at, pair in enumerate(order) if holds(pair))
            assert named[name] == pytest.approx(wanted, abs=1e-4)
    assert structure_features(codes[:0]).shape == (0, 46)
    unknown = structure_features(np.full((1, 34), 4, np.uint8))[0]
    assert np.isfinite(unknown).all() and unknown[STRUCTURE_NAMES.index("pairs_guide")] == 0


def test_it_is_close_to_viennarna():
    RNA = pytest.importorskip("RNA")
    codes = np.random.default_rng(0).integers(0, 4, (60, 34)).astype(np.uint8)
    found, wanted = structure_features(codes), []
    for row in codes:
        crrna = RNA.fold_compound(DIRECT_REPEAT + "".join("ACGU"[code] for code in row[8:31]))
        ensemble = crrna.pf()[1]
        pairs = np.array(crrna.bpp())[1:, 1:]
        wanted.append([ensemble, *(pairs.sum(0) + pairs.sum(1))])
    wanted = np.array(wanted)
    assert np.corrcoef(found[:, 0], wanted[:, 0])[0, 1] > 0.95
    assert np.corrcoef(found[:, 1:43].ravel(), wanted[:, 1:].ravel())[0, 1] > 0.9
