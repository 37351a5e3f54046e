"""Families that train from scratch, side by side: convolutional networks by preset and word vectors, three seeds.

    SEQFORMERS_DATA=data python -m benchmarks.tables.families --work runs/families --tasks enhancers promoters

Every cell is the recipe of the family with the data and the number of epochs of this table, and beside it the same
network with its weights as drawn, of which only the last layer is fitted (`probe`). A cell is one run folder; one that
is there is not run again, so the table can be stopped and resumed. The result is `results/families.json` and
`tables/families.md`; shortcuts are those of the first cell of a task.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from benchmarks._results import ROOT, data_folder, write_result

RECIPES = ROOT / "benchmarks" / "recipes"
TASKS = {  # configuration of `regulatory`, folder of the data, letters a row
    "enhancers": ("enhancers", "enhancers_ienhancer", 200),
    "promoters": ("promoters", "promoter_core_dnabert", 101),
    "human_nontata_promoters": ("human_nontata_promoters", "genomic_benchmarks_test_only", 251),
}
FAMILIES = {
    "deepbind": "seq_cnn/deepbind",
    "basset": "seq_cnn/basset",
    "danq": "seq_cnn/danq",
    "dilated": "seq_cnn/dilated",
    "deepsea": "seq_cnn/deepsea",
    "fastdna": "kmer2vec/fastdna",
}
FIXED = ("basset", "danq", "deepsea")  # networks that count the letters of a row
EPOCHS = 12
SHOWN = ("gc_only", "kmer_4_logistic", "kmer_6_logistic")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=list(FAMILIES))
    parser.add_argument("--collect-only", action="store_true", help="write the table from the cells that are there")
    arguments = parser.parse_args()
    if not arguments.collect_only:
        for task in arguments.tasks:
            for number, family in enumerate(arguments.families):
                for arm in ("scratch", "random"):
                    run_cell(arguments.work, task, family, arm, shortcuts=number == 0 and arm == "scratch")
    collect(arguments.work)


def run_cell(work: Path, task: str, family: str, arm: str, *, shortcuts: bool) -> None:
    """Train one cell, three seeds, unless it is there; `random` fits the last layer of the weights as drawn."""
    from seqformers import training
    from seqformers.datasets import build_dataset

    output = work / f"{task}-{family}-{arm}"
    if (output / "metrics.json").is_file():
        return
    config, folder, letters = TASKS[task]
    data = work / f"data-{task}"
    if not (data / "README.md").is_file():
        build_dataset("regulatory", config, output=data, data_dir=data_folder(folder), resume=data.exists())
    overrides = [f"data.path={data}", f"name={task}-{family}-{arm}", "portable=false"]
    overrides += [f"model.config.sequence_length={letters}"] if family in FIXED else []
    overrides += [] if shortcuts else ["baselines.names=[]"]
    began = time.perf_counter()
    print(f"== {output.name}", flush=True)
    recipe = RECIPES / f"{FAMILIES[family]}.yaml"
    if arm == "random":
        overrides += ["model.config.strands=mean"] if family == "deepbind" else []  # a probe takes one vector a row
        overrides += ["task=probe", "training={use_cpu: true}", "probe.shots=[1, 10]", "probe.cache=false"]
        training.probe(recipe, overrides, output=output, resume=output.exists())
    else:
        overrides += [f"training.num_train_epochs={EPOCHS}"]
        training.finetune(recipe, overrides, output=output, resume=output.exists())
    (output / "minutes.txt").write_text(f"{(time.perf_counter() - began) / 60:.3f}\n")


def collect(work: Path) -> None:
    """Write what is there."""
    cells: dict[str, Any] = {}
    shortcuts: dict[str, Any] = {}
    for task in TASKS:
        for family in FAMILIES:
            for arm in ("scratch", "random"):
                path = work / f"{task}-{family}-{arm}" / "metrics.json"
                if not path.is_file():
                    continue
                found = json.loads(path.read_text())
                seeds = found["per_seed"]
                cells[f"{task}/{family}/{arm}"] = {
                    "test": {name: found["metrics"]["test"][name] for name in ("mcc", "auroc", "accuracy")},
                    "parameters": seeds[0].get("parameters"),
                    "shots": [seed["shots"] for seed in seeds if "shots" in seed],
                    "train_seconds": [seed.get("train_seconds") for seed in seeds],
                    "test_rows_per_second": [seed.get("test_speed", {}).get("rows_per_second") for seed in seeds],
                }
                if found.get("baselines"):
                    shortcuts.setdefault(task, found["baselines"])
    result = {"cells": cells, "shortcuts": shortcuts, "epochs": EPOCHS}
    write_result("families", result, data=", ".join(sorted({name.split("/")[0] for name in cells})), seeds=[0, 1, 2])
    (ROOT / "benchmarks" / "tables" / "families.md").write_text(table(result), encoding="utf-8")


def table(result: dict[str, Any]) -> str:
    """One table a task: Matthews' correlation and AUROC on test, mean and spread of the seeds."""
    lines = []
    for task in TASKS:
        mine = {name: cell for name, cell in result["cells"].items() if name.startswith(f"{task}/")}
        if not mine:
            continue
        lines += [
            f"**{task}**, test, {result['epochs']} epochs",
            "",
            "| | MCC | AUROC | parameters |",
            "|---|---|---|---|",
        ]
        for name, cell in mine.items():
            _, family, arm = name.split("/")
            label = family if arm == "scratch" else f"{family}, weights as drawn, last layer fitted"
            lines.append(f"| {label} | {_spread(cell, 'mcc')} | {_spread(cell, 'auroc')} | {cell['parameters']:,} |")
        for name in SHOWN:
            found = _shortcut(result["shortcuts"].get(task, {}), name)
            if found:
                lines.append(f"| {name.replace('_', ' ')} | {found['mcc']:.3f} | {found['auroc']:.3f} | |")
        lines.append("")
    return "\n".join(lines)


def _spread(cell: dict[str, Any], metric: str) -> str:
    value = cell["test"][metric]
    return f"{value['mean']:.3f} ± {value['sd']:.3f}"


def _shortcut(shortcuts: dict[str, Any], name: str) -> dict[str, float] | None:
    for split in ("test",):
        found = shortcuts.get(split, shortcuts).get(name)
        if isinstance(found, dict):
            return found.get(split, found)
    return None


if __name__ == "__main__":
    main()
