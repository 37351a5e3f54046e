"""Collators of runs: rows of a `Table` to the keyword arguments of a model's `forward`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from seqformers.datasets_scripts.genomes.pairs import Pairs
from seqformers.datasets_scripts.genomes.reads import Reads
from seqformers.modeling.dna.modeling_dna_heads import places_of_labels
from seqformers.training.collators import chance_of_lengths
from seqformers.training.tasks import IGNORED, Task

__all__ = ["Batches", "FixedMasks", "LanguageModelBatches", "RowByRow", "texts_of"]


class Batches:
    """Collator of labelled rows.

    Args:
        encoder: Tokenizer or processor.
        columns (`Mapping[str, str]`): Argument of the encoder -> column.
        task (`Task`): Makes labels of the label column.
        label (`str`, *optional*): Label column; None, or a column that rows lack, leaves labels out.
        max_length (`int`, *optional*): Longer inputs are truncated to so many tokens.
        accepted (`Collection[str]`, *optional*): Arguments of the model's `forward`; what else a processor returns
            (places of sites and the like) is left out. None passes everything on.
    """

    def __init__(
        self,
        encoder: Any,
        columns: Mapping[str, str],
        task: Task,
        label: str | None,
        *,
        max_length: int | None = None,
        accepted: Collection[str] | None = None,
    ):
        self.encoder = encoder
        self.columns = dict(columns)
        self.task = task
        self.label = label
        self.max_length = max_length
        self.accepted = accepted
        self.is_tokenizer = hasattr(encoder, "pad_token_id")

    def __call__(self, rows: Sequence[Mapping[str, Any]] | Reads) -> dict[str, Any]:
        """Tokenize and pad `rows`, and add their labels."""
        batch = dict(self.encode(rows))
        if isinstance(rows, Reads):
            batch["labels"] = torch.from_numpy(rows.labels)
        elif self.label is not None and self.task.labels_in_batch:
            batch["labels"] = self.task.labels(rows, self.label, batch)
        batch.pop("special_tokens_mask", None)
        if self.accepted is not None:
            batch = {name: value for name, value in batch.items() if name in self.accepted}
        return batch

    def encode(self, rows: Sequence[Mapping[str, Any]] | Reads) -> Any:
        """Tensors of the rows without labels."""
        inputs = {argument: texts_of(rows, column) for argument, column in self.columns.items()}
        if not self.is_tokenizer:
            return self.encoder(**inputs, return_tensors="pt")
        return self.encoder(
            **inputs,
            padding=True,
            truncation=self.max_length is not None,
            max_length=self.max_length,
            return_tensors="pt",
            return_special_tokens_mask=self.task.reads_residues,
        )


class LanguageModelBatches:
    """Collator of pretraining: tokenizes rows and has a masking collator hide some of them.

    Args:
        encoder: Tokenizer.
        columns (`Mapping[str, str]`): Argument of the tokenizer -> column; two columns are pairs.
        masker: Collator that takes the padded arrays of a tokenizer, masks and labels them.
        max_length (`int`, *optional*): Longer inputs are truncated to so many tokens.
        passed (`Sequence[str]`, *optional*): Columns of numbers handed to the model as they are (`same_family`).
        places (`bool`): Add `scored_places`, from which the model knows on any device how many labels a row has.
    """

    def __init__(
        self,
        encoder: Any,
        columns: Mapping[str, str],
        masker: Any,
        *,
        max_length: int | None = None,
        passed: Sequence[str] = (),
        places: bool = False,
    ):
        self.encoder = encoder
        self.columns = dict(columns)
        self.masker = masker
        self.max_length = max_length
        self.passed = tuple(passed)
        self.places = places

    def with_masker(self, masker: Any, *, places: bool = False) -> LanguageModelBatches:
        """The same batches with other masks."""
        return LanguageModelBatches(
            self.encoder, self.columns, masker, max_length=self.max_length, passed=self.passed, places=places
        )

    def __call__(self, rows: Sequence[Mapping[str, Any]] | Reads | Pairs) -> dict[str, Any]:
        """Mask `rows`; rows that carry `labels` already (fixed masks) are only padded."""
        if not isinstance(rows, Reads | Pairs) and "labels" in rows[0] and "input_ids" in rows[0]:
            return _pad(rows, self.encoder.pad_token_id)
        texts = [texts_of(rows, column) for column in self.columns.values()]
        arrays = self.encoder(
            *texts,
            padding=True,
            truncation=self.max_length is not None,
            max_length=self.max_length,
            return_tensors="np",
            **self._lengths_drawn(texts[0], rows),
        )
        names = ["input_ids", "attention_mask", *(["token_type_ids"] if len(self.columns) > 1 else [])]
        if isinstance(rows, Reads | Pairs):
            batch = dict(self.masker({name: arrays[name] for name in names}, rows.keys))
            if isinstance(rows, Pairs):
                batch["next_sentence_label"] = torch.from_numpy((~rows.same).astype(np.int64))
        else:
            numbers = {name: np.array([row[name] for row in rows]) for name in self.passed}
            batch = dict(self.masker({name: arrays[name] for name in names} | numbers))
        if self.places:
            batch["scored_places"] = places_of_labels(batch["labels"])
        return batch

    def _lengths_drawn(self, texts: Sequence[str], rows: Any) -> dict[str, Any]:
        """By what k-mers of several lengths are drawn anew for these texts; nothing for other tokenizers."""
        if not hasattr(self.encoder, "k_max") or not hasattr(self.masker, "chance_of_lengths"):
            return {}
        counts = self.encoder.num_tokens([len(text) for text in texts])
        return {"chance": self.masker.chance_of_lengths(counts, rows.keys if isinstance(rows, Reads) else None)}


class RowByRow:
    """A collator of transformers, which takes rows, as one of the padded arrays of a tokenizer.

    Args:
        collator: It hides tokens, or none.
        seed (`int`): Of the lengths of k-mers, where a tokenizer draws them.
    """

    def __init__(self, collator: Any, seed: int):
        self.collator, self.seed = collator, seed
        self._rng: np.random.Generator | None = None

    def __call__(self, arrays: Mapping[str, Any], keys: np.ndarray | None = None) -> dict[str, Any]:
        """Hand on the rows of `arrays`; `keys` is for those that draw."""
        return self.collator([dict(zip(arrays, values, strict=True)) for values in zip(*arrays.values(), strict=True)])

    def chance_of_lengths(self, counts: np.ndarray, keys: np.ndarray | None = None) -> np.ndarray:
        """As the function of this name, from `seed` and, where there are none, in place of `keys` from a generator."""
        if self._rng is None:
            worker = torch.utils.data.get_worker_info()
            self._rng = np.random.default_rng([self.seed, 0 if worker is None else worker.id + 1])
        return chance_of_lengths(counts, self.seed, self._rng if keys is None else keys)


class FixedMasks:
    """Validation rows of pretraining, masked once, so that every evaluation asks the same questions.

    Args:
        rows (`datasets.Dataset`): Rows of the table.
        batches (`LanguageModelBatches`): How they are tokenized and masked.
    """

    def __init__(self, rows: Any, batches: LanguageModelBatches):
        self._rows: list[dict[str, Any]] = []
        for start in range(0, len(rows), 256):
            chunk = [rows[index] for index in range(start, min(start + 256, len(rows)))]
            masked = {name: value.numpy() for name, value in batches(chunk).items()}
            lengths = masked.pop("attention_mask").sum(1).tolist()
            for index, n in enumerate(lengths):
                row = {name: value[index] for name, value in masked.items()}
                self._rows.append({name: v[:n].astype(np.int32) if v.ndim else v for name, v in row.items()})
        # Neighbours of like length: least padding, and the order does not change the mean.
        self._rows.sort(key=lambda row: len(row["input_ids"]))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._rows[index]


def texts_of(rows: Sequence[Mapping[str, Any]] | Reads | Pairs, column: str) -> list[str]:
    """Sequences of rows; of pairs the first reads are called `sequence`."""
    if isinstance(rows, Pairs):
        return (rows.first if column == "sequence" else rows.second).strings()
    return rows.strings() if isinstance(rows, Reads) else [row[column] for row in rows]


def _pad(rows: Sequence[Mapping[str, Any]], pad_token_id: int) -> dict[str, Any]:
    """Masked rows to a batch; single numbers become a column."""
    lengths = np.array([len(row["input_ids"]) for row in rows])
    real = np.arange(lengths.max()) < lengths[:, None]
    out = {"attention_mask": torch.from_numpy(real.astype(np.int64))}
    fill = {"input_ids": pad_token_id, "labels": IGNORED}
    for name, first in rows[0].items():
        if not first.ndim:
            out[name] = torch.as_tensor(np.array([row[name] for row in rows]))
            continue
        values = np.full(real.shape, fill.get(name, 0), np.int64)
        values[real] = np.concatenate([row[name] for row in rows])
        out[name] = torch.from_numpy(values)
    return out
