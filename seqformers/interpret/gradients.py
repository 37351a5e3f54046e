"""Integrated gradients (Sundararajan et al. 2017) of a score with respect to the token embeddings, per base."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from seqformers.hub.load import Loaded
from seqformers.inference.windowing import Span
from seqformers.interpret.reading import read_batches, spread_to_bases

__all__ = ["gradient_profile", "gradients_of_spans", "has_gradients"]


def has_gradients(loaded: Loaded) -> bool:
    """Whether a model takes embeddings in place of ids; one that counts words does not, nor does ESM-C."""
    try:
        loaded.model.get_input_embeddings()
    except NotImplementedError:
        return False
    return "inputs_embeds" in inspect.signature(loaded.model.forward).parameters


def gradient_profile(loaded: Loaded, sequence: str, column: int, *, steps: int = 32) -> np.ndarray:
    """How much each base adds to a sequence's logit, from an all-[PAD]-letter baseline of zero embeddings.

    Token attributions sum to the difference of the logit between the sequence and the baseline (within the error of
    `steps`); each is shared out evenly over the bases of its token, so bases sum to the same.

    Args:
        loaded (`Loaded`): Model with a sequence classification head, and its tokenizer.
        sequence (`str`): One the model takes whole.
        column (`int`): Which output.
        steps (`int`, defaults to 32): Points along the path.

    Returns:
        `np.ndarray` of shape `(len(sequence),)`: positive where the base speaks for the label.

    Raises:
        ValueError: captum is not installed (`pip install seqformers[interpret]`), or the model reads ids alone.
    """
    try:
        from captum.attr import IntegratedGradients
    except ImportError as error:
        raise ValueError("gradients need captum: pip install 'seqformers[interpret]'") from error
    model = loaded.exact
    if not has_gradients(loaded):
        raise ValueError(f"{type(model).__name__} takes no embeddings in place of ids, so it has no gradients")
    _, inputs, own, places = next(iter(read_batches([Span(0, sequence)], loaded, 1)))
    ids = inputs.pop("input_ids")
    embeddings = model.get_input_embeddings()(ids).detach()
    mine = torch.from_numpy(own).to(embeddings.device)
    baseline = torch.where(mine[..., None], torch.zeros_like(embeddings), embeddings)

    def logit(embedded: Any) -> Any:
        repeated = {name: value.expand(len(embedded), *value.shape[1:]) for name, value in inputs.items()}
        return model(inputs_embeds=embedded, **repeated).logits[:, column]

    parts = IntegratedGradients(logit).attribute(embeddings, baseline, n_steps=steps, internal_batch_size=8)
    scores = parts.sum(-1)[0].detach().double().cpu().numpy()[own[0]]
    starts, ends = places[0][own[0]].T
    width = ends - starts
    covering = np.zeros(len(sequence) + 1, dtype=np.int64)
    np.add.at(covering, starts, 1)
    np.add.at(covering, ends, -1)
    # The mean over covering tokens times their number is the sum, which keeps the total.
    return spread_to_bases(scores / width, starts, ends, len(sequence)) * covering.cumsum()[:-1]


def gradients_of_spans(loaded: Loaded, spans: Sequence[Span], length: int, column: int) -> np.ndarray:
    """`gradient_profile` over the windows of a sequence of `length` letters: the mean where windows overlap."""
    total, count = np.zeros(length), np.zeros(length)
    for span in spans:
        part = slice(span.start, span.start + len(span.letters))
        profile = gradient_profile(loaded, span.letters, column)
        total[part] += np.nan_to_num(profile)
        count[part] += ~np.isnan(profile)
    return np.divide(total, count, out=np.full(length, np.nan), where=count > 0)
