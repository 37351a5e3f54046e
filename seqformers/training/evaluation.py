"""Score a finished run on rows it was not trained on."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from transformers import AutoConfig

from seqformers.files import MARK, Output, finite, write_json, write_text
from seqformers.hub.devices import quiet_loading
from seqformers.hub.load import model_folder
from seqformers.pictures import check_picture, save_picture
from seqformers.training.plots import draw_scores
from seqformers.training.recipe import DataRecipe, Recipe, load_recipe
from seqformers.training.run import Run

__all__ = ["evaluate", "names_of", "recipe_of_run", "show_in_card"]

_PICTURES = "## Pictures"


def evaluate(
    run: str | Path,
    overrides: Sequence[str] = (),
    *,
    split: str = "test",
    output: str | Path | None = None,
    predictions: str | Path | None = None,
    baselines: bool = False,
    plot: str | Path | None = None,
    card: bool = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Score a run folder on a split of its own data, or of other data of the same form.

    Args:
        run (`str` or `Path`): Run folder or Hub repository.
        overrides (`Sequence[str]`): Changes to its recipe, mostly of the data: `data.path=other`,
            `data.label=is_phage`, `metrics=[mcc]`.
        split (`str`): `train`, `validation`, `test` or `test_<name>`, as `data.splits` names them; `"all"`: every test
            set that the data have.
        output (`str` or `Path`, *optional*): JSON file to write.
        predictions (`str` or `Path`, *optional*): Parquet file for the label and scores of every row.
        baselines (`bool`): Also fit the shortcuts on the training split and score them here.
        plot (`str` or `Path`, *optional*): Picture of the scores, `.png`, `.svg` or `.pdf`: ROC, precision and recall,
            calibration and confusion of classes; measured against predicted for regression.
        card (`bool`): Draw that picture into the run folder too, and show it in its card; drawn anew each time.
        overwrite (`bool`): Replace the output files.

    Returns:
        `dict`: `metrics`, `rows`, `split`, `rows_per_second`, `by_length` where the recipe has bins, and `baselines`
        where asked for; of `"all"`, `splits`: each test set -> these.

    Raises:
        FileNotFoundError: no such run, or no such data.
        FileExistsError: an output is there and `overwrite` was not given, or is a folder.
        ValueError: an output is an input, no recipe in the folder, class names that differ from the model's, or
            unusable rows.
    """
    plot = None if plot is None else check_picture(plot)
    name, run = str(run), model_folder(run)
    if card and not Path(name).is_dir():
        raise ValueError(f"{name} is no folder of yours; --card draws into the card of a run folder")
    if split == "all" and (predictions or plot or card):
        raise ValueError("predictions and pictures are of one test set; name it with --split")
    recipe = _only_what_is_scored(recipe_of_run(run, overrides), split, baselines)
    inputs = [place for place in (run, recipe.data.path, recipe.data.data_dir) if place is not None]
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="seqformers-")))
        written = [
            None if path is None else stack.enter_context(Output(path, "evaluate", inputs=inputs, overwrite=overwrite))
            for path in (output, predictions, plot)
        ]
        result: dict[str, Any] = {"run": Path(name).name if Path(name).is_absolute() else name, "split": split}
        scores = _score(recipe, run, split, scratch, baselines=baselines)
        result |= {"splits": scores} if split == "all" else scores[split]
        if written[0] is not None:
            write_json(written[0].start(), finite(result))
            written[0].finish()
        found = scratch / f"predictions-{split}.parquet"
        if written[1] is not None and found.is_file():
            shutil.copyfile(found, written[1].start())
            written[1].finish()
        rows = pd.read_parquet(found) if found.is_file() else pd.DataFrame()
        if written[2] is not None:
            figure = draw_scores(rows, f"{result['run']}, {split}")
            save_picture(figure, written[2].start(), kind=written[2].path.suffix[1:].lower())
            written[2].finish()
        if card:
            show_in_card(run, rows, split)
    return result


