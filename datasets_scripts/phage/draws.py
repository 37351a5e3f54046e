"""Which windows of which genomes become rows: the laws of virBERT (Hurmer, LMU 2022, section 3.2-3.3).

Pretraining cuts every record without overlap into pieces of random length and adds random samples of it; fine-tuning
draws windows of one length per genome up to a cap; tests take a fixed number of windows per record. All functions
return positions; the letters are fetched later. Quirks of the original sit in the functions named `legacy_*`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "LengthLaw",
    "cut_lengths",
    "finetune_starts",
    "legacy_cut_lengths",
    "legacy_drop_n_records",
    "legacy_drop_n_records_of_files",
    "legacy_finetune_starts",
    "legacy_random_parts_starts",
    "legacy_sample_spans",
    "sample_spans",
]


@dataclass(frozen=True)
class LengthLaw:
    """Lengths of pretraining sequences: `upper` with probability `bias`, else uniform in `[lower, upper]` (inclusive).

    Args:
        lower (`int`): Shortest sequence, nt.
        upper (`int`): Longest sequence, nt.
        bias (`float`): Probability of the full length, 0 to 1.
    """

    lower: int = 36
    upper: int = 510
    bias: float = 0.5

    def __post_init__(self) -> None:
        if not (0 < self.lower < self.upper and 0 <= self.bias <= 1):
            raise ValueError(f"lengths need 0 < lower < upper and 0 <= bias <= 1, not {self}")

    def draw(self, count: int, rng: np.random.Generator, *, longest: int | None = None) -> NDArray[np.int64]:
        """Draw `count` lengths, the upper end lowered to `longest` for a short record."""
        upper = self.upper if longest is None else min(self.upper, longest)
        uniform = rng.integers(self.lower, upper + 1, count)
        return np.where(rng.random(count) < self.bias, upper, uniform)

    def mean(self, *, legacy: bool = False) -> float:
        """Expected length; `legacy` takes half the *difference* of the ends for the uniform part, as the original."""
        uniform = (self.upper - self.lower) / 2 if legacy else (self.upper + self.lower) / 2
        return uniform * (1 - self.bias) + self.upper * self.bias


def cut_lengths(length: int, law: LengthLaw, rng: np.random.Generator) -> NDArray[np.int64]:
    """Cut a record without overlap: the lengths of consecutive pieces from its start.

    The last piece is clipped to what is left; a rest shorter than `law.lower` is dropped.

    Args:
        length (`int`): Letters in the record.
        law (`LengthLaw`): Lengths of the pieces.
        rng (`numpy.random.Generator`): Source of chance.

    Returns:
        `int64` array: piece lengths; empty for a record shorter than `law.lower`.
    """
    pieces: list[NDArray[np.int64]] = []
    left = length
    while left >= law.lower:
        drawn = law.draw(max(4, int(1.2 * left / law.mean())), rng)
        before = np.concatenate([[0], np.cumsum(drawn)[:-1]])
        drawn = np.minimum(drawn, left - before)[left - before >= law.lower]
        pieces.append(drawn)
        left -= int(drawn.sum())
    return np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int64)


def sample_spans(
    length: int, ratio: float, law: LengthLaw, rng: np.random.Generator, *, legacy_mean: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Random spans of a record, `int(ratio * ceil(length / mean length))` of them.

    Args:
        length (`int`): Letters in the record.
        ratio (`float`): Samples per piece that a cut would give.
        law (`LengthLaw`): Lengths of the spans; a record shorter than `law.upper` is the longest span.
        rng (`numpy.random.Generator`): Source of chance.
        legacy_mean (`bool`, *optional*, defaults to `False`): Use the original's mean length.

    Returns:
        `int64` arrays of starts and lengths.
    """
    if length < law.lower:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    count = int(ratio * math.ceil(length / law.mean(legacy=legacy_mean)))
    lengths = law.draw(count, rng, longest=length)
    return rng.integers(0, length - lengths + 1), lengths


