"""The Cpf1 builder: published layouts, labels kept as they are, no overlap of splits, clear errors."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest

from seqformers import build_dataset, load_dataset
from seqformers.datasets_scripts.cpf1.supplementary_tables import find_table, read_activity_table


def targets(count, seed=0):
    rng = np.random.default_rng(seed)
    return ["ACGTTTTA" + "".join(row) for row in rng.choice(list("ACGT"), (count, 26))]


@pytest.fixture
def folder(tmp_path):
    rows = {"target_34": targets(40), "indel_freq_cpf1_pct": np.arange(40.0), "total_reads_cpf1": np.arange(40) + 200}
    table = pd.DataFrame({**rows, "indel_freq_pct": np.linspace(-8, 100, 40)})
    data = tmp_path / "tables"
    data.mkdir()
    table.to_csv(data / "ht_1_1.csv", index=False)
    table.assign(target_34=targets(40, 1)).head(9).to_parquet(data / "Dataset_HT_1_2.parquet")
    return data


class TestSplits:
    def test_training_rows_are_split_once_and_every_label_is_kept(self, folder, tmp_path):
        data = load_dataset("cpf1", data_dir=folder, validation=10, cache_dir=tmp_path / "cache")
        assert {split: len(rows) for split, rows in data.items()} == {"train": 30, "validation": 10, "test": 9}
        both = list(data["train"]["id"]) + list(data["validation"]["id"])
        assert sorted(both) == sorted(f"ht_1_1:{row}" for row in range(40))
        labels = sorted([*data["train"]["label"], *data["validation"]["label"]])
        assert labels == pytest.approx(np.linspace(-8, 100, 40), abs=1e-4)
        assert set(data["train"]["accessible"]) == {None}

    def test_weights_grow_with_reads_and_average_one(self, folder, tmp_path):
        rows = load_dataset("cpf1", name="ht_1_1", data_dir=folder, split="train", cache_dir=tmp_path / "cache")
        weight = np.array(rows["weight"])
        assert (np.diff(weight) > 0).all() and weight.mean() == pytest.approx(1, abs=1e-5)

    def test_build_reports_overlap(self, folder, tmp_path):
        table = pd.read_csv(folder / "ht_1_1.csv")
        table.head(3).to_parquet(folder / "Dataset_HT_1_2.parquet")
        build_dataset("cpf1", "ht", output=tmp_path / "built", data_dir=folder, validation=0)
        assert "3" in (tmp_path / "built" / "README.md").read_text().split("| test |")[1]

    def test_an_address_names_a_table_or_a_workbook(self, folder, tmp_path):
        table = folder / "ht_1_1.csv"
        md5 = hashlib.md5(table.read_bytes()).hexdigest()
        where = {"name": "ht_1_1", "split": "train", "cache_dir": tmp_path / "cache"}
        assert len(load_dataset("cpf1", url=str(table), md5=md5, **where)) == 40
        with pytest.raises(OSError, match="damaged or was replaced"):
            load_dataset("cpf1", url=str(table), md5=md5[::-1], **where)
        with pytest.raises(ValueError, match="holds no table of ht_1_1"):
            load_dataset("cpf1", url=str(table), md5=md5, cache_dir=tmp_path / "cache")
        pytest.importorskip("openpyxl")
        with pd.ExcelWriter(tmp_path / "supplement.xlsx") as book:
            for sheet in ("Data set HT 1-2", "Data set HT 1-1"):
                pd.read_csv(table).head(7 if sheet.endswith("2") else 20).to_excel(book, sheet_name=sheet, index=False)
        data = load_dataset("cpf1", url=str(tmp_path / "supplement.xlsx"), validation=5, cache_dir=tmp_path / "cache")
        assert {split: len(rows) for split, rows in data.items()} == {"train": 15, "validation": 5, "test": 7}

    def test_no_source_says_what_to_give(self, tmp_path):
        with pytest.raises(ValueError, match="give data_dir=FOLDER"):
            load_dataset("cpf1", cache_dir=tmp_path)

    def test_a_missing_table_is_named(self, folder, tmp_path):
        with pytest.raises(ValueError, match=r"no table of hek_lenti; expected a file such as hek_lenti.csv"):
            load_dataset("cpf1", name="hek_lenti", data_dir=folder, cache_dir=tmp_path)

    def test_endogenous_sets_train_on_hek_lenti_and_test_on_the_others(self, tmp_path):
        for name, rows in (("hek_lenti", 6), ("hek_plasmid", 4), ("chari_2017", 3)):
            table = pd.DataFrame(
                {"target": targets(rows), "indel": range(rows), "CA": [row % 2 for row in range(rows)]}
            )
            table.to_csv(tmp_path / f"{name}.csv", index=False)
        data = load_dataset("cpf1", name="endogenous", data_dir=tmp_path, cache_dir=tmp_path / "cache")
        assert {split: len(rows) for split, rows in data.items()} == {"train": 6, "test": 4, "test_chari_2017": 3}
        assert data["test"]["accessible"][:] == [0, 1, 0, 1]

    def test_a_table_of_another_enzyme_is_split_by_protospacer(self, tmp_path):
        own = tmp_path / "enzyme"
        own.mkdir()
        rows = targets(20)
        twice = ["C" * 8 + row[8:] for row in rows]  # the same protospacers
        pd.DataFrame({"name": range(40), "context": rows + twice, "LbCas12a indel frequency (%)": range(40)}).to_csv(
            own / "lb.csv", index=False
        )
        where = {"name": "table", "data_dir": own, "cache_dir": tmp_path / "cache"}
        data = load_dataset("cpf1", **where)
        assert {split: len(part) for split, part in data.items()} == {"train": 32, "test": 8}
        sides = [{row[8:31] for row in data[split]["target"]} for split in ("train", "test")]
        assert not sides[0] & sides[1] and data["test"]["id"][0].startswith("table:")
        labels = dict(zip(rows + twice, range(40), strict=True))
        assert all(labels[row["target"]] == row["label"] for row in data["train"])
        assert list(load_dataset("cpf1", test_share=0, **where)) == ["train"]
        for share, message in ((1.5, "is no share to hold out"), (0.001, "leaves nothing to train on or to test on")):
            with pytest.raises(ValueError, match=message):
                load_dataset("cpf1", test_share=share, **where)
        (own / "more.tsv").write_text("x")
        with pytest.raises(ValueError, match=r"must hold one table .*found lb.csv, more.tsv"):
            load_dataset("cpf1", **where, seed=1)
        with pytest.raises(ValueError, match="give data_dir=FOLDER with your table"):
            load_dataset("cpf1", name="table", cache_dir=tmp_path / "cache")

    def test_real_tables(self, real_data, tmp_path):
        data = load_dataset("cpf1", data_dir=real_data / "cpf1_activity", cache_dir=tmp_path)
        sizes = {split: len(rows) for split, rows in data.items()}
        assert sizes == {"train": 13_500, "validation": 1_500, "test": 1_292, "test_ht_2": 2_963}
        labels = np.concatenate([data["train"]["label"], data["validation"]["label"]])
        assert (labels.min(), labels.max()) == (-8.0, 100.0) and labels.mean() == pytest.approx(41.4, abs=0.05)
        assert (labels < 0).sum() == 861


class TestLayouts:
    def test_workbook_with_title_rows_and_a_sheet_a_set(self, tmp_path):
        pytest.importorskip("openpyxl")
        body = [
            ["Supplementary Table 1"],
            ["", "34 bp target sequence", "Indel frequency (%)", "Chromatin accessibility"],
        ]
        body += [
            [row, target, value, row % 2]
            for row, (target, value) in enumerate(zip(targets(4), [-1, 5, 50, 99], strict=True))
        ]
        with pd.ExcelWriter(tmp_path / "NBT.xlsx") as book:
            pd.DataFrame([["nothing"]]).to_excel(book, sheet_name="Read me", header=False, index=False)
            pd.DataFrame(body).to_excel(book, sheet_name="Data set HEK-lenti", header=False, index=False)
        place = find_table(tmp_path, "hek_lenti")
        assert place == (tmp_path / "NBT.xlsx", "Data set HEK-lenti")
        rows = read_activity_table(*place)
        assert rows.label.tolist() == [-1, 5, 50, 99] and rows.accessible.tolist() == [0, 1, 0, 1]
        assert find_table(tmp_path, "ht_1_1") is None

    def test_background_subtracted_column_is_the_label(self, tmp_path):
        table = pd.DataFrame(
            {
                "t": targets(3),
                "Indel frequency (%) (background subtracted)": [1.0, 2.0, -3.0],
                "Indel frequency (%) Cpf1 delivered": [10.0, 20.0, 30.0],
            }
        )
        table.to_csv(tmp_path / "ht_2.tsv", sep="\t", index=False)
        assert read_activity_table(tmp_path / "ht_2.tsv").label.tolist() == [1.0, 2.0, -3.0]

    def test_a_table_without_header(self, tmp_path):
        lines = [f"{target},{value}" for target, value in zip(targets(3), (5, 6.5, -2), strict=True)]
        (tmp_path / "kim_2016.csv").write_text("\n".join(lines))
        assert read_activity_table(tmp_path / "kim_2016.csv").label.tolist() == [5, 6.5, -2]

    def test_ht_1_2_is_not_taken_for_ht_2(self, tmp_path):
        (tmp_path / "HT 1-2.csv").write_text("x")
        assert find_table(tmp_path, "ht_2") is None

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ([("ACGT" * 8, 1)], "no cell with a 34-letter target"),
            ([(targets(1)[0], "n.d.")], "data row 0: .* is 'n.d.', expected a number"),
            ([(targets(1)[0], 1), ("ACGT", 2)], "no column of 34-letter targets|data row 1: target 'ACGT'"),
        ],
    )
    def test_wrong_tables_are_named(self, tmp_path, rows, message):
        pd.DataFrame(rows, columns=["target", "indel freq"]).to_csv(tmp_path / "ht_3.csv", index=False)
        with pytest.raises(ValueError, match=message):
            read_activity_table(tmp_path / "ht_3.csv")

    def test_wrong_accessibility_is_named(self, tmp_path):
        pd.DataFrame({"t": targets(2), "indel %": [1, 2], "CA": [1, 3]}).to_csv(
            tmp_path / "hek_lenti.csv", index=False
        )
        with pytest.raises(ValueError, match=r"data row 1: accessibility is .*, expected 0, 1 or nothing"):
            read_activity_table(tmp_path / "hek_lenti.csv")
