"""Protein encoders that differ in network and pretraining, each with the same small budget, on three tasks.

    python -m benchmarks.tables.protein_arms --data DATA --work work/arms             # run or go on
    python -m benchmarks.tables.protein_arms --work work/arms --further NETSURFP      # TS115 and CASP12 beside CB513
    python -m benchmarks.tables.protein_arms --work work/arms --collect               # write results/protein_arms.json

The arms stand in `recipes/plus/lists/arms.yaml`. An arm is pretrained for 60 seconds of CPU by `seqformers pretrain`,
then fine-tuned for 15 on each task by `seqformers finetune`: homology levels of pairs (of families with a pair head),
secondary structure (CB513) and signal peptides. The tasks `*_probe` are `seqformers probe` on few labels: a linear
layer on the frozen encoder, three draws of the labelled proteins. Homology: domains of TAPE's remote-homology split
with their folds, and the SCOP class that their fold has in the ProteinBERT set; training pairs are drawn, test pairs
are distinct pairs of the fold holdout. Beside the arms: Needleman-Wunsch (BLOSUM62), composition and length, and on
pairs of families that no arm saw what the same-family head adds to these. One finished cell is one JSON file, so a
killed run goes on. NETSURFP holds `TS115_HHblits.csv` and `CASP12_HHblits.csv` (`benchmarks/tables/proteins.md`).
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import torch
from transformers import TrainerCallback

from benchmarks._results import RESULTS, ROOT, commit, write_result
from benchmarks.tables.protein_arms_data import prepare
from benchmarks.tables.protein_arms_further import FURTHER, score_further
from benchmarks.tables.protein_arms_shortcuts import (
    homology_shortcuts,
    same_family,
    signal_shortcuts,
    structure_shortcuts,
)
from seqformers.settings import read_yaml
from seqformers.training.recipe import load_recipe
from seqformers.training.running import train

__all__ = ["TASKS", "collect", "main", "read_arms", "recipe_of"]

ARMS = ROOT / "benchmarks" / "recipes" / "plus" / "lists" / "arms.yaml"
SECONDS = {"pretrain": 60.0, "finetune": 15.0}
SEEDS = (0, 1)
TASKS: dict[str, dict[str, Any]] = {
    "homology": {
        "head": "AutoModelForPairClassification",
        "data": {"columns": {"text": "sequence_a", "text_pair": "sequence_b"}},
        "metrics": ["level_spearman", "level_accuracy", "level_pearson", "auprc_class", "auprc_fold"],
    },
    "secondary_structure": {
        "head": "AutoModelForTokenClassification",
        "data": {"label": "labels"},
        "metrics": ["q3", "q3_per_protein", "f1_macro"],
        "length_bins": [100, 200, 400],
    },
    "signal_peptide": {
        "head": "AutoModelForSequenceClassification",
        "data": {},
        "metrics": ["mcc", "auroc"],
        "balance": {"weights": "balanced"},  # one protein in eight has one; else short trainings call them all alike
    },
}
# Linear probes: labelled proteins that are fitted, and that choose the strength of the ridge; one draw a seed.
PROBES = {"secondary_structure": (400, 50), "signal_peptide": (1_500, 300)}
PROBE_SEEDS = (0, 1, 2)
TASKS |= {f"{task}_probe": {**TASKS[task], "probe": counts} for task, counts in PROBES.items()}
_ENDLESS = 100_000  # steps: the clock ends a training
_COMMAND = "python -m benchmarks.tables.protein_arms --data DATA --work work/arms"


def read_arms(path: Path = ARMS) -> dict[str, dict[str, Any]]:
    """The arms, each laid over the base."""
    found = read_yaml(path.read_text(encoding="utf-8"))
    return {name: _laid_over(found["base"], arm) for name, arm in found["arms"].items()}


def _laid_over(base: Any, changes: Any) -> Any:
    """Mappings are merged; a change of `type` starts its mapping anew, since the other keys were of the old type."""
    if not isinstance(base, Mapping) or not isinstance(changes, Mapping):
        return changes
    if changes.get("type", base.get("type")) != base.get("type"):
        return dict(changes)
    return {**base, **{key: _laid_over(base.get(key), value) for key, value in changes.items()}}


def recipe_of(arm: Mapping[str, Any], work: Path, task: str | None, source: Path | None, seed: int) -> dict[str, Any]:
    """The recipe of an arm for a task, or for its pretraining."""
    probed = task is not None and "probe" in TASKS[task]
    rows = f"{task}-{seed}" if probed else task
    part = arm["pretrain"] if task is None else {"rows": rows, **TASKS[task], **arm["finetune"]}
    model = {**arm["model"], "config": {**arm["model"]["config"], **part["config"]}, "head": part["head"]}
    if source is not None:
        model |= {"from": str(source), "preset": None, "config": dict(part["config"])}
    pairs = part["rows"] == "pairs"
    data: dict[str, Any] = {"path": str(work / "rows" / part["rows"]), **part.get("data", {})}
    if task is None or probed:
        model.pop("freeze", None)
    if task is None:
        data["columns"] = {"text": "sequence_a", "text_pair": "sequence_b"} if pairs else {"text": "sequence"}
    return {
        "task": "pretrain" if task is None else "probe" if probed else "finetune",
        "model": model,
        "tokenizer": {**arm["tokenizer"], "max_length": 1000 if pairs or task == "homology" else 700},
        "data": data,
        "masking": arm["pretrain"]["masking"] if task is None else {},
        "probe": {"cache": False} if probed else {},
        "balance": {} if task is None or probed else part.get("balance", {}),
        "training": {"per_device_eval_batch_size": 64, "use_cpu": True} if probed else {
            "max_steps": _ENDLESS, "per_device_train_batch_size": 32, "per_device_eval_batch_size": 64,
            "learning_rate": float(part["rate"]), "weight_decay": 0.0, "lr_scheduler_type": "constant",
            "warmup_steps": 0, "max_grad_norm": 1.0, "eval_strategy": "no", "save_strategy": "no",
            "load_best_model_at_end": False, "logging_steps": 50, "use_cpu": True,
        },
        "seeds": [seed], "metrics": [] if task is None else part["metrics"],
        "length_bins": [] if task is None else part.get("length_bins", []),
        "baselines": {"names": []}, "portable": False,
    }  # fmt: skip


class Budget(TrainerCallback):
    """End a training when its CPU time is up; the rate rises over the first twentieth and falls in half a cosine."""

    def __init__(self, seconds: float, rate: float):
        self.seconds, self.rate, self.steps = seconds, rate, 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock."""
        self.began = time.process_time()

    def on_step_begin(self, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any) -> None:
        """Set the rate by the share of the time that is gone."""
        done = min((time.process_time() - self.began) / self.seconds, 1.0)
        rate = self.rate * min(1.0, 20 * done + 0.01) * (0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2)
        for group in optimizer.param_groups:
            group["lr"] = rate

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop when the time is gone."""
        self.steps = state.global_step
        control.should_training_stop = time.process_time() - self.began > self.seconds


def run(work: Path, names: list[str], tasks: list[str], seconds: float) -> None:
    """Run every cell that has no file yet, one seed after the other, and start none after `seconds` of CPU."""
    arms = read_arms()
    (work / "cells").mkdir(parents=True, exist_ok=True)
    for seed in PROBE_SEEDS:
        for name in names:
            for task in tasks:
                cell = work / "cells" / f"{task}.{name}.{seed}.json"
                if cell.exists() or not has_cell(arms[name], name, task, seed):
                    continue
                if time.process_time() > seconds:
                    return
                _run_cell(work, name, arms[name], task, seed, cell)


def has_cell(arm: Mapping[str, Any], name: str, task: str, seed: int) -> bool:
    """Whether there is such a cell: pairs need a head of pairs, and two arms of one encoder are one to a probe."""
    if "probe" in TASKS[task]:
        return seed in PROBE_SEEDS and "same" not in arm and name != "scratch"
    return seed in SEEDS and (task != "homology" or arm["pairs"])


def _run_cell(work: Path, name: str, arm: Mapping[str, Any], task: str, seed: int, cell: Path) -> None:
    source = None
    if arm["pretrain"] is not None:
        source = work / "pretrained" / arm.get("same", name)
        if not source.exists():
            _train(recipe_of(arm, work, None, None, 0), source, SECONDS["pretrain"])
    folder = work / "runs" / f"{task}.{name}.{seed}"
    if "probe" in TASKS[task]:
        draw_probe_rows(work / "rows", task, seed)
    steps = _train(recipe_of(arm, work, task, source, seed), folder, SECONDS["finetune"])
    summary = json.loads((folder / "metrics.json").read_text())
    metrics = {key: value["mean"] for key, value in summary["metrics"]["test"].items()}
    result = {"task": task, "arm": name, "seed": seed, "metrics": metrics, "steps": steps, "commit": commit()}
    result |= {"parameters": summary["per_seed"][0]["parameters"], "by_length": summary.get("by_length")}
    part = cell.with_suffix(".part")
    part.write_text(json.dumps(result, indent=1))
    part.replace(cell)
    first = TASKS[task]["metrics"][0]
    print(f"{task:20} {name:16} seed {seed}: {first} {metrics.get(first, math.nan):.3f} ({steps} steps)", flush=True)


def _train(recipe: dict[str, Any], folder: Path, seconds: float) -> int:
    budget = Budget(seconds, recipe["training"].get("learning_rate", 0.0))
    train(load_recipe(recipe), folder, overwrite=True, callbacks=[budget])
    facts = {"steps": budget.steps, "cpu_seconds": seconds}
    (folder / "budget.json").write_text(json.dumps(facts))
    return budget.steps


def draw_probe_rows(rows: Path, task: str, seed: int) -> None:
    """A few labelled proteins of a task, drawn by the seed, with its test rows."""
    source, target = rows / task.removesuffix("_probe"), rows / f"{task}-{seed}"
    if target.is_dir():
        return
    tables = {part: pd.read_parquet(next(source.glob(f"{part}-*"))) for part in ("train", "test")}
    fitted, choosing = TASKS[task]["probe"]
    drawn = np.random.default_rng(seed).permutation(len(tables["train"]))
    parts = {
        "train": tables["train"].iloc[drawn[:fitted]],
        "validation": tables["train"].iloc[drawn[fitted : fitted + choosing]],
        "test": tables["test"],
    }
    features = datasets.load_dataset("parquet", data_files=str(next(source.glob("test-*"))), split="train").features
    part = target.with_name(f"{target.name}.part")
    part.mkdir(exist_ok=True)
    for split, some in parts.items():
        chosen = datasets.Dataset.from_dict(some.to_dict("list"), features=features)
        chosen.to_parquet(part / f"{split}-00000-of-00001.parquet")
    part.rename(target)


def shortcuts(work: Path) -> None:
    """What needs no network, and same-family prediction on families that no arm saw."""
    every = {"homology": homology_shortcuts, "same_family": same_family, "secondary_structure": structure_shortcuts,
             "signal_peptide": signal_shortcuts}  # fmt: skip
    for name, compute in every.items():
        path = work / f"shortcuts.{name}.json"
        if not path.exists():
            path.write_text(json.dumps(compute(work), indent=1))


def collect(work: Path) -> dict[str, Any]:
    """Write `results/protein_arms.json` and its page from the finished cells."""
    arms = read_arms()
    cells = [json.loads(path.read_text()) for path in sorted((work / "cells").glob("*.json"))]
    table: dict[str, Any] = {}
    for task in TASKS:
        for name in arms:
            found = [cell for cell in cells if (cell["task"], cell["arm"]) == (task, name)]
            if found:
                shared = set.intersection(*(set(cell["metrics"]) for cell in found))
                values = {
                    key: [cell["metrics"][key] for cell in found] for key in found[0]["metrics"] if key in shared
                }
                sd = {key: float(np.std(value, ddof=1)) if len(value) > 1 else None for key, value in values.items()}
                table.setdefault(task, {})[name] = {
                    "mean": {key: float(np.mean(value)) for key, value in values.items()},
                    "sd": sd,
                    "seeds": len(found), "steps": float(np.mean([cell["steps"] for cell in found])),
                    "parameters": found[0]["parameters"],
                }  # fmt: skip
    missing = [
        f"{task}.{name}.{seed}" for task in TASKS for name in arms for seed in PROBE_SEEDS
        if has_cell(arms[name], name, task, seed)
        and not any((cell["task"], cell["arm"], cell["seed"]) == (task, name, seed) for cell in cells)
    ]  # fmt: skip
    result = {
        "arms": table, "titles": {name: _title(name, arm) for name, arm in arms.items()}, "budget": SECONDS,
        "rows": json.loads((work / "rows" / "facts.json").read_text()), "not_run": missing,
        **{path.name.split(".")[1]: json.loads(path.read_text()) for path in work.glob("shortcuts.*.json")},
    }  # fmt: skip
    sets = "TAPE remote homology, SCOP classes, CB513, TS115, CASP12, SignalP 5"
    path = write_result("protein_arms", result, data=sets, seeds=list(SEEDS))
    outcome = json.loads(path.read_text()) | {"command": _COMMAND}
    path.write_text(json.dumps(outcome, indent=2) + "\n")
    path.with_suffix(".md").write_text(page(outcome))
    return result


def _title(name: str, arm: Mapping[str, Any]) -> str:
    weight = (arm["pretrain"] or {}).get("config", {}).get("mlm_weight")
    said = "" if weight is None else f", λ pretraining {weight:g}"
    tuned = arm["finetune"]["config"].get("finetuning_mlm_weight")
    return arm["title"] + said + ("" if tuned is None else f", λ fine-tuning {tuned:g}")


def page(outcome: Mapping[str, Any]) -> str:
    """The results as a page."""
    result = outcome["result"]
    budget = result["budget"]
    lines = [
        "# Arms of protein pretraining", "", f"`{outcome['command']}`, commit {outcome['commit']}. Every network had "
        f"{budget['pretrain']:g} CPU seconds of pretraining (where it has any), then {budget['finetune']:g} of "
        "fine-tuning a task: this compares recipes at one small budget, not the papers' models. Probes fit one linear "
        "layer on the frozen encoder and few labelled proteins. Mean ± standard deviation over seeds (of probes: "
        "draws of the labelled proteins); one seed where there is no ±, and then differences of a few hundredths mean "
        "nothing. Fine-tuned on signal peptides, the two classes weigh the same in the loss of every arm. An MCC of 0 "
        "is a network that calls every protein the same; the AUROC then says what it knows. TS115 (115 proteins) and "
        "CASP12 (20) are read by the networks that were fine-tuned for CB513.", "",
    ]  # fmt: skip
    for task in TASKS:
        arms, plain = result["arms"].get(task, {}), result.get(task, {})
        given = [*(arm["mean"] for arm in arms.values()), *plain.values()]
        names = [name for name in [*TASKS[task]["metrics"], *FURTHER] if any(name in values for values in given)]
        if not names:
            continue
        lines += [
            f"## {task.replace('_', ' ').capitalize()}",
            "",
            "| arm | weights | steps | " + " | ".join(names) + " |",
        ]
        lines += ["|---" * (len(names) + 3) + "|"]
        for name, arm in arms.items():
            cells = [_cell(arm["mean"].get(key), arm["sd"].get(key)) for key in names]
            title = result["titles"][name]
            lines.append(f"| {title} | {arm['parameters']:,} | {arm['steps']:.0f} | " + " | ".join(cells) + " |")
        for name, values in plain.items():
            cells = [_cell(values.get(key), None) for key in names]
            lines.append(f"| *{name.replace('_', ' ')}* | - | - | " + " | ".join(cells) + " |")
        lines.append("")
    lines += [
        "## What differs by more than its spread", "",
        "An arm (names of `benchmarks/recipes/plus/lists/arms.yaml`) is above or below the first of its table where "
        "the difference is more than twice its standard deviation; that of two or three seeds is rough, so none is "
        "taken for less than the median of the table.", "",
    ]  # fmt: skip
    lines += [*map("- {}".format, _verdicts(result["arms"])), ""]
    if "same_family" in result:
        found = result["same_family"]
        lines += [
            f"## Same family or not, {found['pairs']:,} pairs of {found['families']:,} families that no arm saw",
            "",
        ]
        lines += ["| scorer | accuracy | AUROC | AUROC beyond composition and length, 95 % |", "|---|---|---|---|"]
        for name, row in found["scores"].items():
            more = "-" if row.get("gain") is None else "{:+.3f} ({:+.3f} to {:+.3f})".format(*row["gain"])
            lines.append(f"| {name} | {row['accuracy']:.3f} | {row['auroc']:.3f} | {more} |")
        lines.append("")
    if result["not_run"]:
        lines += ["Not run (the same command runs them): " + ", ".join(result["not_run"]) + "."]
    return "\n".join(lines).rstrip() + "\n"


def _verdicts(tasks: Mapping[str, Any]) -> list[str]:
    """Of each task, the arms that are further from the first one (from scratch, or frozen at random) than two spreads.

    The spread of a difference is the root of the sum of the two variances. That of two or three seeds is itself rough,
    so none is taken for less than the median of the task's arms.
    """
    found = []
    for task, arms in tasks.items():
        key = _metric(task)
        spreads = {name: arm["sd"][key] for name, arm in arms.items() if arm["sd"][key] is not None}
        if len(spreads) < 2:
            continue
        least = float(np.median(list(spreads.values())))
        base, *others = spreads
        parts: dict[str, list[str]] = {"above": [], "below": [], "not apart": []}
        for name in others:
            gap = arms[name]["mean"][key] - arms[base]["mean"][key]
            spread = math.hypot(max(spreads[base], least), max(spreads[name], least))
            side = "not apart" if abs(gap) <= 2 * spread else "above" if gap > 0 else "below"
            parts[side].append(f"{name} ({gap:+.3f} ± {spread:.3f})")
        said = "; ".join(f"{side}: {', '.join(names)}" for side, names in parts.items() if names)
        against = f"{base} ({arms[base]['mean'][key]:.3f} ± {spreads[base]:.3f})"
        found.append(f"{task.replace('_', ' ').capitalize()}, {key}, against {against}: {said}.")
    return found


def _metric(task: str) -> str:
    """What a task is judged by: of signal peptides the AUROC, since an MCC hangs on where the classes are parted."""
    return "auroc" if task.startswith("signal_peptide") else TASKS[task]["metrics"][0]


def _cell(mean: float | None, sd: float | None) -> str:
    if mean is None:
        return "-"
    return f"{mean:.3f}" + ("" if sd is None else f" ± {sd:.3f}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the public data")
    parser.add_argument("--work", type=Path, default=Path("work/arms"))
    parser.add_argument("--arms", nargs="+", default=list(read_arms()), choices=list(read_arms()))
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--seconds", type=float, default=math.inf, help="of CPU, after which no cell is started")
    parser.add_argument("--shortcuts", action="store_true", help="only what needs no training")
    parser.add_argument("--further", type=Path, help="only score secondary structure on the test sets in this folder")
    parser.add_argument("--collect", action="store_true", help=f"only write {RESULTS.name}/protein_arms.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.further is not None:
        score_further(options.work, options.further)
    elif not options.collect:
        if options.data is None:
            parser.error("give --data")
        prepare(options.data, options.work)
        if not options.shortcuts:
            run(options.work, options.arms, options.tasks, options.seconds)
        shortcuts(options.work)
    collect(options.work)


if __name__ == "__main__":
    main()
