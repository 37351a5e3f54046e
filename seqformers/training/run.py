"""Training runs: a recipe in, a run folder out that is a complete Hub repository.

One stock `transformers.Trainer` a seed; models compute their own loss. The folder while a run goes on:

    recipe.yaml                         the whole recipe, defaults filled in
    seeds/<seed>/checkpoints/           removed when the seed is done
    seeds/<seed>/training_log.jsonl     one line a logging step
    seeds/<seed>/metrics.json           there when the seed is done

and when it is finished the weights, configuration, tokenizer, code, card and `metrics.json` at its top, and other
seeds' weights in their folders.
"""

from __future__ import annotations

import inspect
import json
import shutil
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from seqformers.training.recipe import Recipe, load_recipe, read_yaml

__all__ = ["Run", "finetune", "pretrain", "probe", "train"]

_IGNORED = -100
_DEFAULT_METRICS = {
    "classification": ["macro_recall", "f1_positive", "mcc", "auroc", "accuracy"],
    "tokens": ["accuracy", "f1_macro"],
    "regression": ["spearman", "pearson", "mse"],
    "contacts": ["precision_medium+long_L/5", "precision_medium+long_L", "precision_all_L/5_pooled"],
}
_KINDS_OF_HEADS = {"TokenClassification": "tokens", "ContactPrediction": "contacts"}


def pretrain(
    recipe: str | Path | Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    output: str | Path,
    overwrite: bool = False,
    resume: bool = False,
) -> Path:
    """Train a masked language model by a recipe; see `train`."""
    return train(load_recipe(recipe, overrides, task="pretrain"), output, overwrite=overwrite, resume=resume)


def finetune(
    recipe: str | Path | Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    output: str | Path,
    overwrite: bool = False,
    resume: bool = False,
) -> Path:
    """Train all weights on labels by a recipe, from a pretrained model or from scratch; see `train`."""
    return train(load_recipe(recipe, overrides, task="finetune"), output, overwrite=overwrite, resume=resume)


def probe(
    recipe: str | Path | Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    output: str | Path,
    overwrite: bool = False,
    resume: bool = False,
) -> Path:
    """Train only the last layer, on features of the frozen model computed once; see `train`."""
    return train(load_recipe(recipe, overrides, task="probe"), output, overwrite=overwrite, resume=resume)


def train(
    recipe: Recipe, output: str | Path, *, overwrite: bool = False, resume: bool = False, command: str | None = None
) -> Path:
    """Run a recipe: every seed, the baselines, the repository.

    Args:
        recipe (`Recipe`): From `load_recipe`.
        output (`str` or `Path`): Run folder.
        overwrite (`bool`): Replace an earlier run there.
        resume (`bool`): Go on with an interrupted run: finished seeds stay, the one under way starts from its last
            whole checkpoint. A finished run is left as it is.
        command (`str`, *optional*): The command line, for the card.

    Returns:
        `Path`: The run folder.

    Raises:
        FileExistsError: the folder is there and neither `overwrite` nor `resume` was given.
        ValueError: something in recipe or data is wrong; the message says what to change.
        OSError: the disk is full; the run can be resumed.
        KeyboardInterrupt: Ctrl-C; a checkpoint was saved.
    """
    from transformers.utils import logging

    from seqformers.training.callbacks import clear_disk_errors

    logging.disable_progress_bar()  # those of reading and writing weights; training has its own
    output = _prepare_folder(Path(output), overwrite=overwrite, resume=resume)
    if resume and (output / "metrics.json").is_file():
        return output
    run = Run.prepare(recipe, output, command=command)
    with clear_disk_errors(output):
        run.keep_recipe(resume=resume)
        results = [run.seed(seed) for seed in run.recipe.seeds]
        run.finish(results)
    return output


def _prepare_folder(output: Path, *, overwrite: bool, resume: bool) -> Path:
    from seqformers.tables import refuse_existing

    if output.exists() and overwrite and not resume and not _is_run(output):
        raise FileExistsError(f"{output} is not an earlier run (it has no recipe.yaml), so it is not replaced")
    if output.is_dir() and not any(output.iterdir()):
        return output
    return refuse_existing(output, overwrite=overwrite, resume=resume)


def _is_run(output: Path) -> bool:
    return output.is_dir() and ((output / "recipe.yaml").is_file() or not any(output.iterdir()))


