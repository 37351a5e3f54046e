"""What every seed of a run shares: plan, rows, collator and metrics, and how they become trainers and scores."""

from __future__ import annotations

import inspect
import os
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from transformers import DataCollatorForLanguageModeling, Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from seqformers.files import MARK, fingerprint, write_text
from seqformers.metrics.lengths import length_bins
from seqformers.metrics.registry import needs_groups
from seqformers.tokenization.reading import reading_of
from seqformers.tokenization.tokenization_kmer import KmerTokenizer
from seqformers.tokenization.tokenization_protein import ProteinTokenizer
from seqformers.tokenization.tokenization_variable_kmer import VariableKmerTokenizer
from seqformers.training.arguments import (
    defaults,
    effective_batch_size,
    has_fast_bf16,
    is_main_process,
    training_arguments,
)
from seqformers.training.baselines import check_baselines, default_baselines, measure_baselines
from seqformers.training.batches import Batches, FixedMasks, LanguageModelBatches, RowByRow
from seqformers.training.callbacks import ChangeMasking, EvaluateInOrder
from seqformers.training.collators import DataCollatorForKmerLanguageModeling
from seqformers.training.collators_protein import DataCollatorForResidueLanguageModeling
from seqformers.training.cpu_attention import use_fast_cpu_training
from seqformers.training.distillation import Distilled, Teacher, TeacherBatches
from seqformers.training.learners import Contrasted, ViewBatches, Weighed
from seqformers.training.plan import Plan, resolve
from seqformers.training.rare_classes import changed_rows, loss_fields, of_model
from seqformers.training.recipe import Recipe
from seqformers.training.rows import Table, load_table, warn_about_truncation

__all__ = ["Run"]

_ROWS_LOOKED_AT = 512
_OF_KMERS = (KmerTokenizer, VariableKmerTokenizer)
# Files of `model.from` that decide what is trained.
_OF_MODELS = {".safetensors", ".json", ".bin"}
_NOT_OF_MODELS = {MARK, "metrics.json"}


