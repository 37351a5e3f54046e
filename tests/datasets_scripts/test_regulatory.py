"""The regulatory builder: layouts of its sources, classes by name and number, leaked rows, splits by sequence."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seqformers import build_dataset, load_dataset
from seqformers.datasets_scripts.regulatory.regulatory import folded
from tests.datasets_scripts.upstream import pack


def rows(count: int, seed: int = 0, length: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    texts = ["".join(row) for row in rng.choice(list("ACGT"), (count, length))]
    return pd.DataFrame({"sequence": texts, "label": np.arange(count) % 2})


def load(name: str, folder: Path, tmp_path: Path, **options: Any) -> Any:
    return load_dataset("regulatory", name=name, data_dir=folder, cache_dir=tmp_path / "cache", **options)


def test_kmer_text_is_folded_back() -> None:
    text = rows(1)["sequence"][0]
    for k in (3, 6):
        assert folded(" ".join(text[i : i + k] for i in range(len(text) - k + 1))) == text
    with pytest.raises(ValueError, match=r"row 4: words 2 \(CGT\) and 3 \(ACG\)"):
        folded("ACG CGT ACG", "row 4")


def test_gue_layout_is_read_as_it_lies(tmp_path: Path) -> None:
    folder = tmp_path / "GUE" / "tf" / "3"
    folder.mkdir(parents=True)
    for seed, split in enumerate(("train", "dev", "test")):
        rows(12 + seed, seed).to_csv(folder / f"{split}.csv", index=False)
    data = load("tfbs", tmp_path / "GUE", tmp_path, subset="tf/3")
    assert {split: len(part) for split, part in data.items()} == {"train": 12, "validation": 13, "test": 14}
    assert list(data["test"]["sequence"]) == rows(14, 2)["sequence"].tolist()
    assert data["test"].features["label"].names == ["unbound", "bound"]


def test_dnabert_files_and_folders_of_classes_give_the_same_rows(tmp_path: Path) -> None:
    table = rows(20)
    kmers = table.assign(sequence=[" ".join(t[i : i + 6] for i in range(len(t) - 5)) for t in table["sequence"]])
    (tmp_path / "tsv").mkdir()
    kmers.to_csv(tmp_path / "tsv" / "train.tsv", sep="\t", index=False)
    kmers.head(6).to_csv(tmp_path / "tsv" / "dev.tsv", sep="\t", index=False)
    for split, part in (("train", table), ("test", table.tail(4))):
        for number, (text, label) in enumerate(part.itertuples(index=False)):
            place = tmp_path / "folders" / split / ("promoter" if label else "non-promoter") / f"{number}.txt"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text + "\n")
    one = load("promoters", tmp_path / "tsv", tmp_path, test_fraction=0.0)
    other = load("promoters", tmp_path / "folders", tmp_path, validation_fraction=0.0)
    pairs = [set(zip(data["train"]["sequence"], data["train"]["label"], strict=True)) for data in (one, other)]
    assert pairs[0] == pairs[1] == set(table.itertuples(index=False, name=None))


def leaky(folder: Path) -> Path:
    """Enhancers whose first five test rows stand in train."""
    folder.mkdir()
    train, test = (
        rows(40).rename(columns={"label": "is_enhancer"}),
        rows(15, 1).rename(columns={"label": "is_enhancer"}),
    )
    train.assign(strength="weak").to_parquet(folder / "train.parquet")
    test = pd.concat([train.head(5), test]).assign(id=[f"chr{i}" for i in range(20)], strength="strong")
    test.to_parquet(folder / "test.parquet")
    return folder


@pytest.mark.parametrize(("leaked", "sizes"), [("auto", (35, 20)), ("test", (40, 15)), ("keep", (40, 20))])
def test_leaked_rows_are_left_out_where_the_option_says(leaked: str, sizes: Any, tmp_path: Path) -> None:
    folder = leaky(tmp_path / "data")
    data = load("enhancers", folder, tmp_path, leaked=leaked, validation_fraction=0.0)
    assert (len(data["train"]), len(data["test"])) == sizes


def test_the_card_names_the_leaked_rows(tmp_path: Path) -> None:
    built = build_dataset("regulatory", "enhancers", output=tmp_path / "built", data_dir=leaky(tmp_path / "data"))
    assert "Their ids: chr0, chr1, chr2, chr3, chr4." in (built / "README.md").read_text()
    assert json.loads((built / "report.json").read_text())["leaked"]["sequences_in_train_and_test"] == 5


def test_splits_are_drawn_by_sequence_and_seed(tmp_path: Path) -> None:
    table = rows(300)
    pd.concat([table, table]).to_parquet(tmp_path / "human_enhancers_cohn.parquet")
    data = load("human_enhancers_cohn", tmp_path, tmp_path)
    parts = {split: set(part["sequence"]) for split, part in data.items()}
    assert not parts["train"] & parts["test"] and not parts["train"] & parts["validation"]
    assert 70 < len(data["test"]) < 180 and len(data["train"]) + len(data["test"]) + len(data["validation"]) == 600
    other = load("human_enhancers_cohn", tmp_path, tmp_path, seed=1)
    assert set(other["test"]["sequence"]) != parts["test"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": 7}, r"row 1: the class '7' is none of 0, 1; name the classes"),
        ({"sequence": "PROTEIN"}, r"row 1: 'PROTEIN' is no DNA sequence"),
        ({"label": None}, r"row 1 has no label; expected columns named"),
    ],
)
def test_mistakes_are_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    rows(4).assign(**change).to_json(tmp_path / "train.jsonl", orient="records", lines=True)
    with pytest.raises(ValueError, match=message):
        load("table", tmp_path, tmp_path)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no files of splice; expected train.csv"):
        load("splice", tmp_path, tmp_path)
    with pytest.raises(ValueError, match=r"has no folder 'tf/9' \(option subset\)"):
        load("tfbs", tmp_path, tmp_path, subset="tf/9")


def test_ienhancer_has_its_hundred_leaked_rows(real_data: Path, tmp_path: Path) -> None:
    data = load("enhancers", real_data / "enhancers_ienhancer", tmp_path)
    assert len(data["test"]) == 400 and len(data["train"]) + len(data["validation"]) == 2868
    strength = load("enhancer_strength", real_data / "enhancers_ienhancer", tmp_path, leaked="test")
    assert len(strength["test"]) == 100 and set(strength["test"]["label"]) == {0}


def test_splice_junctions_are_the_same_rows_from_either_collection(tmp_path: Path) -> None:
    """UCI writes `class, name, sequence`, KEEL a letter a column and the class behind them."""
    table, names = rows(60, length=60), ("EI", "IE", "N")
    classes = [names[number % 3] for number in range(60)]
    uci = [
        f"{c},   GENE-{n}-DONOR,      {text}"
        for n, (c, text) in enumerate(zip(classes, table["sequence"], strict=True))
    ]
    keel = [
        "@relation splice",
        *(f"{', '.join(text)}, {c}" for c, text in zip(classes, table["sequence"], strict=True)),
    ]
    for folder, file, lines in (("uci", "splice.data", uci), ("keel", "splice.dat", keel)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / file).write_text("\n".join(lines) + "\n")
    one, other = (load("splice_junctions", tmp_path / folder, tmp_path) for folder in ("uci", "keel"))
    assert one["train"].features["label"].names == list(names)
    for split in ("train", "validation", "test"):
        assert list(one[split]["sequence"]) == list(other[split]["sequence"])
        assert list(one[split]["label"]) == list(other[split]["label"])
    assert sum(map(len, one.values())) == 60 and one["train"]["id"][0].startswith("GENE-")
    (tmp_path / "keel" / "splice.dat").write_text("A, C, G, T, XX\n")
    with pytest.raises(ValueError, match=r"splice.dat line 1: the class 'XX' is none of EI, IE, N"):
        load("splice_junctions", tmp_path / "keel", tmp_path / "again")


def test_a_table_and_an_archive_at_an_address_give_the_same_rows(tmp_path: Path) -> None:
    folder = tmp_path / "promoter_core_dnabert"
    folder.mkdir()
    table = tmp_path / "promoters.csv"
    rows(30).to_csv(table, index=False)
    rows(30).to_csv(folder / "train.csv", index=False)
    pack(folder, tmp_path / "promoters.tar.gz")
    found = []
    for address in (table, tmp_path / "promoters.tar.gz"):
        md5 = hashlib.md5(address.read_bytes()).hexdigest()
        data = load_dataset(
            "regulatory", name="promoters", url=str(address), md5=md5, cache_dir=tmp_path / f"cache-{address.name}"
        )
        found.append({split: list(part["sequence"]) for split, part in data.items()})
    assert found[0] == found[1] and sum(map(len, found[0].values())) == 30
    with pytest.raises(OSError, match="published 0: the file is damaged or was replaced"):
        load_dataset("regulatory", name="promoters", url=str(table), md5="0", cache_dir=tmp_path / "other")
