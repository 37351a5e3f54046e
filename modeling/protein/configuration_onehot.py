"""Configuration of the one-hot baseline."""

# No `from __future__ import annotations` here: `@strict` checks types only where annotations are not strings.
from huggingface_hub.dataclasses import strict

from .configuration_protein_fields import ProteinConfig

__all__ = ["OneHotConfig"]


@strict
class OneHotConfig(ProteinConfig):
    """Configuration of [`OneHotModel`] and its heads.

    Args:
        vocab_size (`int`, defaults to 30): Ids, and width of the vectors.
        classifier_hidden_size (`int`, defaults to 512): Width of TAPE's heads.
        contact_dropout (`float`, defaults to 0.5): Dropout of channels before the contact head.
        class_weights (`list[float]`, *optional*): Weight of each class in the cross-entropy of the heads.

    Example:
    ```python
    >>> from seqformers import OneHotConfig
    >>> OneHotConfig().representation_size
    30

    ```
    """

    model_type = "onehot"

    vocab_size: int = 30
    contact_dropout: float | int = 0.5

    @property
    def representation_size(self) -> int:
        """Width of the vector of each token."""
        return self.vocab_size
