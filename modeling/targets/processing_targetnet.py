"""Pairs of sequences to the candidate sites that `TargetNetModel` reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers import BatchFeature, ProcessorMixin

from .targetnet_sites import (
    COLUMNS,
    CRITERIA,
    DOWNSTREAM,
    LEAST_PAIRS,
    SEED,
    WINDOW,
    encode_rna,
    find_sites,
    no_sites,
)

__all__ = ["TargetNetProcessor"]


class TargetNetProcessor(ProcessorMixin):
    """From pairs of sequences to the candidate sites that `TargetNetModel` reads.

    Args:
        criterion (`str`, defaults to `"targetnet"`): Selection of candidate sites: `"targetnet"` (six pairs or more,
            wobble included, between the extended seeds), `"miraw-6-1:10"` (the same), `"miraw-7-1:10"`,
            `"miraw-7-2:10"`, `"targetscan"`, `"pita"` or `"all"` (every window).
        step (`int`, defaults to 1): Distance of windows, counted from the mRNA's 3' end; 5 for the miRAW rules.
        encode_alignment (`bool`, defaults to `True`): Draw the alignment into the encoding; `False` is an ablation.

    Examples:
        >>> processor = TargetNetProcessor()
        >>> inputs = processor("UGAGGUAGUAGGUUGUAUAGUU", "A" * 25 + "CUACCUCA" + "G" * 10)
        >>> inputs["input_ids"].shape, inputs["site_start"].tolist()
        (torch.Size([3, 2, 50]), [0, 1, 2])
    """

    molecule = "rna"
    model_input_names = ["input_ids", "pair_index", "num_pairs"]  # noqa: RUF012

    def __init__(self, criterion: str = "targetnet", step: int = 1, encode_alignment: bool = True, **kwargs: Any):
        if criterion not in CRITERIA:
            raise ValueError(f"criterion {criterion!r} is unknown; known: {', '.join(CRITERIA)}")
        if step < 1:
            raise ValueError(f"step must be 1 or more; got {step}")
        super().__init__(**kwargs)
        self.criterion = criterion
        self.step = step
        self.encode_alignment = encode_alignment

    @property
    def max_mirna_length(self) -> int:
        """Longest miRNA that fits the encoding whatever its alignments, in nucleotides."""
        if not self.encode_alignment:
            return WINDOW - DOWNSTREAM
        return COLUMNS - DOWNSTREAM - (2 * SEED - LEAST_PAIRS.get(self.criterion, 0)) + SEED

    def encode_mirna(self, sequence: str, name: str = "miRNA") -> np.ndarray:
        """Codes of a miRNA, checked for letters and length.

        Raises:
            ValueError: a letter is no nucleotide, or the length is outside 10 to `max_mirna_length`.
        """
        codes = encode_rna(sequence, name)
        if not SEED <= len(codes) <= self.max_mirna_length:
            raise ValueError(
                f"{name}: a miRNA has {SEED} to {self.max_mirna_length} nucleotides here, this one {len(codes)}; "
                "give the mature miRNA, not the hairpin or the seed alone"
            )
        return codes

    def options(self) -> dict[str, Any]:
        """Keyword arguments for `find_sites`."""
        return {"criterion": self.criterion, "step": self.step, "encode_alignment": self.encode_alignment}

    def __call__(  # type: ignore[override]
        self,
        mirna: str | Sequence[str],
        mrna: str | Sequence[str],
        *,
        criterion: str | None = None,
        return_tensors: str | None = "pt",
    ) -> BatchFeature:
        """Candidate sites of pairs.

        Args:
            mirna (`str` or `Sequence[str]`): miRNAs, 5'->3'; one is paired with every mRNA.
            mrna (`str` or `Sequence[str]`): mRNAs or sites, 5'->3', as many as miRNAs.
            criterion (`str`, *optional*): Other than the processor's own, for example `"all"` for training sites.
            return_tensors (`str`, *optional*): `"pt"` or `"np"`.

        Returns:
            `BatchFeature`: `input_ids` `(sites, 2, 50)`, `pair_index` `(sites,)` the pair of each site, `num_pairs`,
            `site_start` `(sites,)` 0-based on the 5'->3' mRNA, `pairings` `(sites,)`.

        Raises:
            ValueError: counts differ, a letter is no nucleotide, or a miRNA's length does not fit.
        """
        mrnas = [mrna] if isinstance(mrna, str) else list(mrna)
        mirnas = [mirna] * len(mrnas) if isinstance(mirna, str) else list(mirna)
        if len(mirnas) != len(mrnas):
            raise ValueError(f"{len(mirnas)} miRNAs and {len(mrnas)} mRNAs; give one mRNA a miRNA, or one miRNA")
        index: dict[str, int] = {}
        owners = [index.setdefault(sequence, len(index)) for sequence in mirnas]
        codes = [self.encode_mirna(sequence, f"miRNA {sequence}") for sequence in index]
        segments = [encode_rna(sequence, f"mRNA {number}") for number, sequence in enumerate(mrnas)]
        options = self.options() | ({"criterion": criterion} if criterion else {})
        sites = find_sites(codes, segments, owners, **options) if mrnas else no_sites(self.encode_alignment)
        data = {
            "input_ids": sites.input_ids,
            "pair_index": sites.pair,
            "num_pairs": np.int64(len(mrnas)),
            "site_start": sites.start,
            "pairings": sites.pairings,
        }
        return BatchFeature(data, tensor_type=return_tensors)
