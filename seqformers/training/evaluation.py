"""Score a finished run on rows it was not trained on."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from seqformers.files import write_json
from seqformers.hub.load import model_folder
from seqformers.training.recipe import Recipe, load_recipe
from seqformers.training.run import Run

__all__ = ["evaluate"]


def evaluate(
    run: str | Path,
    overrides: Sequence[str] = (),
    *,
    split: str = "test",
    output: str | Path | None = None,
    predictions: str | Path | None = None,
    baselines: bool = False,
) -> dict[str, Any]:
    """Score a run folder on a split of its own data, or of other data of the same form.

    Args:
        run (`str` or `Path`): Run folder or Hub repository.
        overrides (`Sequence[str]`): Changes to its recipe, mostly of the data: `data.path=other`,
            `data.label=is_phage`, `metrics=[mcc]`.
        split (`str`): `train`, `validation` or `test`, as `data.splits` names them.
        output (`str` or `Path`, *optional*): JSON file to write.
        predictions (`str` or `Path`, *optional*): Parquet file for the label and scores of every row.
        baselines (`bool`): Also fit the shortcuts on the training split and score them here.

    Returns:
        `dict`: `metrics`, `rows`, `split`, `rows_per_second`, and `baselines` where asked for.

    Raises:
        FileNotFoundError: no such run, or no such data.
        ValueError: no recipe in the folder, class names that differ from the model's, or unusable rows.
    """
    name, run = run, model_folder(run)
    if not (run / "recipe.yaml").is_file():
        raise ValueError(f"{run} is no finished run: it has no recipe.yaml")
    recipe = load_recipe(run / "recipe.yaml", overrides)
    head = recipe.model.head
    recipe = replace(recipe, model=replace(recipe.model, from_=str(run), head=head, config={}))
    recipe = _only_what_is_scored(recipe, split, baselines)
    scratch = Path(tempfile.mkdtemp(prefix="seqformers-"))
    try:
        prepared = Run.prepare(recipe, scratch, names=_names_of(AutoConfig.from_pretrained(run)))
        if split not in prepared.table.splits:
            raise ValueError(f"the data has no split {recipe.data.splits.get(split)!r} (set data.splits.{split})")
        model = prepared.plan.model_class.from_pretrained(run)
        trainer = prepared.make_trainer(0, scratch, model, precise=True)
        metrics, speed = prepared.score(trainer, split, scratch)
        result: dict[str, Any] = {"run": str(name), "split": split, "data": prepared.table.facts}
        result |= {"metrics": metrics, "rows_per_second": speed["rows_per_second"]}
        if baselines:
            result["baselines"] = prepared.measure_baselines(split)[1]
        found = scratch / f"predictions-{split}.parquet"
        if predictions is not None and found.is_file():
            Path(predictions).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found, predictions)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if output is not None:
        Path(output).parent.mkdir(parents=True, exist_ok=True)
        write_json(output, result)
    return result


def _only_what_is_scored(recipe: Recipe, split: str, baselines: bool) -> Recipe:
    keep = {split, "train", "validation"} if baselines else {split}
    splits = {role: name if role in keep else None for role, name in recipe.data.splits.items()}
    if splits.get(split) is None:
        raise ValueError(f"no split {split!r}; choose train, validation or test (names: data.splits)")
    return replace(recipe, data=replace(recipe.data, splits=splits))


def _names_of(config: Any) -> list[str] | None:
    """Class names of a model in the order of its outputs; None for a model without classes."""
    if config.problem_type == "regression":
        return None
    return [config.id2label[index] for index in range(config.num_labels)]
