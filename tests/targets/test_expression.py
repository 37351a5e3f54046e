"""Scores beside log fold changes: the command, its picture, its test, and tables that cannot be used."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp
from typer.testing import CliRunner

from seqformers.metrics.targets import lfc_curves
from seqformers.targets.expression import compare_changes


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    changes = rng.normal(-0.2, 0.5, 90)
    rows = pd.DataFrame({"mirna_id": np.repeat(["a", "b", "c"], 30), "log_fold_change": changes})
    rows["score"], rows["other"] = 1 / (1 + np.exp(changes + rng.normal(0, 0.3, 90))), rng.random(90)
    rows.to_csv(tmp_path / "lfc.csv", index=False)
    return tmp_path / "lfc.csv"


def test_command(table, tmp_path):
    from seqformers.cli import app

    words = ["compare-changes", table, "-o", tmp_path / "t.tsv", "--plot", tmp_path / "p.png", "--score", "score"]
    result = CliRunner().invoke(app, [*map(str, words), "--score", "other", "--threshold", "0.55"])
    assert result.exit_code == 0, result.output
    rows, found = pd.read_csv(table), pd.read_csv(tmp_path / "t.tsv", sep="\t")
    for name in ("score", "other"):
        mine = found[found.score == name].reset_index(drop=True)
        expected = lfc_curves(rows[name], rows.log_fold_change, rows.mirna_id)
        pd.testing.assert_frame_equal(mine[list(expected)], expected, rtol=1e-6)
        called = rows[name] >= 0.55
        test = ks_2samp(rows.log_fold_change[called], rows.log_fold_change[~called], alternative="greater")
        assert mine.ks_p_value.unique() == pytest.approx([test.pvalue]) and (mine.called == called.sum()).all()
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_used(table, tmp_path):
    text = table.read_text()
    table.write_text(text.replace("a,", "a,x", 1))
    with pytest.raises(ValueError, match=r"lfc.csv line 2: .* is no number"):
        compare_changes(table, tmp_path / "t.tsv")
    assert not (tmp_path / "t.tsv").exists()
    remarks = compare_changes(table, tmp_path / "t.tsv", on_error="skip", threshold=2.0, mirna=None)
    assert sorted(remarks.counts.values()) == [1, 1]  # a row, and a test with nothing called
    found = pd.read_csv(tmp_path / "t.tsv", sep="\t")
    assert found.ks_p_value.isna().all() and found.k.max() == 50 and (found.mirnas == 1).all()
    with pytest.raises(FileExistsError):
        compare_changes(table, tmp_path / "t.tsv", on_error="skip")
    with pytest.raises(ValueError, match="no column lfc"):
        compare_changes(table, tmp_path / "u.tsv", change="lfc")
    table.write_text("\n".join(text.splitlines()[:5]))
    with pytest.raises(ValueError, match="4 usable pairs; 10 are needed"):
        compare_changes(table, tmp_path / "u.tsv")
