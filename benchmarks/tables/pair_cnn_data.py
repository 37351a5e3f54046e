"""Training data of the pair CNN: chimeric reads of four experiments, and non-targets drawn anew in every epoch.

The file's own non-targets are for validation. In training, the targets of each source are permuted over its miRNAs, so
that every miRNA and every target is as often among the non-targets as among the targets: knowing either says nothing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from seqformers.modeling.targets.processing_pair_cnn import PairCnnProcessor

FILE = "chimeric_pairs_bias_corrected.parquet"
TESTS = {"clash2013_eval": "clash2013_eval_1_1.parquet", "hejret2023": "hejret2023_train.parquet"}
QCLASH = "qclash_gay2018"
UNKNOWN = 5
SINGLE_COPY = 0.5  # share of the qCLASH sites seen in one read that an epoch has: few of them hold the seed
_TRIES = 200


def read_pairs(folder: Path) -> pd.DataFrame:
    """The file with `seed` (number of the miRNA's nt 2-7) and `single` (one copy in qCLASH)."""
    pairs = pd.read_parquet(folder / FILE)
    pairs["n_copies"] = pairs["n_copies"].fillna(1).astype(int)
    pairs["seed"] = pd.factorize(pairs["mirna_seq"].str[1:7])[0]
    pairs["single"] = (pairs["source"] == QCLASH) & (pairs["n_copies"] == 1)
    return pairs


class NonTargets:
    """Draws a target for each positive's miRNA from the same source, none whose cluster has a positive of the seed.

    Args:
        positives: Rows of `read_pairs` with label 1 of one split.
    """

    def __init__(self, positives: pd.DataFrame):
        self.cluster = positives["cluster"].to_numpy(np.int64)
        self.seed = positives["seed"].to_numpy(np.int64)
        self.sources = [np.flatnonzero(positives["source"] == name) for name in sorted(positives["source"].unique())]
        self.width = int(self.seed.max()) + 1
        self.known = np.unique(self.cluster * self.width + self.seed)

    def clash(self, mirnas: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Whether the target's cluster has a positive of the miRNA's seed, row by row."""
        wanted = self.cluster[targets] * self.width + self.seed[mirnas]
        at = np.searchsorted(self.known, wanted).clip(max=len(self.known) - 1)
        return self.known[at] == wanted

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        """Row of the target for each row's miRNA: within each source a permutation."""
        drawn = np.empty(len(self.seed), np.int64)
        for rows in self.sources:
            targets = generator.permutation(rows)
            for _ in range(_TRIES):
                wrong = np.flatnonzero(self.clash(rows, targets))
                if not len(wrong):
                    break
                for one, other in zip(wrong, generator.integers(0, len(rows), len(wrong)), strict=True):
                    targets[[one, other]] = targets[[other, one]]
            else:
                raise ValueError(
                    f"{len(wrong)} of {len(rows)} miRNAs found no target without a positive of their seed"
                )
            drawn[rows] = targets
        return drawn


class Pairs(torch.utils.data.Dataset):
    """Numbers of rows, first positives, then their miRNAs with the targets drawn last; `collate` looks them up.

    Args:
        positives: Rows of `read_pairs` with label 1.
        seed: Of the draws, shifts, cuts and masks.

    Attributes:
        shift: Farthest that a target is moved to either side, in nucleotides.
        masked: Share of targets that lose flanks, up to `longest_mask` nt on each side.
        cut: Share of miRNAs cut to 20 nt, as CLASH 2013 stores them.
    """

    shift, masked, longest_mask, cut = 8, 0.5, 20, 0.3

    def __init__(self, positives: pd.DataFrame, seed: int):
        processor = PairCnnProcessor()
        self.mirnas = torch.from_numpy(processor.encode_mirnas([m[:24] for m in positives["mirna_seq"]]))
        self.targets = torch.from_numpy(processor.encode_targets(list(positives["target_seq"])))
        self.single = np.flatnonzero(positives["single"])
        self.others = np.flatnonzero(~positives["single"])
        self.non_targets, self.seed = NonTargets(positives), seed
        self.generator = torch.Generator().manual_seed(seed)
        self.redraw(0)

    def redraw(self, epoch: int) -> None:
        """Non-targets and single-copy sites of an epoch; the same for the same seed and epoch."""
        generator = np.random.default_rng([self.seed, epoch])
        self.drawn = torch.from_numpy(self.non_targets.draw(generator))
        single = generator.choice(self.single, int(len(self.single) * SINGLE_COPY), replace=False)
        self.rows = torch.from_numpy(np.concatenate([self.others, single]))

    def __len__(self) -> int:
        return 2 * len(self.rows)

    def __getitem__(self, index: int) -> int:
        return index

    def collate(self, numbers: list[int]) -> dict[str, torch.Tensor]:
        """A batch of targets and non-targets."""
        index = torch.tensor(numbers)
        positive = index < len(self.rows)
        mirna = self.rows[index % len(self.rows)]
        target = torch.where(positive, mirna, self.drawn[mirna])
        return {
            "mirna_ids": self._cut(self.mirnas[mirna]),
            "target_ids": self._mask(self._move(self.targets[target])),
            "labels": positive.float(),
        }

    def _random(self, *size: int) -> torch.Tensor:
        return torch.rand(size, generator=self.generator)

    def _cut(self, mirnas: torch.Tensor) -> torch.Tensor:
        cut = self._random(len(mirnas), 1) < self.cut
        return mirnas.masked_fill(cut & (torch.arange(mirnas.shape[1]) >= 20), 0)

    def _move(self, targets: torch.Tensor) -> torch.Tensor:
        by = (self._random(len(targets), 1) * (2 * self.shift + 1)).long() - self.shift
        source = torch.arange(targets.shape[1]) + by
        inside = (source >= 0) & (source < targets.shape[1])
        return targets.gather(1, source.clamp(0, targets.shape[1] - 1)).masked_fill(~inside, UNKNOWN)

    def _mask(self, targets: torch.Tensor) -> torch.Tensor:
        chosen = self._random(len(targets), 1) < self.masked
        left, right = (self._random(len(targets), 2) * self.longest_mask).long().split(1, 1)
        at = torch.arange(targets.shape[1])
        return targets.masked_fill(chosen & ((at < left) | (at >= targets.shape[1] - right)), UNKNOWN)


def validation_pairs(pairs: pd.DataFrame, draws: int = 4) -> pd.DataFrame:
    """Pairs of held-out target clusters: the positives, and `draws` non-targets a positive.

    qCLASH counts by its sites of two copies or more, since half of the others are noise.
    """
    held = pairs[(pairs["split"] == "valid") & (pairs["label"] == 1)].reset_index(drop=True)
    non_targets, generator = NonTargets(held), np.random.default_rng(123)
    tables = [held]
    for _ in range(draws):
        targets = held["target_seq"].to_numpy()[non_targets.draw(generator)]
        tables.append(held.assign(target_seq=targets, label=0, single=False))
    found = pd.concat(tables, ignore_index=True)
    qclash = found["source"] == QCLASH
    fewer = ~qclash | (found["label"] == 1) | (np.arange(len(found)) % 4 == 0)
    return found[~found["single"] & fewer].reset_index(drop=True)
