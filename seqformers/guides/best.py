"""The guide model `best`: the mean of three networks and of boosted trees that also read the structure of the crRNA.

Half of a score is the mean of the networks, half that of the trees; both are indel frequencies in percent. The members
lie in the package as safetensors and as the text of LightGBM; nothing is a pickle, and no extra is needed.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np

from seqformers.files import fingerprint
from seqformers.guides.features import MELTING_PARTS, letter_features, melting_features
from seqformers.guides.folding import STRUCTURE_NAMES, structure_features
from seqformers.guides.scorer import GuideScorer
from seqformers.guides.sites import CONTEXT
from seqformers.guides.trees import Trees
from seqformers.hub.devices import one_thread
from seqformers.hub.load import packaged_model

__all__ = ["FEATURE_NAMES", "BestScorer", "best_folder", "tree_features"]

_NETWORKS = 3
_CHUNK = 1 << 13
FEATURE_NAMES = (
    *(f"{base}_{place}" for place in range(CONTEXT) for base in "ACGT"),
    *(f"{first}{second}_{place}" for place in range(CONTEXT - 1) for first, second in product("ACGT", repeat=2)),
    *"ACGT", *("".join(pair) for pair in product("ACGT", repeat=2)), "gc", "gc_above_9", "gc_below_9",
    *(f"melting_{part}" for part in range(len(MELTING_PARTS))), *STRUCTURE_NAMES,
)  # fmt: skip


def best_folder() -> Path:
    """Where its members lie."""
    return packaged_model("deepcpf1").with_name("deepcpf1_best")


def tree_features(codes: np.ndarray) -> np.ndarray:
    """What the trees read of `(n, 34)` codes: `(n, 738)`, columns [`FEATURE_NAMES`]."""
    columns = [features(codes).T for features in (letter_features, melting_features, structure_features)]
    return np.concatenate(columns).T


class BestScorer:
    """The four members behind the interface of [`GuideScorer`]; without chromatin accessibility.

    Args:
        device (`str`, *optional*): Torch device of the networks.
        batch_size (`int`, defaults to 1024): Contexts a network sees at once.

    Raises:
        ValueError: the trees are torn, or were made for other columns.
    """

    name = "best"
    uses_accessibility = False

    def __init__(self, *, device: str | None = None, batch_size: int = 1024):
        members = best_folder()
        paths = [members / f"network-{number}" for number in range(_NETWORKS)]
        self.networks = [GuideScorer(path, device=device, batch_size=batch_size) for path in paths]
        trees = members / "trees.txt"
        self.trees = Trees(trees)
        if self.trees.columns != FEATURE_NAMES:
            raise ValueError(f"{trees} was made for other columns than this version reads; install the package again")
        self.fingerprint = {"networks": [net.fingerprint for net in self.networks], "trees": fingerprint(trees)}

    def score(self, codes: np.ndarray, accessibility: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """As [`GuideScorer.score`]: the same values twice."""
        found = np.empty(len(codes), np.float32)
        for start in range(0, len(codes), _CHUNK):
            found[start : start + _CHUNK] = self.members(codes[start : start + _CHUNK]).mean(0)
        return found, found

    def members(self, codes: np.ndarray) -> np.ndarray:
        """Indel frequencies in percent: `(2, n)`, the mean of the networks and the trees."""
        with one_thread():
            networks = np.mean([network.score(codes)[0] for network in self.networks], axis=0)
            return np.stack([networks, self.trees.predict(tree_features(codes))])
