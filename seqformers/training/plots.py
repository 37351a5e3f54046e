"""Pictures of a run: how it learned (`draw_curves`) and what its scores are worth (`draw_scores`)."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seqformers.files import Output
from seqformers.pictures import COLOURS, check_picture, save_picture

__all__ = ["draw_curves", "draw_scores", "draw_sizes", "save_curves"]

_MOST_CLASSES = 20  # more lines or cells than a reader can tell apart


def draw_curves(run: str | Path) -> Figure:
    """Training and validation loss over steps, and each validation metric, one line a seed.

    Args:
        run (`str` or `Path`): Run folder.

    Raises:
        ValueError: it keeps no log of its training.
    """
    logs = {path.parent.name: _log(path) for path in sorted(Path(run).rglob("training_log.jsonl"))}
    if not logs:
        raise ValueError(f"{run} keeps no training_log.jsonl, so there is no curve to draw")
    seen = pd.concat(logs.values())
    noise = ("eval_runtime", "eval_samples_per_second", "eval_steps_per_second", "eval_loss")
    metrics = [name for name in seen if name.startswith("eval_") and name not in noise and seen[name].notna().any()]
    panels: list[list[tuple[str, str]]] = [[("loss", "training"), ("eval_loss", "validation")]]
    panels += [[(name, name.removeprefix("eval_").replace("_", " "))] for name in metrics]
    figure, axes = plt.subplots(1, len(panels), figsize=(4 * len(panels), 3.2), squeeze=False, layout="constrained")
    for axis, lines in zip(axes[0], panels, strict=True):
        for place, (name, _) in enumerate(lines):
            for log in logs.values():
                if name in log:
                    known = log[log[name].notna()]
                    axis.plot(known["step"], known[name], color=COLOURS[place], marker="." if len(known) < 20 else "")
        axis.set(xlabel="step", ylabel="loss" if len(lines) > 1 else lines[0][1])
        if len(lines) > 1:
            axis.legend([plt.Line2D([], [], color=COLOURS[n]) for n in range(2)], [title for _, title in lines])
    return figure


def save_curves(run: str | Path, picture: str | Path, *, overwrite: bool = False) -> Path:
    """Write the curves of a run as `.png`, `.svg` or `.pdf`; errors of [`draw_curves`] and of outputs."""
    with Output(check_picture(picture), "curves", inputs=[run], overwrite=overwrite) as output:
        save_picture(draw_curves(run), output.start(), kind=output.path.suffix[1:].lower())
        output.finish()
    return Path(picture)


def _log(path: Path) -> pd.DataFrame:
    """A log; of steps that were taken again after an interruption the last account counts."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return pd.DataFrame(rows).groupby("step", as_index=False).last()


def draw_scores(predictions: pd.DataFrame, title: str = "") -> Figure:
    """What scores of rows are worth: for classes ROC, precision and recall, calibration and confusion; else a scatter.

    Args:
        predictions (`pd.DataFrame`): `label` (index of the class, or a number) and `score_CLASS` for each class, 0 to
            1, in the order of the classes; for regression `label` and one `score` column.
        title (`str`): Heading.

    Raises:
        ValueError: labels or scores are of another form (several labels a row, or one a residue).
    """
    columns = [name for name in predictions if str(name).startswith("score")]
    rows = predictions.dropna(subset=["label"]) if "label" in predictions else predictions
    if "label" not in rows or not columns or not pd.api.types.is_numeric_dtype(rows["label"]):
        raise ValueError("a picture needs one label and its scores a row: tokens and several labels have none yet")
    if len(columns) == 1:
        figure = _scatter(rows["label"].to_numpy(float), rows[columns[0]].to_numpy(float))
    else:
        names = [str(name).removeprefix("score_") for name in columns]
        figure = _panels(rows["label"].to_numpy(int), rows[columns].to_numpy(float), names)
    if title:
        figure.suptitle(title)
    return figure


