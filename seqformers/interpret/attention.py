"""How much the [CLS] position looks at each base (the view of DNABERT's visualisation, Ji et al. 2021)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from seqformers.interpret.windows import read_batches, spread_to_bases, token_room, windows

__all__ = ["attention_profiles", "l2_normalize"]


def attention_profiles(
    model: Any, tokenizer: Any, sequences: Sequence[str], *, layer: int = -1, batch_size: int = 4
) -> list[np.ndarray]:
    """Attention from [CLS] to every base.

    A token's score is the attention [CLS] pays it in `layer`, averaged over heads, times the number of tokens, so
    that 1 is what an even spread would give and windows of unlike length compare. A base's score is the mean over
    the tokens that cover it. Padding and special tokens take no part. Sequences longer than the model's context are
    read in windows that share no token.

    Args:
        model (`PreTrainedModel`): An encoder, with any head; in evaluation mode.
        tokenizer (`PreTrainedTokenizerBase`): Its tokenizer, able to return offsets.
        sequences (`Sequence[str]`): Letters; at least one token each.
        layer (`int`, defaults to -1): Which layer, the last by default.
        batch_size (`int`, defaults to 4): Windows at a time; memory grows with layers, heads and length squared.

    Returns:
        `list[np.ndarray]`: One array of `len(sequence)` numbers each; NaN for bases outside every token.

    Raises:
        ValueError: the model has no attention, or a sequence is shorter than a token.
    """
    import torch

    encoder = model.base_model
    spans = list(windows(sequences, tokenizer, token_room(model, tokenizer)))
    found: dict[int, list[np.ndarray]] = defaultdict(list)
    with torch.inference_mode(), _eager(encoder):
        for part, inputs, own, places in read_batches(spans, model, tokenizer, batch_size):
            attentions = getattr(encoder(**inputs, output_attentions=True), "attentions", None)
            if not attentions:
                raise ValueError(f"{type(model).__name__} has no attention to show")
            from_cls = attentions[layer][:, :, 0].float().mean(1).cpu().numpy()
            for span, scores, mine, place in zip(part, from_cls, own, places, strict=True):
                rows = np.column_stack([place[mine] + span.start, scores[mine] * mine.sum()])
                found[span.sequence].append(rows)
    profiles = []
    for number, letters in enumerate(sequences):
        starts, ends, scores = np.concatenate(found[number]).T
        if not len(scores):
            raise ValueError(f"sequence {number} ({len(letters)} letters) is shorter than one token")
        profiles.append(spread_to_bases(scores, starts.astype(np.int64), ends.astype(np.int64), len(letters)))
    return profiles


def l2_normalize(profile: np.ndarray) -> np.ndarray:
    """Scale a profile to length 1, as the original's figures show it."""
    return profile / np.sqrt(np.nansum(profile**2))


@contextmanager
def _eager(encoder: Any) -> Iterator[None]:
    """The only attention implementation that hands out its weights; the model's own comes back afterwards."""
    before = encoder.config._attn_implementation
    encoder.set_attn_implementation("eager")
    try:
        yield
    finally:
        encoder.set_attn_implementation(before)
