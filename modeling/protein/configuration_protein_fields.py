"""What the configurations of protein families share: the molecule, and checks that name the field."""

# No `from __future__ import annotations` here: `@strict` checks types only where annotations are not strings.
from math import inf
from typing import Any, ClassVar, Literal

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

__all__ = ["ProteinConfig", "check_protein_fields"]

_COUNTS = (
    "vocab_size",
    "embedding_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "input_size",
    "lm_hidden_size",
    "lm_num_layers",
    "lm_vocab_size",
    "projection_size",
    "classifier_hidden_size",
)
_DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout", "contact_dropout")
_SIZES = ("initializer_range", "layer_norm_eps")
_IDS = ("pad_token_id", "mask_token_id")


def check_protein_fields(config: Any) -> None:
    """Raise `ValueError` for the first field whose value no model can have; fields a family lacks are passed over."""
    for names, fits, wanted in (
        (_COUNTS, lambda value: value >= 1, "at least 1"),
        (_DROPOUTS, lambda value: 0 <= value < 1, "from 0 to below 1"),
        (_SIZES, lambda value: 0 <= value < inf, "a number of at least 0"),
        (_IDS, lambda value: 0 <= value < config.vocab_size, f"below vocab_size={config.vocab_size}"),
    ):
        for name in names:
            value = getattr(config, name, None)
            if value is not None and not fits(value):
                raise ValueError(f"{name} must be {wanted}, got {value}")


@strict
class ProteinConfig(PreTrainedConfig):
    """Base of the configurations of models that read residues.

    Args:
        classifier_hidden_size (`int`, defaults to 512): Width of the hidden layer of the heads.
        class_weights (`list[float]`, *optional*): Weight of each class in the cross-entropy of the heads.
        sequence_head (`str`, defaults to `"pooled"`): What the head for whole proteins reads: their pooled vector, or
            (`"residue_cnn"`) all residues, projected to 20 and convolved, the maximum of each filter; `"linear"` is
            one linear layer on the pooled vector, which `seqformers probe` takes.
        token_head (`str`, defaults to `"own"`): The head for residues: the family's own, or (`"linear"`) one linear
            layer on the vector of each, which `seqformers probe` takes.
        pad_token_id (`int`, defaults to 0): Padding.
    """

    molecule: ClassVar[str] = "protein"

    classifier_hidden_size: int = 512
    class_weights: list[float | int] | None = None
    sequence_head: Literal["pooled", "residue_cnn", "linear"] = "pooled"
    token_head: Literal["own", "linear"] = "own"
    pad_token_id: int | None = 0

    def __post_init__(self, **kwargs: Any):
        check_protein_fields(self)
        super().__post_init__(**kwargs)

    @property
    def representation_size(self) -> int:
        """Width of the vector of each token."""
        return self.hidden_size

    @property
    def pooled_size(self) -> int:
        """Width of the vector of a protein."""
        return self.representation_size
