"""Vectors of the words (k-mers, residues) that a model reads: nearest words, and a file for word2vec's readers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from seqformers.files import Output
from seqformers.hub.load import Loaded, load_model, model_folder

__all__ = [
    "WordVectors",
    "alignment_correlation",
    "concatenation_score",
    "paragraph_vectors",
    "word_vectors",
    "write_word2vec",
    "write_word_vectors",
]


@dataclass(frozen=True)
class WordVectors:
    """The table of a model's vectors.

    Args:
        words (`list[str]`): Words in the order of their ids, special tokens left out.
        matrix (`np.ndarray` of shape `(words, width)`): Their vectors, float32.
    """

    words: list[str]
    matrix: np.ndarray

    def of(self, word: str) -> np.ndarray:
        """The vector of a word, `(width,)`.

        Raises:
            ValueError: the model does not know it.
        """
        if word not in self._number:
            raise ValueError(f"no vector of {word!r}; the words are such as {', '.join(self.words[:3])}")
        return self.matrix[self._number[word]]

    def nearest(self, word: str | np.ndarray, count: int = 10) -> list[tuple[str, float]]:
        """The words of the largest cosine to a word or vector, itself left out: `(word, cosine)`, nearest first."""
        vector = self.of(word) if isinstance(word, str) else np.asarray(word)
        lengths = np.linalg.norm(self.matrix, axis=1) * np.linalg.norm(vector)
        cosines = self.matrix @ vector / np.maximum(lengths, np.finfo(np.float32).tiny)
        order = [place for place in np.argsort(-cosines, kind="stable").tolist() if self.words[place] != word]
        return [(self.words[place], float(cosines[place])) for place in order[:count]]

    @cached_property
    def _number(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words)}


def word_vectors(model: str | Path | Loaded) -> WordVectors:
    """The vectors of the words of any model with a table of embeddings: `kmer2vec`, `kmer_bert`, and stock ones.

    Args:
        model (`str`, `Path` or `Loaded`): Run folder, Hub repository, or a model with its tokenizer.

    Raises:
        FileNotFoundError: there is no such model.
        ValueError: it has no table of vectors.
    """
    loaded = model if isinstance(model, Loaded) else load_model(model)
    base = loaded.model.base_model
    table = getattr(base.get_input_embeddings(), "weight", None)
    if table is None or not hasattr(loaded.encoder, "get_vocab"):
        raise ValueError(f"{loaded.name} is a {loaded.config.model_type} model, which has no vectors of words")
    special = set(loaded.encoder.all_special_tokens)
    vocabulary = sorted(loaded.encoder.get_vocab().items(), key=lambda entry: entry[1])
    known = [(word, number) for word, number in vocabulary if word not in special and number < len(table)]
    import torch

    ids = torch.tensor([number for _, number in known], device=table.device)
    ids = base.words(ids) if hasattr(base, "words") else ids  # both strands of a k-mer may have one vector
    return WordVectors([word for word, _ in known], table[ids].detach().float().cpu().numpy())


def concatenation_score(
    vectors: WordVectors, lengths: tuple[int, int] = (3, 3), *, pairs: int = 1000, among: int = 10, seed: int = 0
) -> dict[str, float]:
    """The arithmetic of dna2vec (Ng 2017, section 3.2): is the sum of two k-mers near their concatenation?

    Random pairs of k-mers are added, and the words as long as both together are ranked by their cosine to the sum.

    Args:
        vectors (`WordVectors`): Of k-mers of several lengths.
        lengths (`tuple[int, int]`): Letters of the two.
        pairs (`int`): So many pairs, drawn with `seed`; unlike k-mers where the lengths are alike.
        among (`int`): A concatenation counts as found when it is among so many nearest words.
        seed (`int`): Of the draw.

    Returns:
        `dict`: `found`, share of pairs where one concatenation or the other (`ab` or `ba`) is among the nearest;
        `chance`, that share for words in random order; and `pairs`.

    Raises:
        ValueError: the model has no words of a length.
    """
    of_length: dict[int, list[int]] = {}
    for number, word in enumerate(vectors.words):
        of_length.setdefault(len(word), []).append(number)
    for length in (*lengths, sum(lengths)):
        if length not in of_length:
            raise ValueError(f"no words of {length} letters; lengths here: {', '.join(_lengths(vectors.words))}")
    unit = vectors.matrix / np.maximum(np.linalg.norm(vectors.matrix, axis=1, keepdims=True), 1e-30)
    rng, long = np.random.default_rng(seed), of_length[sum(lengths)]
    place = {vectors.words[number]: index for index, number in enumerate(long)}
    found = []
    for _ in range(pairs):
        one, other = (vectors.words[int(rng.choice(of_length[length]))] for length in lengths)
        while one == other:
            other = vectors.words[int(rng.choice(of_length[lengths[1]]))]
        cosines = unit[long] @ (vectors.of(one) + vectors.of(other))
        ranks = [int((cosines > cosines[place[text]]).sum()) for text in (one + other, other + one)]
        found.append(min(ranks) < among)
    missed = (1 - among / len(long)) * (1 - among / max(len(long) - 1, 1))
    return {"found": float(np.mean(found)), "chance": 1 - max(missed, 0.0), "pairs": pairs}


def alignment_correlation(
    vectors: WordVectors, length: int = 8, *, pairs: int = 1000, seed: int = 0
) -> dict[str, float]:
    """The other check of dna2vec (Ng 2017): are k-mers that align well near each other?

    Pairs of a k-mer and one edited from it, equally many of each alignment score from 1 to `length`; the score is
    that of Needleman and Wunsch with 1 a match and 0 for all else, the longest common subsequence.

    Args:
        vectors (`WordVectors`): Of k-mers.
        length (`int`, defaults to 8): Letters of the k-mers.
        pairs (`int`): So many pairs in all, drawn with `seed`.
        seed (`int`): Of the draw.

    Returns:
        `dict`: `spearman`, the rank correlation of score and cosine; and `pairs`.

    Raises:
        ValueError: the model has no words of this length.
    """
    from scipy.stats import spearmanr

    words = [word for word in vectors.words if len(word) == length]
    if not words:
        raise ValueError(f"no words of {length} letters; lengths here: {', '.join(_lengths(vectors.words))}")
    known, letters = set(words), sorted({letter for word in words for letter in word})
    rng, wanted = np.random.default_rng(seed), max(pairs // length, 1)
    found: dict[int, list[tuple[str, str]]] = {score: [] for score in range(1, length + 1)}
    for _ in range(200 * pairs):  # rare scores of short words may stay short of pairs
        one = words[int(rng.integers(len(words)))]
        other = _edited(one, int(rng.integers(2 * length)), letters, rng)
        group = found.get(_common_letters(one, other))
        if group is not None and len(group) < wanted and other in known:
            group.append((one, other))
        if all(len(group) == wanted for group in found.values()):
            break
    chosen = [(score, vectors.of(one), vectors.of(other)) for score, group in found.items() for one, other in group]
    cosines = [float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-30)) for _, a, b in chosen]
    return {"spearman": float(spearmanr([score for score, _, _ in chosen], cosines)[0]), "pairs": len(chosen)}


def _lengths(words: Sequence[str]) -> list[str]:
    return [str(length) for length in sorted({len(word) for word in words})]


def _edited(word: str, edits: int, letters: Sequence[str], rng: np.random.Generator) -> str:
    """A word of the same length after so many edits: a letter goes, another comes somewhere."""
    for _ in range(edits):
        at, to = int(rng.integers(len(word))), int(rng.integers(len(word)))
        shorter = word[:at] + word[at + 1 :]
        word = shorter[:to] + letters[int(rng.integers(len(letters)))] + shorter[to:]
    return word


def _common_letters(one: str, other: str) -> int:
    """Length of the longest common subsequence.

    Examples:
        >>> _common_letters("GATTACA", "GCATTCA"), _common_letters("AC", "GT")
        (6, 0)
    """
    before = [0] * (len(other) + 1)
    for letter in one:
        now = [0]
        for place, second in enumerate(other):
            now.append(before[place] + 1 if letter == second else max(before[place + 1], now[-1]))
        before = now
    return before[-1]


def paragraph_vectors(model: str | Path | Loaded, sequences: Sequence[str], *, most_steps: int = 200) -> np.ndarray:
    """One vector a sequence that tells its words from others: doc2vec's (PV-DBOW, Le and Mikolov 2014).

    The tables of words stay as they were learnt. In place of drawn negatives stands their mean over all words, by
    their counts to the power 0.75, so the loss is convex and its minimum, which is returned, depends on no seed.

    Args:
        model (`str`, `Path` or `Loaded`): A pretrained `kmer2vec` with its table of contexts.
        sequences (`Sequence[str]`): What its tokenizer reads.
        most_steps (`int`): Iterations of L-BFGS at most.

    Returns:
        `np.ndarray` of shape `(sequences, width)`, float32; zeros where a sequence holds no known word.

    Raises:
        FileNotFoundError: there is no such model.
        ValueError: it has no table of contexts; a classifier has none.
    """
    import torch

    loaded = model if isinstance(model, Loaded) else load_model(model, None)
    if not hasattr(loaded.model, "contexts"):
        raise ValueError(f"{loaded.name} has no table of contexts; give the pretrained kmer2vec run itself")
    contexts = loaded.model.contexts.weight.detach().double()
    ids = loaded.encoder(list(sequences), padding=True, return_tensors="pt")["input_ids"]
    ids = loaded.model.base_model.words(ids)
    held = torch.zeros(len(ids), len(contexts), dtype=torch.float64)
    special = torch.isin(ids, torch.tensor(loaded.encoder.all_special_ids))
    held.scatter_add_(1, ids, (~special).double())
    share = held / held.sum(1, keepdim=True).clamp(min=1)
    noise = loaded.model.counts.double() ** 0.75
    noise = loaded.config.num_negatives * noise / noise.sum().clamp(min=1e-30)
    found = torch.zeros(len(ids), contexts.shape[1], dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS(
        [found], max_iter=most_steps, tolerance_grad=1e-9, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        solver.zero_grad()
        logits = found @ contexts.T
        total = (share * torch.nn.functional.softplus(-logits) + noise * torch.nn.functional.softplus(logits)).sum()
        total.backward()
        return total

    solver.step(loss)
    return (found.detach() * (held.sum(1, keepdim=True) > 0)).float().numpy()


def write_word_vectors(model: str | Path | Loaded, output: str | Path, *, overwrite: bool = False) -> Path:
    """Write the vectors of the words: Parquet with the columns `token`, `embedding`, or word2vec's text.

    Args:
        model (`str`, `Path` or `Loaded`): As in `word_vectors`.
        output (`str` or `Path`): `.parquet`, or `.txt` for the text.
        overwrite (`bool`): Replace it if it is there.

    Returns:
        `Path`: `output`.

    Raises:
        FileExistsError: the output is there.
        ValueError: another suffix, or a model without vectors of words.
    """
    suffix = Path(output).suffix
    if suffix not in (".parquet", ".txt"):
        raise ValueError(f"vectors of words go into .parquet or .txt (word2vec's form), not {Path(output).name}")
    if suffix == ".txt":
        return write_word2vec(model, output, overwrite=overwrite)
    inputs = [] if isinstance(model, Loaded) else [model_folder(model)]
    with Output(output, "embed --tokens", inputs=inputs, overwrite=overwrite) as place:
        vectors = word_vectors(model)
        rows = pa.FixedSizeListArray.from_arrays(pa.array(vectors.matrix.ravel()), vectors.matrix.shape[1])
        pq.write_table(pa.table({"token": vectors.words, "embedding": rows}), place.start(), compression="zstd")
        return place.finish()


def write_word2vec(model: str | Path | Loaded, output: str | Path, *, overwrite: bool = False) -> Path:
    """Write the vectors as word2vec's text: a line `words width`, then a line a word (`ACGTAC 0.1 -0.2 ...`).

    Args:
        model (`str`, `Path` or `Loaded`): As in `word_vectors`.
        output (`str` or `Path`): File to write; gensim reads it by `KeyedVectors.load_word2vec_format`.
        overwrite (`bool`): Replace it if it is there.

    Returns:
        `Path`: `output`.
    """
    vectors = word_vectors(model)
    lines = [f"{len(vectors.words)} {vectors.matrix.shape[1]}"]
    lines += [
        f"{word} {' '.join(f'{value:.8g}' for value in row)}"
        for word, row in zip(vectors.words, vectors.matrix.tolist(), strict=True)
    ]
    with Output(output, "word2vec", inputs=[], settings={}, overwrite=overwrite) as place:
        partial = place.start()
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
        place.finish()
    return Path(output)
