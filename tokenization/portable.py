r"""Stock `tokenizer.json` files with the ids of the tokenizers here: for strangers who have transformers and no more.

Residues are single letters, which the library splits by itself. It has no k-mer model, but its regex normalizers can
write the k-mers out. Letter case carries the state: an upper-case letter starts the k-mer that begins at this base,
lower-case letters are the bases appended to it. Pass j appends the base j places ahead to every k-mer, one rule for
each pair (last letter so far, letter to append), since replacements cannot refer to what was matched. Incomplete
k-mers at the end are dropped, each k-mer gets a space before it, and a word-level model looks them up. A stride above
1 keeps the first of every `stride` k-mers. It is some hundred times slower than `KmerTokenizer`; the ids are equal.

Everything here takes values, no tokenizer: the file goes into every repository beside the one tokenizer it has.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Replace
from tokenizers.normalizers import Sequence as NormalizerSequence
from tokenizers.pre_tokenizers import PreTokenizer, Split, WhitespaceSplit
from tokenizers.pre_tokenizers import Sequence as PreTokenizerSequence
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

__all__ = ["clean_rules", "kmer_backend", "residue_backend", "save_backend", "save_stock", "variable_kmer_backend"]

_LETTERS = "ACGTN"


def kmer_backend(
    vocabulary: Mapping[str, int],
    *,
    k: int,
    stride: int = 1,
    upper_case: bool = True,
    legacy_stride: bool = False,
    unk: str = "[UNK]",
    cls: str = "[CLS]",
    sep: str = "[SEP]",
) -> Tokenizer:
    """A stock tokenizer of overlapping k-mers.

    Args:
        vocabulary (`Mapping[str, int]`): Token -> id; k-mers over A, C, G, T and the special tokens.
        k (`int`): Bases a token.
        stride (`int`, defaults to 1): Bases between the starts of neighbouring tokens.
        upper_case (`bool`, defaults to `True`): Read lower-case bases like upper-case ones.
        legacy_stride (`bool`, defaults to `False`): With a stride above 1, cut `stride` bases off the end first.
        unk (`str`): Token of a k-mer that holds another letter.
        cls (`str`): Token in front of the first sequence.
        sep (`str`): Token behind each sequence.

    Returns:
        `tokenizers.Tokenizer`: gives the ids of `KmerTokenizer` with these settings.
    """
    cut = [(Regex(rf"[ACGTN]{{1,{stride}}}\z"), "")] if legacy_stride and stride > 1 else []
    rules = [*clean_rules(upper_case), *cut, *_grow(k), *_separate(k)]
    special = (cls, sep)
    return _backend(
        vocabulary, rules, _thin(k, stride), unk=unk, frame=f"{cls} $A {sep}", second=f"$B:1 {sep}:1", special=special
    )


def variable_kmer_backend(
    vocabulary: Mapping[str, int],
    *,
    k: int,
    k_max: int,
    upper_case: bool = True,
    unk: str = "[UNK]",
    cls: str = "[CLS]",
    sep: str = "[SEP]",
) -> Tokenizer:
    """A stock tokenizer of overlapping k-mers whose lengths go round from `k` to `k_max` along the sequence.

    Args:
        vocabulary (`Mapping[str, int]`): Token -> id; k-mers over A, C, G, T and the special tokens.
        k (`int`): Bases of the shortest token.
        k_max (`int`): Bases of the longest one.
        upper_case (`bool`, defaults to `True`): Read lower-case bases like upper-case ones.
        unk (`str`): Token of a k-mer that holds another letter.
        cls (`str`): Token in front of the first sequence.
        sep (`str`): Token behind each sequence.

    Returns:
        `tokenizers.Tokenizer`: gives the ids of `VariableKmerTokenizer` with these settings.
    """
    rules = [*clean_rules(upper_case), *_grow(k_max), *_separate(k)]
    return _backend(
        vocabulary, rules, _go_round(k, k_max), unk=unk, frame=f"{cls} $A {sep}", second=f"$B:1 {sep}:1",
        special=(cls, sep),
    )  # fmt: skip


def residue_backend(
    vocabulary: Mapping[str, int],
    *,
    letters: Iterable[str],
    synonyms: Mapping[str, str],
    upper_case: bool = True,
    unk: str,
    cls: str,
    sep: str,
    cls_before_second: bool = False,
) -> Tokenizer:
    """A stock tokenizer of residues, one token a letter.

    Args:
        vocabulary (`Mapping[str, int]`): Token -> id.
        letters (`Iterable[str]`): Upper-case letters that are known, synonyms included.
        synonyms (`Mapping[str, str]`): Letter -> the letter it is read as.
        upper_case (`bool`, defaults to `True`): Read lower-case letters like upper-case ones.
        unk (`str`): Token of any other letter.
        cls (`str`): Token in front of the first sequence.
        sep (`str`): Token behind each sequence.
        cls_before_second (`bool`, defaults to `False`): The second sequence of a pair has a `cls` of its own.

    Returns:
        `tokenizers.Tokenizer`: gives the ids of `ProteinTokenizer` with these settings.
    """
    rules: list[tuple[Any, str]] = [(letter.lower(), letter) for letter in sorted(letters)] if upper_case else []
    again = f"{cls}:1 " if cls_before_second else ""
    return _backend(
        vocabulary, [*rules, *synonyms.items()], Split(Regex(r"[\s\S]"), "isolated"), unk=unk,
        frame=f"{cls} $A {sep}", second=f"{again}$B:1 {sep}:1", special=(cls, sep),
    )  # fmt: skip


def _backend(
    vocabulary: Mapping[str, int],
    rules: list[tuple[Any, str]],
    pre_tokenizer: PreTokenizer,
    *,
    unk: str,
    frame: str,
    second: str,
    special: tuple[str, ...],
) -> Tokenizer:
    backend = Tokenizer(WordLevel(dict(vocabulary), unk_token=unk))
    if rules:
        backend.normalizer = NormalizerSequence([Replace(pattern, content) for pattern, content in rules])
    backend.pre_tokenizer = pre_tokenizer
    backend.post_processor = TemplateProcessing(
        single=frame,
        pair=f"{frame} {second}",
        special_tokens=[(token, vocabulary[token]) for token in dict.fromkeys(special)],
    )
    return backend


def clean_rules(upper_case: bool) -> list[tuple[Regex, str]]:
    """Letters A, C, G, T only; U becomes T and everything else N."""
    pairs = [("[aA]", "A"), ("[cC]", "C"), ("[gG]", "G"), ("[tTuU]", "T")] if upper_case else [("U", "T")]
    return [(Regex(pattern), letter) for pattern, letter in [*pairs, (r"[^ACGTN]|\n", "N")]]


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


def _go_round(k: int, k_max: int) -> PreTokenizer:
    """Cut the first of every run of words to k letters, the second to k + 1, and so on; a shorter one is left whole.

    Each step has the word at the front of what is left of the run stand alone, and removes its end.
    """
    steps: list[PreTokenizer] = [Split(Regex(rf"(?: [A-Z]+){{1,{k_max - k + 1}}}"), "isolated")]
    for length in range(k, k_max + 1):
        steps += [Split(Regex(rf"\A [A-Z]{{1,{length}}}"), "isolated"), Split(Regex(r"\A[A-Z]+"), "removed")]
    return PreTokenizerSequence([*steps, WhitespaceSplit()])


def save_backend(
    backend: Tokenizer, directory: str | Path, *, special_tokens: Mapping[str, str], **settings: Any
) -> tuple[str, ...]:
    """Write `tokenizer.json` and `tokenizer_config.json`.

    Args:
        backend (`tokenizers.Tokenizer`): What turns sequences into ids.
        directory (`str` or `Path`): Folder that `AutoTokenizer.from_pretrained` can then load.
        special_tokens (`Mapping[str, str]`): `"unk_token"`, `"cls_token"` ... -> token.
        **settings: Further entries of `tokenizer_config.json`, such as `model_max_length` and `molecule`.

    Returns:
        `tuple[str, ...]`: The files written.
    """
    fast = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
        **special_tokens,
        **settings,
    )
    files = fast.save_pretrained(directory)
    # A repository of model_type bert without this name is given a stock BertTokenizer, and every sequence becomes one
    # [UNK]; the name transformers 5 writes itself is unknown to transformers 4.
    path = Path(directory) / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return tuple(str(file) for file in files)


def save_stock(tokenizer: Any, directory: str | Path) -> tuple[str, ...]:
    """Write a stock tokenizer as it is, with what its `tokenizer_config.json` says besides; see [`save_backend`]."""
    names = ("unk_token", "cls_token", "sep_token", "pad_token", "mask_token")
    stated = {
        name: value
        for name in ("molecule", "letters_per_token", "token_step", "learnt")
        if (value := tokenizer.init_kwargs.get(name)) is not None
    }
    special = {name: token for name in names if (token := getattr(tokenizer, name, None)) is not None}
    return save_backend(
        tokenizer.backend_tokenizer,
        directory,
        special_tokens=special,
        model_max_length=tokenizer.model_max_length,
        **stated,
    )
