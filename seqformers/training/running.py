"""Training runs: a recipe in, a run folder out that is a complete Hub repository.

One stock `transformers.Trainer` a seed; models compute their own loss. A run grows in `<output>.partial`, which
becomes `<output>` when it is whole, in place of an older run:

    recipe.yaml                         the whole recipe, defaults filled in
    seeds/<seed>/checkpoints/           removed when the seed is done
    seeds/<seed>/training_log.jsonl     one line a logging step
    seeds/<seed>/metrics.json           there when the seed is done

and when it is finished the weights, configuration, tokenizer, code, card and `metrics.json` at its top, and other
seeds' weights in their folders.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers.utils import logging

from seqformers.files import Output, finite, write_json
from seqformers.hub.private import without_folders
from seqformers.training.arguments import is_main_process, wait_for_everyone
from seqformers.training.callbacks import clear_disk_errors
from seqformers.training.fitting import fit, refuse_early
from seqformers.training.folder import write_run_folder
from seqformers.training.learners import Learner
from seqformers.training.probing import train_probe
from seqformers.training.probing_residues import train_residue_probe
from seqformers.training.recipe import Recipe, load_recipe
from seqformers.training.run import Run
from seqformers.training.several_heads import train_heads

__all__ = [
    "distill",
    "finetune",
    "pretrain",
    "probe",
    "run_folder",
    "train",
    "train_seed",
]

Source = str | Path | Mapping[str, Any]


def pretrain(recipe: Source, overrides: Sequence[str] = (), *, output: str | Path, **options: Any) -> Path:
    """Train a language model or word vectors, or an encoder by views, by a recipe; `options` are those of `train`."""
    return train(load_recipe(recipe, overrides, task="pretrain"), output, **options)


def finetune(recipe: Source, overrides: Sequence[str] = (), *, output: str | Path, **options: Any) -> Path:
    """Train all weights on labels by a recipe, from a pretrained model or from scratch; `options` as of `train`."""
    return train(load_recipe(recipe, overrides, task="finetune"), output, **options)


def distill(recipe: Source, overrides: Sequence[str] = (), *, output: str | Path, **options: Any) -> Path:
    """Train a network on the answers of a trained one (`distill.teacher`) by a recipe; `options` as of `train`."""
    return train(load_recipe(recipe, overrides, task="distill"), output, **options)


def probe(recipe: Source, overrides: Sequence[str] = (), *, output: str | Path, **options: Any) -> Path:
    """Train only the last layer, on features of the frozen model computed once; `options` are those of `train`."""
    return train(load_recipe(recipe, overrides, task="probe"), output, **options)


def train(
    recipe: Recipe,
    output: str | Path,
    *,
    overwrite: bool = False,
    resume: bool = False,
    command: str | None = None,
    callbacks: Sequence[Any] = (),
) -> Path:
    """Run a recipe: every seed, the baselines, the repository.

    Args:
        recipe (`Recipe`): From `load_recipe`.
        output (`str` or `Path`): Run folder.
        overwrite (`bool`): Replace an earlier run there.
        resume (`bool`): Go on with an interrupted run: finished seeds stay, the one under way starts from its last
            whole checkpoint. A finished run is left as it is.
        command (`str`, *optional*): The command line, for the card.
        callbacks (`Sequence[transformers.TrainerCallback]`, *optional*): Called by the trainer of every seed.

    Returns:
        `Path`: The run folder.

    Raises:
        FileExistsError: the folder is there and neither `overwrite` nor `resume` was given, or is no run.
        ValueError: something in recipe or data is wrong, or a resumed run was started with other settings; the
            message says what to change.
        OSError: the disk is full; the run can be resumed.
        KeyboardInterrupt: Ctrl-C; a checkpoint was saved.
    """
    logging.disable_progress_bar()  # those of reading and writing weights; training has its own
    if recipe.heads:
        return train_heads(recipe, output, overwrite=overwrite, resume=resume, command=command, callbacks=callbacks)
    if not is_main_process():  # of several, one keeps the folder; the others train and score with it
        partial = Path(output).with_name(Path(output).name + ".partial")
        if resume and Path(output).is_dir() and not partial.exists():
            return Path(output)  # finished
        run = replace(Run.prepare(recipe, Path(output)), output=partial, callbacks=callbacks)
        wait_for_everyone()
        for seed in run.recipe.seeds:
            train_seed(run, seed)
        wait_for_everyone()
        return Path(output)
    refuse_early(output, recipe.task, overwrite=overwrite, resume=resume)
    run = Run.prepare(recipe, Path(output), command=None if command is None else without_folders(command))
    run.callbacks = callbacks
    with run_folder(run, recipe.task, overwrite=overwrite, resume=resume) as folder:
        if not folder.finished:
            run.output = folder.start()
            with clear_disk_errors(folder.path):
                run.keep_recipe()
                wait_for_everyone()
                results = [train_seed(run, seed) for seed in run.recipe.seeds]
                write_run_folder(run, results)
                folder.finish()
                wait_for_everyone()
    return folder.path


def run_folder(run: Run, job: str, *, overwrite: bool, resume: bool) -> Output:
    """The output of a run whose recipe, data and source model are known."""
    data = run.recipe.data
    inputs = [place for place in (data.path, data.data_dir, run.plan.source) if place is not None]
    return Output(
        run.output, job, inputs=inputs, settings=run.settings(), folder=True, overwrite=overwrite, resume=resume
    )


def train_seed(run: Run, seed: int) -> dict[str, Any]:
    """Train, evaluate and save one seed of a run; a seed that is done is only read."""
    folder = run.output / "seeds" / str(seed)
    done = folder / "metrics.json"
    finished = done.is_file()
    wait_for_everyone()  # until all have looked
    if finished:
        return json.loads(done.read_text(encoding="utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    make = _train_weights
    if run.recipe.task == "probe":
        make = train_residue_probe if run.table.task.kind == "tokens" else train_probe
    model, facts = make(run, seed, folder)
    result = {"seed": seed, **facts, "metrics": {}}
    trainer = run.make_trainer(seed, folder, model, precise=True)
    for split in run.table.splits:
        if split != "train":
            result["metrics"][split], facts = run.score(trainer, split, folder)
            if "by_length" in facts:
                result.setdefault("by_length", {})[split] = facts.pop("by_length")
            result[f"{split}_speed"] = facts
    if is_main_process():
        run.save_model(model, folder)
        write_json(done, finite(result))
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    wait_for_everyone()
    return result


def _train_weights(run: Run, seed: int, folder: Path) -> tuple[Any, dict[str, Any]]:
    """The trained model, and facts of its training."""
    title = run.recipe.task if len(run.recipe.seeds) == 1 else f"{run.recipe.task} seed {seed}"
    trained, facts = fit(
        lambda added: run.make_trainer(seed, folder, run.make_model(seed), added), folder, title, run.callbacks
    )
    return trained.model if isinstance(trained, Learner) else trained, facts
