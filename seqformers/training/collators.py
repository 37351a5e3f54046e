"""Masked-language-model batches of overlapping k-mers, masked so that no hidden base can be read off a neighbour.

A base is covered by up to k tokens. Masking tokens one by one, or k tokens in a row as DNABERT did, leaves most bases
of a masked token in plain sight next door. Here spans of *bases* are hidden: every token that touches a span is
selected, and all of them share one fate (mask, replace or keep), since one token kept would give the span away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch

from seqformers.datasets_scripts.common.counter_draws import keys_of, uniform

__all__ = [
    "ByPlace",
    "DataCollatorForKmerLanguageModeling",
    "InOrder",
    "chance_of_lengths",
    "mask_in_base_space",
    "tokens_per_span",
]

_IGNORED = -100
_MASK, _REPLACE, _KEEP = 1, 2, 3


def _word_ids(tokenizer: Any) -> range:
    """Ids that are no special tokens, of which a tokenizer of a learnt vocabulary has to have the first ids."""
    known = getattr(tokenizer, "kmer_ids", None)
    if known is not None:
        return known
    special = sorted(tokenizer.all_special_ids)
    if special != list(range(len(special))):
        raise ValueError(f"special tokens must have the ids 0 to {len(special) - 1} to tell words by; got {special}")
    return range(len(special), tokenizer.vocab_size)


def tokens_per_span(span: int, k: int, stride: int) -> int:
    """Fewest neighbouring tokens that hide `span` bases between them, tokens outside considered.

    A run of t tokens hides `(t + 1) * stride - k` bases for good: the rest is also covered by its neighbours.

    Examples:
        >>> tokens_per_span(1, k=6, stride=1), tokens_per_span(6, k=6, stride=1), tokens_per_span(6, k=6, stride=3)
        (6, 11, 3)
    """
    return max(1, -(-(span + k) // stride) - 1)


class _Runs(NamedTuple):
    """Stretches of neighbouring maskable tokens in a flattened batch: `start` and `length`, shape `(runs,)`."""

    start: np.ndarray
    length: np.ndarray


def _find_runs(maskable: np.ndarray, breaks: np.ndarray) -> _Runs:
    """Runs of true `maskable` (tokens,), also cut before every true `breaks` (tokens,)."""
    # int8 differences: +1 where a run starts, -1 just after it ends.
    edges = np.diff(maskable.view(np.int8), prepend=np.int8(0), append=np.int8(0))
    start, end = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    inside = np.flatnonzero(breaks[1:] & maskable[1:] & maskable[:-1]) + 1
    if len(inside):
        start, end = np.sort(np.concatenate([start, inside])), np.sort(np.concatenate([end, inside]))
    return _Runs(start, end - start)


class InOrder:
    """Chance from a generator, number after number."""

    def __init__(self, rng: np.random.Generator):
        self.rng = rng

    def numbers(self, places: np.ndarray, use: int, each: int | None = None) -> np.ndarray:
        """In [0, 1): one for each of `places`, or `each` of them."""
        return self.rng.random(len(places) if each is None else (len(places), each))

    def below(self, places: np.ndarray, use: int, high: Any) -> np.ndarray:
        """A whole number below `high` (one, or one a place) for each place."""
        return self.rng.integers(high, size=len(places))


class ByPlace(InOrder):
    """Chance that is a function of the token it is for: `keys` (tokens,), so neighbours in a batch change nothing."""

    def __init__(self, keys: np.ndarray):
        self.keys = keys

    def numbers(self, places: np.ndarray, use: int, each: int | None = None) -> np.ndarray:
        """As the base class; the same numbers whenever they are asked for."""
        keys = self.keys[places]
        return uniform(keys if each is None else keys_of(keys[:, None], np.arange(each)), use)

    def below(self, places: np.ndarray, use: int, high: Any) -> np.ndarray:
        """As the base class."""
        return (uniform(self.keys[places], use) * high).astype(np.int64)


_COUNT, _SPOT, _FATE, _ID, _LENGTH = range(5)  # uses of chance


def _place_spans(runs: _Runs, width: int, rate: float, chance: InOrder) -> tuple[np.ndarray, np.ndarray]:
    """Draw non-overlapping spans of `width` tokens that cover `rate` of the tokens of every run in expectation.

    Returns the flat start and the width of every span; a run shorter than `width` is hidden whole or not at all.
    """
    size = np.minimum(runs.length, width)
    count = np.minimum(
        np.floor(rate * runs.length / size + chance.numbers(runs.start, _COUNT)), runs.length // size
    ).astype(np.int64)
    most = int(count.max(initial=0))
    if most == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    # Hard rods on a line: draw positions in the space the rods leave free, sort them, put the rods back in.
    free = runs.length - count * size
    spots = (chance.numbers(runs.start, _SPOT, most) * (free + 1)[:, None]).astype(np.int64)
    order = np.arange(most)
    used = order < count[:, None]
    spots[~used] = np.iinfo(np.int64).max
    spots.sort(axis=1)
    starts = spots + order * size[:, None] + runs.start[:, None]
    return starts[used], np.broadcast_to(size[:, None], used.shape)[used]


def mask_in_base_space(
    maskable: np.ndarray, breaks: np.ndarray, *, width: int, rate: float, chance: InOrder
) -> np.ndarray:
    """Decide the fate of every token of a flattened batch.

    Args:
        maskable (`np.ndarray` of bool, shape `(tokens,)`): False for special, unknown and pad tokens.
        breaks (`np.ndarray` of bool, shape `(tokens,)`): True where a token does not follow the one before it in the
            same sequence (row starts, and sequence starts in a packed row).
        width (`int`): Tokens per span, from `tokens_per_span`.
        rate (`float`): Share of the maskable tokens to select, 0..1, met exactly in expectation.
        chance (`InOrder` or `ByPlace`): Source of randomness.

    Returns:
        `np.ndarray` of int8, shape `(tokens,)`: 0 not selected, 1 mask (80 % of spans), 2 replace (10 %), 3 keep.
    """
    starts, widths = _place_spans(_find_runs(maskable, breaks), width, rate, chance)
    change = np.zeros(len(maskable) + 1, np.int8)
    draw = chance.numbers(starts, _FATE)
    fate = np.where(draw < 0.8, _MASK, np.where(draw < 0.9, _REPLACE, _KEEP)).astype(np.int8)
    change[starts] = fate
    # Two statements, since one span may start where another ends.
    change[starts + widths] -= fate
    return np.cumsum(change[:-1], dtype=np.int8)


def chance_of_lengths(counts: np.ndarray, seed: int, source: np.ndarray | np.random.Generator) -> np.ndarray:
    """Numbers in [0, 1) that a tokenizer draws the lengths of k-mers by.

    Args:
        counts (`np.ndarray` of shape `(rows,)`): Tokens of each row.
        seed (`int`): With keys, of the numbers.
        source (`np.random.Generator`, or `np.ndarray` of `uint64`, shape `(rows,)`): Where they come from: one after
            the other, or a row's as a function of its key.

    Returns:
        `np.ndarray` of shape `(tokens,)`, rows end to end.
    """
    if isinstance(source, np.random.Generator):
        return source.random(int(counts.sum()))
    place = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    return uniform(keys_of(np.repeat(source, counts), seed, place), _LENGTH)


def _from_torch(chances: Any, use: int, high: int | None = None) -> torch.Tensor:
    """Trials of a tensor of probabilities, or numbers below `high` of a shape, from torch's global generator."""
    return torch.bernoulli(chances).bool() if high is None else torch.randint(high, chances, dtype=torch.long)


