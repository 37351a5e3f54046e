"""Families: headers, filters, splits, and pairs drawn half and half."""

from __future__ import annotations

import gzip
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqformers.datasets_scripts.pfam.family_pairs import FamilyPairs, stream_pairs
from seqformers.datasets_scripts.pfam.pfam import PfamBuilder
from tests.datasets_scripts.upstream import build

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"


def write_pfam(path, families=4, members=12, seed=0, lengths=(25, 60)):
    """A FASTA file with Pfam's headers."""
    rng = np.random.default_rng(seed)
    lines = []
    for family in range(families):
        for member in range(members):
            sequence = "".join(rng.choice(list(RESIDUES), rng.integers(*lengths)))
            lines.append(
                f">P{family}_{member}/1-{len(sequence)} P{family}.1 PF{family:05d}.3;fam-{family};\n{sequence}"
            )
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt") as file:
        file.write("\n".join(lines) + "\n")


@pytest.mark.parametrize("name", ["Pfam-A.fasta", "Pfam-A.fasta.gz"])
def test_pfam_headers(tmp_path, name):
    (tmp_path / "in").mkdir()
    write_pfam(tmp_path / "in" / name)
    data = build(PfamBuilder, tmp_path, "sequences", tmp_path / "in", validation_fraction=0.2, test_fraction=0.2)
    assert sum(len(split) for split in data.values()) == 48
    assert set(data["train"]["family"]) == {"fam-0", "fam-1", "fam-2", "fam-3"}
    again = build(
        PfamBuilder, tmp_path / "b", "sequences", tmp_path / "in", validation_fraction=0.2, test_fraction=0.2
    )
    assert again["test"]["id"][:] == data["test"]["id"][:]


def test_other_headers(tmp_path):
    (tmp_path / "x.fasta").write_text(f">a kinase more\n{'A' * 20}\n>b kinase\n{'C' * 20}\n>c zinc\n{'D' * 20}\n")
    options = {"validation_fraction": 0, "test_fraction": 0}
    data = build(PfamBuilder, tmp_path, "sequences", tmp_path / "x.fasta", family_from="description", **options)
    assert data["train"]["family"][:] == ["kinase", "kinase", "zinc"]
    data = build(PfamBuilder, tmp_path, "sequences", tmp_path / "x.fasta", family_from=r" (\w)", **options)
    assert data["train"]["family"][:] == ["k", "k", "z"]
    for rule, message in (("pfam", "record 'a': no family in the header 'a kinase more'"), (r"\w", "has no group")):
        with pytest.raises(ValueError, match=message):
            build(PfamBuilder, tmp_path / rule[:1], "sequences", tmp_path / "x.fasta", family_from=rule, **options)


def test_filters_and_equal_sequences(tmp_path):
    (tmp_path / "in").mkdir()
    lines = [f">s{i} f1\n{'ACDEFGHIKL' * 3}" for i in range(40)]  # equal: must share a split
    lines += [">short f1\nACD", f">long f1\n{'A' * 99}", f">rare f2\n{'W' * 30}"]
    (tmp_path / "in" / "x.fa").write_text("\n".join(lines) + "\n")
    options = {"family_from": "description", "max_length": 50, "min_family_size": 2, "validation_fraction": 0}
    data = build(PfamBuilder, tmp_path, "sequences", tmp_path / "in", test_fraction=0, **options)
    assert len(data["train"]) == 40
    with pytest.raises(ValueError, match=r"the (train|test) split is empty"):
        build(PfamBuilder, tmp_path / "b", "sequences", tmp_path / "in", test_fraction=0.5, **options)


def test_whole_families_held_out(tmp_path):
    write_pfam(tmp_path / "x.fasta", families=30, members=4)
    options = {"split_by": "family", "validation_fraction": 0.2, "test_fraction": 0.2}
    data = build(PfamBuilder, tmp_path, "sequences", tmp_path / "x.fasta", **options)
    families = [set(split["family"]) for split in data.values()]
    assert not (families[0] & families[1] or families[0] & families[2] or families[1] & families[2])


def test_pairs_configuration(tmp_path):
    write_pfam(tmp_path / "x.fasta", families=5, members=20)
    options = {"validation_fraction": 0, "test_fraction": 0, "epochs": 2, "seed": 3}
    data = build(PfamBuilder, tmp_path, "pairs", tmp_path / "x.fasta", **options)["train"]
    assert len(data) == 200 and sum(data["same_family"]) == 100
    for row in data:
        assert row["same_family"] == (row["family_a"] == row["family_b"])
        assert row["id_a"] != row["id_b"]
    assert Counter(data["id_a"][:100]) == Counter(data["id_a"][100:])  # each protein starts one pair an epoch
    assert data["id_b"][:100] != data["id_b"][100:]


