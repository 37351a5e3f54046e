"""Group genomes that share sequence, so that near-copies never lie on two sides of a split.

Sketches are sourmash's (FracMinHash of 21-mers, both strands). Two genomes are joined when a twentieth of the smaller
one's words are in the other, groups are what is connected so: a fragment joins its genome, strains of a species and
relatives above some 87 % identity join each other.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sourmash import MinHash

from seqformers.datasets_scripts.common.genomes import GenomeStore

__all__ = ["group_by_similarity", "group_similar_genomes"]

_K = 21
_SHARED = 0.05  # of the words of the smaller genome
_WORDS = 500_000  # kept of all genomes together, about
_FINEST, _COARSEST = 20, 1000
_FEWEST = 20  # words kept of a genome that is small for the scale of all
_NEIGHBOURS = 10  # genomes a word is compared over; more share a word only where they are alike throughout


def group_by_similarity(genomes: Iterable[Iterable[str]], letters: int) -> NDArray[np.int64]:
    """Group of each genome: the index of its first member.

    Args:
        genomes (iterable of iterables of `str`): Records of each genome (DNA, upper case); consumed one at a time.
        letters (`int`): Letters in all, by which the sketches are made finer or coarser.

    Returns:
        `int64` array of shape `(genomes,)`.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> a, b = ("".join(rng.choice(list("ACGT"), 3000)) for _ in range(2))
        >>> group_by_similarity([[a], [b], [a[500:2500]]], 8000).tolist()
        [0, 1, 0]
    """
    scaled = min(max(letters // _WORDS, _FINEST), _COARSEST)
    sketches = [_sketch(records, scaled) for records in genomes]
    sizes = np.array([len(sketch) for sketch in sketches], dtype=np.int64)
    words = np.concatenate([*sketches, np.zeros(0, np.uint64)])
    owner = np.repeat(np.arange(len(sketches), dtype=np.int64), sizes)
    order = np.lexsort((owner, words))
    pairs, shared = _shared_words(words[order], owner[order], len(sketches))
    one, other = np.divmod(pairs, max(1, len(sketches)))
    close = (shared >= _SHARED * np.minimum(sizes[one], sizes[other])) & (shared >= 2)
    links = coo_array((np.ones(int(close.sum())), (one[close], other[close])), shape=(len(sketches),) * 2)
    _, component = connected_components(links, directed=False)
    _, first = np.unique(component, return_index=True)
    return first[component].astype(np.int64)


def group_similar_genomes(store: GenomeStore) -> None:
    """Replace the groups of a store by those of its genomes that share sequence, and say so where there are any."""
    order = np.argsort(store.genome, kind="stable")
    bounds = np.searchsorted(store.genome[order], np.arange(len(store.genome_ids) + 1))
    genomes = (
        (store.sequence(int(record)).tobytes().decode() for record in order[first:last])
        for first, last in pairwise(bounds)
    )
    first = group_by_similarity(genomes, int(store.length.sum()))
    store.groups = [store.genome_ids[i] for i in first]
    groups = len(set(store.groups))
    if groups < len(first):
        warnings.warn(
            f"{len(first):,} genomes are {groups:,} groups of similar sequence, which the splits keep together "
            "(groups=none makes every genome its own)",
            stacklevel=4,
        )


def _sketch(records: Iterable[str], scaled: int) -> NDArray[np.uint64]:
    """Hashes of a genome's words: one in `scaled`, and at least its [`_FEWEST`] smallest."""
    coarse, fewest = MinHash(n=0, ksize=_K, scaled=scaled), MinHash(n=_FEWEST, ksize=_K)
    for sequence in records:
        coarse.add_sequence(sequence, True)
        if len(coarse) < _FEWEST:
            fewest.add_sequence(sequence, True)
    kept = coarse.hashes if len(coarse) >= _FEWEST else {**coarse.hashes, **fewest.hashes}
    return np.fromiter(kept, dtype=np.uint64, count=len(kept))


def _shared_words(
    words: NDArray[np.uint64], owner: NDArray[np.int64], genomes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of genomes (`first * genomes + second`) and how many words they share; words sorted, then owners."""
    pairs, counts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for step in range(1, _NEIGHBOURS + 1):
        same = np.flatnonzero(words[:-step] == words[step:])
        found, count = np.unique(owner[same] * genomes + owner[same + step], return_counts=True)
        pairs.append(found)
        counts.append(count)
    names, place = np.unique(np.concatenate(pairs), return_inverse=True)
    return names, np.bincount(place, weights=np.concatenate(counts), minlength=len(names)).astype(np.int64)