@dataclass
class Run:
    """A recipe with its objects made.

    Args:
        plan (`Plan`): The recipe, resolved.
        output (`Path`): Folder that is written to.
        name (`str`): What the run folder is called in the end.
        table (`Table`): Rows and what they mean.
        collate: Rows to a batch.
        metrics (`list[str]`): The first one chooses.
        command (`str`, *optional*): For the card.
        validation (`FixedMasks`, *optional*): Pretraining: the validation rows, masked once.
        notes (`list[str]`): What the card says besides.
        callbacks (`Sequence`): Of the user, for the trainer of every seed.
        teacher (`Teacher`, *optional*): Of `distill`: what is learnt from.
        fields (`dict`): Of the loss, that `balance` of the recipe asks for.
    """

    plan: Plan
    output: Path
    name: str
    table: Table
    collate: Any
    metrics: list[str]
    command: str | None = None
    validation: FixedMasks | None = None
    notes: list[str] = field(default_factory=list)
    callbacks: Sequence[Any] = ()
    teacher: Teacher | None = None
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def recipe(self) -> Recipe:
        """The recipe, with the defaults of its task filled in."""
        return self.plan.recipe

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
        plan = resolve(replace(recipe, training={**defaults(recipe), **recipe.training}))
        pretraining = recipe.learns != "labels"
        head = "CausalLM" if pretraining and plan.is_causal else "words" if plan.learns_words else plan.head
        head = "views" if recipe.learns == "views" else head
        teacher = Teacher.of(plan) if recipe.task == "distill" else None
        if teacher is not None and not pretraining:
            names = teacher.names
        table = load_table(recipe.data, head, labelled=not pretraining, names=names)
        metrics = table.task.check_metrics(recipe.metrics)
        if needs_groups(metrics) and table.group is None:
            raise ValueError("metrics within groups need data.group, the column that names the group of each row")
        check_baselines(recipe.baselines.names or [])
        if recipe.length_bins and (pretraining or not table.sequences_are_text):
            raise ValueError("length_bins are of labelled sequences; leave them out")
        plan = replace(plan, recipe=replace(plan.recipe, metrics=[] if pretraining else metrics))
        run = cls(plan, output, output.resolve().name, table, None, metrics, command, teacher=teacher)
        run.fields = loss_fields(plan, table)
        made = {"tokens": run._language_batches, "views": run._view_batches, "labels": run._labelled_batches}
        run.collate = made[recipe.learns]()
        changed_rows(plan, table, 0)  # mistakes are said before a model is made
        run._look_at_lengths()
        return run

    # -- data --------------------------------------------------------------------------------------------------------

    def _labelled_batches(self) -> Batches:
        plan, table = self.plan, self.table
        return Batches(
            plan.encoder,
            table.columns,
            table.task,
            table.label,
            max_length=plan.max_length,
            accepted=plan.accepted_inputs,
        )

    def _view_batches(self) -> ViewBatches:
        columns, views = list(dict.fromkeys(self.table.columns.values())), self.recipe.contrastive["views"]
        if views == "genome" and self.plan.has_tokenizer:
            return ViewBatches(self.plan.encoder, columns[0], None, mate=columns[1], max_length=self.plan.max_length)
        if self.table.reads is not None or len(columns) != 1 or not self.plan.has_tokenizer:
            raise ValueError("contrastive pretraining reads one column of stored sequences with a tokenizer")
        molecule = None
        if views == "reverse_complement":
            molecule = reading_of(self.plan.encoder).molecule
            if molecule not in ("dna", "rna"):
                raise ValueError(f"contrastive.views=reverse_complement needs DNA or RNA; this model reads {molecule}")
        return ViewBatches(self.plan.encoder, columns[0], molecule, max_length=self.plan.max_length)

    def _language_batches(self) -> LanguageModelBatches:
        known = ("same_family", "next_sentence_label")
        passed = [name for name in known if name in self.table.splits["train"].column_names]
        batches = LanguageModelBatches(
            self.plan.encoder, self.table.columns, self._masker(0), max_length=self.plan.max_length, passed=passed
        )
        if "validation" in self.table.splits:
            self.validation = FixedMasks(self.table.splits["validation"], batches.with_masker(self._masker(0)))
        return batches

    def _masker(self, seed: int) -> Any:
        """The collator that hides tokens: spans of bases for k-mers, residues for proteins, none of a causal model."""
        encoder = self.plan.encoder
        options = {key: value for key, value in self.recipe.masking.items() if key not in ("seed", "then")}
        causal = self.plan.is_causal or self.plan.learns_words
        collator: Any = DataCollatorForLanguageModeling
        if isinstance(encoder, ProteinTokenizer):
            collator = DataCollatorForResidueLanguageModeling
            options = {"strategy": "all", **options} if causal else options
            if causal and options["strategy"] != "all":
                raise ValueError(f"masking.strategy={options['strategy']}, but {self.plan.head} hides nothing")
        elif causal:
            if options:
                raise ValueError(
                    f"masking.{next(iter(options))} means nothing to {self.plan.head}, which hides nothing"
                )
            options = {"mlm": False}
        elif isinstance(encoder, _OF_KMERS) or _is_learnt(encoder):
            collator = DataCollatorForKmerLanguageModeling
        by_read = self.plan.learns_words or collator is DataCollatorForKmerLanguageModeling
        if self.table.reads is not None and not by_read:
            raise ValueError(
                "pretraining on data.reads masks k-mers as a function of the read: it needs KmerTokenizer, "
                "VariableKmerTokenizer or a learnt vocabulary of DNA, and a head of masked k-mers"
            )
        self._check_pairs()
        pairs = self.table.reads is not None and self.table.reads.pairs
        if isinstance(encoder, _OF_KMERS) and len(self.table.columns) != 1 and not pairs:
            raise ValueError("pretraining on k-mers reads one column; set data.columns={text: <column>}")
        known = inspect.signature(collator.__init__).parameters
        for name in options:
            if name not in known:
                raise ValueError(f"masking.{name} is not known to {collator.__name__}")
        masker = collator(encoder, seed=seed, **options)
        return RowByRow(masker, seed) if collator is DataCollatorForLanguageModeling else masker

    def _check_pairs(self) -> None:
        """Pairs of reads are read by a head that tells them apart."""
        source, head = self.table.reads, self.plan.model_class
        if source is None or source.pairs is None:
            return
        if "next_sentence_label" not in inspect.signature(getattr(head, "forward", head)).parameters:
            raise ValueError(
                f"data.reads.pairs needs model.head=AutoModelForPreTraining of kmer_bert; {head.__name__} reads none"
            )

    def _look_at_lengths(self) -> None:
        """Warn about truncation, and give the rows a length column for bucketing."""
        training = self.recipe.training
        if not self.table.sequences_are_text:
            training.pop("train_sampling_strategy", None)
            return
        self._note_reads()
        for split in self.table.splits:
            lengths = self.table.lengths(split)
            if self.table.reads is not None and self.table.reads.pairs is not None and self.recipe.learns != "views":
                lengths = lengths + [len(text) for text in self.table.splits[split]["mate"][:]]
            counted = self._words_of_longest(split, lengths) if _is_learnt(self.plan.encoder) else lengths
            cut = warn_about_truncation(self.plan.encoder, counted, self.plan.max_length, split)
            if cut:
                rows = f"{len(counted):,} {'longest ' if len(counted) < len(lengths) else ''}rows"
                self.notes.append(f"{cut:,} of {rows} of {split} were truncated to {self.plan.max_length}.")
            grouped = training.get("train_sampling_strategy") == "group_by_length" and self.table.reads is None
            if split == "train" and grouped:
                name = training.get("length_column_name", "length")
                rows = self.table.splits["train"]
                rows = rows.remove_columns([name]) if name in rows.column_names else rows
                self.table.splits["train"] = rows.add_column(name, lengths)

    def _words_of_longest(self, split: str, lengths: np.ndarray) -> np.ndarray:
        """Tokens of the longest rows, which learnt words do not tell by the letters; special ones not counted."""
        longest = np.argsort(-lengths, kind="stable")[:_ROWS_LOOKED_AT]
        texts = self.table.splits[split].select(longest)[next(iter(self.table.columns.values()))][:]
        return np.array([len(ids) for ids in self.plan.encoder(texts, add_special_tokens=False)["input_ids"]])

    def _note_reads(self) -> None:
        source = self.table.reads
        if source is None or "train" not in self.table.splits:
            return
        source.stream(0, self.table.task.names)  # mistakes are said before a model is made
        self.notes.append(
            f"Train rows are {source.rows['per_epoch']:,} reads drawn anew from the genomes in every epoch; shortcuts "
            f"learn from {len(self.table.splits['train']):,} of the first."
        )

    def train_rows(self, seed: int, arguments: TrainingArguments) -> Any:
        """Rows to train on; of fresh reads the order is their own, by length where the recipe groups by it."""
        source = self.table.reads
        if source is None:
            changed = changed_rows(self.plan, self.table, seed) if "train" in self.table.splits else None
            return self.table.splits.get("train") if changed is None else changed
        grouped = arguments.train_sampling_strategy == "group_by_length" and source.options.law is not None
        arguments.train_sampling_strategy = "sequential"
        return source.stream(seed, self.table.task.names, effective_batch_size(arguments) if grouped else None)

    def settings(self) -> dict[str, Any]:
        """What decides the result, for the record of the run folder; a resume must be of the same."""
        recipe, source = self.recipe, self.plan.source
        data = Path(recipe.data.path) if recipe.data.path is not None else None
        found = fingerprint(data) if data is not None else {"fingerprint": self.table.facts["fingerprint"]}
        files = self.plan.tokenizer_files
        weights = [] if source is None else [path for path in sorted(source.iterdir()) if path.suffix in _OF_MODELS]
        return {
            **_flat(recipe.without_folders().to_dict()),
            "data": found,
            # From the run folder, so that `evaluate` finds them again on this machine.
            "places": {
                key: os.path.relpath(place, self.output)
                for key, place in (("path", recipe.data.path), ("data_dir", recipe.data.data_dir))
                if place is not None
            },
            "model": [fingerprint(path) for path in weights if path.is_file() and path.name not in _NOT_OF_MODELS],
            **({} if self.teacher is None else {"teacher": self.teacher.loaded.fingerprint}),
            "seqformers": version("seqformers"),
            **(
                {"tokenizer_files": [fingerprint(path) for path in files]}
                if (files := self.plan.tokenizer_files)
                else {}
            ),
        }

    def keep_recipe(self) -> None:
        """Write `recipe.yaml`: names of folders in it are without the way to them."""
        write_text(self.output / "recipe.yaml", self.recipe.without_folders().to_yaml())

    # -- models, trainers, scores ------------------------------------------------------------------------------------

    def make_model(self, seed: int, changes: dict[str, Any] | None = None) -> Any:
        """A new model of this run, some fields of its configuration changed."""
        own = self.fields if of_model(self.plan, self.fields) else {}
        model = self.plan.make_model({**self.table.task.outputs, **own}, seed, changes)
        if self.table.task.of_rows and self.table.sequences_are_text:
            # `predict` cuts records into windows of the length the model was trained on.
            model.config.read_length = int(self.table.lengths("train").max())
        return model

    def make_trainer(
        self, seed: int, folder: Path, model: Any, callbacks: Sequence[Any] = (), *, precise: bool = False
    ) -> Trainer:
        """A stock `Trainer` over this run's rows; `precise` scores in the precision of the weights.

        Logits in bf16 have three digits: enough to train by, but ties spoil rankings (AUROC, Spearman).
        """
        collate = self.training_collate(seed)
        arguments = training_arguments(
            self.recipe,
            folder / "checkpoints",
            seed=seed,
            has_validation="validation" in self.table.splits,
            metric=self.metrics[0],
            counts_tokens=self.table.sequences_are_text and self.plan.has_tokenizer,
            half=not precise and has_fast_bf16(model.config),
        )
        if isinstance(collate, LanguageModelBatches) and hasattr(model.config, "masked_lm_logits"):
            model.config.masked_lm_logits = "labelled"  # of all tokens they would fill the memory
        if arguments.bf16 and arguments.device.type == "cpu":
            use_fast_cpu_training(model)
        arguments.label_names = ["labels"]  # a pre-training head has others, which nobody gives
        arguments.eval_do_concat_batches = self.table.task.joins_batches
        learner = self._learner(model, precise=precise)
        if isinstance(learner, Distilled) and not learner.teacher.same_tokens:
            collate = TeacherBatches(collate, learner.teacher.collate(collate, self.table))
        in_order = EvaluateInOrder()
        if precise and not isinstance(collate, LanguageModelBatches):
            in_order.on_train_begin(arguments)
        trainer = Trainer(
            model=learner,
            args=arguments,
            data_collator=collate,
            train_dataset=self.train_rows(seed, arguments),
            eval_dataset=self.rows_to_score("validation"),
            compute_metrics=self._metrics_to_choose_by,
            preprocess_logits_for_metrics=self.table.task.keep,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.remove_callback(ProgressCallback)
        own: list[Any] = [in_order]
        if isinstance(collate, LanguageModelBatches):
            own = self._changes_of_rate(collate.masker)
        for callback in [*callbacks, *own]:
            trainer.add_callback(callback)
        return trainer

    def training_collate(self, seed: int) -> Any:
        """What makes batches of a seed: its own masks, where tokens are hidden."""
        if not isinstance(self.collate, LanguageModelBatches):
            return self.collate
        known = "scored_places" in (self.plan.accepted_inputs or ())
        return self.collate.with_masker(
            self._masker(self.recipe.masking.get("seed", seed)), places=known and torch.accelerator.is_available()
        )

    def _learner(self, model: Any, *, precise: bool) -> Any:
        """The model, or what stands around it where its own loss is not the one that is learnt by."""
        recipe = self.recipe
        if recipe.learns == "views":
            special = self.plan.encoder.all_special_ids
            views, temperature = recipe.contrastive["views"], recipe.contrastive.get("temperature") or 0.05
            return Contrasted(model, views, special, temperature)
        if precise:
            return model
        if self.teacher is None:
            return model if of_model(self.plan, self.fields) else Weighed(model, **self.fields)
        self.refuse_outer_loss("`distill`")
        asked = {"temperature": 2.0, "share": 0.5, "hidden": 0.0}
        asked |= {key: value for key, value in recipe.distill.items() if key != "teacher" and value is not None}
        return Distilled(model, self.teacher, self.table.task, **asked)

    def _changes_of_rate(self, masker: Any) -> list[Any]:
        change = self.recipe.masking.get("then")
        if change is None:
            return []
        if not hasattr(masker, "change_rate"):
            raise ValueError("masking.then changes the rate of masked k-mers: it needs KmerTokenizer")
        return [ChangeMasking(masker, change["at"], change["mlm_probability"])]

    def refuse_outer_loss(self, job: str) -> None:
        """Refuse weights and focusing that the model's own loss does not know, where only that one is asked."""
        if not of_model(self.plan, self.fields):
            raise ValueError(
                f"{job} takes balance.weights and balance.focal_gamma of families whose loss knows them; that of "
                f"{self.recipe.model.type} does not, balance.sampling does the same for it"
            )

    def save_model(self, model: Any, folder: Path) -> None:
        """Write the weights of a seed, with the configuration that the recipe says."""
        if hasattr(model.config, "masked_lm_logits"):
            model.config.masked_lm_logits = self.recipe.model.config.get("masked_lm_logits", "auto")
        model.save_pretrained(folder)

    def rows_to_score(self, split: str) -> Any:
        """Rows of a split as `Trainer` evaluates them; None where there is no such split."""
        rows = self.table.splits.get(split)
        if not isinstance(self.collate, LanguageModelBatches):
            return rows
        if split == "validation":
            return self.validation
        return None if rows is None else FixedMasks(rows, self.collate.with_masker(self._masker(0)))

    def _metrics(self, outcome: Any, split: str) -> dict[str, float]:
        task, labels = self.table.task, outcome.label_ids
        if not task.labels_in_batch:
            labels = self.table.labels(split)
        return task.score(outcome.predictions, labels, self.metrics, self.table.groups(split))

    def _metrics_to_choose_by(self, outcome: Any) -> dict[str, float]:
        """Metrics of validation while training; one that is not defined is left out, and the worst where it chooses.

        A model that calls all rows alike has no correlation: NaN would win over every later checkpoint.
        """
        found = self._metrics(outcome, "validation")
        return {
            name: value if np.isfinite(value) else -1.0
            for name, value in found.items()
            if np.isfinite(value) or name == self.metrics[0]
        }

    def score(self, trainer: Trainer, split: str, folder: Path) -> tuple[dict[str, float], dict[str, Any]]:
        """Metrics of a split, and what else is to be said of it; predictions are written beside them.

        The latter holds `seconds`, `rows_per_second`, and `by_length` where the recipe has bins.
        """
        rows, task = self.rows_to_score(split), self.table.task
        trainer.compute_metrics = None
        began = time.perf_counter()
        outcome = trainer.predict(rows, metric_key_prefix=split)
        seconds = time.perf_counter() - began
        metrics = self._metrics(outcome, split) | {"loss": (outcome.metrics or {}).get(f"{split}_loss", np.nan)}
        metrics = {name: value for name, value in metrics.items() if np.isfinite(value)}
        if isinstance(self.collate, LanguageModelBatches):
            metrics |= {} if self.plan.learns_words else {"perplexity": float(np.exp(min(metrics["loss"], 100.0)))}
        if task.of_rows and is_main_process():
            labels = outcome.label_ids if task.labels_in_batch else self.table.labels(split)
            columns = {"label": list(np.asarray(labels)), **task.columns(outcome.predictions)}
            pq.write_table(pa.table(columns), folder / f"predictions-{split}.parquet")
            alone = task.one_class_only(outcome.predictions)
            if alone is not None:
                warnings.warn(
                    f"the model has collapsed: it calls every row of {split!r} {alone!r} (MCC 0). Try a lower "
                    "learning rate, a longer warm-up (training.warmup_steps) or another seed",
                    stacklevel=2,
                )
        facts: dict[str, Any] = {"seconds": seconds, "rows_per_second": len(rows) / seconds}
        if self.recipe.length_bins:
            facts["by_length"] = self._by_length(outcome, split)
        return metrics, facts

    def _by_length(self, outcome: Any, split: str) -> dict[str, dict[str, float]]:
        """Rows and metrics of each bin of lengths; metrics that are not defined for its rows are left out."""
        task, groups = self.table.task, self.table.groups(split)
        labels = outcome.label_ids if task.labels_in_batch else self.table.labels(split)
        found: dict[str, dict[str, float]] = {}
        for name, rows in length_bins(self.table.lengths(split), self.recipe.length_bins).items():
            chosen = task.part(outcome.predictions, labels, rows)
            with warnings.catch_warnings():  # of one class, of one value
                warnings.simplefilter("ignore")
                try:
                    scores = task.score(*chosen, self.metrics, None if groups is None else groups[rows])
                except ValueError:  # not a label among them
                    scores = {}
            found[name] = {"rows": len(rows), **{key: value for key, value in scores.items() if np.isfinite(value)}}
        return found

    def measure_baselines(self, split: str | None = None) -> tuple[str, dict[str, Any]]:
        """Split and scores of the shortcuts; none where there is nothing to compare with."""
        chosen = split or ("test" if "test" in self.table.splits else "validation")
        if chosen not in self.table.splits or not self.table.task.answers_rows:
            return chosen, {}
        recipe = self.recipe.baselines
        names = default_baselines(self.plan.encoder) if recipe.names is None else recipe.names
        if not names:
            return chosen, {}
        return chosen, measure_baselines(
            names, self.table, self.metrics, split=chosen, max_train_rows=recipe.max_train_rows
        )


def _is_learnt(encoder: Any) -> bool:
    """Whether its tokens, which do not overlap, were learnt from DNA by `seqformers learn-tokens`."""
    return bool((getattr(encoder, "init_kwargs", None) or {}).get("learnt")) and reading_of(encoder).is_nucleic


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one of dotted keys, so that a difference can be named."""
    out: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            out |= _flat(value, f"{prefix}{key}.")
        else:
            out[f"{prefix}{key}"] = value
    return out
