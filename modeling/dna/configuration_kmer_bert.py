"""Configuration of the k-mer BERT family."""

# No `from __future__ import annotations` here: `@strict` does not check fields whose types are strings.
from typing import Any, ClassVar, Literal

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .configuration_dna_fields import check_class_weights, check_counts, check_probabilities, check_sizes

__all__ = ["KmerBertConfig"]

_MOST_LETTERS = 64  # ids of single bases, with room to spare; a learnt vocabulary has more
FIRST_KMER = 5  # [PAD] [UNK] [CLS] [SEP] [MASK], ids 0..4 as in DNABERT


@strict
class KmerBertConfig(PreTrainedConfig):
    r"""A BERT over k-mers of DNA: every field of `BertConfig`, and what a model of nucleotides has to remember.

    Args:
        k (`int`, *optional*):
            Length of the k-mers in bases, 1 to 8. Inferred from `vocab_size` when only that is given; 6 when
            neither is.
        k_max (`int`, *optional*):
            Length of the longest k-mers, up to 8, where lengths differ (`VariableKmerTokenizer`); `k` is then that of
            the shortest. With a learnt vocabulary (`seqformers learn-tokens`) it is None and `k` 1.
        vocab_size (`int`, *optional*):
            Number of token ids; 5 more than there are k-mers when not given. More is allowed (padding to a round
            number, added tokens, a learnt vocabulary), fewer is not.
        stride (`int`, *optional*, defaults to 1):
            Bases between the starts of neighbouring k-mers, 1 to `k`.
        max_chunks (`int`, *optional*, defaults to 1):
            `KmerBertForSequenceClassification` cuts its input into at most so many chunks of
            `max_position_embeddings` tokens. 1 gives exactly the head of `BertForSequenceClassification`; above 1
            the pooled chunks are concatenated and pass one ReLU layer.
        classifier_pooling (`"cls"` or `"mean"`, *optional*, defaults to `"cls"`):
            What the pooler of `KmerBertForSequenceClassification` reads: the [CLS] position (as BERT), or the mean
            over the k-mers of a chunk. Masked-language-model training leaves [CLS] untrained, so `"mean"` is often
            the better start when labels are few.
        strands (`"forward"` or `"mean"`, *optional*, defaults to `"forward"`):
            Whether `KmerBertForSequenceClassification` reads the strand given, or the mean over both of what comes
            before its last layer, in training, probes and `predict` alike. Of k-mers of one length only.
        stem_stride (`int`, *optional*, defaults to 1):
            Above 1, a convolution joins so many neighbouring tokens into one position before the encoder, whose
            positions are spread over the tokens again behind it: long inputs cost the square of fewer positions.
        stem_width (`int`, *optional*):
            Tokens that this convolution reads for a position, at least `stem_stride`; three times as many by default.
        composition (`int`, *optional*, defaults to 0):
            Above 0, the classifier of `KmerBertForSequenceClassification` reads the composition of the sequence in
            words of so many bases (at most `k`, strands as one) beside the pooled vector: what a regression on k-mers
            knows need not be learnt by the encoder.
        padding_attention (`"masked"`, `"attended"` or `"additive"`, *optional*, defaults to `"masked"`):
            How padding is treated. `"masked"` is right. The others reproduce runs of the original DNABERT code
            (since commit `1fcc2cc`) and of virBERT: `"attended"` ignores the attention mask, as their pretraining
            did; `"additive"` adds the raw 0/1 mask to the attention scores, as their fine-tuning did, so that
            padding is attended to with relative weight 1/e.
        masked_lm_logits (`"auto"`, `"all"` or `"labelled"`, *optional*, defaults to `"auto"`):
            Positions that masked-language-model heads give logits of when `labels` are there: all of them,
            `(batch, length, vocab)`, or the labelled ones alone, `(labelled, vocab)`, which is where most of the time
            of a small model goes. `"auto"`: the labelled ones while training, all in evaluation. The loss is the same.
        class_weights (`list[float]`, *optional*):
            Weight of each class in the loss of sequence and token classification with one label, for classes of
            unequal size; the loss is the weighted mean.
        focal_gamma (`float`, defaults to 0.0): Above 0, the loss of a single label counts rows less that are right
            already: each term times (1 - probability of the right class) to this power (focal loss).
        read_length (`int`, *optional*):
            Bases of the longest training read, where a run noted it; longer sequences are cut into windows of it.
        cls_token_id (`int`, *optional*, defaults to 2):
            Id put in front of every chunk.
        sep_token_id (`int`, *optional*, defaults to 3):
            Id put behind every chunk.
        hidden_size, num_hidden_layers and the other fields of BERT:
            As in `BertConfig`, with the same defaults.

    Example:
    ```python
    >>> from seqformers import KmerBertConfig

    >>> config = KmerBertConfig(k=4, hidden_size=128, num_hidden_layers=2, num_attention_heads=2)
    >>> config.vocab_size
    261
    >>> KmerBertConfig(vocab_size=4101).k
    6

    ```
    """

    model_type = "kmer_bert"
    molecule: ClassVar[str] = "dna"

    vocab_size: int | None = None
    k: int | None = None
    k_max: int | None = None
    stride: int = 1
    max_chunks: int = 1
    classifier_pooling: Literal["cls", "mean"] = "cls"
    strands: Literal["forward", "mean"] = "forward"
    stem_stride: int = 1
    stem_width: int | None = None
    composition: int = 0
    padding_attention: Literal["masked", "attended", "additive"] = "masked"
    masked_lm_logits: Literal["auto", "all", "labelled"] = "auto"
    class_weights: list[float] | None = None
    focal_gamma: float | int = 0.0
    read_length: int | None = None
    cls_token_id: int = 2
    sep_token_id: int = 3

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float | int = 0.1
    attention_probs_dropout_prob: float | int = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    classifier_dropout: float | int | None = None
    tie_word_embeddings: bool = True
    # Read by BERT's layers; an encoder is all this family is.
    is_decoder: bool = False
    add_cross_attention: bool = False
    use_cache: bool = False

    def __post_init__(self, **kwargs: Any):
        if self.k is None:
            self.k = 6 if self.vocab_size is None else _k_of(self.vocab_size)
        if not 1 <= self.k <= 8:
            raise ValueError(f"k must be 1 to 8, got {self.k}")
        longest = self.k if self.k_max is None else self.k_max
        if not self.k <= longest <= 8:
            raise ValueError(f"k_max must be k={self.k} to 8, got {longest}")
        kmers = sum(4**length for length in range(self.k, longest + 1))
        if self.vocab_size is None:
            self.vocab_size = kmers + FIRST_KMER
        if self.vocab_size < kmers + FIRST_KMER:
            raise ValueError(
                f"vocab_size={self.vocab_size} is too small for k={self.k}{f' to {longest}' if self.k_max else ''}: "
                f"{kmers} k-mers and {FIRST_KMER} special tokens need {kmers + FIRST_KMER}"
            )
        if not 1 <= self.stride <= self.k:
            raise ValueError(f"stride must be 1 to k={self.k} (bases between k-mers would be lost), got {self.stride}")
        check_counts(
            self, "max_chunks", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
            "max_position_embeddings", "type_vocab_size",
        )  # fmt: skip
        if self.stem_stride > 1 and self.stem_width is None:
            self.stem_width = 3 * self.stem_stride
        if not 1 <= self.stem_stride <= (self.stem_width or 1):
            raise ValueError(
                f"stem_stride must be 1 to stem_width={self.stem_width} (tokens would be lost), got {self.stem_stride}"
            )
        if self.stem_stride > 1 and self.padding_attention != "masked":
            raise ValueError("a stem (stem_stride above 1) leaves padding out; padding_attention must stay 'masked'")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size={self.hidden_size} cannot be shared by num_attention_heads={self.num_attention_heads}"
            )
        if self.strands == "mean" and (longest > self.k or (self.k == 1 and self.vocab_size > _MOST_LETTERS)):
            raise ValueError(
                "strands='mean' turns k-mers of one length; k-mers of several lengths and learnt words have no other "
                "strand by their ids. Average over the strands of the text: predict --both-strands"
            )
        if self.read_length is not None:
            check_counts(self, "read_length")
        if not 0 <= self.composition <= self.k or (self.composition and self.k_max is not None):
            raise ValueError(f"composition must be 0 to k={self.k}, of k-mers of one length, got {self.composition}")
        check_probabilities(self, "hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")
        check_sizes(self, "initializer_range", "layer_norm_eps", "focal_gamma")
        if self.is_decoder or self.add_cross_attention:
            raise ValueError("KmerBert is an encoder; is_decoder and add_cross_attention must stay False")
        kwargs.pop("model_type", None)  # "bert" when the weights come from a stock BERT
        super().__post_init__(**kwargs)
        check_class_weights(self)

    @classmethod
    def dnavec(cls, **kwargs: Any) -> "KmerBertConfig":
        """DNAVec: 12 layers of width 512 over k-mers of 3 to 8 bases; 8 heads, as the 12 printed do not divide 512."""
        preset = {
            "k": 3, "k_max": 8, "hidden_size": 512, "num_hidden_layers": 12, "num_attention_heads": 8,
            "intermediate_size": 2048,
        }  # fmt: skip
        return cls(**{**preset, **kwargs})

    @classmethod
    def mini(cls, **kwargs: Any) -> "KmerBertConfig":
        """4 layers of width 256."""
        return cls(**_sizes(4, 256) | kwargs)

    @classmethod
    def small(cls, **kwargs: Any) -> "KmerBertConfig":
        """4 layers of width 512: bert-small, which virBERT's scaled trials used."""
        return cls(**_sizes(4, 512) | kwargs)

    @classmethod
    def medium(cls, **kwargs: Any) -> "KmerBertConfig":
        """8 layers of width 512: bert-medium."""
        return cls(**_sizes(8, 512) | kwargs)

    @classmethod
    def base(cls, **kwargs: Any) -> "KmerBertConfig":
        """12 layers of width 768: DNABERT and virBERT."""
        return cls(**_sizes(12, 768) | kwargs)

    @property
    def letters_per_token(self) -> int | None:
        """Bases that one token covers: `k`, of several lengths the shortest."""
        return self.k

    @property
    def token_step(self) -> int:
        """Bases between the starts of neighbouring tokens: `stride`."""
        return self.stride

    def to_diff_dict(self) -> dict[str, Any]:
        """The values that differ from the defaults, and always those that the data depend on."""
        return super().to_diff_dict() | {"k": self.k, "stride": self.stride, "vocab_size": self.vocab_size}


def _sizes(layers: int, width: int) -> dict[str, int]:
    """Heads of 64 and a hidden layer of four times the width, as BERT has."""
    return {
        "num_hidden_layers": layers,
        "hidden_size": width,
        "num_attention_heads": width // 64,
        "intermediate_size": 4 * width,
    }


def _k_of(vocab_size: int) -> int:
    """The k whose k-mers and special tokens make exactly `vocab_size` ids."""
    for k in range(1, 9):
        if vocab_size == 4**k + FIRST_KMER:
            return k
    sizes = ", ".join(f"{4**k + FIRST_KMER} (k={k})" for k in range(1, 9))
    raise ValueError(f"cannot tell k from vocab_size={vocab_size}; give k as well. Exact sizes: {sizes}")
