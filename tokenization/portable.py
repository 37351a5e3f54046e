r"""Overlapping k-mers as a stock `tokenizer.json`: the form for strangers, who have transformers and nothing else.

The tokenizers library has no k-mer model, but its regex normalizers can write the k-mers out. Letter case carries the
state: an upper-case letter starts the k-mer that begins at this base, lower-case letters are the bases appended to it.
Pass j appends the base j places ahead to every k-mer, one rule for each pair (last letter so far, letter to append),
since replacements cannot refer to what was matched. Incomplete k-mers at the end are dropped, each k-mer gets a space
before it, and a word-level model looks them up. A stride above 1 keeps the first of every `stride` k-mers.

It is some hundred times slower than `KmerTokenizer`; the two are tested to give equal ids.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Replace
from tokenizers.normalizers import Sequence as NormalizerSequence
from tokenizers.pre_tokenizers import PreTokenizer, Split, WhitespaceSplit
from tokenizers.pre_tokenizers import Sequence as PreTokenizerSequence
from tokenizers.processors import TemplateProcessing

if TYPE_CHECKING:
    from .tokenization_arrays import ArrayTokenizer
    from .tokenization_kmer import KmerTokenizer


__all__ = ["portable_kmer_tokenizer", "save_portable_backend", "save_portable_kmer_tokenizer"]

_LETTERS = "ACGTN"


def portable_kmer_tokenizer(tokenizer: KmerTokenizer) -> Tokenizer:
    """Return a stock `tokenizers.Tokenizer` with the ids of `tokenizer`."""
    backend = Tokenizer(WordLevel(dict(tokenizer._vocab), unk_token="[UNK]"))
    rules = [*_clean(tokenizer.do_upper_case), *_legacy_cut(tokenizer), *_grow(tokenizer.k), *_separate(tokenizer.k)]
    backend.normalizer = NormalizerSequence([Replace(pattern, content) for pattern, content in rules])
    backend.pre_tokenizer = _thin(tokenizer.k, tokenizer.stride)
    backend.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", tokenizer.cls_token_id), ("[SEP]", tokenizer.sep_token_id)],
    )
    return backend


def _clean(upper_case: bool) -> list[tuple[Regex, str]]:
    """Letters A, C, G, T only; U becomes T and everything else N."""
    pairs = [("[aA]", "A"), ("[cC]", "C"), ("[gG]", "G"), ("[tTuU]", "T")] if upper_case else [("U", "T")]
    return [(Regex(pattern), letter) for pattern, letter in [*pairs, (r"[^ACGTN]|\n", "N")]]


def _legacy_cut(tokenizer: KmerTokenizer) -> list[tuple[Regex, str]]:
    if not tokenizer.legacy_stride or tokenizer.stride == 1:
        return []
    return [(Regex(rf"[ACGTN]{{1,{tokenizer.stride}}}\z"), "")]


def _grow(k: int) -> list[tuple[Regex, str]]:
    """Append to every k-mer the base 1, 2, ... k - 1 places ahead."""
    rules = []
    for ahead in range(1, k):
        # From the second pass on the letter to extend is lower case, and its distance to the capital says that this
        # k-mer was not extended in this pass already.
        behind = "" if ahead == 1 else rf"(?<=[A-Z][a-z]{{{ahead - 2}}})" if ahead > 2 else "(?<=[A-Z])"
        for last, following in product(_LETTERS, repeat=2):
            letter = last if ahead == 1 else last.lower()
            skipped = "" if ahead == 1 else rf"(?:[A-Z][a-z]*){{{ahead - 1}}}"
            rules.append((Regex(rf"{behind}{letter}(?={skipped}{following})"), letter + following.lower()))
    return rules


def _separate(k: int) -> list[tuple[Regex, str]]:
    """Drop k-mers that ran out of bases, put a space before the others, and make everything upper case."""
    rules = [] if k == 1 else [(Regex(rf"[A-Z][a-z]{{0,{k - 2}}}(?![a-z])"), "")]
    rules += [(Regex(letter), f" {letter}") for letter in _LETTERS]
    return rules + ([] if k == 1 else [(Regex(letter.lower()), letter) for letter in _LETTERS])


def _thin(k: int, stride: int) -> PreTokenizer:
    """Keep the first of every `stride` k-mers: isolate runs of that many, then remove the rest of each run."""
    if stride == 1:
        return WhitespaceSplit()
    run = Regex(rf"(?: [A-Z]{{{k}}}){{1,{stride}}}")
    rest = Regex(rf"(?<= [A-Z]{{{k}}})(?: [A-Z]{{{k}}})+")
    return PreTokenizerSequence([Split(run, "isolated"), Split(rest, "removed"), WhitespaceSplit()])


def save_portable_kmer_tokenizer(tokenizer: KmerTokenizer, directory: str | Path) -> tuple[str, ...]:
    """Write `tokenizer.json` and `tokenizer_config.json` of the portable form of `tokenizer` into `directory`."""
    return save_portable_backend(tokenizer, portable_kmer_tokenizer(tokenizer), directory)


def save_portable_backend(tokenizer: ArrayTokenizer, backend: Tokenizer, directory: str | Path) -> tuple[str, ...]:
    """Write `backend` as the stock tokenizer that stands in for `tokenizer`, its special tokens and lengths kept."""
    from transformers import PreTrainedTokenizerFast

    names = [f"{name}_token" for name in ("unk", "cls", "sep", "pad", "mask")]
    fast = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=tokenizer.model_max_length,
        padding_side=tokenizer.padding_side,
        truncation_side=tokenizer.truncation_side,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
        molecule=tokenizer.molecule,
        letters_per_token=tokenizer.letters_per_token,
        token_step=tokenizer.token_step,
        **{name: getattr(tokenizer, name) for name in names if getattr(tokenizer, name) is not None},
    )
    files = fast.save_pretrained(directory)
    # A repository of model_type bert without this name is given a stock BertTokenizer, and every sequence becomes one
    # [UNK]; the name transformers 5 writes itself is unknown to transformers 4.
    path = Path(directory) / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return tuple(str(file) for file in files)
