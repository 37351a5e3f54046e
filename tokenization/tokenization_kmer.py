"""Overlapping k-mers as tokens, with the ids of DNABERT (Ji et al. 2021), computed on whole batches of sequences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from .portable import kmer_backend
from .token_inputs import refuse_split_texts
from .tokenization_words import SPECIAL, UNK, WordTokenizer

__all__ = ["KmerTokenizer", "base_codes", "refuse_unknown", "rolling_kmers"]

_BASES = "ATCG"  # DNABERT's order: A=0, T=1, C=2, G=3
_OTHER = 4


def _letter_table(letters: str) -> bytes:
    """A table for `bytes.translate`: letter -> base code 0..3, anything else -> 4."""
    table = bytearray([_OTHER] * 256)
    for letter in letters:
        table[ord(letter)] = _BASES.index(letter.upper().replace("U", "T"))
    return bytes(table)


_ANY_CASE = _letter_table("ATCGUatcgu")
_UPPER_ONLY = _letter_table("ATCGU")


def base_codes(texts: Sequence[str], *, upper_case: bool) -> np.ndarray:
    """Codes of the letters of all texts end to end, `(letters,)` uint8: A 0, T and U 1, C 2, G 3, anything else 4."""
    table = _ANY_CASE if upper_case else _UPPER_ONLY
    return np.frombuffer("".join(texts).encode("latin-1", "replace").translate(table), dtype=np.uint8)


def rolling_kmers(codes: np.ndarray, k: int) -> np.ndarray:
    """Return the k-mer number at every start, shape `(len(codes) - k + 1,)`, by joining k-mers of half the length."""
    dtype = np.uint8 if k <= 4 else np.uint16
    if k == 1:
        return codes
    half = k // 2
    short = rolling_kmers(codes, half)
    left = short[: len(codes) - k + 1].astype(dtype)
    right = short if 2 * half == k else rolling_kmers(codes, k - half)
    np.left_shift(left, 2 * (k - half), out=left)
    return np.bitwise_or(left, right[half : half + len(left)], out=left)


def _any_in_window(flags: np.ndarray, k: int) -> np.ndarray:
    """Whether any of the k flags from every start on is set, shape `(len(flags) - k + 1,)`."""
    if k == 1:
        return flags
    half = _any_in_window(flags, (k + 1) // 2)
    n = len(flags) - k + 1
    return half[:n] | half[k // 2 : k // 2 + n]


class KmerTokenizer(WordTokenizer):
    """Tokenizer of DNA and RNA into overlapping k-mers.

    Ids are DNABERT's: `[PAD]` 0, `[UNK]` 1, `[CLS]` 2, `[SEP]` 3, `[MASK]` 4, then all k-mers in base order A, T, C,
    G with the first base slowest. A sequence of L bases gives `(L - k) // stride + 1` tokens. U is read as T; a k-mer
    that holds any other letter becomes `[UNK]`.

    Args:
        k (`int`, *optional*): Bases per token, 1 to 8. Default 6, or what `vocab_file` says.
        stride (`int`, defaults to 1): Bases between the starts of neighbouring tokens, 1 to k.
        do_upper_case (`bool`, defaults to `True`): Read lower-case (soft-masked) bases like upper-case ones. The
            original did not: with `False` they become `[UNK]`.
        legacy_stride (`bool`, defaults to `False`): With a stride above 1, first cut `stride` bases off the end, as
            virBERT's code did, which loses one token.
        on_unknown (`str`, defaults to `"unk"`): `"unk"`, or `"error"` to raise on the first unknown letter.
        unknown_warning_share (`float`, defaults to 0.05): A batch with a larger share of `[UNK]` tokens warns.
        vocab_file (`str`, *optional*): DNABERT's `vocab.txt`; only read to learn or check `k`.
        molecule (`str`, defaults to `"dna"`): `"dna"` or `"rna"`: what it is said to read. The ids are the same.

    Raises:
        ValueError: k or stride out of range, a vocabulary that is not of k-mers in this order, or, with
            `on_unknown="error"`, an unknown letter (the message names sequence, position and letter).

    Examples:
        >>> tokenizer = KmerTokenizer(k=6)
        >>> tokenizer("ACGTTGCA").input_ids
        [2, 732, 2915, 3453, 3]
        >>> tokenizer.decode([2, 732, 2915, 3453, 3], skip_special_tokens=True)
        'ACGTTGCA'
        >>> tokenizer(["ACGTTGCA", "acguug"], padding=True, return_tensors="np").input_ids.shape
        (2, 5)
    """

    def __init__(
        self,
        k: int | None = None,
        stride: int = 1,
        do_upper_case: bool = True,
        legacy_stride: bool = False,
        vocab_file: str | None = None,
        molecule: str = "dna",
        **kwargs: Any,
    ):
        k = _checked_k(k, vocab_file)
        if not 1 <= stride <= k:
            raise ValueError(f"stride must be between 1 and k={k}, got {stride}: a larger one would skip bases")
        if molecule not in ("dna", "rna"):
            raise ValueError(f"molecule must be 'dna' or 'rna', got {molecule!r}")
        self.molecule = molecule
        self.k = k
        self.stride = stride
        self.legacy_stride = legacy_stride
        self.word_name = f"{k}-mers"
        kwargs.setdefault("model_max_length", 512)
        super().__init__(k=k, stride=stride, do_upper_case=do_upper_case, legacy_stride=legacy_stride, **kwargs)

    # -- sequences to ids --------------------------------------------------------------------------------------------

    def num_tokens(self, lengths: Any) -> np.ndarray:
        """Tokens (without special ones) that sequences of `lengths` bases give, same shape.

        Examples:
            >>> KmerTokenizer(k=6, stride=3).num_tokens([5, 6, 150, 1000])
            array([  0,   1,  49, 332])
        """
        lengths = np.asarray(lengths, dtype=np.int64)
        if self.legacy_stride and self.stride > 1:
            lengths = lengths - self.stride
        return np.maximum((lengths - self.k) // self.stride + 1, 0)

    def _ids_of_texts(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        counts = self.num_tokens(lengths)
        codes = base_codes(texts, upper_case=self.do_upper_case)
        ids_type = np.uint16 if self.k < 8 else np.int32
        if not counts.any():
            self._warn_about_short(lengths)
            return np.empty(0, ids_type), counts
        unknown = codes == _OTHER
        has_unknown = bool(unknown.any())
        if has_unknown:
            refuse_split_texts(texts, most=8)
        if has_unknown and self.on_unknown == "error":
            refuse_unknown(texts, lengths, int(np.argmax(unknown)))
        kmers = self._at_starts(rolling_kmers(codes, self.k), lengths, counts)
        ids = kmers.astype(ids_type, copy=kmers.dtype != ids_type or not kmers.flags.writeable)
        np.add(ids, len(SPECIAL), out=ids, casting="unsafe")
        if has_unknown:
            bad = self._at_starts(_any_in_window(unknown, self.k), lengths, counts)
            ids[bad] = UNK
            self._warn_about_unknown(int(np.count_nonzero(bad)), len(ids))
        if not counts.all():
            self._warn_about_short(lengths)
        return ids, counts

    def _at_starts(self, windows: np.ndarray, lengths: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Keep the windows that start inside their own sequence, every `stride` bases."""
        length = int(lengths[0])
        if len(lengths) == 1 or bool((lengths == length).all()):
            n, span = int(counts[0]), (int(counts[0]) - 1) * self.stride + 1
            if len(lengths) == 1:
                return windows[: span : self.stride]
            # The last sequence ends k - 1 windows early; a strided view over full rows would read past the end.
            rows = np.lib.stride_tricks.as_strided(
                windows,
                (len(lengths), n),
                (length * windows.itemsize, self.stride * windows.itemsize),
                writeable=False,
            )
            return rows.reshape(-1)
        first = np.cumsum(lengths) - lengths
        before = np.cumsum(counts) - counts
        return windows[np.repeat(first - before * self.stride, counts) + np.arange(int(counts.sum())) * self.stride]

    # -- tokens, ids and bases ---------------------------------------------------------------------------------------

    @property
    def vocab_size(self) -> int:
        """Number of ids: 5 special tokens and 4^k k-mers."""
        return len(SPECIAL) + 4**self.k

    @property
    def kmer_ids(self) -> range:
        """Ids of the k-mers."""
        return range(len(SPECIAL), self.vocab_size)

    def words_like(self, ids: np.ndarray) -> tuple[int, int]:
        """First id and number of the k-mers that are as long as each of `ids`: what may stand in its place."""
        return len(SPECIAL), 4**self.k

    def _words(self) -> Iterable[str]:
        return map("".join, product(_BASES, repeat=self.k))

    def _word(self, number: int) -> str:
        return "".join(_BASES[number >> 2 * (self.k - 1 - i) & 3] for i in range(self.k))

    def _merge(self, run: np.ndarray) -> str:
        letters = np.full((len(run) - 1) * self.stride + self.k, ord(self.unknown_letter), dtype=np.uint8)
        alphabet = np.frombuffer(_BASES.encode(), dtype=np.uint8)
        known = np.flatnonzero(run >= len(SPECIAL))
        number = run[known] - len(SPECIAL)
        # From the last base to the first, so that of two k-mers over one base the later one writes last.
        for offset in reversed(range(self.k)):
            letters[known * self.stride + offset] = alphabet[number >> 2 * (self.k - 1 - offset) & 3]
        return letters.tobytes().decode()

    def _portable_backend(self) -> Tokenizer:
        return kmer_backend(
            self._vocab,
            k=self.k,
            stride=self.stride,
            upper_case=self.do_upper_case,
            legacy_stride=self.legacy_stride,
        )


