"""Speed of the guide model `best`: guides a second on one core, and where the time goes.

    python -m benchmarks.speed.best_guides

Guides are random, so that none was folded before; `again` is the same call a second time, when all are remembered.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch

from benchmarks._results import time_call, write_result
from seqformers.guides.best import BestScorer, tree_features
from seqformers.guides.features import letter_features, melting_features
from seqformers.guides.folding import Folder
from seqformers.guides.scorer import GuideScorer


def measure(count: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (count, 34)).astype(np.uint8)
    best, fast = BestScorer(device="cpu"), GuideScorer(device="cpu")
    features = tree_features(codes, best._folder)
    calls: dict[str, Any] = {
        "folding": lambda: Folder().features(codes),
        "letters and melting temperatures": lambda: (letter_features(codes), melting_features(codes)),
        "trees": lambda: best.trees.predict(features, num_threads=1),
        "three networks": lambda: [network.score(codes) for network in best.networks],
        "best, again": lambda: best.score(codes),
        "fast": lambda: fast.score(codes),
    }
    rows: dict[str, Any] = {}
    for name, call in calls.items():
        seconds = time_call(call, repeats=5, warm_up=1)
        rows[name] = {
            "guides_per_s": round(count / seconds["median_s"]),
            "guides_per_cpu_s": round(count / seconds["median_cpu_s"]),
        }
    parts = ("folding", "letters and melting temperatures", "trees", "three networks")
    total = sum(1 / rows[name]["guides_per_cpu_s"] for name in parts)
    rows["best"] = {"guides_per_cpu_s": round(1 / total)}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--guides", type=int, default=4096)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result = measure(arguments.guides)
    for name, row in result.items():
        print(f"{name:40s} {row}")
    print(write_result("speed_best_guides", result, data=f"{arguments.guides:,} random contexts", seeds=[0]))


if __name__ == "__main__":
    main()
