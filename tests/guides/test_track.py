"""The track picture draws what the table holds."""

from __future__ import annotations

import pandas as pd
import pytest

from seqformers.guides.track import draw_guide_track, plot_guides, read_guides


def table(path, rows=6, **extra):
    guides = pd.DataFrame(
        {
            "record_id": ["g"] * rows,
            "strand": ["+", "-"] * (rows // 2),
            "cut_start": range(10, 10 + 7 * rows, 7),
            "score": [50.0, 20, 70, -3, 10, None][:rows],
            "rank": [2, 3, 1, 5, 4, None][:rows],
            **extra,
        }
    )
    guides.to_csv(path, sep="\t", index=False)
    return path


def test_every_scored_guide_is_a_mark_and_the_best_carry_their_rank(tmp_path):
    guides = table(tmp_path / "g.tsv")
    assert draw_guide_track(guides, tmp_path / "g.svg", label_best=2).stat().st_size > 1000
    rows = read_guides(guides).dropna(subset=["score"])
    (axis,) = plot_guides(rows, rows["record_id"].unique(), label_best=2).axes
    marks = [tuple(point) for collection in axis.collections[::2] for point in collection.get_offsets()]
    assert sorted(marks) == [(10, 50), (17, 20), (24, 70), (31, -3), (38, 10)]
    assert [text.get_text() for text in axis.texts] == ["1: 24", "2: 10"]


def test_png_with_accessibility(tmp_path):
    path = draw_guide_track(table(tmp_path / "g.tsv", accessible=[0, 1, 1, 0, 1, 0]), tmp_path / "g.png")
    assert path.read_bytes()[:4] == b"\x89PNG"


def test_more_records_than_a_picture_takes_are_a_warning(tmp_path):
    rows = pd.DataFrame(
        {"record_id": [f"r{n}" for n in range(20)], "strand": "+", "cut_start": 5, "score": 9.0, "rank": 1}
    )
    rows.to_csv(tmp_path / "g.csv", index=False)
    with pytest.warns(UserWarning, match=r"guides of 20 records, .*g.svg shows the first 12"):
        draw_guide_track(tmp_path / "g.csv", tmp_path / "g.svg")
    text = (tmp_path / "g.svg").read_text()
    assert "r11 (1 guides)" in text and "r12 (" not in text


def test_wrong_tables_say_what_to_do(tmp_path):
    pd.DataFrame({"id": ["a"], "score": [1]}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ValueError, match="a track needs the table of a FASTA file"):
        read_guides(tmp_path / "t.csv")
    with pytest.raises(ValueError, match="no scored guide of record 'x'"):
        draw_guide_track(table(tmp_path / "g.tsv"), tmp_path / "g.png", records=["x"])