def _checked_k(k: int | None, vocab_file: str | None) -> int:
    if vocab_file is None:
        k = 6 if k is None else k
    else:
        tokens = Path(vocab_file).read_text(encoding="utf-8").split()
        found = len(tokens[-1]) if tokens else 0
        if tuple(tokens[:5]) != SPECIAL or len(tokens) != 5 + 4**found or tokens[-2:] != _last_two(found):
            raise ValueError(f"{vocab_file} is not a vocabulary of k-mers in the order A, T, C, G after {SPECIAL}")
        if k is not None and k != found:
            raise ValueError(f"{vocab_file} holds {found}-mers, but k={k} was asked for")
        k = found
    if not 1 <= k <= 8:
        raise ValueError(f"k must be between 1 and 8, got {k}")
    return k


def _last_two(k: int) -> list[str]:
    return ["G" * (k - 1) + last for last in "CG"]


def refuse_unknown(texts: Sequence[str], lengths: np.ndarray, place: int) -> None:
    """Raise `ValueError` that names the letter at `place` of all texts end to end."""
    ends = np.cumsum(lengths)
    index = int(np.searchsorted(ends, place, side="right"))
    position = place - int(ends[index] - lengths[index])
    raise ValueError(
        f"sequence {index} holds {texts[index][position]!r} at position {position} (0-based), which is not one of "
        "A, C, G, T, U; clean it or use on_unknown='unk'"
    )
