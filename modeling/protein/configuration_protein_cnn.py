"""Configuration of the dilated convolutional encoder of proteins."""

# No `from __future__ import annotations` here: `@strict` checks types only where annotations are not strings.
from typing import Any

from huggingface_hub.dataclasses import strict

from .configuration_protein_fields import ProteinConfig

__all__ = ["ProteinCnnConfig"]


@strict
class ProteinCnnConfig(ProteinConfig):
    """Configuration of [`ProteinCnnModel`] and its heads.

    Args:
        vocab_size (`int`, defaults to 30): TAPE's IUPAC ids.
        hidden_size (`int`, defaults to 128): Channels between the blocks.
        bottleneck_size (`int`, defaults to 64): Channels of the convolution inside a block.
        kernel_size (`int`, defaults to 5): Width of the convolutions; odd.
        num_hidden_layers (`int`, defaults to 8): Blocks.
        dilations (`list[int]`, *optional*): Dilation of each block, over and over; `[1, 2, 4, 8]` if absent.
        hidden_dropout_prob (`float`, defaults to 0.1): Dropout of what a block adds.
        layer_norm_eps (`float`, defaults to 1e-5): ε of the layer norms.
        initializer_range (`float`, defaults to 0.02): Standard deviation of fresh linear and embedding weights.
        tie_word_embeddings (`bool`, defaults to `True`): Decode masked residues with the embedding.
        classifier_hidden_size (`int`, defaults to 64): Width of the hidden layer of the heads.
        signal_window (`int`, defaults to 70): Residues at the start that the signal-peptide head reads.
        class_weights (`list[float]`, *optional*): Weight of each class in the cross-entropy of the heads.

    Example:
    ```python
    >>> from seqformers import ProteinCnnConfig
    >>> ProteinCnnConfig().reach
    60

    ```
    """

    model_type = "protein_cnn"

    vocab_size: int = 30
    hidden_size: int = 128
    bottleneck_size: int = 64
    kernel_size: int = 5
    num_hidden_layers: int = 8
    dilations: list[int] | None = None
    hidden_dropout_prob: float | int = 0.1
    layer_norm_eps: float = 1e-5
    initializer_range: float = 0.02
    tie_word_embeddings: bool = True
    classifier_hidden_size: int = 64
    signal_window: int = 70

    def __post_init__(self, **kwargs: Any):
        super().__post_init__(**kwargs)
        if self.dilations is None:
            self.dilations = [1, 2, 4, 8]
        if self.kernel_size % 2 == 0 or self.kernel_size < 1:
            raise ValueError(f"kernel_size must be odd, got {self.kernel_size}")
        if not self.dilations or min(self.dilations) < 1:
            raise ValueError(f"dilations must be numbers of at least 1, got {self.dilations}")
        for name in ("bottleneck_size", "signal_window"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    @property
    def reach(self) -> int:
        """How many tokens to either side can change the vector of a token."""
        assert self.dilations is not None
        layers = range(self.num_hidden_layers)
        return sum(self.dilations[layer % len(self.dilations)] * (self.kernel_size // 2) for layer in layers)
