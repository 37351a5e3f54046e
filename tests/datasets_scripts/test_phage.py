"""The phage data set from folders, tables and a replica of RefSeq; its splits, fractions, matching and complaints."""

from __future__ import annotations

import gzip
import json
import threading
import tracemalloc
import warnings
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from seqformers import cli
from seqformers.datasets import build_dataset, dataset_builder, load_dataset
from seqformers.datasets_scripts.common.leakage import report_lines
from seqformers.datasets_scripts.phage.sources import Census, label_of

GENOMES = 24


def dna(rng, length, gc):
    return "".join(rng.choice(list("ACGT"), length, p=[(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2]))


@pytest.fixture(scope="module")
def genomes():
    """Two groups of two genomes for every four; phages are GC-rich, non-phages are in two segments."""
    rng = np.random.default_rng(0)
    rows = []
    for label in (0, 1):
        for i in range(GENOMES):
            gc = 0.42 + 0.12 * label + rng.uniform(-0.08, 0.08)
            for _ in range(1 if label else 2):
                rows.append(
                    {
                        "sequence": dna(rng, 3000 + 100 * i, gc),
                        "is_phage": label,
                        "group": f"group{label}_{i // 2}",
                        "genome_id": f"genome{label}_{i}",
                    }
                )
    return pd.DataFrame(rows)


@pytest.fixture
def table(genomes, tmp_path):
    path = tmp_path / "genomes.parquet"
    genomes.to_parquet(path)
    return path


@pytest.fixture
def load(tmp_path):
    return partial(load_dataset, "phage", cache_dir=tmp_path / "cache")


def write_folders(genomes, folder, *, packed=False):
    for genome, rows in genomes.groupby("genome_id"):
        name = "phage" if rows.is_phage.iloc[0] else "non-phage"
        text = "".join(f">contig{i} some words\n{row.lower()}\n" for i, row in enumerate(rows.sequence))
        (folder / name).mkdir(parents=True, exist_ok=True)
        path = folder / name / f"{genome}.fna{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    return folder


def groups_of(loaded):
    return {name: set(split["group"]) for name, split in loaded.items()}


def test_reads_are_what_they_say(load, table, genomes):
    loaded = load(name="reads-150", data_dir=table, reads_per_genome=40)
    by_genome = genomes.groupby("genome_id").sequence.apply(list)
    assert loaded["train"].features["label"].names == ["non-phage", "phage"]
    for split in loaded.values():
        for row in split:
            assert len(row["sequence"]) == 150
            assert row["label"] == int(row["genome_id"][6])
            letters = [text[row["start"] : row["start"] + 150] for text in by_genome[row["genome_id"]]]
            assert row["sequence"] in letters
    train = loaded["train"].to_pandas()
    assert train.genome_id.value_counts().max() <= 40
    assert train.label.value_counts().nunique() == 1
    assert not train.duplicated(["genome_id", "sequence"]).any()


def test_groups_are_split_alike_in_every_configuration(load, table):
    found = {
        name: groups_of(load(name=name, data_dir=table, seed=4)) for name in ("reads-150", "reads-1000", "pretrain")
    }
    reads = found["reads-150"]
    assert reads == found["reads-1000"]
    assert found["pretrain"] == {name: reads[name] for name in ("train", "validation")}
    assert not reads["train"] & reads["test"] and not reads["train"] & reads["validation"]
    assert groups_of(load(name="reads-150", data_dir=table, seed=5)) != reads


def test_one_seed_gives_one_data_set(load, table, tmp_path):
    first = load(name="reads-150", data_dir=table, split="train")
    again = load_dataset("phage", name="reads-150", data_dir=table, split="train", cache_dir=tmp_path / "other")
    other = load(name="reads-150", data_dir=table, split="train", seed=1)
    assert first["sequence"][:] == again["sequence"][:] != other["sequence"][:]


@pytest.mark.parametrize("packed", [False, True])
def test_folders_give_what_the_table_gives(load, table, genomes, tmp_path, packed):
    folder = write_folders(genomes, tmp_path / "folders", packed=packed)
    groups = tmp_path / "groups.tsv"
    genomes[["genome_id", "group"]].drop_duplicates().to_csv(groups, sep="\t", index=False, header=False)
    options = {"name": "reads-150", "split": "train"}
    found = load(data_dir=folder, groups_file=str(groups), **options).to_pandas()
    expected = load(data_dir=table, **options).to_pandas()
    assert sorted(found.sequence) == sorted(expected.sequence)
    assert set(found.group) == set(expected.group)


def test_a_folder_with_one_file_holds_a_genome_a_record(load, genomes, tmp_path):
    for label, name in enumerate(("non-phage", "phage")):
        (tmp_path / "two" / name).mkdir(parents=True)
        rows = genomes[genomes.is_phage == label].drop_duplicates("genome_id")
        text = "".join(f">{row.genome_id}\n{row.sequence}\n" for row in rows.itertuples())
        (tmp_path / "two" / name / "all.fasta").write_text(text)
    loaded = load(name="reads-150", data_dir=tmp_path / "two")
    assert {name for split in loaded.values() for name in split["genome_id"]} == set(genomes.genome_id)
    assert groups_of(loaded)["train"] == set(loaded["train"]["genome_id"])


@pytest.mark.parametrize("suffix", ["tsv", "csv"])
def test_text_tables_and_other_column_names(load, table, genomes, tmp_path, suffix):
    renamed = genomes.rename(columns={"sequence": "dna", "is_phage": "kind", "group": "cluster"})
    renamed["kind"] = renamed.kind.map({0: "non-phage", 1: "phage"})
    path = tmp_path / f"genomes.{suffix}"
    renamed.to_csv(path, sep="\t" if suffix == "tsv" else ",", index=False)
    found = load(
        name="reads-150", data_dir=path, split="test", columns={"sequence": "dna", "label": "kind", "group": "cluster"}
    )
    assert found["sequence"][:] == load(name="reads-150", data_dir=table, split="test")["sequence"][:]


def test_label_fractions_are_nested_and_by_genome(load, table):
    options = {"name": "reads-150", "data_dir": table, "split": "train"}
    rows = {f: load(label_fraction=f, **options).to_pandas() for f in (0.001, 0.1, 0.5, 1.0)}
    full = rows[1.0]
    for fraction, part in rows.items():
        kept = full[full.genome_id.isin(set(part.genome_id))]
        assert sorted(part.sequence) == sorted(kept.sequence)
        assert sorted(part.sequence) == sorted(full[full.fraction_rank < fraction].sequence)
        assert set(part.label) == {0, 1}
    genomes = [set(rows[f].genome_id) for f in sorted(rows)]
    assert genomes[0] < genomes[1] < genomes[2] < genomes[3]
    assert len(genomes[0]) == 2
    share = len(rows[0.5]) / len(full)
    assert 0.5 <= share < 0.5 + 1.5 / 16
    drawn_anew = load(label_fraction=0.1, nested_reads=False, reads_per_genome=900, **options)
    assert len(drawn_anew) > 1.5 * len(rows[0.1])
    assert load(label_fraction=0.1, name="reads-150", data_dir=table, split="test").num_rows > 0


@pytest.mark.parametrize("window", [150, 1000])
def test_gc_is_matched_in_every_split(load, table, window):
    loaded = load(name=f"reads-{window}", data_dir=table, gc_match=True, gc_bins=50)
    for split in loaded.values():
        frame = split.to_pandas()
        gc = frame.sequence.str.count("[GC]") * 50 // window
        counts = [np.bincount(gc[frame.label == label], minlength=51) for label in (0, 1)]
        assert (counts[0] == counts[1]).all()
        assert counts[0].sum() >= (20 if window == 150 else 1)  # few whole kilobases of these genomes are alike
    plain = load(name=f"reads-{window}", data_dir=table, split="test").to_pandas()
    gc = plain.sequence.str.count("[GC]") / window
    assert gc[plain.label == 1].mean() - gc[plain.label == 0].mean() > 0.05


def test_limits_balance_and_spread(load, table):
    loaded = load(
        name="reads-150",
        data_dir=table,
        max_train_reads=100,
        max_validation_reads=31,
        max_test_reads=60,
        balance_test=True,
    )
    assert {name: split.num_rows for name, split in loaded.items()} == {"train": 100, "validation": 30, "test": 60}
    for split in loaded.values():
        frame = split.to_pandas()
        assert frame.label.value_counts().nunique() == 1
        for _, rows in frame.groupby("label"):
            counts = rows.genome_id.value_counts()
            assert counts.max() - counts.min() <= 1


def test_test_reads_tile_short_records_and_sample_long_ones(load, genomes, tmp_path):
    rng = np.random.default_rng(3)
    long = genomes.copy()
    long["sequence"] = [dna(rng, 12_000 if i % 2 else 5_000, 0.5) for i in range(len(long))]
    long.to_parquet(tmp_path / "long.parquet")
    test = load(name="reads-150", data_dir=tmp_path / "long.parquet", split="test").to_pandas()
    records = long.set_index("genome_id").sequence
    for genome in test.genome_id.unique():
        found = test[test.genome_id == genome].start.to_numpy()
        lengths = [len(text) for text in np.atleast_1d(records[genome])]
        expected = [
            64 if length >= 9_600 else range(int(0.9 * length) // 150, length // 150 + 1) for length in lengths
        ]
        low = sum(part if isinstance(part, int) else part[0] for part in expected)
        high = sum(part if isinstance(part, int) else part[-1] for part in expected)
        assert low <= len(found) <= high


def test_pretraining_covers_the_genomes(load, table, genomes):
    train = load(name="pretrain", data_dir=table, split="train", ratio=0.0).to_pandas()
    lengths = train.sequence.str.len()
    assert lengths.min() >= 36 and lengths.max() == 510
    chosen = genomes[genomes.group.isin(set(train.group))]
    lost = chosen.sequence.str.len().sum() - lengths.sum()
    assert 0 <= lost < 36 * len(chosen)
    both = load(name="pretrain", data_dir=table, split="train").to_pandas()
    ratio = (len(both) - len(train)) / len(train)
    assert 1.7 < ratio < 2.4
    assert load(name="pretrain", data_dir=table, split="train", cut=False).num_rows == len(both) - len(train)


def test_pretraining_needs_no_classes(load, genomes, tmp_path):
    path = tmp_path / "genomes.fasta"
    rows = genomes.drop_duplicates("genome_id")
    path.write_text("".join(f">{row.genome_id}\n{row.sequence}\n" for row in rows.itertuples()))
    loaded = load(name="pretrain", data_dir=path, max_validation_reads=5)
    assert set(loaded["train"]["label"]) == {None}
    assert loaded["validation"].num_rows == 5


def test_legacy_brings_the_quirks_back(load, genomes, tmp_path):
    odd = genomes.copy()
    odd.loc[0, "sequence"] = "N" + odd.sequence[0][1:]
    odd.loc[1, "sequence"] = "N" + odd.sequence[1][1:]
    odd.loc[2, "sequence"] = odd.sequence[2][:150]
    path = tmp_path / "odd.parquet"
    odd.to_parquet(path)
    options = {"data_dir": path, "split_fractions": (0.8, 0.1, 0.1), "seed": 3}
    builders = {}
    for legacy in (False, True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            builders[legacy] = dataset_builder(
                "phage", "pretrain", cache_dir=tmp_path / str(legacy), legacy=legacy, **options
            )
            builders[legacy].download_and_prepare()
    right, quirky = builders[False].as_dataset(), builders[True].as_dataset()
    # The second record with an N escapes the filter, as the one before it was removed while walking.
    assert builders[True]._census.left_out["records with an N"] == 1
    assert [builders[legacy]._store.ambiguous.sum() for legacy in (False, True)] == [2, 1]
    assert not any("N" in text for text in right["train"]["sequence"])
    # Validation comes from the train genomes.
    assert set(quirky["validation"]["group"]) <= set(quirky["train"]["group"])
    assert not set(right["validation"]["group"]) & set(right["train"]["group"])
    # A wrong mean length makes more samples.
    assert quirky["train"].num_rows > right["train"].num_rows


def test_ambiguous_letters_are_not_drawn(load, genomes, tmp_path):
    odd = genomes.copy()
    odd["sequence"] = [text[:1000] + "N" * 20 + text[1020:] for text in odd.sequence]
    odd.to_parquet(tmp_path / "odd.parquet")
    options = {"name": "reads-150", "data_dir": tmp_path / "odd.parquet"}
    with pytest.warns(UserWarning, match="windows with ambiguous letters"):
        strict = load(**options)
    assert not any("N" in text for split in strict.values() for text in split["sequence"])
    loose = load(max_ambiguous=0.2, **options)
    assert any("N" in text for text in loose["train"]["sequence"])


def test_streaming_gives_the_same_rows(load, table):
    options = {"name": "reads-150", "data_dir": table, "split": "test"}
    assert [row["sequence"] for row in load(streaming=True, **options)] == load(**options)["sequence"][:]


# Classes, genomes and groups of folders ------------------------------------------------------------------------------


def write_genomes(folder, genomes):
    """FASTA files by relative path; values are sequences, or the bytes of a file that is no FASTA."""
    for name, content in genomes.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            content = f">{path.stem}-contig\n{content}\n".encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return folder


def build(folder, tmp_path, **options):
    builder = dataset_builder(
        "phage", "reads-150", data_dir=folder, cache_dir=tmp_path / "cache", reads_per_genome=20, **options
    )
    builder.download_and_prepare()
    return builder


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("moss", "fern", "pine"), ["fern", "moss", "pine"]),
        (("phage", "bacteria"), ["bacteria", "phage"]),
        (("phage", "prophage"), ["phage", "prophage"]),
        (("10", "9", "2"), ["2", "9", "10"]),
        (("Phages", "non_phage"), ["non-phage", "phage"]),
    ],
)
def test_any_classes(tmp_path, rng, names, expected):
    genomes = {f"{name}/{name}{i}.fa": dna(rng, 900, 0.5) for name in names for i in range(4)}
    builder = build(write_genomes(tmp_path / "in", genomes), tmp_path)
    assert builder.info.features["label"].names == expected
    train = builder.as_dataset(split="train")
    assert set(train["label"]) == set(range(len(expected)))
    for row in train:
        folder = row["genome_id"][:-1]
        assert folder in names and label_of(folder, "here", tuple(expected)) == row["label"]