class _LegacyByPlace:
    """As `_from_torch`, as a function of each token's key."""

    def __init__(self, keys: np.ndarray, shape: tuple[int, ...]):
        self._keys, self._shape = keys, shape

    def __call__(self, chances: Any, use: int, high: int | None = None) -> torch.Tensor:
        numbers = torch.from_numpy(uniform(self._keys, use)).view(self._shape)
        return numbers < chances if high is None else (numbers * high).long()


@dataclass
class DataCollatorForKmerLanguageModeling:
    """Pad a list of tokenized sequences and mask them for masked-language-model training.

    Args:
        tokenizer (`KmerTokenizer`, `VariableKmerTokenizer` or a learnt one): Gives k, stride and the ids of the
            special tokens. Of k-mers of several lengths as many are hidden together as of the longest ones would be,
            and a random one in place of another is as long. Tokens of a learnt vocabulary, whose special tokens come
            first, do not overlap: each is a span, or `span` of them.
        mlm_probability (`float`, defaults to 0.15): Share of k-mer tokens to select, 0..1. With `legacy`, the
            probability that a token is the *centre* of a span, as in the original (0.025 for 15 % of 6-mers).
        span (`int`, *optional*): Bases hidden together; default k (of several lengths the shortest). With `legacy`,
            tokens masked around a centre.
        seed (`int`, *optional*): Makes the masks repeatable; data loader workers draw different ones.
        legacy (`str`, *optional*): `"dnabert"` masks as DNABERT and virBERT did, from torch's global generator where
            no keys are given: centres by Bernoulli trial, spans of tokens clipped at the ends, 80/10/10 per token, and
            random ids from the whole vocabulary. It leaks: see the module's text.
        pad_to_multiple_of (`int`, *optional*): Round the padded length up.

    Returns:
        A dict of tensors of shape `(batch, length)`: `input_ids`, `attention_mask`, `labels` (-100 where not chosen),
        and `position_ids` where the features had them (packed rows: positions start at 0 with every sequence).

    Raises:
        ValueError: a probability outside 0..1, an unknown `legacy`, or features without `input_ids`.

    Examples:
        >>> from seqformers import KmerTokenizer
        >>> tokenizer = KmerTokenizer(k=3)
        >>> collate = DataCollatorForKmerLanguageModeling(tokenizer, seed=0)
        >>> batch = collate([tokenizer("ACGTACGTAAGCTA"), tokenizer("GGATCA")])
        >>> batch["input_ids"].shape, batch["labels"].shape
        (torch.Size([2, 14]), torch.Size([2, 14]))
    """

    tokenizer: Any
    mlm_probability: float = 0.15
    span: int | None = None
    seed: int | None = None
    legacy: str | None = None
    pad_to_multiple_of: int | None = None
    _rng: np.random.Generator | None = field(default=None, init=False, repr=False)
    _rate: torch.Tensor = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 <= self.mlm_probability <= 1:
            raise ValueError(f"mlm_probability must be between 0 and 1, got {self.mlm_probability}")
        # Shared, so that workers which make batches already learn of a change.
        self._rate = torch.tensor(self.mlm_probability, dtype=torch.float64).share_memory_()
        if self.legacy not in (None, "dnabert"):
            raise ValueError(f"legacy must be None or 'dnabert', got {self.legacy!r}")
        if self.span is not None and self.span < 1:
            raise ValueError(f"span must be at least 1, got {self.span}")
        self._words = _word_ids(self.tokenizer)
        if self.legacy and (self._longest, self._overlap) != (self._shortest, True):
            raise ValueError("masking.legacy is DNABERT's, over k-mers of one length; leave it out")
        special = np.ones(len(self.tokenizer), dtype=bool)
        special[self._words.start : self._words.stop] = False
        self._is_special = special

    def change_rate(self, mlm_probability: float) -> None:
        """Mask with another probability from the next batch on, in workers too."""
        self._rate.fill_(mlm_probability)

    @property
    def _overlap(self) -> bool:
        return hasattr(self.tokenizer, "kmer_ids")

    @property
    def _shortest(self) -> int:
        """Bases of the shortest k-mer; 1 where tokens do not overlap, whose spans are counted in tokens."""
        return int(self.tokenizer.k) if self._overlap else 1

    @property
    def _longest(self) -> int:
        return int(getattr(self.tokenizer, "k_max", None) or self._shortest)

    def __call__(
        self, features: Sequence[Any] | Mapping[str, Any], keys: np.ndarray | None = None
    ) -> dict[str, torch.Tensor]:
        """Pad and mask `features`, a list of dicts with `input_ids` (and `position_ids` for packed rows).

        The padded arrays of a tokenizer, a dict of `(batch, length)`, are taken as they are. With `keys`, `uint64
        (batch,)`, the masks of a row are a function of the seed, its key and its tokens, and of nothing drawn before.
        """
        batch = dict(features) if isinstance(features, Mapping) else self._padded(features)
        ids = batch["input_ids"]
        if self.legacy:
            draw = _from_torch if keys is None else _LegacyByPlace(self._place_keys(keys, ids.shape[1]), ids.shape)
            masked, labels = self._mask_like_dnabert(torch.from_numpy(ids), draw)
        else:
            new, chosen = self._mask(ids, batch.get("position_ids"), keys)
            masked, labels = torch.from_numpy(new), torch.from_numpy(chosen)
        out = {name: torch.from_numpy(value) for name, value in batch.items()}
        return {**out, "input_ids": masked, "labels": labels}

    def _padded(self, features: Sequence[Any]) -> dict[str, np.ndarray]:
        if not len(features) or "input_ids" not in features[0]:
            raise ValueError("features need 'input_ids'; tokenize the sequences first")
        fill = {"input_ids": self.tokenizer.pad_token_id, "position_ids": 0}
        rows = {name: [np.asarray(f[name]) for f in features] for name in fill if name in features[0]}
        lengths = np.array([len(row) for row in rows["input_ids"]])
        width = int(lengths.max())
        if self.pad_to_multiple_of:
            width = -(-width // self.pad_to_multiple_of) * self.pad_to_multiple_of
        out = {}
        for name, values in rows.items():
            if (lengths == width).all():
                out[name] = np.stack(values).astype(np.int64, copy=False)
                continue
            out[name] = np.full((len(values), width), fill[name], np.int64)
            for target, row in zip(out[name], values, strict=True):
                target[: len(row)] = row
        if "attention_mask" in features[0] and (lengths == width).all():
            out["attention_mask"] = np.stack([np.asarray(f["attention_mask"]) for f in features]).astype(np.int64)
        else:
            out["attention_mask"] = (np.arange(width) < lengths[:, None]).astype(np.int64)
        return out

    def _mask(
        self, ids: np.ndarray, position_ids: np.ndarray | None, keys: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        flat = ids.ravel()
        maskable = flat >= self._words.start
        if len(self._is_special) > self.tokenizer.vocab_size:
            maskable &= ~self._is_special[flat]
        breaks = np.zeros(flat.shape, dtype=bool)
        breaks[:: ids.shape[1]] = True
        if position_ids is not None:
            breaks |= position_ids.ravel() == 0
        stride = self.tokenizer.stride if self._overlap else 1
        width = tokens_per_span(self.span or self._shortest, self._longest, stride)
        chance = InOrder(self._generator()) if keys is None else self._by_place(keys, ids.shape[1])
        fate = mask_in_base_space(maskable, breaks, width=width, rate=float(self._rate), chance=chance)
        chosen = np.flatnonzero(fate)
        labels = np.full(flat.shape, _IGNORED, np.int64)
        labels[chosen] = flat[chosen]
        new = flat.copy()
        fates = fate[chosen]
        new[chosen[fates == _MASK]] = self.tokenizer.mask_token_id
        swapped = chosen[fates == _REPLACE]
        alike = getattr(self.tokenizer, "words_like", None)
        first, count = (self._words.start, len(self._words)) if alike is None else alike(flat[swapped])
        new[swapped] = chance.below(swapped, _ID, count) + first
        return new.reshape(ids.shape), labels.reshape(ids.shape)

    def chance_of_lengths(self, counts: np.ndarray, keys: np.ndarray | None = None) -> np.ndarray:
        """As the function of this name, from the seed of the masks."""
        return chance_of_lengths(counts, self.seed or 0, self._generator() if keys is None else keys)

    def _by_place(self, keys: np.ndarray, width: int) -> ByPlace:
        return ByPlace(self._place_keys(keys, width))

    def _place_keys(self, keys: np.ndarray, width: int) -> np.ndarray:
        return keys_of(keys[:, None], self.seed or 0, np.arange(width)).ravel()

    def _generator(self) -> np.random.Generator:
        if self._rng is None:
            worker = torch.utils.data.get_worker_info()
            words = None if self.seed is None else [self.seed, 0 if worker is None else worker.id + 1]
            self._rng = np.random.default_rng(words)
        return self._rng

    def _mask_like_dnabert(self, ids: torch.Tensor, draw: Callable[..., torch.Tensor]) -> tuple[Any, Any]:
        """The original's masks, draw for draw: Bernoulli centres, then 80/10/10 per token over all ids."""
        tokenizer = self.tokenizer
        ids, labels = ids.clone(), ids.clone()
        not_kmer = (ids == tokenizer.pad_token_id) | (ids == tokenizer.cls_token_id) | (ids == tokenizer.sep_token_id)
        probability = torch.full(ids.shape, float(self._rate)).masked_fill_(not_kmer, 0.0)
        centres = draw(probability, _COUNT)
        places = torch.arange(ids.shape[1])
        last = torch.where(probability != 0, places, -1).amax(dim=1)
        if (last < 0).any():
            raise ValueError("the original's masking cannot take a row without k-mers, or a probability of 0")
        width = self.span or tokenizer.k
        chosen = torch.zeros_like(centres)
        for offset in range(-((width - 1) // 2), width // 2 + 1):
            chosen |= torch.roll(centres, offset, dims=1) & (places >= offset) & (places < ids.shape[1] + offset)
        chosen &= (places >= 1) & (places <= last[:, None])
        # Centres lie inside anyway; the original only bounds the offsets.
        labels[~chosen] = _IGNORED
        masked = draw(torch.full(ids.shape, 0.8), _FATE) & chosen
        ids[masked] = tokenizer.mask_token_id
        swapped = draw(torch.full(ids.shape, 0.5), _SPOT) & chosen & ~masked
        ids[swapped] = draw(ids.shape, _ID, len(tokenizer))[swapped]
        return ids, labels
