"""Configuration of UniRep's multiplicative LSTM."""

# No `from __future__ import annotations` here: `@strict` checks types only where annotations are not strings.
from huggingface_hub.dataclasses import strict

from .configuration_protein_fields import ProteinConfig

__all__ = ["UniRepConfig"]


@strict
class UniRepConfig(ProteinConfig):
    """Configuration of [`UniRepModel`] and its heads.

    Args:
        vocab_size (`int`, defaults to 26): UniRep's ids.
        embedding_size (`int`, defaults to 10): Width of the embedding.
        hidden_size (`int`, defaults to 1900): Width of the multiplicative LSTM.
        classifier_hidden_size (`int`, defaults to 512): Width of TAPE's heads.
        contact_dropout (`float`, defaults to 0.5): Dropout of channels before the contact head.
        bos_token_id (`int`, defaults to 24): Start of a protein, with which `generate` begins.
        eos_token_id (`int`, defaults to 25): Its stop, with which it ends.
        class_weights (`list[float]`, *optional*): Weight of each class in the cross-entropy of the heads.

    Example:
    ```python
    >>> from seqformers import UniRepConfig
    >>> UniRepConfig().representation_size
    1900

    ```
    """

    model_type = "unirep"

    vocab_size: int = 26
    embedding_size: int = 10
    hidden_size: int = 1900
    contact_dropout: float | int = 0.5
    bos_token_id: int | None = 24
    eos_token_id: int | list[int] | None = 25

    @property
    def pooled_size(self) -> int:
        """Width of the vector of a protein."""
        return 2 * self.hidden_size
