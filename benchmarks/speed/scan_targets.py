"""Speed of the target scan beside the original's way, on the same pairs in the same run.

The original's way: Biopython's `pairwise2` for every window, a Python loop that writes the encoding, a tensor a
window, the network as one-dimensional convolutions at batch 256. One thread, CPU time of the process, medians.

    python -m benchmarks.speed.scan_targets --pairs 200
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from benchmarks._results import data_folder, time_call, write_result
from seqformers.datasets_scripts.miraw.miraw import read_target_table
from seqformers.modeling.targets.targetnet_sites import plan_site_jobs
from seqformers.targets.records import ScanReport, TargetRecords
from seqformers.targets.scanner import TargetScanner

PAIRING = {(a, b): float(a + b in ("AU", "UA", "GC", "CG", "GU", "UG")) for a in "ACGU" for b in "ACGU"}


def original_sites(mirna: str, mrna: str) -> list[torch.Tensor]:
    """Candidate sites of a pair, one window after the other."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from Bio import pairwise2
    reverse = mrna[::-1]
    sites = []
    for begin in range(len(mrna) - 39):
        window = reverse[begin : begin + 40]
        found = pairwise2.align.globaldx(mirna[:10], window[5:15], PAIRING, one_alignment_only=True)[0]
        if found.score < 6:
            continue
        matrix = np.zeros((10, 50), dtype=np.float32)
        for column, letter in enumerate(found.seqA + mirna[10:]):
            matrix["ACGU-".index(letter), 5 + column] = 1
        for column, letter in enumerate(window[:5] + found.seqB + window[15:]):
            matrix[5 + "ACGU-".index(letter), column] = 1
        sites.append(torch.from_numpy(matrix))
    return sites


def original_logits(sites: list[torch.Tensor], weights: dict[str, torch.Tensor]) -> torch.Tensor:
    """The network over one-dimensional convolutions, 256 sites at a time."""
    logits = []
    with torch.inference_mode():
        for begin in range(0, len(sites), 256):
            x = torch.stack(sites[begin : begin + 256])
            x = functional.relu(functional.conv1d(x, weights["stem.convs.0.weight"], padding=2))
            x = functional.conv1d(x, weights["stem.convs.1.weight"], padding=2)
            for block in ("blocks.0", "blocks.1"):
                y = functional.conv1d(functional.relu(x), weights[f"{block}.conv1.weight"], padding=1)
                y = functional.conv1d(functional.relu(y), weights[f"{block}.conv2.weight"], padding=1)
                x = y + functional.pad(x, (0, 0, 0, y.shape[1] - x.shape[1]))
            x = functional.max_pool1d(functional.relu(x), 3).flatten(1)
            logits.append(functional.linear(x, weights["classifier.weight"], weights["classifier.bias"])[:, 0])
    return torch.cat(logits)


def chosen_pairs(count: int, longest: int) -> pd.DataFrame:
    """Distinct test pairs whose UTR has 40 to `longest` nt."""
    rows = read_target_table(data_folder("mirna_target") / "miraw_test_0_4.parquet")
    rows = rows.drop_duplicates(["mirna_seq", "mrna_seq"])
    rows = rows[rows["mrna_seq"].str.len().between(40, longest)]
    return rows.sample(count, random_state=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--longest", type=int, default=300, help="longest UTR, nt")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = chosen_pairs(given.pairs, given.longest)
    pairs = list(zip(rows["mirna_seq"], rows["mrna_seq"], strict=True))
    scanner, report = TargetScanner(threads=1, windows=True), ScanReport()
    small = TargetRecords.from_mapping(
        {str(i): a for i, (a, _) in enumerate(pairs)}, "miRNA", scanner.processor, report
    )
    large = TargetRecords.from_mapping(
        {str(i): b for i, (_, b) in enumerate(pairs)}, "mRNA", scanner.processor, report
    )
    weights = dict(scanner.model.named_parameters())
    kept: dict[str, Any] = {}

    def select_original() -> None:
        kept["sites"] = [original_sites(*pair) for pair in pairs]

    def scan_original() -> None:
        select_original()
        logits = original_logits([site for sites in kept["sites"] for site in sites], weights)
        parts = logits.split([len(sites) for sites in kept["sites"]])
        kept["original"] = [float(part.max().sigmoid()) if len(part) else 0.0 for part in parts]

    def select_ours() -> None:
        jobs = plan_site_jobs(large.codes, ((i, i) for i in range(len(pairs))))
        kept["batches"] = [job.find(small.codes) for job in jobs]

    def scan_ours() -> None:
        kept["ours"] = [pair.score for pair in scanner.scan(small, large, ((i, i) for i in range(len(pairs))))]

    calls = {"select_original": select_original, "scan_original": scan_original}
    times = {name: time_call(call, repeats=given.repeats, warm_up=0) for name, call in calls.items()}
    ours = {"select_ours": select_ours, "scan_ours": scan_ours}
    times |= {name: time_call(call, repeats=max(9, given.repeats), warm_up=2) for name, call in ours.items()}
    windows = sum(len(mrna) - 39 for _, mrna in pairs)
    assert sum(len(sites) for sites in kept["sites"]) == sum(len(batch) for batch in kept["batches"])
    write_result("speed_scan_targets", _result(times, kept, windows, given.pairs), data="miraw_test_0_4", seeds=[0])


def _result(times: dict, kept: dict, windows: int, pairs: int) -> dict[str, Any]:
    cpu = {name: found["median_cpu_s"] for name, found in times.items()}
    a_window = cpu["scan_ours"] / windows
    ids = torch.from_numpy(np.concatenate([batch.input_ids for batch in kept["batches"]]))
    batches = [site for sites in kept["sites"] for site in sites]
    # Ours go from the mRNA's 5' end, the original's from its 3' end: compare as sets of encodings, pair by pair.
    same = int((ids != 0).sum()) == int(sum(site.sum() for site in batches))
    whole = 2_000 * 20_000 * 1_461 * a_window
    return {
        "pairs": pairs,
        "windows": windows,
        "sites": len(ids),
        "times": times,
        "selection_and_encoding_times_original": round(cpu["select_original"] / cpu["select_ours"], 1),
        "whole_scan_times_original_one_thread": round(cpu["scan_original"] / cpu["scan_ours"], 1),
        "microseconds_a_window": {name: round(1e6 * value / windows, 3) for name, value in cpu.items()},
        "windows_per_second_one_thread": round(1 / a_window),
        "largest_difference_of_scores": float(np.abs(np.subtract(kept["original"], kept["ours"])).max()),
        "same_number_of_ones_in_the_encodings": same,
        "extrapolated_2000_mirnas_x_20000_utrs": {
            "assumed_utr_nt": 1500,
            "core_hours": round(whole / 3600, 1),
            "hours_on_2_cores": round(whole / 7200, 1),
        },
    }


if __name__ == "__main__":
    main()