def test_any_classes_of_a_table(tmp_path, rng, load):
    rows = [{"sequence": dna(rng, 900, 0.5), "label": i % 3} for i in range(15)]
    pd.DataFrame(rows).to_parquet(tmp_path / "x.parquet")
    loaded = load(name="reads-150", data_dir=tmp_path / "x.parquet", split="train")
    assert loaded.features["label"].names == ["0", "1", "2"] and set(loaded["label"]) == {0, 1, 2}


def test_three_classes_are_built_with_a_report(tmp_path, rng):
    genomes = {f"{name}/{name}{i}.fa": dna(rng, 900, 0.3 + 0.2 * c) for c, name in enumerate("xyz") for i in range(6)}
    folder = write_genomes(tmp_path / "in", genomes)
    output = build_dataset("phage", "reads-150", output=tmp_path / "out", data_dir=folder, report_kmers=[2])
    report = json.loads((output / "report.json").read_text())
    assert set(report["genomes"]["train"]) == {"x", "y", "z"}
    assert str(tmp_path) not in (output / "report.json").read_text()
    assert report["shortcuts"]["scores"]["gc"]["macro_recall"] > 0.6


def test_names_of_genomes_and_what_is_left_out(tmp_path, rng):
    contents = {
        "phage/E.faecalis_1.fna": None, "phage/E.faecalis_2.fna": None, "phage/a.fa.fna.gz": None,
        "phage/p10.fsa": None, "phage/p11.fsa_nt.gz": None, "phage/GCF_1/genomic.fna": None,
        "phage/GCF_2/genomic.fna": None, "phage/same.fa": None, "phage/same.fasta": None,
        "non-phage/n.fnafile": b"x", **{f"non-phage/n{i}.FNA": None for i in range(6)},
        "phage/._E.faecalis_1.fna": b"\x00\x05\x16\x07", "phage/.DS_Store": b"\x00", "phage/README.txt": b"hello",
        ".DS_Store": b"\x00", "beside.fa": None,
    }  # fmt: skip
    folder = write_genomes(
        tmp_path / "in", {name: dna(rng, 700, 0.5) if text is None else text for name, text in contents.items()}
    )
    with pytest.warns(UserWarning) as said:
        builder = build(folder, tmp_path)
    assert set(builder._store.genome_ids) == {
        "E.faecalis_1", "E.faecalis_2", "a.fa", "p10", "p11", "GCF_1/genomic", "GCF_2/genomic", "same.fa",
        "same.fasta", *(f"n{i}" for i in range(6)),
    }  # fmt: skip
    text = "\n".join(str(warning.message) for warning in said)
    assert "3 hidden files" in text and "2 files that are no FASTA" in text and "README.txt" in text
    assert "1 FASTA files beside the class folders" in text


