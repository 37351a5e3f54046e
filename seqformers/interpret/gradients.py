"""Integrated gradients (Sundararajan et al. 2017) of a score with respect to the token embeddings, per base."""

from __future__ import annotations

from typing import Any

import numpy as np

from seqformers.interpret.scoring import SequenceScorer
from seqformers.interpret.windows import Span, read_batches, spread_to_bases

__all__ = ["gradient_profile"]


def gradient_profile(scorer: SequenceScorer, sequence: str, column: int, *, steps: int = 32) -> np.ndarray:
    """How much each base adds to a sequence's logit, from an all-[PAD]-letter baseline of zero embeddings.

    Token attributions sum to the difference of the logit between the sequence and the baseline (within the error of
    `steps`); each is shared out evenly over the bases of its token, so bases sum to the same.

    Args:
        scorer (`SequenceScorer`): Model and tokenizer.
        sequence (`str`): One the model takes whole.
        column (`int`): Which output.
        steps (`int`, defaults to 32): Points along the path.

    Returns:
        `np.ndarray` of shape `(len(sequence),)`: positive where the base speaks for the label.

    Raises:
        ValueError: captum is not installed (`pip install seqformers[interpret]`).
    """
    try:
        from captum.attr import IntegratedGradients
    except ImportError as error:
        raise ValueError("gradients need captum: pip install 'seqformers[interpret]'") from error
    model = scorer.model
    batch = read_batches([Span(0, 0, sequence)], model, scorer.tokenizer, 1)
    _, inputs, own, places = next(iter(batch))
    ids = inputs.pop("input_ids")
    embeddings = model.get_input_embeddings()(ids).detach()
    import torch

    mine = torch.from_numpy(own).to(embeddings.device)
    baseline = torch.where(mine[..., None], torch.zeros_like(embeddings), embeddings)

    def logit(embedded: Any) -> Any:
        repeated = {name: value.expand(len(embedded), *value.shape[1:]) for name, value in inputs.items()}
        return model(inputs_embeds=embedded, **repeated).logits[:, column]

    parts = IntegratedGradients(logit).attribute(embeddings, baseline, n_steps=steps, internal_batch_size=8)
    scores = parts.sum(-1)[0].detach().float().cpu().numpy()[own[0]]
    starts, ends = places[0][own[0]].T
    width = ends - starts
    covering = np.zeros(len(sequence) + 1, dtype=np.int64)
    np.add.at(covering, starts, 1)
    np.add.at(covering, ends, -1)
    # The mean over covering tokens times their number is the sum, which keeps the total.
    return spread_to_bases(scores / width, starts, ends, len(sequence)) * covering.cumsum()[:-1]
