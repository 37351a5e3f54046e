"""Tables as users have them: every row comes out, or is refused by its number."""

from __future__ import annotations

import csv
import datetime
import gzip
import io
import json
import os
import threading

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqformers.datasets_scripts.common.bed import read_bed
from seqformers.datasets_scripts.common.remarks import Remarks
from seqformers.datasets_scripts.common.tables import is_table, open_table

PLAIN = "id\ttarget\tnote\ng1\tACGT\tx\ng2\tGGTT\t\n"
ROWS = [{"id": "g1", "target": "ACGT", "note": "x"}, {"id": "g2", "target": "GGTT", "note": ""}]


def write(folder, content, name="g.tsv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path, **options):
    return [row for _, row in open_table(path, **options).rows()]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("g.tsv", PLAIN),
        ("g.txt", PLAIN),
        ("g.tsv.gz", gzip.compress(PLAIN.encode(), mtime=0)),
        ("crlf.tsv", PLAIN.replace("\n", "\r\n")),
        ("no_end.tsv", PLAIN + "g3\tAAAA\t"),
        ("mark.tsv", PLAIN.encode("utf-8-sig")),
        ("utf16.tsv", PLAIN.encode("utf-16")),
        ("utf16.txt", PLAIN.replace("\n", "\r\n").encode("utf-16")),
        ("comma.csv", PLAIN.replace("\t", ",")),
        ("semicolon.csv", PLAIN.replace("\t", ";")),
        ("sep.csv", "sep=;\n" + PLAIN.replace("\t", ";")),
        ("tabs.csv", PLAIN),
        ("trailing.tsv", PLAIN.replace("\n", "\t\n")),
        ("trailing_rows.tsv", PLAIN.replace("x\n", "x\t\t\n")),
        ("blanks.tsv", "\n" + PLAIN.replace("g2", "\n\ng2") + "\n\n"),
        ("behind_a_mark.tsv", "#" + PLAIN),
        ("quoted.tsv", PLAIN.replace("ACGT", '"ACGT"')),
        ("quoted.csv", PLAIN.replace("\t", ",").replace("ACGT", '"ACGT"')),
    ],
)
@pytest.mark.parametrize("required", [(), ("id", "target")])
def test_rows_are_read(tmp_path, name, content, required):
    extra = [{"id": "g3", "target": "AAAA", "note": ""}] if name == "no_end.tsv" else []
    assert read(write(tmp_path, content, name), required=required) == ROWS + extra


def test_quotes_in_tsv_swallow_nothing(tmp_path):
    text = 'id\ttarget\tnote\ng1\tACGT\t"3 prime\ng2\tGG\tx\ng3\tGG\tlast "one"\ng4\tGG\t"a ""b"""\ng5\tGG\t"\n'
    rows = read(write(tmp_path, text))
    assert [row["note"] for row in rows] == ['"3 prime', "x", 'last "one"', 'a "b"', '"']


def test_quoted_fields_of_csv(tmp_path):
    text = 'id,note,n\na,"x, ""y""",1\nb,"two\n\nlines",2\nc,5" end,3\nd, "e",4\n'
    table = open_table(write(tmp_path, text, "g.csv"))
    rows = list(table.rows())
    assert [row["note"] for _, row in rows] == ['x, "y"', "two\n\nlines", '5" end', "e"]
    assert [number for number, _ in rows] == [2, 3, 6, 7]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("g.csv", 'id,target,note\na,AC,"3 prime\nb,AC,x\n', "line 2: a quote opens .* before line 3"),
        ("g.csv", 'id,target,note\na,AC,"3 prime\nb,AC,5 prime"\n', "line 2: a quote opens .* before line 3"),
        ("g.csv", 'id,target,note\na,AC,"3 prime\n', "line 2: a quote opens .* in the lines behind it"),
        ("g.tsv", "id\ttarget\na\tAC\nb\n", "line 3 has 1 of 2 columns"),
        ("g.tsv", "id\ttarget\na\tAC\tx\n", "line 2 has 3 of 2 columns .*row name"),
        ("g.tsv", "id\ttarget\na\tAC\nb\t\n", r"line 3: no target \(of 'b'\): the cell is empty"),
        ("g.tsv", "id\ttarget\na\tAC\n \tAC\n", r"line 3: no id \(of 'AC'\)"),
        ("g.tsv", "name\tseq\na\tAC\n", "has no column id and no column target; it has name, seq"),
        ("g.tsv", "id\ttarget\tid\na\tAC\ta\n", "two columns 'id'"),
        ("g.tsv", ">a\nACGT\n", "this is a file of sequences"),
        ("g.tsv", "<!DOCTYPE html>\n<p>404\n", "this is a web page"),
        ("g.tsv", "", "is empty; expected a header with the columns id, target"),
        ("g.tsv", "# nothing\n", "is empty"),
        ("g.tsv", "id\x00\ttarget\n", "line 1 is no text"),
        ("g.jsonl", '{"id": "a", "target": "AC"}\n{"id": \n', "line 2 is not JSON"),
        ("g.jsonl", '{"id": "a", "target": "AC"}\n[1]\n', "line 2 is a list"),
        ("g.jsonl", '{"id": "a", "target": "AC"}\n{"id": "b"}\n', r"line 2: no target \(of 'b'\)"),
        ("g.jsonl", '{"id": "a", "target": "AC"}\n{"id": "b", "target": NaN}\n', r"line 2: no target \(of 'b'\)"),
        ("g.jsonl", "\n", "is empty"),
        ("g.parquet", "id,target\n", "is not a Parquet file; it is damaged"),
        ("g.parquet", "PAR1 and nothing else", "cannot be read as a Parquet table"),
        ("g.xlsx", "%PDF-1.4", "is not an Excel workbook but a PDF document"),
        ("g.xlsx", "PK\x03\x04 and nothing else", "cannot be read as an Excel workbook"),
    ],
)
def test_bad_tables_are_named(tmp_path, name, text, message):
    path = write(tmp_path, text, name)
    with pytest.raises(ValueError, match=message) as error:
        read(path, required=("id", "target"))
    assert name in str(error.value)