def mutated(rng, text, share):
    letters = np.array(list(text))
    where = rng.random(len(letters)) < share
    letters[where] = rng.choice(list("ACGT"), int(where.sum()))
    return "".join(letters)


def near_copies(rng):
    """Five families of four near-copies a class."""
    return {
        f"{name}/{name}{family}{copy}.fa": mutated(rng, root, 0.01)
        for name in ("phage", "non-phage")
        for family, root in enumerate(dna(rng, 2000, 0.5) for _ in range(5))
        for copy in "abcd"
    }


def test_near_copies_stay_on_one_side(tmp_path, rng):
    folder = write_genomes(tmp_path / "in", near_copies(rng))
    with pytest.warns(UserWarning, match="40 genomes are 10 groups of similar sequence"):
        builder = build(folder, tmp_path)
    families = {}
    for split, rows in builder.as_dataset().items():
        for row in rows:
            families.setdefault(row["genome_id"][:-1], set()).add((split, row["group"]))
    assert len(families) == 10 and all(len(found) == 1 for found in families.values())
    store = builder._store
    assert {group[:-1] for group in store.groups} == {name[:-1] for name in store.genome_ids}
    for name in ("reads-1000", "pretrain"):
        other = dataset_builder("phage", name, data_dir=folder, cache_dir=tmp_path / name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            other.download_and_prepare()
        assert other._store.groups == store.groups and (other._split == builder._split).all()


def test_leakage_is_said_and_warned_of(tmp_path, rng):
    folder = write_genomes(tmp_path / "in", near_copies(rng))
    words = ["build", "phage", "--data-dir", str(folder), "--output", str(tmp_path / "a"), "report_kmers=[2]"]
    with pytest.warns(UserWarning, match=r"% of the test rows share at least half of their 21-mers with train"):
        result = CliRunner().invoke(cli.app, [*words, "groups=none"], catch_exceptions=False)
    assert result.exit_code == 0
    words[words.index(str(tmp_path / "a"))] = str(tmp_path / "b")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert CliRunner().invoke(cli.app, words, catch_exceptions=False).exit_code == 0
    assert not any("share at least half" in str(warning.message) for warning in said)
    for name, low, high in (("a", 0.5, 1.0), ("b", 0.0, 0.05)):
        report = json.loads((tmp_path / name / "report.json").read_text())
        assert low <= report["read_leakage"]["splits"]["test"]["half"] <= high
        lines = report_lines(report)
        assert lines[1].startswith("leakage: ") and "of the test rows share at least half" in lines[1]
        assert lines[-1].startswith("shortcut: ")
        assert name != "a" or "\n".join(lines) in result.output


def test_too_few_groups_name_the_way_out(load, tmp_path, rng):
    root = dna(rng, 2000, 0.5)
    genomes = {f"{name}/{name}{i}.fa": mutated(rng, root, 0.01) for name in ("phage", "non-phage") for i in range(6)}
    folder = write_genomes(tmp_path / "in", genomes)
    with pytest.warns(UserWarning, match="12 genomes are 1 groups"), pytest.raises(ValueError, match="groups=none"):
        load(name="reads-150", data_dir=folder)


@pytest.mark.parametrize("head", ["", "genome\tgroup\n", "# exported\n"])
def test_groups_files_name_what_does_not_fit(tmp_path, rng, head):
    genomes = {f"{name}/{name}{i}.fa": dna(rng, 900, 0.5) for name in ("phage", "non-phage") for i in range(5)}
    folder = write_genomes(tmp_path / "in", genomes)
    groups = tmp_path / "groups.tsv"
    listed = "".join(f"{name.split('/')[1].removesuffix('.fa')}\tg{name[-4]}{name[0]}\n" for name in list(genomes)[1:])
    groups.write_text(head + listed + "x1\tg1\nx2\tg2\n")
    with pytest.warns(UserWarning) as said:
        builder = build(folder, tmp_path, groups_file=str(groups))
    text = "\n".join(str(warning.message) for warning in said)
    assert "2 entries of groups.tsv that are no genome of the input: 'x1'; 'x2'" in text
    assert "1 genomes that are not in groups.tsv, each a group of its own: 'phage0'" in text
    assert dict(zip(builder._store.genome_ids, builder._store.groups, strict=True))["phage1"] == "g1p"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("phage0.fa\tg1\n", "names none of the genomes; it lists phage0.fa, the genomes are called "),
        ("phage0\tg1\nphage0\tg2\n", "line 2: 'phage0' is in another group above"),
        ("phage0\n", "line 1: expected two columns"),
    ],
)
def test_bad_groups_files_are_named(tmp_path, rng, text, message):
    genomes = {f"{name}/{name}{i}.fa": dna(rng, 900, 0.5) for name in ("phage", "non-phage") for i in range(4)}
    (tmp_path / "groups.tsv").write_text(text)
    with pytest.raises(ValueError, match=message):
        build(write_genomes(tmp_path / "in", genomes), tmp_path, groups_file=str(tmp_path / "groups.tsv"))


