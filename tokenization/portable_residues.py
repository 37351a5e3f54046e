"""Residues as a stock `tokenizer.json`: the form for strangers, who have transformers and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Replace
from tokenizers.normalizers import Sequence as NormalizerSequence
from tokenizers.pre_tokenizers import Split
from tokenizers.processors import TemplateProcessing

from .portable import save_portable_backend

if TYPE_CHECKING:
    from .tokenization_protein import ProteinTokenizer


__all__ = ["portable_protein_tokenizer", "save_portable_protein_tokenizer"]


def portable_protein_tokenizer(tokenizer: ProteinTokenizer) -> Tokenizer:
    """Return a stock `tokenizers.Tokenizer` with the ids of `tokenizer`."""
    choice = tokenizer._choice
    backend = Tokenizer(WordLevel(dict(tokenizer._ids), unk_token=choice.unk))
    letters = sorted(tokenizer._letters)
    rules = [(letter.lower(), letter) for letter in letters] if tokenizer.do_upper_case else []
    rules += list(choice.synonyms.items())
    if rules:
        backend.normalizer = NormalizerSequence([Replace(letter, other) for letter, other in rules])
    backend.pre_tokenizer = Split(Regex(r"[\s\S]"), "isolated")
    again = f"{choice.cls}:1 " if choice.between_pair == 2 else ""
    backend.post_processor = TemplateProcessing(
        single=f"{choice.cls} $A {choice.sep}",
        pair=f"{choice.cls} $A {choice.sep} {again}$B:1 {choice.sep}:1",
        special_tokens=list({token: tokenizer._ids[token] for token in (choice.cls, choice.sep)}.items()),
    )
    return backend


def save_portable_protein_tokenizer(tokenizer: ProteinTokenizer, directory: str | Path) -> tuple[str, ...]:
    """Write `tokenizer.json` and `tokenizer_config.json` of the portable form of `tokenizer` into `directory`."""
    return save_portable_backend(tokenizer, portable_protein_tokenizer(tokenizer), directory)
