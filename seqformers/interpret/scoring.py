"""Scores of whole sequences by a trained classifier or regressor, the yardstick of mutations and gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["SequenceScorer"]


class SequenceScorer:
    """Scores sequences: probabilities of a classifier, the value of a regressor.

    Args:
        model (`PreTrainedModel`): With a sequence classification head, in evaluation mode.
        tokenizer (`PreTrainedTokenizerBase`): Its tokenizer.
        batch_size (`int`, defaults to 64): Sequences at a time.

    Attributes:
        is_probability (`bool`): Whether scores lie between 0 and 1.
        labels (`list[str]`): Names of the columns.

    Raises:
        ValueError: the model has no such head.
    """

    def __init__(self, model: Any, tokenizer: Any, *, batch_size: int = 64):
        if not type(model).__name__.endswith("ForSequenceClassification"):
            raise ValueError(
                f"{type(model).__name__} scores no sequences; this needs a fine-tuned classifier or regressor"
            )
        self.model, self.tokenizer, self.batch_size = model, tokenizer, batch_size
        problem = model.config.problem_type
        self.is_probability = problem != "regression" and model.config.num_labels > 1
        self.several_labels = problem == "multi_label_classification"
        self.labels = [str(model.config.id2label[number]) for number in range(model.config.num_labels)]

    def __call__(self, sequences: Sequence[str]) -> np.ndarray:
        """Score sequences; returns `(sequences, labels)`."""
        import torch

        parts = []
        with torch.inference_mode():
            for at in range(0, len(sequences), self.batch_size):
                batch = list(sequences[at : at + self.batch_size])
                encoded = self.tokenizer(batch, padding=True, truncation=False, return_tensors="pt")
                parts.append(self.activate(self.model(**encoded.to(self.model.device)).logits).float().cpu().numpy())
        return np.concatenate(parts)

    def activate(self, logits: Any) -> Any:
        """Logits to scores."""
        if not self.is_probability:
            return logits
        return logits.sigmoid() if self.several_labels else logits.softmax(-1)

    def column(self, label: str | None, scores: np.ndarray) -> int:
        """Column that `label` (name or number) means; the positive class, or the best one, when it is None."""
        if label is None:
            return min(1, len(self.labels) - 1) if len(self.labels) < 3 else int(scores.argmax())
        if label in self.labels:
            return self.labels.index(label)
        if label.isdigit() and int(label) < len(self.labels):
            return int(label)
        raise ValueError(f"no label {label!r}; the model knows {', '.join(self.labels)}")
