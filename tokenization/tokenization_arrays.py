"""The part all tokenizers here share: whole batches become arrays, and every option of the call acts on arrays.

A subclass turns texts into one flat array of ids (`_ids_of_texts`); truncation, windows, special tokens, pairs,
padding, masks and offsets are index arithmetic on it. The slow route of the base class is never taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Tokenizer
from transformers import BatchEncoding, PreTrainedTokenizer
from transformers.tokenization_utils_base import VERY_LARGE_INTEGER, PaddingStrategy, TruncationStrategy

from .portable import save_backend
from .token_inputs import as_batch
from .token_rows import TokenRows, TokenSpans

__all__ = ["ENDLESS", "ArrayTokenizer", "ranges"]

ENDLESS = 1_000_000_000  # tokens; `model_max_length` of models that have no limit

_STATED = ("molecule", "letters_per_token", "token_step")


class _Tokens(NamedTuple):
    """Ids of many texts end to end: `ids` (tokens,), `counts` (texts,), and `starts`/`ends` (tokens,) in letters.

    `words` (tokens,) is the number of the word within its text, where texts came as words.
    """

    ids: np.ndarray
    counts: np.ndarray
    starts: np.ndarray | None = None
    ends: np.ndarray | None = None
    words: np.ndarray | None = None

    @property
    def firsts(self) -> np.ndarray:
        """Index in `ids` of each text's first token."""
        return np.cumsum(self.counts) - self.counts


class _Rows(NamedTuple):
    """Which slice of the flat ids each output row holds: `first` (rows,), `length` (rows,), `sample` (rows,)."""

    first: np.ndarray
    length: np.ndarray
    sample: np.ndarray


def ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return `arange(start, start + length)` for all pairs, end to end."""
    total = int(lengths.sum())
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(total)


class ArrayTokenizer(PreTrainedTokenizer):
    """Base of the tokenizers here; see the module's text for what a subclass provides.

    Attributes:
        molecule (`str`): What it reads: `"dna"`, `"rna"` or `"protein"`.
        letters_per_token (`int`): Letters one token covers (k for k-mers).
        token_step (`int`): Letters between the starts of neighbouring tokens.
        tokens_between_pair (`int`): 1 where a pair is `[CLS] A [SEP] B [SEP]`, 2 where the second sequence has a
            `[CLS]` of its own, which then is of token type 1.
    """

    molecule = "dna"
    letters_per_token = 1
    token_step = 1
    tokens_between_pair = 1
    model_input_names = ["input_ids", "attention_mask"]  # noqa: RUF012 (the base class's form)

    def __init__(self, **kwargs: Any):
        # Written into `tokenizer_config.json`, so that whoever reads only that file knows them too.
        super().__init__(**kwargs | {name: getattr(self, name) for name in _STATED})

    @property
    def is_fast(self) -> bool:
        """True: offsets, words and windows are there, which is what pipelines ask for by this name."""
        return True

    def _ids_of_texts(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the ids of all texts end to end, and the number of tokens of each text; no special tokens."""
        raise NotImplementedError

    def _portable_backend(self) -> Tokenizer:
        """Return a stock tokenizer with the same ids; see `portable.py`."""
        raise NotImplementedError

    def letters_of(self, ids: np.ndarray) -> Any:
        """Letters that each of `ids` covers, or one number for all."""
        return self.letters_per_token

    # -- texts to flat ids -------------------------------------------------------------------------------------------

    def _tokens(self, texts: list[Any], *, words: bool, with_spans: bool, split_special: bool) -> _Tokens:
        """Tokenize texts, or, with `words`, lists of words; input that is ids already is passed through."""
        if texts and not isinstance(texts[0], str):
            if words:
                return self._tokens_of_words(texts)
            return _ids_given(texts)
        # Only a text that holds the first character of an added token can hold one; plain sequences never do.
        firsts = self._starts_of_added_tokens()
        if not split_special and any(first in text for text in texts for first in firsts):
            return self._tokens_with_added(texts)
        ids, counts = self._ids_of_texts(texts)
        if not with_spans:
            return _Tokens(ids, counts)
        starts = ranges(np.zeros_like(counts), counts) * self.token_step
        return _Tokens(ids, counts, starts, starts + self.letters_of(ids))

    def _starts_of_added_tokens(self) -> set[str]:
        """First characters of the tokens that have to be looked for in texts."""
        return {token[0] for token in self._added_tokens_encoder}

    def _tokens_of_words(self, samples: list[Sequence[str]]) -> _Tokens:
        """Each word is tokenized on its own; offsets count inside the word, as fast tokenizers do."""
        words = [word for sample in samples for word in sample]
        found = self._tokens(words, words=False, with_spans=True, split_special=False)
        sizes = np.array([len(sample) for sample in samples], dtype=np.int64)
        owner = np.repeat(np.arange(len(samples)), sizes)
        counts = np.bincount(owner, weights=found.counts, minlength=len(samples)).astype(np.int64)
        number = np.repeat(ranges(np.zeros_like(sizes), sizes), found.counts)
        return found._replace(counts=counts, words=number)

    def _tokens_with_added(self, texts: list[str]) -> _Tokens:
        """Texts that hold added tokens such as `[MASK]` are cut there and each side is tokenized alone."""
        pieces = [self.tokens_trie.split(text) for text in texts]
        flat = [piece for row in pieces for piece in row]
        known = self._added_tokens_encoder
        plain = [piece for piece in flat if piece not in known]
        ids, plain_counts = self._ids_of_texts(plain) if plain else (np.empty(0, np.int64), np.empty(0, np.int64))
        is_plain = np.array([piece not in known for piece in flat], dtype=bool)
        counts = np.ones(len(flat), dtype=np.int64)
        counts[is_plain] = plain_counts
        out = np.empty(int(counts.sum()), dtype=np.int64)
        out[np.repeat(is_plain, counts)] = ids
        out[~np.repeat(is_plain, counts)] = [known[piece] for piece in flat if piece in known]
        owner = np.repeat(np.arange(len(texts)), [len(row) for row in pieces])
        per_text = np.bincount(owner, weights=counts, minlength=len(texts)).astype(np.int64)
        widths = np.array([len(piece) for piece in flat], dtype=np.int64)
        base = np.cumsum(widths) - widths
        base -= np.repeat(base[np.cumsum([0, *(len(row) for row in pieces[:-1])])], [len(row) for row in pieces])
        starts = ranges(np.zeros_like(counts), counts) * self.token_step + np.repeat(base, counts)
        ends = starts + np.where(np.repeat(is_plain, counts), self.letters_of(out), np.repeat(widths, counts))
        return _Tokens(out, per_text, starts, ends)

    # -- the call ----------------------------------------------------------------------------------------------------

    def _encode_plus(  # type: ignore[override]
        self,
        text: Any,
        text_pair: Any = None,
        add_special_tokens: bool = True,
        padding_strategy: PaddingStrategy = PaddingStrategy.DO_NOT_PAD,
        truncation_strategy: TruncationStrategy = TruncationStrategy.DO_NOT_TRUNCATE,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: Any = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        split_special_tokens: bool = False,
        **kwargs: Any,
    ) -> BatchEncoding:
        batched, firsts, seconds = as_batch(text, text_pair, words=is_split_into_words)
        how = {
            "words": is_split_into_words,
            "with_spans": return_offsets_mapping,
            "split_special": split_special_tokens,
        }
        a = self._tokens(firsts, **how)
        b = self._tokens(seconds, **how) if seconds is not None else None
        special = self.num_special_tokens_to_add(pair=b is not None) if add_special_tokens else 0
        if truncation_strategy == TruncationStrategy.DO_NOT_TRUNCATE:
            self._warn_if_too_long(a, b, special, max_length, verbose)
            rows_a, rows_b = _whole(a), _whole(b) if b is not None else None
        else:
            room = (max_length if max_length is not None else self.model_max_length) - special
            rows_a, rows_b = self._truncate(a, b, room, truncation_strategy, stride, return_overflowing_tokens)
        padded = padding_strategy != PaddingStrategy.DO_NOT_PAD
        side = (padding_side or self.padding_side) if padded else "right"
        lengths = rows_a.length + special + (rows_b.length if rows_b is not None else 0)
        width = _padded_width(lengths, padding_strategy, max_length, pad_to_multiple_of)
        fields = self._fill(
            a, b, rows_a, rows_b, lengths, width,
            add_special_tokens=add_special_tokens, side=side,
            with_offsets=return_offsets_mapping, with_special=return_special_tokens_mask,
        )  # fmt: skip
        data = self._choose(fields, return_token_type_ids, return_attention_mask)
        if return_length:
            data["length"] = np.full_like(lengths, width) if padded else lengths
        if return_overflowing_tokens and batched:
            data["overflow_to_sample_mapping"] = rows_a.sample
        ragged = not padded and bool((lengths != width).any())
        rows = self._rows(
            fields["input_ids"], lengths, side, [(a, rows_a), (b, rows_b)], int(add_special_tokens), ragged
        )
        batched = batched or len(lengths) > 1
        return _as_encoding(data, rows, lengths, ragged=ragged, batched=batched, tensors=return_tensors)

    def _rows(
        self, ids: np.ndarray, lengths: np.ndarray, side: str, sides: list[tuple[Any, Any]], lead: int, ragged: bool
    ) -> TokenRows:
        """What each row stands for, to be worked out when it is asked for; `lead` special tokens come first."""
        width = ids.shape[1]
        column = lead + ((width - lengths) if side == "left" else np.zeros_like(lengths))
        spans = []
        for tokens, rows in sides:
            if tokens is not None:
                given = None if tokens.starts is None else (tokens.starts, tokens.ends)
                begin = tokens.firsts[rows.sample]
                spans.append(TokenSpans(rows.first, rows.length, column, begin, given, tokens.words))
                column = column + rows.length + lead * self.tokens_between_pair
        return TokenRows(self, ids, lengths if ragged else np.full_like(lengths, width), spans)

    def _get_padding_truncation_strategies(  # type: ignore[override]
        self, padding: Any = False, truncation: Any = None, max_length: int | None = None, **options: Any
    ) -> Any:
        to_longest = padding in ("max_length", PaddingStrategy.MAX_LENGTH) and max_length is None
        if to_longest and self.model_max_length >= ENDLESS:
            raise ValueError(
                "padding='max_length' needs max_length=<tokens>, since this tokenizer has no longest length; "
                "padding=True pads to the longest of the batch"
            )
        return super()._get_padding_truncation_strategies(padding, truncation, max_length, **options)

    def _warn_if_too_long(
        self, a: _Tokens, b: _Tokens | None, special: int, max_length: int | None, verbose: bool
    ) -> None:
        lengths = a.counts + special + (b.counts if b is not None else 0)
        if len(lengths):
            longest = int(lengths.max())
            self._eventual_warn_about_too_long_sequence(range(longest), max_length, verbose)  # type: ignore[arg-type]

    def _truncate(
        self, a: _Tokens, b: _Tokens | None, room: int, strategy: TruncationStrategy, overlap: int, overflow: bool
    ) -> tuple[_Rows, _Rows | None]:
        """Cut to `room` tokens per row; with `overflow` every cut-off part becomes a further row."""
        if room < 0:
            raise ValueError(f"max_length leaves no room for the special tokens ({-room} too few)")
        if b is None:
            return self._cut(a, np.full(len(a.counts), room), overlap, overflow), None
        over = np.maximum(a.counts + b.counts - room, 0)
        if strategy == TruncationStrategy.LONGEST_FIRST:
            if overflow and over.any():
                raise ValueError("overflow windows of a pair need truncation='only_first' or 'only_second'")
            # Take from the longer one until both are equal, then from both in turn, the first one last.
            from_longer = np.minimum(np.abs(a.counts - b.counts), over)
            rest = over - from_longer
            a_longer = a.counts > b.counts
            from_a = np.where(a_longer, from_longer + rest // 2, rest // 2)
            rows_a = self._cut(a, a.counts - from_a, 0, False)
            return rows_a, self._cut(b, b.counts - (over - from_a), 0, False)
        cut, whole = (a, b) if strategy == TruncationStrategy.ONLY_FIRST else (b, a)
        left = room - whole.counts
        if (left < 0).any():
            raise ValueError(
                f"pair {int(np.argmax(left < 0))}: the sequence that truncation={strategy.value!r} keeps whole is "
                "longer than max_length on its own; truncate the other one or both ('longest_first')"
            )
        rows_cut = self._cut(cut, left, overlap, overflow)
        rows_whole = _Rows(whole.firsts[rows_cut.sample], whole.counts[rows_cut.sample], rows_cut.sample)
        return (rows_cut, rows_whole) if strategy == TruncationStrategy.ONLY_FIRST else (rows_whole, rows_cut)

    def _cut(self, tokens: _Tokens, room: np.ndarray, overlap: int, overflow: bool) -> _Rows:
        """Windows of at most `room` (texts,) tokens; without `overflow` only the first one is kept."""
        counts, firsts = tokens.counts, tokens.firsts
        sample = np.arange(len(counts))
        from_left = self.truncation_side == "right"
        if not overflow:
            length = np.minimum(counts, room)
            return _Rows(firsts if from_left else firsts + counts - length, length, sample)
        if (room <= overlap).any() and (counts > room).any():
            raise ValueError(f"stride={overlap} must be smaller than the room for tokens ({int(room.min())})")
        step = np.maximum(room - overlap, 1)
        windows = 1 + np.maximum(-(-(counts - room) // step), 0)
        owner = np.repeat(sample, windows)
        begin = ranges(np.zeros_like(windows), windows) * step[owner]
        length = np.minimum(room[owner], counts[owner] - begin)
        first = firsts[owner] + (begin if from_left else counts[owner] - begin - length)
        return _Rows(first, length, owner)

    def _fill(
        self, a: _Tokens, b: _Tokens | None, rows_a: _Rows, rows_b: _Rows | None, lengths: np.ndarray, width: int, *,
        add_special_tokens: bool, side: str, with_offsets: bool, with_special: bool,
    ) -> dict[str, np.ndarray]:  # fmt: skip
        """Write ids, masks and offsets into matrices of shape `(rows, width)`."""
        n_rows, lead = len(lengths), int(add_special_tokens)
        shift = (width - lengths) if side == "left" else np.zeros_like(lengths)
        origin = np.arange(n_rows) * width + shift
        full = bool((lengths == width).all())
        # Ids and mask share one block: two would each fall under the limit above which the C library hands memory
        # back to the system between calls, and fetching it again costs more than filling it.
        ids, mask = np.empty((2, n_rows, width), np.int64)
        if not full:
            ids.fill(self.pad_token_id)
        into_a, from_a = origin + lead, rows_a
        uniform = full and b is None and n_rows > 0 and len(rows_a.first) == len(a.counts)
        if uniform and bool((rows_a.length == rows_a.length[0]).all()) and len(a.ids) == n_rows * int(a.counts[0]):
            n = int(rows_a.length[0])
            skip = int(rows_a.first[0])
            ids[:, lead : lead + n] = a.ids.reshape(n_rows, -1)[:, skip : skip + n]
            where_a = take_a = None
        else:
            where_a, take_a = ranges(into_a, from_a.length), ranges(from_a.first, from_a.length)
            ids.ravel()[where_a] = a.ids[take_a]
        fields = {"input_ids": ids}
        where_b = take_b = None
        if b is not None and rows_b is not None:
            between = lead * self.tokens_between_pair
            into_b = into_a + rows_a.length + between
            where_b, take_b = ranges(into_b, rows_b.length), ranges(rows_b.first, rows_b.length)
            ids.ravel()[where_b] = b.ids[take_b]
            second = ranges(into_b - (between - lead), rows_b.length + between)
            fields["token_type_ids"] = np.zeros((n_rows, width), np.int64)
            fields["token_type_ids"].ravel()[second] = 1
        if full:
            mask.fill(1)
        else:
            column = np.arange(width)
            mask[...] = (column >= shift[:, None]) & (column < (shift + lengths)[:, None])
        fields["attention_mask"] = mask
        places = self._place_special(ids, origin, rows_a, rows_b) if add_special_tokens else np.empty(0, np.int64)
        if with_special:
            fields["special_tokens_mask"] = 1 - mask
            fields["special_tokens_mask"].ravel()[places] = 1
        if with_offsets:
            if where_a is None or take_a is None:
                where_a, take_a = ranges(into_a, from_a.length), ranges(from_a.first, from_a.length)
            fields["offset_mapping"] = _offsets(n_rows, width, [(a, where_a, take_a), (b, where_b, take_b)])
        return fields

    def _place_special(self, ids: np.ndarray, origin: np.ndarray, rows_a: _Rows, rows_b: _Rows | None) -> np.ndarray:
        """Write `[CLS] A [SEP]`, or that with a pair's `B [SEP]` behind; return the flat places of special tokens."""
        flat = ids.ravel()
        sep = origin + 1 + rows_a.length
        flat[origin], flat[sep] = self.cls_token_id, self.sep_token_id
        places = [origin, sep]
        if rows_b is not None:
            if self.tokens_between_pair == 2:
                places.append(sep + 1)
                flat[places[-1]] = self.cls_token_id
            places.append(sep + self.tokens_between_pair + rows_b.length)
            flat[places[-1]] = self.sep_token_id
        return np.concatenate(places)

    def _choose(
        self, fields: dict[str, np.ndarray], type_ids: bool | None, attention: bool | None
    ) -> dict[str, np.ndarray]:
        """Drop what was not asked for; token types come with pairs, where they say something, or on request."""
        wanted = dict(fields)
        if type_ids is None and "token_type_ids" in self.model_input_names:
            type_ids = True
        if type_ids and "token_type_ids" not in wanted:
            wanted["token_type_ids"] = np.zeros_like(wanted["input_ids"])
        elif type_ids is False:
            wanted.pop("token_type_ids", None)
        if not (attention if attention is not None else "attention_mask" in self.model_input_names):
            del wanted["attention_mask"]
        return wanted

    # -- files -------------------------------------------------------------------------------------------------------

    def save_portable(self, save_directory: str | Path) -> tuple[str, ...]:
        """Write a stock `tokenizer.json` that gives the same ids without this package; see `portable.py`.

        Args:
            save_directory (`str` or `Path`): Folder that `AutoTokenizer.from_pretrained` can then load.

        Returns:
            `tuple[str, ...]`: The files written.
        """
        names = [f"{name}_token" for name in ("unk", "cls", "sep", "pad", "mask")]
        settings = ("padding_side", "truncation_side", *_STATED)
        endless = self.model_max_length >= ENDLESS
        return save_backend(
            self._portable_backend(),
            save_directory,
            special_tokens={name: getattr(self, name) for name in names if getattr(self, name) is not None},
            # From that number on stock tokenizers know that there is no limit, and do not pad to it.
            model_max_length=VERY_LARGE_INTEGER if endless else self.model_max_length,
            **{name: getattr(self, name) for name in settings},
        )

    # -- the small methods of the base class -------------------------------------------------------------------------

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """2 for `[CLS] A [SEP]`; 3 for `[CLS] A [SEP] B [SEP]`, or 4 where B has a `[CLS]` of its own."""
        return 2 + self.tokens_between_pair if pair else 2

    def _start_of_second(self) -> list[int]:
        return [self.cls_token_id] if self.tokens_between_pair == 2 else []

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """`[CLS] A [SEP]` or, for a pair, that and `B [SEP]`."""
        ids = [self.cls_token_id, *token_ids_0, self.sep_token_id]
        return ids if token_ids_1 is None else [*ids, *self._start_of_second(), *token_ids_1, self.sep_token_id]

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """0 for `[CLS] A [SEP]`, 1 for `B [SEP]`."""
        second = [] if token_ids_1 is None else [1] * (len(token_ids_1) + self.tokens_between_pair)
        return [0] * (len(token_ids_0) + 2) + second

    def get_special_tokens_mask(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None, already_has_special_tokens: bool = False
    ) -> list[int]:
        """1 for special tokens, 0 for sequence tokens."""
        if already_has_special_tokens:
            return super().get_special_tokens_mask(token_ids_0, token_ids_1, already_has_special_tokens=True)
        mask = [1, *([0] * len(token_ids_0)), 1]
        if token_ids_1 is None:
            return mask
        return [*mask, *([1] * len(self._start_of_second())), *([0] * len(token_ids_1)), 1]


def _ids_given(samples: list[Any]) -> _Tokens:
    rows = [np.asarray(sample, dtype=np.int64).reshape(-1) for sample in samples]
    counts = np.array([len(row) for row in rows], dtype=np.int64)
    ids = np.concatenate(rows) if rows else np.empty(0, np.int64)
    return _Tokens(ids, counts, np.zeros_like(ids), np.zeros_like(ids))


def _whole(tokens: _Tokens) -> _Rows:
    return _Rows(tokens.firsts, tokens.counts, np.arange(len(tokens.counts)))


def _padded_width(lengths: np.ndarray, strategy: PaddingStrategy, max_length: int | None, multiple: int | None) -> int:
    width = int(lengths.max()) if len(lengths) else 0
    if strategy == PaddingStrategy.DO_NOT_PAD:
        return width
    if strategy == PaddingStrategy.MAX_LENGTH and max_length is not None:
        width = max(width, max_length)
    return -(-width // multiple) * multiple if multiple else width


def _offsets(n_rows: int, width: int, parts: list[tuple[Any, Any, Any]]) -> np.ndarray:
    """Letters each token covers, `(start, end)` with end exclusive, as `(rows, width, 2)`; (0, 0) for the rest."""
    offsets = np.zeros((n_rows * width, 2), np.int64)
    for tokens, where, take in parts:
        if tokens is not None:
            offsets[where, 0], offsets[where, 1] = tokens.starts[take], tokens.ends[take]
    return offsets.reshape(n_rows, width, 2)


def _as_encoding(
    data: dict[str, np.ndarray], encodings: Any, lengths: np.ndarray, *, ragged: bool, batched: bool, tensors: Any
) -> BatchEncoding:
    """Matrices as they are for `np`/`pt`, nested lists otherwise; one text without tensors gives flat lists."""
    if tensors is not None and ragged:
        raise ValueError("rows differ in length: pass padding=True (and truncation=True) to get tensors")
    if tensors is not None:
        kind = getattr(tensors, "value", tensors)
        if kind == "np":
            return BatchEncoding(data, encodings)
        import torch

        tensors = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in data.items()}
        return BatchEncoding(tensors, encodings)
    flat = {"overflow_to_sample_mapping", "length"}
    listed: dict[str, Any] = {}
    for name, value in data.items():
        rows = value.tolist()
        if ragged and name not in flat:
            rows = [row[:n] for row, n in zip(rows, lengths.tolist(), strict=True)]
        if name == "offset_mapping":
            rows = [[tuple(pair) for pair in row] for row in rows]
        listed[name] = rows if batched else rows[0]
    return BatchEncoding(listed, encodings)