# What users get wrong ------------------------------------------------------------------------------------------------


def broken(genomes, **changes):
    return genomes.assign(**changes)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"is_phage": None}, {}, "row 1: the label is missing"),
        ({"is_phage": "maybe"}, {}, "cannot read 'maybe' as a class"),
        ({"is_phage": 1}, {}, "all genomes are phage; labelled reads need both classes"),
        ({"sequence": "MKLVWW"}, {}, "letter 'L' at position 3 is no nucleotide"),
        ({"sequence": None}, {}, "row 1: the sequence is missing"),
        ({"sequence": "ACGT" * 10}, {}, "shorter than 150 nt"),
        ({"sequence": "N" * 400}, {}, "no row of"),
        ({"group": "one"}, {}, None),
        ({}, {"columns": {"sequence": "dna"}}, "has no column 'dna' for sequence; found: sequence"),
        ({}, {"columns": {"letters": "dna"}}, "columns names 'letters'"),
        ({}, {"split_fractions": (0.5, 0.1, 0.1)}, "sum to 1"),
        ({}, {"split_fractions": (0.9, 0.1)}, "needs a share for each of train, validation, test"),
        ({}, {"label_fraction": 0}, "between 0.001 and 1"),
        ({}, {"split_by": "letters"}, "split_by must be"),
        ({}, {"source": "genbank"}, "source must be 'refseq'"),
        ({}, {"groups": "family"}, "groups must be 'similarity' or 'none', not 'family'"),
        ({}, {"legacy": ["sampling", "sample"]}, "legacy names 'sample'; known: n_filter"),
        ({}, {"legacy": "maybe"}, "legacy is 'maybe', expected true or false or a list of text"),
        ({}, {"seed": "1"}, "seed is '1', expected a whole number"),
        ({}, {"seed": True}, "seed is True, expected a whole number"),
        ({}, {"gc_match": "maybe"}, "gc_match is 'maybe', expected true or false"),
        ({}, {"split_fractions": 0.5}, "split_fractions is 0.5, expected a list of a number"),
        ({}, {"columns": "dna"}, "columns is 'dna', expected a mapping"),
        ({}, {"gc_mach": True}, "no option 'gc_mach'; did you mean 'gc_match'"),
    ],
)
def test_bad_tables_are_named(load, genomes, tmp_path, change, options, message):
    path = tmp_path / "genomes.parquet"
    broken(genomes, **change).to_parquet(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if message is None:
            with pytest.raises(ValueError, match="no row of"):
                load(name="reads-150", data_dir=path, **options)
            return
        with pytest.raises(ValueError, match=message):
            load(name="reads-150", data_dir=path, **options)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds neither FASTA files nor tables"),
        ({"a.fasta": b">a\nACGT\n"}, "has no class folders"),
        ({"phage/a.fa": b">a\nACGT\n", "other/b.fa": b">b\nACGT\n"}, "a class has 1 groups, too few"),
        ({"moss/a.fa": b">a\nACGT\n"}, "all genomes are moss; labelled reads need two classes or more"),
        (
            {
                "phage/g.fa": b">a\nAC\n",
                "non-phage/g.fna": b">b\nAC\n",
                "phage/h.fa": b">c\nAC\n",
                "non-phage/h.fna": b">b\nAC\n",
            },
            r"non-phage/g\.fna and .*phage/g\.fa are both the genome 'g'",
        ),
        ({"phage/a.fa": b"", "non-phage/b.fa": b">b\nAC\n"}, "a.fa is empty"),
        ({"phage/a.fa": b"hello", "non-phage/b.fa": b">b\nAC\n"}, "neither FASTA nor FASTQ"),
        (
            {"phage/a.fa.gz": gzip.compress(b">a\nACGT\n" * 99, mtime=0)[:-9], "non-phage/b.fa": b">b\nAC\n"},
            "cut short",
        ),
        ({"phage/a.fa": b">p\nMKLV\n", "non-phage/b.fa": b">b\nAC\n"}, "is this a protein"),
        ({"phage/a.fa": b">a\nAC\n>a\nAC\n", "non-phage/b.fa": b">b\nAC\n"}, "'a' comes twice"),
        ({"phage/a.fa": b">a\nAC\n", "non-phage/b.fa": b">a\nAC\n"}, "'a' of genome 'a' is there twice"),
        ({"x.tsv": b""}, "is empty; expected a header"),
        ({"x.tsv": b"name\tlabel\na\t1\n"}, "has no sequence column"),
        ({"x.tsv": b"sequence\nACGT\n"}, "has no label column"),
    ],
)
def test_bad_folders_are_named(load, tmp_path, files, message):
    folder = tmp_path / "input"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load(name="reads-150", data_dir=folder)


