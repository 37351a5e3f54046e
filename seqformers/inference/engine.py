"""Run windows of sequence records through a model, in constant memory and in input order.

A record is cut into windows; windows of many records are collected, sorted by length and sent through the model in
batches. Records leave in the order they came, whatever the batch size.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from seqformers.hub.load import Loaded
from seqformers.inference.windowing import Span, Windowing

__all__ = ["Forward", "RecordResult", "known_spans", "run_records", "run_windows"]

_WINDOWS_AT_ONCE = 2048
_PLAIN = {"dna": frozenset("ACGTUacgtu"), "rna": frozenset("ACGTUacgtu"), "protein": frozenset("ACDEFGHIKLMNPQRSTVWY")}

Forward = Callable[[Any, dict[str, torch.Tensor]], torch.Tensor]


@dataclass
class RecordResult:
    """One record after the model.

    Args:
        id (`str`): Its id.
        sequence (`str`): Its letters.
        spans (`list[Span]`): Its windows that hold a known token.
        values (`np.ndarray`, *optional*): Shape `(windows, ...)`; None for a record without a single known token (too
            short, or only N).
    """

    id: str
    sequence: str
    spans: list[Span]
    values: np.ndarray | None

    @property
    def num_windows(self) -> int:
        """Windows that were read."""
        return len(self.spans)


def run_windows(
    windows: Sequence[str], loaded: Loaded, forward: Forward, *, batch_size: int, exact: bool = False
) -> np.ndarray:
    """Send windows through a model in batches of like length.

    Args:
        windows (`Sequence[str]`): Letters, at least one.
        loaded (`Loaded`): Model and tokenizer.
        forward (`Forward`): Model and batch -> tensor of shape `(batch, ...)`.
        batch_size (`int`): Windows a forward pass.
        exact (`bool`): In double precision, whose rounding errors are far below any digit that is written.

    Returns:
        `np.ndarray` of shape `(windows, ...)`, float64, in the order of `windows`.
    """
    model, device = (loaded.exact, loaded.exact.device) if exact else (loaded.model, loaded.device)
    order = sorted(range(len(windows)), key=lambda index: len(windows[index]))
    parts = []
    for begin in range(0, len(order), batch_size):
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # unknown letters are counted over the whole file, not batch by batch
            texts = [windows[index] for index in order[begin : begin + batch_size]]
            batch = loaded.encoder(texts, padding=True, return_tensors="pt")
            parts.append(forward(model, dict(batch.to(device))).double().cpu().numpy())
    values = np.concatenate(parts)
    back = np.empty(len(order), dtype=np.int64)
    back[order] = np.arange(len(order))
    return values[back]


def run_records(
    records: Iterable[Any],
    loaded: Loaded,
    windowing: Windowing,
    forward: Forward,
    *,
    batch_size: int,
    exact: bool = False,
) -> Iterator[RecordResult]:
    """Yield one result a record, in order; records hold `id` and `sequence` and are consumed as needed.

    Args:
        records (iterable of `FastaRecord`): What to score.
        loaded (`Loaded`): Model and tokenizer.
        windowing (`Windowing`): How records are cut, for this model.
        forward (`Forward`): As in `run_windows`.
        batch_size (`int`): Windows a forward pass.
        exact (`bool`): As in `run_windows`.
    """
    waiting: deque[_Open] = deque()
    pending: list[tuple[_Open, int]] = []

    def flush() -> None:
        if pending:
            windows = [opened.spans[place].letters for opened, place in pending]
            values = run_windows(windows, loaded, forward, batch_size=batch_size, exact=exact)
            for (opened, place), value in zip(pending, values, strict=True):
                opened.values[place] = value
                opened.missing -= 1
            pending.clear()

    for record in records:
        opened = _Open(record, known_spans(record.sequence, windowing, loaded))
        waiting.append(opened)
        for place in range(len(opened.spans)):
            pending.append((opened, place))
            # A chromosome has more windows than should be held, so batches run in the middle of a record, too.
            if len(pending) >= max(_WINDOWS_AT_ONCE, batch_size):
                flush()
        while waiting and not waiting[0].missing:
            yield waiting.popleft().result()
    flush()
    while waiting:
        yield waiting.popleft().result()


class _Open:
    """A record whose windows are under way."""

    def __init__(self, record: Any, spans: list[Span]):
        self.record, self.spans = record, spans
        self.values: list[Any] = [None] * len(spans)
        self.missing = len(spans)

    def result(self) -> RecordResult:
        values = np.stack(self.values) if self.values else None
        return RecordResult(self.record.id, self.record.sequence, self.spans, values)


def known_spans(sequence: str, windowing: Windowing, loaded: Loaded) -> list[Span]:
    """The windows of a record that hold at least one token that is not unknown."""
    return [span for span in windowing.cut(sequence) if _has_token(span.letters, loaded)]


def _has_token(window: str, loaded: Loaded) -> bool:
    """Whether at least one token is not unknown; a cheap test answers for nearly every window."""
    width = loaded.reading.letters_per_token
    if len(window) < width:
        return False
    plain = _PLAIN.get(loaded.reading.molecule or "")
    if plain and not set(window[:width]) - plain:
        return True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ids = loaded.encoder(window, add_special_tokens=False)["input_ids"]
    return any(index != loaded.encoder.unk_token_id for index in ids)
