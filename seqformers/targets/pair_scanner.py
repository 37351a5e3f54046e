"""The engine of a target scan with a pair CNN: pairs stream through jobs of bounded size, results come in order.

What is a site, and how sites make a pair's score, stands in `pair_sites.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from seqformers.hub.load import load_model, packaged_model
from seqformers.modeling.targets.processing_pair_cnn import PairCnnProcessor
from seqformers.targets.jobs import Engine
from seqformers.targets.pair_sites import SiteFinder
from seqformers.targets.places import AFTER, BEFORE, WINDOW
from seqformers.targets.records import TargetRecords
from seqformers.targets.results import RANKED_PAIR_COLUMNS, RANKED_SITE_COLUMNS, RankedPair

__all__ = ["PairCnnScanner"]

_JOB_LETTERS, _FAST_JOB_LETTERS = 100_000, 400_000  # of mRNAs; where a small network reads them, more


class PairCnnScanner(Engine):
    """A pair CNN with its processor, ready to score streams of pairs.

    Args:
        model (*optional*): Folder, Hub repository or `PairCnnModel`; by default the one that comes with the package.
        exhaustive (`bool`): Let the network itself slide along every mRNA, in place of the small one.
        energy (`bool`): Give the energy of each reported site's duplex, where ViennaRNA is installed.
        batch_size (`int`, *optional*): Windows a batch.
        threads (`int`, *optional*): Worker threads; by default one a core.
        device (`str`, *optional*): By default a GPU if there is one.
        precision (`str`): As of `Engine`.

    Attributes:
        fingerprint (`dict`): What tells this model and selection from others.

    Raises:
        ValueError: the folder or repository holds no pair CNN, or an option is out of its range.
    """

    windows = False
    padding = (BEFORE, AFTER)
    batch_sizes = (128, 16_384)
    pair_columns, site_columns = RANKED_PAIR_COLUMNS, RANKED_SITE_COLUMNS

    def __init__(
        self,
        model: Any = None,
        *,
        exhaustive: bool = False,
        energy: bool = True,
        batch_size: int | None = None,
        threads: int | None = None,
        device: str | None = None,
        precision: str = "fp32",
    ):
        super().__init__(model, "pair_cnn", batch_size=batch_size, threads=threads, device=device, precision=precision)
        config = self.model.config
        if config.target_length < WINDOW:
            raise ValueError(f"a scan reads windows of {WINDOW} nt, and this model {config.target_length} at most")
        if exhaustive and config.kind != "diagonal":
            raise ValueError("--exhaustive needs a diagonal reader: a matrix reader cannot slide along an mRNA")
        self.processor = self.encoder or PairCnnProcessor(max_mirna_length=config.max_mirna_length)
        scout = None
        if not exhaustive:
            scout = load_model(packaged_model("pair_cnn").parent / "pair_cnn_scout", family="pair_cnn", device=device)
        self.finder = SiteFinder(
            self.model, scout and scout.model, device=self.device, energy=energy, batch_size=self.batch_size,
            precision=self.precision,
        )  # fmt: skip
        self.fingerprint = {
            "weights": self.weights, "scout": scout and scout.fingerprint, "energy": self.finder.energy,
            **self.chosen_precision,
        }  # fmt: skip
        self.job_letters = _JOB_LETTERS if exhaustive else _FAST_JOB_LETTERS

    def scan(
        self, mirnas: TargetRecords, mrnas: TargetRecords, pairs: Iterable[tuple[int, int]], *, sites: bool = False
    ) -> Iterator[RankedPair]:
        """Score pairs, in order.

        Args:
            mirnas (`TargetRecords`): miRNAs.
            mrnas (`TargetRecords`): mRNAs, with padded ends.
            pairs (`Iterable[tuple[int, int]]`): Index of miRNA and mRNA of each pair.
            sites (`bool`): Keep every site in `ScoredPair.sites`.

        Yields:
            `RankedPair`: one a pair.
        """
        work = partial(self.finder.score, mirnas=mirnas, mrnas=mrnas, sites=sites)
        for _, results in self.run(self._jobs(mrnas, pairs), work):
            yield from results

    def _jobs(self, mrnas: TargetRecords, pairs: Iterable[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
        """Pairs of some letters together; a long mRNA alone."""
        job: list[tuple[int, int]] = []
        letters = 0
        for pair in pairs:
            job.append(pair)
            letters += len(mrnas.codes[pair[1]])
            if letters >= self.job_letters:
                yield job
                job, letters = [], 0
        if job:
            yield job