def test_nothing_is_fetched_unasked(load, tmp_path):
    with pytest.raises(ValueError, match="name your genomes with data_dir"):
        load(name="reads-150")
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        load(name="reads-150", data_dir=tmp_path / "nowhere")


@pytest.mark.parametrize(("text", "label"), [("Phages", 1), ("non_phage", 0), ("True", 1), (0.0, 0)])
def test_labels(text, label):
    assert label_of(text, "here") == label


# RefSeq ----------------------------------------------------------------------------------------------------------

COLUMNS = ["virus tax id", "virus name", "virus lineage", "refseq id", "host tax id", "host name", "host lineage"]
HOSTS = {
    "bacterium": "Bacteria; Pseudomonadota; Gammaproteobacteria",
    "new bacterium": "cellular organisms; Bacteria; Pseudomonadati",
    "plant": "Eukaryota; Viridiplantae; Streptophyta",
    "archaeon": "Archaea; Methanobacteriati",
    "none": "",
}


@pytest.fixture
def refseq(tmp_path):
    """Two genomic FASTA files and Virus-Host DB's table as NCBI and GenomeNet lay them out, on the loopback."""
    rng = np.random.default_rng(5)
    root, rows, texts = tmp_path / "mirror", [], ["", ""]
    kinds = ["bacterium"] * 8 + ["new bacterium"] * 4 + ["plant"] * 9 + ["archaeon"] * 2 + ["none"]
    for i, kind in enumerate(kinds):
        lineage = f"Viruses; Uroviricota; Caudoviricetes; Fam{i % 3}viridae; Gen{kind[:5]}{i // 2}virus; Sp virus {i}"
        accessions = [f"NC_{i:06d}", f"NC_9{i:05d}"] if kind == "plant" else [f"NC_{i:06d}"]
        rows.append([i + 1, f"Sp virus {i}", lineage, ", ".join(accessions), 1, kind, HOSTS[kind]])
        if i == 0:
            rows.append([i + 1, f"Sp virus {i}", lineage, accessions[0], 2, "other", HOSTS["bacterium"]])
        for accession in accessions:
            texts[i % 2] += f">{accession}.1 Sp virus {i}, complete genome\n{dna(rng, 700, 0.5)}\n"
    rows.append([99, "both", "Viruses", "NC_000500", 1, "b", HOSTS["bacterium"]])
    rows.append([99, "both", "Viruses", "NC_000500", 2, "p", HOSTS["plant"]])
    texts[0] += f">NC_000500.1 both\n{dna(rng, 700, 0.5)}\n>NC_000777.2 unknown\n{dna(rng, 700, 0.5)}\n"
    for part, text in enumerate(texts, 1):
        path = root / "refseq/release/viral" / f"viral.{part}.1.genomic.fna.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()))
    hosts = root / "ftp/db/virushostdb/virushostdb.tsv"
    hosts.parent.mkdir(parents=True)
    pd.DataFrame(rows, columns=COLUMNS).to_csv(hosts, sep="\t", index=False)
    handler = partial(SimpleHTTPRequestHandler, directory=str(root))
    handler.log_message = lambda *_: None
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    urls = tuple(f"https://ftp.ncbi.nlm.nih.gov/refseq/release/viral/viral.{p}.1.genomic.fna.gz" for p in (1, 2))
    yield {"source": "refseq", "mirror": f"http://127.0.0.1:{server.server_port}", "genome_urls": urls}
    server.shutdown()


