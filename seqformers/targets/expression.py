"""How far scores agree with expression after a miRNA was added: curves over depth, and a test of the shift."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from seqformers.datasets_scripts.common.remarks import Remarks
from seqformers.datasets_scripts.common.streams import check_source
from seqformers.datasets_scripts.common.tables import open_table
from seqformers.files import Output
from seqformers.metrics.targets import TOP_K, lfc_curves, lfc_shift
from seqformers.pictures import COLOURS, check_picture, save_picture
from seqformers.tables import TableWriter

__all__ = ["compare_changes", "draw_changes"]

COLUMNS = {
    "score": str, "k": int, "mirnas": int, "mean_lfc": float, "best_mean_lfc": float, "slfc": float, "called": int,
    "ks_statistic": float, "ks_p_value": float, "median_difference": float,
}  # fmt: skip


def compare_changes(
    table: str | Path,
    output: str | Path,
    *,
    scores: Sequence[str] = ("score",),
    change: str = "log_fold_change",
    mirna: str | None = "mirna_id",
    threshold: float = 0.5,
    plot: str | Path | None = None,
    on_error: str = "raise",
    overwrite: bool = False,
) -> Remarks:
    """Write a table, and a picture, of how well scores rank measured log fold changes.

    For each column of scores and each depth k: the mean change of the k best-scored pairs of each miRNA, averaged over
    miRNAs, beside the best that could be; the sLFC score at that depth (Min et al. 2022, figure 4.3); and, the same in
    every row of a column, whether pairs of at least `threshold` fall more than the others (Kolmogorov-Smirnov).

    Args:
        table (`str` or `Path`): Pairs with scores and changes: `.tsv`, `.csv`, `.jsonl`, `.parquet`, `.xlsx`.
        output (`str` or `Path`): Table to write.
        scores (`Sequence[str]`): Columns of scores, high for targets: one a model.
        change (`str`): Column of log fold changes, negative where the mRNA fell.
        mirna (`str`, *optional*): Column of the miRNA; None ranks all pairs together.
        threshold (`float`): Score from which a pair is called a target in the test.
        plot (`str` or `Path`, *optional*): Picture to draw, `.png`, `.svg` or `.pdf`.
        on_error (`str`): `"raise"`, or `"skip"` rows without a number and count them.
        overwrite (`bool`): Replace outputs.

    Returns:
        `Remarks`: what was left out.

    Raises:
        FileNotFoundError: there is no such table.
        ValueError: a column is missing, a cell is no number, or there are fewer than ten pairs.
    """
    check_source(table, "table")
    remarks = Remarks(on_error)
    with ExitStack() as stack:
        options: dict[str, Any] = {"inputs": [table], "overwrite": overwrite}
        picture = plot and stack.enter_context(Output(check_picture(plot), "compare-changes picture", **options))
        found = _read(table, [*scores, change], mirna, remarks)
        rows = [row for name in scores for row in _rows(found, name, change, mirna, threshold, remarks)]
        with TableWriter(output, COLUMNS, job="compare-changes", **options) as written:
            written.write(rows)
        if picture:
            figure = draw_changes(found, rows, change, threshold)
            save_picture(figure, picture.start(), dpi=150, kind=picture.path.suffix[1:].lower())
            picture.finish()
    return remarks


def _read(table: str | Path, numbers: Sequence[str], mirna: str | None, remarks: Remarks) -> pd.DataFrame:
    """The columns asked for, numbers checked."""
    texts = [mirna] if mirna else []
    source = open_table(table, required=[*texts, *numbers], text=texts, remarks=remarks)
    rows = []
    for number, row in source.rows():
        try:
            values = [float(row[name]) for name in numbers]
            if not all(map(math.isfinite, values)):
                raise ValueError
        except (TypeError, ValueError):
            shown = ", ".join(f"{name} {row[name]!r}" for name in numbers)
            remarks.problem("rows without a number left out", f"{source.where(number)}: {shown} is no number")
            continue
        rows.append([*values, *(row[name] for name in texts)])
    if len(rows) < min(TOP_K):
        raise ValueError(f"{table} has {len(rows)} usable pairs; {min(TOP_K)} are needed at least")
    return pd.DataFrame(rows, columns=[*numbers, *texts])


def _rows(
    table: pd.DataFrame, name: str, change: str, mirna: str | None, threshold: float, remarks: Remarks
) -> list[dict[str, Any]]:
    """One row a depth of one column of scores."""
    called = table[name].to_numpy() >= threshold
    test: dict[str, float | None] = dict.fromkeys(("statistic", "p_value", "difference"))
    if 0 < called.sum() < len(called):
        test = dict(lfc_shift(table[change], called))
    else:
        remarks.note("scores are all on one side of the threshold, so nothing is tested", name)
    curves = lfc_curves(table[name], table[change], table[mirna] if mirna else None)
    return [
        {"score": name, **row, "called": int(called.sum()), "ks_statistic": test["statistic"],
         "ks_p_value": test["p_value"], "median_difference": test["difference"]}
        for row in curves.astype(object).where(curves.notna(), None).to_dict("records")
    ]  # fmt: skip


def draw_changes(table: pd.DataFrame, rows: Sequence[dict[str, Any]], change: str, threshold: float) -> Figure:
    """Mean change and sLFC over depth, and cumulative changes of pairs called targets and of the others.

    Args:
        table (`pd.DataFrame`): Scores and changes.
        rows: Of [`compare_changes`].
        change (`str`): Column of changes.
        threshold (`float`): Score from which a pair is called a target.
    """
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    means, scores, shares = figure.subplots(1, 3)
    names = list(dict.fromkeys(row["score"] for row in rows))
    for name, colour in zip(names, COLOURS * len(names), strict=False):
        mine = [row for row in rows if row["score"] == name]
        depths = [row["k"] for row in mine]
        means.plot(depths, [row["mean_lfc"] for row in mine], "o-", color=colour, label=name)
        slfc = [math.nan if row["slfc"] is None else row["slfc"] for row in mine]
        scores.plot(depths, slfc, "o-", color=colour, label=name)
        called = table[name] >= threshold
        for inside, style in ((True, "-"), (False, ":")):
            changes = np.sort(table.loc[called == inside, change])
            if len(changes):
                label = f"{name} {'≥' if inside else '<'} {threshold:g}"
                shares.step(changes, np.arange(1, len(changes) + 1) / len(changes), style, color=colour, label=label)
    best = [row for row in rows if row["score"] == names[0]]
    means.plot([row["k"] for row in best], [row["best_mean_lfc"] for row in best], "k--", label="best possible")
    means.set(xscale="log", xlabel="best-scored pairs (k)", ylabel="mean log fold change")
    scores.set(xscale="log", xlabel="best-scored pairs (k)", ylabel="sLFC at k")
    shares.set(xlabel="log fold change", ylabel="share of pairs that fall at least so much")
    for axes in (means, scores, shares):
        axes.legend(fontsize=7)
    return figure
