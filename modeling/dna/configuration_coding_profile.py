"""Configuration of networks over the profile of a stretch of DNA: its words, and the codons of its open frames."""

# No `from __future__ import annotations` here: `@strict` does not check fields whose types are strings.
from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .configuration_dna_fields import check_class_weights, check_counts, check_probabilities, check_sizes

__all__ = ["CodingProfileConfig"]

_VOCABULARY = 9  # [PAD] [UNK] [CLS] [SEP] [MASK] and four bases: KmerTokenizer(k=1)
_CODONS, _RESIDUES = 65, 22  # one of each stands for what cannot be read
_OPEN_FRAME_BINS = 9
_LONGEST_WORD = 7


@strict
class CodingProfileConfig(PreTrainedConfig):
    r"""Two dense layers over counts of words, codons and pairs of residues; ids of `KmerTokenizer(k=1)`.

    Args:
        word_length (`int`, defaults to 6): Letters of the words that are counted, a word and its reverse complement as
            one; 2 to 7.
        num_gaps (`int`, defaults to 4): Pairs of residues are counted 1 to this many codons apart; 0 counts none.
        min_open_frame (`int`, defaults to 25): Codons between two stops from which on an open frame counts as coding.
        hidden_size (`int`, defaults to 384): Units of the hidden layer.
        feature_dropout_prob (`float`, defaults to 0.5): Share of the profile that a training row does not show.
        hidden_dropout_prob (`float`, defaults to 0.3): Dropout behind the hidden layer.
        classifier_dropout (`float`, *optional*): Further dropout before the classifier.
        class_weights (`list[float]`, *optional*): Weight of each class in the loss of a single label.
        focal_gamma (`float`, defaults to 0.0): Above 0, the loss of a single label counts rows less that are right
            already: each term times (1 - probability of the right class) to this power (focal loss).
        read_length (`int`, *optional*): Bases of the longest training row, where a run noted it.

    Raises:
        ValueError: a number is out of its range; the message names the field.

    Example:
    ```python
    >>> from seqformers import CodingProfileConfig

    >>> CodingProfileConfig(word_length=4, num_gaps=1).profile_size
    699

    ```
    """

    model_type = "coding_profile"
    molecule: ClassVar[str] = "dna"

    word_length: int = 6
    num_gaps: int = 4
    min_open_frame: int = 25
    hidden_size: int = 384
    feature_dropout_prob: float | int = 0.5
    hidden_dropout_prob: float | int = 0.3
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
        super().__post_init__(**kwargs)
        if (self.k, self.stride) != (1, 1) or self.vocab_size < _VOCABULARY:
            raise ValueError(
                "coding_profile reads the single bases of KmerTokenizer(k=1): k=1, stride=1, vocab_size=9"
            )
        if not 2 <= self.word_length <= _LONGEST_WORD:
            raise ValueError(f"word_length must be 2 to {_LONGEST_WORD}, got {self.word_length}")
        if self.num_gaps < 0:
            raise ValueError(f"num_gaps must be at least 0, got {self.num_gaps}")
        check_counts(self, "min_open_frame", "hidden_size")
        check_probabilities(self, "feature_dropout_prob", "hidden_dropout_prob", "classifier_dropout")
        check_sizes(self, "focal_gamma")
        check_class_weights(self)

    @property
    def num_words(self) -> int:
        """Words of `word_length` letters, strands merged."""
        palindromes = 4 ** (self.word_length // 2) if self.word_length % 2 == 0 else 0
        return (4**self.word_length + palindromes) // 2

    @property
    def profile_size(self) -> int:
        """Numbers of a profile."""
        frames = _OPEN_FRAME_BINS + 4 + 1
        return int(self.num_words + _CODONS + self.num_gaps * _RESIDUES**2 + frames)