def test_refseq_classes_come_from_the_hosts(load, refseq, tmp_path):
    builder = dataset_builder("phage", "reads-150", cache_dir=tmp_path / "cache", **refseq)
    builder.download_and_prepare()
    assert builder._census.left_out == {
        "archaeal host": 2,
        "no known host": 1,
        "bacterial and eukaryotic hosts": 1,
        "not in Virus-Host DB": 1,
    }
    loaded = builder.as_dataset()
    labels = {row["genome_id"]: row["label"] for split in loaded.values() for row in split}
    assert labels == {f"taxid{i + 1}": int(i < 12) for i in range(21)}
    groups = {row["genome_id"]: row["group"] for split in loaded.values() for row in split}
    assert groups["taxid1"] == groups["taxid2"] == "Genbacte0virus"
    assert set(builder._store.groups) == set(groups.values())
    families = dataset_builder("phage", "reads-150", cache_dir=tmp_path / "f", group_rank="family", **refseq)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        families._scratch = None
        names = {record.group for record in _records(families)}
    assert names == {"Fam0viridae", "Fam1viridae", "Fam2viridae"}


def _records(builder):
    builder._census = Census()
    return list(builder._records())


def test_refseq_checksums_are_kept(load, refseq):
    with pytest.raises(ValueError, match="has checksum"):
        load(name="reads-150", checksums={"virushostdb.tsv": "0" * 64}, **refseq)


