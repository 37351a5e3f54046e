"""Rows of a recipe's data set to batches: columns and labels checked once, sequences tokenized batch by batch.

Sequences stay as text (memory-mapped Arrow) until their batch is made: the tokenizers here work on whole batches as
arrays and need a small fraction of a training step, so nothing is cached and no token is stored twice.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seqformers.training.recipe import DataRecipe

__all__ = ["Batches", "FixedMasks", "LanguageModelBatches", "Table", "load_table"]

_IGNORED = -100


@dataclass
class Table:
    """The splits of a run with their meaning settled.

    Args:
        splits (`dict`): `train`, `validation`, `test` (those there are) -> `datasets.Dataset`.
        columns (`dict`): Argument of the tokenizer or processor -> column.
        label (`str`, *optional*): Label column.
        kind (`str`): `classification`, `regression`, `tokens` (one label a residue), `contacts` (one a pair of
            residues) or `none`.
        names (`list[str]`): Class names in the order of their numbers; empty for regression.
        facts (`dict`): What the card says of the data.
    """

    splits: dict[str, Any]
    columns: dict[str, str]
    label: str | None
    kind: str
    names: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def labels(self, split: str) -> np.ndarray:
        """Labels of a split: class numbers (int64) or numbers (float64), `(rows,)`."""
        assert self.label is not None
        values = self.splits[split].with_format("numpy")[self.label][:]
        return np.asarray(values, dtype=np.float64 if self.kind == "regression" else np.int64)

    @property
    def sequences_are_text(self) -> bool:
        """Whether the first input column holds strings, whose lengths then mean something."""
        feature = next(iter(self.splits.values())).features[next(iter(self.columns.values()))]
        return getattr(feature, "dtype", None) in ("string", "large_string")

    def sequences(self, split: str) -> list[list[str]]:
        """The text columns of a split, each a list of strings."""
        found = [self.splits[split][column][:] for column in dict.fromkeys(self.columns.values())]
        return [column for column in found if len(column) and isinstance(column[0], str)]


def load_table(
    recipe: DataRecipe, *, labelled: bool, kind: str | None = None, names: list[str] | None = None
) -> Table:
    """Load the splits a recipe names and check that they can be used.

    Args:
        recipe (`DataRecipe`): Which data.
        labelled (`bool`): Whether labels are needed.
        kind (`str`, *optional*): `"tokens"` where every residue has a label, `"contacts"` where every pair has one,
            by the coordinates in the label column; by default the label column tells classes from numbers.
        names (`list[str]`, *optional*): Classes of a trained model in the order of its outputs; labels are read as
            these, and others are refused.

    Returns:
        `Table`

    Raises:
        FileNotFoundError: the folder or file does not exist.
        ValueError: a split or column is missing, a split is empty, a label is missing, or there is one class only.
    """
    raw, facts = _load(recipe)
    splits = _choose_splits(raw, recipe)
    if not labelled:
        columns = recipe.columns
        _check_columns(splits, list(columns.values()), recipe)
        return Table(splits, dict(columns), None, "none", facts=_with_rows(facts, splits))
    assert recipe.label is not None
    _check_columns(splits, [*recipe.columns.values(), recipe.label], recipe)
    splits, kind, found = _settle_labels(splits, recipe.label, kind=kind, known=names)
    if kind != "regression" and names is not None and found != names:
        raise ValueError(f"the classes of the data are {found}, those of the model are {names}; they must be the same")
    return Table(splits, dict(recipe.columns), recipe.label, kind, found, _with_rows(facts, splits))


def _load(recipe: DataRecipe) -> tuple[Mapping[str, Any], dict[str, Any]]:
    import datasets

    datasets.disable_progress_bars()
    given = {
        name: getattr(recipe, name)
        for name in ("name", "licence", "citation", "url", "hub_id", "description")
        if getattr(recipe, name)
    }
    if recipe.dataset is not None:
        from seqformers.datasets import load_dataset

        raw = load_dataset(recipe.dataset, name=recipe.config, data_dir=recipe.data_dir, **recipe.options)
        info = next(iter(raw.values())).info
        facts = {"name": recipe.dataset, "config": recipe.config, **_facts_of(info)}
        return raw, facts | given
    assert recipe.path is not None
    path = Path(recipe.path)
    if not path.exists():
        raise FileNotFoundError(f"no such data folder or file: {path}")
    if path.is_file():
        raw = datasets.load_dataset("parquet", data_files={"train": str(path)})
    else:
        try:
            raw = datasets.load_dataset(str(path.resolve()), name=recipe.config)
        except (datasets.exceptions.DatasetNotFoundError, FileNotFoundError) as error:
            wanted = "expected Parquet as `seqformers build` writes it"
            raise ValueError(f"{path} holds no data files that can be read; {wanted} ({error})") from error
        except ValueError as error:
            raise ValueError(f"the data in {path} cannot be read, or a split is empty: {error}") from error
    info = next(iter(raw.values())).info
    return raw, {"name": path.stem, "config": recipe.config, **_facts_of(info), **_facts_of_folder(path), **given}


def _facts_of(info: Any) -> dict[str, Any]:
    facts = {"licence": info.license, "citation": info.citation, "url": info.homepage, "description": info.description}
    return {key: value for key, value in facts.items() if value}


def _facts_of_folder(path: Path) -> dict[str, Any]:
    """What the card of a built data set says of it."""
    if not (path / "README.md").is_file():
        return {}
    import json

    from huggingface_hub import DatasetCard

    facts: dict[str, Any] = {}
    metadata = DatasetCard.load(path / "README.md", ignore_metadata_errors=True).data.to_dict()
    for key, source in (("licence", "license"), ("name", "pretty_name")):
        value = metadata.get(source)
        if value:
            facts[key] = ", ".join(value) if isinstance(value, list) else str(value)
    if (path / "build.json").is_file():
        build = json.loads((path / "build.json").read_text(encoding="utf-8"))
        facts |= {"name": build.get("dataset") or path.stem, "config": build.get("config")}
        facts["description"] = f"Built with `{build['command']}`." if build.get("command") else None
    return {key: value for key, value in facts.items() if value}


def _with_rows(facts: dict[str, Any], splits: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **facts,
        "splits": {name: len(rows) for name, rows in splits.items()},
        "fingerprint": "-".join(rows._fingerprint for rows in splits.values()),
    }


def _choose_splits(raw: Mapping[str, Any], recipe: DataRecipe) -> dict[str, Any]:
    splits = {}
    for role, name in recipe.splits.items():
        if name is None:
            continue
        if name not in raw:
            if role == "train":
                raise ValueError(f"the data has no split {name!r}; there are: {', '.join(raw)} (set data.splits)")
            continue
        rows = raw[name]
        if role in recipe.limits and len(rows) > recipe.limits[role]:
            rows = rows.shuffle(seed=0).select(range(recipe.limits[role]))
        if not len(rows):
            raise ValueError(f"the split {name!r} of the data is empty")
        splits[role] = rows
    if not splits:
        raise ValueError(f"none of the splits {list(recipe.splits.values())} is in the data; there are: {list(raw)}")
    return splits


def _check_columns(splits: Mapping[str, Any], columns: Sequence[str], recipe: DataRecipe) -> None:
    for split, rows in splits.items():
        for column in columns:
            if column not in rows.column_names:
                key = "data.label" if column == recipe.label else "data.columns"
                raise ValueError(
                    f"the split {split!r} has no column {column!r}; there are: {', '.join(rows.column_names)} "
                    f"(set {key})"
                )
            nulls = rows.data.column(column).null_count if rows._indices is None else _nulls(rows, column)
            if nulls:
                where = _first_null(rows, column)
                what = "label" if column == recipe.label else "value"
                raise ValueError(
                    f"row {where} of the split {split!r} has no {what} in the column {column!r} ({nulls} such rows); "
                    "remove these rows or fill them in"
                )


def _nulls(rows: Any, column: str) -> int:
    return sum(value is None for value in rows[column])


def _first_null(rows: Any, column: str) -> int:
    return next(index for index, value in enumerate(rows[column]) if value is None)


def _settle_labels(
    splits: dict[str, Any], label: str, *, kind: str | None, known: list[str] | None
) -> tuple[dict[str, Any], str, list[str]]:
    """Labels as class numbers or floats, and the names of the classes."""
    import datasets

    if kind == "contacts":
        return splits, kind, ["no contact", "contact"]
    feature = next(iter(splits.values())).features[label]
    if kind == "tokens":
        return _settle_token_labels(splits, label, feature, known)
    dtype = getattr(feature, "dtype", "")
    if not isinstance(feature, datasets.ClassLabel) and dtype.startswith("float"):
        _refuse_not_finite(splits, label)
        return splits, "regression", []
    if isinstance(feature, datasets.ClassLabel):
        if known is not None and feature.names != known and set(feature.names) <= set(known):
            splits = _by_name(splits, label, known, feature.names)
    elif dtype.startswith(("int", "uint", "bool")):
        splits = _by_number(splits, label, known)
    elif "string" in dtype:
        splits = _by_name(splits, label, known or sorted({v for rows in splits.values() for v in rows.unique(label)}))
    else:
        raise ValueError(f"the column {label!r} holds {feature}; labels must be class names, whole numbers or floats")
    names = list(next(iter(splits.values())).features[label].names)
    _check_classes(splits, label, names)
    return splits, "classification", names


def _by_number(splits: dict[str, Any], label: str, known: list[str] | None) -> dict[str, Any]:
    """Whole numbers as classes; without known names the class is called by its number."""
    found = sorted({int(value) for rows in splits.values() for value in rows.unique(label)})
    if found[0] < 0:
        raise ValueError(f"the column {label!r} holds the class number {found[0]}; classes are numbered from 0")
    if known is not None and found[-1] >= len(known):
        raise ValueError(f"the column {label!r} holds the class number {found[-1]}; the model knows {known}")
    names = known or [str(number) for number in range(found[-1] + 1)]
    return {split: _recode(rows, label, list(map(int, rows[label][:])), names) for split, rows in splits.items()}


def _by_name(
    splits: dict[str, Any], label: str, names: list[str], numbered: list[str] | None = None
) -> dict[str, Any]:
    """Class names as numbers; `numbered` gives the names behind numbers that are there already."""
    place = {name: index for index, name in enumerate(names)}
    out = {}
    for split, rows in splits.items():
        values = rows[label][:] if numbered is None else [numbered[number] for number in rows[label][:]]
        strange = next((value for value in values if value not in place), None)
        if strange is not None:
            raise ValueError(f"the split {split!r} holds the class {strange!r}; known: {', '.join(names)}")
        out[split] = _recode(rows, label, [place[value] for value in values], names)
    return out


def _recode(rows: Any, label: str, numbers: list[int], names: list[str]) -> Any:
    import datasets

    rows = rows.remove_columns(label).add_column(label, numbers)
    return rows.cast_column(label, datasets.ClassLabel(names=names))


def _check_classes(splits: Mapping[str, Any], label: str, names: list[str]) -> None:
    for split, rows in splits.items():
        numbers = np.asarray(rows.with_format("numpy")[label][:])
        if (numbers < 0).any():
            raise ValueError(
                f"row {int(np.argmax(numbers < 0))} of the split {split!r} has no label (class number "
                f"{int(numbers.min())}); remove such rows or label them"
            )
        found = np.unique(numbers)
        if len(found) == 1:
            raise ValueError(
                f"the split {split!r} holds one class only ({names[int(found[0])]!r}); a classifier needs at least "
                "two. Check data.label, and that the data are not sorted and cut"
            )


def _refuse_not_finite(splits: Mapping[str, Any], label: str) -> None:
    for split, rows in splits.items():
        values = np.asarray(rows.with_format("numpy")[label][:], dtype=np.float64)
        if not np.isfinite(values).all():
            raise ValueError(
                f"row {int(np.argmin(np.isfinite(values)))} of the split {split!r} has no finite label in {label!r}"
            )


def _settle_token_labels(
    splits: dict[str, Any], label: str, feature: Any, known: list[str] | None
) -> tuple[dict[str, Any], str, list[str]]:
    """One label a residue: a string of one-letter classes, or a list of class numbers."""
    import datasets

    if getattr(feature, "dtype", None) in ("string", "large_string"):
        names = known or sorted({letter for rows in splits.values() for value in rows[label] for letter in set(value)})
        return splits, "tokens", names
    inner = getattr(feature, "feature", None)
    if isinstance(inner, datasets.ClassLabel):
        return splits, "tokens", list(inner.names)
    most = max(max(value, default=0) for rows in splits.values() for value in rows[label])
    return splits, "tokens", known or [str(number) for number in range(int(most) + 1)]


class Batches:
    """Collator: rows of a `Table` to the keyword arguments of a model's `forward`.

    Args:
        encoder: Tokenizer or processor.
        table (`Table`): What the columns mean.
        max_length (`int`, *optional*): Longer inputs are truncated to so many tokens.
        accepted (`Collection[str]`, *optional*): Arguments of the model's `forward`; what else a processor returns
            (places of sites and the like) is left out. None passes everything on.
    """

    def __init__(
        self, encoder: Any, table: Table, *, max_length: int | None = None, accepted: Collection[str] | None = None
    ):
        self.encoder = encoder
        self.accepted = accepted
        self.columns = table.columns
        self.label = table.label
        self.kind = table.kind
        self.max_length = max_length
        self.numbers = {name: index for index, name in enumerate(table.names)}
        self.is_tokenizer = hasattr(encoder, "pad_token_id")

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Tokenize and pad `rows`; `labels` are added where the table has them."""
        import torch

        batch = dict(self.encode(rows))
        if self.label is not None and self.kind != "none":
            values = [row[self.label] for row in rows]
            if self.kind == "tokens":
                batch["labels"] = self._token_labels(values, batch)
            elif self.kind == "contacts":
                masks = [row.get("valid_mask") for row in rows]
                batch["labels"] = self._contact_labels(values, masks, batch)
            else:
                kind = torch.float32 if self.kind == "regression" else torch.int64
                batch["labels"] = torch.as_tensor(np.asarray(values), dtype=kind)
        batch.pop("special_tokens_mask", None)
        if self.accepted is not None:
            batch = {name: value for name, value in batch.items() if name in self.accepted}
        return batch

    def encode(self, rows: Sequence[Mapping[str, Any]]) -> Any:
        """Tensors of the rows without labels."""
        inputs = {argument: [row[column] for row in rows] for argument, column in self.columns.items()}
        if not self.is_tokenizer:
            return self.encoder(**inputs, return_tensors="pt")
        return self.encoder(
            **inputs,
            padding=True,
            truncation=self.max_length is not None,
            max_length=self.max_length,
            return_tensors="pt",
            return_special_tokens_mask=self.kind in ("tokens", "contacts"),
        )

    def _token_labels(self, values: Sequence[Any], batch: Mapping[str, Any]) -> Any:
        """Labels at the residues' tokens, -100 at special tokens and padding; `(rows, length)`."""
        import torch

        places = (batch["special_tokens_mask"] == 0) & (batch["attention_mask"] != 0)
        labels = torch.full(places.shape, _IGNORED, dtype=torch.int64)
        for index, value in enumerate(values):
            numbers = [self.numbers[letter] for letter in value] if isinstance(value, str) else list(value)
            room = int(places[index].sum())
            if len(numbers) < room:
                raise ValueError(f"a row has {room} residues but {len(numbers)} labels in {self.label!r}")
            labels[index, places[index]] = torch.as_tensor(numbers[:room])
        return labels

    def _contact_labels(self, values: Sequence[Any], masks: Sequence[Any], batch: Mapping[str, Any]) -> Any:
        """Contact maps `(rows, residues, residues)`: -1 where a pair does not count, -100 at padding.

        Two numbers, so that the length of a protein, which the metrics need, can be read off its map.
        """
        import torch

        from seqformers.datasets_scripts.tape.tape import contact_labels

        sizes = ((batch["special_tokens_mask"] == 0) & (batch["attention_mask"] != 0)).sum(1).tolist()
        labels = torch.full((len(values), max(sizes), max(sizes)), _IGNORED, dtype=torch.int64)
        for index, (points, mask, size) in enumerate(zip(values, masks, sizes, strict=True)):
            if len(points) < size:
                raise ValueError(f"a row has {size} residues but {len(points)} coordinates in {self.label!r}")
            mask = None if mask is None else mask[:size]
            labels[index, :size, :size] = torch.from_numpy(contact_labels(points[:size], mask, ignore_index=-1))
        return labels