def test_pairs_files(tmp_path):
    write_pfam(tmp_path / "x.fasta", families=2, members=4, lengths=(25, 26))
    (tmp_path / "plus.tsv").write_text("sequence_A\tsequence_B\tis_samefamily\nACDEF\tACDEW\t1\nAC\tWY\t0\n")
    options = {"validation_fraction": 0, "test_fraction": 0}
    data = build(
        PfamBuilder, tmp_path, "pairs", tmp_path / "x.fasta", pairs_file=str(tmp_path / "plus.tsv"), **options
    )
    assert data["test"]["same_family"][:] == [1, 0] and data["test"]["sequence_b"][:] == ["ACDEW", "WY"]
    (tmp_path / "ids.csv").write_text("id_A,id_B,is_samefamily\nP0_0/1-25,P1_9,0\n")
    with pytest.raises(ValueError, match=r"ids.csv, pair 1: no sequence with the id 'P1_9' in x.fasta"):
        build(
            PfamBuilder, tmp_path / "b", "pairs", tmp_path / "x.fasta", pairs_file=str(tmp_path / "ids.csv"), **options
        )
    (tmp_path / "bad.csv").write_text("sequence_A,sequence_B,is_samefamily\nAC,AD,maybe\n")
    with pytest.raises(ValueError, match="is_samefamily is 'maybe'; expected 0 or 1"):
        build(
            PfamBuilder, tmp_path / "c", "pairs", tmp_path / "x.fasta", pairs_file=str(tmp_path / "bad.csv"), **options
        )


def test_same_and_different_pairs_come_mixed():
    families = np.repeat(np.arange(400), [1, 2, 3, 14] * 100)
    _, _, same = FamilyPairs(families, seed=2).draw()
    shares = same[: len(same) // 10 * 10].reshape(10, -1).mean(1)
    assert (abs(shares - 0.5) < 0.15).all()


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=3, max_size=60), st.integers(0, 3))
def test_drawn_pairs_keep_the_promises(families, seed):
    sizes = Counter(families)
    if len(sizes) < 2 or max(sizes.values()) < 2:
        with pytest.raises(ValueError):
            FamilyPairs(families)
        return
    families = np.array(families)
    pairs = FamilyPairs(families, seed=seed)
    first, second, same = pairs.draw(seed)
    assert ((families[first] == families[second]) == same).all()
    assert (first != second).all()
    assert abs(int(same.sum()) - int((~same).sum())) <= 1 or sum(sizes[f] > 1 for f in families) * 2 < len(families)
    assert int((~same).sum()) <= int(same.sum()) + 1
    assert len(set(first.tolist())) == len(first)
    repeat = FamilyPairs(families, seed=seed).draw(seed)
    assert all((a == b).all() for a, b in zip((first, second, same), repeat, strict=True))


def test_draws_are_uniform_where_they_should_be():
    families = np.repeat([0, 1, 2], [3, 30, 10])
    pairs = FamilyPairs(families, seed=0)
    partners = Counter()
    relatives = Counter()
    for epoch in range(2000):
        first, second, same = pairs.draw(epoch)
        partners.update(families[second[(~same) & (families[first] == 0)]].tolist())
        relatives.update(second[same & (first == 0)].tolist())
    assert partners[1] / sum(partners.values()) == pytest.approx(0.5, abs=0.03)  # by family, not by its size
    assert relatives[1] / sum(relatives.values()) == pytest.approx(0.5, abs=0.05)
    assert 0 not in relatives


def test_legacy_pairs_a_protein_with_itself():
    first, second, same = FamilyPairs(["a", "b", "c"], legacy=True, seed=1).draw()
    assert (first[same] == second[same]).all() and len(first) == 3


def test_family_of_one_starts_no_same_pair():
    families = ["a"] * 6 + ["b", "c"]
    pairs = FamilyPairs(families)
    assert pairs.num_singletons == 2
    for epoch in range(20):
        first, _, same = pairs.draw(epoch)
        assert not set(first[same].tolist()) & {6, 7}


def test_impossible_pairs_say_why():
    with pytest.raises(ValueError, match="at least two families, found 1"):
        FamilyPairs(["a", "a"])
    with pytest.raises(ValueError, match="every family has one member"):
        FamilyPairs(["a", "b"])


def test_streamed_pairs_differ_by_epoch(tmp_path):
    write_pfam(tmp_path / "x.fasta", families=3, members=10)
    data = build(PfamBuilder, tmp_path, "sequences", tmp_path / "x.fasta", validation_fraction=0, test_fraction=0)
    rows = list(stream_pairs(data["train"], seed=1, epochs=2))
    assert len(rows) == 60 and sum(row["same_family"] for row in rows) == 30
    assert rows[:30] != rows[30:]


def test_real_families(real_data, tmp_path):
    data = build(PfamBuilder, tmp_path, "pairs", real_data / "protein_families")
    labels = np.array(data["train"]["same_family"])
    assert abs(labels.mean() - 0.5) < 0.01 and len(labels) > 2000
