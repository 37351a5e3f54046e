"""Overlapping words of residues as tokens, the trigrams of ProtVec (Asgari and Mofrad 2015), on whole batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from .tokenization_arrays import ENDLESS, ranges
from .tokenization_protein import refuse_unknown_residue
from .tokenization_words import SPECIAL, UNK, WordTokenizer

__all__ = ["ResidueWordTokenizer"]

_RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
_OTHER = len(_RESIDUES)
_LONGEST = 4  # residues of a word: 160,005 ids


class ResidueWordTokenizer(WordTokenizer):
    """Tokenizer of proteins into overlapping words of `k` residues.

    Ids: `[PAD]` 0, `[UNK]` 1, `[CLS]` 2, `[SEP]` 3, `[MASK]` 4, then all words over the 20 residues in alphabetical
    order: 8,005 ids for k = 3. A protein of L residues gives `(L - k) // stride + 1` tokens; with `stride=1` every
    k-th of them is one reading frame of ProtVec, whose k frames are then all read. A word that holds any other letter
    (X, B, Z, U, O, J, `*`) becomes `[UNK]`.

    Args:
        k (`int`, *optional*): Residues per token, 1 to 4. Default 3, or what `vocab_file` says.
        stride (`int`, defaults to 1): Residues between the starts of neighbouring tokens, 1 to k.
        do_upper_case (`bool`, defaults to `True`): Read lower-case letters like upper-case ones.
        on_unknown (`str`, defaults to `"unk"`): `"unk"`, or `"error"` to raise on the first unknown letter.
        unknown_warning_share (`float`, defaults to 0.05): A batch with a larger share of `[UNK]` tokens warns.
        vocab_file (`str`, *optional*): A `vocab.txt` written by this class; only read to learn or check `k`.

    Raises:
        ValueError: k or stride out of range, another vocabulary, or, with `on_unknown="error"`, an unknown letter (the
            message names protein, position and letter).

    Examples:
        >>> tokenizer = ResidueWordTokenizer()
        >>> tokenizer.tokenize("MKTAYIA")
        ['MKT', 'KTA', 'TAY', 'AYI', 'YIA']
        >>> tokenizer.decode(tokenizer("MKTAYIA").input_ids, skip_special_tokens=True)
        'MKTAYIA'
        >>> tokenizer.vocab_size
        8005
    """

    molecule = "protein"
    text_name, letter_name, known_letters = "protein", "residue", "that is none of the 20 residues"
    read_as, unknown_letter = "a protein", "X"

    def __init__(
        self,
        k: int | None = None,
        stride: int = 1,
        do_upper_case: bool = True,
        vocab_file: str | None = None,
        **kwargs: Any,
    ):
        k = _checked_k(k, vocab_file)
        if not 1 <= stride <= k:
            raise ValueError(f"stride must be between 1 and k={k}, got {stride}: a larger one would skip residues")
        self.k = k
        self.stride = stride
        table = bytearray([_OTHER] * 256)
        for number, letter in enumerate(_RESIDUES):
            for form in {letter, letter.lower()} if do_upper_case else {letter}:
                table[ord(form)] = number
        self._table = bytes(table)
        kwargs.setdefault("model_max_length", ENDLESS)
        super().__init__(k=k, stride=stride, do_upper_case=do_upper_case, **kwargs)

    # -- sequences to ids --------------------------------------------------------------------------------------------

    def num_tokens(self, lengths: Any) -> np.ndarray:
        """Tokens (without special ones) that proteins of `lengths` residues give, same shape.

        Examples:
            >>> ResidueWordTokenizer().num_tokens([2, 3, 300])
            array([  0,   1, 298])
        """
        return np.maximum((np.asarray(lengths, dtype=np.int64) - self.k) // self.stride + 1, 0)

    def _ids_of_texts(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        counts = self.num_tokens(lengths)
        if not counts.all():
            self._warn_about_short(lengths)
        total = int(counts.sum())
        if not total:
            return np.empty(0, np.int64), counts
        codes = np.frombuffer("".join(texts).encode("latin-1", "replace").translate(self._table), dtype=np.uint8)
        if self.on_unknown == "error" and (codes == _OTHER).any():
            known = dict.fromkeys(_RESIDUES, 0)
            refuse_unknown_residue(texts, lengths, int(np.argmax(codes == _OTHER)), known)
        place = ranges(np.zeros_like(counts), counts) * self.stride
        starts = np.repeat(np.cumsum(lengths) - lengths, counts) + place
        ids, unknown = np.zeros(total, np.int64), np.zeros(total, bool)
        for offset in range(self.k):
            letters = codes[starts + offset]
            ids = ids * len(_RESIDUES) + letters
            unknown |= letters == _OTHER
        ids += len(SPECIAL)
        ids[unknown] = UNK
        self._warn_about_unknown(int(np.count_nonzero(unknown)), total)
        return ids, counts

    # -- tokens, ids and residues ------------------------------------------------------------------------------------

    @property
    def vocab_size(self) -> int:
        """Number of ids: 5 special tokens and 20^k words."""
        return len(SPECIAL) + len(_RESIDUES) ** self.k

    def _words(self) -> Iterable[str]:
        return map("".join, product(_RESIDUES, repeat=self.k))

    def _word(self, number: int) -> str:
        size = len(_RESIDUES)
        return "".join(_RESIDUES[number // size ** (self.k - 1 - i) % size] for i in range(self.k))

    def _merge(self, run: np.ndarray) -> str:
        letters = np.full((len(run) - 1) * self.stride + self.k, ord(self.unknown_letter), dtype=np.uint8)
        alphabet, size = np.frombuffer(_RESIDUES.encode(), dtype=np.uint8), len(_RESIDUES)
        known = np.flatnonzero(run >= len(SPECIAL))
        number = run[known] - len(SPECIAL)
        for offset in reversed(range(self.k)):  # so that of two words over one residue the later one writes last
            letters[known * self.stride + offset] = alphabet[number // size ** (self.k - 1 - offset) % size]
        return letters.tobytes().decode()

    def _portable_backend(self) -> Tokenizer:
        raise ValueError(
            "words of residues have no stock form: a tokenizer.json would need a rule for each of 8,000 words; load "
            "with seqformers, or with trust_remote_code=True"
        )


def _checked_k(k: int | None, vocab_file: str | None) -> int:
    if vocab_file is None:
        k = 3 if k is None else k
    else:
        tokens = Path(vocab_file).read_text(encoding="utf-8").split()
        found = len(tokens[-1]) if tokens else 0
        if tuple(tokens[:5]) != SPECIAL or len(tokens) != 5 + len(_RESIDUES) ** found or tokens[-1] != "Y" * found:
            raise ValueError(f"{vocab_file} is not a vocabulary of words of residues after {SPECIAL}")
        if k is not None and k != found:
            raise ValueError(f"{vocab_file} holds words of {found} residues, but k={k} was asked for")
        k = found
    if not 1 <= k <= _LONGEST:
        raise ValueError(f"k must be between 1 and {_LONGEST}, got {k}")
    return k
