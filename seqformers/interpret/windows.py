"""Cut sequences into what a token model can read at once, and read it: tokens, their places in bases, batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Span", "read_batches", "spread_to_bases", "token_room", "windows"]


class Span(NamedTuple):
    """A window of a sequence: number of the sequence, first base (0-based), letters."""

    sequence: int
    start: int
    letters: str


def token_room(model: Any, tokenizer: Any, *, chunks: int = 1) -> int | None:
    """Tokens of a sequence that fit the model beside the special ones; None where it has no position table."""
    room = getattr(model.config, "max_position_embeddings", None)
    return None if room is None else (room - tokenizer.num_special_tokens_to_add()) * chunks


def windows(sequences: Sequence[str], tokenizer: Any, room: int | None) -> Iterator[Span]:
    """Cut sequences so that every token of the whole appears in exactly one window.

    Args:
        sequences (`Sequence[str]`): Letters.
        tokenizer: One with `k` and `stride` (bases), or one token a letter.
        room (`int`, *optional*): Tokens a window may have; None cuts nothing.
    """
    k, stride = getattr(tokenizer, "k", 1), getattr(tokenizer, "stride", 1)
    for number, letters in enumerate(sequences):
        count = max((len(letters) - k) // stride + 1, 1)
        step = count if room is None else room
        for first in range(0, count, step):
            start = first * stride
            last = count - 1 if first + step >= count else first + step - 1
            end = len(letters) if last == count - 1 else last * stride + k
            yield Span(number, start, letters[start:end])


def read_batches(
    spans: Sequence[Span], model: Any, tokenizer: Any, batch_size: int
) -> Iterator[tuple[Sequence[Span], dict[str, Any], np.ndarray, np.ndarray]]:
    """Tokenise windows batch by batch.

    Yields:
        `tuple`: the windows, the model's inputs on its device, which tokens belong to the sequence
        (`(batch, length)` bool), and their `[start, end)` in the window (`(batch, length, 2)` int, in letters).
    """
    for at in range(0, len(spans), batch_size):
        part = spans[at : at + batch_size]
        encoded = tokenizer(
            [span.letters for span in part],
            padding=True,
            truncation=False,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            return_tensors="np",
        )
        places = np.asarray(encoded.pop("offset_mapping"))
        own = np.asarray(encoded.pop("special_tokens_mask")) == 0
        inputs = encoded.convert_to_tensors("pt").to(model.device)
        yield part, dict(inputs), own & (places[..., 1] > places[..., 0]), places


def spread_to_bases(scores: np.ndarray, starts: np.ndarray, ends: np.ndarray, length: int) -> np.ndarray:
    """Give every base the mean score of the tokens that cover it.

    Args:
        scores (`np.ndarray` of shape `(tokens,)`): One number a token.
        starts (`np.ndarray` of shape `(tokens,)`): First base of each token.
        ends (`np.ndarray` of shape `(tokens,)`): Base after its last one.
        length (`int`): Bases.

    Returns:
        `np.ndarray` of shape `(length,)`: NaN for bases no token covers.

    Examples:
        >>> import numpy as np
        >>> spread_to_bases(np.array([0.1, 0.3]), np.array([0, 1]), np.array([3, 4]), 5).round(3).tolist()
        [0.1, 0.2, 0.2, 0.3, nan]
    """
    covering = np.zeros(length + 1, dtype=np.int64)
    np.add.at(covering, starts, 1)
    np.add.at(covering, ends, -1)
    sums = np.bincount(starts, scores, length + 1) - np.bincount(ends, scores, length + 1)
    counts = covering.cumsum()[:length]
    with np.errstate(invalid="ignore"):
        return np.where(counts > 0, sums.cumsum()[:length] / np.maximum(counts, 1), np.nan)
