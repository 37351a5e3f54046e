"""Configuration of word vectors of k-mers and of words of residues."""

# No `from __future__ import annotations` here: `@strict` does not check fields whose types are strings.
from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .configuration_dna_fields import check_class_weights, check_counts, check_probabilities, check_sizes

__all__ = ["Kmer2VecConfig"]

_NUM_SPECIAL_TOKENS = 5  # [PAD] [UNK] [CLS] [SEP] [MASK]


@strict
class Kmer2VecConfig(PreTrainedConfig):
    r"""Word vectors of k-mers: skip-gram or CBOW with negative sampling, and heads that read their mean.

    Args:
        molecule (`"dna"`, `"rna"` or `"protein"`, defaults to `"dna"`): What the words are of; of residues with
            `ResidueWordTokenizer`, as ProtVec's.
        k (`int`, defaults to 6): Length of the k-mers, 1 to 8 (of residues 1 to 4); of the shortest where they differ.
        k_max (`int`, *optional*): Length of the longest ones, up to 8, with `VariableKmerTokenizer`: one table for
            all lengths, as dna2vec's for 3 to 8 (Ng 2017).
        vocab_size (`int`, *optional*): Ids of the tokenizer; 5 more than there are k-mers when not given.
        stride (`int`, defaults to 1): Bases between neighbouring k-mers.
        hidden_size (`int`, defaults to 100): Width of the vectors.
        objective (`"skipgram"` or `"cbow"`, defaults to `"skipgram"`): Whether a word tells each of its neighbours, or
            their mean tells it (Mikolov et al. 2013).
        window (`int`, defaults to 10): Neighbours on each side, in words.
        step (`int`, defaults to 1): Tokens between a word and its next neighbour. With overlapping k-mers, `k` takes
            neighbours that share no base: the words of one reading frame, as in ProtVec (Asgari and Mofrad 2015),
            whose k frames are then all read; 1 is dna2vec's (Ng 2017).
        num_negatives (`int`, defaults to 5): Words drawn against each pair, from their counts to the power 0.75.
        subsampling (`float`, defaults to 0.0): Words whose share f is above this are left out of training with the
            probability 1 - sqrt(subsampling / f); 0 leaves out none.
        pooling (`"mean"`, `"sum"` or `"max"`, defaults to `"mean"`): How words become the vector of a sequence.
        both_strands (`bool`, defaults to `False`): A k-mer and its reverse complement have one vector (fastDNA,
            Menegaux and Vert 2019).
        classifier_dropout (`float`, *optional*): Dropout before the classifier; 0 by default.
        class_weights (`list[float]`, *optional*): Weight of each class in the loss of a single label.
        focal_gamma (`float`, defaults to 0.0): Above 0, the loss of a single label counts rows less that are right
            already: each term times (1 - probability of the right class) to this power (focal loss).
        read_length (`int`, *optional*): Bases of the longest training row, where a run noted it.

    Example:
    ```python
    >>> from seqformers import Kmer2VecConfig

    >>> Kmer2VecConfig(k=4, objective="cbow").vocab_size
    261
    >>> Kmer2VecConfig(molecule="protein", k=3, window=25, step=3).vocab_size
    8005

    ```
    """

    model_type = "kmer2vec"

    molecule: Literal["dna", "rna", "protein"] = "dna"
    k: int = 6
    k_max: int | None = None
    vocab_size: int | None = None
    stride: int = 1
    hidden_size: int = 100
    objective: Literal["skipgram", "cbow"] = "skipgram"
    window: int = 10
    step: int = 1
    num_negatives: int = 5
    subsampling: float | int = 0.0
    pooling: Literal["mean", "sum", "max"] = "mean"
    both_strands: bool = False
    classifier_dropout: float | int | None = None
    class_weights: list[float] | None = None
    focal_gamma: float | int = 0.0
    read_length: int | None = None
    pad_token_id: int | None = 0
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any):
        longest, letters = (4, 20) if self.molecule == "protein" else (8, 4)
        if not 1 <= self.k <= longest:
            raise ValueError(f"k must be 1 to {longest}, got {self.k}")
        if self.k_max is not None and (letters != 4 or not self.k <= self.k_max <= longest):
            wanted = f"k={self.k} to 8" if letters == 4 else "left out: words of residues have one length"
            raise ValueError(f"k_max must be {wanted}, got {self.k_max}")
        if self.both_strands and letters != 4:
            raise ValueError("both_strands joins a k-mer and its reverse complement; residues have none")
        words = sum(letters**length for length in self.lengths) + _NUM_SPECIAL_TOKENS
        self.vocab_size = words if self.vocab_size is None else self.vocab_size
        if self.vocab_size < words:
            raise ValueError(f"vocab_size={self.vocab_size} is too small for k={self.k}, k_max={self.k_max}: {words}")
        check_counts(self, "stride", "hidden_size", "window", "step", "num_negatives")
        check_sizes(self, "subsampling", "focal_gamma")
        check_probabilities(self, "classifier_dropout")
        super().__post_init__(**kwargs)
        check_class_weights(self)

    @property
    def lengths(self) -> range:
        """Lengths of the k-mers, in the order of their ids."""
        return range(self.k, (self.k_max or self.k) + 1)

    @property
    def hidden_dropout_prob(self) -> float:
        """Dropout before the classifier where `classifier_dropout` is None."""
        return 0.0

    @property
    def max_position_embeddings(self) -> int:
        """Tokens that a row may have: the words are not counted."""
        return 1_000_000

    @property
    def letters_per_token(self) -> int:
        """Letters that one token covers."""
        return self.k

    @property
    def token_step(self) -> int:
        """Letters between the starts of neighbouring tokens."""
        return self.stride
