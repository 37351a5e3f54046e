"""A small network alone and taught by a larger one, beside the larger one pruned and in int8: size against score.

    python -m benchmarks.tables.families --work runs/families --tasks reads-150 --families coding_profile kmer_bert
    python -m benchmarks.tables.distillation --work runs/families

A teacher is the trained cell of the table of families (the seed that is best on validation). Two students are networks
of `recipes/seq_cnn`, trained by `recipes/seq_cnn/distill-150.yaml` on the same 2,000 reads, and by the same recipe
without the teacher; the third is the narrow k-mer BERT of `recipes/virbert/distill-150.yaml`, which has the tokens of
its teacher, so that hidden states can be taught, too. Augmentation and steps are equal; three seeds, and what the
teacher adds seed by seed. A run that is there is not trained again. The result is `results/distillation.json` and
`docs/pictures/size_and_score.png`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from matplotlib.figure import Figure

from benchmarks._results import RESULTS, ROOT, write_result
from benchmarks.tables.families_rows import BATCH, RECIPES, ROWS
from seqformers.pictures import COLOURS, save_picture
from seqformers.settings import read_yaml
from seqformers.training import distill, finetune

TASK, TEACHER = "reads-150", "coding_profile"


@dataclass(frozen=True)
class Student:
    """A network, the cell that teaches it, the recipe it learns by, and its arms."""

    recipe: str
    teacher: str = TEACHER
    model: Mapping[str, Any] = field(default_factory=dict)
    arms: tuple[str, ...] = ("alone", "taught")


STUDENTS = {
    "dilated": Student("seq_cnn/distill-150"),
    "deepbind": Student("seq_cnn/distill-150", model={"type": "seq_cnn", "preset": "deepbind", "config": {}}),
    "k-mer BERT": Student(
        "virbert/distill-150", teacher="kmer_bert", arms=("alone", "taught", "taught, hidden states too")
    ),
}
EPOCHS, SEEDS = 6, (0, 1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="that of benchmarks.tables.families")
    given = parser.parse_args()
    cells = {student.teacher: given.work / f"{TASK}-{student.teacher}-scratch" for student in STUDENTS.values()}
    for cell in cells.values():
        if not (cell / "metrics.json").is_file():
            raise SystemExit(f"{cell} is not there; run the first command of this file's text")
    found: dict[str, Any] = {"teachers": {name: facts(cell) for name, cell in cells.items()}, "students": {}}
    for name, student in STUDENTS.items():
        for arm in student.arms:
            output = given.work / f"distilled-{name}-{arm}".replace(" ", "-").replace(",", "")
            if not (output / "metrics.json").is_file():
                recipe = recipe_of(student, arm, given.work / f"data-{TASK}", cells[student.teacher])
                train = finetune if arm == "alone" else distill
                train(recipe, output=output, resume=Path(f"{output}.partial").exists())
            found["students"][f"{name}, {arm}"] = {"teacher": student.teacher, **facts(output)}
    found["taught_less_alone"] = differences(found["students"])
    pruned = json.loads((RESULTS / "pruning.json").read_text(encoding="utf-8"))["result"]["sizes"].get(TEACHER, [])
    found["pruned_teacher"] = pruned
    families = json.loads((RESULTS / "families.json").read_text(encoding="utf-8"))["result"]
    found["kmer_4_logistic"] = families["shortcuts"][TASK]["kmer_4_logistic"]
    save_picture(draw(found), ROOT / "docs" / "pictures" / "size_and_score.png")
    write_result("distillation", found, data=TASK, seeds=list(SEEDS))


def recipe_of(student: Student, arm: str, data: Path, teacher: Path) -> dict[str, Any]:
    """The recipe of a student with the table's rows, and with or without the teacher and its hidden states."""
    recipe = dict(read_yaml((RECIPES / f"{student.recipe}.yaml").read_text(encoding="utf-8")))
    recipe["model"] = dict(student.model) or recipe["model"]
    recipe["data"] = recipe["data"] | {"path": str(data), "limits": {"train": ROWS, "validation": ROWS // 4}}
    recipe["training"] = recipe["training"] | {
        "per_device_train_batch_size": BATCH,
        "num_train_epochs": EPOCHS,
        "use_cpu": True,
    }
    recipe["baselines"], recipe["seeds"] = {"names": []}, list(SEEDS)
    if arm == "alone":
        return {key: value for key, value in recipe.items() if key != "distill"} | {"task": "finetune"}
    asked = recipe["distill"] | {"teacher": str(teacher)}
    if "hidden" not in arm:
        asked.pop("hidden", None)
    return recipe | {"distill": asked}


def differences(students: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What a teacher adds to each metric on test, seed by seed: mean, standard deviation and values.

    Examples:
        >>> runs = {"x, alone": [0.5, 0.7, 0.6], "x, taught": [0.6, 0.7, 0.8]}
        >>> differences({name: {"test": {"mcc": {"values": values}}} for name, values in runs.items()})
        {'x, taught': {'mcc': {'mean': 0.1, 'sd': 0.1, 'values': [0.1, 0.0, 0.2]}}}
    """
    found: dict[str, dict[str, Any]] = {}
    for name, student in students.items():
        alone = students[f"{name.partition(',')[0]}, alone"]["test"]
        if student["test"] is alone:
            continue
        found[name] = {}
        for metric, scores in student["test"].items():
            pairs = zip(scores["values"], alone[metric]["values"], strict=True)
            values = [round(taught - own, 6) for taught, own in pairs]
            spread = {"mean": round(mean(values), 6), "sd": round(stdev(values), 6)}
            found[name][metric] = {**spread, "values": values}
    return found


def facts(run: Path) -> dict[str, Any]:
    """Size and scores of a run folder."""
    found = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return {
        "parameters": found["per_seed"][0]["parameters"],
        "megabytes": round((run / "model.safetensors").stat().st_size / 1e6, 4),
        "test": {name: found["metrics"]["test"][name] for name in ("mcc", "auroc", "accuracy")},
        "validation": {"mcc": found["metrics"]["validation"]["mcc"]},
    }


def draw(found: dict[str, Any]) -> Figure:
    """Test MCC over megabytes: teachers, pruned and int8 forms of one, and the students with the spread of seeds."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for number, precision in enumerate(("fp32", "int8")):
        rows = [row for row in found["pruned_teacher"] if row["precision"] == precision]
        label = f"teacher ({TEACHER.replace('_', ' ')}), pruned by 0 to 80 %, {precision}, one seed"
        sizes = [row["megabytes_compressed"] for row in rows]
        axes.plot(sizes, [row["test_mcc"] for row in rows], "o-", color=COLOURS[number], label=label, markersize=4)
    networks = list(STUDENTS)
    for name, student in found["students"].items():
        network, _, arm = name.partition(", ")
        mcc, marker = student["test"]["mcc"], {"alone": "D", "taught": "s"}.get(arm, "^")
        colour = COLOURS[2 + networks.index(network)]
        axes.errorbar(
            student["megabytes"], mcc["mean"], mcc["sd"], fmt=marker, color=colour, label=name, capsize=3,
            fillstyle="none" if arm == "alone" else "full",
        )  # fmt: skip
    other = found["teachers"]["kmer_bert"]
    axes.errorbar(
        other["megabytes"], other["test"]["mcc"]["mean"], other["test"]["mcc"]["sd"], fmt="*", markersize=9,
        color=COLOURS[2 + networks.index("k-mer BERT")], label="teacher (k-mer BERT)", capsize=3,
    )  # fmt: skip
    axes.axhline(found["kmer_4_logistic"]["mcc"], color=COLOURS[6], linestyle=":", label="regression on 4-mers")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("megabytes (pruned forms: compressed)")
    axes.set_ylabel("MCC on test, reads of 150 nt")
    axes.legend(fontsize=7)
    return figure


if __name__ == "__main__":
    main()
