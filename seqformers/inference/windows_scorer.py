"""Run windows of sequence records through a model, in constant memory and in input order.

A record is cut into windows; windows of many records are collected, sorted by length and sent through the model in
batches; what comes back is reduced per record. Records leave in the order they came, whatever the batch size.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from seqformers.datasets_scripts.common.windows import window_starts

__all__ = ["RecordResult", "Windowing", "context_letters", "reverse_complement", "run_records"]

_COMPLEMENT = str.maketrans("ACGTUacgtuRYKMBDHVrykmbdhv", "TGCAAtgcaaYRMKVHDByrmkvhdb")
_PLAIN = frozenset("ACGTUacgtu")
_WINDOWS_AT_ONCE = 2048


@dataclass
class Windowing:
    """How a record is cut.

    Args:
        window (`int`): Letters in a window.
        step (`int`): Letters between the starts of windows; the last window ends with the record.
        both_strands (`bool`): Also score the reverse complement of every window.
        limit (`int`, *optional*): At most so many windows a record, evenly spread.
    """

    window: int
    step: int
    both_strands: bool = False
    limit: int | None = None

    def cut(self, sequence: str) -> list[str]:
        """Windows of one record, forward strand first; a short record is one window."""
        starts = window_starts(len(sequence), self.window, self.step)
        if self.limit is not None and len(starts) > self.limit:
            starts = starts[np.linspace(0, len(starts) - 1, self.limit).round().astype(int)]
        windows = [sequence[start : start + self.window] for start in starts.tolist()]
        return windows + [reverse_complement(window) for window in windows] if self.both_strands else windows


@dataclass
class RecordResult:
    """One record's windows after the model: `values` of shape `(windows, ...)`, in the order they were cut."""

    id: str
    length: int
    values: np.ndarray | None
    num_windows: int


def reverse_complement(sequence: str) -> str:
    """Reverse complement of DNA letters, IUPAC codes included; RNA comes back as DNA.

    Examples:
        >>> reverse_complement("AACGTN")
        'NACGTT'
    """
    return sequence.translate(_COMPLEMENT)[::-1]


def context_letters(model: Any, tokenizer: Any) -> int:
    """Letters of a window: as many as the longest training read had, if the run says so, and as fit the context."""
    config = model.config
    tokens = getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length
    tokens = min(int(tokens), int(tokenizer.model_max_length)) - tokenizer.num_special_tokens_to_add()
    step, width = getattr(tokenizer, "token_step", 1), getattr(tokenizer, "letters_per_token", 1)
    tokens *= getattr(config, "max_chunks", 1)
    fitting = (tokens - 1) * step + width
    return min(getattr(config, "read_length", None) or fitting, fitting)


def run_records(
    records: Iterable[Any],
    tokenizer: Any,
    forward: Callable[[dict[str, torch.Tensor]], np.ndarray],
    windowing: Windowing,
    *,
    batch_size: int,
    device: torch.device,
) -> Iterator[RecordResult]:
    """Yield one result a record, in order.

    Args:
        records (iterable of `FastaRecord`): What to score; consumed as needed.
        tokenizer (`PreTrainedTokenizerBase`): Turns windows into a batch.
        forward (callable): Batch of tensors -> array of shape `(batch, ...)`.
        windowing (`Windowing`): How records are cut.
        batch_size (`int`): Windows a batch.
        device (`torch.device`): Where the batch goes.

    Yields:
        `RecordResult`: `values` is None for a record without a single known token (too short, or only N).
    """
    waiting: deque[_Open] = deque()
    pending: list[tuple[_Open, int, str]] = []
    for record in records:
        opened = _Open(record.id, record.sequence)
        waiting.append(opened)
        for window in windowing.cut(record.sequence):
            if _has_token(window, tokenizer):
                pending.append((opened, opened.add(), window))
            # A chromosome has more windows than should be held, so batches run in the middle of a record, too.
            if len(pending) >= max(_WINDOWS_AT_ONCE, batch_size):
                _run(pending, tokenizer, forward, batch_size, device)
        opened.closed = True
        while waiting and waiting[0].done:
            yield waiting.popleft().result()
    _run(pending, tokenizer, forward, batch_size, device)
    while waiting:
        yield waiting.popleft().result()


class _Open:
    """A record whose windows are under way."""

    def __init__(self, name: str, sequence: str):
        self.id, self.length = name, len(sequence)
        self.values: list[Any] = []
        self.missing = 0
        self.closed = False

    def add(self) -> int:
        self.values.append(None)
        self.missing += 1
        return len(self.values) - 1

    @property
    def done(self) -> bool:
        return self.closed and not self.missing

    def result(self) -> RecordResult:
        values = np.stack(self.values) if self.values else None
        return RecordResult(self.id, self.length, values, len(self.values))


def _has_token(window: str, tokenizer: Any) -> bool:
    """Whether at least one token is not unknown; a cheap test answers for nearly every window."""
    width = getattr(tokenizer, "letters_per_token", 1)
    if len(window) < width:
        return False
    if width == 1 or not set(window[:width]) - _PLAIN:
        return True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ids = tokenizer(window, add_special_tokens=False)["input_ids"]
    return any(index != tokenizer.unk_token_id for index in ids)


def _run(
    pending: list[tuple[_Open, int, str]], tokenizer: Any, forward: Any, batch_size: int, device: torch.device
) -> None:
    pending.sort(key=lambda item: len(item[2]))
    for begin in range(0, len(pending), batch_size):
        part = pending[begin : begin + batch_size]
        batch = tokenizer([window for _, _, window in part], padding=True, return_tensors="pt")
        with torch.inference_mode():
            values = forward({name: value.to(device) for name, value in batch.items()})
        for (opened, place, _), value in zip(part, values, strict=True):
            opened.values[place] = value
            opened.missing -= 1
    pending.clear()
