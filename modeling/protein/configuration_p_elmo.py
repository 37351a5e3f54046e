"""Configuration of P-ELMo."""

# No `from __future__ import annotations` here: `@strict` checks types only where annotations are not strings.
from huggingface_hub.dataclasses import strict

from .configuration_protein_fields import ProteinConfig

__all__ = ["PElmoConfig"]


@strict
class PElmoConfig(ProteinConfig):
    """Configuration of [`PElmoModel`] and its heads.

    Args:
        vocab_size (`int`, defaults to 22): PLUS's ids.
        embedding_size (`int`, defaults to 21): Width of the language model's embedding.
        lm_hidden_size (`int`, defaults to 1024): Width of the language model's LSTM.
        lm_num_layers (`int`, defaults to 2): Its layers, the same weights for both directions.
        lm_vocab_size (`int`, defaults to 21): Its outputs; X is never a target.
        input_size (`int`, defaults to 512): Width of what the encoder reads.
        hidden_size (`int`, defaults to 512): Width of the encoder's LSTM, per direction.
        num_hidden_layers (`int`, defaults to 3): Layers of the encoder.
        projection_size (`int`, defaults to 100): Width of Z, in which proteins are compared.
        freeze_lm (`bool`, defaults to `True`): Leave the language model's weights alone in every head but its own.
        mask_token_id (`int`, defaults to 21): X, whose embedding is zero and stays zero.
        classifier_hidden_size (`int`, defaults to 512): Width of TAPE's heads.
        class_weights (`list[float]`, *optional*): Weight of each class in the cross-entropy of the heads.

    Example:
    ```python
    >>> from seqformers import PElmoConfig
    >>> PElmoConfig().representation_size
    1024

    ```
    """

    model_type = "p_elmo"

    vocab_size: int = 22
    embedding_size: int = 21
    lm_hidden_size: int = 1024
    lm_num_layers: int = 2
    lm_vocab_size: int = 21
    input_size: int = 512
    hidden_size: int = 512
    num_hidden_layers: int = 3
    projection_size: int = 100
    freeze_lm: bool = True
    mask_token_id: int = 21

    @property
    def representation_size(self) -> int:
        """Width of the vector of each token."""
        return 2 * self.hidden_size
