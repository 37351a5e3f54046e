"""The model behind `score-guides`: 34-letter contexts in, predicted indel frequencies out, in small fast batches."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from seqformers.inference.devices import pick_device, quiet_loading
from seqformers.inference.guide_sites import CONTEXT

__all__ = ["GuideScorer", "packaged_model"]

# Small batches keep the activations in the processor's cache: 1,024 contexts are three times faster than 16,384.
_BATCH = 1024


def packaged_model() -> Path:
    """Folder of the model that comes with the package."""
    spec = find_spec("seqformers.modeling.deepcpf1")
    assert spec is not None and spec.submodule_search_locations
    return Path(next(iter(spec.submodule_search_locations))) / "pretrained"


class GuideScorer:
    """A DeepCpf1 model ready to score.

    Args:
        model (`str`, `Path` or `DeepCpf1Model`, *optional*): Folder, Hub id or model; by default the one that comes
            with the package, which knows no chromatin accessibility.
        device (`str`, *optional*): Torch device; by default a GPU when there is one.
        batch_size (`int`, defaults to 1024): Contexts at once.

    Attributes:
        uses_accessibility (`bool`): The model has the accessibility layer.

    Raises:
        ValueError: it is another kind of model, or one for contexts of another length.
    """

    def __init__(self, model: Any = None, *, device: str | None = None, batch_size: int = _BATCH):
        self.model = _load(model)
        config = self.model.config
        if config.model_type != "deepcpf1":
            raise ValueError(f"{model} is a {config.model_type} model; score-guides needs a deepcpf1 model")
        if config.context_length != CONTEXT:
            raise ValueError(
                f"{model} reads contexts of {config.context_length} letters; guides are cut with {CONTEXT}"
            )
        self.device = pick_device(device)
        self.model.to(self.device).eval()
        self.batch_size = batch_size
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
        import torch

        use = accessibility is not None and self.uses_accessibility
        sequence, final = np.empty(len(codes), np.float32), np.empty(len(codes), np.float32)
        with torch.inference_mode():
            for start in range(0, len(codes), self.batch_size):
                rows = slice(start, start + self.batch_size)
                given = None
                if use:
                    assert accessibility is not None
                    given = torch.from_numpy(np.ascontiguousarray(accessibility[rows], np.float32)).to(self.device)
                batch = torch.from_numpy(np.ascontiguousarray(codes[rows])).to(self.device)
                output = self.model(batch, accessibility=given)
                sequence[rows] = output.sequence_scores.float().cpu().numpy()
                final[rows] = output.logits.float().cpu().numpy()
        return sequence, final


def _load(model: Any) -> Any:
    from seqformers.hub.download import fetch_repository

    if model is not None and not isinstance(model, str | Path):
        return model
    if model is None:
        model = packaged_model()
        if not (model / "config.json").is_file():
            raise FileNotFoundError("this installation has no packaged guide model; name one with --model")
    folder = fetch_repository(model)
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{model} holds no config.json; name a model folder or a Hub id")
    from transformers import AutoConfig

    from seqformers.modeling.deepcpf1.modeling_deepcpf1 import DeepCpf1Model

    config = AutoConfig.from_pretrained(folder)
    if config.model_type != "deepcpf1":
        raise ValueError(f"{model} is a {config.model_type} model; score-guides needs a deepcpf1 model")
    with quiet_loading():
        return DeepCpf1Model.from_pretrained(folder)