class LanguageModelBatches(Batches):
    """Collator of pretraining: tokenizes rows and hands them to a masking collator.

    Args:
        encoder: Tokenizer.
        table (`Table`): What the columns mean; two columns are pairs.
        masker: Collator that takes a list of dicts and pads, masks and labels.
        max_length (`int`, *optional*): Longer inputs are truncated to so many tokens.
        passed (`Sequence[str]`, *optional*): Columns of numbers handed to the model as they are (`same_family`).
    """

    def __init__(
        self,
        encoder: Any,
        table: Table,
        masker: Any,
        *,
        max_length: int | None = None,
        passed: Sequence[str] = (),
    ):
        super().__init__(encoder, table, max_length=max_length)
        self.masker = masker
        self.passed = tuple(passed)

    def with_masker(self, masker: Any) -> LanguageModelBatches:
        """The same batches with other masks."""
        table = Table({}, self.columns, None, "none")
        return LanguageModelBatches(self.encoder, table, masker, max_length=self.max_length, passed=self.passed)

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Mask `rows`; rows that carry `labels` already (fixed masks) are only padded."""
        if "labels" in rows[0] and "input_ids" in rows[0]:
            return _pad(rows, self.encoder.pad_token_id)
        return dict(self.masker(self.features(rows)))

    def features(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Token ids of each row, unpadded, and the numbers passed on."""
        batch = self.encoder(
            *([row[column] for row in rows] for column in self.columns.values()),
            padding=True,
            truncation=self.max_length is not None,
            max_length=self.max_length,
            return_tensors="np",
        )
        lengths = batch["attention_mask"].sum(1)
        names = ["input_ids", *(["token_type_ids"] if len(self.columns) > 1 else [])]
        return [
            {name: batch[name][index, :n] for name in names} | {name: row[name] for name in self.passed}
            for index, (row, n) in enumerate(zip(rows, lengths, strict=True))
        ]


