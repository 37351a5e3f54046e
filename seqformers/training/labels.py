"""What a label column says: class names become numbers, numbers stay, and rows without a label are named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import datasets
import numpy as np

__all__ = ["join_columns", "settle_classes", "settle_numbers", "settle_residues", "settle_several"]

Splits = Mapping[str, Any]


def settle_numbers(splits: Splits, label: str) -> None:
    """Refuse a split with a label that is NaN or infinite."""
    for split, rows in splits.items():
        values = np.asarray(rows.with_format("numpy")[label][:], dtype=np.float64)
        if not np.isfinite(values).all():
            raise ValueError(
                f"row {int(np.argmin(np.isfinite(values)))} of the split {split!r} has no finite label in {label!r}"
            )


def settle_classes(splits: Splits, label: str, known: list[str] | None) -> tuple[dict[str, Any], list[str]]:
    """Labels as class numbers, and the names of the classes.

    Args:
        splits (`Mapping`): Split -> rows.
        label (`str`): Column of class names, whole numbers, or `ClassLabel`s.
        known (`list[str]`, *optional*): Classes of a trained model in the order of its outputs.
    """
    feature = next(iter(splits.values())).features[label]
    dtype = getattr(feature, "dtype", "")
    settled = dict(splits)
    if isinstance(feature, datasets.ClassLabel):
        if known is not None and feature.names != known and set(feature.names) <= set(known):
            settled = _by_name(splits, label, known, feature.names)
    elif dtype.startswith(("int", "uint", "bool")):
        settled = _by_number(splits, label, known)
    elif "string" in dtype:
        found = sorted({value for rows in splits.values() for value in rows.unique(label)})
        settled = _by_name(splits, label, known or found)
    else:
        raise ValueError(f"the column {label!r} holds {feature}; labels must be class names, whole numbers or floats")
    names = list(next(iter(settled.values())).features[label].names)
    _check_classes(settled, label, names)
    return settled, names


def join_columns(splits: Splits, columns: list[str]) -> dict[str, Any]:
    """The splits with a column `labels` that lists, for each row, which of the columns of 0 and 1 hold 1."""
    joined = {}
    for split, rows in splits.items():
        values = np.stack([np.asarray(rows[column][:], dtype=float) for column in columns], axis=1)
        wrong = ~np.isin(values, (0, 1)).all(axis=1)
        if wrong.any():
            raise ValueError(
                f"row {int(wrong.argmax())} of the split {split!r} holds {values[wrong.argmax()].tolist()} in the "
                f"columns {', '.join(columns)}; several labels are 0 or 1 each"
            )
        names = [[columns[index] for index in np.flatnonzero(row)] for row in values]
        rows = rows.remove_columns([name for name in ("labels",) if name in rows.column_names])
        joined[split] = rows.add_column("labels", names, feature=datasets.List(datasets.Value("string")))
    return joined


def settle_several(splits: Splits, label: str, known: list[str] | None) -> tuple[dict[str, Any], list[str]]:
    """Lists of labels as lists of 0 and 1, and the names of the labels.

    Args:
        splits (`Mapping`): Split -> rows.
        label (`str`): Column of lists: names of the labels a row has, or 0 or 1 for each label.
        known (`list[str]`, *optional*): Labels of a trained model in the order of its outputs.
    """
    feature = next(iter(splits.values())).features[label].feature
    values = {split: rows[label][:] for split, rows in splits.items()}
    if isinstance(feature, datasets.ClassLabel):
        values = {split: [[feature.names[i] for i in row] for row in rows] for split, rows in values.items()}
    flat = [(split, index, row) for split, rows in values.items() for index, row in enumerate(rows)]
    if all(isinstance(entry, str) for _, _, row in flat for entry in row):
        names = known or sorted({entry for _, _, row in flat for entry in row})
        place = {name: index for index, name in enumerate(names)}
        strange = next(((s, entry) for s, _, row in flat for entry in row if entry not in place), None)
        if strange is not None:
            raise ValueError(f"the split {strange[0]!r} holds the label {strange[1]!r}; known: {', '.join(names)}")
        hot = {split: [[float(name in row) for name in names] for row in rows] for split, rows in values.items()}
    else:
        width = len(known) if known else len(flat[0][2])
        for split, index, row in flat:
            if len(row) != width or not set(row) <= {0, 1}:
                raise ValueError(
                    f"row {index} of the split {split!r} holds {row} in {label!r}; several labels are given as their "
                    f"names, or as {width} numbers, 0 or 1 each"
                )
        names = known or [str(index) for index in range(width)]
        hot = {split: [[float(entry) for entry in row] for row in rows] for split, rows in values.items()}
    kind = datasets.List(datasets.Value("float32"))
    return {
        split: rows.remove_columns(label).add_column(label, hot[split], feature=kind) for split, rows in splits.items()
    }, list(names)


def settle_residues(splits: Splits, label: str, known: list[str] | None) -> list[str]:
    """Names of the classes of residues: the letters of strings, or those of lists of class numbers."""
    feature = next(iter(splits.values())).features[label]
    if getattr(feature, "dtype", None) in ("string", "large_string"):
        return known or sorted({letter for rows in splits.values() for value in rows[label] for letter in set(value)})
    inner = getattr(feature, "feature", None)
    if isinstance(inner, datasets.ClassLabel):
        return list(inner.names)
    most = max(max(value, default=0) for rows in splits.values() for value in rows[label])
    return known or [str(number) for number in range(int(most) + 1)]


def _by_number(splits: Splits, label: str, known: list[str] | None) -> dict[str, Any]:
    """Whole numbers as classes; without known names the class is called by its number."""
    found = sorted({int(value) for rows in splits.values() for value in rows.unique(label)})
    if found[0] < 0:
        raise ValueError(f"the column {label!r} holds the class number {found[0]}; classes are numbered from 0")
    if known is not None and found[-1] >= len(known):
        raise ValueError(f"the column {label!r} holds the class number {found[-1]}; the model knows {known}")
    names = known or [str(number) for number in range(found[-1] + 1)]
    return {split: _recode(rows, label, list(map(int, rows[label][:])), names) for split, rows in splits.items()}


def _by_name(splits: Splits, label: str, names: list[str], numbered: list[str] | None = None) -> dict[str, Any]:
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
    rows = rows.remove_columns(label).add_column(label, numbers)
    return rows.cast_column(label, datasets.ClassLabel(names=names))


def _check_classes(splits: Splits, label: str, names: list[str]) -> None:
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