def finetune_starts(
    lengths: NDArray[np.int64], window: int, cap: int, rng: np.random.Generator, *, max_mult: float = 1
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw up to `cap` windows of a genome uniformly from all its windows, none twice.

    Args:
        lengths (`int64` array of shape `(records,)`): Letters of the genome's records.
        window (`int`): Letters in a window.
        cap (`int`): Most windows to draw.
        rng (`numpy.random.Generator`): Source of chance.
        max_mult (`float`, *optional*, defaults to 1): A genome with fewer windows than the cap may repeat some, up to
            `max_mult` times their number.

    Returns:
        `int64` arrays: index of the record and start within it.
    """
    possible = np.maximum(0, lengths - window + 1)
    total = int(possible.sum())
    count = min(cap, total)
    flat = rng.choice(total, count, replace=False, shuffle=False) if count else np.zeros(0, dtype=np.int64)
    extra = min(cap, int(count * max_mult)) - count
    if extra > 0:
        flat = np.concatenate([flat, rng.integers(0, total, extra)])
    ends = np.cumsum(possible)
    record = np.searchsorted(ends, flat, side="right")
    return record, flat - (ends - possible)[record]


def legacy_cut_lengths(length: int, law: LengthLaw, rng: np.random.RandomState) -> list[int]:
    """As `cut_lengths`, number by number from a NumPy legacy generator, so a seed gives the original's cuts."""
    pieces: list[int] = []
    left = length
    while left >= law.lower:
        pieces.append(min(_legacy_length(law.lower, law.upper, law.bias, rng), left))
        left -= pieces[-1]
    return pieces


def legacy_sample_spans(
    length: int, ratio: float, law: LengthLaw, rng: np.random.RandomState
) -> list[tuple[int, int]]:
    """Starts and lengths of random spans as the original draws them.

    Its last possible start lies one letter too far, so that a span there comes out one letter short; it counts spans
    with the wrong mean length.
    """
    if length < law.lower:
        return []
    spans = []
    for _ in range(int(ratio * math.ceil(length / law.mean(legacy=True)))):
        size = _legacy_length(law.lower, min(law.upper, length), law.bias, rng)
        if size < law.lower:
            continue
        start = int(rng.randint(0, length - size + 2))
        spans.append((start, min(size, length - start)))
    return spans


def _legacy_length(lower: int, upper: int, bias: float, rng: np.random.RandomState) -> int:
    # `RandomState.choice` of two values with weights uses one uniform number, as here.
    return upper if rng.random_sample() < bias else int(rng.randint(lower, upper + 1))


def legacy_finetune_starts(
    lengths: Sequence[int],
    window: int,
    cap: int,
    rng: np.random.RandomState,
    *,
    max_mult: float = 1,
    picker: random.Random | None = None,
) -> list[tuple[int, int]]:
    """Record and start of the windows of one FASTA file as the original draws them.

    Every record gives up to `cap` windows, records of exactly the window length give none; a file below the cap is
    topped up with repeats (one record: with replacement; several: small draws from random records until the cap or
    `max_mult` is reached), and what exceeds the cap is sampled away.

    Args:
        lengths (`Sequence[int]`): Letters of the file's records.
        window (`int`): Letters in a window.
        cap (`int`): Most windows to draw.
        rng (`numpy.random.RandomState`): Source of the starts.
        max_mult (`float`, *optional*, defaults to 1): How far repeats may multiply a file.
        picker (`random.Random`, *optional*): Source of the final sample.
    """

    def draw(record: int, most: float, least: float | None = None, replace: bool = False) -> list[tuple[int, int]]:
        possible = lengths[record] - window + 1
        count = min(int(possible if least is None else least), int(most))
        return [(record, int(start)) for start in rng.choice(possible, count, replace=replace)]

    usable = [i for i, length in enumerate(lengths) if length > window]
    drawn = [pair for record in usable for pair in draw(record, cap)]
    first = len(drawn)
    if 0 < first < cap and max_mult > 1:
        if len(usable) == 1:
            drawn += draw(usable[0], cap, min(cap - first, first * (max_mult - 1)), replace=True)
        else:
            share = (cap - first) / (5 * len(usable))
            # The original would never leave this loop with a share below one window.
            while int(share) and len(drawn) < cap and len(drawn) / first <= max_mult:
                drawn += draw(usable[rng.randint(0, len(usable))], share)
    if len(drawn) > cap:
        drawn = (picker or random.Random(0)).sample(drawn, cap)
    return drawn


def legacy_random_parts_starts(length: int, window: int, parts: int, picker: random.Random) -> list[int]:
    """As `windows.random_parts_starts`, drawn from Python's generator, so a seed gives the original's test windows."""
    gaps = sorted(picker.sample(range(length - (window - 1) * parts), parts))
    return [gap + i * (window - 1) for i, gap in enumerate(gaps)]


def legacy_drop_n_records(sequences: Sequence[str]) -> list[int]:
    """Indices of the records that stay when records with an `N` are removed from the list being walked.

    The record after a removed one is never looked at, so it stays even if it holds an `N`; `str` of the same text
    removes the first such record, as `list.remove` does.
    """
    kept = list(range(len(sequences)))
    i = 0
    while i < len(kept):
        if "N" in sequences[kept[i]]:
            text = sequences[kept[i]]
            kept.pop(next(j for j, index in enumerate(kept) if sequences[index] == text))
        i += 1
    return kept


def legacy_drop_n_records_of_files(files: Sequence[Sequence[str]]) -> list[list[int]]:
    """As `legacy_drop_n_records` for lists of records, one a file; files left empty are removed in the same way.

    Returns:
        `list[list[int]]`: for each file, the indices of its records that stay (empty: the file is gone).
    """
    kept: list[list[int]] = [list(range(len(file))) for file in files]
    walked = list(range(len(files)))
    i = 0
    while i < len(walked):
        which = walked[i]
        kept[which] = legacy_drop_n_records(files[which])
        if not kept[which]:
            walked.pop(next(j for j, index in enumerate(walked) if not kept[index]))
        i += 1
    return [kept[i] if i in set(walked) else [] for i in range(len(files))]