def test_skip_counts_what_it_leaves_out(tmp_path):
    path = write(tmp_path, "id\ttarget\na\tAC\nb\nc\t\n\td\ne\tAC\tx\nf\tAC\n")
    remarks = Remarks("skip")
    assert [row["id"] for row in read(path, required=("id", "target"), remarks=remarks)] == ["a", "f"]
    assert remarks.counts == {"rows left out": 4} and "line 3 has 1 of 2" in remarks.lines()[0]
    with pytest.warns(UserWarning, match="4 rows left out"):
        read(path, required=("id", "target"), on_error="skip")


def test_latin1_is_read_and_said(tmp_path):
    path = write(tmp_path, "id\tnote\na\tx\nb\tcafé\n".encode("latin-1"))
    with pytest.warns(UserWarning, match=r"1 lines that are no UTF-8, read as Latin-1 .*g\.tsv line 3"):
        assert read(path)[1]["note"] == "café"


def test_comments_are_counted(tmp_path):
    remarks = Remarks()
    path = write(tmp_path, "# made by\n# us, in 2020\nid,target\na,AC\n# and\nb,AC\n,\n", "g.csv")
    assert [row["id"] for row in read(path, required=("id",), remarks=remarks)] == ["a", "b"]
    assert remarks.counts == {"comment lines, skipped": 3, "rows without any cell, skipped": 1}
    assert [row["id"] for row in read(path)] == ["a", "b"]
    marked = write(tmp_path, "# note\n#id\ttarget\n#a\tAC\nb\n")
    with pytest.raises(ValueError, match="no column id"):
        read(marked, required=("id",))
    marked = write(tmp_path, "# note\n#id\ttarget\na\tAC\n#b\tAC\n")
    assert [row["id"] for row in read(marked, required=("id",))] == ["a", "#b"]
    both = write(tmp_path, "#id\ttarget\nid\ttarget\na\tAC\n")
    assert read(both, required=("id",)) == [{"id": "a", "target": "AC"}]


def test_long_fields(tmp_path):
    sequence = "ACGT" * 100_000
    for name, text in (("g.tsv", f"id\ts\na\t{sequence}\n"), ("g.csv", f'id,s\na,"{sequence}"\n')):
        assert read(write(tmp_path, text, name)) == [{"id": "a", "s": sequence}]


DAY = datetime.date(2024, 3, 1)
TYPED = {
    "id": [1, 2],
    "day": [DAY, None],
    "time": [datetime.datetime(2024, 3, 1, 12, 30), datetime.datetime(2024, 3, 1)],
    "value": [0.5, float("nan")],
    "count": [3, None],
}


def test_parquet_keeps_types_and_writes_dates(tmp_path):
    path = tmp_path / "g.parquet"
    nested = [[0.5, float("nan")], [1.0]]
    pq.write_table(pa.table({**TYPED, "map": nested, "raw": [b"x", None]}), path)
    rows = read(path, text=("id",))
    assert rows[0] == {
        "id": "1", "day": "2024-03-01", "time": "2024-03-01T12:30:00", "value": 0.5, "count": 3, "raw": "x",
        "map": rows[0]["map"],
    }  # fmt: skip
    assert rows[0]["map"][0] == 0.5 and np.isnan(rows[0]["map"][1])
    assert rows[1] == {
        "id": "2", "day": None, "time": "2024-03-01", "value": None, "count": None, "raw": None, "map": [1.0]
    }  # fmt: skip
    json.dumps(rows)
    with pytest.raises(ValueError, match=r"row 2: no count \(of 2\)"):
        read(path, required=("id", "count"))


