"""From sequences to the ids that `PairCnnModel` reads."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers import BatchFeature, ProcessorMixin

__all__ = ["PairCnnProcessor"]

SHORTEST, LONGEST = 10, 41  # nucleotides of a miRNA to scan with; of a long one the model reads the first

_IDS = np.full(256, 255, dtype=np.uint8)
for _letters, _id in (("Aa", 1), ("Cc", 2), ("Gg", 3), ("UuTt", 4), ("NRYSWKMBDHVnryswkmbdhv", 5)):
    _IDS[np.frombuffer(_letters.encode(), np.uint8)] = _id


class PairCnnProcessor(ProcessorMixin):
    """Ids of miRNAs and targets: 1 to 4 for A C G U (or T), 5 for another letter of a nucleotide, 0 behind the end.

    Args:
        max_mirna_length (`int`, defaults to 24): Nucleotides that the model reads, from the 5' end.
        target_length (`int`, *optional*): Longest target of a model that reads a matrix of fixed size.

    Examples:
        >>> processor = PairCnnProcessor()
        >>> inputs = processor("UGAGGUAGUAGGUUGUAUAGUU", ["AACUAUACAACCUACUACCUCA", "CUACCUCA"])
        >>> inputs["mirna_ids"].shape, inputs["target_ids"].shape
        (torch.Size([2, 22]), torch.Size([2, 22]))
        >>> inputs["target_ids"][1, :10].tolist()
        [2, 4, 1, 2, 2, 4, 2, 1, 0, 0]
    """

    molecule = "rna"
    model_input_names = ["mirna_ids", "target_ids"]  # noqa: RUF012

    def __init__(self, max_mirna_length: int = 24, target_length: int | None = None, **kwargs: Any):
        if max_mirna_length < 1:
            raise ValueError(f"max_mirna_length must be 1 or more; got {max_mirna_length}")
        super().__init__(**kwargs)
        self.max_mirna_length = max_mirna_length
        self.target_length = target_length

    def encode_mirna(self, sequence: str, name: str = "miRNA") -> np.ndarray:
        """Codes of one miRNA to scan with, `(length,)` uint8: A 0, C 1, G 2, U or T 3, another nucleotide letter 4.

        Raises:
            ValueError: a letter is no nucleotide, or the length is none of a mature miRNA; the message names `name`.
        """
        codes = self.encode_target(sequence, name)
        if not SHORTEST <= len(codes) <= LONGEST:
            raise ValueError(
                f"{name}: a miRNA has {SHORTEST} to {LONGEST} nucleotides here, this one {len(codes)}; give the "
                "mature miRNA, not the hairpin or the seed alone"
            )
        return codes

    def encode_target(self, sequence: str, name: str = "target") -> np.ndarray:
        """Codes of a stretch of mRNA of any length, as of `encode_mirna`.

        Raises:
            ValueError: a letter is no nucleotide; the message names `name`.
        """
        codes = _IDS[np.frombuffer(sequence.encode("ascii", "replace"), np.uint8)] - 1
        if (codes == 254).any():
            at = int(np.flatnonzero(codes == 254)[0])
            hint = " (a protein? the model reads RNA or DNA)" if sequence[at].isalpha() else ""
            raise ValueError(f"{name}: {sequence[at]!r} at position {at + 1} is no nucleotide letter{hint}")
        return codes

    def encode_mirnas(self, mirnas: Sequence[str]) -> np.ndarray:
        """Ids of miRNAs, 5'->3': `(n, longest)` uint8, at most `max_mirna_length` columns.

        Raises:
            ValueError: a letter is no nucleotide, or a miRNA is empty.
        """
        longer = sum(len(mirna) > self.max_mirna_length for mirna in mirnas)
        if longer:
            warnings.warn(
                f"{longer} of {len(mirnas)} miRNAs are longer than the {self.max_mirna_length} nt that the model "
                "reads; what follows is left out",
                stacklevel=2,
            )
        return _encode(mirnas, "miRNA")[:, : self.max_mirna_length]

    def encode_targets(self, targets: Sequence[str]) -> np.ndarray:
        """Ids of targets, 5'->3': `(n, longest)` uint8.

        Raises:
            ValueError: a letter is no nucleotide, or a target is empty or longer than `target_length`.
        """
        most = self.target_length
        for number, target in enumerate(targets):
            if most is not None and len(target) > most:
                raise ValueError(f"target {number}: {len(target)} nt, and the model reads {most}; cut it into windows")
        return _encode(targets, "target")

    def __call__(  # type: ignore[override]
        self, mirna: str | Sequence[str], target: str | Sequence[str], *, return_tensors: str | None = "pt"
    ) -> BatchFeature:
        """Ids of pairs.

        Args:
            mirna (`str` or `Sequence[str]`): miRNAs, 5'->3'; one is paired with every target.
            target (`str` or `Sequence[str]`): Stretches of mRNA, 5'->3', as many as miRNAs.
            return_tensors (`str`, *optional*): `"pt"` or `"np"`.

        Returns:
            `BatchFeature`: `mirna_ids` `(pairs, m)` and `target_ids` `(pairs, t)`.

        Raises:
            ValueError: counts differ, a sequence is empty or too long, or a letter is no nucleotide.
        """
        targets = [target] if isinstance(target, str) else list(target)
        mirnas = [mirna] * len(targets) if isinstance(mirna, str) else list(mirna)
        if len(mirnas) != len(targets):
            raise ValueError(f"{len(mirnas)} miRNAs and {len(targets)} targets; give one target a miRNA, or one miRNA")
        data = {"mirna_ids": self.encode_mirnas(mirnas), "target_ids": self.encode_targets(targets)}
        return BatchFeature({name: ids.astype(np.int64) for name, ids in data.items()}, tensor_type=return_tensors)


def _encode(sequences: Sequence[str], kind: str) -> np.ndarray:
    """`(n, longest)` uint8, filled in one go whatever the lengths."""
    lengths = np.fromiter((len(sequence) for sequence in sequences), np.int64, len(sequences))
    if (lengths == 0).any():
        raise ValueError(f"{kind} {int(np.flatnonzero(lengths == 0)[0])} is empty")
    flat = _IDS[np.frombuffer("".join(sequences).encode("ascii", "replace"), np.uint8)]
    if (flat == 255).any():
        at = int(np.flatnonzero(flat == 255)[0])
        number = int(np.searchsorted(lengths.cumsum(), at, side="right"))
        position = at - int(lengths[:number].sum())
        letter = sequences[number][position]
        raise ValueError(f"{kind} {number}: {letter!r} at position {position + 1} is no nucleotide letter")
    ids = np.zeros((len(sequences), int(lengths.max(initial=0))), dtype=np.uint8)
    ids[np.arange(ids.shape[1]) < lengths[:, None]] = flat
    return ids
