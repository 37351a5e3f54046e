"""Configuration of the ResNet of TAPE."""

# No `from __future__ import annotations` here: `@strict` checks types only where annotations are not strings.
from huggingface_hub.dataclasses import strict

from .configuration_protein_fields import ProteinConfig

__all__ = ["TapeResnetConfig"]


@strict
class TapeResnetConfig(ProteinConfig):
    """Configuration of [`TapeResnetModel`] and its heads.

    Args:
        vocab_size (`int`, defaults to 30): TAPE's IUPAC ids.
        hidden_size (`int`, defaults to 512): Channels.
        num_hidden_layers (`int`, defaults to 30): Blocks of two convolutions of width 3.
        hidden_dropout_prob (`float`, defaults to 0.1): Dropout after the embedding.
        layer_norm_eps (`float`, defaults to 1e-12): ε of the layer norms.
        legacy_positions (`bool`, defaults to `False`): Number positions backwards from the padded length, as the
            original, which makes every output depend on the batch.
        legacy_pooling (`bool`, defaults to `False`): Pool by the sum over all tokens, padding included: the original's
            softmax runs over an axis of size one.
        initializer_range (`float`, defaults to 0.02): Standard deviation of fresh linear and embedding weights.
        tie_word_embeddings (`bool`, defaults to `True`): Decode masked residues with the embedding.
        classifier_hidden_size (`int`, defaults to 512): Width of TAPE's heads.
        contact_dropout (`float`, defaults to 0.5): Dropout of channels before the contact head.
        class_weights (`list[float]`, *optional*): Weight of each class in the cross-entropy of the heads.

    Example:
    ```python
    >>> from seqformers import TapeResnetConfig
    >>> TapeResnetConfig().representation_size
    512

    ```
    """

    model_type = "tape_resnet"

    vocab_size: int = 30
    hidden_size: int = 512
    num_hidden_layers: int = 30
    hidden_dropout_prob: float | int = 0.1
    layer_norm_eps: float = 1e-12
    legacy_positions: bool = False
    legacy_pooling: bool = False
    initializer_range: float = 0.02
    contact_dropout: float | int = 0.5
    tie_word_embeddings: bool = True
