"""A small network alone and taught by a larger one, beside the larger one pruned and in int8: size against score.

    python -m benchmarks.tables.families --work runs/families --tasks reads-150 --families coding_profile
    python -m benchmarks.tables.distillation --work runs/families

The teacher is the trained cell of the table of families (the seed that is best on validation); the students are two
networks of `recipes/seq_cnn`, trained by `recipes/seq_cnn/distill-150.yaml` on the same 2,000 reads, and by the same
recipe without the teacher. Augmentation and steps are equal; three seeds. A run that is there is not trained again.
The result is `results/distillation.json` and `docs/pictures/size_and_score.png`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks._results import RESULTS, ROOT, write_result
from benchmarks.tables.families_rows import BATCH, RECIPES, ROWS
from seqformers.pictures import COLOURS, save_picture
from seqformers.settings import read_yaml
from seqformers.training import distill, finetune

TASK, TEACHER = "reads-150", "coding_profile"
STUDENTS: dict[str, dict[str, Any]] = {
    "dilated": {"preset": "dilated", "config": {"strands": "shared"}},
    "deepbind": {"preset": "deepbind", "config": {}},
}
EPOCHS, SEEDS = 6, (0, 1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="that of benchmarks.tables.families")
    given = parser.parse_args()
    teacher = given.work / f"{TASK}-{TEACHER}-scratch"
    if not (teacher / "metrics.json").is_file():
        raise SystemExit(f"{teacher} is not there; run the first command of this file's text")
    found = {"teacher": {"name": TEACHER, **facts(teacher)}, "students": {}}
    for name, network in STUDENTS.items():
        for arm in ("alone", "taught"):
            output = given.work / f"distilled-{name}-{arm}"
            if not (output / "metrics.json").is_file():
                recipe = recipe_of(network, given.work / f"data-{TASK}", teacher if arm == "taught" else None)
                train = distill if arm == "taught" else finetune
                train(recipe, output=output, resume=Path(f"{output}.partial").exists())
            found["students"][f"{name}, {arm}"] = facts(output)
    pruned = json.loads((RESULTS / "pruning.json").read_text(encoding="utf-8"))["result"]["sizes"].get(TEACHER, [])
    found["pruned_teacher"] = pruned
    families = json.loads((RESULTS / "families.json").read_text(encoding="utf-8"))["result"]
    found["kmer_4_logistic"] = families["shortcuts"][TASK]["kmer_4_logistic"]
    save_picture(draw(found), ROOT / "docs" / "pictures" / "size_and_score.png")
    write_result("distillation", found, data=TASK, seeds=list(SEEDS))


def recipe_of(network: dict[str, Any], data: Path, teacher: Path | None) -> dict[str, Any]:
    """`recipes/seq_cnn/distill-150.yaml` with another student, the table's rows, and with or without the teacher."""
    recipe = dict(read_yaml((RECIPES / "seq_cnn" / "distill-150.yaml").read_text(encoding="utf-8")))
    recipe["model"] = {"type": "seq_cnn", **network}
    recipe["data"] = recipe["data"] | {"path": str(data), "limits": {"train": ROWS, "validation": ROWS // 4}}
    recipe["training"] = recipe["training"] | {
        "per_device_train_batch_size": BATCH,
        "num_train_epochs": EPOCHS,
        "use_cpu": True,
    }
    recipe["baselines"], recipe["seeds"] = {"names": []}, list(SEEDS)
    if teacher is None:
        return {key: value for key, value in recipe.items() if key != "distill"} | {"task": "finetune"}
    recipe["distill"] = recipe["distill"] | {"teacher": str(teacher)}
    return recipe


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
    """Test MCC over megabytes: the teacher, its pruned and int8 forms, and the students with the spread of seeds."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for number, precision in enumerate(("fp32", "int8")):
        rows = [row for row in found["pruned_teacher"] if row["precision"] == precision]
        label = f"teacher ({TEACHER.replace('_', ' ')}), pruned by 0 to 80 %, {precision}, one seed"
        sizes = [row["megabytes_compressed"] for row in rows]
        axes.plot(sizes, [row["test_mcc"] for row in rows], "o-", color=COLOURS[number], label=label, markersize=4)
    for number, (name, student) in enumerate(found["students"].items()):
        mcc, marker = student["test"]["mcc"], "s" if name.endswith("taught") else "D"
        colour = COLOURS[2 + number // 2]
        axes.errorbar(
            student["megabytes"], mcc["mean"], mcc["sd"], fmt=marker, color=colour, label=name, capsize=3,
            fillstyle="full" if marker == "s" else "none",
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
