"""Speed of the guide model `best`: guides a second on one core, and where the time goes.

    python -m benchmarks.speed.best_guides

The same folding by ViennaRNA and the same trees by LightGBM stand beside, where they are installed.
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from benchmarks._results import time_call, write_result
from seqformers.guides.best import BestScorer, best_folder, tree_features
from seqformers.guides.features import letter_features, melting_features
from seqformers.guides.folding import DIRECT_REPEAT, structure_features
from seqformers.guides.scorer import GuideScorer
from seqformers.hub.devices import one_thread

FEW = 512


def by_viennarna(codes: np.ndarray) -> None:
    """Partition function and pairing probabilities of every crRNA."""
    import RNA

    for guide in np.frombuffer(b"ACGU", np.uint8)[codes[:, 8:31]]:
        crrna = RNA.fold_compound(DIRECT_REPEAT + guide.tobytes().decode())
        crrna.pf()
        crrna.bpp()


def measure(count: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (count, 34)).astype(np.uint8)
    best, fast = BestScorer(device="cpu"), GuideScorer(device="cpu")
    features = tree_features(codes)
    calls: dict[str, Any] = {
        "folding": lambda: structure_features(codes),
        "letters and melting temperatures": lambda: (letter_features(codes), melting_features(codes)),
        "trees": lambda: best.trees.predict(features),
        "three networks": lambda: [network.score(codes) for network in best.networks],
        "best": lambda: best.score(codes),
        "fast": lambda: fast.score(codes),
    }
    if find_spec("lightgbm") is not None:
        from lightgbm import Booster

        trees = Booster(model_file=str(best_folder() / "trees.txt"))
        calls["trees by LightGBM"] = lambda: trees.predict(features, num_threads=1)
    if find_spec("RNA") is not None:
        calls["folding by ViennaRNA"] = lambda: by_viennarna(codes[:FEW])
    rows: dict[str, Any] = {}
    for name, call in calls.items():
        with one_thread():
            seconds, done = time_call(call, repeats=5, warm_up=1), FEW if "ViennaRNA" in name else count
        rows[name] = {
            "guides_per_s": round(done / seconds["median_s"]),
            "guides_per_cpu_s": round(done / seconds["median_cpu_s"]),
        }
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