def draw_sizes(sizes: pd.DataFrame, metric: str, split: str) -> Figure:
    """What a model is worth at each size: one line a precision, each point labelled with its share of zeros.

    Args:
        sizes (`pd.DataFrame`): Columns `share` (0 to 1), `precision`, `megabytes_compressed` and `<split>_<metric>`.
        metric (`str`): Which metric.
        split (`str`): Of which rows.
    """
    figure, axis = plt.subplots(figsize=(5.5, 4), layout="constrained")
    for place, (precision, rows) in enumerate(sizes.groupby("precision", sort=False)):
        values = rows[f"{split}_{metric}"]
        axis.plot(rows["megabytes_compressed"], values, color=COLOURS[place], marker="o", label=str(precision))
        for size, value, share in zip(rows["megabytes_compressed"], values, rows["share"], strict=True):
            axis.annotate(f"{share:.0%}", (size, value), textcoords="offset points", xytext=(4, 4), fontsize="small")
    axis.set(xlabel="compressed weights, MB (labels: share of zeros)", ylabel=f"{metric.replace('_', ' ')}, {split}")
    axis.legend()
    return figure


def _scatter(labels: np.ndarray, scores: np.ndarray) -> Figure:
    figure, axis = plt.subplots(figsize=(4.5, 4), layout="constrained")
    axis.scatter(labels, scores, s=8, alpha=0.5, color=COLOURS[0], linewidths=0)
    axis.axline((labels.mean(), labels.mean()), slope=1, color="0.6", linewidth=1)
    axis.set(xlabel="measured", ylabel="predicted")
    return figure


def _panels(labels: np.ndarray, scores: np.ndarray, names: list[str]) -> Figure:
    figure, axes = plt.subplots(1, 4, figsize=(16, 3.8), layout="constrained")
    # Of two classes the second is the positive one; of more, each against the others.
    shown = [1] if len(names) == 2 else list(range(min(len(names), _MOST_CLASSES)))
    for draw, axis in zip((_roc, _precision, _calibration), axes, strict=False):
        for place, index in enumerate(shown):
            draw(axis, labels == index, scores[:, index], names[index], COLOURS[place % len(COLOURS)])
        axis.legend(fontsize="small")
    axes[2].plot([0, 1], [0, 1], color="0.6", linewidth=1)
    _confusion(axes[3], labels, scores.argmax(1), names[:_MOST_CLASSES])
    return figure


def _roc(axis: Axes, positive: np.ndarray, score: np.ndarray, name: str, colour: str) -> None:
    from sklearn.metrics import roc_auc_score, roc_curve

    if 0 < positive.sum() < len(positive):
        wrong, right, _ = roc_curve(positive, score)
        axis.plot(wrong, right, color=colour, label=f"{name}: AUROC {roc_auc_score(positive, score):.3f}")
    axis.set(xlabel="false positives", ylabel="true positives", xlim=(0, 1), ylim=(0, 1.01))


def _precision(axis: Axes, positive: np.ndarray, score: np.ndarray, name: str, colour: str) -> None:
    from sklearn.metrics import average_precision_score, precision_recall_curve

    if positive.any():
        precision, recall, _ = precision_recall_curve(positive, score)
        axis.plot(recall, precision, color=colour, label=f"{name}: AP {average_precision_score(positive, score):.3f}")
        axis.axhline(positive.mean(), color=colour, linewidth=0.7, linestyle=":")  # what chance gets
    axis.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.01))


def _calibration(axis: Axes, positive: np.ndarray, score: np.ndarray, name: str, colour: str) -> None:
    """Share of positives among rows of about the same score, in ten parts of equal size."""
    parts = np.array_split(np.argsort(score, kind="stable"), min(10, len(score)))
    points = [score[part].mean() for part in parts], [positive[part].mean() for part in parts]
    axis.plot(*points, color=colour, marker=".", label=name)
    axis.set(xlabel="score", ylabel="share that is", xlim=(0, 1), ylim=(0, 1.01))


def _confusion(axis: Axes, labels: np.ndarray, predicted: np.ndarray, names: list[str]) -> None:
    """Rows by true class (down) and predicted class, as shares of the true class, counts in the cells."""
    count = np.zeros((len(names), len(names)), int)
    inside = (labels < len(names)) & (predicted < len(names))
    np.add.at(count, (labels[inside], predicted[inside]), 1)
    share = count / np.maximum(count.sum(1, keepdims=True), 1)
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(count.shape) if len(names) <= 8 else ():
        dark = "white" if share[row, column] > 0.6 else "black"
        axis.text(column, row, f"{count[row, column]:,}", ha="center", va="center", color=dark, fontsize="small")
    axis.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize="small")
    axis.set_yticks(range(len(names)), names, fontsize="small")
    axis.set(xlabel="predicted", ylabel="true")
