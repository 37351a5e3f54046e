"""How likely an off-target is cut, by the places and letters of its mismatches, and what that means for a guide.

DeWeirdt et al. 2021 (Nature Biotechnology 39:94) screened guides of AsCas12a with one mismatch in human cells. For
every place and pair of letters they give the share of such guides that were still active, and showed that for two
mismatches the product ranks guides; those shares are the table below (of the wild type, in percent, as deposited with
the paper: github.com/PeterDeWeirdt/cas12a_manuscript, off_targ_2xNLS_Cas12a.csv). Products of more than two were not
tested there, nor other PAMs, so read the specificity as a ranking.
"""

from __future__ import annotations

import numpy as np

from seqformers.guides.sites import PROTOSPACER

__all__ = ["WEIGHTINGS", "hit_scores", "specificity"]

# Letter of the guide, letter of the strand that it pairs with.
_PAIRS = ("AA", "AC", "AG", "CA", "CC", "CT", "GA", "GG", "GT", "UC", "UG", "UT")
_ACTIVE = (  # by place, from the PAM on
    (17, 20, 14, 13, 9, 10, 9, 23, 14, 22, 30, 34), (8, 10, 8, 21, 6, 6, 5, 3, 17, 6, 19, 9),
    (11, 7, 10, 16, 4, 12, 10, 7, 34, 12, 17, 11), (9, 15, 2, 10, 7, 6, 3, 2, 21, 10, 16, 8),
    (7, 9, 4, 3, 5, 1, 2, 4, 39, 9, 6, 16), (7, 16, 17, 11, 6, 4, 2, 13, 29, 1, 11, 15),
    (10, 11, 13, 10, 2, 14, 14, 12, 54, 7, 18, 11), (12, 22, 1, 17, 3, 21, 32, 3, 71, 9, 17, 19),
    (9, 24, 25, 14, 4, 32, 30, 32, 62, 12, 34, 32), (8, 17, 9, 23, 7, 20, 13, 11, 66, 18, 41, 32),
    (10, 25, 13, 24, 19, 45, 10, 12, 51, 19, 36, 33), (6, 19, 15, 25, 8, 20, 8, 20, 64, 12, 22, 8),
    (12, 30, 10, 33, 10, 13, 6, 6, 47, 9, 19, 15), (9, 8, 13, 34, 7, 43, 7, 11, 59, 8, 32, 28),
    (11, 15, 8, 27, 10, 24, 7, 17, 54, 10, 35, 24), (9, 34, 3, 17, 2, 19, 17, 10, 19, 25, 10, 14),
    (6, 15, 10, 24, 15, 26, 4, 16, 34, 15, 20, 26), (22, 24, 30, 17, 7, 20, 33, 35, 85, 9, 49, 37),
    (51, 50, 31, 47, 42, 66, 56, 37, 77, 45, 51, 63), (77, 89, 67, 81, 77, 75, 82, 61, 68, 83, 71, 85),
    (80, 100, 90, 86, 97, 90, 74, 84, 84, 97, 89, 89), (93, 89, 81, 89, 93, 88, 86, 76, 89, 89, 83, 88),
    (83, 94, 91, 88, 100, 90, 88, 84, 83, 94, 97, 86),
)  # fmt: skip
_COMPLEMENT = {"A": 3, "C": 2, "G": 1, "T": 0}
_UNIFORM = 0.2  # ours


def _published() -> np.ndarray:
    """`(23, 4, 4)`: place, letter of the guide, letter of the site; the mean of the place where a letter is unknown.

    A site is read on the strand that equals the guide, so its letter is the complement of the one that pairs.
    """
    share = np.array(_ACTIVE) / 100
    found = np.repeat(share.mean(1), 16).reshape(PROTOSPACER, 4, 4)
    for column, pair in enumerate(_PAIRS):
        found[:, "ACGU".index(pair[0]), _COMPLEMENT[pair[1]]] = share[:, column]
    return found


WEIGHTINGS: dict[str, np.ndarray] = {"weighted": _published(), "uniform": np.full((PROTOSPACER, 4, 4), _UNIFORM)}


def hit_scores(guide: np.ndarray, site: np.ndarray, apart: np.ndarray, weighting: str) -> np.ndarray:
    """How likely sites are cut, beside a perfect one, from 0 to 1: the product of a factor a mismatch, `(n,)`.

    Args:
        guide (`np.ndarray` of shape `(n, 23)`): Codes 0-3.
        site (`np.ndarray` of shape `(n, 23)`): Likewise; where a letter is unknown, that of the guide.
        apart (`np.ndarray` of `bool`, `(n, 23)`): Which letters differ, or are unknown.
        weighting (`str`): One of [`WEIGHTINGS`]: `weighted` as published, `uniform` 0.2 (a number of ours) wherever it
            is.

    Examples:
        >>> guide, site = np.zeros((2, 23), int), np.zeros((2, 23), int)
        >>> site[0, 0] = site[1, 22] = 2  # G for A: the guide's A meets a C
        >>> hit_scores(guide, site, guide != site, "weighted").round(4).tolist()
        [0.2, 0.94]
    """
    factors = WEIGHTINGS[weighting][np.arange(PROTOSPACER), guide, site]
    return np.where(apart, factors, 1.0).prod(1)


def specificity(total: np.ndarray) -> np.ndarray:
    """From 0 to 100, the share of cuts that fall on the target: 100 / (1 + sum of the scores of all off-targets).

    The form is that of the guide scores of Hsu et al. 2013 (Nature Biotechnology 31:827).
    """
    return 100 / (1 + total)
