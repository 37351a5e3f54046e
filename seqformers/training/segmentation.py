"""Learn a vocabulary of DNA words from reads of genomes, and write it as a tokenizer that recipes name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from seqformers.datasets_scripts.genomes.arrays import GenomeArrays
from seqformers.datasets_scripts.genomes.reads import ReadOptions, ReadSampler
from seqformers.files import Output, fingerprint
from seqformers.tokenization.learnt import SPECIAL_TOKENS, learn_vocabulary
from seqformers.tokenization.portable import save_backend

__all__ = ["learn_tokens"]

_BATCH = 512  # reads drawn at once


def learn_tokens(
    genomes: str | Path,
    output: str | Path,
    *,
    algorithm: Literal["bpe", "unigram"] = "bpe",
    vocabulary: int = 4096,
    longest: int = 16,
    letters: int = 5_000_000,
    reads: Mapping[str, Any] | None = None,
    split: str = "train",
    seed: int = 0,
    overwrite: bool = False,
    progress: bool = True,
) -> Path:
    """Write the folder of a tokenizer whose words were learnt from reads of genomes.

    A recipe takes it by `tokenizer.from`; `AutoTokenizer.from_pretrained` loads it without this package.

    Args:
        genomes (`str` or `Path`): Output of `seqformers build genomes`.
        output (`str` or `Path`): Folder to write: `tokenizer.json`, `tokenizer_config.json`.
        algorithm (`str`): `"bpe"` or `"unigram"`; see [`learn_vocabulary`].
        vocabulary (`int`): Ids, the five special ones included.
        longest (`int`): Letters of the longest word.
        letters (`int`): Letters of the reads that it learns from, at least.
        reads (`Mapping`, *optional*): What is drawn, as `data.reads` of a recipe has it; default 510 letters, groups
            by the root of their size, both strands.
        split (`str`): Split of the genomes.
        seed (`int`): Draws the reads.
        overwrite (`bool`): Replace an earlier tokenizer.
        progress (`bool`): Show a progress bar on stderr.

    Returns:
        `Path`: `output`.

    Raises:
        FileExistsError: the output is there.
        ValueError: no genomes, or options that make no sense.
    """
    if letters < 1:
        raise ValueError(f"letters must be at least 1, got {letters}")
    try:
        options = ReadOptions(**{"length": 510, **(reads or {})})
    except TypeError as error:
        raise ValueError(f"reads: {error}") from error
    settings = {
        "algorithm": algorithm, "vocabulary": vocabulary, "longest": longest, "letters": letters, "seed": seed,
        "reads": dict(reads or {}), "split": split, "genomes": fingerprint(Path(genomes)),
    }  # fmt: skip
    with Output(output, "learn-tokens", inputs=[genomes], settings=settings, folder=True, overwrite=overwrite) as out:
        sampler = _sampler(GenomeArrays.open(genomes, split), options, seed)
        backend = learn_vocabulary(
            _texts(sampler, letters), algorithm=algorithm, size=vocabulary, longest=longest, progress=progress
        )
        save_backend(
            backend,
            out.start(),
            special_tokens={f"{token.strip('[]').lower()}_token": token for token in SPECIAL_TOKENS},
            model_max_length=512,
            molecule="dna",
            letters_per_token=1,
            token_step=1,
            learnt=algorithm,
        )
        return out.finish()


def _sampler(genomes: GenomeArrays, options: ReadOptions, seed: int) -> ReadSampler:
    """Of all classes that hold a read; words need no labels."""
    if not options.classes:
        found = np.unique(genomes.label[genomes.length >= options.shortest])
        options = replace(options, classes={genomes.names[label]: [genomes.names[label]] for label in found.tolist()})
    return ReadSampler(genomes, options, seed)


def _texts(sampler: ReadSampler, letters: int) -> Iterator[str]:
    """Reads until they hold so many letters."""
    drawn = 0
    while drawn < letters:
        reads = sampler.draw(np.arange(_BATCH) + drawn)  # a read has a letter, so that no number comes twice
        until = reads.lengths.cumsum()
        yield from reads.strings()[: int(np.searchsorted(until, letters - drawn)) + 1]
        drawn += int(until[-1])
