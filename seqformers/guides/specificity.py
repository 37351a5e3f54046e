"""How likely an off-target is cut, by the places of its mismatches, and what that means for a guide.

Kim et al. 2017 (Nature Methods 14:153) measured Cpf1 on mismatched targets and found three regions of the protospacer,
counted from the PAM: a seed (1-6) in which a mismatch nearly always stops it, a trunk (7-18) in which most do, and a
promiscuous region (19-23) in which it cuts all the same. The regions are theirs. The factor of each is a round number
of ours in their order; it was not fitted to anything, so read the specificity as a ranking.
"""

from __future__ import annotations

import numpy as np

from seqformers.guides.packing import mismatch_table
from seqformers.guides.sites import PROTOSPACER

__all__ = ["WEIGHTINGS", "hit_scores", "specificity"]

_REGIONS = ((6, 0.05), (12, 0.2), (5, 0.8))  # letters, and the factor of a mismatch among them
WEIGHTINGS: dict[str, np.ndarray] = {
    "weighted": np.concatenate([np.full(size, factor) for size, factor in _REGIONS]),
    "uniform": np.full(PROTOSPACER, 0.2),
}


def hit_scores(bits: np.ndarray, weighting: str) -> np.ndarray:
    """How likely sites are cut, beside a perfect one, from 0 to 1: the product of a factor a mismatch, `(n,)`.

    Args:
        bits (`np.ndarray` of `uint64`): The lower bit of every letter that differs.
        weighting (`str`): One of [`WEIGHTINGS`]: `weighted` by region, `uniform` 0.2 wherever it is.

    Examples:
        >>> hit_scores(np.array([0, 1, 1 << 44, 1 | 1 << 44], np.uint64), "weighted").round(4).tolist()
        [1.0, 0.05, 0.8, 0.04]
    """
    return np.exp(mismatch_table(bits) @ np.log(WEIGHTINGS[weighting]))


def specificity(total: np.ndarray) -> np.ndarray:
    """From 0 to 100, the share of cuts that fall on the target: 100 / (1 + sum of the scores of all off-targets).

    The form is that of the guide scores of Hsu et al. 2013 (Nature Biotechnology 31:827).
    """
    return 100 / (1 + total)
