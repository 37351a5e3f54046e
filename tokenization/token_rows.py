"""Rows of a tokenized batch, with the questions that `BatchEncoding` answers for fast tokenizers only.

`word_ids`, `token_to_chars`, `char_to_token` and their like are asked by few; so a batch keeps the arrays it was made
from, and a row is worked out when somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = ["TokenRow", "TokenRows", "TokenSpans"]

_NOTHING = -1  # sequence and word of special tokens and padding


class TokenSpans(NamedTuple):
    """Where the tokens of one side of a batch come from, and the columns they went to.

    Args:
        first (`np.ndarray` of shape `(rows,)`): Number of the row's first token among all tokens.
        length (`np.ndarray` of shape `(rows,)`): Its tokens.
        column (`np.ndarray` of shape `(rows,)`): Column of the first one.
        begin (`np.ndarray` of shape `(rows,)`): Number of the first token of the whole sequence it is a part of.
        spans (`tuple` of two `np.ndarray` of shape `(tokens,)`, *optional*): Starts and ends in letters; by default
            `token_step` apart and of `letters_per_token`.
        words (`np.ndarray` of shape `(tokens,)`, *optional*): Number of the word; by default each token is one.
    """

    first: np.ndarray
    length: np.ndarray
    column: np.ndarray
    begin: np.ndarray
    spans: tuple[np.ndarray, np.ndarray] | None
    words: np.ndarray | None


class TokenRow:
    """One row: which sequence, word and letters each token stands for, as `tokenizers.Encoding` says it.

    Args:
        tokenizer: Names the tokens.
        ids (`np.ndarray` of shape `(length,)`): Token ids.
        sequence (`np.ndarray`): 0 for the first sequence, 1 for the second, -1 for special tokens and padding.
        word (`np.ndarray`): Number of the word, -1 likewise.
        spans (`np.ndarray` of shape `(2, length)`): Letters from start to end, the end exclusive.
    """

    def __init__(self, tokenizer: Any, ids: np.ndarray, sequence: np.ndarray, word: np.ndarray, spans: np.ndarray):
        self._tokenizer, self._ids, self._sequence, self._word, self._spans = tokenizer, ids, sequence, word, spans

    @property
    def n_sequences(self) -> int:
        """1, or 2 for a pair."""
        return 1 + int((self._sequence == 1).any())

    @property
    def ids(self) -> list[int]:
        """Token ids."""
        return self._ids.tolist()

    @property
    def tokens(self) -> list[str]:
        """Tokens."""
        return self._tokenizer.convert_ids_to_tokens(self.ids)

    @property
    def sequence_ids(self) -> list[int | None]:
        """0 or 1 by sequence; None for special tokens and padding."""
        return [_or_none(value) for value in self._sequence]

    @property
    def word_ids(self) -> list[int | None]:
        """Number of the word; None for special tokens and padding."""
        return [_or_none(value) for value in self._word]

    @property
    def offsets(self) -> list[tuple[int, int]]:
        """Letters of each token; (0, 0) for special tokens and padding."""
        return [(int(start), int(end)) for start, end in self._spans.T]

    def token_to_sequence(self, token: int) -> int | None:
        """Sequence of a token."""
        return _or_none(self._sequence[token])

    def token_to_word(self, token: int) -> int | None:
        """Word of a token."""
        return _or_none(self._word[token])

    def token_to_chars(self, token: int) -> tuple[int, int] | None:
        """Letters of a token."""
        return None if self._sequence[token] == _NOTHING else self.offsets[token]

    def word_to_tokens(self, word: int, sequence: int = 0) -> tuple[int, int] | None:
        """Tokens of a word, the end exclusive."""
        found = np.flatnonzero((self._word == word) & (self._sequence == sequence))
        return (int(found[0]), int(found[-1]) + 1) if len(found) else None

    def word_to_chars(self, word: int, sequence: int = 0) -> tuple[int, int] | None:
        """Letters of a word."""
        tokens = self.word_to_tokens(word, sequence)
        return None if tokens is None else (int(self._spans[0, tokens[0]]), int(self._spans[1, tokens[1] - 1]))

    def char_to_token(self, char: int, sequence: int = 0) -> int | None:
        """The first token that covers a letter; overlapping tokens may follow."""
        covers = (self._spans[0] <= char) & (char < self._spans[1]) & (self._sequence == sequence)
        return int(np.argmax(covers)) if covers.any() else None

    def char_to_word(self, char: int, sequence: int = 0) -> int | None:
        """The word of the first token that covers a letter."""
        token = self.char_to_token(char, sequence)
        return None if token is None else self.token_to_word(token)


class TokenRows(Sequence[TokenRow]):
    """The rows of a batch, worked out one by one on demand.

    They do not travel to other processes: a batch that a worker of a data loader sends comes without them.
    """

    def __init__(self, tokenizer: Any, ids: np.ndarray, lengths: np.ndarray, sides: Sequence[TokenSpans]):
        self._tokenizer, self._ids, self._lengths, self._sides = tokenizer, ids, lengths, sides

    def __len__(self) -> int:
        return len(self._lengths)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        width = int(self._lengths[index])
        sequence, word = np.full((2, width), _NOTHING)
        spans = np.zeros((2, width), np.int64)
        for number, side in enumerate(self._sides):
            first, length, column = int(side.first[index]), int(side.length[index]), int(side.column[index])
            here, taken = slice(column, column + length), slice(first, first + length)
            rank = np.arange(first, first + length) - int(side.begin[index])
            sequence[here] = number
            word[here] = rank if side.words is None else side.words[taken]
            if side.spans is None:
                start = rank * self._tokenizer.token_step
                spans[:, here] = start, start + self._tokenizer.letters_of(self._ids[index, here])
            else:
                spans[:, here] = side.spans[0][taken], side.spans[1][taken]
        return TokenRow(self._tokenizer, self._ids[index, :width], sequence, word, spans)

    def __reduce__(self) -> tuple[Any, tuple[()]]:
        return type(None), ()


def _or_none(value: Any) -> int | None:
    return None if value == _NOTHING else int(value)
