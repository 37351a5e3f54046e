"""The thesis's scaled trials: pretrain each, probe the frozen encoder on 150-nt reads, draw the probes' curves.

    python -m benchmarks.tables.virbert_trials --genomes genomes/ --work runs/trials --trials base 13 19 28
    python -m benchmarks.tables.virbert_trials --genomes genomes/ --work runs/trials --cpu

`--genomes` is what `seqformers build phage` reads (folders `phage` and `non-phage` of FASTA, or tables). Without
`--trials` all of `recipes/virbert/lists/trials.yaml` are run. What is done is not run again, and each call draws what
there is: `A.2.png` (learning rates and masking rates), `A.3.png` (longer spans), `A.4.png` (strides). Dotted: where
the thesis's curve ended. It also writes `results/virbert_trials.json` and `tables/virbert_trials.md`. `--cpu` makes
network, data and steps so small that a core does a trial in a minute or two; such figures show that the job works and
rank nothing.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from benchmarks._results import ROOT, write_result
from benchmarks.recipe_lists import laid_over, read_list
from seqformers.pictures import COLOURS, save_picture
from seqformers.training.plan import resolve
from seqformers.training.recipe import load_recipe
from seqformers.training.running import train

TRIALS = ROOT / "benchmarks" / "recipes" / "virbert" / "lists" / "trials.yaml"
FIGURES = {
    "A.2": ("base", "random", "1", "2", "3", "4", "5", "8", "9", "12", "13", "22"),
    "A.3": ("6", "7", "14", "15", "19", "20", "21", "23", "24", "26", "27", "30", "32"),
    "A.4": ("10", "11", "16", "17", "18", "25", "28", "29", "31", "33", "34", "35", "36"),
}
READS = {"window": 150, "reads_per_genome": 1024, "max_mult": 4.0, "max_train_reads": 4_000_000,
         "max_validation_reads": 1_500_000, "max_test_reads": 1000}  # fmt: skip
PROBE: dict[str, Any] = {
    "task": "finetune",
    "model": {"type": "kmer_bert", "freeze": True, "config": {"hidden_dropout_prob": 0.3}},
    "data": {"dataset": "phage", "config": "reads-150", "options": READS},
    "training": {
        "per_device_train_batch_size": 64, "num_train_epochs": 2, "learning_rate": 2e-5, "warmup_steps": 0.1,
        "weight_decay": 0.01, "eval_strategy": "steps", "eval_steps": 7500,
        "save_strategy": "steps", "save_steps": 7500,
    },
    "seeds": [42],
    "metrics": ["macro_recall", "f1_positive", "mcc"],
    "baselines": {"names": []},
    "portable": False,
}  # fmt: skip
# What two cores do; the warm-up keeps its share of the steps.
CPU_STEPS = 120
CPU_PRETRAIN: dict[str, Any] = {
    "model": {
        "config": {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512},
    },
    "data": {"options": {"max_train_reads": CPU_STEPS * 16, "max_validation_reads": 200}},
    "training": {"per_device_train_batch_size": 16, "gradient_accumulation_steps": 1, "max_steps": CPU_STEPS,
                 "eval_steps": 60, "save_steps": 60, "logging_steps": 10},
}  # fmt: skip
CPU_PROBE: dict[str, Any] = {
    "data": {"limits": {"train": 3200, "validation": 1000, "test": 500}},
    "training": {"num_train_epochs": 4, "learning_rate": 1e-3, "eval_steps": 25, "save_steps": 25},
}


_WHOLE = """# The thesis's scaled trials

Macro recall of a probe of the frozen encoder on balanced reads of 150 nt, in percent, one seed; the last column is the
thesis's final validation score, read off its plots.
"""
_IN_SMALL = f"""# The thesis's scaled trials, in small

What the thesis did with 10,000 steps of 2,000 sequences and four layers of width 512 is done here with {CPU_STEPS}
steps of 16 and two of width 128, one seed. Macro recall of a probe of the frozen encoder on balanced reads of 150 nt,
in percent; the last column is the thesis's final validation score, read off its plots. Differences here are those of a
few hundred reads: the page shows that these trials run, and ranks nothing.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--genomes", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--trials", nargs="+", help="base, 1 to 36, random; default: all")
    parser.add_argument("--cpu", action="store_true")
    arguments = parser.parse_args()
    trials = read_list(TRIALS)
    for name in arguments.trials or trials:
        if name not in trials:
            raise SystemExit(f"no trial {name!r}; there are: {', '.join(trials)}")
        run_trial(name, trials[name], arguments.genomes, arguments.work, cpu=arguments.cpu)
        draw_figures(trials, arguments.work)
        write_table(gather(trials, arguments.work), cpu=arguments.cpu)


