"""Configuration of the AWD-LSTM."""

# No `from __future__ import annotations` here: `@strict` checks types only where annotations are not strings.
from itertools import pairwise
from typing import Any

from huggingface_hub.dataclasses import strict

from .configuration_protein_fields import ProteinConfig

__all__ = ["AwdLstmConfig"]

_SHARES = ("embedding_dropout", "input_dropout", "hidden_dropout", "output_dropout", "weight_dropout")
_PENALTIES = ("activation_penalty", "slowness_penalty")


@strict
class AwdLstmConfig(ProteinConfig):
    """Configuration of [`AwdLstmModel`] and its heads; the sizes and shares are those of Merity et al. 2018.

    Args:
        vocab_size (`int`, defaults to 26): Ids of `ProteinTokenizer("unirep")`.
        embedding_size (`int`, defaults to 400): Width of the embedding, and of the last layer, so that the head that
            predicts residues may share its weights.
        hidden_size (`int`, defaults to 1150): Width of the other layers.
        num_hidden_layers (`int`, defaults to 3): Layers.
        embedding_dropout (`float`, defaults to 0.1): Share of the residues (kinds, not places) whose vector is zero
            for a batch.
        input_dropout (`float`, defaults to 0.4): Share of the channels of the embedding that are zero for a whole row.
        hidden_dropout (`float`, defaults to 0.25): The same between layers.
        output_dropout (`float`, defaults to 0.4): The same before the head that predicts residues.
        weight_dropout (`float`, defaults to 0.5): Share of the weights from a state to the next one that are zero for
            a batch (DropConnect, Wan et al. 2013).
        activation_penalty (`float`, defaults to 2.0): Weight of the squares of what the head reads (alpha of the
            paper, AR), in training.
        slowness_penalty (`float`, defaults to 1.0): Weight of the squared change of a state from a token to the next
            (beta, TAR), in training.
        tie_word_embeddings (`bool`, defaults to `True`): Whether embedding and head share their weights.
        classifier_hidden_size (`int`, defaults to 512): Width of TAPE's heads.
        bos_token_id (`int`, defaults to 24): Start of a protein, with which `generate` begins.
        eos_token_id (`int`, defaults to 25): Its stop, with which it ends.
        class_weights (`list[float]`, *optional*): Weight of each class in the cross-entropy of the heads.

    Raises:
        ValueError: a share that is not from 0 to below 1, or a penalty below 0.

    Example:
    ```python
    >>> from seqformers import AwdLstmConfig
    >>> AwdLstmConfig().layer_sizes
    [(400, 1150), (1150, 1150), (1150, 400)]

    ```
    """

    model_type = "awd_lstm"

    vocab_size: int = 26
    embedding_size: int = 400
    hidden_size: int = 1150
    num_hidden_layers: int = 3
    embedding_dropout: float | int = 0.1
    input_dropout: float | int = 0.4
    hidden_dropout: float | int = 0.25
    output_dropout: float | int = 0.4
    weight_dropout: float | int = 0.5
    activation_penalty: float | int = 2.0
    slowness_penalty: float | int = 1.0
    bos_token_id: int | None = 24
    eos_token_id: int | list[int] | None = 25
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs: Any):
        for name in _SHARES:
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be from 0 to below 1, got {getattr(self, name)}")
        for name in _PENALTIES:
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        super().__post_init__(**kwargs)

    @property
    def layer_sizes(self) -> list[tuple[int, int]]:
        """Inputs and units of each layer."""
        widths = [self.embedding_size, *[self.hidden_size] * (self.num_hidden_layers - 1), self.embedding_size]
        return list(pairwise(widths))

    @property
    def representation_size(self) -> int:
        """Width of the vector of each token."""
        return self.embedding_size

    @property
    def pooled_size(self) -> int:
        """Width of the vector of a protein: the last state, the maximum and the mean."""
        return 3 * self.embedding_size
