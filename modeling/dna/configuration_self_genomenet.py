"""Configuration of Self-GenomeNet: a convolution and an LSTM that tell the other half of a sequence by contrast."""

# No `from __future__ import annotations` here: `@strict` does not check fields whose types are strings.
from typing import Any, ClassVar, Literal

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .configuration_dna_fields import check_class_weights, check_counts, check_probabilities, check_sizes

__all__ = ["SelfGenomeNetConfig"]

_VOCABULARY = 9  # [PAD] [UNK] [CLS] [SEP] [MASK] and four bases: KmerTokenizer(k=1)


@strict
class SelfGenomeNetConfig(PreTrainedConfig):
    r"""Self-GenomeNet (Gündüz et al. 2023): a convolution over bases, an LSTM, and pretraining by contrast.

    Args:
        num_filters (`int`, defaults to 1024): Filters of the convolution.
        filter_width (`int`, defaults to 24): Their width in bases.
        filter_stride (`int`, defaults to 6): Bases between the starts of neighbouring positions.
        lstm_size (`int`, defaults to 512): Units of the LSTM, and width of the vectors.
        objective (`"reverse_complement"` or `"cpc"`, defaults to `"reverse_complement"`): What pretraining tells from
            the same of the other rows of a batch: by what was read from one end, the vector of the rest, read from
            its own end on the other strand; or, from left to right, what the convolution gives some positions ahead
            (contrastive predictive coding, van den Oord et al. 2018).
        num_targets (`int`, defaults to 2): Lengths of the part that predicts: with n, 1/2n, 2/2n ... of a row up to
            the half (and the rest from it), so that 1 is the half alone. Of `"cpc"`: positions told, each further
            ahead; the first is the next that shares no base.
        pooling (`"last"`, `"mean"` or `"max"`, defaults to `"last"`): How positions become the vector of a row.
        strands (`"forward"` or `"mean"`, defaults to `"mean"`): Whether that vector is of the strand given, or the
            mean over both, which a sequence and its reverse complement share.
        dropout (`float`, defaults to 0.0): Dropout behind the convolution.
        classifier_dropout (`float`, *optional*): Dropout before the classifier; 0 by default.
        class_weights (`list[float]`, *optional*): Weight of each class in the loss of a single label.
        focal_gamma (`float`, defaults to 0.0): Above 0, the loss of a single label counts rows less that are right
            already: each term times (1 - probability of the right class) to this power (focal loss).
        read_length (`int`, *optional*): Bases of the longest training row, where a run noted it.

    Example:
    ```python
    >>> from seqformers import SelfGenomeNetConfig

    >>> SelfGenomeNetConfig().positions(150)
    22

    ```
    """

    model_type = "self_genomenet"
    molecule: ClassVar[str] = "dna"

    num_filters: int = 1024
    filter_width: int = 24
    filter_stride: int = 6
    lstm_size: int = 512
    objective: Literal["reverse_complement", "cpc"] = "reverse_complement"
    num_targets: int = 2
    pooling: Literal["last", "mean", "max"] = "last"
    strands: Literal["forward", "mean"] = "mean"
    dropout: float | int = 0.0
    classifier_dropout: float | int | None = None
    class_weights: list[float] | None = None
    focal_gamma: float | int = 0.0
    read_length: int | None = None

    k: int = 1
    stride: int = 1
    vocab_size: int = _VOCABULARY
    pad_token_id: int | None = 0
    cls_token_id: int = 2
    sep_token_id: int = 3

    def __post_init__(self, **kwargs: Any):
        if (self.k, self.stride) != (1, 1) or self.vocab_size < _VOCABULARY:
            raise ValueError(
                f"self_genomenet reads single bases, with the {_VOCABULARY} ids of KmerTokenizer(k=1); got "
                f"k={self.k}, stride={self.stride}, vocab_size={self.vocab_size} (set tokenizer.k=1)"
            )
        check_counts(self, "num_filters", "filter_width", "filter_stride", "lstm_size", "num_targets")
        if self.filter_stride > self.filter_width:
            raise ValueError(
                f"filter_stride must be at most filter_width={self.filter_width} (bases between filters would be "
                f"lost), got {self.filter_stride}"
            )
        check_probabilities(self, "dropout", "classifier_dropout")
        check_sizes(self, "focal_gamma")
        super().__post_init__(**kwargs)
        check_class_weights(self)

    def positions(self, length: Any) -> Any:
        """Positions of a row of `length` bases, an integer or a tensor of them; a shorter row than a filter has 1."""
        over = length - self.filter_width
        over = max(over, 0) if isinstance(over, int) else over.clamp(min=0)
        return over // self.filter_stride + 1

    @property
    def hidden_size(self) -> int:
        """Width of the vector of a row, which the classifier reads."""
        return self.lstm_size

    @property
    def hidden_dropout_prob(self) -> float:
        """Dropout before the classifier where `classifier_dropout` is None."""
        return 0.0

    @property
    def max_position_embeddings(self) -> int:
        """Tokens that a row may have: nothing in the network counts them."""
        return 1_000_000

    @property
    def letters_per_token(self) -> int:
        """Bases that one token covers."""
        return 1

    @property
    def token_step(self) -> int:
        """Bases between the starts of neighbouring tokens."""
        return 1
