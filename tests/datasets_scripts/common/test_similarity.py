"""Groups of genomes that share sequence, against a slow comparison of whole sets of words."""

from __future__ import annotations

import numpy as np
import pytest

from seqformers.datasets_scripts.common.similarity import group_by_similarity

RNG = np.random.default_rng(7)
COMPLEMENT = str.maketrans("ACGT", "TGCA")


def dna(length):
    return "".join(RNG.choice(list("ACGT"), length))


def mutated(text, share):
    letters = np.array(list(text))
    where = RNG.random(len(letters)) < share
    letters[where] = RNG.choice(list("ACGT"), int(where.sum()))
    return "".join(letters)


def group(*genomes):
    records = [[genome] if isinstance(genome, str) else genome for genome in genomes]
    return group_by_similarity(records, sum(len(text) for genome in records for text in genome)).tolist()


def test_strangers_are_strangers():
    assert group(*(dna(5000) for _ in range(30))) == list(range(30))


@pytest.mark.parametrize("length", [400, 3000, 60_000])
def test_relatives_are_found(length):
    root, other = dna(length), dna(length)
    assert group(other, root, mutated(root, 0.01), root.translate(COMPLEMENT)[::-1], root) == [0, 1, 1, 1, 1]


def test_a_fragment_joins_its_genome():
    root = dna(40_000)
    assert group(root, dna(40_000), root[10_000:14_000]) == [0, 1, 0]


def test_records_of_a_genome_count_together():
    root = dna(20_000)
    assert group([root[:9000], root[9000:]], dna(9000), root) == [0, 1, 0]


def test_chains_are_one_group():
    ends = [dna(3000) for _ in range(4)]
    assert group(ends[0] + ends[1], ends[1] + ends[2], ends[2] + ends[3], dna(6000)) == [0, 0, 0, 3]


def test_many_copies():
    roots = [dna(2000), dna(2000)]
    found = group(*(mutated(roots[i % 2], 0.005) for i in range(60)))
    assert found == [i % 2 for i in range(60)]


@pytest.mark.parametrize("genomes", [[], [""], ["", "ACGT"], ["N" * 100, "N" * 100]])
def test_nothing_to_compare(genomes):
    assert group(*genomes) == list(range(len(genomes)))


def test_what_is_joined_shares_words():
    """Single linkage over the share of the smaller genome's 21-mers, all words compared."""
    root = dna(6000)
    shares = (0.0, 0.002, 0.01, 0.03, 0.3)
    genomes = [mutated(root, share) for share in shares] + [dna(6000)]
    words = [{text[i : i + 21] for i in range(len(text) - 20)} for text in genomes]
    alike = [len(words[0] & other) / len(words[0]) > 0.05 for other in words]
    assert alike == [True, True, True, True, False, False]
    assert group(*genomes) == [0, 0, 0, 0, 4, 5]
