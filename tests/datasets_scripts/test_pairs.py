"""Pairs of reads: from one genome, apart from each other, or from genomes of two groups."""

from __future__ import annotations

import numpy as np
import pytest

from seqformers.datasets import build_dataset
from seqformers.datasets_scripts.genomes.arrays import GenomeArrays
from seqformers.datasets_scripts.genomes.pairs import PairSampler
from seqformers.datasets_scripts.genomes.reads import ReadOptions, ReadSampler


@pytest.fixture(scope="module")
def genomes(tmp_path_factory):
    """18 genomes of two records each, GC contents from 0.3 to 0.7 in threes; one is too short for two reads apart."""
    folder, rng = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0)
    (folder / "in").mkdir()
    for number, gc in enumerate(np.linspace(0.3, 0.7, 6).repeat(3)):
        weights = [(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2]
        lengths = (900, 400) if number else (60, 20)
        records = (f">r{i}\n{''.join(rng.choice(list('ACGT'), n, p=weights))}\n" for i, n in enumerate(lengths))
        (folder / "in" / f"g{number}.fa").write_text("".join(records))
    options = {"groups": "none", "split_fractions": [1.0, 0.0, 0.0], "genome_from": "file"}
    return GenomeArrays.open(build_dataset("genomes", output=folder / "out", data_dir=folder / "in", **options))


def sampler(genomes, like_gc=False, only_same=False, **options):
    options = {"length": 50, "reverse_complement": False} | options
    reads = ReadSampler(genomes, ReadOptions(**options), seed=3)
    return PairSampler(reads, like_gc=like_gc, only_same=only_same)


def test_pairs_are_what_they_say(genomes):
    pairs = sampler(genomes).draw(range(400))
    ids = np.asarray(genomes.genome_ids).astype(str)
    first, second = ids[pairs.first.record], ids[pairs.second.record]
    assert ((first == second) == pairs.same).all()
    assert 0.4 < pairs.same.mean() < 0.6
    own = pairs.same & (pairs.first.record == pairs.second.record)
    assert own.any() and (pairs.same & ~own).any()  # of one record, and of two records of a genome
    assert (np.abs(pairs.first.start - pairs.second.start)[own] >= 50).all()
    texts = pairs.second.strings()
    for row in (0, 7, 300):
        start = genomes.start[pairs.second.record[row]] + pairs.second.start[row]
        letters = genomes.letters.take(np.array([start]), np.array([pairs.second.lengths[row]]))
        assert texts[row] == letters.tobytes().decode()


def test_a_genome_too_short_for_two_reads_is_never_a_pair_of_its_own(genomes):
    pairs = sampler(genomes, weight="groups").draw(range(600))
    short = np.asarray(genomes.genome_ids).astype(str)[pairs.first.record] == "g0"
    assert short.any() and not pairs.same[short].any()


def test_all_pairs_may_be_of_one_genome_and_only_a_short_one_shows_a_base_twice(genomes):
    pairs = sampler(genomes, only_same=True, weight="groups").draw(range(300))
    ids = np.asarray(genomes.genome_ids).astype(str)
    first, second = ids[pairs.first.record], ids[pairs.second.record]
    assert (first == second).all() and pairs.same.all()
    assert (pairs.group == genomes.group[pairs.first.record]).all()
    near = (pairs.first.record == pairs.second.record) & (np.abs(pairs.first.start - pairs.second.start) < 50)
    assert near.any() and set(first[near]) == {"g0"}


def test_a_pair_is_a_function_of_its_number(genomes):
    pairs = sampler(genomes, like_gc=True)
    together, alone = pairs.draw(range(40), epoch=2), pairs.draw([17], epoch=2)
    assert together.same[17] == alone.same[0]
    assert together.first.strings()[17] == alone.first.strings()[0]
    assert together.second.strings()[17] == alone.second.strings()[0]
    assert pairs.draw(range(40), epoch=3).second.strings() != together.second.strings()


def test_like_gc_takes_away_what_gc_says(genomes):
    def gap(like_gc):
        pairs = sampler(genomes, like_gc=like_gc, length=200).draw(range(600))
        off = np.abs(pairs.first.gc() - pairs.second.gc())
        return off[pairs.same].mean(), off[~pairs.same].mean()

    same, other = gap(False)
    assert other > 2 * same
    same, other = gap(True)
    assert other == pytest.approx(same, rel=0.25)


def test_lengths_follow_the_law_of_reads(genomes):
    pairs = sampler(genomes, length={"lower": 20, "upper": 60, "bias": 0.4}).draw(range(300))
    assert (pairs.first.lengths[pairs.same] == pairs.second.lengths[pairs.same]).mean() > 0.95
    assert pairs.second.lengths.max() == 60 and (pairs.second.lengths >= 20).all()


def test_one_group_gives_no_pairs(genomes):
    with pytest.raises(ValueError, match="at least two groups"):
        sampler(genomes.select(genomes.group == genomes.group[0]), length=20)
