"""Score contigs in windows with the packaged network, and make calibrated class scores of them.

The calibration (`calibration.json` beside the weights) was fitted on groups of genomes that training had not seen: how
much the mean log-probability of windows says grows with the letters read, by a power law, and classes have a bias.
`likeness.safetensors` holds a small network over the profile that tells genomes of the five classes from shuffled and
random letters and from eukaryotes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from seqformers.hub.load import load_model, model_folder
from seqformers.phages.contig import CLASSES, Calibration, ContigScore, encode_windows, score_contig, window_bounds

__all__ = ["LIKENESS", "PhageDetector", "likeness_of"]

LIKENESS = "likeness.safetensors"
_WINDOWS_AT_ONCE = 128
_PACKAGED = "coding_profile"


def likeness_of(profile: torch.Tensor, weights: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """How much windows are like genomes of the five classes, `(windows,)`: a layer with ReLU and one number of it.

    Args:
        profile (`torch.Tensor` of shape `(windows, numbers)`): Standardised, as the network's first hidden state.
        weights (`Mapping[str, torch.Tensor]`): `hidden.weight` `(units, numbers)`, `hidden.bias`, `weight` `(units,)`,
            `bias`.
    """
    units = torch.relu(profile @ weights["hidden.weight"].T + weights["hidden.bias"])
    return units @ weights["weight"] + weights["bias"]


class PhageDetector:
    """The network with its calibration.

    Args:
        model (`str` or `Path`, *optional*): Folder or Hub repository of a classifier of the five classes; by default
            the one that comes with the package.
        device (`str`, *optional*): Where it runs; by default a GPU if there is one.

    Raises:
        ValueError: the model has other classes.
    """

    def __init__(self, model: str | Path | None = None, device: str | None = None):
        name = model or _PACKAGED
        self.folder = model_folder(name)
        loaded = load_model(name, "AutoModelForSequenceClassification", family=_PACKAGED, device=device)
        labels = [str(loaded.config.id2label[number]) for number in range(loaded.config.num_labels)]
        if sorted(labels) != sorted(CLASSES):
            raise ValueError(f"{name} has the classes {', '.join(labels)}; find-phages wants {', '.join(CLASSES)}")
        self.model, self.device = loaded.model, loaded.device
        self.fingerprint = loaded.fingerprint
        self._order = [labels.index(name) for name in CLASSES]
        self.calibration = Calibration.read(self.folder)
        path = self.folder / LIKENESS
        self._likeness = {k: v.to(self.device) for k, v in load_file(path).items()} if path.is_file() else None

    def score(self, records: Iterable[Any]) -> Iterator[ContigScore]:
        """Score contigs in order; what is held at a time are the contigs of one batch of windows.

        Args:
            records (iterable): Hold `id` and `sequence`.
        """
        waiting: list[Any] = []
        size = 0
        for record in records:
            waiting.append(record)
            size += len(window_bounds(len(record.sequence)))
            if size >= _WINDOWS_AT_ONCE:
                yield from self._score_together(waiting)
                waiting, size = [], 0
        yield from self._score_together(waiting)

    def _score_together(self, records: list[Any]) -> Iterator[ContigScore]:
        if not records:
            return
        bounds = [window_bounds(len(record.sequence)) for record in records]
        logs, unlike, facts = self._windows(records, bounds)
        ends = np.cumsum([len(found) for found in bounds])
        for record, own, end in zip(records, bounds, ends, strict=True):
            rows = slice(end - len(own), end)
            yield score_contig(
                record.id, record.sequence, own, logs[rows], unlike[rows], facts[rows], self.calibration
            )

    def _windows(
        self, records: list[Any], bounds: list[NDArray[np.int64]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
        """Of the stretches of all windows log-probabilities, distance and likeness, and known letters with G and C."""
        total = sum(len(own) for own in bounds)
        # Filled in place: small arrays that stay between large ones that go would leave holes in memory.
        logs, unlike, facts = np.empty((total, len(CLASSES))), np.empty((total, 2)), np.empty((total, 2), np.int64)
        batch: list[NDArray[np.uint8]] = []
        done = read = 0
        for record, own in zip(records, bounds, strict=True):
            for first in range(0, len(own), _WINDOWS_AT_ONCE):
                ids, fact = encode_windows(record.sequence, own[first : first + _WINDOWS_AT_ONCE])
                batch.append(ids)
                facts[read : read + len(ids)] = fact
                read += len(ids)
                if read - done >= _WINDOWS_AT_ONCE:
                    self._forward(batch, logs[done:read], unlike[done:read])
                    batch, done = [], read
        if batch:
            self._forward(batch, logs[done:], unlike[done:])
        return logs, unlike, facts

    @torch.no_grad()
    def _forward(self, batch: list[NDArray[np.uint8]], logs: NDArray[Any], unlike: NDArray[Any]) -> None:
        """Fill in log-probabilities, distance and likeness of some windows."""
        width = max(ids.shape[1] for ids in batch)
        padded = np.concatenate([np.pad(ids, ((0, 0), (0, width - ids.shape[1]))) for ids in batch])
        ids = torch.from_numpy(padded).to(self.device).long()
        output = self.model(ids, output_hidden_states=True)
        logs[:] = output.logits.float().log_softmax(-1)[:, self._order].cpu().numpy()
        profile = output.hidden_states[0].float()[:, 0]
        unlike[:, 0], unlike[:, 1] = profile.square().mean(1).cpu().numpy(), 0.0
        if self._likeness is not None:
            unlike[:, 1] = likeness_of(profile, self._likeness).cpu().numpy()
