"""Configuration of PLUS-RNN."""

# No `from __future__ import annotations` here: `@strict` checks types only where annotations are not strings.
from typing import Any, ClassVar, Literal

from huggingface_hub.dataclasses import strict

from .configuration_protein_fields import ProteinConfig

__all__ = ["PlusRnnConfig"]


@strict
class PlusRnnConfig(ProteinConfig):
    """Configuration of [`PlusRnnModel`] and its heads.

    The defaults are PLUS-RNN base; [`PlusRnnConfig.large`] gives the large one.

    Args:
        vocab_size (`int`, defaults to 22): Rows of the residue embedding: 0 is start, stop and padding, 1 to 20 the
            residues, 21 is X, which is also the mask.
        embedding_size (`int`, defaults to 21): Width of the residue embedding.
        hidden_size (`int`, defaults to 512): Width of the LSTM, per direction; 1024 for the large model. The
            representation R is twice as wide.
        num_hidden_layers (`int`, defaults to 3): Number of bidirectional LSTM layers.
        projection_size (`int`, defaults to 100): Width of Z, the projection in which proteins are compared.
        lm_vocab_size (`int`, defaults to 21): Outputs of the masked-residue decoder. X (21) is never a target.
        constrain_ordinal (`bool`, defaults to `True`): Keep the ordinal weights at or above zero, so that a closer
            pair never scores a lower level. The PLUS code computes this and throws the result away; `False`
            reproduces that.
        mlm_weight (`float`, defaults to 0.7): λ of pre-training: the loss is λ times the masked-residue loss plus
            (1 - λ) times the same-family loss.
        legacy_pair_loss (`bool`, defaults to `False`): Reproduce a fault of the original training: the
            masked-residue loss of the second protein is overwritten by λ times that of the first, which then
            weighs λ + λ² while the second protein never trains the decoder.
        finetuning_mlm_weight (`float`, defaults to 0.0): λ of fine-tuning. Above zero, the sequence, token and
            pair heads mask their own input while training and add λ times the masked-residue loss to (1 - λ)
            times the task loss; the paper uses 0.3 except for stability and fluorescence. Evaluation never masks.
        mlm_probability (`float`, defaults to 0.15): Share of residues masked by the heads under
            `finetuning_mlm_weight`.
        max_masked (`int`, defaults to 50): Most residues of one protein masked there.
        classifier_input (`str`, defaults to `"hidden"`): What the sequence and token heads read: `"hidden"` (R) or
            `"projection"` (Z).
        classifier_hidden_size (`int`, defaults to 512): Width of their hidden layer.
        pooling (`str`, defaults to `"attention"`): How the sequence head pools: `"attention"` weighs the residues by
            a softmax over positions, as the text says; `"sum"` adds them up, as the original code does because its
            softmax runs over an axis of size one; `"mean"` averages them.
        class_weights (`list[float]`, *optional*): Weight of each class in the cross-entropy of the sequence and
            token heads.
        pad_token_id (`int`, defaults to 0): Padding; the same id marks start and stop, so lengths come from
            `attention_mask`, or from the last residue of each row where no mask is given.
        num_labels (`int`, defaults to 2): Classes of the sequence and token heads (1 for regression); levels of
            similarity of the pair head, 5 for SCOP (none, class, fold, superfamily, family).
        mask_token_id (`int`, defaults to 21): X and mask. Its embedding is zero and stays zero.

    Example:
    ```python
    >>> from seqformers import PlusRnnConfig, PlusRnnModel
    >>> model = PlusRnnModel(PlusRnnConfig(hidden_size=16, num_hidden_layers=2))
    >>> model.config.representation_size
    32

    ```
    """

    model_type = "plus_rnn"
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["mlm_loss", "sfp_loss", "projection"]

    vocab_size: int = 22
    embedding_size: int = 21
    hidden_size: int = 512
    num_hidden_layers: int = 3
    projection_size: int = 100
    lm_vocab_size: int = 21
    constrain_ordinal: bool = True
    mlm_weight: float | int = 0.7
    legacy_pair_loss: bool = False
    finetuning_mlm_weight: float | int = 0.0
    mlm_probability: float | int = 0.15
    max_masked: int = 50
    classifier_input: Literal["hidden", "projection"] = "hidden"
    pooling: Literal["attention", "sum", "mean"] = "attention"
    mask_token_id: int | None = 21

    def __post_init__(self, **kwargs: Any):
        for name in ("mlm_weight", "finetuning_mlm_weight", "mlm_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1, not {getattr(self, name)}")
        super().__post_init__(**kwargs)

    @classmethod
    def base(cls, **kwargs: Any) -> "PlusRnnConfig":
        """PLUS-RNN base: 512 units per direction."""
        return cls(**{"hidden_size": 512, **kwargs})

    @classmethod
    def large(cls, **kwargs: Any) -> "PlusRnnConfig":
        """PLUS-RNN large: 1024 units per direction."""
        return cls(**{"hidden_size": 1024, **kwargs})

    @property
    def representation_size(self) -> int:
        """Width of R, both directions side by side."""
        return 2 * self.hidden_size

    @property
    def classifier_input_size(self) -> int:
        """Width of what the sequence and token heads read."""
        return self.representation_size if self.classifier_input == "hidden" else self.projection_size
