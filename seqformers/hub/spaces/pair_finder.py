"""Sites by a network over the pairing matrix, which lies in the folder `model`; in `scout` a small one beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from common import HERE, MODEL
from pair_sites import Duplex, SiteFinder
from places import AFTER, BEFORE, UNKNOWN
from results import RankedPair
from transformers import AutoModel, AutoProcessor

processor = AutoProcessor.from_pretrained(MODEL, trust_remote_code=True)
model = AutoModel.from_pretrained(MODEL, trust_remote_code=True).eval()
scout = type(model).from_pretrained(HERE / "scout").eval()
finder = SiteFinder(model, scout, device=torch.device("cpu"))


class Sequences:
    """Records as the finder reads them: ids, codes, lengths without padding."""

    def __init__(self, codes: dict[str, np.ndarray], padding: tuple[int, int] = (0, 0)):
        self.ids, self.padding = list(codes), padding
        self.codes = [np.pad(each, padding, constant_values=UNKNOWN) for each in codes.values()]

    def length(self, index: int) -> int:
        """Letters of a record."""
        return len(self.codes[index]) - sum(self.padding)


def find(mirnas: dict[str, str], mrnas: dict[str, str]) -> list[RankedPair]:
    """All pairs with all their sites.

    Raises:
        ValueError: a record is no miRNA or no RNA.
    """
    small = Sequences({name: processor.encode_mirna(text, name) for name, text in mirnas.items()})
    codes = {name: processor.encode_target(text, name) for name, text in mrnas.items()}
    large = Sequences(codes, (BEFORE, AFTER))
    pairs = [(mirna, mrna) for mirna in range(len(small.ids)) for mrna in range(len(large.ids))]
    return finder.score(pairs, small, large, sites=True)


def explain(pair: Any, mirna: str, mrna: str) -> Duplex | None:
    """What the picture shows of the pair's best site."""
    return finder.explain(mirna, mrna, pair.best) if pair.num_sites else None
