"""Configuration of the protein BERT family."""

# No `from __future__ import annotations` here: `@strict` checks types only where annotations are not strings.
from typing import Any, ClassVar, Literal

from huggingface_hub.dataclasses import strict
from transformers import BertConfig

from .configuration_protein_fields import check_protein_fields

__all__ = ["ProteinBertConfig"]


@strict
class ProteinBertConfig(BertConfig):
    """Configuration of [`ProteinBertModel`] and its heads: every field of `BertConfig`, and the ones below.

    The defaults are the transformer of the TAPE package; [`ProteinBertConfig.plus_tfm`] gives PLUS-TFM. With
    `layer_norm="standard"` and `position_embedding="learned"` the encoder is a plain BERT and exports as one.

    Args:
        vocab_size (`int`, defaults to 30): TAPE's IUPAC ids.
        max_position_embeddings (`int`, defaults to 8096): Longest input with learned positions. Sinusoidal positions
            have no limit.
        layer_norm (`str`, defaults to `"standard"`): `"plus"` divides by the square root of the standard deviation
            (√(s + ε), s with n - 1) instead of by the deviation, as the code of PLUS-TFM does.
        position_embedding (`str`, defaults to `"learned"`): Or `"sinusoidal"`: sine on even, cosine on odd channels.
        initialization (`str`, defaults to `"normal"`): Initial weights N(0, `initializer_range`), or `"pytorch"`.
        pooling (`str`, defaults to `"pooler"`): What protein and pair heads read: `"pooler"`, tanh of a linear map of
            the first token; `"cls"`, the first token itself; `"mean"`, the mean over residues.
        head_type (`str`, defaults to `"tape"`): `"tape"` gives the weight-normed two-layer head for proteins and the
            two-convolution head for residues; `"linear"` is dropout and one linear layer.
        classifier_hidden_size (`int`, defaults to 512): Width of TAPE's heads.
        contact_dropout (`float`, defaults to 0.5): Dropout before the contact head. The original drops single
            features of single pairs, which needs the L × L × 2d tensor; here channels of residues are dropped.
        legacy_head_padding (`bool`, defaults to `False`): Let the convolutional head see padding, in its batch
            statistics and at the end of short proteins, as the TAPE package does.
        mlm_weight (`float`, defaults to 0.7): λ of pre-training on pairs: λ times the masked-residue loss plus
            (1 - λ) times the same-family loss.
        finetuning_mlm_weight (`float`, defaults to 0.0): λ of fine-tuning. Above zero, the protein, token and pair
            heads mask their own input while training and add λ times the masked-residue loss to (1 - λ) times the
            task loss (PLUS uses 0.3). Evaluation never masks.
        mlm_probability (`float`, defaults to 0.15): Share of residues masked under `finetuning_mlm_weight`.
        max_masked (`int`, *optional*): Most residues of a row masked there; PLUS-TFM has 76.
        class_weights (`list[float]`, *optional*): Weight of each class in the cross-entropy of the heads.
        sequence_head (`str`, defaults to `"pooled"`): What the head for whole proteins reads: their pooled vector, or
            (`"residue_cnn"`) all residues, projected to 20 and convolved, the maximum of each filter; `"linear"` is
            one linear layer on the pooled vector, which `seqformers probe` takes.
        token_head (`str`, defaults to `"own"`): The head for residues: the family's own, or (`"linear"`) one linear
            layer on the vector of each, which `seqformers probe` takes.
        first_residue_id (`int`, defaults to 5): Residues are the ids from here
        last_residue_id (`int`, defaults to 29): to here; random replacements are drawn among them.
        mask_token_id (`int`, defaults to 1): Id that hides a residue.
        cls_token_id (`int`, defaults to 2): First token of every row.
        sep_token_id (`int`, defaults to 3): Behind each protein.

    Example:
    ```python
    >>> from seqformers import ProteinBertConfig
    >>> ProteinBertConfig.tape().vocab_size, ProteinBertConfig.plus_tfm().position_embedding
    (30, 'sinusoidal')

    ```
    """

    model_type = "protein_bert"
    molecule: ClassVar[str] = "protein"

    vocab_size: int = 30
    max_position_embeddings: int = 8096
    layer_norm: Literal["standard", "plus"] = "standard"
    position_embedding: Literal["learned", "sinusoidal"] = "learned"
    initialization: Literal["normal", "pytorch"] = "normal"
    pooling: Literal["pooler", "cls", "mean"] = "pooler"
    head_type: Literal["tape", "linear"] = "tape"
    classifier_hidden_size: int = 512
    contact_dropout: float | int = 0.5
    legacy_head_padding: bool = False
    mlm_weight: float | int = 0.7
    finetuning_mlm_weight: float | int = 0.0
    mlm_probability: float | int = 0.15
    max_masked: int | None = None
    class_weights: list[float | int] | None = None
    sequence_head: Literal["pooled", "residue_cnn", "linear"] = "pooled"
    token_head: Literal["own", "linear"] = "own"
    first_residue_id: int = 5
    last_residue_id: int = 29
    mask_token_id: int = 1
    cls_token_id: int = 2
    sep_token_id: int = 3

    def __post_init__(self, **kwargs: Any):
        for name in ("mlm_weight", "finetuning_mlm_weight", "mlm_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1, not {getattr(self, name)}")
        check_protein_fields(self)
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size={self.hidden_size} cannot be shared by num_attention_heads={self.num_attention_heads}"
            )
        if self.is_decoder or self.add_cross_attention:
            raise ValueError("ProteinBert is an encoder; is_decoder and add_cross_attention must stay False")
        if not 0 <= self.first_residue_id <= self.last_residue_id < self.vocab_size:
            raise ValueError(
                f"residue ids {self.first_residue_id}..{self.last_residue_id} do not fit vocab_size={self.vocab_size}"
            )
        super().__post_init__(**kwargs)

    @property
    def representation_size(self) -> int:
        """Width of the vector of each token."""
        return self.hidden_size

    @classmethod
    def tape(cls, **kwargs: Any) -> "ProteinBertConfig":
        """The transformer of the TAPE package: 12 layers of 768, learned positions."""
        return cls(**kwargs)

    @classmethod
    def plus_tfm(cls, **kwargs: Any) -> "ProteinBertConfig":
        """PLUS-TFM: sinusoidal positions, its own layer norm, 25 ids, linear heads on the first token."""
        preset = {
            "vocab_size": 25,
            "max_position_embeddings": 512,
            "layer_norm": "plus",
            "position_embedding": "sinusoidal",
            "initialization": "pytorch",
            "pooling": "cls",
            "head_type": "linear",
            "max_masked": 76,
            "first_residue_id": 1,
            "last_residue_id": 20,
            "mask_token_id": 22,
            "cls_token_id": 23,
            "sep_token_id": 24,
        }
        return cls(**{**preset, **kwargs})