def test_pandas_parquet_has_no_index_column(tmp_path):
    path = tmp_path / "g.parquet"
    pd.DataFrame({"id": ["a", "b"], "day": pd.to_datetime(["2024-03-01", None])}, index=[5, 7]).to_parquet(path)
    assert read(path) == [{"id": "a", "day": "2024-03-01"}, {"id": "b", "day": None}]


def workbook(path, *sheets):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for place, rows in enumerate(sheets):
        sheet = book.create_sheet(f"s{place}")
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_excel(tmp_path):
    rows = [["id", "target", "day", "n"], [7, "ACGT", DAY, 3], [], ["b", "GG", None, 0.5], ["c", "#N/A"]]
    path = workbook(tmp_path / "g.xlsx", [["notes"], ["x"]], [["# made by us"], *rows])
    remarks = Remarks("skip")
    table = open_table(path, required=("id", "target"), text=("id",), remarks=remarks)
    assert list(table.rows()) == [
        (3, {"id": "7", "target": "ACGT", "day": "2024-03-01", "n": 3}),
        (5, {"id": "b", "target": "GG", "day": None, "n": 0.5}),
    ]
    assert "'s1'" in str(remarks.lines()) and "row 6: no target (of 'c')" in str(remarks.lines())
    renamed = path.rename(tmp_path / "g.tsv")
    assert len(list(open_table(renamed, required=("id",)).rows())) == 3


def test_an_empty_workbook(tmp_path):
    with pytest.raises(ValueError, match="is empty"):
        open_table(workbook(tmp_path / "g.xlsx", []))


def test_types_are_known_before_the_rows(tmp_path):
    path = tmp_path / "g.parquet"
    pq.write_table(pa.table({**TYPED, "none": pa.nulls(2), "map": [[0.5], [1.0]], "yes": [True, None]}), path)
    table = open_table(path, text=("id",))
    expected = {"id": str, "day": str, "time": str, "value": float, "count": int, "none": str, "map": str, "yes": bool}
    assert table.types == expected
    assert next(table.rows())[1]["map"] == "[0.5]"
    mixed = workbook(tmp_path / "g.xlsx", [["id", "n", "x", "s", "e"], [1, 2, 3, "a", None], [2, 3, 0.5, 7, None]])
    table = open_table(mixed)
    assert table.types == {"id": int, "n": int, "x": float, "s": str, "e": str}
    rows = [row for _, row in table.rows()]
    assert [(row["x"], row["s"]) for row in rows] == [(3.0, "a"), (0.5, "7")] and type(rows[0]["x"]) is float
    assert open_table(write(tmp_path, PLAIN)).types == {"id": str, "target": str, "note": str}
    path = write(tmp_path, '{"a": 1, "b": [1], "c": true}\n{"a": null, "b": null, "c": false}\n', "g.jsonl")
    assert open_table(path).types == {"a": int, "b": str, "c": bool}


def test_cells_of_one_column(tmp_path):
    path = tmp_path / "g.parquet"
    pq.write_table(pa.table(TYPED), path)
    assert list(open_table(path).cells("time")) == ["2024-03-01T12:30:00", "2024-03-01"]
    assert list(open_table(write(tmp_path, PLAIN)).cells("note")) == ["x", ""]


def test_frames(tmp_path):
    table = open_table(write(tmp_path, PLAIN))
    whole = list(table.frames(1))
    assert [frame.index.tolist() for frame in whole] == [[2], [3]]
    assert pd.concat(whole).to_dict("records") == ROWS
    path = write(tmp_path, '{"id": 1, "n": 2}\n{"id": 2}\n', "g.jsonl")
    assert next(open_table(path).frames()).to_dict("records") == [{"id": 1, "n": 2}, {"id": 2, "n": None}]
    path = write(tmp_path, '{"id": 1}\n{"id": 2, "m": 3}\n', "g.jsonl")
    with pytest.raises(ValueError, match="line 2: the first row has no 'm'"):
        list(open_table(path).frames())


def test_pipes_and_standard_input(tmp_path, monkeypatch):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(PLAIN,))
    writer.start()
    assert read(pipe) == ROWS
    writer.join()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(PLAIN.encode())))
    assert read("-") == ROWS


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such table"):
        open_table(tmp_path / "nowhere.tsv")
    with pytest.raises(ValueError, match="is a folder"):
        open_table(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.tsv", PLAIN, True), ("a.csv.gz", gzip.compress(b"id\n", mtime=0), True), ("a.fa", PLAIN, False),
        ("a.txt", ">a\nAC\n", False), ("b.txt", "\ufeff\n>a\nAC\n", False), ("c.txt", "@r\nA\n+\nI\n", False),
        ("a.parquet", "", True),
    ],
)  # fmt: skip
def test_what_is_a_table(tmp_path, name, content, expected):
    assert is_table(write(tmp_path, content, name)) is expected


