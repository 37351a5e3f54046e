"""Letters a second that each family of DNA reads as a classifier, on one core: the networks of `tables/families.py`.

    OMP_NUM_THREADS=1 python -m benchmarks.speed.families

Weights are as drawn; reads are random, 64 a batch, made into tokens before the clock starts. Families take turns,
round after round; the result is the median of the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks._results import write_result
from benchmarks.tables.families_rows import FAMILIES, TASKS, learn_words, recipe_of
from seqformers.training.plan import resolve
from seqformers.training.recipe import load_recipe
from seqformers.training.tasks import Classes

LENGTHS = {150: "reads-150", 1000: "reads-1000", 200: "enhancers", 251: "promoters", 60: "splice"}
ROWS = 64


def made(family: str, task: str, folder: Path) -> tuple[Any, dict[str, torch.Tensor]]:
    """A fresh classifier of a family, and a batch of reads as long as those of a task; learnt words go to `folder`."""
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("ACGT"), TASKS[task].letters)) for _ in range(ROWS)]
    if family == "gpt2_bpe":
        learn_words(texts, folder / f"words-{task}")
    plan = resolve(load_recipe(recipe_of(task, family, "scratch", folder / "data")))
    model = plan.make_model(Classes(["no", "yes"]).outputs, seed=0).eval()
    longest = plan.max_length
    batch = plan.encoder(texts, padding=True, truncation=longest is not None, max_length=longest, return_tensors="pt")
    return model, dict(batch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    found: dict[str, float] = {}
    for letters, task in LENGTHS.items():
        with tempfile.TemporaryDirectory() as folder:
            ready = {family: made(family, task, Path(folder)) for family in FAMILIES}
        seconds: dict[str, list[float]] = {family: [] for family in ready}
        for turn in range(rounds + 1):
            for family, (model, batch) in ready.items():
                began = time.perf_counter()
                with torch.inference_mode():
                    model(**batch)
                if turn:  # the first one warms up
                    seconds[family].append(time.perf_counter() - began)
        found |= {f"{family}/{letters}": ROWS * letters / statistics.median(s) for family, s in seconds.items()}
    write_result(
        "speed_families",
        {"nt_per_second": found, "rows": ROWS, "rounds": rounds, "threads": 1, "sizes": "the table's"},
        data="random reads",
    )


if __name__ == "__main__":
    main()