def show_in_card(run: Path, rows: pd.DataFrame, split: str) -> None:
    """Draw `scores-SPLIT.png` into a run folder, and show it in a section of the card, which is written anew.

    Args:
        run (`Path`): The folder.
        rows (`pd.DataFrame`): As `draw_scores` takes them.
        split (`str`): What the rows are of.
    """
    picture, new = run / f"scores-{split}.png", run / f".scores-{split}.png.new"
    save_picture(draw_scores(rows, split), new, kind="png")
    new.replace(picture)
    text = (run / "README.md").read_text(encoding="utf-8").partition(_PICTURES)[0].rstrip()
    shown = "\n\n".join(
        f"![Scores: {path.stem.partition('-')[2]}]({path.name})" for path in sorted(run.glob("scores-*.png"))
    )
    said = "ROC, precision and recall, calibration, confusion; of a regression measured against predicted."
    write_text(run / "README.md", f"{text}\n\n{_PICTURES}\n\n{said}\n\n{shown}\n")


def recipe_of_run(run: Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe to score a finished run by: its data, its weights as the source, no teacher and no changed rows.

    Raises:
        ValueError: the folder holds no recipe, or an override is wrong.
    """
    if not (run / "recipe.yaml").is_file():
        raise ValueError(f"{run} is no finished run: it has no recipe.yaml")
    recipe = load_recipe(run / "recipe.yaml", overrides)
    model = replace(recipe.model, from_=str(run), config={}, preset=None)
    recipe = replace(recipe, data=_found_again(recipe.data, run), model=model, balance={}, augment={})
    if recipe.task != "distill":
        return recipe
    return replace(recipe, task="pretrain" if recipe.learns == "tokens" else "finetune", distill={})


def _score(recipe: Recipe, run: Path, split: str, scratch: Path, *, baselines: bool) -> dict[str, dict[str, Any]]:
    """What is to be said of a split, or of all test sets: its name -> metrics and the rest."""
    prepared = Run.prepare(recipe, scratch, names=names_of(AutoConfig.from_pretrained(run)))
    chosen = [name for name in prepared.table.splits if name.startswith("test")] if split == "all" else [split]
    if split != "all" and split not in prepared.table.splits:
        raise ValueError(f"the data has no split {recipe.data.splits.get(split)!r} (set data.splits.{split})")
    with quiet_loading():
        model = prepared.plan.model_class.from_pretrained(run)
    trainer = prepared.make_trainer(0, scratch, model, precise=True)
    found = {}
    for name in chosen:
        metrics, more = prepared.score(trainer, name, scratch)
        result = {"data": prepared.table.facts, "metrics": metrics, "rows_per_second": more["rows_per_second"]}
        result |= {"by_length": more["by_length"]} if "by_length" in more else {}
        found[name] = result | ({"baselines": prepared.measure_baselines(name)[1]} if baselines else {})
    return found


def _found_again(data: DataRecipe, run: Path) -> DataRecipe:
    """The data with the folders that the recipe names without the way to them, as the run folder remembers it."""
    try:
        known = json.loads((run / MARK).read_text(encoding="utf-8"))["settings"]["places"]
    except (OSError, ValueError, KeyError, TypeError):
        return data
    found: dict[str, Any] = {}
    for key in ("path", "data_dir"):
        given, place = getattr(data, key), known.get(key)
        if given and place and not Path(given).exists() and Path(place).name == Path(given).name:
            found[key] = str((run / place).resolve())
    return replace(data, **found)


def _only_what_is_scored(recipe: Recipe, split: str, baselines: bool) -> Recipe:
    tests = {role for role in recipe.data.splits if role.startswith("test")}
    keep = (tests if split == "all" else {split}) | ({"train", "validation"} if baselines else set())
    splits = {role: name if role in keep else None for role, name in recipe.data.splits.items()}
    if not any(splits.get(role) for role in (tests if split == "all" else [split])):
        raise ValueError(f"no split {split!r}; choose train, validation, test or all (names: data.splits)")
    return replace(recipe, data=replace(recipe.data, splits=splits))


def names_of(config: Any) -> list[str] | None:
    """Class names of a model in the order of its outputs; None for a model without classes."""
    if config.problem_type == "regression":
        return None
    return [config.id2label[index] for index in range(config.num_labels)]
