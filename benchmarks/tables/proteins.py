"""Protein tasks at small size: does pretraining on families help, and what do shortcuts get on the same rows?

    python -m benchmarks.tables.proteins --data DATA --work work/proteins            # run or go on
    python -m benchmarks.tables.proteins --work work/proteins --collect              # write results/proteins.json

One cell is one (task, arm, seed); each finished cell is one JSON file under `--work`, so a killed run goes on where it
stopped. Every arm of a seed sees the same training rows, drawn with that seed; test rows are the same in all cells.

Arms: `plus_rnn` (masked residues + same-family prediction), `mlm_only`, `scratch` (the same network, untrained),
`plus_tfm` (a small PLUS-TFM, pretrained as plus_rnn on fewer residues), and the shortcuts `one_hot_linear`,
`composition` and `majority`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import log_softmax
from sklearn.metrics import matthews_corrcoef

from benchmarks._results import RESULTS, about, commit
from benchmarks.blocks.proteins import below_one_hot
from benchmarks.tables.proteins_data import TASKS, Task, load, rows_of
from benchmarks.tables.proteins_networks import NETWORKS, PRETRAINING, RNN, TFM, fine_tune, pretrain
from benchmarks.tables.proteins_shortcuts import SHORTCUTS, shortcut
from seqformers.metrics.regression import regression_metrics
from seqformers.metrics.residues import masked_accuracy, secondary_structure_metrics
from seqformers.metrics.topology import topology_metrics

__all__ = ["ARMS", "collect", "main", "run", "score"]

ARMS = (*SHORTCUTS, *NETWORKS)
SEEDS = (0, 1, 2)


def run(data: Path, work: Path, tasks: Sequence[str], arms: Sequence[str], seeds: Sequence[int]) -> None:
    """Run every cell that has no file yet, one seed after the other."""
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    work.mkdir(parents=True, exist_ok=True)
    todo = [arm for arm in arms if arm in PRETRAINING and not (work / "pretrained" / arm / "facts.json").exists()]
    held_out = {s for task in TASKS.values() for s in load(task, data, task.test)["sequence"]} if todo else set()
    for arm in todo:
        pretrain(arm, data, work, held_out)
    for seed in seeds:
        for name in tasks:
            for arm in arms:
                if not (work / f"{name}.{arm}.{seed}.json").exists():
                    _run_cell(name, arm, seed, data, work)


def _run_cell(name: str, arm: str, seed: int, data: Path, work: Path) -> None:
    task = TASKS[name]
    rows = rows_of(task, data, seed)
    begin, loss = time.time(), None
    if arm in SHORTCUTS:
        outputs = shortcut(arm, task, rows)
    else:
        outputs, loss = fine_tune(arm, task, rows, work, seed)
    seconds = round(time.time() - begin, 1)
    result = {"task": name, "arm": arm, "seed": seed, "metrics": score(task, outputs, rows.truth)}
    result |= {"seconds": seconds, "train_loss": loss, "commit": commit()}
    part = work / f"{name}.{arm}.{seed}.part"
    part.write_text(json.dumps(result, indent=1))
    part.replace(part.with_suffix(".json"))
    print(f"{name:20} {arm:16} seed {seed}: {result['metrics'][task.metric]:.3f} ({seconds} s)", flush=True)


def score(task: Task, outputs: list[np.ndarray], truth: list[Any]) -> dict[str, float]:
    """Metrics of a task from logits, or from values, of each test row."""
    if task.kind == "regression":
        found = regression_metrics(np.concatenate(outputs), truth)
        return {name: float(np.nan_to_num(value)) for name, value in found.items()}  # a constant ranks nothing: 0
    if task.config == "secondary_structure":
        return secondary_structure_metrics(outputs, truth)
    if task.config == "transmembrane":
        return topology_metrics([log_softmax(output, axis=1) for output in outputs], truth)
    guess = np.stack(outputs).argmax(axis=1)
    return {"accuracy": masked_accuracy(guess, truth), "mcc": float(matthews_corrcoef(truth, guess))}


def collect(work: Path, results: Path = RESULTS / "proteins.json") -> dict[str, Any]:
    """Gather finished cells into one file and one page, and print the table; what was not run is listed as such."""
    cells = [json.loads(path.read_text()) for path in sorted(work.glob("*.*.*.json"))]
    table: dict[str, Any] = {}
    missing = []
    for name, task in TASKS.items():
        entry: dict[str, Any] = {**asdict(task), "options": dict(task.options), "published": dict(task.published)}
        entry["arms"] = {}
        for arm in ARMS:
            found = [cell for cell in cells if (cell["task"], cell["arm"]) == (name, arm)]
            missing += [f"{name}.{arm}.{seed}" for seed in SEEDS if seed not in {cell["seed"] for cell in found}]
            if found:
                entry["arms"][arm] = _summary(found)
        table[name] = entry
    outcome = {
        **about(data="the archives of TAPE and PLUS", seeds=list(SEEDS)),
        "command": "python -m benchmarks.tables.proteins --data DATA --work work/proteins",
        "commits_of_cells": sorted({cell["commit"] for cell in cells}),
        "device": f"{platform.machine()} CPU, 1 thread, beside other work",
        "networks": {"plus_rnn, mlm_only, scratch": RNN, "plus_tfm": TFM},
        "pretraining": [json.loads(path.read_text()) for path in sorted(work.glob("pretrained/*/facts.json"))],
        "tasks": table,
        "not_run": missing,
    }
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(json.dumps(outcome, indent=1) + "\n")
    results.with_suffix(".md").write_text(page(outcome))
    print(markdown(outcome))
    return outcome


def _summary(cells: list[dict[str, Any]]) -> dict[str, Any]:
    values = {name: [cell["metrics"][name] for cell in cells] for name in cells[0]["metrics"]}
    return {
        "seeds": [cell["seed"] for cell in cells],
        "mean": {name: float(np.mean(value)) for name, value in values.items()},
        "sd": {name: float(np.std(value, ddof=1)) if len(value) > 1 else None for name, value in values.items()},
        "seconds": float(np.mean([cell["seconds"] for cell in cells])),
    }


def page(outcome: dict[str, Any]) -> str:
    """The results as a page: table, what differs from the published figures, pretraining, what was not run."""
    lines = ["# Protein tasks at small size", "", f"`{outcome['command']}`, commit {outcome['commit']},"]
    lines += [f"{outcome['device']}. Mean ± standard deviation over seeds (training rows and weights)."]
    lines += ["", markdown(outcome), "", below_one_hot(outcome["tasks"]), ""]
    lines += [
        "What differs from the published figures, beside the size of the pretraining:",
        "",
        *(f"- {name}: {entry['differs']}" for name, entry in outcome["tasks"].items()),
    ]
    lines += [
        "",
        "Pretraining (families: fold labels of the remote homology training split, and 21 named families):",
        "",
    ]
    lines += [
        f"- {facts['arm']}: {facts['parameters']:,} weights, {facts['sequences']:,} sequences, {facts['steps']} "
        f"steps, {facts['residues'] / 1e6:.1f} M residues, {facts['seconds']} s; held-out masked residues "
        f"{facts['masked_accuracy']:.3f} right (most common residue "
        f"{facts['masked_accuracy_most_common_residue']:.3f}), same family {facts['same_family_accuracy']:.3f} "
        f"(composition and length alone {facts['same_family_accuracy_composition_and_length']:.3f})"
        for facts in outcome["pretraining"]
    ]
    segments = outcome["tasks"]["transmembrane"]["arms"]
    found = ", ".join(f"{arm} {values['mean']['protein_accuracy']:.3f}" for arm, values in segments.items())
    lines += ["", f"Transmembrane proteins with all segments right: {found}."]
    if outcome["not_run"]:
        lines += ["", "Not run (the same command runs them): " + ", ".join(outcome["not_run"]) + "."]
    return "\n".join(lines) + "\n"


def markdown(outcome: dict[str, Any]) -> str:
    """The results as a Markdown table: mean ± sd over seeds, number of seeds."""
    lines = ["| task (metric) | " + " | ".join(ARMS) + " | published |", "|---|" + "---|" * (len(ARMS) + 1)]
    for name, entry in outcome["tasks"].items():
        cells = []
        for arm in ARMS:
            found = entry["arms"].get(arm)
            if found is None:
                cells.append("not run")
                continue
            mean, sd = found["mean"][entry["metric"]], found["sd"][entry["metric"]]
            spread = "" if sd is None else f" ± {sd:.3f}"
            cells.append(f"{mean:.3f}{spread} (n={len(found['seeds'])})")
        published = "; ".join(f"{who} {value}" for who, value in entry["published"].items()) or "-"
        lines.append(f"| {name} ({entry['metric']}) | " + " | ".join(cells) + f" | {published} |")
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("SEQFORMERS_DATA"), help="folder of the public data"
    )
    parser.add_argument("--work", type=Path, default=Path("work/proteins"), help="folder of finished cells")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--collect", action="store_true", help="only write results/proteins.json and print the table")
    options = parser.parse_args()
    if not options.collect:
        if options.data is None:
            parser.error("give --data, or set SEQFORMERS_DATA")
        run(Path(options.data), options.work, options.tasks, options.arms, options.seeds)
    collect(options.work)


if __name__ == "__main__":
    main()
