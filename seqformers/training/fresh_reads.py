"""Fresh reads of genomes in every epoch: rows that are drawn when their batch is made, and the same for every process.

Row `i` of epoch `e` depends on the seed, `e` and `i` alone, so neither the number of workers and processes nor a kill
changes what a step sees; see `seqformers.datasets_scripts.genomes.reads`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch

from seqformers.datasets_scripts.common.counter_draws import keys_of, uniform
from seqformers.datasets_scripts.genomes.arrays import GenomeArrays
from seqformers.datasets_scripts.genomes.pairs import Pairs, PairSampler
from seqformers.datasets_scripts.genomes.reads import ReadOptions, Reads, ReadSampler

__all__ = ["READ_KEYS", "FreshReads", "ReadSource"]

_ROWS = {"per_epoch": 100_000, "validation": 2_000, "test": 2_000}
# Keys of `data.reads` and their types.
READ_KEYS: dict[str, Any] = {
    "length": int | dict,
    "weight": str,
    "balance": bool,
    "gc_match": bool,
    "reverse_complement": bool,
    "max_unknown": float,
    "classes": dict,
    "pairs": str,
    **dict.fromkeys(_ROWS, int),
}
assert {item.name for item in fields(ReadOptions)} == READ_KEYS.keys() - _ROWS.keys() - {"pairs"}

PAIRS = ("any", "like_gc", "same")

_SHOWN = 50_000_000  # letters of the train reads that shortcuts see
_BATCHES = 64  # of a global batch: rows that are sorted by length together
_BATCH_ORDER = 17  # use of chance


class FreshReads(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """Rows of training that exist when they are asked for.

    Args:
        sampler (`ReadSampler` or `PairSampler`): What is drawn.
        rows (`int`): Rows of an epoch.
        labels (`Sequence[int]`): Class numbers of the model for those of the sampler.
        batch (`int`, *optional*): Rows of a step over all processes: batches are then of like length, in random order.
    """

    def __init__(self, sampler: ReadSampler | PairSampler, rows: int, labels: Sequence[int], batch: int | None = None):
        self.sampler = sampler
        self.rows = rows
        self.batch = batch
        self._labels = np.asarray(labels, np.int64)
        # Shared, so that workers that outlive an epoch know the next one.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._block: tuple[tuple[int, int], np.ndarray] = ((-1, -1), np.empty(0, np.int64))

    def __len__(self) -> int:
        return self.rows

    @property
    def epoch(self) -> int:
        """Whose rows are drawn."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch; the data loader calls it."""
        self._epoch.fill_(epoch)

    def __getitem__(self, index: int) -> dict[str, Any]:
        found = self.__getitems__([index])
        if isinstance(found, Pairs):
            return {name: column[0] for name, column in _columns_of_pairs(found).items()}
        return {"sequence": found.strings()[0], "label": int(found.labels[0])}

    def __getitems__(self, indices: Sequence[int]) -> Reads | Pairs:
        """The reads of a batch at once; `torch`'s data loader hands them to the collator."""
        epoch = self.epoch
        numbers = np.asarray(indices, np.int64)
        if self.batch is not None:
            numbers = self._sorted_numbers(numbers, epoch)
        reads = self.sampler.draw(numbers, epoch)
        if isinstance(reads, Reads):
            reads.labels = self._labels[reads.labels]
        return reads

    def _sorted_numbers(self, indices: np.ndarray, epoch: int) -> np.ndarray:
        """Numbers of the reads at some places of the order in which batches are of like length."""
        assert self.batch is not None
        size = self.batch * _BATCHES
        out = np.empty_like(indices)
        for block in np.unique(indices // size).tolist():  # nearly always one
            if self._block[0] != (epoch, block):
                self._block = (epoch, block), self._order(epoch, block, size)
            inside = indices // size == block
            out[inside] = self._block[1][indices[inside] - block * size]
        return out

    def _order(self, epoch: int, block: int, size: int) -> np.ndarray:
        """Numbers of a block: sorted by length, cut into batches, whole batches in random order, a rest last."""
        assert self.batch is not None
        numbers = np.arange(block * size, min((block + 1) * size, self.rows))
        numbers = numbers[np.argsort(self.sampler.lengths(numbers, epoch), kind="stable")]
        whole = len(numbers) // self.batch
        keys = keys_of(self.sampler.seed, epoch, block, np.arange(whole))
        order = np.argsort(uniform(keys, _BATCH_ORDER))
        batches = numbers[: whole * self.batch].reshape(whole, self.batch)[order]
        return np.concatenate([batches.ravel(), numbers[whole * self.batch :]])


@dataclass
class ReadSource:
    """Genomes of a recipe, and what is drawn from them.

    Args:
        folder (`Path`): Output of `seqformers build genomes`.
        options (`ReadOptions`): What is drawn.
        rows (`dict`): `per_epoch`, `validation`, `test`.
        split (`str`): Split of the genomes that training draws from.
        pairs (`str`, *optional*): Rows are two reads of one genome or of two: of `any` two, or of `like_gc`;
            or all of the `same` genome.
    """

    folder: Path
    options: ReadOptions
    rows: dict[str, int]
    split: str
    pairs: str | None = None

    @property
    def columns(self) -> dict[str, str] | None:
        """Columns of pairs, by the argument of the tokenizer they are for."""
        return None if self.pairs is None else {"text": "sequence", "text_pair": "mate"}

    @classmethod
    def of(cls, path: str | Path, reads: Mapping[str, Any], split: str) -> ReadSource:
        """From `data.path` and `data.reads` of a recipe.

        Raises:
            ValueError: the folder holds no genomes, or an option makes no sense.
        """
        if not GenomeArrays.is_built(path):
            raise ValueError(
                f"data.reads draws from genomes, and {path} holds none; make them with `seqformers build genomes DIR "
                f"--output {path}`"
            )
        given = {key: value for key, value in reads.items() if value is not None}
        rows = {name: given.pop(name, usual) for name, usual in _ROWS.items()}
        pairs = given.pop("pairs", None)
        if pairs not in (None, *PAIRS):
            raise ValueError(f"data.reads.pairs must be one of {', '.join(PAIRS)}, not {pairs!r}")
        try:
            return cls(Path(path), ReadOptions(**given), rows, split, pairs)
        except (TypeError, ValueError) as error:
            raise ValueError(f"data.reads: {error}") from error

    def sampler(self, split: str, seed: int) -> ReadSampler:
        """Reads of a split."""
        return ReadSampler(GenomeArrays.open(self.folder, split), self.options, seed)

    def pair_sampler(self, split: str, seed: int) -> PairSampler:
        """Pairs of reads of a split."""
        sampler = self.sampler(split, seed)
        return PairSampler(sampler, like_gc=self.pairs == "like_gc", only_same=self.pairs == "same")

    def table(self, splits: Mapping[str, str | None]) -> dict[str, datasets.Dataset]:
        """Fixed reads of each split: what is scored, and for train the first epoch's, which shortcuts learn from."""
        found = {}
        for role, name in splits.items():
            if name is None or not any((self.folder / "genomes").glob(f"{name}-*.parquet")):
                if role == "train":
                    GenomeArrays.open(self.folder, name)  # says what there is
                continue
            rows = self.rows["per_epoch" if role == "train" else role]
            rows = min(rows, max(_SHOWN // self.options.longest, 1)) if role == "train" else rows
            if self.pairs is not None:
                pairs = self.pair_sampler(name, seed=0).draw(np.arange(rows))
                found[role] = datasets.Dataset.from_dict(_columns_of_pairs(pairs))
                continue
            sampler = self.sampler(name, seed=0)
            reads = sampler.draw(np.arange(rows))
            found[role] = datasets.Dataset.from_dict(
                {
                    "sequence": reads.strings(),
                    "label": reads.labels,
                    "genome_id": sampler.genomes.genome_ids.take(reads.record),
                    "group": np.array(sampler.genomes.groups, object)[sampler.genomes.group[reads.record]],
                    "start": reads.start,
                },
                features=datasets.Features(
                    {
                        "sequence": datasets.Value("string"),
                        "label": datasets.ClassLabel(names=sampler.names),
                        "genome_id": datasets.Value("string"),
                        "group": datasets.Value("string"),
                        "start": datasets.Value("int64"),
                    }
                ),
            )
        return found

    def stream(self, seed: int, names: Sequence[str], batch: int | None = None) -> FreshReads:
        """Train rows of a seed, labelled by the places of their classes in `names` (none: as they are)."""
        if self.pairs is not None:
            return FreshReads(self.pair_sampler(self.split, seed), self.rows["per_epoch"], [], batch)
        sampler = self.sampler(self.split, seed)
        labels = [list(names).index(name) for name in sampler.names] if names else range(len(sampler.names))
        return FreshReads(sampler, self.rows["per_epoch"], labels, batch)


def _columns_of_pairs(pairs: Pairs) -> dict[str, list[Any]]:
    return {
        "sequence": pairs.first.strings(),
        "mate": pairs.second.strings(),
        "next_sentence_label": (~pairs.same).astype(np.int64).tolist(),
        "group": pairs.group.tolist(),
    }
