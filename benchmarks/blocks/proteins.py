"""Blocks of proteins."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from benchmarks.blocks.markdown import about, result_of, table_lines, with_spread

__all__ = ["annotator", "below_one_hot", "proteins", "same_family"]

# Trainings of a network for one task.
ARMS = {
    "scratch-{}": "same network, one task, from scratch",
    "long-structure": "from scratch, {steps} steps",
    "longest-structure": "from scratch, {steps} steps",
    "consensus-structure": "taught by a consensus over relatives, then {steps} steps of labelled rows",
    "second": "taught by that of better teachers and labelled rows, {steps} steps",
    "second-structure": "the last, then {steps} steps of labelled rows",
}


def annotator() -> str:
    """The packaged protein annotator beside what it has to beat."""
    found = result_of("annotator")
    if found is None:
        return "Not measured yet."
    heads = {
        "structure": "CB513, Q3", "structure_ts115": "TS115, Q3", "signal": "signal peptides, MCC",
        "topology": "helical membrane proteins, residues right",
    }  # fmt: skip
    metrics = {"structure": "q3", "structure_ts115": "q3", "signal": "mcc", "topology": "decoded_accuracy"}
    tests = {test: found["result"]["tests"][test]["arms"] for test in heads if test in found["result"]["tests"]}

    def row(title: str, arm: str) -> list[str]:
        entries = [(tests[test].get(arm.format(test.split("_")[0])), metrics[test]) for test in tests]
        return [title, *("-" if e is None else with_spread(e["metrics"][name], e["sd"][name]) for e, name in entries)]

    rows = [row("packaged", "packaged"), row("one-hot linear model", "one-hot linear")]
    chosen = found["result"]["structure_choice"]["arm"]
    for arm, title in ARMS.items():
        if arm.format("structure") in tests["structure"]:
            title = title.format(steps=f"{found['result']['training'][arm.format('structure')]['steps']:,}")
            rows.append(row(f"{title} (packaged for structures)" if arm == chosen else title, arm))
    return "\n".join([*table_lines(["", *(heads[test] for test in tests)], rows), "", about(found)])


def proteins() -> str:
    """Scores of the protein tasks at small size."""
    found = result_of("proteins")
    if found is None:
        return "Not measured yet."
    rows = []
    for name, task in found["tasks"].items():
        metric = task["metric"]
        cells = [with_spread(arm["mean"][metric], arm["sd"][metric]) for arm in task["arms"].values()]
        rows.append([f"{name} ({metric})".replace("_", " "), *cells])
    head = ["task (metric)", *(arm.replace("_", " ") for arm in task["arms"])]
    return "\n".join([*table_lines(head, rows), "", below_one_hot(found["tasks"]), "", about(found)])


def below_one_hot(tasks: Mapping[str, Any]) -> str:
    """Which networks are below the linear model of one-hot residues, in words."""
    said = []
    for name, task in tasks.items():
        mean = {arm: values["mean"][task["metric"]] for arm, values in task["arms"].items()}
        least = mean.get("one_hot_linear", -math.inf)
        low = [arm for arm, value in mean.items() if arm not in ("majority", "composition") and value < least]
        if low:
            said.append(f"{name.replace('_', ' ')}: {', '.join(arm.replace('_', ' ') for arm in low)}")
    if not said:
        return "No network is below the linear model of one-hot residues."
    return "Below the linear model of one-hot residues: " + "; ".join(said) + "."


def same_family() -> str:
    """Pairs of families that were not trained on: random ones, and those that composition and length cannot tell."""
    found = result_of("same_family")
    if found is None:
        return "Not measured yet."
    tests, rows = {name: found["result"][name] for name in ("random", "matched")}, []
    for score in tests["random"]["scores"]:
        values = [tests[name]["scores"][score] for name in tests]
        rows.append([score, *("{:.3f} ({:.3f} to {:.3f})".format(v["auroc"], *v["interval"]) for v in values)])
    head = ["AUROC", *(f"{test['pairs']:,} {name} pairs" for name, test in tests.items())]
    return "\n".join([*table_lines(head, rows), "", about(found)])