def test_a_stream_is_no_table(tmp_path):
    assert not is_table("-")
    os.mkfifo(tmp_path / "pipe.tsv")
    assert not is_table(tmp_path / "pipe.tsv")


class TestBed:
    @pytest.mark.parametrize(
        "content",
        [
            b"chr1\t50\t120\nchr2\t0\t9\n",
            b"\xef\xbb\xbfchr1\t50\t120\nchr2\t0\t9\n",
            b"chrom\tstart\tend\nchr1\t50\t120\nchr2\t0\t9\n",
            b"#chrom\tchromStart\tchromEnd\ntrack name=x\nchr1 50 120\n\nchr2 0 9\n",
            b"chr1\t50\t120\tcaf\xe9\r\nchr2\t0\t9\t.\r\n",
            gzip.compress(b"chr1\t50\t120\nchr2\t0\t9\n", mtime=0),
            "chr1\t50\t120\nchr2\t0\t9\n".encode("utf-16"),
        ],
    )
    def test_regions(self, tmp_path, content):
        assert [row[1:] for row in read_bed(write(tmp_path, content, "p.bed"))] == [("chr1", 50, 120), ("chr2", 0, 9)]

    @pytest.mark.parametrize(
        "line", ["chr1\t9\t9", "chr1\t-1\t9", "chr1\tx\ty", "chr1", "chrom\tstart\tend", "\x00\x01"]
    )
    def test_other_lines_are_named(self, tmp_path, line):
        path = write(tmp_path, f"chr1\t1\t9\n{line}\n", "p.bed")
        with pytest.raises(ValueError, match=r"p\.bed line 2: .* is no region"):
            list(read_bed(path))


# Pieces that real tables are made of, right and wrong.
PIECES = st.sampled_from(
    [
        b"id", b"target", b"\t", b",", b";", b"\n", b"\r\n", b"\r", b'"', b'""', b"g1", b"ACGT", b"#", b"# c\n", b" ",
        b"sep=;\n", b"id\ttarget\n", b"id,target\n", b"g1\tACGT\n", b"g1,ACGT\n", b'"a\nb"', b"\xe9", b"\xff\xfe",
        b"\x00", b"\xef\xbb\xbf", b'{"id": 1}\n', b"{", b"[]", b"null\n", b"NaN", b"PK\x03\x04", b"PAR1", b">a\nAC\n",
    ]
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.filterwarnings("ignore::UserWarning")
@given(
    st.binary(max_size=60) | st.lists(PIECES, max_size=14).map(b"".join),
    st.sampled_from(["g.tsv", "g.csv", "g.txt", "g.jsonl", "g.parquet", "g.xlsx", "g.tsv.gz"]),
    st.sampled_from([(), ("id",), ("id", "target")]),
)
def test_any_bytes_are_rows_or_an_error_that_names_the_file(folder, content, name, required):
    path = write(folder, content, name)
    try:
        table = open_table(path, required=required)
        for _, row in table.rows():
            assert isinstance(row, dict) and (table.format == "jsonl" or list(row) == table.columns)
    except ValueError as error:
        assert name in str(error)


@given(st.sampled_from(["parquet", "xlsx"]), st.integers(0, 10_000), st.binary(min_size=1, max_size=30))
def test_damaged_files_are_rows_or_an_error_that_names_the_file(folder, kind, at, noise):
    path = folder / f"damaged.{kind}"
    if not (folder / f"whole.{kind}").exists():
        pq.write_table(pa.table(TYPED), folder / "whole.parquet")
        workbook(folder / "whole.xlsx", [["id", "target"], ["a", DAY], [1, None]])
    whole = (folder / f"whole.{kind}").read_bytes()
    at %= len(whole)
    path.write_bytes(whole[:at] + noise + whole[at + len(noise) :])
    try:
        list(open_table(path, required=("id",)).rows())
    except ValueError as error:
        assert path.name in str(error)


CELL = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp")), max_size=12)
PLAIN_CELL = CELL.map(lambda text: text.replace('"', "").strip())


@given(
    st.lists(st.tuples(PLAIN_CELL.map(lambda text: f"r{text}"), CELL, CELL), min_size=1, max_size=5),
    st.sampled_from([("g.csv", ","), ("g.csv", ";"), ("g.tsv", "\t")]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_was_written_is_read(folder, rows, how, encoding, line_end):
    name, separator = how
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, lineterminator=line_end)
    writer.writerows([["id", "target", "note"], *rows])
    path = folder / name
    path.write_bytes(text.getvalue().encode(encoding))
    assert read(path, required=("id",)) == [dict(zip(("id", "target", "note"), row, strict=True)) for row in rows]
