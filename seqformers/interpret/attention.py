"""How much the [CLS] position looks at each base (the view of DNABERT's visualisation, Ji et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from seqformers.hub.load import Loaded
from seqformers.inference.windowing import Span, Windowing
from seqformers.interpret.reading import cut_into_contexts, read_batches, spread_to_bases

__all__ = ["attention_of_spans", "attention_profile", "eager_attention"]


def attention_profile(
    loaded: Loaded, sequence: str, *, windowing: Windowing | None = None, layer: int = -1, batch_size: int = 4
) -> np.ndarray:
    """Attention from [CLS] to every base of a sequence.

    A token's score is the attention [CLS] pays it in `layer`, averaged over heads, times the number of tokens, so
    that 1 is what an even spread would give and windows of unlike length compare. A base's score is the mean over
    the tokens that cover it. Padding and special tokens take no part.

    Args:
        loaded (`Loaded`): An encoder with any head, and a tokenizer.
        sequence (`str`): Letters; at least one token.
        windowing (`Windowing`, *optional*): How it is cut; default as `predict` does.
        layer (`int`, defaults to -1): Which layer, the last by default.
        batch_size (`int`, defaults to 4): Windows at a time; memory grows with layers, heads and length squared.

    Returns:
        `np.ndarray` of shape `(len(sequence),)`: NaN for bases outside every token.

    Raises:
        ValueError: the model has no attention or no such layer, or the sequence is shorter than a token.
    """
    spans = (windowing or Windowing()).for_model(loaded).cut(sequence)
    return attention_of_spans(loaded, spans, len(sequence), layer=layer, batch_size=batch_size)


def attention_of_spans(
    loaded: Loaded, spans: Sequence[Span], length: int, *, layer: int = -1, batch_size: int = 4
) -> np.ndarray:
    """`attention_profile` of a sequence of `length` letters that is cut already."""
    contexts = [context for span in spans for context in cut_into_contexts(span, loaded)]
    encoder = loaded.exact.base_model
    rows = [np.empty((0, 3))]
    with torch.inference_mode(), eager_attention(encoder):
        for part, inputs, own, places in read_batches(contexts, loaded, batch_size):
            attentions = getattr(encoder(**inputs, output_attentions=True), "attentions", None)
            if not attentions:
                raise ValueError(f"{type(loaded.model).__name__} has no attention to show")
            if not -len(attentions) <= layer < len(attentions):
                raise ValueError(f"layer {layer} does not exist: this model has layers 0 to {len(attentions) - 1}")
            from_cls = attentions[layer][:, :, 0].double().mean(1).cpu().numpy()
            for span, scores, mine, place in zip(part, from_cls, own, places, strict=True):
                rows.append(np.column_stack([place[mine] + span.start, scores[mine] * mine.sum()]))
    starts, ends, scores = np.concatenate(rows).T
    if not len(scores):
        raise ValueError(f"a sequence of {length} letters is shorter than one token")
    return spread_to_bases(scores, starts.astype(np.int64), ends.astype(np.int64), length)


@contextmanager
def eager_attention(encoder: Any) -> Iterator[None]:
    """The only attention implementation that hands out its weights; the model's own comes back afterwards."""
    before = encoder.config._attn_implementation
    encoder.set_attn_implementation("eager")
    try:
        yield
    finally:
        encoder.set_attn_implementation(before)
