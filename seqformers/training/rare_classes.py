"""What a recipe does about rare classes and few rows: weights and focal loss, even sampling, changed sequences.

`balance: {weights, focal_gamma}` become fields of the model's configuration where its loss knows them, since models
compute their own loss; around any other classifier stands a learner that does. `balance.sampling` and `augment` change
the rows of training and nothing else.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from seqformers.tokenization.reading import reading_of
from seqformers.training.changed_rows import Augmentation, ChangedRows, EvenClasses
from seqformers.training.plan import Plan
from seqformers.training.rows import Table

__all__ = ["changed_rows", "loss_fields", "of_model"]


def loss_fields(plan: Plan, table: Table) -> dict[str, Any]:
    """`class_weights` and `focal_gamma` that the `balance` of a recipe asks for.

    `weights: balanced` gives class c of n_c among N rows of train the weight N / (C n_c), whose mean over rows is 1.

    Raises:
        ValueError: rows have no classes, the weights do not fit them, or `model.config` says the same.
    """
    asked = {key: value for key, value in plan.recipe.balance.items() if value not in (None, False, 0)}
    if not asked:
        return {}
    if table.task.kind != "classification":
        raise ValueError(f"balance is for one class a row; these rows are of the kind {table.task.kind!r}")
    found: dict[str, Any] = {}
    if "weights" in asked:
        found["class_weights"] = _weights(asked["weights"], table)
    if "focal_gamma" in asked:
        found["focal_gamma"] = asked["focal_gamma"]
    for name, key in (("class_weights", "weights"), ("focal_gamma", "focal_gamma")):
        if name in found and name in plan.recipe.model.config:
            raise ValueError(f"give balance.{key} or model.config.{name}, not both")
    return found


def of_model(plan: Plan, fields: dict[str, Any]) -> bool:
    """Whether the loss of a plan's model knows all of these fields."""
    return set(fields) <= {item.name for item in dataclasses.fields(plan.config_class)}


def _weights(given: str | list[float], table: Table) -> list[float]:
    names = table.task.names
    if isinstance(given, list):
        if len(given) != len(names) or min(given) <= 0:
            raise ValueError(
                f"balance.weights must be {len(names)} positive numbers, for {', '.join(names)}; got {given}"
            )
        return given
    if given != "balanced":
        raise ValueError(f"balance.weights must be balanced or a list of numbers, got {given!r}")
    counts = np.bincount(table.labels("train"), minlength=len(names))
    if not counts.all():
        raise ValueError(f"balance.weights: class {names[int(counts.argmin())]!r} has no row in train")
    return [round(float(value), 6) for value in counts.sum() / (len(names) * counts)]


def changed_rows(plan: Plan, table: Table, seed: int) -> Any:
    """Train rows of a seed as `balance.sampling` and `augment` of the recipe have them; None where they change none.

    Raises:
        ValueError: the rows cannot be changed in this way.
    """
    recipe, augment = plan.recipe, {key: value for key, value in plan.recipe.augment.items() if value}
    even = bool(recipe.balance.get("sampling"))
    if not augment and not even:
        return None
    what = "augment" if augment else "balance.sampling"
    if table.reads is not None:
        raise ValueError(
            f"{what} is for stored rows; data.reads draws anew in every epoch, evenly with data.reads.balance and "
            "from both strands with data.reads.reverse_complement"
        )
    if recipe.training.get("train_sampling_strategy") == "group_by_length":
        raise ValueError(f"{what} and training.train_sampling_strategy=group_by_length exclude each other")
    rows = table.splits["train"]
    return ChangedRows(
        rows,
        seed,
        column=next(iter(table.columns.values())) if augment else None,
        augmentation=_augmentation(plan, table, augment) if augment else None,
        classes=EvenClasses(table.labels("train"), seed) if even else None,
    )


def _augmentation(plan: Plan, table: Table, augment: dict[str, Any]) -> Augmentation:
    columns = dict.fromkeys(table.columns.values())
    if len(columns) != 1 or not table.sequences_are_text:
        raise ValueError(f"augment changes one column of sequences; this model reads {', '.join(columns)}")
    molecule = reading_of(plan.encoder).molecule or getattr(plan.config_class, "molecule", None)
    if molecule is None:
        raise ValueError("augment needs to know the letters, and this tokenizer does not tell what molecule it reads")
    if not table.task.of_rows and set(augment) != {"mutations"}:
        raise ValueError(f"labels stand at residues here, so only augment.mutations fits; got {', '.join(augment)}")
    return Augmentation(molecule, **augment)
