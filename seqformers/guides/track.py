"""A picture of Cpf1 guides along a gene: where they cut, how well, on which strand."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

__all__ = ["check_picture", "draw_guide_track", "plot_guides", "read_guides"]

# Kind, start, end, strand and name of what lies on a record.
Models = Callable[[str], list[tuple[str, int, int, str, str]]]

_STRANDS = {"+": ("^", "#1f6f8b", "forward"), "-": ("v", "#c8553d", "reverse")}
_NEEDED = ("record_id", "strand", "cut_start", "score", "rank")
_MOST_RECORDS = 12
_LONGEST_TITLE = 100
_HEIGHTS = {"gene": 0.015, "exon": 0.22, "CDS": 0.45}  # of the boxes below a record, as shares of that panel
_COUNTED = "off_targets_"
_PICTURES = (".png", ".svg", ".pdf")


def read_guides(table: str | Path) -> pd.DataFrame:
    """The table that `score-guides` wrote for FASTA input, as a `pandas.DataFrame`.

    Raises:
        FileNotFoundError: there is no such table.
        ValueError: it has another suffix or lacks a column of a guide table.
    """
    path = Path(table)
    if not path.is_file():
        raise FileNotFoundError(f"no such table: {path}")
    text: dict[str, Any] = {
        "dtype": {"record_id": str}, "keep_default_na": False, "na_values": dict.fromkeys(("score", "rank"), ""),
    }  # fmt: skip
    readers: dict[str, Callable[[], pd.DataFrame]] = {
        ".tsv": lambda: pd.read_csv(path, sep="\t", **text),
        ".csv": lambda: pd.read_csv(path, **text),
        ".jsonl": lambda: pd.read_json(path, lines=True, dtype={"record_id": str}, convert_dates=False),
        ".parquet": lambda: pd.read_parquet(path),
    }
    if path.suffix not in readers:
        raise ValueError(f"cannot read {path.name}; expected .tsv, .csv, .jsonl or .parquet")
    guides = readers[path.suffix]()
    missing = [name for name in _NEEDED if name not in guides]
    if missing:
        raise ValueError(
            f"{path.name} has no column {', '.join(missing)}; a track needs the table of a FASTA file, where guides "
            "have positions"
        )
    return guides


def draw_guide_track(
    table: str | Path,
    picture: str | Path,
    *,
    records: list[str] | None = None,
    label_best: int = 5,
    format: str | None = None,
    genes: Models | None = None,
) -> Path:
    """Draw every guide of a table at its cut, as high as its score; the best of each record carry their rank.

    Where the table counts off-targets, a guide is the paler the less specific it is, and the labels say how many there
    are with 0, 1, 2, ... mismatches.

    Args:
        table (`str` or `Path`): What `score-guides` wrote for FASTA input.
        picture (`str` or `Path`): `.png`, `.svg` or `.pdf` to write.
        records (`list[str]`, *optional*): Which records; default all. A picture shows 12, more are a warning.
        label_best (`int`, defaults to 5): Guides a record that carry rank and cut position.
        format (`str`, *optional*): `png`, `svg` or `pdf`; by default what the name says.
        genes (callable, *optional*): Gene models of a record, drawn below it; see
            [`seqformers.guides.genes.GeneModels.drawn`].

    Returns:
        `Path`: `picture`.

    Raises:
        ValueError: the table has no scored guide or not the record asked for.
    """
    guides = read_guides(table).dropna(subset=["score"])
    if guides.empty:
        raise ValueError(f"{table} holds no scored guide; nothing to draw")
    names = list(dict.fromkeys(guides["record_id"])) if records is None else records
    unknown = [name for name in names if name not in set(guides["record_id"])]
    if unknown:
        raise ValueError(f"{table} has no scored guide of record {unknown[0]!r}")
    if len(names) > _MOST_RECORDS:
        warnings.warn(
            f"{table} has guides of {len(names)} records, {picture} shows the first {_MOST_RECORDS}; others by "
            "draw_guide_track(table, picture, records=[...])",
            stacklevel=2,
        )
    plot_guides(guides, names[:_MOST_RECORDS], label_best=label_best, genes=genes).savefig(
        picture, dpi=150, format=format or check_picture(picture).suffix[1:]
    )
    return Path(picture)


def check_picture(path: str | Path) -> Path:
    """`path`, if it names a picture that can be drawn, else `ValueError`."""
    path = Path(path)
    if path.suffix not in _PICTURES:
        raise ValueError(f"cannot draw {path.name}: use a name that ends in {', '.join(_PICTURES)}")
    return path


def plot_guides(guides: Any, records: list[str], *, label_best: int = 5, genes: Models | None = None) -> Figure:
    """The picture of [`draw_guide_track`] from a table in memory.

    Args:
        guides (`pandas.DataFrame`): Columns record_id, strand, cut_start, score, rank; every score is there.
        records (`list[str]`): Which records, a panel each.
        label_best (`int`, defaults to 5): Guides a record that carry rank and cut position.
        genes (callable, *optional*): Gene models of a record, drawn below it.

    Returns:
        `matplotlib.figure.Figure`.
    """
    models = {name: genes(str(name)) if genes else [] for name in records}
    heights = [part for name in records for part in ([2.4, 0.5] if models[name] else [2.4])]
    figure = Figure(figsize=(10, sum(heights) + 0.8), layout="constrained")
    axes = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0].tolist()
    panels = iter(axes)
    for name in records:
        axis = next(panels)
        _draw_record(axis, str(name), guides[guides["record_id"] == name], label_best)
        if models[name]:
            below = next(panels)
            below.sharex(axis)
            axis.tick_params(labelbottom=False)
            _draw_genes(below, models[name])
    axes[0].legend(loc="lower right", bbox_to_anchor=(1, 1), frameon=False, ncols=3, fontsize=8)
    axes[-1].set_xlabel("cut (0-based position on the forward strand)")
    return figure


def _draw_record(axis: Any, name: str, guides: Any, label_best: int) -> None:
    dense = len(guides) > 5000
    for strand, (marker, colour, label) in _STRANDS.items():
        rows = guides[guides["strand"] == strand]
        shade = (0.2 + 0.8 * rows["specificity"].fillna(0) / 100).to_numpy() if "specificity" in rows else None
        size = 3 if dense else 26
        axis.scatter(
            rows["cut_start"], rows["score"], s=size, marker=marker, c=colour, lw=0, label=label, rasterized=dense,
            alpha=shade,
        )  # fmt: skip
        if not dense:
            axis.vlines(
                rows["cut_start"], 0, rows["score"], colors=colour, lw=0.6, alpha=0.5 if shade is None else 0.3
            )
    if "accessible" in guides:
        closed = guides[guides["accessible"] == 0]
        axis.scatter(
            closed["cut_start"],
            closed["score"],
            s=40,
            facecolors="none",
            edgecolors="0.5",
            lw=0.6,
            label="closed chromatin",
        )
    for _, guide in guides.nsmallest(label_best, "rank").iterrows():
        axis.annotate(
            _label(guide), (guide["cut_start"], guide["score"]),
            xytext=(0, 6), textcoords="offset points", ha="center", fontsize=7,
        )  # fmt: skip
    axis.axhline(0, c="0.3", lw=0.8)
    name = name if len(name) <= _LONGEST_TITLE else name[: _LONGEST_TITLE - 3] + "..."
    counts = _counted(guides)
    said = f"; labels: rank, cut, off-targets with 0 to {len(counts) - 1} mismatches" if counts else ""
    axis.set_title(f"{name} ({len(guides):,} guides{said})", loc="left", fontsize=9, parse_math=False)
    axis.set_ylabel("predicted indels, %")
    axis.set_ylim(min(0.0, guides["score"].min()) - 3, guides["score"].max() * 1.2 + 3)
    axis.spines[["top", "right"]].set_visible(False)


def _label(guide: Any) -> str:
    """Rank and cut; below it the off-targets by mismatches, where they were counted."""
    text = f"{int(guide['rank'])}: {int(guide['cut_start']):,}"
    counts = [guide[name] for name in _counted(guide.to_frame().T)]
    return f"{text}\n{'/'.join(str(int(count)) for count in counts)}" if counts else text


def _counted(guides: Any) -> list[str]:
    return [name for name in guides.columns if name.startswith(_COUNTED)]


def _draw_genes(axis: Any, features: list[tuple[str, int, int, str, str]]) -> None:
    """Genes as lines with their names, exons as low boxes, coding parts as high ones; arrows say the strand."""
    for kind, start, end, strand, name in features:
        height = _HEIGHTS[kind]
        axis.broken_barh([(start, end - start)], (-height, 2 * height), facecolor="0.25" if kind == "CDS" else "0.55")
        if kind == "gene":
            arrow = {"+": f"{name} \u2192", "-": f"\u2190 {name}"}.get(strand, name)
            axis.text(
                (start + end) / 2, -0.55, arrow, ha="center", va="top", fontsize=7, clip_on=True, parse_math=False
            )
    axis.set_ylim(-1.1, 0.6)
    axis.set_yticks([])
    axis.spines[["top", "right", "left"]].set_visible(False)
