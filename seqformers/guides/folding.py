"""Secondary structure of the crRNA by ViennaRNA: energies, and how likely each letter is paired.

A guide is folded once: what was folded before is remembered, and guides that occur several times in a call are
folded together. Folding takes about a thousand times as long as scoring by a network.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np

from seqformers.guides.sites import PAM_LENGTH, PROTOSPACER, UPSTREAM

__all__ = ["STRUCTURE_NAMES", "Folder"]

# Direct repeat of AsCpf1's crRNA; it is folded together with the guide.
DIRECT_REPEAT = "AAUUUCUACUCUUGUAGAU"
_START = UPSTREAM + PAM_LENGTH
_WHOLE = len(DIRECT_REPEAT) + PROTOSPACER
STRUCTURE_NAMES = (
    "crrna_mfe", "crrna_ensemble", *(f"crrna_paired_{letter}" for letter in range(_WHOLE)),
    "pairs_repeat_guide", "pairs_repeat", "pairs_guide",
    "guide_mfe", "guide_ensemble", *(f"guide_paired_{letter}" for letter in range(PROTOSPACER)),
)  # fmt: skip
_LETTERS = np.frombuffer(b"ACGUN", dtype=np.uint8)
_REMEMBERED = 1 << 18  # guides, 76 MB


class Folder:
    """Folds guides behind the direct repeat and alone; remembers what it folded.

    Raises:
        ModuleNotFoundError: ViennaRNA is not installed; the message names the extra.
    """

    def __init__(self) -> None:
        try:
            import RNA
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                'folding of the crRNA needs ViennaRNA: pip install "seqformers[guides]"', name="RNA"
            ) from error
        self._rna: Any = RNA
        self._known: dict[bytes, np.ndarray] = {}

    def features(self, codes: np.ndarray) -> np.ndarray:
        """`(n, 72)`, columns [`STRUCTURE_NAMES`], for contexts of `(n, 34)` codes.

        For the guide behind the direct repeat: minimum free energy and free energy of the ensemble (kcal/mol), the
        probability of every letter to be paired, and the expected pairs between repeat and guide, within the repeat
        (its stem is what Cpf1 binds) and within the guide. For the guide alone: both energies and the probabilities.
        """
        guides = [row.tobytes() for row in _LETTERS[np.minimum(codes[:, _START : _START + PROTOSPACER], 4)]]
        if len(self._known) + len(guides) > _REMEMBERED:
            self._known.clear()
        found = np.empty((len(guides), len(STRUCTURE_NAMES)), np.float32)
        for row, guide in enumerate(guides):
            if guide not in self._known:
                self._known[guide] = self._fold(guide.decode())
            found[row] = self._known[guide]
        return found

    def _fold(self, guide: str) -> np.ndarray:
        repeat = len(DIRECT_REPEAT)
        lowest, ensemble, pairs = self._pairs(DIRECT_REPEAT + guide)
        alone_lowest, alone_ensemble, alone = self._pairs(guide)
        between = [pairs[:repeat, repeat:].sum(), pairs[:repeat, :repeat].sum(), pairs[repeat:, repeat:].sum()]
        return np.hstack([
            lowest, ensemble, pairs.sum(0) + pairs.sum(1), between,
            alone_lowest, alone_ensemble, alone.sum(0) + alone.sum(1),
        ]).astype(np.float32)  # fmt: skip

    def _pairs(self, rna: str) -> tuple[float, float, np.ndarray]:
        """Lowest energy, energy of the ensemble, and the upper triangle of pairing probabilities."""
        fold = self._rna.fold_compound(rna)
        lowest = fold.mfe()[1]
        fold.exp_params_rescale(lowest)
        ensemble = fold.pf()[1]
        size = len(rna) + 1  # ViennaRNA counts from 1
        flat = np.fromiter(chain.from_iterable(fold.bpp()), np.float64, size * size)
        return lowest, ensemble, flat.reshape(size, size)[1:, 1:]
