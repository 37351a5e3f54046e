"""The part that tokenizers of overlapping words share: special tokens, options, warnings, names, decoding, files.

A subclass says which words there are (`_words`), turns texts into ids (`_ids_of_texts`, `num_tokens`), an id into its
word (`_word`), and ids of overlapping words into letters (`_merge`).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .tokenization_arrays import ArrayTokenizer

__all__ = ["SPECIAL", "UNK", "WordTokenizer"]

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # ids 0 to 4, words behind them
UNK = 1


class WordTokenizer(ArrayTokenizer):
    """Base of the tokenizers whose tokens are overlapping words; see the module's text for what a subclass provides.

    Args:
        do_upper_case (`bool`, defaults to `True`): Read lower-case letters like upper-case ones.
        on_unknown (`str`, defaults to `"unk"`): `"unk"`, or `"error"` to raise on the first unknown letter.
        unknown_warning_share (`float`, defaults to 0.05): A batch with a larger share of `[UNK]` tokens warns.

    Attributes:
        k (`int`): Letters of the shortest word.
        stride (`int`): Letters between the starts of neighbouring words.
    """

    vocab_files_names = {"vocab_file": "vocab.txt"}  # noqa: RUF012 (the base class's form)
    # How messages name things: a text, its letters, what is known, and what the text should be.
    text_name, letter_name, known_letters, read_as = "sequence", "base", "other than A, C, G, T, U", "DNA or RNA"
    word_name = "words"
    unknown_letter = "N"
    k: int
    stride: int

    def __init__(
        self,
        do_upper_case: bool = True,
        on_unknown: str = "unk",
        unknown_warning_share: float = 0.05,
        unk_token: str = "[UNK]",
        cls_token: str = "[CLS]",
        sep_token: str = "[SEP]",
        pad_token: str = "[PAD]",
        mask_token: str = "[MASK]",
        **kwargs: Any,
    ):
        if on_unknown not in ("unk", "error"):
            raise ValueError(f"on_unknown must be 'unk' or 'error', got {on_unknown!r}")
        self.do_upper_case = do_upper_case
        self.on_unknown = on_unknown
        self.unknown_warning_share = unknown_warning_share
        self.letters_per_token = self.k
        self.token_step = self.stride
        kwargs.pop("do_lower_case", None)  # DNABERT's files carry it, and obeying it turns everything into [UNK]
        super().__init__(
            do_upper_case=do_upper_case,
            on_unknown=on_unknown,
            unknown_warning_share=unknown_warning_share,
            unk_token=unk_token,
            cls_token=cls_token,
            sep_token=sep_token,
            pad_token=pad_token,
            mask_token=mask_token,
            **kwargs,
        )

    def num_tokens(self, lengths: Any) -> np.ndarray:
        """Tokens (without special ones) that texts of `lengths` letters give, same shape."""
        raise NotImplementedError

    def _words(self) -> Iterable[str]:
        """Return all words in the order of their ids."""
        raise NotImplementedError

    def _word(self, number: int) -> str:
        """Return the word of an id, counted from the first word."""
        raise NotImplementedError

    def _merge(self, run: np.ndarray) -> str:
        """Return the letters of neighbouring words, `unknown_letter` where no word tells."""
        raise NotImplementedError

    # -- warnings ----------------------------------------------------------------------------------------------------

    def _warn_about_unknown(self, unknown: int, total: int) -> None:
        if unknown > self.unknown_warning_share * total:
            warnings.warn(
                f"{unknown} of {total} tokens ({unknown / total:.1%}) are [UNK]: these {self.word_name} hold a letter "
                f"{self.known_letters}{'' if self.do_upper_case else ' in upper case'}. Is this {self.read_as}?",
                stacklevel=6,
            )

    def _warn_about_short(self, lengths: np.ndarray) -> None:
        short = int(np.count_nonzero(self.num_tokens(lengths) == 0))
        if short:
            warnings.warn(
                f"{short} of {len(lengths)} {self.text_name}s are shorter than one token ({self.k} "
                f"{self.letter_name}s) and give none",
                stacklevel=6,
            )

    # -- tokens, ids and letters -------------------------------------------------------------------------------------

    @cached_property
    def _vocab(self) -> dict[str, int]:
        return {token: index for index, token in enumerate([*SPECIAL, *self._words()])}

    def get_vocab(self) -> dict[str, int]:
        """Token -> id, added tokens included."""
        return {**self._vocab, **self.added_tokens_encoder}

    def _tokenize(self, text: str, **kwargs: Any) -> list[str]:
        return [self._convert_id_to_token(index) for index in self._ids_of_texts([text])[0].tolist()]

    def _convert_token_to_id(self, token: str) -> int:
        return self._vocab.get(token, UNK)

    def _convert_id_to_token(self, index: int) -> str:
        if index < len(SPECIAL):
            return SPECIAL[index]
        return self._word(index - len(SPECIAL)) if index < self.vocab_size else SPECIAL[UNK]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Join overlapping words back into letters; see `decode`."""
        return self._join(np.array(self.convert_tokens_to_ids(tokens), dtype=np.int64), skip_special=False)

    def _decode(  # type: ignore[override]
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: Any = None,
        **kwargs: Any,
    ) -> str:
        """Ids back to letters: neighbouring words overlap and are merged.

        A letter covered only by `[UNK]` or `[MASK]` is written N (X in proteins), also with
        `skip_special_tokens=True`, so that positions stay right. Where words disagree, as predicted ones may, the
        later one wins.
        """
        return self._join(np.asarray(token_ids, dtype=np.int64).reshape(-1), skip_special=skip_special_tokens)

    def _join(self, ids: np.ndarray, *, skip_special: bool) -> str:
        """Runs of words as letters, what stands between them as it is or left out, blanks between."""
        hidden = {UNK, self.mask_token_id}
        breaks = [i for i in (*self.all_special_ids, *self._added_tokens_decoder) if i not in hidden]
        edges = np.flatnonzero(np.diff(np.isin(ids, breaks).astype(np.int8))) + 1
        parts: list[str] = []
        for run in np.split(ids, edges):
            if len(run) and run[0] in breaks:
                parts += [] if skip_special else self.convert_ids_to_tokens(run.tolist())
            elif len(run):
                parts.append(self._merge(run))
        return " ".join(parts)

    # -- files -------------------------------------------------------------------------------------------------------

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write `vocab.txt`, one token a line in id order, as DNABERT's repositories have it."""
        path = Path(save_directory) / f"{filename_prefix + '-' if filename_prefix else ''}vocab.txt"
        path.write_text("\n".join(self._vocab) + "\n", encoding="utf-8")
        return (str(path),)
