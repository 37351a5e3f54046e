"""Tables resume after a kill, keep order, and are only ever complete under their final name."""

import pandas as pd
import pytest

from seqformers.tables import TableWriter

ROWS = [{"id": f"r{i}", "score": i / 4} for i in range(10)]


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
    with TableWriter(path, ["id", "score"]) as table:
        for row in ROWS:
            table.write([row])
    assert read(path) == ROWS
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", ["tsv", "jsonl", "parquet"])
def test_resume_goes_on_where_it_stopped(tmp_path, suffix):
    path = tmp_path / f"t.{suffix}"
    with pytest.raises(KeyboardInterrupt), TableWriter(path, ["id", "score"]) as table:
        table.write(ROWS[:4])
        raise KeyboardInterrupt
    assert not path.exists()
    with TableWriter(path, ["id", "score"], resume=True) as table:
        assert table.rows_done == 4
        table.write(ROWS[table.rows_done :])
    assert read(path) == ROWS


def test_a_torn_last_line_is_written_again(tmp_path):
    path = tmp_path / "t.tsv"
    (tmp_path / "t.tsv.partial").write_text("id\tscore\nr0\t0.0\nr1\t0.")
    with TableWriter(path, ["id", "score"], resume=True) as table:
        assert table.rows_done == 1
        table.write(ROWS[1:])
    assert read(path) == ROWS


def test_existing_output_is_refused(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="--overwrite"):
        TableWriter(path, ["id"])
    assert path.read_text() == "mine"


def test_unknown_suffix_names_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match=r"\.parquet"):
        TableWriter(tmp_path / "t.xlsx", ["id"])
