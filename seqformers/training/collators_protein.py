"""Masked-residue batches of proteins and of pairs of proteins, drawn on whole batches as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

__all__ = ["DataCollatorForResidueLanguageModeling", "draw_without_replacement"]

_IGNORED = -100
_STRATEGIES = {"plus": "plus", "plus-tfm": "plus-tfm", "tape": "bernoulli", "unirep": "all"}
_CAPS = {"plus": 50, "plus-tfm": 76, "bernoulli": None, "all": None}
_TEXT_COLUMNS = (("sequence",), ("sequence_a", "sequence_b"))
_ID_COLUMNS = ("input_ids", "attention_mask", "token_type_ids", "special_tokens_mask")


def draw_without_replacement(available: np.ndarray, wanted: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Choose `wanted[g]` of the `available[g]` items of every group, all subsets of a group equally likely.

    Items are numbered through, group after group. Positions are drawn, those met before are drawn again, so the cost
    goes with what is chosen and not with what there is; groups of which most is wanted are shuffled instead.

    Args:
        available (`np.ndarray` of int, shape `(groups,)`): Items of each group.
        wanted (`np.ndarray` of int, shape `(groups,)`): How many to choose; no more than there are.
        rng (`np.random.Generator`): Source of randomness.

    Returns:
        `np.ndarray` of bool, shape `(available.sum(),)`: True for the chosen items.

    Examples:
        >>> chosen = draw_without_replacement(np.array([10, 4]), np.array([3, 4]), np.random.default_rng(0))
        >>> int(chosen[:10].sum()), int(chosen[10:].sum())
        (3, 4)
    """
    assert (wanted <= available).all(), "more wanted than there is"
    chosen = np.zeros(int(available.sum()), dtype=bool)
    start = np.cumsum(available) - available
    crowded = 2 * wanted > available
    if crowded.any():
        _shuffle_groups(chosen, start, available, np.where(crowded, wanted, 0), rng)
    missing = np.where(crowded, 0, wanted)
    stamp = np.empty(len(chosen), dtype=np.int32)
    while total := int(missing.sum()):
        owner = np.repeat(np.arange(len(missing)), missing)
        items = start[owner] + (rng.random(total) * available[owner]).astype(np.int64)
        fresh = ~chosen[items]
        items, owner = items[fresh], owner[fresh]
        # Of equal draws in one round the last one leaves its number behind and counts.
        number = np.arange(len(items), dtype=np.int32)
        stamp[items] = number
        counts = stamp[items] == number
        chosen[items] = True
        missing = missing - np.bincount(owner[counts], minlength=len(missing))
    return chosen


def _shuffle_groups(
    chosen: np.ndarray, start: np.ndarray, available: np.ndarray, wanted: np.ndarray, rng: np.random.Generator
) -> None:
    """Choose the first `wanted` items of each group in random order; groups that want none cost nothing."""
    sizes = np.where(wanted > 0, available, 0)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    first = np.cumsum(sizes) - sizes
    rank = np.arange(len(owner)) - first[owner]
    order = np.lexsort((rng.random(len(owner)), owner))
    chosen[(start[owner] + rank)[order][rank < wanted[owner]]] = True


