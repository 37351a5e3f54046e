"""Overlapping k-mers of several lengths as tokens, as in DNAVec: at every base a k-mer begins, long or short."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from .portable import variable_kmer_backend
from .token_inputs import refuse_split_texts
from .tokenization_arrays import ranges
from .tokenization_kmer import base_codes, refuse_unknown, rolling_kmers
from .tokenization_words import SPECIAL, UNK, WordTokenizer

__all__ = ["VariableKmerTokenizer"]

_BASES = "ATCG"  # DNABERT's order: A=0, T=1, C=2, G=3
_OTHER = 4


class VariableKmerTokenizer(WordTokenizer):
    """Tokenizer of DNA and RNA into overlapping k-mers whose lengths differ from place to place.

    Ids: `[PAD]` 0, `[UNK]` 1, `[CLS]` 2, `[SEP]` 3, `[MASK]` 4, then all k-mers, the shortest first, each length in
    the base order A, T, C, G with the first base slowest: 87,365 ids for 3 to 8. A k-mer begins at every base; its
    length goes round from `k` to `k_max` along the sequence, so that a text always has the same ids. In pretraining
    lengths are drawn at random instead, anew whenever a text is read (DNAVec). At the end of a sequence k-mers are as
    long as what is left. A sequence of L bases gives `L - k + 1` tokens. U is read as T; a k-mer that holds any other
    letter becomes `[UNK]`, which offsets say covers `k` letters.

    Args:
        k (`int`, *optional*): Bases of the shortest token. Default 3, or what `vocab_file` says.
        k_max (`int`, *optional*): Bases of the longest one, up to 8. Default 8, or what `vocab_file` says.
        do_upper_case (`bool`, defaults to `True`): Read lower-case (soft-masked) bases like upper-case ones.
        on_unknown (`str`, defaults to `"unk"`): `"unk"`, or `"error"` to raise on the first unknown letter.
        unknown_warning_share (`float`, defaults to 0.05): A batch with a larger share of `[UNK]` tokens warns.
        vocab_file (`str`, *optional*): A `vocab.txt` written by this class; only read to learn or check `k`, `k_max`.
        molecule (`str`, defaults to `"dna"`): `"dna"` or `"rna"`: what it is said to read. The ids are the same.

    Raises:
        ValueError: `k` or `k_max` out of range, another vocabulary, or, with `on_unknown="error"`, an unknown letter
            (the message names sequence, position and letter).

    Examples:
        >>> tokenizer = VariableKmerTokenizer(k=4, k_max=6)
        >>> tokenizer.tokenize("GATCCCAC")
        ['GATC', 'ATCCC', 'TCCCAC', 'CCCA', 'CCAC']
        >>> tokenizer.decode(tokenizer("GATCCCAC").input_ids, skip_special_tokens=True)
        'GATCCCAC'
        >>> VariableKmerTokenizer().vocab_size
        87365
    """

    word_name = "k-mers"
    stride = 1

    def __init__(
        self,
        k: int | None = None,
        k_max: int | None = None,
        vocab_file: str | None = None,
        molecule: str = "dna",
        **kwargs: Any,
    ):
        k, k_max = _checked_lengths(k, k_max, vocab_file)
        if molecule not in ("dna", "rna"):
            raise ValueError(f"molecule must be 'dna' or 'rna', got {molecule!r}")
        self.molecule = molecule
        self.k = k
        self.k_max = k_max
        self._chance: np.ndarray | None = None
        # First id of each length, and behind the last one.
        sizes = [4**length for length in range(k, k_max + 1)]
        self._edges = len(SPECIAL) + np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        kwargs.setdefault("model_max_length", 512)
        super().__init__(k=k, k_max=k_max, **kwargs)

    # -- sequences to ids --------------------------------------------------------------------------------------------

    def num_tokens(self, lengths: Any) -> np.ndarray:
        """Tokens (without special ones) that sequences of `lengths` bases give, same shape.

        Examples:
            >>> VariableKmerTokenizer().num_tokens([2, 3, 150])
            array([  0,   1, 148])
        """
        return np.maximum(np.asarray(lengths, dtype=np.int64) - self.k + 1, 0)

    def _encode_plus(self, text: Any, *args: Any, chance: np.ndarray | None = None, **kwargs: Any) -> Any:  # type: ignore[override]
        """As other tokenizers; with `chance`, `(tokens,)` in [0, 1), the lengths of k-mers are drawn by it.

        One number for each token of all texts end to end (`num_tokens`), before anything is truncated.
        """
        self._chance = chance
        try:
            return super()._encode_plus(text, *args, **kwargs)
        finally:
            self._chance = None

    def _ids_of_texts(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        counts = self.num_tokens(lengths)
        if not counts.all():
            self._warn_about_short(lengths)
        total = int(counts.sum())
        if not total:
            return np.empty(0, np.int64), counts
        codes = base_codes(texts, upper_case=self.do_upper_case)
        place = ranges(np.zeros_like(counts), counts)
        starts = np.repeat(np.cumsum(lengths) - lengths, counts) + place
        widths = np.minimum(self._wanted(place), np.repeat(lengths, counts) - place)
        unknown = codes == _OTHER
        # The longest k-mer at every start, of which shorter ones are the beginning; nothing follows the last text.
        known = np.concatenate([np.where(unknown, 0, codes), np.zeros(self.k_max - 1, np.uint8)]).astype(np.uint8)
        numbers = rolling_kmers(known, self.k_max)[starts].astype(np.int64)
        ids = self._edges[widths - self.k] + (numbers >> (2 * (self.k_max - widths)))
        if unknown.any():
            refuse_split_texts(texts, most=8)
            if self.on_unknown == "error":
                refuse_unknown(texts, lengths, int(np.argmax(unknown)))
            before = np.concatenate([[0], np.cumsum(unknown)])
            bad = before[starts + widths] > before[starts]
            ids[bad] = UNK
            self._warn_about_unknown(int(np.count_nonzero(bad)), total)
        return ids, counts

    def _wanted(self, place: np.ndarray) -> np.ndarray:
        """Length of the k-mer at each place, the end of the sequence aside."""
        lengths = self.k_max - self.k + 1
        if self._chance is None:
            return self.k + place % lengths
        if self._chance.shape != place.shape:
            raise ValueError(
                f"chance must hold one number for each of the {len(place)} tokens, got {self._chance.shape}"
            )
        return self.k + (self._chance * lengths).astype(np.int64)

    # -- tokens, ids and bases ---------------------------------------------------------------------------------------

    @property
    def vocab_size(self) -> int:
        """Number of ids: 5 special tokens and all k-mers."""
        return int(self._edges[-1])

    @property
    def kmer_ids(self) -> range:
        """Ids of the k-mers."""
        return range(len(SPECIAL), self.vocab_size)

    def letters_of(self, ids: np.ndarray) -> np.ndarray:
        """Bases of each token, same shape; `k` of a special one."""
        lengths = self.k + np.searchsorted(self._edges, ids, side="right") - 1
        return np.where(np.isin(lengths, range(self.k, self.k_max + 1)), lengths, self.k)

    def words_like(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First id and number of the k-mers that are as long as each of `ids`: what may stand in its place."""
        lengths = self.letters_of(ids)
        return self._edges[lengths - self.k], 4**lengths

    def _words(self) -> Iterable[str]:
        return ("".join(kmer) for size in range(self.k, self.k_max + 1) for kmer in product(_BASES, repeat=size))

    def _word(self, number: int) -> str:
        index = number + len(SPECIAL)
        size = int(self.letters_of(np.array(index)))
        number = index - int(self._edges[size - self.k])
        return "".join(_BASES[number >> 2 * (size - 1 - i) & 3] for i in range(size))

    def _merge(self, run: np.ndarray) -> str:
        widths = self.letters_of(run)
        letters = np.full(int((np.arange(len(run)) + widths).max()), ord(self.unknown_letter), dtype=np.uint8)
        alphabet = np.frombuffer(_BASES.encode(), dtype=np.uint8)
        numbers = run - self._edges[widths - self.k]
        for offset in reversed(range(self.k_max)):  # so that of two k-mers over one base the later one writes last
            there = np.flatnonzero((run >= len(SPECIAL)) & (widths > offset))
            letters[there + offset] = alphabet[numbers[there] >> (2 * (widths[there] - 1 - offset)) & 3]
        return letters.tobytes().decode()

    def _portable_backend(self) -> Tokenizer:
        return variable_kmer_backend(self._vocab, k=self.k, k_max=self.k_max, upper_case=self.do_upper_case)


def _checked_lengths(k: int | None, k_max: int | None, vocab_file: str | None) -> tuple[int, int]:
    if vocab_file is None:
        k, k_max = 3 if k is None else k, 8 if k_max is None else k_max
    else:
        tokens = Path(vocab_file).read_text(encoding="utf-8").split()
        low, high = (len(tokens[5]), len(tokens[-1])) if len(tokens) > 5 else (0, 0)
        expected = 5 + sum(4**size for size in range(low, high + 1))
        if tuple(tokens[:5]) != SPECIAL or len(tokens) != expected or tokens[-1] != "G" * high:
            raise ValueError(f"{vocab_file} is not a vocabulary of k-mers of all lengths after {SPECIAL}")
        if (k, k_max) not in ((None, None), (low, high), (low, None), (None, high)):
            raise ValueError(f"{vocab_file} holds k-mers of {low} to {high}, but k={k}, k_max={k_max} was asked for")
        k, k_max = low, high
    if not 1 <= k <= k_max <= 8:
        raise ValueError(f"k and k_max must be between 1 and 8, k the smaller one; got {k} and {k_max}")
    return k, k_max
