"""Several heads on one encoder, trained together by one recipe (multi-task learning, Caruana 1997).

Each head has its own rows, labels and metrics, or (with `data.label: null`) hidden tokens to tell. Every step takes as
many rows of each. The run folder holds the encoder, and under `heads/NAME` a complete model a head, with its card.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import Trainer
from transformers.modeling_outputs import ModelOutput
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from seqformers.files import Output, finite, mark_folder, write_json, write_text
from seqformers.hub.cards import render_model_card
from seqformers.hub.private import without_folders
from seqformers.metrics.intervals import spread
from seqformers.training.arguments import has_fast_bf16, training_arguments
from seqformers.training.callbacks import clear_disk_errors
from seqformers.training.changed_rows import EvenClasses
from seqformers.training.fitting import fit, refuse_early
from seqformers.training.folder import card_facts, write_run_folder, write_weights
from seqformers.training.learners import Learner
from seqformers.training.recipe import Recipe
from seqformers.training.run import Run

__all__ = ["HeadBatches", "HeadRows", "SeveralHeads", "train_heads"]


class HeadRows(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """Rows of several heads, each told by its name; in training every head comes equally often.

    Args:
        parts (`Mapping[str, Sequence]`): Head -> rows.
        seed (`int`, *optional*): Of the order; None gives all rows of one head after those of the other.
    """

    def __init__(self, parts: Mapping[str, Any], seed: int | None = None):
        self.parts = dict(parts)
        self.sizes = np.array([len(rows) for rows in self.parts.values()])
        self.starts = self.sizes.cumsum() - self.sizes
        self.even = None if seed is None else EvenClasses(np.repeat(np.arange(len(self.sizes)), self.sizes), seed)
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def __len__(self) -> int:
        return int(self.sizes.sum())

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch; the data loader calls it."""
        self._epoch.fill_(epoch)
        for rows in self.parts.values():
            if hasattr(rows, "set_epoch"):
                rows.set_epoch(epoch)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Rows `{head, row}` at some places of the epoch."""
        places = np.asarray(indices, np.int64)
        numbers = places if self.even is None else self.even(places, int(self._epoch))
        heads = np.searchsorted(self.starts, numbers, side="right") - 1
        names = list(self.parts)
        return [
            {"head": names[head], "row": self.parts[names[head]][int(number - self.starts[head])]}
            for head, number in zip(heads.tolist(), numbers.tolist(), strict=True)
        ]


class HeadBatches:
    """Collator of [`HeadRows`]: head -> batch of its rows, by its own collator."""

    def __init__(self, collators: Mapping[str, Any]):
        self.collators = dict(collators)

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Batches of the heads that have a row here."""
        found: dict[str, list[Any]] = {}
        for row in rows:
            found.setdefault(row["head"], []).append(row["row"])
        return {head: self.collators[head](mine) for head, mine in found.items()}


class SeveralHeads(Learner):
    """Models whose encoder is one module; the loss of a batch is the weighted sum of theirs.

    Args:
        models (`Mapping[str, PreTrainedModel]`): Head -> model, all of one family and size. The encoder of the first
            one that has a pooler (or the first) becomes that of all.
        weights (`Mapping[str, float]`): Head -> weight of its loss.

    Raises:
        ValueError: encoders differ in shape.
    """

    def __init__(self, models: Mapping[str, Any], weights: Mapping[str, float]):
        first = max(models.values(), key=lambda model: sum(1 for _ in model.base_model.parameters()))
        super().__init__(first.base_model)
        self.models = nn.ModuleDict(models)
        self.weights = dict(weights)
        for name, model in models.items():
            ours, theirs = (
                {key: value.shape for key, value in part.named_parameters()} for part in (self.model, model.base_model)
            )
            if any(ours.get(key) != shape for key, shape in theirs.items()):
                raise ValueError(f"the head {name!r} needs an encoder of another shape than the others")
            setattr(model, model.base_model_prefix, self.model)
            model.tie_weights()

    def forward(self, return_loss: bool = True, **batch: Any) -> ModelOutput:
        """The loss of a batch, head -> inputs; `return_loss` tells `Trainer` that there is one without labels."""
        losses = [self.weights[name] * self.models[name](**inputs).loss for name, inputs in batch.items()]
        return ModelOutput(loss=torch.stack(losses).sum())


