"""PLUS tasks: the formats of PLUS, of the published archives and of plain tables, and the homology sampler."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from seqformers.datasets_scripts.plus_tasks.homology_pairs import HomologyPairs, homology_levels
from seqformers.datasets_scripts.plus_tasks.plus_tasks import LOCALIZATIONS, PlusTasksBuilder
from tests.conftest import golden_cases
from tests.datasets_scripts.upstream import build, pack, write_lmdb


def golden(kind):
    (case,) = [case for case in golden_cases("protein_metrics") if case["kind"] == kind]
    return case


def test_homology_levels_are_the_originals():
    case = golden("homology_levels")
    codes = case["sccs"]
    found = homology_levels([a for a in codes for _ in codes], [b for _ in codes for b in codes])
    assert found.reshape(len(codes), -1).tolist() == case["level"]


def scop_codes(seed=0, n=120):
    rng = np.random.default_rng(seed)
    return [
        f"{rng.choice(list('abc'))}.{rng.integers(1, 4)}.{rng.integers(1, 4)}.{rng.integers(1, 4)}" for _ in range(n)
    ]


def test_pair_counts_are_those_of_all_pairs():
    codes = scop_codes()
    levels = homology_levels([a for a in codes for _ in codes], [b for _ in codes for b in codes])
    assert HomologyPairs(codes).counts.tolist() == np.bincount(levels, minlength=5).tolist()


def test_pairs_of_a_level_are_drawn_alike():
    codes = scop_codes(n=20)
    pairs = HomologyPairs(codes)
    first, second, levels = pairs.draw(200_000, np.random.default_rng(0), tau=1)
    assert (homology_levels([codes[i] for i in first], [codes[i] for i in second]) == levels).all()
    counts = np.bincount(first * 20 + second, minlength=400)
    assert counts.min() > 0
    assert counts.std() == pytest.approx(np.sqrt(counts.mean()), rel=0.2)  # Poisson: every ordered pair alike


def test_level_shares_are_those_intended_and_those_of_the_original():
    case = golden("homology_sampler")
    pairs = HomologyPairs(scop_codes())
    pairs.counts = np.array(case["available_pairs_by_level"])  # the original's counts; partners stay our own
    rng = np.random.default_rng(0)
    _, _, levels = pairs.draw(case["epoch_size"], rng)
    assert np.bincount(levels) == pytest.approx(case["intended_by_count_to_the_tau"], rel=0.08)
    _, _, levels = pairs.draw(case["epoch_size"], rng, legacy=True)
    assert np.bincount(levels, minlength=5) == pytest.approx(case["drawn_by_original"], rel=0.1, abs=30)


def test_homology_from_fasta_and_from_pair_lists(tmp_path):
    rng = np.random.default_rng(0)
    lines = [
        f">d{i} {code} (A:)\n{''.join(rng.choice(list('ACDEFGHIKL'), 12))}" for i, code in enumerate(scop_codes(n=80))
    ]
    (tmp_path / "astral-2.06.train.fa").write_text("\n".join(lines) + "\n")
    (tmp_path / "astral-2.06.test.sampledpairs.txt").write_text(
        "pdb_id_A\tpdb_id_B\tsequence_A\tsequence_B\tsimilarity\nd1\td2\tacd\tWYV\t3.0\n"
    )
    data = build(PlusTasksBuilder, tmp_path, "homology", tmp_path, num_pairs=500)
    assert (len(data["train"]), len(data["test"])) == (500, 1)
    assert data["test"][0] == {"id_a": "d1", "id_b": "d2", "sequence_a": "ACD", "sequence_b": "WYV", "label": 3}
    train_ids = set(data["train"]["id_a"]) | set(data["train"]["id_b"])
    held_out = set(data["validation"]["id_a"]) | set(data["validation"]["id_b"])
    assert not train_ids & held_out
    assert len(data["validation"]) == len(held_out) * (len(held_out) - 1) / 2  # what is scored is not drawn


def test_homology_errors(tmp_path):
    (tmp_path / "train.fasta").write_text(">d1 a.1.1\nACD\n>d2 a.1.1.1\nACD\n")
    with pytest.raises(ValueError, match=r"'a\.1\.1' is no SCOP code"):
        build(PlusTasksBuilder, tmp_path, "homology", tmp_path, validation_fraction=0)
    with pytest.raises(ValueError, match="no proteins"):
        HomologyPairs([])


def test_solubility_from_fasta(tmp_path):
    rows = "\n".join(f">p{i} {i % 2}\nMKV{'ACDEFGHIKL'[i % 10]}{'W' * (i // 10)}" for i in range(60))
    (tmp_path / "solubility_train.fasta").write_text(rows + "\n")
    (tmp_path / "solubility_test.fasta").write_text(">t 1\nmkv\n")
    data = build(PlusTasksBuilder, tmp_path, "solubility", tmp_path)
    assert list(data) == ["train", "validation", "test"]
    assert len(data["train"]) + len(data["validation"]) == 60 and 1 <= len(data["validation"]) <= 15
    assert data["test"][0] == {"id": "t", "sequence": "MKV", "label": 1}


def test_solubility_from_peers_archive(tmp_path):
    folder = tmp_path / "solubility"
    for split in ("train", "valid", "test"):
        write_lmdb(folder / f"solubility_{split}.lmdb", [{"primary": "MKV", "solubility": 1}])
    (tmp_path / "packed").mkdir()
    pack(folder, tmp_path / "packed" / "solubility.tar.gz")
    data = build(PlusTasksBuilder, tmp_path, "solubility", tmp_path / "packed")
    assert {name: split["label"][:] for name, split in data.items()} == {"train": [1], "validation": [1], "test": [1]}


def test_localization_names_ids_and_length(tmp_path):
    case = golden("localization")
    assert {name: index for index, name in enumerate(LOCALIZATIONS)} == case["classes"]
    sequence = "A" * 500 + "C" * 300 + "D" * 500
    (tmp_path / "deeploc_data.fasta").write_text(
        f">P1 Cell.membrane-M\n{sequence}\n>P2 Cytoplasm-Nucleus-U test\nACD\n>P3 Golgi.apparatus-M\nACDE\n"
        + "".join(f">N{i} Nucleus-U\n{'W' * (i + 1)}\n" for i in range(30))
    )
    data = build(PlusTasksBuilder, tmp_path, "localization", tmp_path, validation_fraction=0.3)
    assert list(data) == ["train", "validation", "test"] and len(data["test"]) == 1
    assert data["test"][0]["label"] == 1
    rows = {row["id"]: row for split in data.values() for row in split}
    assert rows["P1"]["sequence"] == "A" * 500 + "D" * 500 and rows["P1"]["label"] == 0
    assert rows["P3"]["label"] == 4


def test_localization_from_peers_archive_translates_ids(tmp_path):
    for split in ("train", "valid"):
        records = [{"primary": "ACD", "localization": label} for label in (3, 9)]
        write_lmdb(tmp_path / "subcellular_localization" / f"subcellular_localization_{split}.lmdb", records)
    data = build(PlusTasksBuilder, tmp_path, "localization", tmp_path)["train"]
    assert data.features["label"].int2str(data["label"][:]) == ["Golgi.apparatus", "Extracellular"]


def test_localization_table_spells_with_spaces(tmp_path):
    rows = {"uniprot_id": ["P1", "P2"], "sequence": ["ACD", "WYV"], "localization": ["Cell membrane", "Plastid"]}
    pd.DataFrame(rows).to_parquet(tmp_path / "train.parquet")
    data = build(PlusTasksBuilder, tmp_path, "localization", tmp_path, validation_fraction=0)
    assert data["train"]["label"][:] == [0, 9]
    pd.DataFrame(rows | {"localization": ["Cell membrane", "Moon"]}).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(ValueError, match=r"train.parquet, record 1: unknown class 'Moon'; known: Cell.membrane"):
        build(PlusTasksBuilder, tmp_path / "b", "localization", tmp_path, validation_fraction=0)


def test_transmembrane_three_lines(tmp_path):
    (tmp_path / "transmembrane_train.3line").write_text(">a TM\nACDEF\nIIMMO\n>b\nACD\nSSI\n")
    options = {"validation_fraction": 0}
    data = build(PlusTasksBuilder, tmp_path, "transmembrane", tmp_path, **options)
    assert data["train"]["labels"][:] == [[0, 0, 2, 2, 1], [-100, -100, 0]]
    data = build(PlusTasksBuilder, tmp_path, "transmembrane", tmp_path, signal_class=True, **options)
    assert data["train"]["labels"][1] == [3, 3, 0]
    for text, message in (
        (">a\nACD\nII\n", "2 labels for 3 residues"),
        (">a\nACD\nIIQ\n", "unknown label 'Q' at position 3"),
        (">a\nACD\n", "not in three-line form"),
    ):
        (tmp_path / "transmembrane_train.3line").write_text(text)
        with pytest.raises(ValueError, match=message):
            build(PlusTasksBuilder, tmp_path / message[:3], "transmembrane", tmp_path, **options)


def test_transmembrane_table_by_fold_and_type(tmp_path):
    kinds = ["alpha"] * 4 + ["beta"]
    rows = {
        "id": list("abcde"),
        "sequence": ["ACDE"] * 5,
        "topology": ["1Hh2"] * 4 + ["1BbU"],
        "cv_fold": [0, 1, 2, 3, 0],
    }
    pd.DataFrame(rows | {"protein_type": kinds}).to_parquet(tmp_path / "tmbed_folds_0_3.parquet")
    data = build(PlusTasksBuilder, tmp_path, "transmembrane", tmp_path)
    assert {name: split["id"][:] for name, split in data.items()} == {
        "train": ["a", "b"],
        "validation": ["c"],
        "test": ["d"],
    }
    assert data["test"][0]["labels"] == [0, 2, 2, 1]
    data = build(PlusTasksBuilder, tmp_path, "transmembrane", tmp_path, protein_type="all")
    assert data["train"][2]["labels"] == [0, 2, 2, -100]


def test_hsp_folds(tmp_path):
    rng = np.random.default_rng(0)
    names = ["HSP20", "HSP40", "HSP60", "HSP70", "HSP90", "HSP100", "non-HSP"]
    lines = [f">p{i} {names[i % 7]}\n{''.join(rng.choice(list('ACDEFGHIKL'), 20))}" for i in range(140)]
    (tmp_path / "hsp.fasta").write_text("\n".join(lines) + "\n")
    data = build(PlusTasksBuilder, tmp_path, "hsp", tmp_path)
    assert sum(len(split) for split in data.values()) == 140
    assert 10 < len(data["test"]) < 50 and set(data["train"]["label"]) == set(range(7))
    with pytest.raises(ValueError, match="hsp has no public address"):
        build(PlusTasksBuilder, tmp_path / "b", "hsp", None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (">a\nACD\n", "record 'a' has no label"),
        (">a 2\nACD\n", "class 2 is not in 0..1"),
        (">a 1\nAC-D\n", "'-' at position 3"),
    ],
)
def test_bad_records_are_named(tmp_path, text, message):
    (tmp_path / "train.fasta").write_text(text)
    with pytest.raises(ValueError, match=message):
        build(PlusTasksBuilder, tmp_path, "solubility", tmp_path, validation_fraction=0)


def test_nothing_found_says_what_is_wanted(tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(ValueError, match="expected one of: solubility_train"):
        build(PlusTasksBuilder, tmp_path, "solubility", tmp_path / "data")


def test_titin_passes(tmp_path):
    (tmp_path / "train.fasta").write_text(f">titin 1\n{'ACDEFGHIKL' * 3500}\n")
    data = build(PlusTasksBuilder, tmp_path, "solubility", tmp_path, validation_fraction=0)
    assert len(data["train"]["sequence"][0]) == 35000


def test_real_tables(real_data, tmp_path):
    sizes = {"solubility": 1513, "localization": 2768, "transmembrane": 118, "signal_peptide": 4152}
    for task, count in sizes.items():
        assert len(build(PlusTasksBuilder, tmp_path / task, task, real_data)["test"]) == count


def test_tested_pairs_are_distinct_and_all_there_are_where_these_are_few():
    rng = np.random.default_rng(3)
    codes = [f"{rng.choice(list('ab'))}.{rng.integers(1, 3)}.{rng.integers(1, 3)}.1" for _ in range(40)]
    pairs = HomologyPairs(codes)
    every = {(a, b): level_of(codes[a], codes[b]) for a in range(40) for b in range(a + 1, 40)}
    first, second, levels = pairs.distinct(len(every), rng)
    assert dict(zip(zip(first.tolist(), second.tolist(), strict=True), levels.tolist(), strict=True)) == every
    first, second, levels = pairs.distinct(300, rng)
    found = {
        (min(a, b), max(a, b)): level
        for a, b, level in zip(*(x.tolist() for x in (first, second, levels)), strict=True)
    }
    assert len(found) == 300 and all(every[pair] == level for pair, level in found.items())
    there = np.bincount(list(every.values()), minlength=5)
    wanted = there**0.5 / (there**0.5).sum() * 300
    got = np.bincount(list(found.values()), minlength=5)
    few = wanted >= there  # these give all they have, the others their share and a little more
    assert (got[few] == there[few]).all() and (got[~few] >= np.floor(wanted[~few])).all()


def level_of(one, other):
    level = 0
    for a, b in zip(one.split("."), other.split("."), strict=True):
        if a != b:
            break
        level += 1
    return level


def test_a_small_test_set_of_domains_gives_each_pair_once(tmp_path):
    letters = np.random.default_rng(0).choice(list("ACDEFGHIKL"), (30, 25))
    for split, rows in (("train", letters[:20]), ("test", letters[20:])):
        lines = [f">{split}{i} a.{i % 3}.1.1\n{''.join(row)}\n" for i, row in enumerate(rows)]
        (tmp_path / f"homology_{split}.fasta").write_text("".join(lines))
    options = {"validation_fraction": 0, "num_pairs": 500}
    found = build(PlusTasksBuilder, tmp_path / "built", "homology", tmp_path, **options)
    assert len(found["train"]) == 500
    pairs = {frozenset(pair) for pair in zip(found["test"]["id_a"], found["test"]["id_b"], strict=True)}
    assert len(found["test"]) == len(pairs) == 10 * 9 / 2 and all(len(pair) == 2 for pair in pairs)
