"""What was built, drawn: lengths, GC content, and what the splits have in common."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import numpy as np
import pyarrow.parquet as pq
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seqformers.datasets_scripts.genomes.arrays import GenomeArrays
from seqformers.files import Output
from seqformers.pictures import COLOURS, check_picture, save_picture

__all__ = ["draw_build", "plot_build"]

_ROWS = 5_000  # of a split that are looked at
_LETTERS = 5_000  # of a genome
_MOST_CLASSES = 7
_BASES = set("ACGTUNacgtun")


class _Row(NamedTuple):
    length: int
    gc: float | None  # of the known letters; None of proteins
    kind: str


def plot_build(folder: str | Path, picture: str | Path, *, overwrite: bool = False) -> Path:
    """Draw a built data set; errors of [`draw_build`] and of outputs.

    Args:
        folder (`str` or `Path`): What `seqformers build` wrote.
        picture (`str` or `Path`): `.png`, `.svg` or `.pdf`.
        overwrite (`bool`): Replace an earlier picture.
    """
    with Output(check_picture(picture), "build --plot", inputs=[folder], overwrite=overwrite) as output:
        save_picture(draw_build(folder), output.start(), kind=output.path.suffix[1:].lower())
        return output.finish()


def draw_build(folder: str | Path) -> Figure:
    """Lengths and GC content of the rows by class, and the leakage that the report found between splits.

    Args:
        folder (`str` or `Path`): What `seqformers build` wrote. Of each split 5,000 rows are read, evenly spread.

    Raises:
        ValueError: no column of the tables holds sequences.
    """
    folder = Path(folder)
    rows = _genomes(folder) if GenomeArrays.is_built(folder) else _tables(folder)
    kinds = sorted({row.kind for row in rows})[:_MOST_CLASSES]
    report = folder / "report.json"
    leakage = _leakage(json.loads(report.read_text(encoding="utf-8")) if report.is_file() else {})
    nucleic = all(row.gc is not None for row in rows)
    figure = Figure(figsize=(12, 3.4), layout="constrained")
    lengths, gc, common = figure.subplots(1, 3)
    logs = np.log10([max(1, row.length) for row in rows])
    limits = float(logs.min()) - 0.1, float(logs.max()) + 0.1
    for place, kind in enumerate(kinds):
        own, colour = [row for row in rows if row.kind == kind], COLOURS[place]
        _steps(lengths, np.log10([max(1, row.length) for row in own]), colour, kind, limits)
        if nucleic:
            _steps(gc, [row.gc for row in own], colour, kind, (0, 1))
    lengths.set(xlabel="letters (log10)", ylabel="share of rows", xlim=limits)
    lengths.legend(frameon=False, fontsize=8)
    gc.set(xlabel="GC content" if nucleic else "proteins have no GC content", xlim=(0, 1))
    _bars(common, leakage)
    return figure


def _steps(axes: Axes, values: Any, colour: str, label: str, limits: tuple[float, float]) -> None:
    counts, edges = np.histogram(values, bins=100, range=limits)
    axes.stairs(counts / max(1, counts.sum()), edges, color=colour, label=label)


def _bars(axes: Axes, leakage: dict[str, float]) -> None:
    axes.barh(list(leakage), list(leakage.values()), color=COLOURS[1])
    axes.set(xlim=(0, 1), xlabel="share in common with the first split" if leakage else "no report of leakage")
    axes.invert_yaxis()


def _leakage(report: dict[str, Any]) -> dict[str, float]:
    """What is in common -> share, of reads where they were compared and else of genomes."""
    if reads := report.get("read_leakage"):
        return {
            f"{split}, {said}": row[key]
            for split, row in reads["splits"].items()
            for key, said in (("half", "half of its words"), ("identical", "identical"))
        }
    sketched = report.get("genome_leakage") or {"splits": {}}
    return {f"{split}, words of genomes": row["contained"] for split, row in sketched["splits"].items()}


def _row(letters: str, kind: str, length: int | None = None) -> _Row:
    known = [letters.upper().count(letter) for letter in "ACGTU"]
    nucleic = set(letters) <= _BASES
    return _Row(length or len(letters), (known[1] + known[2]) / max(1, sum(known)) if nucleic else None, kind)


def _genomes(folder: Path) -> list[_Row]:
    genomes = GenomeArrays.open(folder)
    chosen = _spread(len(genomes))
    parts = genomes.letters.take(genomes.start[chosen], np.minimum(genomes.length[chosen], _LETTERS))
    texts = [part.tobytes().decode() for part in parts]  # N behind the end of a short one counts as nothing
    return [
        _row(text, genomes.names[int(genomes.label[i])], int(genomes.length[i]))
        for text, i in zip(texts, chosen.tolist(), strict=True)
    ]


def _spread(count: int) -> np.ndarray:
    """Places of the rows that are looked at, evenly spread."""
    return np.unique(np.linspace(0, max(0, count - 1), min(count, _ROWS)).astype(np.int64))


def _tables(folder: Path) -> list[_Row]:
    rows: list[_Row] = []
    for path in sorted(folder.glob("*/*.parquet")):
        file = pq.ParquetFile(path)
        features = datasets.Features.from_arrow_schema(file.schema_arrow)
        column = next((name for name, kind in features.items() if "seq" in name and _is_text(kind)), None)
        if column is None:
            raise ValueError(f"{path.name} has no column of sequences; found: {', '.join(features)}")
        label = features.get("label")
        names: list[str] = list(label.names or ()) if isinstance(label, datasets.ClassLabel) else []
        table = file.read(columns=[column, *(["label"] if names else [])])
        for row in table.take(_spread(len(table))).to_pylist():
            known = bool(names) and row["label"] is not None and row["label"] >= 0
            rows.append(_row(row[column] or "", names[row["label"]] if known else path.name.split("-")[0]))
    if not rows:
        raise ValueError(f"{folder} holds no rows to draw")
    return rows


def _is_text(feature: Any) -> bool:
    return isinstance(feature, datasets.Value) and feature.dtype in ("string", "large_string")
