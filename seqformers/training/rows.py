"""Rows of a recipe's data set, checked once: which splits and columns there are and what the labels mean.

Sequences stay as text (memory-mapped Arrow) until their batch is made: the tokenizers here work on whole batches as
arrays and need a small fraction of a training step, so nothing is cached and no token is stored twice.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.compute as pc
from huggingface_hub import DatasetCard

from seqformers.datasets import load_dataset
from seqformers.datasets_scripts.genomes.arrays import GenomeArrays
from seqformers.training.fresh_reads import ReadSource
from seqformers.training.labels import join_columns
from seqformers.training.recipe import DataRecipe
from seqformers.training.tasks import Task, settle_task

__all__ = ["Table", "load_table", "warn_about_truncation"]


@dataclass
class Table:
    """The splits of a run with their meaning settled.

    Args:
        splits (`dict`): `train`, `validation`, `test` (those there are) -> `datasets.Dataset`.
        columns (`dict`): Argument of the tokenizer or processor -> column.
        label (`str`, *optional*): Label column.
        task (`Task`): What the labels are.
        group (`str`, *optional*): Column that metrics within groups compare rows of.
        facts (`dict`): What the card says of the data.
        reads (`ReadSource`, *optional*): Where train rows are drawn from anew in every epoch; `train` in `splits`
            then holds those of the first.
    """

    splits: dict[str, Any]
    columns: dict[str, str]
    label: str | None
    task: Task
    group: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    reads: ReadSource | None = None

    def labels(self, split: str) -> np.ndarray:
        """Labels of a split: class numbers (int64) or numbers (float64), `(rows,)`."""
        assert self.label is not None
        return np.asarray(self.splits[split].with_format("numpy")[self.label][:], dtype=self.task.dtype)

    def groups(self, split: str) -> np.ndarray | None:
        """The group of each row of a split, `(rows,)`."""
        return None if self.group is None else np.asarray(self.splits[split][self.group][:])

    @property
    def sequences_are_text(self) -> bool:
        """Whether the first input column holds strings, whose lengths then mean something."""
        feature = next(iter(self.splits.values())).features[next(iter(self.columns.values()))]
        return getattr(feature, "dtype", None) in ("string", "large_string")

    def sequences(self, split: str) -> list[list[str]]:
        """The text columns of a split, each a list of strings."""
        found = [self.splits[split][column][:] for column in dict.fromkeys(self.columns.values())]
        return [column for column in found if len(column) and isinstance(column[0], str)]

    def lengths(self, split: str) -> np.ndarray:
        """Letters of the first text column, `(rows,)`."""
        rows = self.splits[split]
        column = next(iter(self.columns.values()))
        values = rows.with_format("arrow")[column][:] if rows._indices is not None else rows.data.column(column)
        return np.asarray(pc.utf8_length(values)).astype(np.int64)


def load_table(
    recipe: DataRecipe, head: str | None = None, *, labelled: bool = True, names: list[str] | None = None
) -> Table:
    """Load the splits a recipe names and check that they can be used.

    Args:
        recipe (`DataRecipe`): Which data.
        head (`str`, *optional*): Model class or Auto class the rows are for.
        labelled (`bool`): Whether labels are needed.
        names (`list[str]`, *optional*): Classes of a trained model in the order of its outputs; labels are read as
            these, and others are refused.

    Returns:
        `Table`

    Raises:
        FileNotFoundError: the folder or file does not exist.
        ValueError: a split or column is missing, a split is empty, a label is missing, or there is one class only.
    """
    source = _read_source(recipe)
    if source is not None:
        splits, facts = source.table(recipe.splits), _facts_of_genomes(recipe)
    else:
        raw, facts = _load(recipe)
        splits = _choose_splits(raw, recipe)
    several = recipe.label if labelled and isinstance(recipe.label, list) else []
    if several:
        _check_columns(splits, several, recipe)
        splits = join_columns(splits, several)
        names = names or several
    label = "labels" if several else recipe.label if labelled else None
    group = recipe.group or recipe.columns.get("mirna")
    assert not isinstance(label, list)
    wanted = [column for column in (label, group) if column is not None]
    _check_columns(splits, [*recipe.columns.values(), *wanted], recipe)
    task, splits = settle_task(splits, label, head=head, known=names)
    columns = recipe.columns if source is None or source.columns is None else source.columns
    facts |= {
        "splits": {name: len(rows) for name, rows in splits.items()},
        "fingerprint": "-".join(rows._fingerprint for rows in splits.values()),
    }
    if source is not None:
        facts["splits"]["train"] = source.rows["per_epoch"]
    return Table(splits, dict(columns), label, task, group, facts, source)


def _read_source(recipe: DataRecipe) -> ReadSource | None:
    """The genomes that a recipe draws reads from; None where its rows are stored."""
    if recipe.reads:
        assert recipe.path is not None
        if not Path(recipe.path).exists():
            raise FileNotFoundError(f"no such data folder: {recipe.path}")
        return ReadSource.of(recipe.path, recipe.reads, recipe.splits["train"] or "train")
    if recipe.path is not None and GenomeArrays.is_built(recipe.path):
        raise ValueError(
            f"{recipe.path} holds genomes, not rows; say what reads to draw, such as data.reads={{length: 150}}"
        )
    return None


def _given_facts(recipe: DataRecipe) -> dict[str, Any]:
    known = ("name", "citation", "url", "hub_id", "description")
    given = {name: getattr(recipe, name) for name in known if getattr(recipe, name)}
    return given | ({"licence": recipe.license} if recipe.license else {})


def _facts_of_genomes(recipe: DataRecipe) -> dict[str, Any]:
    path = Path(str(recipe.path))
    return {"name": path.stem, "config": None, **_facts_of_folder(path), **_given_facts(recipe)}


def _load(recipe: DataRecipe) -> tuple[Mapping[str, Any], dict[str, Any]]:
    datasets.disable_progress_bars()
    given = _given_facts(recipe)
    if recipe.dataset is not None:
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
                labels = recipe.label if isinstance(recipe.label, list) else [recipe.label]
                key = "data.label" if column in labels else "data.columns"
                key = "data.group" if column == recipe.group else key
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