class FixedMasks:
    """Validation rows of pretraining, masked once, so that every evaluation asks the same questions.

    Args:
        rows (`datasets.Dataset`): Rows of the table.
        batches (`LanguageModelBatches`): How they are tokenized.
        masker: Masking collator with its own seed.
    """

    def __init__(self, rows: Any, batches: LanguageModelBatches, masker: Any):
        self._rows: list[dict[str, Any]] = []
        for start in range(0, len(rows), 256):
            chunk = [rows[index] for index in range(start, min(start + 256, len(rows)))]
            masked = {name: value.numpy() for name, value in masker(batches.features(chunk)).items()}
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


def _pad(rows: Sequence[Mapping[str, Any]], pad_token_id: int) -> dict[str, Any]:
    """Masked rows to a batch; single numbers become a column."""
    import torch

    lengths = np.array([len(row["input_ids"]) for row in rows])
    real = np.arange(lengths.max()) < lengths[:, None]
    out = {"attention_mask": torch.from_numpy(real.astype(np.int64))}
    fill = {"input_ids": pad_token_id, "labels": _IGNORED}
    for name, first in rows[0].items():
        if not first.ndim:
            out[name] = torch.as_tensor(np.array([row[name] for row in rows]))
            continue
        values = np.full(real.shape, fill.get(name, 0), np.int64)
        values[real] = np.concatenate([row[name] for row in rows])
        out[name] = torch.from_numpy(values)
    return out


def lengths_of(table: Table, split: str) -> np.ndarray:
    """Letters of the first text column, `(rows,)`."""
    import pyarrow.compute as pc

    rows = table.splits[split]
    column = next(iter(table.columns.values()))
    values = rows.with_format("arrow")[column][:] if rows._indices is not None else rows.data.column(column)
    return np.asarray(pc.utf8_length(values)).astype(np.int64)


def warn_about_truncation(encoder: Any, lengths: np.ndarray, max_length: int | None, split: str) -> int:
    """Count rows that `max_length` cuts, and warn when there are any."""
    if max_length is None or not hasattr(encoder, "num_special_tokens_to_add"):
        return 0
    tokens = encoder.num_tokens(lengths) if hasattr(encoder, "num_tokens") else lengths
    cut = int((tokens + encoder.num_special_tokens_to_add() > max_length).sum())
    if cut:
        warnings.warn(
            f"{cut} of {len(lengths)} rows of the split {split!r} are longer than {max_length} tokens and are "
            "truncated (tokenizer.max_length; a longer context needs model.config.max_position_embeddings)",
            stacklevel=2,
        )
    return cut
