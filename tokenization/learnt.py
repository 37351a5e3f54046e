"""Vocabularies learnt from sequences: byte-pair encoding and unigram pieces of DNA, as stock tokenizers.

Their tokens do not overlap and differ in length: words that come often are long. What is written is a stock
`tokenizer.json`, so nobody needs this package to read with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from tokenizers import Tokenizer
from tokenizers.models import BPE, Unigram
from tokenizers.normalizers import Replace
from tokenizers.normalizers import Sequence as NormalizerSequence
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer, UnigramTrainer

from .portable import clean_rules

__all__ = ["SPECIAL_TOKENS", "learn_vocabulary"]

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # ids 0 to 4, as of the k-mer tokenizers


def learn_vocabulary(
    texts: Iterable[str],
    *,
    algorithm: Literal["bpe", "unigram"] = "bpe",
    size: int = 4096,
    longest: int = 16,
    progress: bool = False,
) -> Tokenizer:
    """Learn which words sequences are cut into.

    Args:
        texts (`Iterable[str]`): Sequences of DNA or RNA; U counts as T, other letters as unknown.
        algorithm (`str`): `"bpe"`: the pair of neighbouring words that comes most often becomes a word, until there
            are enough (Sennrich et al. 2016; of DNA in DNABERT-2, Zhou et al. 2023); `"unigram"`: of many words those
            are kept that the sequences are likeliest by (Kudo 2018).
        size (`int`): Ids, the five special ones included.
        longest (`int`): Letters of the longest word.
        progress (`bool`): Show a progress bar on stderr.

    Returns:
        `tokenizers.Tokenizer`: writes `[CLS] words [SEP]`.

    Raises:
        ValueError: an unknown algorithm, numbers out of range, or sequences that hold too few words.

    Examples:
        >>> backend = learn_vocabulary(["ACGACGACGTT", "ACGACGGG"] * 5, size=12)
        >>> backend.encode("ACGACGA").tokens
        ['[CLS]', 'ACGACG', 'A', '[SEP]']
    """
    if algorithm not in ("bpe", "unigram"):
        raise ValueError(f"algorithm must be 'bpe' or 'unigram', got {algorithm!r}")
    if size < len(SPECIAL_TOKENS) + 5 or longest < 2:
        raise ValueError(
            f"a vocabulary has at least 10 ids and words of 2 letters; got size={size}, longest={longest}"
        )
    options: dict[str, Any] = {
        "vocab_size": size, "special_tokens": list(SPECIAL_TOKENS), "initial_alphabet": list("ACGT"),
        "show_progress": progress,
    }  # fmt: skip
    backend = Tokenizer(BPE(unk_token="[UNK]", fuse_unk=True) if algorithm == "bpe" else Unigram())
    trainer: Any = (
        BpeTrainer(limit_alphabet=4, max_token_length=longest, **options)
        if algorithm == "bpe"
        else UnigramTrainer(max_piece_length=longest, unk_token="[UNK]", **options)
    )
    backend.normalizer = NormalizerSequence([Replace(pattern, content) for pattern, content in clean_rules(True)])
    backend.train_from_iterator(texts, trainer)
    if [backend.token_to_id(token) for token in SPECIAL_TOKENS] != list(range(len(SPECIAL_TOKENS))):
        raise ValueError("the special tokens did not come first in the learnt vocabulary")
    if backend.get_vocab_size() < len(SPECIAL_TOKENS) + 5:
        raise ValueError("the sequences hold no word of two letters that comes twice; give more of them")
    backend.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return backend
