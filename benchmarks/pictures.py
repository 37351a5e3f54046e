"""Pictures of many runs side by side, from their folders alone.

    python -m benchmarks.pictures runs/virbert-arms/arms/* --output pictures
    python -m benchmarks.pictures runs/trials/probes/* --output pictures
    python -m benchmarks.pictures --table benchmarks/results/virbert_arms.json --output pictures

`training.png`: loss over steps, a line a run (mean over its seeds). `probes.png`: the first validation metric over
steps, of runs that were evaluated on the way. `scarcity.png`: macro recall over the share of labels, from the table.
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from benchmarks.tables.virbert_cells import LENGTHS, VARIANTS
from seqformers.pictures import COLOURS, save_picture

_LINES = ("-", "--", ":")  # a colour comes again with another line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*", help="run folders")
    parser.add_argument("--table", type=Path, help="results/virbert_arms.json")
    parser.add_argument("--output", type=Path, required=True, help="folder; pictures of the same names are replaced")
    arguments = parser.parse_args()
    logs = {run.name: log for run in arguments.runs if (log := mean_log(run)) is not None}
    if not logs and arguments.table is None:
        raise SystemExit("none of these folders keeps a training_log.jsonl, and no --table was given")
    figures = {}
    if logs:
        figures["training"] = draw_logs(logs, "loss", "training loss")
        metrics = [name for name in next(iter(logs.values())) if name.startswith("eval_") and name not in _NOT_METRICS]
        if metrics:
            figures["probes"] = draw_logs(logs, metrics[0], metrics[0].removeprefix("eval_").replace("_", " "))
    if arguments.table is not None:
        figures["scarcity"] = draw_scarcity(json.loads(arguments.table.read_text(encoding="utf-8"))["result"])
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        print(save_picture(figure, arguments.output / f"{name}.png"))


_NOT_METRICS = ("eval_runtime", "eval_samples_per_second", "eval_steps_per_second", "eval_loss")


def mean_log(run: Path) -> pd.DataFrame | None:
    """Values of a run by step, the mean over its seeds; None where it keeps no log."""
    files = sorted(run.rglob("training_log.jsonl"))
    rows = [json.loads(line) for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    if not rows:
        return None
    table = pd.DataFrame(rows).drop(columns=["session"], errors="ignore")
    return table.groupby("step").mean(numeric_only=True)


def draw_logs(logs: dict[str, pd.DataFrame], column: str, title: str) -> Figure:
    """One column over steps, a line a run that has it."""
    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    for place, (name, log) in enumerate(logs.items()):
        if column in log:
            known = log[column].dropna()
            axis.plot(known.index, known, label=name, **_style(place))
    axis.set(xlabel="step", ylabel=title)
    axis.legend(fontsize="small")
    return figure


def draw_scarcity(result: dict) -> Figure:
    """Macro recall over the share of labels, a panel a read length and kind, with the spread over seeds."""
    panels = list(product(LENGTHS, VARIANTS))
    figure, axes = plt.subplots(2, 2, figsize=(11, 8), layout="constrained", sharex=True)
    for axis, (length, variant) in zip(axes.flat, panels, strict=True):
        rows = [row for row in result["rows"] if (row["length"], row["variant"]) == (length, variant)]
        methods = [name for name in dict.fromkeys(row["method"] for row in rows) if "+" not in name]
        for place, method in enumerate(methods):
            own = sorted((row for row in rows if row["method"] == method), key=lambda row: row["fraction"])
            values = [row["seeds"]["macro_recall"] for row in own]
            spread = [100 * (value["sd"] or 0.0) for value in values]
            points = [100 * row["fraction"] for row in own], [100 * value["mean"] for value in values]
            axis.errorbar(*points, yerr=spread, label=method, capsize=2, **_style(place))
        axis.set(xscale="log", title=f"{length} nt, {variant}", xlabel="labels, %", ylabel="macro recall, %")
    axes.flat[0].legend(fontsize="x-small", ncols=2)
    return figure


def _style(place: int) -> dict:
    return {"color": COLOURS[place % len(COLOURS)], "linestyle": _LINES[place // len(COLOURS) % len(_LINES)]}


if __name__ == "__main__":
    main()
