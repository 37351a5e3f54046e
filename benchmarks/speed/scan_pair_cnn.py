"""Speed of the default target scan and of the exhaustive one, on the same pairs in the same run.

miRNAs of chimeric reads on whole 3'UTRs, one thread, CPU time of the process, the two ways in turn, medians. A window
is a place that can face the miRNA's first nucleotide: one for each nucleotide of the mRNA, and one behind its end.
The network by itself, beside: windows a second as it slides along UTRs of 1,500 nt, and windows cut out.

    python -m benchmarks.speed.scan_pair_cnn
"""

from __future__ import annotations

import argparse
import statistics
import time
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks._results import data_folder, time_call, write_result
from benchmarks.tables.pair_cnn_scout import HELD, known_mirnas, whole_utrs
from seqformers.targets.pair_scanner import PairCnnScanner
from seqformers.targets.places import WINDOW
from seqformers.targets.records import ScanReport, TargetRecords, pair_all

MIRNAS, UTRS, NUCLEOTIDES = 2_000, 20_000, 1_500  # of the whole scan that is planned
HOURS = 10.0  # on two cores, aimed at


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mirnas", type=int, default=10)
    parser.add_argument("--utrs", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    folder = data_folder("mirna_target")
    mirnas = {mirna: mirna for mirna in known_mirnas(folder)[-HELD:][: given.mirnas]}
    drawn = np.random.default_rng(2).permutation(whole_utrs(folder))[: given.utrs]
    mrnas = {str(number): utr for number, utr in enumerate(drawn)}
    windows = len(mirnas) * sum(len(utr) + 1 for utr in drawn)
    scanners = {
        "default": PairCnnScanner(threads=1, energy=False),
        "exhaustive": PairCnnScanner(threads=1, energy=False, exhaustive=True),
    }
    report = ScanReport()
    small = TargetRecords.from_mapping(mirnas, "miRNA", scanners["default"].processor, report)
    large = TargetRecords.from_mapping(
        mrnas, "mRNA", scanners["default"].processor, report, padding=PairCnnScanner.padding
    )

    def scan(name: str) -> float:
        started = time.process_time()
        for _ in scanners[name].scan(small, large, pair_all(small, large)):
            pass
        return time.process_time() - started

    seconds: dict[str, list[float]] = {name: [] for name in scanners}
    scan("default")
    for _ in range(given.repeats):
        for name in scanners:
            seconds[name].append(scan(name))
    result = {"pairs": len(small) * len(large), "windows": windows} | summary(windows, seconds)
    result["network_one_core"] = network(scanners["default"].model)
    write_result("speed_scan_pair_cnn", result, data="mirna_target", seeds=[0])
    print(result)


def network(model: Any) -> dict[str, int]:
    """Windows of 50 nt a second of the network by itself on one thread."""
    generator = torch.Generator().manual_seed(0)
    mirna = torch.randint(1, 5, (22,), generator=generator)
    utrs = torch.randint(1, 5, (8, 1_500), generator=generator)
    cut = torch.randint(1, 5, (2_048, 50), generator=generator)
    mirnas, scorer = mirna.expand(len(cut), -1), model.scorer()
    slid = time_call(partial(model.score_windows, mirna, utrs))["median_cpu_s"]
    each = time_call(partial(scorer, mirnas, cut), repeats=5)["median_cpu_s"]
    return {
        "windows_per_second_sliding_one_core": round(len(utrs) * (utrs.shape[1] - WINDOW + 1) / slid),
        "windows_per_second_cut_out_one_core": round(len(cut) / each),
    }


def summary(windows: int, seconds: dict[str, list[float]]) -> dict[str, Any]:
    """Windows a second on one core, and what the whole scan would take on two."""
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    whole = MIRNAS * UTRS * (NUCLEOTIDES + 1)
    return {
        "cpu_seconds": {name: [round(value, 3) for value in values] for name, values in seconds.items()},
        "windows_per_second_one_core": {name: round(windows / value) for name, value in medians.items()},
        "times_exhaustive": round(medians["exhaustive"] / medians["default"], 1),
        "whole_scan": {"mirnas": MIRNAS, "utrs": UTRS, "nucleotides_a_utr": NUCLEOTIDES, "aimed_at_hours": HOURS},
        "hours_on_2_cores": {name: round(whole * value / windows / 7200, 1) for name, value in medians.items()},
    }


if __name__ == "__main__":
    main()
