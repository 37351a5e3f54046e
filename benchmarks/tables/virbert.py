"""Phage or not on real genomes: pretrained, probed and from-scratch k-mer BERTs beside the shortcuts.

    python -m benchmarks.tables.virbert --data data --pretrained runs/virbert --work runs/virbert-table

`--data` holds what `seqformers build phage` wrote: `reads-150`, `reads-1000`, the same with `-gc` (reads of both
classes drawn to one GC distribution), and each with `-0.1` and `-0.01` (label fractions, by genome). A cell is one run
folder; a cell that is there is not run again, so the table can be stopped and resumed. The result is
`results/virbert_reads.json` and `tables/virbert.md`.
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path

from benchmarks._results import ROOT, write_result

RECIPES = ROOT / "benchmarks" / "recipes" / "virbert"
LENGTHS = (150, 1000)
VARIANTS = ("gc", "plain")
FRACTIONS = (1.0, 0.1, 0.01)
ARMS = ("finetune", "scratch", "probe")
# Passes over the training reads; fewer labels get more, up to where validation stopped improving.
EPOCHS = {(150, 1.0): 2, (150, 0.1): 3, (150, 0.01): 10, (1000, 1.0): 2, (1000, 0.1): 3, (1000, 0.01): 8}
LIMITS = {
    150: {"train": 8000, "validation": 1000, "test": 4000},
    1000: {"train": 1500, "validation": 200, "test": 1000},
}
TITLES = {
    "finetune": "pretrained, fine-tuned",
    "probe": "pretrained, frozen (probe)",
    "scratch": "same network from scratch",
    "gc_only": "GC only",
    "kmer_4_logistic": "4-mer logistic regression",
    "kmer_6_logistic": "6-mer logistic regression",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pretrained", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--variants", nargs="+", default=VARIANTS)
    parser.add_argument("--arms", nargs="+", default=ARMS)
    parser.add_argument("--collect-only", action="store_true", help="write the table from the cells that are there")
    arguments = parser.parse_args()
    if not arguments.collect_only:
        for fraction, length, variant, arm in product(
            FRACTIONS[::-1], arguments.lengths, arguments.variants, arguments.arms
        ):
            run_cell(arguments, length, variant, fraction, arm)
    collect(arguments)


def cell_name(length: int, variant: str, fraction: float, arm: str) -> str:
    return f"{length}-{variant}-{fraction:g}-{arm}"


def run_cell(arguments: argparse.Namespace, length: int, variant: str, fraction: float, arm: str) -> None:
    """Train one cell, three seeds, unless it is there."""
    from seqformers import training

    name = cell_name(length, variant, fraction, arm)
    output = arguments.work / name
    if (output / "metrics.json").is_file():
        return
    folder = f"reads-{length}" + ("-gc" if variant == "gc" else "") + ("" if fraction == 1 else f"-{fraction:g}")
    overrides = [f"data.path={arguments.data / folder}", f"name=virbert-small-{name}", "portable=false"]
    overrides += [f"data.limits.{split}={rows}" for split, rows in LIMITS[length].items()]
    if arm != "scratch":
        overrides += [f"model.from={arguments.pretrained}", "baselines.names=[]"]
    if arm != "probe":
        overrides.append(f"training.num_train_epochs={EPOCHS[length, fraction]}")
    print(f"== {name}", flush=True)
    run = training.probe if arm == "probe" else training.finetune
    run(RECIPES / f"{arm}-{length}.yaml", overrides, output=output, resume=output.exists())


def collect(arguments: argparse.Namespace) -> None:
    """Gather the cells that are there into JSON and a table."""
    cells, seeds = [], []
    for length, variant, fraction in product(LENGTHS, VARIANTS, FRACTIONS):
        for arm in ARMS:
            path = arguments.work / cell_name(length, variant, fraction, arm) / "metrics.json"
            if not path.is_file():
                continue
            found = json.loads(path.read_text())
            seeds = found["seeds"]
            about = {"length": length, "variant": variant, "label_fraction": fraction}
            rows = found["data"]["splits"]
            cells.append({**about, "arm": arm, "rows": rows, "seeds": found["seeds"], **found["metrics"]["test"]})
            for baseline, values in found["baselines"].items():
                cells.append({**about, "arm": baseline, "rows": rows, **values})
    pretrained = json.loads((arguments.pretrained / "metrics.json").read_text())
    result = {
        "cells": cells,
        "epochs": {f"{length}, {fraction:g}": n for (length, fraction), n in EPOCHS.items()},
        "pretraining": {
            key: pretrained["per_seed"][0].get(key)
            for key in ("steps", "epochs", "tokens", "tokens_per_second", "train_seconds", "parameters")
        }
        | {"validation": pretrained["metrics"]["validation"]},
    }
    path = write_result("virbert_reads", result, data="virus_genomes, split by group, builder seed 15", seeds=seeds)
    (ROOT / "benchmarks" / "tables" / "virbert.md").write_text(markdown(cells), encoding="utf-8")
    print(path)


def markdown(cells: list[dict]) -> str:
    """Test macro recall in percent, mean and standard deviation over seeds; one table a read length."""
    lines = []
    for length in LENGTHS:
        lines += [f"**Reads of {length} nt**, test macro recall in %", ""]
        columns = list(product(VARIANTS, FRACTIONS))
        heads = [f"{'GC-matched' if v == 'gc' else 'plain'}, {f:.0%} labels" for v, f in columns]
        lines += ["| | " + " | ".join(heads) + " |", "|---" * (len(columns) + 1) + "|"]
        for arm, title in TITLES.items():
            shown = [_shown(cells, length, variant, fraction, arm) for variant, fraction in columns]
            lines.append(f"| {title} | " + " | ".join(shown) + " |")
        lines.append("")
    return "\n".join(lines)


def _shown(cells: list[dict], length: int, variant: str, fraction: float, arm: str) -> str:
    wanted = {"length": length, "variant": variant, "label_fraction": fraction, "arm": arm}
    for cell in cells:
        if all(cell[key] == value for key, value in wanted.items()):
            value = cell["macro_recall"]
            if isinstance(value, dict):
                return f"{100 * value['mean']:.1f} ± {100 * (value['sd'] or 0):.1f}"
            return f"{100 * value:.1f}"
    return "not run"


if __name__ == "__main__":
    main()