def test_refseq_table_of_another_kind(load, refseq):
    wrong = refseq | {"hosts_url": refseq["genome_urls"][0].replace("viral.1.1.genomic.fna.gz", "")}
    with pytest.raises((ValueError, OSError)):
        load(name="reads-150", **wrong)


# Builds ----------------------------------------------------------------------------------------------------------


def test_the_command_writes_data_card_and_report(table, tmp_path):
    import datasets

    output = tmp_path / "out"
    words = ["build", "phage", "--config", "reads-150", "--data-dir", str(table), "--output", str(output)]
    result = CliRunner().invoke(cli.app, [*words, "gc_match=true", "report_kmers=[4]"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    names = sorted(str(path.relative_to(output)) for path in output.rglob("*") if path.is_file())
    parts = [f"reads-150/{name}-00000-of-00001.parquet" for name in ("test", "train", "validation")]
    assert names == [".seqformers.json", "README.md", "build.json", *parts, "report.json"]
    loaded = datasets.load_dataset(str(output), cache_dir=str(tmp_path / "again"))
    assert loaded["train"].features["label"].names == ["non-phage", "phage"]
    card = (output / "README.md").read_text()
    assert "| gc | 50.0 % |" in card and "## Leakage and shortcuts" in card and "gc_match=True" in card
    assert "of the 31-mers of test occur in train" in card
    assert "interrupted" not in card and str(tmp_path) not in card


def test_memory_does_not_grow_with_the_input(tmp_path):
    """100 MB of FASTA go through with a few megabytes of arrays (a scratch file holds the letters)."""
    rng = np.random.default_rng(0)
    for label in ("phage", "non-phage"):
        (tmp_path / "in" / label).mkdir(parents=True)
        for i in range(50):
            letters = np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, 1_000_000, dtype=np.uint8)]
            (tmp_path / "in" / label / f"{label}{i}.fa").write_bytes(b">c\n" + letters.tobytes() + b"\n")
    builder = dataset_builder(
        "phage", "reads-150", data_dir=tmp_path / "in", cache_dir=tmp_path / "cache", max_train_reads=5_000
    )
    tracemalloc.start()
    builder.download_and_prepare()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert builder.info.splits["train"].num_examples == 5_000
    assert peak < 30e6


