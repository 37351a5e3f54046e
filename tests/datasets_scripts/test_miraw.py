"""The miraw builder: layouts, directions, splits and report."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import seqformers
from seqformers.datasets_scripts.miraw.miraw import (
    PUBLISHED_DIGESTS,
    content_digest,
    group_split,
    match_mirnas,
    read_target_table,
)
from seqformers.datasets_scripts.miraw.target_report import (
    mirna_only_scores,
    report_markdown,
    seed_match,
    target_report,
)

HEADER = "mirna_id\tmirna_seq\tmrna_id\tmrna_seq\tlabel\tsplit\n"
LET7 = "UGAGGUAGUAGGUUGUAUAGUU"


def write(path, rows, header=HEADER):
    path.write_text(header + "".join("\t".join(map(str, row)) + "\n" for row in rows))


@pytest.fixture
def published(tmp_path):
    """A folder in TargetNet's layout, with both letters and both cases."""
    rng = np.random.default_rng(0)

    def random(n):
        return "".join(rng.choice(list("ACGT"), n))

    sites = [
        ("let-7a", LET7, f"G{i % 4}", random(40).lower(), i % 2, "val" if i % 5 == 0 else "train") for i in range(20)
    ]
    write(tmp_path / "miRAW_Train_Validation.txt", sites)
    negatives = [("miR-1", "TGGAATGTAAAGAAGTATGTAT", f"N{i}", random(300), 0) for i in range(6)]
    for fold in (0, 1, 10):
        targets = [(f"miR-{fold}-{i}", random(22), f"T{fold}-{i}", random(200), 1) for i in range(6)]
        write(tmp_path / f"miRAW_Test{fold}.txt", targets + negatives)
    write(tmp_path / "LFC_Test.txt", [("let-7a", LET7, f"G{i}", random(100), -0.1 * i) for i in range(12)])
    return tmp_path


def load(folder, name, tmp_path_factory=None, **options):
    return seqformers.load_dataset("miraw", name=name, data_dir=folder, cache_dir=folder / "cache", **options)


def test_pairs(published):
    data = load(published, "pairs")["test"]
    assert data.num_rows == 36 and sorted(set(data["fold"])) == [0, 1, 10]
    assert data.features["label"].names == ["non-target", "target"] and sum(data["label"]) == 18
    assert all(set(text) <= set("ACGU") for text in data["mirna_seq"][:] + data["mrna_seq"][:])
    assert data["fold"][:] == sorted(data["fold"][:])  # Test10 after Test1


def test_sites_keep_the_published_split(published):
    data = load(published, "sites")
    assert {split: rows.num_rows for split, rows in data.items()} == {"train": 16, "validation": 4}


def test_expression_changes(published):
    data = load(published, "lfc")["test"]
    assert data["log_fold_change"][:3] == pytest.approx([0, -0.1, -0.2]) and "label" not in data.features


@pytest.mark.parametrize(("by", "key"), [("mirna", "mirna_seq"), ("gene", "mrna_id")])
def test_splits_by_group(published, by, key):
    data = load(published, "pairs", split_by=by, seed=3, validation_fraction=0.2, test_fraction=0.3)
    sides = [set(rows[key]) for rows in data.values()]
    assert sum(map(len, sides)) == len(set.union(*sides)) and sum(data.num_rows.values()) == 36
    assert len(data) >= 2 and (by == "mirna" or list(data) == ["train", "validation", "test"])


def test_group_split_shares_and_seed():
    table = pd.DataFrame({"key": np.repeat(np.arange(500), 4), "row": range(2000)})
    splits = group_split({"a": table}, "key", validation=0.1, test=0.2, seed=0)
    assert {name: len(part) for name, part in splits.items()} == {"train": 1400, "validation": 200, "test": 400}
    again = group_split({"a": table}, "key", validation=0.1, test=0.2, seed=0)
    other = group_split({"a": table}, "key", validation=0.1, test=0.2, seed=1)
    assert splits["test"].equals(again["test"]) and not splits["test"].equals(other["test"])


def test_matched_mirnas_say_nothing():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"mirna_seq": rng.choice(list("abc"), 300), "fold": rng.integers(0, 2, 300)})
    table["label"] = (rng.random(300) < table["mirna_seq"].map({"a": 0.9, "b": 0.2, "c": 0.0})).astype(int)
    matched = match_mirnas(table.assign(row=range(300)), seed=1)
    counts = table.groupby(["fold", "mirna_seq"])["label"].agg(["sum", "size"])
    expected = 2 * np.minimum(counts["sum"], counts["size"] - counts["sum"])
    found = matched.groupby(["fold", "mirna_seq"])["label"].agg(["mean", "size"])
    assert found["mean"].eq(0.5).all() and found["size"].to_dict() == expected[expected > 0].to_dict()
    assert matched["row"].is_monotonic_increasing
    assert not matched.equals(match_mirnas(table.assign(row=range(300)), seed=2))


def test_matching_needs_labels(published):
    with pytest.raises(ValueError, match="mirna_match balances labels"):
        load(published, "lfc", mirna_match=True)