def run_trial(name: str, trial: dict[str, Any], genomes: Path, work: Path, *, cpu: bool) -> Path:
    """Pretrain and probe one trial; the run folder of the probe."""
    recipe = laid_over(trial["recipe"], {"name": f"virBERT trial {name}", "data": {"data_dir": str(genomes)}})
    pretrained = work / "pretrained" / name
    if cpu:
        recipe = on_two_cores(recipe)
    if not (pretrained / "config.json").is_file():
        if trial.get("untrained"):
            plan = resolve(load_recipe(recipe))
            plan.make_model({}, seed=42).save_pretrained(pretrained)
            plan.encoder.save_pretrained(pretrained)
        else:
            train(load_recipe(recipe), pretrained, resume=_began(pretrained))
    probe = laid_over(PROBE, {"model": {"from": str(pretrained)}, "data": {"data_dir": str(genomes)}})
    if cpu:
        probe = laid_over(probe, CPU_PROBE)
    output = work / "probes" / name
    if not (output / "metrics.json").is_file():
        train(load_recipe(probe), output, resume=_began(output))
    return output


def on_two_cores(recipe: dict[str, Any]) -> dict[str, Any]:
    """The recipe in small."""
    training = recipe["training"]
    warmup = max(1, round(training["warmup_steps"] * CPU_STEPS / training["max_steps"]))
    small = laid_over(recipe, laid_over(CPU_PRETRAIN, {"training": {"warmup_steps": warmup}}))
    change = small["masking"].get("then")
    if change is not None:
        change["at"] = max(1, round(change["at"] * CPU_STEPS / training["max_steps"]))
    return small


def _began(folder: Path) -> bool:
    return folder.with_name(folder.name + ".partial").exists()


def gather(trials: dict[str, dict[str, Any]], work: Path) -> list[dict[str, Any]]:
    """What the trials that are done reached: loss of pretraining, and macro recall of the probe, in percent."""
    rows = []
    for name, trial in trials.items():
        probe = work / "probes" / name
        if not (probe / "metrics.json").is_file():
            continue
        scores = [row["eval_macro_recall"] for row in probe_log(work, name)]
        row: dict[str, Any] = {"trial": name, "title": trial["title"], "thesis": trial.get("recall"), "loss": None}
        path = work / "pretrained" / name / "metrics.json"
        if path.is_file():
            found = json.loads(path.read_text())["metrics"].get("validation", {})
            row["loss"] = found["loss"]["mean"] if "loss" in found else None
        test = json.loads((probe / "metrics.json").read_text())["metrics"]["test"]["macro_recall"]["mean"]
        rows.append(row | {"last": 100 * scores[-1], "best": 100 * max(scores), "test": 100 * test})
    return rows


def write_table(rows: list[dict[str, Any]], *, cpu: bool) -> None:
    """`results/virbert_trials.json` and `tables/virbert_trials.md`."""
    write_result("virbert_trials", {"cpu": cpu, "rows": rows}, data="genomes of phages and other viruses", seeds=[42])
    lines = ["| trial | what it changes | masked loss | probe, validation | probe, test | thesis |", "|---" * 6 + "|"]
    for row in rows:
        loss = "" if row["loss"] is None else f"{row['loss']:.2f}"
        cells = [row["trial"], row["title"], loss, f"{row['last']:.1f}", f"{row['test']:.1f}", row["thesis"] or ""]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    page = ROOT / "benchmarks" / "tables" / "virbert_trials.md"
    page.write_text("\n".join([_IN_SMALL if cpu else _WHOLE, *lines, ""]), encoding="utf-8")


def probe_log(work: Path, name: str) -> list[dict[str, Any]]:
    """The evaluations of a probe, in order."""
    log = (work / "probes" / name / "seeds" / "42" / "training_log.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, log) if "eval_macro_recall" in row]


def draw_figures(trials: dict[str, dict[str, Any]], work: Path) -> list[Path]:
    """Validation macro recall of the probes over their steps, a line a trial that is done."""
    written = []
    for figure_name, names in FIGURES.items():
        done = [name for name in names if (work / "probes" / name / "metrics.json").is_file()]
        if not done:
            continue
        figure, axis = plt.subplots(figsize=(8, 4.5), layout="constrained")
        for place, name in enumerate(done):
            colour = COLOURS[place % len(COLOURS)]
            rows = probe_log(work, name)
            label = f"{name}: {trials[name]['title']}"
            axis.plot(
                [r["step"] for r in rows], [100 * r["eval_macro_recall"] for r in rows], color=colour, label=label
            )
            if "recall" in trials[name]:
                axis.axhline(trials[name]["recall"], color=colour, linestyle=":", linewidth=0.8)
        axis.set(xlabel="step of the probe", ylabel="validation macro recall (%)", title=figure_name)
        axis.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1.0, 0.5))
        written.append(work / f"{figure_name}.png")
        save_picture(figure, written[-1])
        plt.close(figure)
    return written


if __name__ == "__main__":
    main()
