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
        topology_dilations, structure_dilations (`list[int]`, *optional*): Dilations of the blocks that the head of
            topologies, and that of structures, has for itself above the encoder; none if absent.
        structure_encoder (`bool`, defaults to `False`): Give the head of structures an encoder of its own, of the same
            shape; then there are two embeddings, and the input is `input_ids` only.
        helix_cost (`float`, defaults to 0.0): By how much (natural log) a topology with membrane helices has to be
            likelier than the best without any; read where topologies are decoded.
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
    topology_dilations: list[int] | None = None
    structure_dilations: list[int] | None = None
    structure_encoder: bool = False
    helix_cost: float = 0.0

    def __post_init__(self, **kwargs: Any):
        super().__post_init__(**kwargs)
        if self.dilations is None:
            self.dilations = [1, 2, 4, 8]
        if self.kernel_size % 2 == 0 or self.kernel_size < 1:
            raise ValueError(f"kernel_size must be odd, got {self.kernel_size}")
        for name in ("dilations", "topology_dilations", "structure_dilations"):
            if getattr(self, name) is not None and not all(number >= 1 for number in getattr(self, name)):
                raise ValueError(f"{name} must be numbers of at least 1, got {getattr(self, name)}")
        if not self.dilations:
            raise ValueError("dilations must name at least one block")
        for name in ("bottleneck_size", "signal_window"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    @property
    def reach(self) -> int:
        """How many tokens to either side can change what is said of a token."""
        assert self.dilations is not None
        layers = range(self.num_hidden_layers)
        shared = sum(self.dilations[layer % len(self.dilations)] for layer in layers)
        own = max(sum(self.topology_dilations or ()), sum(self.structure_dilations or ()))
        return (shared + own) * (self.kernel_size // 2)
