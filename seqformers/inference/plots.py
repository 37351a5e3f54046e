"""Pictures of answers: scores along records (`predict --plot`), and vectors as a map (`embed --plot`)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from seqformers.datasets_scripts.common.fasta_lines import FastaRecord
from seqformers.datasets_scripts.common.remarks import OnError, Remarks
from seqformers.datasets_scripts.common.streams import is_stream
from seqformers.datasets_scripts.common.tables import open_table
from seqformers.files import Output
from seqformers.hub.load import Loaded, load_model
from seqformers.inference.predict import predict_records
from seqformers.inference.records import read_sequences
from seqformers.inference.windowing import Windowing
from seqformers.pictures import COLOURS, check_picture, save_picture

__all__ = ["draw_map", "plot_along", "plot_map"]

_RECORDS = 8
_POINTS = 20_000
_OTHER = "0.75"


def plot_along(
    run: str | Path,
    sequences: str | Path,
    picture: str | Path,
    *,
    window: int | None = None,
    step: int | None = None,
    both_strands: bool = False,
    batch_size: int = 64,
    device: str | None = None,
    precision: str = "fp32",
    on_error: OnError = "raise",
    overwrite: bool = False,
) -> Path:
    """Draw the scores of the windows along the first eight records; options as of `predict`.

    Args:
        run (`str` or `Path`): Run folder or Hub repository of a sequence classifier.
        sequences (`str` or `Path`): FASTA or FASTQ file; a pipe cannot be read a second time.
        picture (`str` or `Path`): `.png`, `.svg` or `.pdf`.
        window (`int`, *optional*): How records are cut.
        step (`int`, *optional*): Between windows.
        both_strands (`bool`): Average over both strands.
        batch_size (`int`): Windows a forward pass.
        device (`str`, *optional*): Where the model runs.
        precision (`str`): Of the model.
        on_error (`str`): At a bad record.
        overwrite (`bool`): Replace an earlier picture.

    Returns:
        `Path`: `picture`.

    Raises:
        FileExistsError: the picture is there.
        ValueError: another ending, a pipe, or what `predict` raises.
    """
    if is_stream(sequences):
        raise ValueError(f"{sequences} is a pipe, which cannot be read twice; for --plot save it as a file")
    with Output(check_picture(picture), "predict --plot", inputs=[run, sequences], overwrite=overwrite) as output:
        loaded = load_model(run, "AutoModelForSequenceClassification", device=device, precision=precision)
        cut = Windowing(window, step).for_model(loaded)
        whole = Windowing(cut.window, None, both_strands).for_model(loaded)
        records = islice(read_sequences(sequences, loaded.reading, Remarks(on_error)), _RECORDS)
        drawn = [(record, list(_window_rows(record, loaded, cut, whole, batch_size))) for record in records]
        save_picture(_draw_along(drawn, _labels(loaded)), output.start(), kind=output.path.suffix[1:].lower())
        return output.finish()


def _labels(loaded: Loaded) -> list[str]:
    """Names of the classes; none of a regression."""
    config = loaded.config
    return [] if config.num_labels == 1 else [str(config.id2label[number]) for number in range(config.num_labels)]


def _window_rows(
    record: FastaRecord, loaded: Loaded, cut: Windowing, whole: Windowing, batch_size: int
) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Begin, end and row of each window of a record, scored as a record of its own."""
    spans = cut.cut(record.sequence)
    windows = [FastaRecord(str(number), "", span.letters) for number, span in enumerate(spans)]
    for span, row in zip(spans, predict_records(windows, loaded, whole, batch_size=batch_size), strict=True):
        yield span.start, span.start + len(span.letters), row


def _draw_along(
    drawn: Sequence[tuple[FastaRecord, list[tuple[int, int, dict[str, Any]]]]], labels: list[str]
) -> Figure:
    figure = Figure(figsize=(9, 0.8 + 1.5 * len(drawn)), layout="constrained")
    panels = figure.subplots(len(drawn), 1, squeeze=False)[:, 0]
    for axes, (record, rows) in zip(panels, drawn, strict=True):
        for start, end, row in rows:
            if row["score"] is None:
                continue
            place = labels.index(row["label"]) % len(COLOURS) if len(labels) > 2 else 0
            axes.fill_between([start, end], 0, row["score"], color=COLOURS[place], linewidth=0, alpha=0.85)
        axes.set(xlim=(0, max(len(record.sequence), 1)), **({"ylim": (0, 1)} if labels else {}))
        axes.set_title(record.id, fontsize=9, loc="left")
    panels[-1].set_xlabel("position")
    if len(labels) > 2:
        handles = [axes.fill_between([], 0, 0, color=COLOURS[n % len(COLOURS)]) for n in range(len(labels))]
        panels[0].legend(handles, labels, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)
    figure.supylabel(f"score of {labels[1]}" if len(labels) == 2 else "score of the best class" if labels else "value")
    return figure