def train_heads(
    recipe: Recipe,
    output: str | Path,
    *,
    overwrite: bool = False,
    resume: bool = False,
    command: str | None = None,
    callbacks: Sequence[Any] = (),
) -> Path:
    """Run a recipe with `heads`; arguments and errors are those of `train`.

    Raises:
        ValueError: several processes were launched: heads are trained by one.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError("several heads are trained by one process; start it without a launcher")
    refuse_early(output, recipe.task, overwrite=overwrite, resume=resume)
    command = None if command is None else without_folders(command)
    runs = {name: Run.prepare(part, Path(output), command=command) for name, part in recipe.head_recipes().items()}
    for run in runs.values():
        run.refuse_outer_loss("`heads`")
    settings = {f"heads.{name} {key}": value for name, run in runs.items() for key, value in run.settings().items()}
    settings |= {f"heads.{name}.weight": recipe.heads[name].get("weight", 1.0) for name in runs}
    data = [place for run in runs.values() for place in (run.recipe.data.path, run.recipe.data.data_dir)]
    inputs = [place for place in (*data, next(iter(runs.values())).plan.source) if place is not None]
    with Output(
        output, recipe.task, inputs=inputs, settings=settings, folder=True, overwrite=overwrite, resume=resume
    ) as folder:
        if not folder.finished:
            partial = folder.start()
            with clear_disk_errors(folder.path):
                write_text(partial / "recipe.yaml", recipe.without_folders().to_yaml())
                for name, run in runs.items():
                    run.output, run.name = partial / "heads" / name, name
                    run.output.mkdir(parents=True, exist_ok=True)
                    run.keep_recipe()
                facts = [_train_seed(recipe, runs, partial, seed, callbacks) for seed in recipe.seeds]
                _write(recipe, runs, partial, facts, command)
                folder.finish()
    return folder.path


def _train_seed(
    recipe: Recipe, runs: Mapping[str, Run], output: Path, seed: int, callbacks: Sequence[Any]
) -> dict[str, Any]:
    """Train, score and save all heads of a seed; a seed that is done is only read."""
    folder = output / "seeds" / str(seed)
    done = folder / "metrics.json"
    if done.is_file():
        return json.loads(done.read_text(encoding="utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    learner, facts = fit(
        lambda added: _trainer(recipe, runs, seed, folder, added), folder, f"heads seed {seed}", callbacks
    )
    scores = {}
    for name, run in runs.items():
        own = run.output / "seeds" / str(seed)
        own.mkdir(parents=True, exist_ok=True)
        result = {"seed": seed, **facts, "metrics": {}}
        trainer = run.make_trainer(seed, own, learner.models[name], precise=True)
        for split in ("validation", "test"):
            if split in run.table.splits:
                result["metrics"][split], result[f"{split}_speed"] = run.score(trainer, split, own)
        run.save_model(learner.models[name], own)
        write_json(own / "metrics.json", finite(result))
        scores[name] = result["metrics"]
    learner.model.save_pretrained(folder)
    result = {"seed": seed, **facts, "heads": scores}
    write_json(done, finite(result))
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return result


def _trainer(recipe: Recipe, runs: Mapping[str, Run], seed: int, folder: Path, callbacks: Sequence[Any]) -> Trainer:
    """A stock `Trainer` over the rows of all heads."""
    models = {name: run.make_model(seed) for name, run in runs.items()}
    weights = {name: float(recipe.heads[name].get("weight", 1.0)) for name in runs}
    scored = {name: run.rows_to_score("validation") for name, run in runs.items()}
    held = {name: rows for name, rows in scored.items() if rows is not None}
    arguments = training_arguments(
        replace(recipe, training={**recipe.training, "train_sampling_strategy": "sequential"}),
        folder / "checkpoints",
        seed=seed,
        has_validation=bool(held),
        metric="loss",
        counts_tokens=False,
        half=has_fast_bf16(next(iter(models.values())).config),
    )
    arguments.label_names = []  # labels are those of the heads, inside
    for model in models.values():
        if hasattr(model.config, "masked_lm_logits"):
            model.config.masked_lm_logits = "labelled"
    trainer = Trainer(
        model=SeveralHeads(models, weights),
        args=arguments,
        data_collator=HeadBatches({name: run.training_collate(seed) for name, run in runs.items()}),
        train_dataset=HeadRows({name: run.train_rows(seed, arguments) for name, run in runs.items()}, seed),
        eval_dataset=HeadRows(held) if held else None,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    for callback in callbacks:
        trainer.add_callback(callback)
    return trainer


def _write(
    recipe: Recipe, runs: Mapping[str, Run], output: Path, facts: list[dict[str, Any]], command: str | None
) -> None:
    """A repository a head, and at the top the encoder of the first seed with a card that names them."""
    for run in runs.values():
        results = [
            json.loads((run.output / "seeds" / str(seed) / "metrics.json").read_text(encoding="utf-8"))
            for seed in recipe.seeds
        ]
        write_run_folder(run, results)
        mark_folder(run.output, run.recipe.task, run.settings())  # so that its data are found again
    first = next(iter(runs.values()))
    top = replace(first, output=output, name=output.name.removesuffix(".partial"), notes=[])
    encoder = _encoder_class(first).from_pretrained(output / "seeds" / str(recipe.seeds[0]))
    portable = write_weights(top, encoder)
    metrics: dict[str, Any] = {}
    for name in runs:
        for split in facts[0]["heads"][name]:
            found = [each["heads"][name][split] for each in facts]
            metrics[f"{name}, {split}"] = {key: spread([each[key] for each in found]) for key in found[0]}
    summary = {
        "task": recipe.task, "command": command, "seeds": recipe.seeds, "metrics": metrics, "baselines": {},
        "baseline_split": "test", "per_seed": facts, "data": {name: run.table.facts for name, run in runs.items()},
    }  # fmt: skip
    card = card_facts(top, encoder, recipe, summary, portable=portable)
    for name in runs:
        card["notes"].append(f"`heads/{name}` is a complete model on this encoder, with a card and scores of its own.")
    (output / "README.md").write_text(render_model_card(encoder.config.model_type, card), encoding="utf-8")
    for path in (output / "seeds").glob("*/*"):
        if path.suffix == ".safetensors" and path.parent.name == str(recipe.seeds[0]):
            path.unlink()  # its copy is the repository itself
    write_json(output / "metrics.json", finite(summary))


def _encoder_class(run: Run) -> Any:
    head = replace(run.plan, head="AutoModel")
    return head.model_class
