"""The model behind `score-guides`: 34-letter contexts in, predicted indel frequencies out, in small fast batches."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch

from seqformers.guides.lookup import WordTable
from seqformers.guides.sites import CONTEXT
from seqformers.hub.devices import one_thread, pick_device
from seqformers.hub.load import fingerprint_weights, load_model
from seqformers.inference.blocks import whole_blocks
from seqformers.modeling.guides.modeling_deepcpf1 import DeepCpf1Model

__all__ = ["GuideScorer", "Scorer"]

_BATCH = 1024
_BASES = 4


class Scorer(Protocol):
    """What gives guides their scores; see [`GuideScorer`]."""

    name: str
    fingerprint: Any
    uses_accessibility: bool

    def score(self, codes: np.ndarray, accessibility: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Scores from the sequence alone, and final ones."""
        ...


class GuideScorer:
    """A DeepCpf1 model ready to score.

    Args:
        model (`str`, `Path` or `DeepCpf1Model`, *optional*): Folder, Hub id or model; by default the one that comes
            with the package, which knows no chromatin accessibility.
        device (`str`, *optional*): Torch device; by default a GPU when there is one.
        batch_size (`int`, defaults to 1024): Contexts at once.

    Attributes:
        uses_accessibility (`bool`): The model has the accessibility layer.
        name (`str`): What a report calls it: `fast` for the one that comes with the package.
        fingerprint (`dict`): What tells this model from others.
        known_letters (callable): Scores batches without unknown letters, by a [`WordTable`] where the shape allows.

    Raises:
        ValueError: it is another kind of model, or one for contexts of another length.
    """

    def __init__(self, model: Any = None, *, device: str | None = None, batch_size: int = _BATCH):
        self.name = "a model in memory"
        if isinstance(model, DeepCpf1Model):
            self.model, self.fingerprint = model.eval(), fingerprint_weights(model)
        else:
            packaged = model is None or str(model) == "fast"
            self.name = "fast" if packaged else str(model)
            loaded = load_model("deepcpf1" if packaged else model, family="deepcpf1", device=device)
            self.model, self.fingerprint = loaded.model, loaded.fingerprint
        config = self.model.config
        if config.context_length != CONTEXT:
            raise ValueError(
                f"{model} reads contexts of {config.context_length} letters; guides are cut with {CONTEXT}"
            )
        self.device = pick_device(device)
        self.model.to(self.device)
        self.batch_size = batch_size
        self.known_letters = WordTable(self.model) if WordTable.fits(config) else self.whole_network
        self.uses_accessibility = bool(config.use_accessibility)

    def score(self, codes: np.ndarray, accessibility: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Score encoded contexts.

        Args:
            codes (`np.ndarray` of `uint8`, shape `(n, 34)`): As [`DeepCpf1Processor.encode`] gives them.
            accessibility (`np.ndarray` of shape `(n,)`, *optional*): 0 or 1; used when the model has its layer.

        Returns:
            `tuple[np.ndarray, np.ndarray]`: Scores from the sequence alone and final scores, percent, shape `(n,)`.
            The same values twice without accessibility or without its layer.
        """
        if accessibility is not None and not self.uses_accessibility:
            accessibility = None
        known = (codes < _BASES).all(1)
        scores = np.empty((2, len(codes)), np.float32)
        with one_thread(), torch.inference_mode():
            for forward, chosen in ((self.known_letters, known), (self.whole_network, ~known)):
                rows = np.flatnonzero(chosen)
                for part, some in whole_blocks(rows, self.batch_size):
                    batch, given = torch.from_numpy(codes[some]).to(self.device), None
                    if accessibility is not None:
                        given = torch.from_numpy(accessibility[some].astype(np.float32)).to(self.device)
                    found = torch.stack(forward(batch, given)).float().cpu().numpy()
                    scores[:, rows[part]] = found[:, : part.stop - part.start]
        if not np.isfinite(scores).all():
            raise ValueError("the model gives scores that are no numbers; its weights are damaged")
        return scores[0], scores[1]

    def whole_network(self, codes: Any, accessibility: Any) -> tuple[Any, Any]:
        """Both scores of a batch of codes by the model itself, unknown letters included."""
        output = self.model(codes, accessibility=accessibility)
        return output.sequence_scores, output.logits
