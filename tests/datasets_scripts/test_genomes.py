"""Genomes as arrays, and reads drawn from them: where they come from, how often, and that a number names a read."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys

import datasets
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from seqformers import cli
from seqformers.datasets import build_dataset, load_dataset
from seqformers.datasets_scripts.genomes.arrays import GenomeArrays
from seqformers.datasets_scripts.genomes.reads import ReadOptions, ReadSampler

COMPLEMENT = str.maketrans("ACGTN", "TGCAN")


def dna(rng, length, gc):
    return "".join(rng.choice(list("ACGT"), length, p=[(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2]))


@pytest.fixture(scope="module")
def genomes():
    """Three classes; groups of one, two or three genomes; some letters unknown; the records of the virus are short."""
    rng = np.random.default_rng(0)
    rows = []
    for name, gc, length in (("host", 0.55, 9000), ("phage", 0.45, 4000), ("virus", 0.48, 700)):
        for i in range(24):
            text = dna(rng, length + 50 * i, gc + rng.uniform(-0.08, 0.08))
            text = text[:300] + "N" * (i % 3) + "R" * (i % 2) + text[300:]
            rows.append(
                {"sequence": text, "class": name, "group": f"{name}{i // (1 + i % 3)}", "accession": f"{name}_{i}"}
            )
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def built(genomes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("genomes")
    genomes.to_parquet(folder / "table.parquet")
    return build_dataset("genomes", output=folder / "built", data_dir=folder / "table.parquet")


@pytest.fixture(scope="module")
def train(built):
    return GenomeArrays.open(built, "train")


def test_reads_are_spans_of_their_records(genomes, train):
    sampler = ReadSampler(train, ReadOptions(length=150, max_unknown=0.05))
    reads = sampler.draw(range(400))
    text = {row.accession: row.sequence for row in genomes.itertuples()}
    kind = {row.accession: row[2] for row in genomes.itertuples()}
    for i, read in enumerate(reads.strings()):
        genome = train.genome_ids[int(reads.record[i])].as_py()
        stored = text[genome][reads.start[i] : reads.start[i] + 150].replace("R", "N")
        assert read == (stored.translate(COMPLEMENT)[::-1] if reads.reverse[i] else stored)
        assert reads.unknown[i] == read.count("N") <= 7
        assert sampler.names[reads.labels[i]] == kind[genome]
    assert reads.unknown.any() and 0.4 < reads.reverse.mean() < 0.6
    np.testing.assert_allclose(reads.gc(), [sum(map(read.count, "GC")) / 150 for read in reads.strings()])
    clean = ReadSampler(train, ReadOptions(length=150, reverse_complement=False)).draw(range(400))
    assert not clean.unknown.any() and not clean.reverse.any()


def test_a_number_names_a_read_whatever_is_drawn_beside_it(train):
    options = ReadOptions(length={"lower": 40, "upper": 300, "bias": 0.5}, gc_match=True)
    whole = ReadSampler(train, options, seed=1).draw(range(200), epoch=3)
    again = ReadSampler(train, options, seed=1)
    order = np.random.default_rng(0).permutation(200)
    parts = [text for rows in np.split(order, 8) for text in again.draw(rows, epoch=3).strings()]
    assert parts == [whole.strings()[i] for i in order]
    assert again.labels(order, epoch=3).tolist() == whole.labels[order].tolist()
    assert (again.lengths(range(200), epoch=3) == whole.lengths).all()
    other_epoch, other_seed = (
        again.draw(range(200), epoch=4),
        ReadSampler(train, options, seed=2).draw(range(200), epoch=3),
    )
    assert not set(whole.strings()) & set(other_epoch.strings())
    assert not set(whole.strings()) & set(other_seed.strings())


def test_lengths_follow_the_law_and_short_records_give_short_reads(train):
    law = {"lower": 100, "upper": 800, "bias": 0.5}
    sampler = ReadSampler(train, ReadOptions(length=law, balance=False, weight="letters"))
    reads = sampler.draw(range(4000))
    record_length = train.length[reads.record]
    assert reads.lengths.min() >= 100 and (reads.lengths <= record_length).all()
    long = reads.lengths[record_length > 2000]
    assert 0.45 < (long == 800).mean() < 0.55
    assert abs(long[long < 800].mean() - 450) < 25
    assert [len(text) for text in reads.strings()] == reads.lengths.tolist()


@pytest.mark.parametrize("weight", ["root", "letters", "groups"])
def test_groups_are_drawn_by_their_weight(train, weight):
    sampler = ReadSampler(train, ReadOptions(length=150, weight=weight, max_unknown=1.0))
    reads = sampler.draw(range(30_000))
    assert np.abs(np.bincount(reads.labels) / 30_000 - 1 / 3).max() < 0.02
    host = train.label == train.names.index("host")
    possible = np.bincount(train.group[host], weights=train.length[host] - 149, minlength=len(train.groups))
    share = {"root": np.sqrt(possible), "letters": possible, "groups": np.float64(possible > 0)}[weight]
    drawn = train.group[reads.record[reads.labels == train.names.index("host")]]
    found = np.bincount(drawn, minlength=len(train.groups)) / len(drawn)
    assert np.abs(found - share / share.sum()).max() < 0.02
    # Within a record every start is as likely as any other.
    place = reads.start / (train.length[reads.record] - 149)
    assert np.abs(np.histogram(place, 4, (0, 1))[0] / 30_000 - 0.25).max() < 0.02


def test_gc_is_matched(train):
    def means(**options):
        reads = ReadSampler(train, ReadOptions(length=200, **options)).draw(range(9000))
        return np.array([reads.gc()[reads.labels == label].mean() for label in range(3)]), reads

    plain, _ = means()
    matched, reads = means(gc_match=True)
    assert np.ptp(plain) > 0.05
    assert np.ptp(matched) < 0.01
    shapes = [np.histogram(reads.gc()[reads.labels == label], 12, (0.2, 0.8), density=True)[0] for label in range(3)]
    assert max(np.abs(shapes[0] - shape).sum() * 0.05 for shape in shapes[1:]) < 0.12  # twice the total variation


def test_classes_can_be_joined_and_left_out(train):
    sampler = ReadSampler(train, ReadOptions(classes={"viral": ["phage", "virus"], "host": ["host"]}))
    assert sampler.names == ["viral", "host"]
    reads = sampler.draw(range(300))
    names = np.array([sampler.genomes.genome_ids[int(i)].as_py().split("_")[0] for i in reads.record])
    assert set(names[reads.labels == 0]) == {"phage", "virus"} and set(names[reads.labels == 1]) == {"host"}
    alone = ReadSampler(train, ReadOptions(classes={"phage": ["phage"]}))
    assert set(alone.draw(range(50)).labels) == {0}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 2500}, "no genome of the class 'virus' is 2500 letters long"),
        ({"classes": {"a": ["moss"]}}, "classes.a names 'moss'; the genomes have: host, phage, virus"),
        ({"classes": {"a": ["host"], "b": ["host"]}}, "part of two new classes"),
        ({"weight": "genus"}, "weight must be root, letters or groups"),
        ({"length": {"lower": 3, "top": 4}}, "length has no key 'top'"),
        ({"length": {"lower": 30, "upper": 4}}, "0 < lower < upper"),
        ({"length": 0}, "length must be at least 1"),
        ({"max_unknown": 2.0}, "max_unknown must lie between 0 and 1"),
    ],
)
def test_mistakes_are_named(train, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ReadSampler(train, ReadOptions(**options))


def test_classes_that_cannot_be_drawn_are_named(tmp_path):
    rng = np.random.default_rng(0)
    rows = [("n", "N" * 400, "x"), ("gc", dna(rng, 400, 0.95), "gc"), ("at", dna(rng, 400, 0.05), "at")]
    pd.DataFrame(rows, columns=["genome_id", "sequence", "label"]).to_csv(tmp_path / "t.csv", index=False)
    with pytest.warns(UserWarning, match="hold only N"):
        out = build_dataset(
            "genomes", output=tmp_path / "o", data_dir=tmp_path / "t.csv", split_fractions=[1.0, 0.0, 0.0]
        )
    genomes = GenomeArrays.open(out)
    with pytest.raises(ValueError, match="the class 'x' has hardly any reads with at most 0% unknown letters"):
        ReadSampler(genomes, ReadOptions(length=50)).draw(range(10))
    with pytest.raises(ValueError, match=r"only 0\.0% of their GC distributions in common"):
        ReadSampler(genomes, ReadOptions(length=50, gc_match=True, classes={"gc": ["gc"], "at": ["at"]}))


def test_splits_share_no_group_and_every_letter_is_there(built, genomes):
    parts = {name: GenomeArrays.open(built, name) for name in ("train", "validation", "test")}
    groups = {name: {part.groups[i] for i in part.group} for name, part in parts.items()}
    assert not groups["train"] & groups["validation"] and not groups["train"] & groups["test"]
    assert sum(map(len, parts.values())) == len(GenomeArrays.open(built)) == len(genomes)
    assert sum(part.length.sum() for part in parts.values()) == genomes.sequence.str.len().sum()
    assert sum(part.unknown.sum() for part in parts.values()) == genomes.sequence.str.count("[NR]").sum()
    index = datasets.load_dataset(str(built), cache_dir=str(built.parent / "cache"))
    assert index["train"].features["label"].names == ["host", "phage", "virus"]
    report = json.loads((built / "report.json").read_text())
    assert report["input"]["letters"]["other_iupac"] == genomes.sequence.str.count("R").sum()
    card = (built / "README.md").read_text()
    assert "| train | phage |" in card and "of the 31-mers of test occur in train" in card
    with pytest.raises(ValueError, match="no split 'dev'; there are: "):
        GenomeArrays.open(built, "dev")
    with pytest.raises(ValueError, match="holds no genomes; make them with"):
        GenomeArrays.open(built.parent)


def test_the_command_takes_folders_and_leaves_no_scratch(genomes, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    for row in genomes.itertuples():
        path = tmp_path / "in" / row[2] / f"{row.accession}.fna.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(f">contig1\n{row.sequence.lower()}\n".encode()))
    words = ["build", "genomes", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "groups=none"]
    result = CliRunner().invoke(cli.app, words)
    assert result.exit_code == 0, result.output
    found = GenomeArrays.open(tmp_path / "out")
    assert found.names == ["host", "phage", "virus"] and len(found) == len(genomes)
    whole = {name.as_py(): found.letters.take(found.start[i : i + 1], found.length[i : i + 1])[0].tobytes().decode()
             for i, name in enumerate(found.genome_ids)}  # fmt: skip
    assert whole == {row.accession: row.sequence.replace("R", "N") for row in genomes.itertuples()}
    assert not list(tmp_path.rglob("genomes-*")) and not list(tmp_path.rglob("letters.bin"))


def test_a_bare_folder_is_one_class(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for i in range(6):
        (tmp_path / "in" / f"g{i}.fa").write_text(f">c\n{dna(rng, 900, 0.5)}\n")
    rows = load_dataset("genomes", data_dir=tmp_path / "in", cache_dir=tmp_path / "cache", split="train")
    assert rows.features["label"].names == ["genome"] and len(rows) >= 3


def test_sixty_million_letters_need_little_memory():
    """Building and drawing keep to blocks: beside torch-free imports some megabytes for 60 Mnt."""
    code = """
import resource, sys, tempfile, pathlib, numpy as np
from seqformers.datasets_scripts.common.two_bit import TwoBitLetters, write_two_bit
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
folder = tempfile.mkdtemp()
block = np.frombuffer(b"ACGT" * 250_000, np.uint8)
starts = write_two_bit((block for _ in range(60)), folder)
letters = TwoBitLetters.open(folder)
rng = np.random.default_rng(0)
for _ in range(20):
    letters.take(starts[rng.integers(60, size=512)] + rng.integers(10**6 - 600, size=512), np.full(512, 510))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 60_000  # KiB
