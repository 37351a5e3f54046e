"""What tokenizers are given: one text or many, columns, arrays, pairs, words, ids; what is no sequence is named."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

__all__ = ["as_batch", "refuse_split_texts"]


def as_batch(text: Any, text_pair: Any, *, words: bool) -> tuple[bool, list[Any], list[Any] | None]:
    """Sort out what the base class accepts: one text or a batch, pairs beside each other or as tuples, words, ids."""
    text, text_pair = _listed(text), _listed(text_pair)
    if not _is_batch(text, words=words):
        return False, _checked([text], words), None if text_pair is None else _checked([text_pair], words)
    firsts = list(text)
    if text_pair is not None:
        if not isinstance(text_pair, (list, tuple)) or len(text_pair) != len(firsts):
            raise ValueError("a batch of texts needs a batch of as many second texts")
        return True, _checked(firsts, words), _checked(list(text_pair), words)
    paired = bool(firsts) and isinstance(firsts[0], tuple if words else (list, tuple)) and len(firsts[0]) == 2
    if paired and not isinstance(firsts[0][0], (int, np.integer)):
        return True, _checked([pair[0] for pair in firsts], words), _checked([pair[1] for pair in firsts], words)
    return True, _checked(firsts, words), None


def _is_batch(text: Any, *, words: bool) -> bool:
    """Whether it is many texts; one text is a string, or, as a list, its ids or (with `words`) its words."""
    if not isinstance(text, (list, tuple)):
        return False
    return not text or not isinstance(text[0], (int, np.integer, *((str,) if words else ())))


def _listed(text: Any) -> Any:
    """A column of a data set or table and an array of strings as lists; a string, a list or a tuple as it is."""
    if text is None or isinstance(text, (str, list, tuple)):
        return text
    for name in ("tolist", "to_list", "to_pylist"):  # NumPy, torch and pandas; polars; Arrow
        if hasattr(text, name):
            return getattr(text, name)()
    if isinstance(text, Sequence) and not isinstance(text, (bytes, bytearray)):
        return list(text)
    raise ValueError(f"sequences must be str or a list of str, got {type(text).__name__}")


def _checked(texts: list[Any], words: bool) -> list[Any]:
    """The texts, or `ValueError` naming the first that is none; ids of tokens pass."""
    for index, text in enumerate(texts):
        if isinstance(text, str) and not words:
            continue
        if isinstance(text, np.ndarray):
            texts[index] = text = text.tolist()
        if isinstance(text, (list, tuple)):
            wrong = next((part for part in text if not isinstance(part, (int, np.integer))), None)
            if wrong is None or (words and all(isinstance(part, str) for part in text)):
                continue
            if isinstance(wrong, str) and not words:
                raise ValueError(f"text {index} is a list of words: join them, or pass is_split_into_words=True")
        raise ValueError(
            f"text {index} is {type(text).__name__}, not a string; sequences must be str or a list of str "
            "(missing value in the table?)"
        )
    return texts


def refuse_split_texts(texts: Sequence[str], *, most: int) -> None:
    """Raise `ValueError` for the first text that somebody has split into letters or overlapping k-mers before.

    Args:
        texts (`Sequence[str]`): Sequences.
        most (`int`): Longest k-mers to look for; 1 for single letters.
    """
    for index, text in enumerate(texts):
        if " " not in text:
            continue
        words = text.split()[:50]
        size = len(words[0]) if words else 0
        if len(words) < 3 or not 1 <= size <= most or any(len(word) != size for word in words):
            continue
        if all(word[1:] == following[:-1] for word, following in pairwise(words)):
            kind = "single letters" if size == 1 else f"overlapping {size}-mers"
            raise ValueError(
                f"text {index} is split into {kind} already ({' '.join(words[:3])} ...); give the plain sequence: "
                "words = text.split(); words[0] + ''.join(word[-1] for word in words[1:])"
            )
