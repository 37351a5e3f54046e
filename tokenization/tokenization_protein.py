"""Proteins as residues, one token a letter, with the ids of PLUS, TAPE and UniRep, computed on whole batches."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Tokenizer

from .portable import residue_backend
from .token_inputs import refuse_split_texts
from .tokenization_arrays import ENDLESS, ArrayTokenizer

__all__ = ["ProteinTokenizer", "refuse_unknown_residue"]


class _Preset(NamedTuple):
    """One vocabulary: tokens in id order, other letters read as one of them, and the roles of the special tokens."""

    tokens: tuple[str, ...]
    synonyms: dict[str, str]
    unk: str
    cls: str
    sep: str
    pad: str
    mask: str | None
    between_pair: int
    model_max_length: int


_PLUS = tuple("ARNDCQEGHILKMFPSTWYVX")
_PLUS_SYNONYMS = {"O": "K", "U": "C", "B": "X", "Z": "X"}
_IUPAC = tuple("ABCDEFGHIKLMNOPQRSTUVWXYZ")
_UNIREP = tuple("MRHKDESTNQCUGPAVIFYWLOX")

_PRESETS = {
    # Start, stop and padding share id 0; X is unknown and mask at once. Two proteins keep their own start and stop.
    "plus": _Preset(
        ("<end>", *_PLUS), _PLUS_SYNONYMS, "X", "<end>", "<end>", "<end>", "X", 2, ENDLESS
    ),
    "plus-tfm": _Preset(
        ("<pad>", *_PLUS, "<mask>", "<cls>", "<sep>"), _PLUS_SYNONYMS,
        "X", "<cls>", "<sep>", "<pad>", "<mask>", 1, 512,
    ),
    "tape": _Preset(
        ("<pad>", "<mask>", "<cls>", "<sep>", "<unk>", *_IUPAC), {},
        "<unk>", "<cls>", "<sep>", "<pad>", "<mask>", 1, 8096,
    ),
    "unirep": _Preset(
        ("<pad>", *_UNIREP, "<cls>", "<sep>"), {"Z": "X", "B": "X", "J": "X"},
        "X", "<cls>", "<sep>", "<pad>", None, 1, ENDLESS,
    ),
}  # fmt: skip


class ProteinTokenizer(ArrayTokenizer):
    """Tokenizer of proteins, one token a residue.

    | preset | ids | letters outside the 20 | start, end, padding, mask |
    |---|---|---|---|
    | `plus` | 22 | O as K, U as C, B and Z as X; X is 21 | 0, 0, 0, 21 |
    | `plus-tfm` | 25 | the same | 23, 24, 0, 22 |
    | `tape` | 30 | B, O, U, X, Z have ids of their own | 2, 3, 0, 1 |
    | `unirep` | 26 | O and U have ids, B, J, Z as X | 24, 25, 0, none |

    Any other letter (J, `-`, `*`, digits, blanks) is unknown: X, or `<unk>` in `tape`. With `plus`, two proteins of a
    pair each keep their start and stop; with the others a pair is `<cls> A <sep> B <sep>`.

    Args:
        preset (`str`, *optional*): Which vocabulary; `"plus"`, or what `vocab_file` holds.
        do_upper_case (`bool`, defaults to `True`): Read lower-case (soft-masked) letters like upper-case ones; with
            `False` they are unknown, as in the originals.
        on_unknown (`str`, defaults to `"unk"`): `"unk"`, or `"error"` to raise on the first unknown letter.
        unknown_warning_share (`float`, defaults to 0.05): A batch with a larger share of unknown letters warns.
        vocab_file (`str`, *optional*): A `vocab.txt` written by this class; only read to learn or check the preset.

    Raises:
        ValueError: an unknown preset or vocabulary, or, with `on_unknown="error"`, an unknown letter (the message
            names protein, position and letter).

    Examples:
        >>> tokenizer = ProteinTokenizer("tape")
        >>> tokenizer("MKTAYIAK").input_ids
        [2, 16, 14, 23, 5, 28, 13, 5, 14, 3]
        >>> tokenizer.decode([2, 16, 14, 1, 3], skip_special_tokens=True)
        'MKX'
        >>> pair = ProteinTokenizer("plus")("MK", "V")
        >>> pair.input_ids, pair.token_type_ids
        ([0, 13, 12, 0, 0, 20, 0], [0, 0, 0, 0, 1, 1, 1])
    """

    molecule = "protein"
    vocab_files_names = {"vocab_file": "vocab.txt"}  # noqa: RUF012 (the base class's form)
    model_input_names = ["input_ids", "token_type_ids", "attention_mask"]  # noqa: RUF012 (as above)

    def __init__(
        self,
        preset: str | None = None,
        do_upper_case: bool = True,
        on_unknown: str = "unk",
        unknown_warning_share: float = 0.05,
        vocab_file: str | None = None,
        **kwargs: Any,
    ):
        if preset is not None and preset not in _PRESETS and preset.endswith(".txt") and vocab_file is None:
            preset, vocab_file = None, preset  # a file given in first place, as other tokenizers take it
        preset = _checked_preset(preset, vocab_file)
        if on_unknown not in ("unk", "error"):
            raise ValueError(f"on_unknown must be 'unk' or 'error', got {on_unknown!r}")
        self.preset = preset
        self.do_upper_case = do_upper_case
        self.on_unknown = on_unknown
        self.unknown_warning_share = unknown_warning_share
        choice = _PRESETS[preset]
        self._choice = choice
        self.tokens_between_pair = choice.between_pair
        self._ids = {token: index for index, token in enumerate(choice.tokens)}
        self._letters = {letter: self._ids[letter] for letter in choice.tokens if len(letter) == 1}
        self._letters |= {letter: self._ids[other] for letter, other in choice.synonyms.items()}
        self._table, self._known = self._letter_tables()
        kwargs.pop("do_lower_case", None)
        kwargs.setdefault("model_max_length", choice.model_max_length)
        for name in ("unk", "cls", "sep", "pad", "mask"):
            kwargs.setdefault(f"{name}_token", getattr(choice, name))
        super().__init__(
            preset=preset,
            do_upper_case=do_upper_case,
            on_unknown=on_unknown,
            unknown_warning_share=unknown_warning_share,
            **kwargs,
        )

    def _letter_tables(self) -> tuple[bytes, np.ndarray]:
        """Byte -> id for `bytes.translate`, and which bytes are known, shape `(256,)`."""
        table = bytearray([self._ids[self._choice.unk]] * 256)
        known = np.zeros(256, dtype=bool)
        for letter, index in self._letters.items():
            for form in {letter, letter.lower()} if self.do_upper_case else {letter}:
                table[ord(form)] = index
                known[ord(form)] = True
        return bytes(table), known

    # -- sequences to ids --------------------------------------------------------------------------------------------

    def _ids_of_texts(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        counts = np.fromiter(map(len, texts), np.int64, len(texts))
        letters = "".join(texts).encode("latin-1", "replace")
        ids = np.frombuffer(letters.translate(self._table), dtype=np.uint8)
        # Counting what deletion leaves is many times faster than looking every letter up.
        unknown = len(letters.translate(None, delete=self._known_letters))
        if unknown:
            refuse_split_texts(texts, most=1)
            if self.on_unknown == "error":
                known = self._known[np.frombuffer(letters, dtype=np.uint8)]
                refuse_unknown_residue(texts, counts, int(np.argmin(known)), self._letters)
            self._warn_about_unknown(unknown, len(letters))
        empty = int(np.count_nonzero(counts == 0))
        if empty and self._warns_about_empty:
            warnings.warn(f"{empty} of {len(texts)} proteins are empty and give no residue", stacklevel=6)
        return ids, counts

    _warns_about_empty = True

    @cached_property
    def _known_letters(self) -> bytes:
        return bytes(np.flatnonzero(self._known).astype(np.uint8))

    def _starts_of_added_tokens(self) -> set[str]:
        # X, unknown and mask of PLUS, is a letter like any other; looking for it would slow every protein down.
        added = self._added_tokens_encoder.items()
        return {token[0] for token, index in added if self._letters.get(token) != index}

    def _tokens_with_added(self, texts: list[str]) -> Any:
        self._warns_about_empty = False  # what lies between two added tokens may be empty
        try:
            return super()._tokens_with_added(texts)
        finally:
            self._warns_about_empty = True

    def _warn_about_unknown(self, unknown: int, total: int) -> None:
        if unknown > self.unknown_warning_share * total:
            warnings.warn(
                f"{unknown} of {total} residues ({unknown / total:.1%}) are unknown letters and become "
                f"{self._choice.unk}{'' if self.do_upper_case else ' (lower case counts as unknown)'}. "
                "Is this a protein, without blanks or gaps?",
                stacklevel=6,
            )

    # -- tokens, ids and residues ------------------------------------------------------------------------------------

    @property
    def vocab_size(self) -> int:
        """Number of ids."""
        return len(self._ids)

    @property
    def residue_ids(self) -> np.ndarray:
        """Ids of the residues that count as known, ascending: without X, unknown and special tokens."""
        letters = [index for letter, index in self._ids.items() if len(letter) == 1 and letter != "X"]
        return np.array(sorted(letters), dtype=np.int64)

    def get_vocab(self) -> dict[str, int]:
        """Token -> id, added tokens included; letters read as another one are not listed."""
        return {**self._ids, **self.added_tokens_encoder}

    def _tokenize(self, text: str, **kwargs: Any) -> list[str]:
        return [self._convert_id_to_token(index) for index in self._ids_of_texts([text])[0].tolist()]

    def _convert_token_to_id(self, token: str) -> int:
        index = self._ids.get(token)
        if index is None:
            letter = token.upper() if self.do_upper_case else token
            index = self._letters.get(letter, self._ids[self._choice.unk])
        return index

    def _convert_id_to_token(self, index: int) -> str:
        return self._choice.tokens[index] if 0 <= index < len(self._ids) else self._choice.unk

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Letters beside each other, without blanks."""
        return "".join(tokens)

    def _decode(  # type: ignore[override]
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: Any = None,
        **kwargs: Any,
    ) -> str:
        """Ids back to letters, without blanks.

        With `skip_special_tokens=True` start, end and padding are left out; unknown and masked residues are written
        X, so that positions stay right.
        """
        ids = np.asarray(token_ids, dtype=np.int64).reshape(-1)
        if not skip_special_tokens:
            return "".join(self.convert_ids_to_tokens(ids.tolist()))
        hidden = {self.unk_token_id, self.mask_token_id}
        dropped = [index for index in self.all_special_ids if index not in hidden]
        tokens = self.convert_ids_to_tokens(ids[~np.isin(ids, dropped)].tolist())
        return "".join("X" if token in (self.unk_token, self.mask_token) else token for token in tokens)

    # -- files -------------------------------------------------------------------------------------------------------

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write `vocab.txt`, one token a line in id order."""
        path = Path(save_directory) / f"{filename_prefix + '-' if filename_prefix else ''}vocab.txt"
        path.write_text("\n".join(self._choice.tokens) + "\n", encoding="utf-8")
        return (str(path),)

    def _portable_backend(self) -> Tokenizer:
        choice = self._choice
        return residue_backend(
            self._ids,
            letters=self._letters,
            synonyms=choice.synonyms,
            upper_case=self.do_upper_case,
            unk=choice.unk,
            cls=choice.cls,
            sep=choice.sep,
            cls_before_second=choice.between_pair == 2,
        )


def _checked_preset(preset: str | None, vocab_file: str | None) -> str:
    if vocab_file is not None:
        tokens = tuple(Path(vocab_file).read_text(encoding="utf-8").split())
        found = next((name for name, choice in _PRESETS.items() if choice.tokens == tokens), None)
        if found is None:
            raise ValueError(f"{vocab_file} is not the vocabulary of any of {', '.join(_PRESETS)}")
        if preset is not None and preset != found:
            raise ValueError(f"{vocab_file} is the vocabulary of {found!r}, but preset={preset!r} was asked for")
        return found
    preset = "plus" if preset is None else preset
    if preset not in _PRESETS:
        raise ValueError(f"no preset {preset!r}; there are {', '.join(_PRESETS)}")
    return preset


def refuse_unknown_residue(texts: Sequence[str], lengths: np.ndarray, place: int, known: dict[str, int]) -> None:
    """Raise `ValueError` that names the letter at `place` of all proteins end to end, and the `known` ones."""
    ends = np.cumsum(lengths)
    index = int(np.searchsorted(ends, place, side="right"))
    position = place - int(ends[index] - lengths[index])
    raise ValueError(
        f"protein {index} holds {texts[index][position]!r} at position {position} (0-based), which is not one of "
        f"{''.join(sorted(known))}; clean it or use on_unknown='unk'"
    )
