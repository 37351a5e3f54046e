"""Run windows of sequence records through a model, in constant memory and in input order.

A record is cut into windows; windows of many records are collected and sent through the model in batches of like
length, several at once. Records leave in the order they came, whatever the batch size.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from seqformers.hub.devices import one_thread, usable_cores
from seqformers.hub.load import Loaded
from seqformers.inference.batches import Batch, make_batches
from seqformers.inference.windowing import Span, Windowing

__all__ = ["Forward", "RecordResult", "known_spans", "run_records", "run_windows"]

_WINDOWS_AT_ONCE = 2048
_GROUPS_AHEAD = 1  # groups of windows that run while the next is read and tokenised
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
        batch_size (`int`): Windows a forward pass, at most.
        exact (`bool`): In double precision, whose rounding errors are far below any digit that is written.

    Returns:
        `np.ndarray` of shape `(windows, ...)`, float64, in the order of `windows`.
    """
    with _Runner(loaded, forward, batch_size, exact=exact) as runner:
        return runner.submit(windows)()


class _Runner:
    """A model that several threads run, a batch each.

    On a CPU every thread computes alone, without the threads of the matrix library: they would wait for each other at
    every layer, and on a busy core all of them for the slowest. Batches are made on the thread that asks for them, so
    that tokenising goes on while the model runs.
    """

    def __init__(self, loaded: Loaded, forward: Forward, batch_size: int, *, exact: bool = False):
        self.loaded, self.forward, self.batch_size, self.exact = loaded, forward, batch_size, exact
        self.model = loaded.exact if exact else loaded.compiled or loaded.model
        self.device = self.model.device if exact else loaded.device
        on_cpu = self.device.type == "cpu"
        self.threads = usable_cores() if on_cpu else 1
        self._stack = ExitStack()
        if on_cpu:
            self._stack.enter_context(one_thread())
        self._pool = self._stack.enter_context(ThreadPoolExecutor(self.threads))

    def submit(self, windows: Sequence[str]) -> Callable[[], np.ndarray]:
        """Start on some windows; call what comes back for their values, in order."""
        started = [
            (batch.rows, self._pool.submit(self._run, batch))
            for batch in make_batches(windows, self.loaded, self.batch_size, self.device)
        ]

        def values() -> np.ndarray:
            rows = np.concatenate([rows for rows, _ in started])
            found = np.concatenate([future.result() for _, future in started])
            back = np.empty_like(found)
            back[rows] = found
            return back

        return values

    def _run(self, batch: Batch) -> np.ndarray:
        inputs = {name: value.to(self.device) for name, value in batch.inputs.items()}
        bf16 = self.loaded.precision == "bf16" and not self.exact and self.loaded.compiled is None
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            found = self.forward(self.model, inputs)[: len(batch.rows)]
        return found.double().cpu().numpy()

    def __enter__(self) -> _Runner:
        return self

    def __exit__(self, *error: Any) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._stack.close()


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
        batch_size (`int`): As in `run_windows`.
        exact (`bool`): As in `run_windows`.
    """
    waiting: deque[_Open] = deque()
    pending: list[tuple[_Open, int]] = []
    running: deque[tuple[list[tuple[_Open, int]], Callable[[], np.ndarray]]] = deque()

    def start() -> None:
        windows = [opened.spans[place].letters for opened, place in pending]
        running.append((pending.copy(), runner.submit(windows)))
        pending.clear()

    def collect() -> None:
        places, values = running.popleft()
        for (opened, place), value in zip(places, values(), strict=True):
            opened.values[place] = value
            opened.missing -= 1

    with _Runner(loaded, forward, batch_size, exact=exact) as runner:
        for record in records:
            opened = _Open(record, known_spans(record.sequence, windowing, loaded))
            waiting.append(opened)
            for place in range(len(opened.spans)):
                pending.append((opened, place))
                # A chromosome has more windows than should be held, so batches run in the middle of a record, too.
                if len(pending) >= max(_WINDOWS_AT_ONCE, batch_size):
                    start()
                    if len(running) > _GROUPS_AHEAD:
                        collect()
            while waiting and not waiting[0].missing:
                yield waiting.popleft().result()
        if pending:
            start()
        while waiting:
            if waiting[0].missing:
                collect()
            else:
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
