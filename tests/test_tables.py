"""Tables resume after a kill, keep order and types, and are only ever complete under their final name."""

from __future__ import annotations

import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seqformers.tables import TableWriter

SCHEMA = {"id": str, "score": float}
ROWS = [{"id": f"r{i}", "score": i / 4} for i in range(10)]
SETTINGS = {"model": "a"}


def read(path):
    return {
        ".tsv": lambda: pd.read_csv(path, sep="\t"),
        ".csv": lambda: pd.read_csv(path),
        ".jsonl": lambda: pd.read_json(path, lines=True),
        ".parquet": lambda: pd.read_parquet(path),
    }[path.suffix]().to_dict("records")


@pytest.mark.parametrize("suffix", ["tsv", "csv", "jsonl", "parquet"])
def test_rows_come_back_in_order(tmp_path, suffix):
    path = tmp_path / f"t.{suffix}"
    with TableWriter(path, SCHEMA) as table:
        for row in ROWS:
            table.write([row])
    assert read(path) == ROWS
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", ["tsv", "csv", "jsonl", "parquet"])
@pytest.mark.parametrize("done", [0, 4, 10])
def test_resume_goes_on_where_it_stopped_to_the_same_bytes(tmp_path, suffix, done):
    path, whole = tmp_path / f"t.{suffix}", tmp_path / f"whole.{suffix}"
    with TableWriter(whole, SCHEMA) as table:
        table.write(ROWS)
    with pytest.raises(KeyboardInterrupt), TableWriter(path, SCHEMA, settings=SETTINGS) as table:
        table.write(ROWS[:done])
        raise KeyboardInterrupt
    assert not path.exists()
    with TableWriter(path, SCHEMA, settings=SETTINGS, resume=True) as table:
        assert table.rows_done == done
        table.write(ROWS[table.rows_done :])
    assert path.read_bytes() == whole.read_bytes()
    assert TableWriter(path, SCHEMA, settings=SETTINGS, resume=True).finished


@pytest.mark.parametrize(
    ("suffix", "torn", "done"),
    [
        ("tsv", "id\tscore\nr0\t0.0\nr1\t0.", 1),
        ("tsv", "id\tsc", 0),
        ("tsv", 'id\tscore\nr0\t0.0\n"a\nb', 1),
        ("jsonl", '{"id": "r0", "score": 0.0}\n{"id": "r1"', 1),
    ],
)
def test_a_torn_last_row_is_written_again(tmp_path, suffix, torn, done):
    path = tmp_path / f"t.{suffix}"
    (tmp_path / f"t.{suffix}.partial").write_text(torn)
    with TableWriter(path, SCHEMA, resume=True) as table:
        assert table.rows_done == done
        table.write(ROWS[done:])
    assert read(path) == ROWS


@pytest.mark.parametrize("broken", [0, 1, 2])
def test_torn_parts_are_written_again(tmp_path, monkeypatch, broken):
    monkeypatch.setattr("seqformers.tables._ROWS_PER_PART", 3)
    path = tmp_path / "t.parquet"
    with pytest.raises(KeyboardInterrupt), TableWriter(path, SCHEMA) as table:
        table.write(ROWS[:9])
        raise KeyboardInterrupt
    part = tmp_path / f"t.parquet.partial/part-00000{broken}.parquet"
    part.write_bytes(part.read_bytes()[:-7])
    with TableWriter(path, SCHEMA, resume=True) as table:
        assert table.rows_done == 3 * broken
        table.write(ROWS[table.rows_done :])
    assert read(path) == ROWS
    assert [pq.ParquetFile(path).metadata.row_group(group).num_rows for group in range(4)] == [3, 3, 3, 1]


@pytest.mark.parametrize("empty", [range(3), range(3, 6), range(10)])
def test_a_part_without_values_fits_the_others(tmp_path, monkeypatch, empty):
    monkeypatch.setattr("seqformers.tables._ROWS_PER_PART", 3)
    schema = {"id": str, "score": float, "windows": int, "vector": list, "known": bool}
    rows = [
        {"id": "r", "score": None, "windows": None, "vector": None, "known": None}
        if number in empty
        else {"id": "r", "score": 0.5, "windows": 1, "vector": [1.0, 2.0], "known": True}
        for number in range(10)
    ]
    with TableWriter(tmp_path / "t.parquet", schema) as table:
        table.write(rows)
    found = pq.read_table(tmp_path / "t.parquet")
    assert found.to_pylist() == rows
    types = [pa.string(), pa.float64(), pa.int64(), pa.list_(pa.float32()), pa.bool_()]
    assert [str(kind) for kind in found.schema.types] == [str(kind).replace("item", "element") for kind in types]


def test_a_table_without_rows_has_its_columns(tmp_path):
    for suffix in ("tsv", "parquet"):
        with TableWriter(tmp_path / f"t.{suffix}", SCHEMA):
            pass
    assert (tmp_path / "t.tsv").read_text() == "id\tscore\n"
    assert pq.read_schema(tmp_path / "t.parquet").types == [pa.string(), pa.float64()]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("suffix", ["tsv", "jsonl", "parquet"])
def test_values_that_are_no_numbers_are_refused(tmp_path, value, suffix):
    with pytest.raises(ValueError, match="row 'bad' has no number in column 'score'"):  # noqa: SIM117
        with TableWriter(tmp_path / f"t.{suffix}", SCHEMA) as table:
            table.write([ROWS[0], {"id": "bad", "score": value}])
    assert not (tmp_path / f"t.{suffix}").exists()


def test_existing_output_is_refused(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="--overwrite"):
        TableWriter(path, SCHEMA)
    assert path.read_text() == "mine"


def test_nothing_is_touched_before_the_first_row(tmp_path):
    path, partial = tmp_path / "t.tsv", tmp_path / "t.tsv.partial"
    path.write_text("yesterday")
    partial.write_text("half a night's work")
    with pytest.raises(ZeroDivisionError), TableWriter(path, SCHEMA, overwrite=True):
        raise ZeroDivisionError  # the input turned out to be no FASTA file
    assert (path.read_text(), partial.read_text()) == ("yesterday", "half a night's work")
    assert sorted(tmp_path.iterdir()) == [path, partial]


def test_other_settings_are_not_resumed(tmp_path):
    path = tmp_path / "t.tsv"
    with pytest.raises(KeyboardInterrupt), TableWriter(path, SCHEMA, settings=SETTINGS) as table:
        table.write(ROWS[:4])
        raise KeyboardInterrupt
    before = (tmp_path / "t.tsv.partial").read_text()
    with pytest.raises(ValueError, match="model: then 'a', now 'b'"):
        TableWriter(path, SCHEMA, settings={"model": "b"}, resume=True)
    assert (tmp_path / "t.tsv.partial").read_text() == before
    assert json.loads((tmp_path / "t.tsv.partial.json").read_text())["settings"] == SETTINGS


def test_unknown_suffix_names_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match=r"\.parquet"):
        TableWriter(tmp_path / "t.xlsx", SCHEMA)
