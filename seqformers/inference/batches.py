"""Windows to batches of tokens: of like length, of bounded size, and such that a row is computed alike in any of them.

A matrix kernel gives a row the same last bits whatever rows stand beside it as long as the padded length is the same,
so the padded length depends on the window's own number of tokens alone, windows that fill it have batches of their own
(without a mask a faster kernel runs), and short batches are filled up. So the answer depends on neither batch size,
threads, a resume nor a shard.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from seqformers.hub.load import Loaded

__all__ = ["Batch", "make_batches", "padded_length"]

_FINEST = 16  # padded lengths are multiples of this, and of an eighth of the power of two below
_ROWS = 4  # a single row goes another way through the kernels than several do
_TOKENS = {"cpu": 4096}  # a batch's activations then stay in the caches
_TOKENS_ELSEWHERE = 1 << 16
_TEXTS_AT_ONCE = 512


class Batch(NamedTuple):
    """Rows of one padded length.

    Args:
        rows (`np.ndarray`): Which windows they are; what lies behind these in the tensors is filling.
        inputs (`dict[str, torch.Tensor]`): What the model takes, on the CPU, `(rows, length)`.
    """

    rows: np.ndarray
    inputs: dict[str, torch.Tensor]


def padded_length(tokens: int, most: int | None = None) -> int:
    """The length a window of so many tokens is padded to: at most an eighth more, or 16 tokens of a short one.

    Examples:
        >>> [padded_length(tokens) for tokens in (1, 16, 130, 500)], padded_length(500, most=508)
        ([16, 16, 144, 512], 508)
    """
    grain = max(_FINEST, 1 << max((tokens - 1).bit_length() - 4, 0))
    length = -(-tokens // grain) * grain
    return length if most is None or length <= most else max(tokens, most)


def make_batches(windows: Sequence[str], loaded: Loaded, batch_size: int, device: torch.device) -> Iterator[Batch]:
    """Tokenise windows and put them into batches.

    Args:
        windows (`Sequence[str]`): Letters.
        loaded (`Loaded`): Model and tokenizer.
        batch_size (`int`): Most windows a batch.
        device (`torch.device`): Where they will run, which decides how many tokens a batch has at most.
    """
    most = getattr(loaded.config, "max_position_embeddings", None)
    budget = _TOKENS.get(device.type, _TOKENS_ELSEWHERE)
    order = sorted(range(len(windows)), key=lambda index: len(windows[index]))
    waiting: dict[tuple[int, bool], list[tuple[int, dict[str, np.ndarray]]]] = {}
    for at in range(0, len(order), _TEXTS_AT_ONCE):
        part = order[at : at + _TEXTS_AT_ONCE]
        for index, row, tokens in _rows([windows[index] for index in part], part, loaded):
            length = padded_length(tokens, most)
            group = waiting.setdefault((length, tokens == length), [])
            group.append((index, row))
            if len(group) >= max(1, min(batch_size, budget // length)):
                yield _batch(waiting.pop((length, tokens == length)), length, loaded)
    for (length, _), group in waiting.items():
        yield _batch(group, length, loaded)


def _rows(
    texts: list[str], indices: Sequence[int], loaded: Loaded
) -> Iterator[tuple[int, dict[str, np.ndarray], int]]:
    """Index, arrays without padding, and number of tokens of each text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # unknown letters are counted over the whole file, not batch by batch
        encoded = {name: np.asarray(values) for name, values in loaded.encoder(texts, padding=True).items()}
    counts = encoded["attention_mask"].sum(1)
    for place, index in enumerate(indices):
        tokens = int(counts[place])
        own = encoded["attention_mask"][place] != 0
        yield index, {name: values[place][own] for name, values in encoded.items()}, tokens


def _batch(group: list[tuple[int, dict[str, np.ndarray]]], length: int, loaded: Loaded) -> Batch:
    count = len(group)
    inputs = {}
    for name, first in group[0][1].items():
        pad = (loaded.encoder.pad_token_id or 0) if name == "input_ids" else 0
        filled = np.full((max(count, _ROWS), length), pad, dtype=first.dtype)
        for place, (_, row) in enumerate(group):
            filled[place, : len(row[name])] = row[name]
        filled[count:] = filled[count - 1]
        inputs[name] = torch.from_numpy(filled)
    return Batch(np.array([index for index, _ in group], dtype=np.int64), inputs)
