"""Draw pairs of proteins, half from the same family and half from two, holding index arrays only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import datasets
import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["FamilyPairs", "stream_pairs"]


class FamilyPairs:
    """Same-family and different-family pairs in equal number, one pair a protein and epoch.

    Each protein is the first of one pair. A same-family partner is uniform in the family; for a different one first
    a family is drawn, uniform over the others, then a protein uniform in it (PLUS, Min et al. 2021).

    Args:
        families (`(n,)` array or sequence): Family of each protein, any hashable or integer labels.
        seed (`int`, *optional*, defaults to 0): Pairs depend on seed and epoch only.
        legacy (`bool`, *optional*, defaults to `False`): PLUS' draw: the partner may be the protein itself, a member
            of a family of one is then paired with itself, and each pair is "same" by an independent coin.

    Attributes:
        num_families (`int`): Families.
        num_singletons (`int`): Families of one protein. Without `legacy` its protein never starts a same-family
            pair; it still occurs in different-family ones.

    Raises:
        ValueError: fewer than two families, or no family with two members.

    Examples:
        >>> pairs = FamilyPairs(["a", "a", "b", "b"], seed=1)
        >>> first, second, same = pairs.draw(epoch=0)
        >>> int(same.sum()), len(first)
        (2, 4)
    """

    def __init__(self, families: ArrayLike | Sequence[Any], *, seed: int = 0, legacy: bool = False):
        names, codes = np.unique(np.asarray(families), return_inverse=True)
        self.seed, self.legacy = seed, legacy
        self.num_families = len(names)
        if self.num_families < 2:
            raise ValueError(f"pairs need at least two families, found {self.num_families}")
        self._order = np.argsort(codes, kind="stable")
        self._size = np.bincount(codes)
        self._start = np.r_[0, np.cumsum(self._size)[:-1]]
        self._family = codes
        self._place = np.empty(len(codes), dtype=np.int64)
        self._place[self._order] = np.arange(len(codes))
        self.num_singletons = int((self._size == 1).sum())
        if not legacy and self.num_singletons == self.num_families:
            raise ValueError("every family has one member, so no same-family pair exists; add sequences")

    def draw(self, epoch: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Pairs of one epoch in random order.

        Returns:
            `tuple`: positions of the first and of the second protein, and whether they are of the same family; each
            as long as there are proteins (shorter when families of one are more than half of them: the numbers of
            same and different pairs stay equal).
        """
        rng = np.random.default_rng([self.seed, epoch])
        first = rng.permutation(len(self._family))
        if self.legacy:
            same = rng.random(len(first)) < 0.5
        else:
            first, same = self._balanced(first, rng)
        second = np.empty_like(first)
        second[same] = self._relative(first[same], rng)
        second[~same] = self._stranger(first[~same], rng)
        return first, second, same

    def _balanced(
        self, first: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Mark a random half as "same", none of families of one; drop what cannot be balanced."""
        has_relative = self._size[self._family[first]] > 1
        wanted = min(len(first) // 2, int(has_relative.sum()))
        rank = np.empty(len(first), dtype=np.int64)
        rank[np.lexsort((rng.random(len(first)), ~has_relative))] = np.arange(len(first))
        same = rank < wanted
        keep = same | (np.cumsum(~same) <= wanted)
        return first[keep], same[keep]

    def _relative(self, first: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        family = self._family[first]
        start, size = self._start[family], self._size[family]
        if self.legacy:
            return self._order[start + rng.integers(size)]
        place = start + rng.integers(size - 1)
        return self._order[place + (place >= self._place[first])]

    def _stranger(self, first: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        other = rng.integers(self.num_families - 1, size=len(first))
        other += other >= self._family[first]
        return self._order[self._start[other] + rng.integers(self._size[other])]


def stream_pairs(dataset: Any, *, seed: int = 0, epochs: int | None = None, legacy: bool = False) -> Any:
    """Pairs drawn anew each epoch from a memory-mapped data set, as an `IterableDataset`.

    Only the family column is read into memory (4-8 bytes a protein); sequences are fetched 1,000 pairs at a time.

    Args:
        dataset (`datasets.Dataset`): Columns `sequence`, `family`; the `sequences` configuration has them.
        seed (`int`, *optional*, defaults to 0): Seed of the draws.
        epochs (`int`, *optional*): How many epochs; default endless (give the Trainer `max_steps`).
        legacy (`bool`, *optional*, defaults to `False`): See [`FamilyPairs`].

    Returns:
        `datasets.IterableDataset` with `sequence_a`, `sequence_b`, `same_family` (1 or 0).
    """
    features = datasets.Features(
        {
            "sequence_a": datasets.Value("large_string"),
            "sequence_b": datasets.Value("large_string"),
            "same_family": datasets.ClassLabel(names=["different", "same"]),
        }
    )
    arguments = {"dataset": dataset, "seed": seed, "epochs": epochs, "legacy": legacy}
    return datasets.IterableDataset.from_generator(_pairs_of, features=features, gen_kwargs=arguments)


def _pairs_of(dataset: Any, seed: int, epochs: int | None, legacy: bool) -> Iterator[dict[str, Any]]:
    pairs = FamilyPairs(
        dataset.with_format("arrow")["family"][:].to_numpy(zero_copy_only=False), seed=seed, legacy=legacy
    )
    epoch = 0
    while epochs is None or epoch < epochs:
        first, second, same = pairs.draw(epoch)
        for begin in range(0, len(first), 1000):
            chunk = slice(begin, begin + 1000)
            sequences_a = dataset[first[chunk]]["sequence"]
            sequences_b = dataset[second[chunk]]["sequence"]
            for a, b, label in zip(sequences_a, sequences_b, same[chunk].tolist(), strict=True):
                yield {"sequence_a": a, "sequence_b": b, "same_family": int(label)}
        epoch += 1
