"""Tokenizers of words that know single letters, such as ProtBERT's: sequences need no spaces between their letters."""

from __future__ import annotations

from typing import Any

from tokenizers import Regex, pre_tokenizers

__all__ = ["read_letter_by_letter"]

_TRIAL = "ACDEFGHIKL"


def read_letter_by_letter(encoder: Any) -> Any:
    """Have a tokenizer read `MKT` as it reads `M K T`, where it knows the letters but takes them together for a word.

    Args:
        encoder: Any tokenizer or processor; changed in place; a tokenizer that is loaded again is to be changed again.

    Returns:
        `encoder`, which all others are left as.
    """
    backend = getattr(encoder, "backend_tokenizer", None)
    if backend is None or getattr(encoder, "unk_token_id", None) is None:
        return encoder
    known = encoder.get_vocab()
    if not all(letter in known for letter in _TRIAL) or backend.pre_tokenizer is None:
        return encoder
    if encoder(_TRIAL, add_special_tokens=False)["input_ids"] == [encoder.unk_token_id]:
        letters = pre_tokenizers.Split(Regex("[A-Za-z]"), "isolated")
        backend.pre_tokenizer = pre_tokenizers.Sequence([backend.pre_tokenizer, letters])
    return encoder
