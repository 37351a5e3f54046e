"""Configuration of convolutional networks over single bases: DeepBind, DeepSEA, Basset, DanQ and a dilated one."""

# No `from __future__ import annotations` here: `@strict` does not check fields whose types are strings.
from typing import Any, ClassVar, Literal

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .configuration_dna_fields import check_class_weights, check_probabilities, check_sizes

__all__ = ["SeqCnnConfig"]

_VOCABULARY = 9  # [PAD] [UNK] [CLS] [SEP] [MASK] and four bases: KmerTokenizer(k=1)
_LONGEST = 1_000_000  # bases of a row, where nothing in the network counts them


@strict
class SeqCnnConfig(PreTrainedConfig):
    r"""Convolutions over one-hot bases, with an optional LSTM and dense layers; ids of `KmerTokenizer(k=1)`.

    The named networks are class methods (`model.preset` of a recipe): [`deepbind`], [`deepsea`], [`basset`], [`danq`]
    and [`dilated`]; every field below can be given to them too.

    Args:
        num_filters (`list[int]`, defaults to `[64]`): Filters of each convolution.
        filter_widths (`list[int]`, defaults to 15 each): Their widths in positions.
        pool_widths (`list[int]`, defaults to 4 each): Positions that max pooling joins behind each; 1 joins none.
        dropouts (`list[float]`, defaults to none): Dropout behind each pooling; empty for none anywhere.
        padding (`"valid"`, `"same"` or `"full"`, defaults to `"same"`): What a convolution does at the ends: nothing,
            keeps the length, or (the first one; others keep the length) lets a motif hang over by all but one base,
            where letters count 0.25 as in DeepBind.
        batch_norm (`bool`, defaults to `False`): Batch normalisation behind every convolution and dense layer.
        num_dilated_layers (`int`, defaults to 0): Residual blocks behind the convolutions; block i reads 3 positions
            2\*\*i apart.
        lstm_size (`int`, defaults to 0): Units per direction of a bidirectional LSTM behind them; 0 for none.
        lstm_dropout (`float`, defaults to 0.0): Dropout behind it.
        pooling (`"max"`, `"mean"`, `"max_mean"` or `"flatten"`, defaults to `"max"`): How positions become one vector.
        sequence_length (`int`, *optional*): Bases of a row, for `"flatten"`: shorter ones get zeros on both sides.
        dense_sizes (`list[int]`, defaults to none): Dense layers with ReLU behind it.
        dense_dropout (`float`, defaults to 0.0): Dropout behind each of these.
        strands (`"forward"`, `"shared"`, `"max"` or `"mean"`, defaults to `"forward"`): How the two strands of DNA
            meet. `"shared"`: filters tied to their reverse complements, batch normalisation shared between the two,
            so that a sequence and its reverse complement get one answer (Shrikumar et al. 2017); needs even numbers
            of filters. `"max"`, `"mean"`: the classifier scores both strands and keeps the larger logit (DeepBind),
            or the mean.
        classifier_dropout (`float`, *optional*): Dropout before the classifier; 0 by default.
        class_weights (`list[float]`, *optional*): Weight of each class in the loss of a single label.
        focal_gamma (`float`, defaults to 0.0): Above 0, the loss of a single label counts rows less that are right
            already: each term times (1 - probability of the right class) to this power (focal loss).
        read_length (`int`, *optional*): Bases of the longest training row, where a run noted it.
        initializer_range (`float`, *optional*): Standard deviation of fresh weights; by default sqrt(2 / inputs).

    Raises:
        ValueError: lists of unlike length, `"flatten"` without `sequence_length` or with one that is too short, or
            odd numbers of filters (with `"same"`: even widths) where strands are shared.

    Example:
    ```python
    >>> from seqformers import SeqCnnConfig

    >>> SeqCnnConfig.deepsea(num_labels=919).positions(1000)
    53
    >>> SeqCnnConfig.basset(strands="shared", num_labels=164).hidden_size
    1000

    ```
    """

    model_type = "seq_cnn"
    molecule: ClassVar[str] = "dna"

    num_filters: list[int] | tuple[int, ...] = (64,)
    filter_widths: list[int] | tuple[int, ...] = ()
    pool_widths: list[int] | tuple[int, ...] = ()
    dropouts: list[float | int] | tuple[float | int, ...] = ()
    padding: Literal["valid", "same", "full"] = "same"
    batch_norm: bool = False
    num_dilated_layers: int = 0
    lstm_size: int = 0
    lstm_dropout: float | int = 0.0
    pooling: Literal["max", "mean", "max_mean", "flatten"] = "max"
    sequence_length: int | None = None
    dense_sizes: list[int] | tuple[int, ...] = ()
    dense_dropout: float | int = 0.0
    strands: Literal["forward", "shared", "max", "mean"] = "forward"
    classifier_dropout: float | int | None = None
    class_weights: list[float] | None = None
    focal_gamma: float | int = 0.0
    read_length: int | None = None
    initializer_range: float | int | None = None

    k: int = 1
    stride: int = 1
    vocab_size: int = _VOCABULARY
    pad_token_id: int | None = 0
    cls_token_id: int = 2
    sep_token_id: int = 3

    def __post_init__(self, **kwargs: Any):
        count = len(self.num_filters)
        self.num_filters = list(self.num_filters)  # lists, as JSON has them
        self.filter_widths = list(self.filter_widths or [15] * count)
        self.pool_widths = list(self.pool_widths or [4] * count)
        self.dropouts, self.dense_sizes = list(self.dropouts), list(self.dense_sizes)
        super().__post_init__(**kwargs)
        self._check()

    def _check(self) -> None:
        if (self.k, self.stride) != (1, 1) or self.vocab_size < _VOCABULARY:
            raise ValueError(
                f"seq_cnn reads single bases, with the {_VOCABULARY} ids of KmerTokenizer(k=1); got k={self.k}, "
                f"stride={self.stride}, vocab_size={self.vocab_size} (set tokenizer.k=1)"
            )
        count = len(self.num_filters)
        for name in ("filter_widths", "pool_widths", "dropouts"):
            if len(getattr(self, name)) not in ((0, count) if name == "dropouts" else (count,)):
                raise ValueError(
                    f"{name} must have one value for each of the {count} convolutions, got {getattr(self, name)}"
                )
        for name in ("num_filters", "filter_widths", "pool_widths", "dense_sizes"):
            if min(getattr(self, name), default=1) < 1:
                raise ValueError(f"{name} must hold numbers of at least 1, got {getattr(self, name)}")
        if not all(0 <= share < 1 for share in self.dropouts):
            raise ValueError(f"dropouts must be from 0 to below 1, got {self.dropouts}")
        check_probabilities(self, "lstm_dropout", "dense_dropout", "classifier_dropout")
        check_sizes(self, "num_dilated_layers", "lstm_size", "focal_gamma")
        check_class_weights(self)
        if self.strands == "shared":
            self._check_shared()
        if self.pooling == "flatten":
            if self.sequence_length is None:
                raise ValueError("pooling='flatten' counts positions: set sequence_length, the bases of a row")
            if self.positions(self.sequence_length) < 1:
                raise ValueError(
                    f"sequence_length={self.sequence_length} leaves no position; it must be at least {self.shortest}"
                )

    def _check_shared(self) -> None:
        for index, filters in enumerate(self.num_filters):
            if filters % 2:
                raise ValueError(f"strands='shared' pairs filters; num_filters must be even, got {self.num_filters}")
            keeps = self.padding == "same" or (self.padding == "full" and index)
            if keeps and self.filter_widths[index] % 2 == 0:
                raise ValueError(
                    f"strands='shared' with padding={self.padding!r} needs odd filter_widths, since an even width has "
                    f"no middle; got {self.filter_widths}"
                )
        if self.num_dilated_layers and self.num_filters[-1] % 4:
            raise ValueError(
                f"dilated layers halve shared filters: num_filters[-1] must be a multiple of 4, got {self.num_filters}"
            )

    @classmethod
    def deepbind(cls, **kwargs: Any) -> "SeqCnnConfig":
        """DeepBind (Alipanahi et al. 2015): 16 motif detectors of 24 bases, the largest of each, on both strands."""
        preset = {"num_filters": [16], "filter_widths": [24], "pool_widths": [1], "padding": "full", "strands": "max"}
        return cls(**{**preset, "classifier_dropout": 0.5, **kwargs})

    @classmethod
    def deepsea(cls, **kwargs: Any) -> "SeqCnnConfig":
        """DeepSEA (Zhou and Troyanskaya 2015): three convolutions over 1000 bases and a dense layer."""
        preset = {
            "num_filters": [320, 480, 960], "filter_widths": [8, 8, 8], "pool_widths": [4, 4, 1],
            "dropouts": [0.2, 0.2, 0.5], "padding": "valid", "pooling": "flatten", "sequence_length": 1000,
            "dense_sizes": [925],
        }  # fmt: skip
        return cls(**{**preset, **kwargs})

    @classmethod
    def basset(cls, **kwargs: Any) -> "SeqCnnConfig":
        """Basset (Kelley et al. 2016): three convolutions over 600 bases, wide pools, two dense layers."""
        preset = {
            "num_filters": [300, 200, 200], "filter_widths": [19, 11, 7], "pool_widths": [3, 4, 4], "padding": "valid",
            "batch_norm": True, "pooling": "flatten", "sequence_length": 600, "dense_sizes": [1000, 1000],
            "dense_dropout": 0.3,
        }  # fmt: skip
        return cls(**{**preset, **kwargs})

    @classmethod
    def danq(cls, **kwargs: Any) -> "SeqCnnConfig":
        """DanQ (Quang and Xie 2016): one convolution over 1000 bases, a bidirectional LSTM and a dense layer."""
        preset = {
            "num_filters": [320], "filter_widths": [26], "pool_widths": [13], "dropouts": [0.2], "padding": "valid",
            "lstm_size": 320, "lstm_dropout": 0.5, "pooling": "flatten", "sequence_length": 1000, "dense_sizes": [925],
        }  # fmt: skip
        return cls(**{**preset, **kwargs})

    @classmethod
    def dilated(cls, **kwargs: Any) -> "SeqCnnConfig":
        """A convolution, then residual dilated blocks (after Basenji, Kelley et al. 2018), for rows of any length."""
        preset = {
            "num_filters": [64], "filter_widths": [15], "pool_widths": [2], "padding": "same", "batch_norm": True,
            "num_dilated_layers": 5, "pooling": "max_mean", "dropouts": [0.1], "classifier_dropout": 0.1,
        }  # fmt: skip
        return cls(**{**preset, **kwargs})

    def length_after(self, layer: int, length: Any, *, pooled: bool = True) -> Any:
        """Positions behind convolution `layer` (and its pooling) of `length`, an integer or a tensor of them."""
        width, pool = self.filter_widths[layer], self.pool_widths[layer]
        if self.padding == "valid":
            length = length - width + 1
        elif self.padding == "full" and layer == 0:
            length = length + width - 1
        if not pooled or pool == 1:
            return length
        # Both strands see the same windows only where none of them is left out at one end.
        return (length + pool - 1) // pool if self.strands == "shared" else length // pool

    def positions(self, length: int) -> int:
        """Positions that are left of `length` bases behind all convolutions; below 1 where it is too short."""
        for layer in range(len(self.num_filters)):
            length = self.length_after(layer, length)
        return length

    @property
    def shortest(self) -> int:
        """Bases that a row needs."""
        return next(length for length in range(1, _LONGEST) if self.positions(length) >= 1)

    @property
    def channels(self) -> int:
        """Width of `last_hidden_state`."""
        return 2 * self.lstm_size or self.num_filters[-1]

    @property
    def pooled_size(self) -> int:
        """Width of the vector of a row before dense layers."""
        if self.pooling == "flatten":
            return self.channels * self.positions(self.sequence_length or 0)
        single = self.channels // 2 if self.strands == "shared" and not self.lstm_size else self.channels
        return single * (2 if self.pooling == "max_mean" else 1)

    @property
    def hidden_size(self) -> int:
        """Width of the vector of a row, which the classifier reads."""
        return self.dense_sizes[-1] if self.dense_sizes else self.pooled_size

    @property
    def hidden_dropout_prob(self) -> float:
        """Dropout before the classifier where `classifier_dropout` is None."""
        return 0.0

    @property
    def max_position_embeddings(self) -> int:
        """Tokens that a row may have, the two special ones included."""
        return (self.sequence_length or _LONGEST) + 2

    @property
    def letters_per_token(self) -> int:
        """Bases that one token covers."""
        return 1

    @property
    def token_step(self) -> int:
        """Bases between the starts of neighbouring tokens."""
        return 1
