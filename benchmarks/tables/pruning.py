"""What zeros and int8 cost networks of the table of families: `seqformers prune` of its finished cells, first seed.

    python -m benchmarks.tables.pruning --work runs/families --task reads-150

prunes the trained cells of `tables/families.py` without training them further. The result is `results/pruning.json`;
the pictures of size against score are in the folders `pruned-*` of `--work`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from benchmarks._results import write_result
from benchmarks.tables.families_rows import FAMILIES
from seqformers.training.pruning import prune

KEPT = [
    "share",
    "precision",
    "not_zero",
    "megabytes",
    "megabytes_compressed",
    "validation_mcc",
    "test_mcc",
    "test_auroc",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--task", default="reads-150")
    parser.add_argument("--tolerance", type=float, default=0.01)
    given = parser.parse_args()
    found = {}
    for family in FAMILIES:
        run = given.work / f"{given.task}-{family}-scratch"
        if not (run / "metrics.json").is_file():
            continue
        folder = given.work / f"pruned-{given.task}-{family}"
        if not folder.exists():
            prune(run, folder, tolerance=given.tolerance)
        sizes = pd.read_csv(folder / "sizes.tsv", sep="\t")
        found[family] = sizes[KEPT].round(4).to_dict("records")
    write_result("pruning", {"task": given.task, "tolerance": given.tolerance, "sizes": found}, data=given.task)


if __name__ == "__main__":
    main()