def test_deepmirtar_is_turned_round(tmp_path):
    table = pd.DataFrame({"mirna_seq": [LET7[::-1]], "mrna_seq": ["ACGU" * 5], "label": [1]})
    table.to_csv(tmp_path / "deepmirtar_train.tsv", sep="\t", index=False)
    assert load(tmp_path, "deepmirtar")["train"]["mirna_seq"][:] == [LET7]
    table.assign(mirna_seq_5to3=LET7).to_parquet(tmp_path / "x.parquet")
    assert read_target_table(tmp_path / "x.parquet", reverse_mirna=True)["mirna_seq"].tolist() == [LET7]


def test_drop_options(tmp_path):
    rows = [
        (LET7, "ACGU" * 12, 1),
        (LET7, "ACGU" * 12, 0),
        (LET7, "GGCU" * 12, 1),
        (LET7, "GGCU" * 12, 1),
        (LET7, "A" * 50, 0),
    ]
    pd.DataFrame(rows, columns=["mirna_seq", "target_seq", "label"]).to_csv(
        tmp_path / "hejret2023_train.csv", index=False
    )
    assert load(tmp_path, "hejret")["train"].num_rows == 5
    assert load(tmp_path, "hejret", drop_conflicts=True)["train"].num_rows == 3
    assert load(tmp_path, "hejret", drop_conflicts=True, drop_duplicates=True)["train"].num_rows == 2


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("m", "UGAGGXAG", "g", "ACGU", 1), r"row 1, mirna_seq: 'X' at position 6"),
        (("m", LET7, "g", "", 1), "row 1, mrna_seq: an empty sequence"),
        (("m", LET7, "g", "ACGU", 2), r"row 1: label is '2'; expected 0 or 1"),
    ],
)
def test_errors_name_file_and_row(tmp_path, row, message):
    write(tmp_path / "miRAW_Test0.txt", [row])
    with pytest.raises(ValueError, match=message):
        load(tmp_path, "pairs")


def test_missing_files_and_columns(tmp_path):
    with pytest.raises(ValueError, match=r"no file of 'pairs'; expected miRAW_Test\*\.txt"):
        load(tmp_path, "pairs")
    pd.DataFrame({"a": ["x"]}).to_csv(tmp_path / "clash2013_train_1_1.csv", index=False)
    with pytest.raises(ValueError, match="has no column mirna_seq, mrna_seq"):
        load(tmp_path, "clash")
    with pytest.raises(ValueError, match="split_by is"):
        load(tmp_path, "clash", split_by="chromosome")


def test_build_writes_report_and_card(published, tmp_path):
    from seqformers.datasets import build_dataset

    folder = build_dataset("miraw", "pairs", output=tmp_path / "out", data_dir=published)
    text = (folder / "README.md").read_text()
    assert "non targets in every fold | 6" in text and "Shortcuts" in text
    assert (folder / "report.json").is_file()


def test_report_by_hand():
    table = pd.DataFrame(
        {
            "mirna_seq": [LET7, LET7, "UGGAAUGUAAAGAAGUAUGUAU", "UGGAAUGUAAAGAAGUAUGUAU"],
            "mrna_id": ["a", "b", "a", "c"],
            "mrna_seq": ["AACUACCUCAAA", "GGGGGG", "AACUACCUCAAA", "C" * 50],
            "label": [1, 1, 0, 0],
            "fold": [0, 0, 0, 0],
        }
    )
    assert seed_match(table).tolist() == [True, False, False, False]
    assert mirna_only_scores(table, table).tolist() == pytest.approx([2.5 / 3, 2.5 / 3, 0.5 / 3, 0.5 / 3])
    report = target_report({"train": table, "test": table.iloc[:1]})
    assert report["splits"]["train"] | {"x": 0} == {
        "rows": 4, "mirnas": 2, "mrnas": 3, "repeated_in_a_fold": 0, "mrna_shorter_than_40": 3, "targets": 2,
        "pairs_with_both_labels": 0, "x": 0,
    }  # fmt: skip
    assert report["overlap"]["train and test"] == {"mirnas": 1, "rows_of_known_mirna": 1, "mrnas": 1, "pairs": 1}
    assert report["shortcuts"]["train"]["seed_match_auroc"] == 0.75
    assert "| rows | 4 | 1 |" in report_markdown(report)


class TestRealData:
    def test_pairs(self, real_data):
        table = read_target_table(real_data / "mirna_target" / "miraw_test_0_4.parquet")
        folds = {f"miRAW_Test{fold}": content_digest(rows) for fold, rows in table.groupby("fold")}
        assert folds == PUBLISHED_DIGESTS
        report = target_report({"test": table})
        assert report["folds"]["test"]["non_targets_in_every_fold"] == 548
        assert report["splits"]["test"]["rows"] == 5480
        assert report["shortcuts"]["test"]["mirna_only_auroc"] > 0.6  # the miRNA alone scores

    def test_conflicts_of_hejret(self, real_data):
        table = read_target_table(real_data / "mirna_target" / "hejret2023_train.parquet").assign(fold=0)
        assert target_report({"train": table})["splits"]["train"]["pairs_with_both_labels"] == 75

    def test_published_layout(self, real_data, tmp_path):
        table = pd.read_parquet(real_data / "mirna_target" / "miraw_train_validation_head12.parquet")
        table.to_csv(tmp_path / "miRAW_Train_Validation.txt", sep="\t", index=False)
        assert {k: v.num_rows for k, v in load(tmp_path, "sites").items()} == {"train": 6, "validation": 6}
