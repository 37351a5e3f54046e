"""Hyper-parameter search with Optuna through `Trainer.hyperparameter_search`; resumable, best recipe written out."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from transformers.utils import logging

from seqformers.files import write_json, write_text
from seqformers.hub.private import without_folders
from seqformers.metrics.registry import greater_is_better
from seqformers.pictures import save_picture
from seqformers.training.callbacks import RunLog, clear_disk_errors
from seqformers.training.fitting import refuse_early
from seqformers.training.recipe import Recipe, TuneRecipe, load_recipe
from seqformers.training.run import Run
from seqformers.training.running import run_folder

__all__ = ["tune"]

_SECTIONS = ("training.", "model.config.")


def tune(
    recipe: Recipe, output: str | Path, *, overwrite: bool = False, resume: bool = False, command: str | None = None
) -> Path:
    """Search the space of `recipe.tune` for the best score on validation.

    Args:
        recipe (`Recipe`): A recipe of `finetune` or `pretrain` with `tune.space`; its first seed is used.
        output (`str` or `Path`): Folder for `study.db`, `trials.json`, `best.yaml`, and pictures: `history.png`, and
            `importance.png` once two trials are whole.
        overwrite (`bool`): Replace an earlier search.
        resume (`bool`): Go on with an interrupted search; `tune.n_trials` counts the trials already there.
        command (`str`, *optional*): The command line, kept in `trials.json`.

    Returns:
        `Path`: `output`; `best.yaml` is a recipe to train with.

    Raises:
        ValueError: no space, a parameter that is not of the recipe, no validation split, or no Optuna.
    """
    _optuna()
    _check_space(recipe)
    logging.disable_progress_bar()
    refuse_early(output, "tune", overwrite=overwrite, resume=resume)
    run = Run.prepare(recipe, Path(output), command=None if command is None else without_folders(command))
    run.refuse_outer_loss("`tune`")
    if "validation" not in run.table.splits:
        raise ValueError("tuning needs validation rows (data.splits.validation)")
    name = recipe.tune.metric or run.metrics[0]
    if name != "loss":
        run.table.task.check_metrics([name])
        run.metrics = list(dict.fromkeys([*run.metrics, name]))
    with run_folder(run, "tune", overwrite=overwrite, resume=resume) as folder:
        if not folder.finished:
            run.output = folder.start()
            with clear_disk_errors(folder.path):
                run.keep_recipe()
                _search(run, name)
                folder.finish()
    return folder.path


def _search(run: Run, name: str) -> None:
    """Run the trials that are left, and write what they found."""
    optuna = _optuna()
    recipe, output, seed, greater = run.recipe, run.output, run.recipe.seeds[0], greater_is_better(name)
    log = RunLog(output / "training_log.jsonl", "trial")
    trainer = run.make_trainer(seed, output, run.make_model(seed), [log])
    trainer.args.save_strategy = "no"
    trainer.args.load_best_model_at_end = False

    def model_init(trial: Any) -> Any:
        return run.make_model(seed, _of_model(getattr(trial, "params", {})))

    trainer.model_init = model_init
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name="tune",
        storage=f"sqlite:///{output / 'study.db'}",
        load_if_exists=True,
        direction="maximize" if greater else "minimize",
    )
    left = recipe.tune.n_trials - len([trial for trial in study.trials if trial.state.is_finished()])
    if left > 0:
        trainer.hyperparameter_search(
            hp_space=lambda trial: _suggest(trial, recipe.tune.space),
            compute_objective=lambda metrics: metrics[f"eval_{name}"],
            n_trials=left,
            direction="maximize" if greater else "minimize",
            backend="optuna",
            study_name="tune",
            storage=f"sqlite:///{output / 'study.db'}",
            load_if_exists=True,
            sampler=optuna.samplers.TPESampler(seed=recipe.tune.sampler_seed),
            pruner=_pruner(recipe.tune),
            timeout=None if recipe.tune.timeout_minutes is None else recipe.tune.timeout_minutes * 60,
        )
    study = optuna.load_study(study_name="tune", storage=f"sqlite:///{output / 'study.db'}")
    _write(output, recipe.without_folders(), study, name, run.command)
    _draw(output, study, name)
    shutil.rmtree(output / "checkpoints", ignore_errors=True)


def _pruner(tune: TuneRecipe) -> Any:
    """Stops trials that stay below the median of the others; with patience, only where they do not rise either."""
    pruners = _optuna().pruners
    if not tune.prune:
        return pruners.NopPruner()
    median = pruners.MedianPruner(n_startup_trials=tune.startup_trials, n_warmup_steps=tune.warmup_steps)
    return pruners.PatientPruner(median, patience=tune.patience) if tune.patience else median


def _draw(output: Path, study: Any, name: str) -> None:
    """Scores of the trials in their order, and how much each parameter decides them (fANOVA), as Optuna draws them."""
    optuna = _optuna()
    drawers = optuna.visualization.matplotlib
    whole = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    pictures: dict[str, Any] = {"history": drawers.plot_optimization_history}
    if len({trial.value for trial in whole}) > 1:  # of equal trials no parameter is more important
        pictures["importance"] = drawers.plot_param_importances
    for picture, draw in pictures.items():
        with warnings.catch_warnings(), plt.rc_context():  # Optuna changes the style for good
            warnings.simplefilter("ignore")  # it calls these pictures experimental
            figure = draw(study, target_name=name).figure
            figure.set_layout_engine("constrained")  # its margins cut long names
            save_picture(figure, output / f"{picture}.png")


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ValueError("`seqformers tune` needs Optuna: pip install 'seqformers[tune]'") from error
    return optuna


def _check_space(recipe: Recipe) -> None:
    if not recipe.tune.space:
        raise ValueError(
            "tune.space is empty; give for example {training.learning_rate: {low: 1e-5, high: 1e-3, log: true}}"
        )
    if recipe.task == "distill" or recipe.contrastive or recipe.heads:
        raise ValueError("`tune` is for recipes of finetune and pretrain without a teacher, views or several heads")
    if recipe.task == "probe":
        raise ValueError(
            "a probe chooses its only parameter on validation by itself (probe.c); tune a finetune recipe"
        )
    for name, span in recipe.tune.space.items():
        if not name.startswith(_SECTIONS):
            raise ValueError(f"tune.space.{name}: only training.* and model.config.* can be tuned")
        if "choices" not in span and not {"low", "high"} <= set(span):
            raise ValueError(f"tune.space.{name} needs low and high (with log or step), or choices")
        unknown = set(span) - {"low", "high", "log", "step", "choices"}
        if unknown:
            raise ValueError(
                f"tune.space.{name}: unknown {', '.join(sorted(unknown))}; known: low, high, log, step, choices"
            )
        # The names are checked as a recipe's keys are: by reading a recipe that has them.
        value = span["choices"][0] if "choices" in span else span["low"]
        load_recipe(recipe.to_dict(), [f"{name}={json.dumps(value)}"])


def _suggest(trial: Any, space: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Draw every parameter; return those of `TrainingArguments` (the model's are read from the trial)."""
    values = {}
    for name, span in space.items():
        if "choices" in span:
            values[name] = trial.suggest_categorical(name, span["choices"])
        elif isinstance(span["low"], int) and isinstance(span["high"], int):
            values[name] = trial.suggest_int(
                name, span["low"], span["high"], step=span.get("step", 1), log=span.get("log", False)
            )
        else:
            values[name] = trial.suggest_float(
                name, span["low"], span["high"], step=span.get("step"), log=span.get("log", False)
            )
    return {name.removeprefix("training."): value for name, value in values.items() if name.startswith("training.")}


def _of_model(values: dict[str, Any]) -> dict[str, Any]:
    return {n.removeprefix("model.config."): value for n, value in values.items() if n.startswith("model.config.")}


def _write(output: Path, recipe: Recipe, study: Any, name: str, command: str | None) -> None:
    trials = [
        {"number": trial.number, "state": trial.state.name, name: trial.value, "parameters": trial.params}
        for trial in study.trials
    ]
    content = {"command": command, "metric": name, "direction": study.direction.name, "trials": trials}
    best = study.best_trial if any(trial["state"] == "COMPLETE" for trial in trials) else None
    if best is None:
        raise ValueError(f"no trial finished; see {output / 'training_log.jsonl'}")
    content["best"] = {"number": best.number, name: best.value, "parameters": best.params}
    write_json(output / "trials.json", content)
    chosen = load_recipe(recipe.to_dict(), [f"{key}={json.dumps(value)}" for key, value in best.params.items()])
    write_text(output / "best.yaml", chosen.to_yaml())