def plot_map(
    vectors: str | Path,
    picture: str | Path,
    *,
    table: str | Path | None = None,
    colour_by: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Draw what `embed` wrote as a map: the two directions in which the vectors differ most (principal components).

    Args:
        vectors (`str` or `Path`): Output of `embed`; of more than 20,000 vectors so many, evenly spread, are drawn.
        picture (`str` or `Path`): `.png`, `.svg` or `.pdf`.
        table (`str` or `Path`, *optional*): Table with a column `id` and the one to colour by, as `predict` writes it.
        colour_by (`str`, *optional*): Column of `table`: numbers as a scale, else the seven most frequent values.
        overwrite (`bool`): Replace an earlier picture.

    Returns:
        `Path`: `picture`.

    Raises:
        FileExistsError: the picture is there.
        ValueError: fewer than three vectors, or no such column.
    """
    if (table is None) != (colour_by is None):
        raise ValueError("--table and --colour-by go together: a table with a column id, and its column to colour by")
    inputs = [path for path in (vectors, table) if path is not None]
    with Output(check_picture(picture), "embed --plot", inputs=inputs, overwrite=overwrite) as output:
        ids, points = _read_vectors(Path(vectors))
        values = None if table is None else _values(Path(table), str(colour_by), ids)
        save_picture(draw_map(points, values, colour_by or ""), output.start(), kind=output.path.suffix[1:].lower())
        return output.finish()


def draw_map(points: NDArray[np.float64], values: Sequence[Any] | None = None, name: str = "") -> Figure:
    """Vectors on their first two principal components, with the share of the variance that each holds.

    Args:
        points (`float64` array of shape `(rows, size)`): At least three.
        values (sequence, *optional*): What each is coloured by; None for unknown.
        name (`str`): Of the values.
    """
    if len(points) < 3:
        raise ValueError(f"a map needs three vectors or more, there are {len(points)}")
    centred = points - points.mean(axis=0)
    spread, directions = np.linalg.eigh(centred.T @ centred)
    places = centred @ directions[:, [-1, -2]]
    shares = spread[[-1, -2]] / max(spread.sum(), np.finfo(float).tiny)
    figure = Figure(figsize=(6.5, 5), layout="constrained")
    axes = figure.add_subplot()
    _scatter(axes, places, values, name)
    axes.set(
        **{
            f"{axis}label": f"component {n}, {s:.0%} of variance"
            for n, (axis, s) in enumerate(zip("xy", shares, strict=True), 1)
        }
    )
    return figure


def _scatter(axes: Axes, places: NDArray[np.float64], values: Sequence[Any] | None, name: str) -> None:
    size = float(np.clip(4000 / len(places), 3, 30))
    if values is None:
        axes.scatter(places[:, 0], places[:, 1], s=size, color=COLOURS[0], linewidths=0, alpha=0.7)
        return
    known = np.array([value is not None for value in values])
    axes.scatter(
        places[~known][:, 0],
        places[~known][:, 1],
        s=size,
        color=_OTHER,
        linewidths=0,
        label="no value" if (~known).any() else None,
    )
    if all(isinstance(value, int | float) for value in values if value is not None):
        numbers = np.array([value for value in values if value is not None], float)
        shown = axes.scatter(
            places[known][:, 0], places[known][:, 1], s=size, c=numbers, cmap="cividis", linewidths=0, alpha=0.8
        )
        if axes.figure is not None:
            axes.figure.colorbar(shown, ax=axes, label=name)
        return
    words = np.array([str(value) for value in values], dtype=object)
    kinds, counts = np.unique(words[known].astype(str), return_counts=True)
    frequent = kinds[np.argsort(-counts, kind="stable")][: len(COLOURS)]
    rest = known & ~np.isin(words.astype(str), frequent)
    if rest.any():
        axes.scatter(places[rest][:, 0], places[rest][:, 1], s=size, color=_OTHER, linewidths=0, label="other")
    for colour, kind in zip(COLOURS, frequent, strict=False):
        own = known & (words.astype(str) == kind)
        axes.scatter(
            places[own][:, 0], places[own][:, 1], s=size, color=colour, linewidths=0, alpha=0.8, label=str(kind)
        )
    axes.legend(title=name, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)


def _read_vectors(path: Path) -> tuple[list[str], NDArray[np.float64]]:
    """Ids and vectors of an output of `embed`, those without a vector left out."""
    rows = [row for row in _rows(path) if row["embedding"] is not None]
    kept = rows if len(rows) <= _POINTS else [rows[i] for i in np.linspace(0, len(rows) - 1, _POINTS).astype(int)]
    vectors = np.array([row["embedding"] for row in kept], np.float64)
    return [str(row["id"]) for row in kept], vectors.reshape(len(kept), -1)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix == ".jsonl":
        with path.open(encoding="utf-8") as file:
            yield from (json.loads(line) for line in file)
        return
    for batch in pq.ParquetFile(path).iter_batches(columns=["id", "embedding"]):
        yield from batch.to_pylist()


def _values(path: Path, column: str, ids: list[str]) -> list[Any]:
    """Values of a column by id; numbers where all of them are."""
    table = open_table(path)
    for name in ("id", column):
        if name not in table.columns:
            raise ValueError(f"{path} has no column {name!r}; found: {', '.join(table.columns)}")
    found = {str(row["id"]): row[column] for _, row in table.rows()}
    values = [None if found.get(name) in (None, "") else found[name] for name in ids]
    try:
        return [None if value is None else float(value) for value in values]
    except (TypeError, ValueError):
        return values
