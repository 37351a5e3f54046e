"""Read windows token by token: which tokens belong to the sequence, and which bases each of them covers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from seqformers.hub.load import Loaded
from seqformers.hub.positions import max_tokens
from seqformers.inference.windowing import Span

__all__ = ["cut_into_contexts", "read_batches", "spread_to_bases"]


def cut_into_contexts(span: Span, loaded: Loaded) -> list[Span]:
    """Cut a window into what fits the position table of the encoder, so that every token is in exactly one part.

    A classifier of several chunks reads longer windows than its encoder; other windows are one part.
    """
    room = max_tokens(loaded.config)
    if room is None:
        return [span]
    reading, letters = loaded.reading, span.letters
    room -= loaded.encoder.num_special_tokens_to_add()
    count = reading.tokens(len(letters))
    parts = []
    for first in range(0, max(count, 1), room):
        start, last = first * reading.token_step, first + room >= count
        end = len(letters) if last else start + reading.letters(room)
        parts.append(Span(span.start + start, letters[start:end], span.reverse))
    return parts


def read_batches(
    spans: Sequence[Span], loaded: Loaded, batch_size: int
) -> Iterator[tuple[Sequence[Span], dict[str, Any], np.ndarray, np.ndarray]]:
    """Tokenise windows batch by batch, for the model in double precision.

    Yields:
        `tuple`: the windows, the model's inputs on its device, which tokens belong to the sequence
        (`(batch, length)` bool), and their `[start, end)` in the window (`(batch, length, 2)` int, in letters).
    """
    for at in range(0, len(spans), batch_size):
        part = spans[at : at + batch_size]
        texts = [span.letters for span in part]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # unknown letters are counted over the whole file
            encoded = loaded.encoder(texts, padding=True, return_special_tokens_mask=True, return_tensors="np")
        own = np.asarray(encoded.pop("special_tokens_mask")) == 0
        if own.shape != np.asarray(encoded["input_ids"]).shape:  # ESM's tokenizer counts an end that it does not add
            own = ~np.isin(encoded["input_ids"], loaded.encoder.all_special_ids)
        own &= np.asarray(encoded["attention_mask"]) != 0
        inputs = encoded.convert_to_tensors("pt").to(loaded.exact.device)
        yield part, dict(inputs), own, _places(texts, np.asarray(inputs["input_ids"].cpu()), own, loaded)


def _places(texts: Sequence[str], ids: np.ndarray, own: np.ndarray, loaded: Loaded) -> np.ndarray:
    """First base and base after the last one of every token, shape `(batch, length, 2)`."""
    reading = loaded.reading
    if [reading.tokens(len(text)) for text in texts] == own.sum(1).tolist():
        first = np.maximum(own.cumsum(1) - 1, 0) * reading.token_step
        letters = getattr(loaded.encoder, "letters_of", None)
        return np.stack([first, first + (letters(ids) if letters else reading.letters_per_token)], axis=-1)
    found = loaded.encoder(texts, padding=True, return_offsets_mapping=True, return_tensors="np")["offset_mapping"]
    places = np.asarray(found)
    own &= places[..., 1] > places[..., 0]
    return places


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
