"""Pictures of the speed tables: every row of the table, every curve of the results."""

from __future__ import annotations

import matplotlib.pyplot as plt

from benchmarks.speed.plots import draw_curves, draw_ratios

TABLE = """| what | rate | against |
|---|---|---|
| tokenizing | 500 million nt/s | 358 × Rust; 1,900.5 × multimolecule |
| records | 4,000 records/s | 500 MB of memory |"""


def test_a_bar_a_contender():
    figure = draw_ratios(TABLE)
    (axis,) = figure.axes
    assert [bar.get_width() for bar in axis.patches] == [1900.5, 358]
    plt.close(figure)


def test_a_panel_a_curve():
    training = {
        "over_length": {"50": {"nt_per_second": 3}, "100": {"nt_per_second": 2}},
        "over_model": {
            "tiny": {"million_parameters": 0.2, "nt_per_second": 9},
            "small": {"million_parameters": 2.1, "nt_per_second": 3},
        },
    }
    points = [{"records": 10**n, "seconds": 10.0**n, "largest_memory_mb": 400} for n in (3, 4)]
    figure = draw_curves(training, {"points": points})
    length, model, records = figure.axes
    assert length.lines[0].get_xydata().tolist() == [[50, 3], [100, 2]]
    assert model.lines[0].get_xydata().tolist() == [[0.2, 9], [2.1, 3]]
    assert [line.get_ydata().tolist() for line in records.lines] == [[1000, 10000], [400, 400]]
    plt.close(figure)
