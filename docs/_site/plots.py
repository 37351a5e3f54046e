"""Figures of the site, drawn from the rows that README shows."""

from __future__ import annotations

import io
import re

import matplotlib.pyplot as plt

__all__ = ["speed_plot"]


def speed_plot(table: str) -> bytes:
    """Bars of how many times faster than its contender each row of the speed table is, as PNG."""
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
    axis.barh(names, values, color="#0072B2")
    axis.set(xscale="log", xlabel="times faster, in the same run")
    axis.tick_params(axis="y", labelsize=7)
    for place, value in enumerate(values):
        axis.annotate(f" {value:,.4g}", (value, place), va="center", fontsize=7)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    plt.close(figure)
    return picture.getvalue()
