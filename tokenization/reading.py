"""What a tokenizer or processor reads: which molecule, how many letters a token covers, how far apart tokens begin.

The tokenizers here state it, in `tokenizer_config.json` too; so does their portable form, which stock transformers
loads. Of any other tokenizer it is found out from the vocabulary and a trial.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

__all__ = ["MOLECULES", "Reading", "reading_of"]

MOLECULES = ("dna", "rna", "protein")

_NUCLEOTIDES = frozenset("ACGTUN")
_RESIDUES = frozenset("ACDEFGHIKLMNPQRSTVWY")
_TRIAL = 840  # letters; a multiple of every step up to 8


class Reading(NamedTuple):
    """What a tokenizer reads.

    Args:
        molecule (`str`, *optional*): `"dna"`, `"rna"` or `"protein"`; None where nobody says and the vocabulary does
            not tell.
        letters_per_token (`int`): Letters one token covers; 1 where tokens differ in length.
        token_step (`int`): Letters between the starts of neighbouring tokens; 1 where that differs.

    Examples:
        >>> Reading("dna", letters_per_token=6, token_step=1).letters(510)
        515
        >>> Reading("dna", letters_per_token=6, token_step=3).tokens(150)
        49
    """

    molecule: str | None
    letters_per_token: int = 1
    token_step: int = 1

    @property
    def is_nucleic(self) -> bool:
        """Whether it is DNA or RNA, which has a second strand and four letters."""
        return self.molecule in ("dna", "rna")

    def letters(self, tokens: int) -> int:
        """Letters that `tokens` neighbouring tokens cover together."""
        return (tokens - 1) * self.token_step + self.letters_per_token if tokens > 0 else 0

    def tokens(self, letters: int) -> int:
        """Tokens, special ones apart, that a sequence of `letters` letters gives."""
        return max((letters - self.letters_per_token) // self.token_step + 1, 0)


def reading_of(encoder: Any, config: Any = None) -> Reading:
    """Say what a tokenizer or processor reads.

    Args:
        encoder: Any tokenizer or processor; None to ask `config` alone.
        config (*optional*): Configuration of the model that it feeds; asked for what `encoder` does not state.

    Returns:
        `Reading`: as stated by `encoder` (attributes or entries of its `tokenizer_config.json`), else as stated by
        `config`, else as the vocabulary and a trial show. A vocabulary of words, or none, gives no molecule and
        one letter a token.

    Raises:
        ValueError: `encoder` and `config` state different things: the model was trained on other tokens.

    Examples:
        >>> from seqformers import KmerTokenizer, ProteinTokenizer
        >>> reading_of(KmerTokenizer(k=6, stride=3))
        Reading(molecule='dna', letters_per_token=6, token_step=3)
        >>> reading_of(ProteinTokenizer("tape")).molecule
        'protein'
    """
    said = {name: _stated(encoder, name) for name in Reading._fields}
    wanted = {name: getattr(config, name, None) for name in Reading._fields}
    for name in Reading._fields:
        # DNA and RNA share their ids: U is read as T.
        nucleic = {said[name], wanted[name]} <= {"dna", "rna"}
        if None not in (said[name], wanted[name]) and said[name] != wanted[name] and not nucleic:
            raise ValueError(
                f"the tokenizer has {name}={said[name]!r}, the model's configuration {name}={wanted[name]!r}: "
                "the model would read other tokens than it was trained on; use the tokenizer that was saved with it"
            )
    merged: dict[str, Any] = {name: said[name] if said[name] is not None else wanted[name] for name in Reading._fields}
    if None in merged.values() and hasattr(encoder, "get_vocab"):
        found = _found_out(encoder)._asdict()
        merged = {name: found[name] if value is None else value for name, value in merged.items()}
    return Reading(merged["molecule"], merged["letters_per_token"] or 1, merged["token_step"] or 1)


def _stated(encoder: Any, name: str) -> Any:
    value = getattr(encoder, name, None)
    # Stock tokenizers keep what else their file says in `init_kwargs`.
    return (getattr(encoder, "init_kwargs", None) or {}).get(name) if value is None else value


def _found_out(tokenizer: Any) -> Reading:
    """From the vocabulary's plain letters, and for tokens of one length from the number of tokens of a trial."""
    special = set(tokenizer.all_special_tokens)
    tokens = [token for token in tokenizer.get_vocab() if token not in special and token.isascii() and token.isalpha()]
    molecule = _molecule(tokens)
    sizes = Counter(map(len, tokens))
    width, count = sizes.most_common(1)[0] if sizes else (1, 0)
    if width == 1 or count < 0.9 * len(tokens):
        return Reading(molecule)
    given = len(tokenizer("A" * _TRIAL, add_special_tokens=False)["input_ids"])
    twice = len(tokenizer("A" * 2 * _TRIAL, add_special_tokens=False)["input_ids"])
    if twice <= given or _TRIAL % (twice - given):
        return Reading(molecule)  # it does not cut plain sequences into its tokens
    return Reading(molecule, width, _TRIAL // (twice - given))


def _molecule(tokens: Sequence[str]) -> str | None:
    letters = set("".join(tokens).upper())
    if letters >= set("ACG") and letters <= _NUCLEOTIDES:
        return "rna" if "U" in letters and "T" not in letters else "dna"
    single = {token.upper() for token in tokens}
    # Each residue once; an alphabet for any text has small letters, too.
    return (
        "protein" if single >= _RESIDUES and all(len(token) == 1 for token in tokens) and len(tokens) <= 26 else None
    )
