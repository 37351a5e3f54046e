"""Configuration of the LSTM of TAPE."""

# No `from __future__ import annotations` here: `@strict` checks types only where annotations are not strings.
from huggingface_hub.dataclasses import strict

from .configuration_protein_fields import ProteinConfig

__all__ = ["TapeLstmConfig"]


@strict
class TapeLstmConfig(ProteinConfig):
    """Configuration of [`TapeLstmModel`] and its heads.

    Args:
        vocab_size (`int`, defaults to 30): TAPE's IUPAC ids.
        embedding_size (`int`, defaults to 128): Width of the embedding.
        hidden_size (`int`, defaults to 1024): Width of the LSTM, per direction.
        num_hidden_layers (`int`, defaults to 3): Layers of each direction.
        hidden_dropout_prob (`float`, defaults to 0.1): Dropout between layers.
        legacy_padding (`bool`, defaults to `False`): Take the pooled states after the padding instead of after the
            last token, as the original, which makes the pooled vector depend on the batch.
        initializer_range (`float`, defaults to 0.02): Standard deviation of fresh linear and embedding weights.
        classifier_hidden_size (`int`, defaults to 512): Width of TAPE's heads.
        contact_dropout (`float`, defaults to 0.5): Dropout of channels before the contact head.
        class_weights (`list[float]`, *optional*): Weight of each class in the cross-entropy of the heads.

    Example:
    ```python
    >>> from seqformers import TapeLstmConfig
    >>> TapeLstmConfig().representation_size
    2048

    ```
    """

    model_type = "tape_lstm"

    vocab_size: int = 30
    embedding_size: int = 128
    hidden_size: int = 1024
    num_hidden_layers: int = 3
    hidden_dropout_prob: float | int = 0.1
    legacy_padding: bool = False
    initializer_range: float = 0.02
    contact_dropout: float | int = 0.5

    @property
    def representation_size(self) -> int:
        """Width of the vector of each token."""
        return 2 * self.hidden_size

    @property
    def pooled_size(self) -> int:
        """Width of the vector of a protein."""
        return self.hidden_size
