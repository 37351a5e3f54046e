"""Check protein records before they become rows: letters, labels, lengths, each error naming the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["IGNORED", "clean_protein", "first_present", "number_of", "residue_labels"]

IGNORED = -100
"""Label of a residue that counts in no loss and no metric."""

_GAPS = str.maketrans("", "", "-.")


def clean_protein(sequence: Any, record: str, *, remove_gaps: bool = False, strip_stop: bool = True) -> str:
    """Return the sequence in upper case, or raise `ValueError` naming record, position and fix.

    Args:
        sequence (`str` or `bytes`): Residues in one-letter code; all 26 letters pass (what a letter means is the
            tokenizer's business).
        record (`str`): Name used in errors.
        remove_gaps (`bool`, *optional*, defaults to `False`): Drop `-` and `.` of aligned sequences.
        strip_stop (`bool`, *optional*, defaults to `True`): Drop one `*` at the end (translated stop codon).

    Raises:
        ValueError: not text, nothing left, or a character that is no letter.
    """
    if isinstance(sequence, bytes):
        sequence = sequence.decode("ascii", errors="replace")
    if not isinstance(sequence, str):
        raise ValueError(f"{record}: no sequence (found {type(sequence).__name__})")
    sequence = "".join(sequence.split()).upper()
    if remove_gaps:
        sequence = sequence.translate(_GAPS)
    if strip_stop and sequence.endswith("*"):
        sequence = sequence[:-1]
    if not sequence:
        raise ValueError(f"{record}: the sequence is empty; drop the record")
    if not (sequence.isascii() and sequence.isalpha()):
        position = next(i for i, letter in enumerate(sequence) if not (letter.isascii() and letter.isalpha()))
        letter = sequence[position]
        fix = "pass remove_gaps=True for aligned sequences" if letter in "-." else "remove it or use X"
        raise ValueError(f"{record}: {letter!r} at position {position + 1} is no residue; {fix}")
    return sequence


def residue_labels(
    values: Any, states: Mapping[str, int] | int, length: int, record: str, *, known: Any = None
) -> list[int]:
    """One class id a residue, [`IGNORED`] where there is no annotation.

    Args:
        values (`str` or `Sequence[int]`): One letter or one class id a residue. A negative id means no annotation.
        states (`Mapping[str, int]` or `int`): Letter -> class id ([`IGNORED`] allowed), or the number of classes.
        length (`int`): Residues of the sequence.
        record (`str`): Name used in errors.
        known (`str` of 0/1, `Sequence[bool]`, *optional*): Which residues are resolved; the others are ignored.

    Raises:
        ValueError: another number of labels than residues, or a label that is not known.
    """
    if len(values) != length:
        raise ValueError(f"{record}: {len(values)} labels for {length} residues; they must be equally many")
    if isinstance(values, str):
        if not isinstance(states, Mapping):
            states = {str(index): index for index in range(states)}
        wrong = set(values) - set(states)
        if wrong:
            position = next(i for i, letter in enumerate(values) if letter in wrong)
            raise ValueError(
                f"{record}: unknown label {values[position]!r} at position {position + 1}; known: {''.join(states)}"
            )
        labels = np.fromiter(map(states.__getitem__, values), dtype=np.int64, count=length)
    else:
        labels = np.asarray(values, dtype=np.int64)
        count = states if isinstance(states, int) else len(states)
        if labels.size and labels.max() >= count:
            position = int(labels.argmax())
            raise ValueError(
                f"{record}: label {labels[position]} at position {position + 1}; there are {count} classes"
            )
        labels = np.where(labels < 0, IGNORED, labels)
    if known is not None:
        labels = np.where(_mask(known, length, record), labels, IGNORED)
    return labels.tolist()


def _mask(known: Any, length: int, record: str) -> np.ndarray:
    if len(known) != length:
        raise ValueError(f"{record}: a mask of {len(known)} for {length} residues; they must be equally long")
    if isinstance(known, str):
        return np.frombuffer(known.encode("ascii"), dtype=np.uint8) == ord("1")
    return np.asarray(known).astype(bool)


def number_of(value: Any, record: str, name: str) -> float:
    """A number stored as one, as text, or as a list or array of one; `ValueError` naming record and field otherwise.

    Examples:
        >>> number_of([2.5], "record 0", "label"), number_of("3", "record 0", "label")
        (2.5, 3.0)
    """
    if not isinstance(value, (str, int, float, type(None))):
        inside = np.asarray(value).reshape(-1)
        value = inside.tolist()[0] if inside.size == 1 else value
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise ValueError(f"{record}: {name} is {value!r}, expected a number; mend it or drop the record")
    return number


def first_present(row: Mapping[str, Any], names: Sequence[str], record: str) -> Any:
    """Value of the first of `names` that the row has, or `ValueError` naming what was looked for and found."""
    for name in names:
        if name in row:
            return row[name]
    raise ValueError(f"{record}: no column {' or '.join(names)}; found {', '.join(map(str, row))}")
