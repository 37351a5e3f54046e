"""Leakage is found where it was planted and shortcuts score what they can."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seqformers.datasets_scripts.common.leakage import (
    Sample,
    read_leakage,
    read_sample,
    report_markdown,
    shortcuts,
    sketch_leakage,
)

RNG = np.random.default_rng(0)


def dna(length, gc=0.5, rng=RNG):
    return "".join(rng.choice(list("ACGT"), length, p=[(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2]))


def turned(text):
    return text[::-1].translate(str.maketrans("ACGT", "TGCA"))


def test_shared_reads_are_found_on_both_strands():
    train = [dna(150) for _ in range(20)]
    test = [train[0], turned(train[1]), train[2][:75] + dna(75), dna(150), "N" * 150]
    found = read_leakage({"train": Sample(train), "test": Sample(test)})["splits"]["test"]
    assert found == {
        "rows": 5,
        "identical": 0.2,
        "any": 0.6,
        "half": 0.4,
        "kmers": pytest.approx((130 + 130 + 55) / (4 * 130)),
    }


def test_shared_genomes_are_found_on_both_strands():
    shared, own, other = dna(100_000), dna(100_000), dna(100_000)
    splits = {"train": [shared, own], "validation": [other], "test": [turned(shared), other]}
    found = sketch_leakage(splits, scaled=50)["splits"]
    assert found["validation"]["contained"] == 0
    assert abs(found["test"]["contained"] - 0.5) < 0.05
    assert abs(found["test"]["kmers"] / 200_000 - 1) < 0.1


def test_shared_proteins_are_found():
    rng = np.random.default_rng(1)
    train = ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 100)) for _ in range(5)]
    splits = {"train": Sample(train), "test": Sample([train[0], train[1][::-1]])}
    found = read_leakage(splits, k=8, molecule="protein")["splits"]["test"]
    assert (found["any"], found["identical"]) == (0.5, 0.5)


def sample(rows, gc, motif=("", ""), lengths=(100, 100)):
    rng = np.random.default_rng(rows)
    labels = rng.integers(0, 2, rows)
    texts = [dna(lengths[y] - len(motif[y]), gc[y], rng) + motif[y] for y in labels]
    return Sample(texts, labels)


@pytest.mark.parametrize(
    ("planted", "good", "blind"),
    [
        ({"gc": (0.3, 0.7)}, ["gc", "3-mer"], ["length"]),
        ({"gc": (0.5, 0.5), "motif": ("ACACACACACACACAC", "GTGTGTGTGTGTGTGT")}, ["3-mer"], ["length", "gc"]),
        ({"gc": (0.5, 0.5), "lengths": (80, 120)}, ["length"], ["gc"]),
    ],
)
def test_a_shortcut_is_scored(planted, good, blind):
    splits = {name: sample(rows, **planted) for name, rows in (("train", 400), ("validation", 150), ("test", 151))}
    found = shortcuts(splits, ("no", "yes"), kmers=(3,))
    assert all(found["scores"][name]["macro_recall"] > 0.9 for name in good)
    assert all(0.35 < found["scores"][name]["macro_recall"] < 0.65 for name in blind)
    assert found["chance"] == 0.5
    statistics = found["statistics"]["train"]["yes"]
    assert statistics["rows"] == int(splits["train"].labels.sum())
    assert abs(statistics["gc_mean"] - planted["gc"][1]) < 0.02


def test_rows_without_classes_have_no_scores():
    assert shortcuts({"train": Sample(["ACGT"]), "test": Sample(["ACGT"])}) == {"statistics": {}, "scores": {}}


@pytest.mark.parametrize(("rows", "expected"), [(100, 60), (25, 25)])
def test_a_sample_is_read_over_all_files(tmp_path, rows, expected):
    files = []
    for i in range(3):
        files.append(tmp_path / f"{i}.parquet")
        table = pa.table({"sequence": [f"{i}-{j}" for j in range(20)], "label": [i % 2] * 20})
        pq.write_table(table, files[-1])
    found = read_sample(files, rows=rows)
    assert len(found.sequences) == len(set(found.sequences)) == expected
    assert [int(text[0]) % 2 for text in found.sequences] == found.labels.tolist()
    assert {text[0] for text in found.sequences} == {"0", "1", "2"}
    assert read_sample(files, label=None).labels is None


def test_the_report_reads_well():
    splits = {name: sample(60, (0.4, 0.6)) for name in ("train", "validation", "test")}
    text = report_markdown(
        {
            "genome_leakage": sketch_leakage({name: part.sequences for name, part in splits.items()}, scaled=1),
            "read_leakage": read_leakage(splits),
            "shortcuts": shortcuts(splits, ("non-phage", "phage")),
            "dropped": {"train: too short": 1234},
        }
    )
    assert "| gc |" in text and "| train | phage |" in text
    assert "rows of test: 100.0 % share a 21-mer with train" in text
    assert "1,234 (train: too short)" in text


def test_names_of_classes_are_text_in_a_card():
    row = {"genomes": 1, "groups": 1, "nt": 5}
    text = report_markdown({"genomes": {"train": {"a|b <script>": row}}})
    assert r"| train | a\|b &lt;script> | 1 | 1 | 5 |" in text
