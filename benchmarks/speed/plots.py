"""Pictures of the speed tables, drawn from their results alone.

    python -m benchmarks.speed.plots --output pictures

`speed.png`: times faster than each contender, a bar a row of the table. `curves.png`: training over the length of
reads, the batch and the size of the model, and time and memory of `predict` over the number of records.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from benchmarks._results import RESULTS
from benchmarks.readme import BLOCKS
from seqformers.pictures import COLOURS, save_picture

__all__ = ["draw_curves", "draw_ratios"]


def draw_ratios(table: str) -> Figure:
    """Bars of how many times faster than its contender each row of the speed table is."""
    rows = []
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        ratios = re.findall(r"([\d,.]+) × ([^,;]+)", cells[2]) if line.startswith("| ") and len(cells) == 3 else []
        rows += [
            (f"{cells[0]}\nagainst {against}", float(ratio.replace(",", "")))
            for ratio, against in ratios
            if "less" not in against
        ]
    figure, axis = plt.subplots(figsize=(8, 0.5 * len(rows) + 1), layout="constrained")
    names, values = zip(*reversed(rows), strict=True)
    axis.barh(names, values, color=COLOURS[0])
    axis.set(xscale="log", xlabel="times faster, in the same run")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.tick_params(axis="y", labelsize=7)
    for place, value in enumerate(values):
        axis.annotate(f" {value:,.4g}", (value, place), va="center", fontsize=7)
    return figure


def draw_curves(training: dict[str, Any], records: dict[str, Any]) -> Figure:
    """What a nucleotide costs in training over length, batch and model size; what a record costs in `predict`.

    Args:
        training (`dict`): The result `speed_pretraining_curves`.
        records (`dict`): The result `speed_records`.
    """
    panels = {
        "over_length": "letters of a read",
        "over_batch": "reads a batch",
        "over_model": "parameters of the model, millions",
    }
    panels = {name: label for name, label in panels.items() if name in training}
    figure, axes = plt.subplots(1, len(panels) + 1, figsize=(3.4 * (len(panels) + 1), 2.8), layout="constrained")
    for axis, (name, label) in zip(axes, panels.items(), strict=False):
        rows = training[name]
        at = [row.get("million_parameters", float(key) if key.isdigit() else 0) for key, row in rows.items()]
        axis.plot(at, [row["nt_per_second"] for row in rows.values()], marker="o", color=COLOURS[0])
        axis.set(xscale="log", xlabel=label, ylabel="training, nucleotides/s")
        axis.set_xticks(at, [f"{value:g}" for value in at])
        axis.minorticks_off()
        if name == "over_model":
            axis.set(yscale="log")
            axis.yaxis.set_major_formatter("{x:,.0f}")
        else:
            axis.set_ylim(bottom=0)
    points = records["points"]
    at = [point["records"] for point in points]
    last = axes[-1]
    last.loglog(at, [point["seconds"] for point in points], marker="o", color=COLOURS[0], label="seconds")
    last.loglog(
        at, [point["largest_memory_mb"] for point in points], marker="s", color=COLOURS[1], label="MB of memory"
    )
    last.set(xlabel="records of `predict`")
    last.set_xticks(at, [f"{value:,}" for value in at], fontsize=7)
    last.minorticks_off()
    last.yaxis.set_major_formatter("{x:g}")
    last.legend(fontsize=7)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder; pictures of the same names are replaced")
    folder = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    training, records = (
        json.loads((RESULTS / f"speed_{name}.json").read_text(encoding="utf-8"))["result"]
        for name in ("pretraining_curves", "records")
    )
    print(save_picture(draw_ratios(BLOCKS["speed"]()), folder / "speed.png"))
    print(save_picture(draw_curves(training, records), folder / "curves.png"))


if __name__ == "__main__":
    main()
