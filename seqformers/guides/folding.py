"""Secondary structure of the crRNA by ViennaRNA: how stable it is, and how likely each letter is paired.

A guide is folded once: what was folded before is remembered. Folding takes about a thousand times as long as scoring
by a network.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np

from seqformers.guides.sites import PAM_LENGTH, PROTOSPACER, UPSTREAM

__all__ = ["STRUCTURE_NAMES", "Folder"]

# Direct repeat of AsCpf1's crRNA; it is folded together with the guide.
DIRECT_REPEAT = "AAUUUCUACUCUUGUAGAU"
_REPEAT = len(DIRECT_REPEAT)
_WHOLE = _REPEAT + PROTOSPACER
STRUCTURE_NAMES = (
    "ensemble_energy", *(f"paired_{letter}" for letter in range(_WHOLE)),
    "pairs_repeat_guide", "pairs_repeat", "pairs_guide",
)  # fmt: skip
_GUIDE = slice(UPSTREAM + PAM_LENGTH, UPSTREAM + PAM_LENGTH + PROTOSPACER)
_LETTERS = np.frombuffer(b"ACGUN", dtype=np.uint8)
_REMEMBERED = 1 << 18  # guides, 48 MB


class Folder:
    """Folds guides behind the direct repeat; remembers what it folded.

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
        """`(n, 46)`, columns [`STRUCTURE_NAMES`], for contexts of `(n, 34)` codes.

        The free energy of the ensemble (kcal/mol), the probability of every letter to be paired, and the expected
        pairs between repeat and guide, within the repeat (its stem is what Cpf1 binds) and within the guide.
        """
        guides = [row.tobytes() for row in _LETTERS[np.minimum(codes[:, _GUIDE], 4)]]
        if len(self._known) + len(guides) > _REMEMBERED:
            self._known.clear()
        found = np.empty((len(guides), len(STRUCTURE_NAMES)), np.float32)
        for row, guide in enumerate(guides):
            if guide not in self._known:
                self._known[guide] = self._fold(guide.decode())
            found[row] = self._known[guide]
        return found

    def _fold(self, guide: str) -> np.ndarray:
        fold = self._rna.fold_compound(DIRECT_REPEAT + guide)
        ensemble = fold.pf()[1]
        size = _WHOLE + 1  # ViennaRNA counts from 1
        flat = np.fromiter(chain.from_iterable(fold.bpp()), np.float64, size * size)
        pairs = flat.reshape(size, size)[1:, 1:]  # the upper triangle
        between = [pairs[:_REPEAT, _REPEAT:].sum(), pairs[:_REPEAT, :_REPEAT].sum(), pairs[_REPEAT:, _REPEAT:].sum()]
        return np.hstack([ensemble, pairs.sum(0) + pairs.sum(1), between]).astype(np.float32)
