"""The score of a miRNA and a whole mRNA from the sites found on it.

What a site is worth grows with its odds, sites add up, and a long mRNA has high sites by chance. The rule is a
logistic one on the log of the summed odds and that of the mRNA's length; its three numbers are learned from pairs of
whole 3'UTRs (`benchmarks/tables/pair_rule.py`) and stand in the model's configuration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["PairRule"]

_SHORTEST = 50.0  # added to lengths, so that very short mRNAs differ little
_BACKGROUND = 0.05  # odds added to those of the sites, so that weak sites differ little from none


@dataclass(frozen=True)
class PairRule:
    """How sites make a pair's score.

    Attributes:
        bias (`float`): Logit of a pair whose sites have odds of one together, on an mRNA of no length.
        sites (`float`): Weight of the log of the sites' summed odds.
        length (`float`): Weight of the log of the mRNA's length + 50.
    """

    bias: float = 0.0
    sites: float = 1.0
    length: float = 0.0

    @classmethod
    def of(cls, config: Any) -> PairRule:
        """The rule of a model's configuration; without one the odds of all sites are summed."""
        return cls(**(config.pair_rule or {}))

    def scores(self, pair: np.ndarray, logit: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Score of each pair, 0 to 1; 0 for a pair without a site.

        Args:
            pair (`np.ndarray`): `(S,)` pair of each site, sorted.
            logit (`np.ndarray`): `(S,)` log odds of each site.
            lengths (`np.ndarray`): `(P,)` nucleotides of each pair's mRNA.

        Returns:
            `np.ndarray`: `(P,)`.

        Examples:
            >>> lengths = np.array([500, 500, 500])
            >>> PairRule().scores(np.array([0, 0, 2]), np.log([1.0, 2.0, 1.0]), lengths).round(2).tolist()
            [0.75, 0.0, 0.51]
        """
        scores = 1.0 / (1.0 + np.exp(-self.logits(pair, logit, lengths)))
        return np.where(np.bincount(pair, minlength=len(lengths)) > 0, scores, 0.0)

    def logits(self, pair: np.ndarray, logit: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """As `scores`, before the logistic function."""
        return self.bias + self.features(pair, logit, lengths) @ np.array([self.sites, self.length])

    @staticmethod
    def features(pair: np.ndarray, logit: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """What the rule weighs, `(P, 2)`: log of the sites' summed odds, log of the length."""
        odds = np.log(_BACKGROUND + np.bincount(pair, np.exp(logit), len(lengths)))
        return np.column_stack([odds, np.log(lengths + _SHORTEST)])