@dataclass
class DataCollatorForResidueLanguageModeling:
    """Pad proteins, or pairs of proteins, and mask them for masked-residue pre-training.

    Features are dicts with `sequence`, with `sequence_a` and `sequence_b`, or with `input_ids` from a
    [`ProteinTokenizer`] (and `token_type_ids` for pairs). Single numbers beside them, such as `same_family`, are
    passed on as one tensor.

    Of the selected residues 80 % become the mask, 10 % another residue, 10 % stay. X, unknown letters and special
    tokens are never selected (but with the strategy `"all"`).

    Args:
        tokenizer (`ProteinTokenizer`): Gives the vocabulary and the layout of pairs.
        mlm_probability (`float`, defaults to 0.15): Share of residues to select, 0 to 1.
        strategy (`str`, *optional*): By default the one of the tokenizer's preset. `"plus"` selects
            `min(max_masked, floor(p · L))` residues of every protein (L with X counted); `"plus-tfm"` selects
            `min(max_masked, floor(p · tokens))` of a row and shares them out in proportion to the two lengths;
            `"bernoulli"` selects every residue with probability p, as TAPE does; `"all"` hides nothing and labels
            every token, for models that never see what they predict (the LSTMs of P-ELMo and TAPE, UniRep).
        max_masked (`int`, *optional*): Cap of the first two; 50 for `"plus"`, 76 for `"plus-tfm"`.
        legacy (`bool`, defaults to `False`): As the originals' code: PLUS may replace by X, TAPE selects start and
            end as well and replaces by any of the 30 ids, special ones included.
        max_length (`int`, *optional*): Longest row in tokens when texts are tokenized here; by default the
            tokenizer's `model_max_length`.
        seed (`int`, *optional*): Makes the masks repeatable; data loader workers draw different ones.
        pad_to_multiple_of (`int`, *optional*): Round the padded length up.

    Returns:
        A dict of tensors of shape `(batch, length)`: `input_ids`, `attention_mask`, `token_type_ids` (1 for the
        second protein), `labels` (-100 where not selected), and one of shape `(batch,)` for each number passed on.

    Raises:
        ValueError: a tokenizer without a mask, a probability outside 0..1, an unknown strategy, or features that
            hold neither ids nor sequences.

    Examples:
        >>> from seqformers import ProteinTokenizer
        >>> collate = DataCollatorForResidueLanguageModeling(ProteinTokenizer("plus"), seed=0)
        >>> batch = collate([{"sequence_a": "MKTAYIAKQR", "sequence_b": "MKTAYIWKQR", "same_family": 1}])
        >>> batch["input_ids"].shape, int((batch["labels"] != -100).sum()), batch["same_family"]
        (torch.Size([1, 24]), 2, tensor([1]))
    """

    tokenizer: Any
    mlm_probability: float = 0.15
    strategy: str | None = None
    max_masked: int | None = None
    legacy: bool = False
    max_length: int | None = None
    seed: int | None = None
    pad_to_multiple_of: int | None = None
    _rng: np.random.Generator | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.mlm_probability <= 1:
            raise ValueError(f"mlm_probability must be between 0 and 1, got {self.mlm_probability}")
        if self.strategy is None:
            self.strategy = _STRATEGIES[self.tokenizer.preset]
        if self.strategy not in _CAPS:
            raise ValueError(f"strategy must be one of {', '.join(_CAPS)}, got {self.strategy!r}")
        if self.tokenizer.mask_token_id is None and self.strategy != "all":
            raise ValueError(f"the tokenizer of preset {self.tokenizer.preset!r} has no mask token")
        if self.max_masked is None:
            self.max_masked = _CAPS[self.strategy]
        size = max(len(self.tokenizer), self.tokenizer.vocab_size)
        self._selectable = np.zeros(size, dtype=bool)
        self._selectable[self.tokenizer.residue_ids] = True
        self._special = np.zeros(size, dtype=bool)
        hidden = {self.tokenizer.mask_token_id, self.tokenizer.unk_token_id}
        self._special[[index for index in self.tokenizer.all_special_ids if index not in hidden]] = True
        self._replacements = self.tokenizer.residue_ids
        if self.legacy and self.strategy == "bernoulli":
            # Start and end are selected by the original too; padding shares no id with them in TAPE.
            self._selectable[:] = True
            self._selectable[self.tokenizer.pad_token_id] = False
            self._replacements = np.arange(self.tokenizer.vocab_size)
        elif self.legacy:
            self._replacements = np.append(self._replacements, self.tokenizer.unk_token_id)

    def __call__(self, features: Sequence[Any] | Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Tokenize if need be, pad and mask `features`; the padded arrays of a tokenizer are taken as they are."""
        if isinstance(features, Mapping):
            batch = {"token_type_ids": np.zeros_like(features["input_ids"]), **features}
        else:
            batch = self._padded(features) | _numbers(features)
        masked, labels = self.mask(batch["input_ids"], batch["attention_mask"], batch["token_type_ids"])
        out = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in batch.items()}
        return out | {"input_ids": torch.from_numpy(masked), "labels": torch.from_numpy(labels)}

    def _padded(self, features: Sequence[Any]) -> dict[str, np.ndarray]:
        if not len(features):
            raise ValueError("an empty list of features makes no batch")
        for columns in _TEXT_COLUMNS:
            if columns[0] in features[0]:
                texts = [[feature[column] for feature in features] for column in columns]
                limit = self.tokenizer.model_max_length if self.max_length is None else self.max_length
                encoded = self.tokenizer(
                    *texts,
                    padding=True,
                    truncation=True,
                    max_length=limit - limit % (self.pad_to_multiple_of or 1),
                    pad_to_multiple_of=self.pad_to_multiple_of,
                    return_tensors="np",
                )
                return dict(encoded)
        if "input_ids" not in features[0]:
            raise ValueError(
                f"features need 'sequence', 'sequence_a' and 'sequence_b', or 'input_ids', not {list(features[0])}"
            )
        rows = [np.asarray(feature["input_ids"]) for feature in features]
        lengths = np.array([len(row) for row in rows])
        width = int(lengths.max())
        if self.pad_to_multiple_of:
            width = -(-width // self.pad_to_multiple_of) * self.pad_to_multiple_of
        real = np.arange(width) < lengths[:, None]
        ids = np.full(real.shape, self.tokenizer.pad_token_id, np.int64)
        ids[real] = np.concatenate(rows)
        kinds = np.zeros(real.shape, np.int64)
        if "token_type_ids" in features[0]:
            kinds[real] = np.concatenate([np.asarray(feature["token_type_ids"]) for feature in features])
        mask = real.astype(np.int64)
        if "attention_mask" in features[0]:
            mask[real] = np.concatenate([np.asarray(feature["attention_mask"]) for feature in features])
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": kinds}

    def mask(
        self, input_ids: np.ndarray, attention_mask: np.ndarray, token_type_ids: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Masked ids and labels of a padded batch.

        Args:
            input_ids (`np.ndarray` of int64, shape `(batch, length)`): Token ids; not changed.
            attention_mask (`np.ndarray`, shape `(batch, length)`): 1 for tokens, 0 for padding.
            token_type_ids (`np.ndarray`, shape `(batch, length)`, *optional*): 1 for the second protein.

        Returns:
            Two `np.ndarray` of int64, shape `(batch, length)`: ids with residues hidden, and labels.
        """
        if self.strategy == "all":
            # Where start and stop share the id of padding (PLUS) they are no targets; TAPE predicts its own.
            real = (attention_mask != 0) & (input_ids != self.tokenizer.pad_token_id)
            return input_ids, np.where(real, input_ids, _IGNORED)
        rng = self._generator()
        selectable = self._selectable[input_ids]
        places = np.flatnonzero(selectable)
        if self.strategy == "bernoulli":
            chosen = places[rng.random(len(places), dtype=np.float32) < self.mlm_probability]
        else:
            second = None if token_type_ids is None or not token_type_ids.any() else token_type_ids.astype(bool)
            available = _per_protein(selectable, second)
            wanted = np.minimum(self._wanted(input_ids, attention_mask, second), available)
            chosen = places[draw_without_replacement(available.ravel(), wanted.ravel(), rng)]
        fate = rng.random(len(chosen), dtype=np.float32)
        labels = np.full(input_ids.shape, _IGNORED, np.int64)
        masked = input_ids.copy()
        labels.ravel()[chosen] = input_ids.ravel()[chosen]
        masked.ravel()[chosen[fate < 0.8]] = self.tokenizer.mask_token_id
        swapped = chosen[(fate >= 0.8) & (fate < 0.9)]
        masked.ravel()[swapped] = self._replacements[rng.integers(len(self._replacements), size=len(swapped))]
        return masked, labels

    def _wanted(self, input_ids: np.ndarray, attention_mask: np.ndarray, second: np.ndarray | None) -> np.ndarray:
        """How many residues to select of every protein, shape `(batch, 1 or 2)`."""
        cap = np.iinfo(np.int64).max if self.max_masked is None else self.max_masked
        residues = ~self._special[input_ids] & (attention_mask != 0)
        lengths = _per_protein(residues, second)
        if self.strategy == "plus":
            return np.minimum(np.floor(self.mlm_probability * lengths).astype(np.int64), cap)
        tokens = np.count_nonzero(attention_mask, axis=1)
        total = np.minimum(np.floor(self.mlm_probability * tokens).astype(np.int64), cap)
        if second is None:
            return total[:, None]
        first = total * lengths[:, 0] // np.maximum(lengths.sum(1), 1)
        return np.stack([first, total - first], axis=1)

    def _generator(self) -> np.random.Generator:
        if self._rng is None:
            worker = torch.utils.data.get_worker_info()
            words = None if self.seed is None else [self.seed, 0 if worker is None else worker.id + 1]
            self._rng = np.random.default_rng(words)
        return self._rng


def _per_protein(flags: np.ndarray, second: np.ndarray | None) -> np.ndarray:
    """Count true `flags` (batch, length) of each protein, shape `(batch, 1)`, or `(batch, 2)` for pairs."""
    total = np.count_nonzero(flags, axis=1)
    if second is None:
        return total[:, None]
    of_second = np.count_nonzero(flags & second, axis=1)
    return np.stack([total - of_second, of_second], axis=1)


def _numbers(features: Sequence[Any]) -> dict[str, np.ndarray]:
    """Columns of single numbers, such as `same_family`; `labels` are the masks' own."""
    taken = {*_ID_COLUMNS, "labels", *(column for columns in _TEXT_COLUMNS for column in columns)}
    first = features[0]
    names = [name for name in first if name not in taken and isinstance(first[name], (int, float, np.number))]
    return {name: np.array([feature[name] for feature in features]) for name in names}