def test_real_genomes_can_be_built(real_data, tmp_path):
    folder = build_dataset(
        "phage",
        "reads-1000",
        output=tmp_path / "out",
        data_dir=real_data / "virus_genomes",
        max_train_reads=400,
        max_validation_reads=100,
        max_test_reads=200,
        report_kmers=(4,),
    )
    report = json.loads((folder / "report.json").read_text())
    assert report["input"]["letters"]["letters"] == 63_031_527
    assert report["genome_leakage"]["splits"]["test"]["contained"] < 0.02
    assert report["shortcuts"]["scores"]["gc"]["macro_recall"] > 0.7


def test_hosts_are_classes_and_rare_ones_are_left_out(genomes, tmp_path):
    hosts = ["Escherichia coli", "Vitis vinifera (grape)", "tomato", None]
    rows = genomes.assign(
        host=[hosts[int(name.rpartition("_")[2]) // 6] for name in genomes["genome_id"]],
        source=np.where(genomes["is_phage"] == 1, "phagesdb", "other"),
    )
    rows.loc[rows["group"] != "group0_6", "host"] = rows["host"].replace("tomato", None)
    second = rows.index[rows["genome_id"] == "genome0_0"][1]
    rows.loc[second, "host"] = "Vitis vinifera"  # of two segments the first one names the host
    rows.to_parquet(tmp_path / "genomes.parquet")
    options = {"least_groups": 3, "known_hosts": {"phagesdb": "Mycobacterium"}, "report_kmers": ()}
    build = partial(build_dataset, "phage", "hosts-150", data_dir=tmp_path / "genomes.parquet")
    folder = build(output=tmp_path / "out", **options)
    reads = pd.concat(pd.read_parquet(path) for path in folder.rglob("*.parquet"))
    names = ["Escherichia", "Mycobacterium", "Vitis"]
    known = dict(zip(rows["genome_id"], rows["host"], strict=True)) | {"genome0_0": "Escherichia coli"}
    for genome, label in zip(reads["genome_id"], reads["label"], strict=True):
        host = known[genome]
        expected = "Mycobacterium" if host is None or host != host else host.split()[0]
        assert names[label] == expected and ((host == host and host is not None) or genome.startswith("genome1"))
    left_out = json.loads((folder / "report.json").read_text())["input"]["left_out"]
    assert left_out["records of rare hosts"] == 4 and left_out["records without a host"] == 20
    with pytest.raises(ValueError, match=r"two of them or more have viruses of 13 groups; there are: \w+ \(6\)"):
        build(output=tmp_path / "no", **options | {"least_groups": 13})
    with pytest.raises(ValueError, match="give data_dir, and no source"):
        build_dataset("phage", "hosts-150", output=tmp_path / "no", source="refseq")