@dataclass
class Run:
    """A recipe with its objects made: what every seed of a run shares.

    Args:
        recipe (`Recipe`): With the defaults of its task filled in.
        output (`Path`): Run folder.
        table (`Table`): Rows and what they mean.
        encoder: Tokenizer or processor.
        collate: Rows to a batch.
        max_length (`int`, *optional*): Tokens an input may have.
        metrics (`list[str]`): The first one chooses.
        command (`str`, *optional*): For the card.
    """

    recipe: Recipe
    output: Path
    table: Any
    encoder: Any
    collate: Any
    max_length: int | None
    metrics: list[str]
    command: str | None = None
    validation: Any = None
    notes: list[str] = field(default_factory=list)

    @classmethod
    def prepare(
        cls, recipe: Recipe, output: Path, *, command: str | None = None, names: list[str] | None = None
    ) -> Run:
        """Load data and encoder, check them against each other, and fill in the recipe.

        Args:
            recipe (`Recipe`): From `load_recipe`.
            output (`Path`): Run folder.
            command (`str`, *optional*): For the card.
            names (`list[str]`, *optional*): Classes of a trained model, which those of the data must be.
        """
        from seqformers.metrics.scores import check_metrics
        from seqformers.training.baselines import check_baselines
        from seqformers.training.build import (
            _DEFAULTS,
            _config,
            accepted_inputs,
            build_encoder,
            head_of,
            max_length_of,
        )
        from seqformers.training.data import Batches, load_table

        recipe = replace(recipe, training={**_DEFAULTS[recipe.task], **recipe.training})
        head = head_of(recipe)
        encoder = build_encoder(recipe)
        labelled = recipe.task != "pretrain"
        kind = next((kind for part, kind in _KINDS_OF_HEADS.items() if part in head), None)
        table = load_table(recipe.data, labelled=labelled, kind=kind, names=names)
        metrics = ["loss"]
        if labelled:
            metrics = recipe.metrics or _DEFAULT_METRICS[table.kind]
            metrics = check_metrics(metrics, table.kind)
        check_baselines(recipe.baselines.names or [])
        max_length = max_length_of(recipe, _config(recipe, encoder, {}))
        run = cls(replace(recipe, metrics=metrics if labelled else []), output, table, encoder, None, max_length,
                  metrics, command)  # fmt: skip
        accepted = accepted_inputs(recipe)
        run.collate = (
            Batches(encoder, table, max_length=max_length, accepted=accepted) if labelled else run._language_batches()
        )
        run._look_at_lengths()
        return run

    # -- data --------------------------------------------------------------------------------------------------------

    def _language_batches(self) -> Any:
        from seqformers.training.data import FixedMasks, LanguageModelBatches

        passed = [name for name in ("same_family",) if name in self.table.splits["train"].column_names]
        batches = LanguageModelBatches(
            self.encoder, self.table, self._masker(0), max_length=self.max_length, passed=passed
        )
        if "validation" in self.table.splits:
            self.validation = FixedMasks(self.table.splits["validation"], batches, self._masker(0))
        return batches

    def _masker(self, seed: int) -> Any:
        """The masking collator: spans of bases for k-mers, residues for proteins."""
        options = {key: value for key, value in self.recipe.masking.items() if key != "seed"}
        kmers = hasattr(self.encoder, "k")
        collator: Any
        if kmers:
            from seqformers.training.collators import DataCollatorForKmerLanguageModeling

            collator = DataCollatorForKmerLanguageModeling
        elif hasattr(self.encoder, "residue_ids"):
            from seqformers.training.collators_protein import DataCollatorForResidueLanguageModeling

            collator = DataCollatorForResidueLanguageModeling
        else:
            from transformers import DataCollatorForLanguageModeling

            collator = DataCollatorForLanguageModeling
        if kmers and len(self.table.columns) != 1:
            raise ValueError("pretraining on k-mers reads one column; set data.columns={text: <column>}")
        known = inspect.signature(collator.__init__).parameters
        for name in options:
            if name not in known:
                raise ValueError(f"masking.{name} is not known to {collator.__name__}")
        return collator(self.encoder, seed=seed, **options)

    def _look_at_lengths(self) -> None:
        """Warn about truncation, and give the training rows a length column for bucketing."""
        from seqformers.training.data import lengths_of, warn_about_truncation

        if not self.table.sequences_are_text:
            self.recipe.training.pop("train_sampling_strategy", None)
            return
        for split in self.table.splits:
            lengths = lengths_of(self.table, split)
            cut = warn_about_truncation(self.encoder, lengths, self.max_length, split)
            if cut:
                self.notes.append(f"{cut:,} of {len(lengths):,} rows of {split} were truncated to {self.max_length}.")
            if split == "train" and self.recipe.training.get("train_sampling_strategy") == "group_by_length":
                name = self.recipe.training.get("length_column_name", "length")
                rows = self.table.splits["train"]
                rows = rows.remove_columns([name]) if name in rows.column_names else rows
                self.table.splits["train"] = rows.add_column(name, lengths)

    def keep_recipe(self, *, resume: bool) -> None:
        """Write `recipe.yaml`, or check that a resumed run is of the same recipe."""
        path = self.output / "recipe.yaml"
        if resume and path.is_file():
            before, now = read_yaml(path.read_text(encoding="utf-8")), read_yaml(self.recipe.to_yaml())
            changed = [key for key in now if before.get(key) != now[key]]
            if changed:
                raise ValueError(
                    f"{self.output} was started with another recipe (different: {', '.join(changed)}); resume with "
                    "the recipe it was started with, or start again with --overwrite"
                )
            return
        self.output.mkdir(parents=True, exist_ok=True)
        path.write_text(self.recipe.to_yaml(), encoding="utf-8")

    # -- one seed ----------------------------------------------------------------------------------------------------

    def seed(self, seed: int) -> dict[str, Any]:
        """Train, evaluate and save one seed; a seed that is done is only read."""
        folder = self.output / "seeds" / str(seed)
        done = folder / "metrics.json"
        if done.is_file():
            return json.loads(done.read_text(encoding="utf-8"))
        folder.mkdir(parents=True, exist_ok=True)
        if self.recipe.task == "probe":
            from seqformers.training.probing import train_probe

            trainer, facts = train_probe(self, seed, folder)
        else:
            trainer, facts = self._train_seed(seed, folder)
        result = {"seed": seed, **facts, "metrics": {}}
        model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
        trainer = self.trainer(seed, folder, model, precise=True)
        for split in ("validation", "test"):
            if split in self.table.splits:
                result["metrics"][split], result[f"{split}_speed"] = self.score(trainer, split, folder)
        model.save_pretrained(folder)
        _write_json(done, result)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        return result

    def model(self, seed: int) -> Any:
        """A new model of this run."""
        from seqformers.training.build import build_model
        from seqformers.training.data import lengths_of

        model = build_model(self.recipe, self.encoder, kind=self.table.kind, names=self.table.names, seed=seed)
        if self.table.kind in ("classification", "regression") and self.table.sequences_are_text:
            # `predict` cuts records into windows of the length the model was trained on.
            model.config.read_length = int(lengths_of(self.table, "train").max())
        return model

    def trainer(
        self, seed: int, folder: Path, model: Any, callbacks: Sequence[Any] = (), *, precise: bool = False
    ) -> Any:
        """A stock `Trainer` over this run's rows; `precise` scores in the precision of the weights.

        Logits in bf16 have three digits: enough to train by, but ties spoil rankings (AUROC, Spearman).
        """
        from transformers import Trainer
        from transformers.trainer_callback import PrinterCallback, ProgressCallback

        from seqformers.training.build import has_fast_bf16, training_arguments

        collate = self.collate
        if self.recipe.task == "pretrain":
            collate = self.collate.with_masker(self._masker(self.recipe.masking.get("seed", seed)))
        arguments = training_arguments(
            self.recipe,
            folder / "checkpoints",
            seed=seed,
            has_validation="validation" in self.table.splits,
            metric=self.metrics[0],
            counts_tokens=self.table.sequences_are_text and hasattr(self.encoder, "pad_token_id"),
            half=not precise and has_fast_bf16(model.config),
        )
        # Contact maps of two batches have different sizes, so batches stay apart.
        arguments.eval_do_concat_batches = self.table.kind != "contacts"
        trainer = Trainer(
            model=model,
            args=arguments,
            data_collator=collate,
            train_dataset=self.table.splits.get("train"),
            eval_dataset=self.rows("validation"),
            compute_metrics=self._scorer(),
            preprocess_logits_for_metrics=self._kept_outputs(),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.remove_callback(ProgressCallback)
        for callback in callbacks:
            trainer.add_callback(callback)
        return trainer

    def rows(self, split: str) -> Any:
        """Rows of a split as `Trainer` evaluates them."""
        if self.recipe.task == "pretrain" and split != "train":
            if split == "validation":
                return self.validation
            from seqformers.training.data import FixedMasks

            rows = self.table.splits.get(split)
            return None if rows is None else FixedMasks(rows, self.collate, self._masker(0))
        return self.table.splits.get(split)

    def _train_seed(self, seed: int, folder: Path) -> tuple[Any, dict[str, Any]]:
        from seqformers.training.callbacks import RunLog, StopOnInterrupt

        title = self.recipe.task if len(self.recipe.seeds) == 1 else f"{self.recipe.task} seed {seed}"
        log, stop = RunLog(folder / "training_log.jsonl", title), StopOnInterrupt()
        trainer = self.trainer(seed, folder, self.model(seed), [log, stop])
        checkpoint = last_whole_checkpoint(folder / "checkpoints")
        with stop:
            outcome = trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        return trainer, {
            "train_loss": outcome.training_loss,
            "steps": outcome.global_step,
            "epochs": trainer.state.epoch,
            "tokens": trainer.state.num_input_tokens_seen or None,
            "best_step": trainer.state.best_global_step,
            "parameters": int(sum(p.numel() for p in trainer.model.parameters())),
            "effective_batch_size": effective_batch_size(trainer.args),
            "precision": "bf16" if trainer.args.bf16 else "fp16" if trainer.args.fp16 else "fp32",
            **log.totals(),
        }

    def score(self, trainer: Any, split: str, folder: Path) -> tuple[dict[str, float], dict[str, float]]:
        """Metrics of a split, and how fast it was scored; predictions are written beside them."""
        rows = self.rows(split)
        began = time.perf_counter()
        outcome = trainer.predict(rows, metric_key_prefix=split)
        seconds = time.perf_counter() - began
        values = {key.removeprefix(f"{split}_"): value for key, value in (outcome.metrics or {}).items()}
        timing = ("runtime", "samples_per_second", "steps_per_second", "model_preparation_time")
        metrics = {key: value for key, value in values.items() if key not in timing and np.isfinite(value)}
        if self.recipe.task == "pretrain":
            metrics["perplexity"] = float(np.exp(min(metrics["loss"], 100.0)))
        else:
            self._warn_if_collapsed(outcome, split)
            self._write_predictions(outcome, folder / f"predictions-{split}.parquet")
        return metrics, {"seconds": seconds, "rows_per_second": len(rows) / seconds}

    def _warn_if_collapsed(self, outcome: Any, split: str) -> None:
        if self.table.kind != "classification":
            return
        logits = _array(outcome.predictions)
        classes = np.unique(np.argmax(_two_columns(logits), axis=1))
        if len(classes) == 1:
            warnings.warn(
                f"the model has collapsed: it calls every row of {split!r} {self.table.names[int(classes[0])]!r} "
                "(MCC 0). Try a lower learning rate, a longer warm-up (training.warmup_steps) or another seed",
                stacklevel=2,
            )

    def _write_predictions(self, outcome: Any, path: Path) -> None:
        """One row a record in order: label, and the probability of each class or the predicted number."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        from seqformers.metrics.scores import probabilities

        if self.table.kind in ("tokens", "contacts"):
            return
        outputs = _array(outcome.predictions)
        labels = np.asarray(outcome.label_ids).reshape(-1)
        columns: dict[str, Any] = {"label": labels}
        if self.table.kind == "regression":
            columns["predicted"] = outputs.reshape(len(labels), -1)[:, 0].astype(np.float32)
        else:
            scores = probabilities(outputs.reshape(len(labels), -1)).astype(np.float32)
            columns |= {f"score_{name}": scores[:, i] for i, name in enumerate(self.table.names)}
        pq.write_table(pa.table(columns), path)

    def _kept_outputs(self) -> Callable[[Any, Any], Any]:
        """What of a batch's logits is kept for the metrics."""
        if self.recipe.task == "pretrain":
            return _next_tokens if "CausalLM" in (self.recipe.model.head or "") else _predicted_tokens
        return _contact_probabilities if self.table.kind == "contacts" else _first_logits

    def _scorer(self) -> Callable[[Any], dict[str, float]] | None:
        from seqformers.metrics.scores import classification_metrics, regression_metrics

        if self.recipe.task == "pretrain":
            return lambda outcome: {"masked_accuracy": _masked_accuracy(outcome)}

        if self.table.kind == "contacts":
            return lambda outcome: _contact_scores(outcome, self.metrics)

        def score(outcome: Any) -> dict[str, float]:
            outputs, labels = _array(outcome.predictions), np.asarray(outcome.label_ids)
            if self.table.kind == "regression":
                return regression_metrics(labels, outputs, self.metrics)
            if self.table.kind == "tokens":
                outputs = outputs.reshape(-1, outputs.shape[-1])
            return classification_metrics(labels, outputs, self.metrics)

        return score

    # -- the folder --------------------------------------------------------------------------------------------------

    def finish(self, results: list[dict[str, Any]]) -> None:
        """Measure the baselines and make the run folder a repository."""
        from seqformers.training.folder import write_run_folder

        write_run_folder(self, results, self._baselines())

    def _baselines(self) -> tuple[str, dict[str, Any]]:
        from seqformers.training.baselines import default_baselines, measure_baselines

        split = "test" if "test" in self.table.splits else "validation"
        one_a_row = self.table.kind in ("classification", "regression")
        if self.recipe.task == "pretrain" or split not in self.table.splits or not one_a_row:
            return split, {}
        names = self.recipe.baselines.names
        names = default_baselines(self.encoder) if names is None else names
        rows = self.recipe.baselines.max_train_rows
        return split, measure_baselines(names, self.table, self.metrics, split=split, max_train_rows=rows)


def effective_batch_size(arguments: Any) -> int:
    """Rows an optimizer step sees, over devices and accumulation."""
    return int(arguments.train_batch_size * arguments.gradient_accumulation_steps * max(1, arguments.world_size))


def last_whole_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end; torn ones (a kill, a full disk) are removed.

    `trainer_state.json` is the last file of a checkpoint, so one that can be read stands for all.
    """
    found = [path for path in folder.glob("checkpoint-*") if path.name.rpartition("-")[2].isdigit()]
    for path in sorted(found, key=lambda path: int(path.name.rpartition("-")[2]), reverse=True):
        try:
            json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
            return path
        except (OSError, ValueError):
            shutil.rmtree(path)
    return None


def _array(predictions: Any) -> np.ndarray:
    return np.asarray(predictions[0] if isinstance(predictions, tuple) else predictions)


def _two_columns(logits: np.ndarray) -> np.ndarray:
    logits = logits.reshape(len(logits), -1)
    return np.concatenate([np.zeros_like(logits), logits], axis=1) if logits.shape[1] == 1 else logits


def _first_logits(logits: Any, labels: Any) -> Any:
    """Keep the logits only: hidden states of a whole test set do not fit into memory."""
    return logits[0] if isinstance(logits, tuple) else logits


def _predicted_tokens(logits: Any, labels: Any) -> Any:
    """Predicted ids at the labelled positions, -100 elsewhere, `(rows, length)`; logits may be of these alone."""
    logits = logits[0] if isinstance(logits, tuple) else logits
    out = labels.new_full(labels.shape, _IGNORED)
    places = labels != _IGNORED
    chosen = logits if logits.ndim == 2 else logits[places]
    out[places] = chosen.argmax(-1)
    return out


def _next_tokens(logits: Any, labels: Any) -> Any:
    """Predicted ids `(rows, length)` of a model whose logits at i are for the token at i + 1; none for the first."""
    import torch

    logits = logits[0] if isinstance(logits, tuple) else logits
    none = labels.new_full((len(labels), 1), _IGNORED)
    return torch.cat([none, logits[:, :-1].argmax(-1)], 1).masked_fill(labels == _IGNORED, _IGNORED)


def _contact_probabilities(logits: Any, labels: Any) -> Any:
    """Probability of a contact, `(rows, residues, residues)`."""
    logits = logits[0] if isinstance(logits, tuple) else logits
    return logits.float().softmax(-1)[..., 1]


def _contact_scores(outcome: Any, names: Sequence[str]) -> dict[str, float]:
    """Precision of contacts from batches of maps; the padding of a map, -100 on its diagonal, is cut off."""
    from seqformers.metrics.protein import contact_precision

    maps: tuple[list[Any], list[Any]] = ([], [])
    for scores, labels in zip(outcome.predictions, outcome.label_ids, strict=True):
        for score, label in zip(scores, labels, strict=True):
            size = int((np.diagonal(label) != _IGNORED).sum())
            maps[0].append(score[:size, :size])
            maps[1].append(label[:size, :size])
    found = contact_precision(*maps, ignore_index=-1)
    return {name: found[name] for name in names}


def _masked_accuracy(outcome: Any) -> float:
    predicted, labels = _array(outcome.predictions), np.asarray(outcome.label_ids)
    places = (labels != _IGNORED) & (predicted != _IGNORED)
    return float((predicted[places] == labels[places]).mean()) if places.any() else 0.0


def _write_json(path: Path, content: Any) -> None:
    torn = path.with_suffix(".torn")
    torn.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    torn.replace(path)
