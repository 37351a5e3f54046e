"""A small made-up virome: two classes of genomes that differ in codon usage but hardly in GC, for demos and tests.

No biology is claimed, but genomes are made of genes, as those of phages are: open from a start to a stop codon, on
either strand in runs, close to each other. So a codon says more where its frame is read than as three letters
anywhere. Genomes come in families of near-identical members, as phages in a collection do, so a split by genome leaks
and a split by family does not.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

__all__ = ["write_virome"]

_CODONS = np.array([[a, b, c] for a in b"ACGT" for b in b"ACGT" for c in b"ACGT"], dtype=np.uint8)
_GC = np.isin(_CODONS, np.frombuffer(b"GC", np.uint8)).sum(axis=1)
_START = _CODONS[14:15]  # ATG
_STOPS = (48, 50, 56)  # TAA, TAG, TGA
_COMPLEMENT = np.zeros(256, np.uint8)
_COMPLEMENT[np.frombuffer(b"ACGT", np.uint8)] = np.frombuffer(b"TGCA", np.uint8)
_SHORTEST_GENE = 40  # codons
_TURNS = 0.2  # of genes lie on the other strand than the one before
_SPACERS = (5, 60)  # letters between genes


def write_virome(
    folder: str | Path,
    *,
    families: int = 12,
    members: int = 3,
    codons: int = 3000,
    difference: float = 0.45,
    mutations: float = 0.05,
    seed: int = 0,
) -> Path:
    """Write `genomes/phage/*.fasta`, `genomes/non-phage/*.fasta` (a file a genome) and `groups.tsv` beside them.

    Args:
        folder (`str` or `Path`): Created when missing.
        families (`int`): Families a class.
        members (`int`): Genomes a family, copies of one ancestor.
        codons (`int`): Codons of a genome; between its genes are some more letters.
        difference (`float`): How far the codon usage of the two classes lies apart (standard deviation of the log
            frequencies that are not shared).
        mutations (`float`): Share of bases that are drawn anew between a member and its ancestor, 0..1; genes stay
            open.
        seed (`int`): The same seed writes the same files.

    Returns:
        `Path`: `folder`; `groups.tsv` has the columns genome and group.

    Examples:
        >>> import tempfile
        >>> folder = write_virome(tempfile.mkdtemp(), families=2, members=1, codons=50)
        >>> sorted(path.name for path in folder.glob("genomes/phage/*"))
        ['phage-00-0.fasta', 'phage-01-0.fasta']
    """
    folder = Path(folder)
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, 0.5, 64)
    lines = ["genome\tgroup"]
    for label in ("non-phage", "phage"):
        genomes = folder / "genomes" / label
        genomes.mkdir(parents=True, exist_ok=True)
        usage = shared + _without_gc(rng.normal(0, difference, 64))
        for family in range(families):
            ancestor = _genes(usage + rng.normal(0, 0.2, 64), codons, rng)
            for member in range(members):
                name = f"{label}-{family:02d}-{member}"
                letters = _genome(ancestor, mutations, rng).tobytes().decode()
                rows = "\n".join(letters[i : i + 80] for i in range(0, len(letters), 80))
                (genomes / f"{name}.fasta").write_text(f">{name} made up\n{rows}\n", encoding="utf-8")
                lines.append(f"{name}\t{label}-{family:02d}")
    (folder / "groups.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def _without_gc(weights: np.ndarray) -> np.ndarray:
    """Take out the mean of every GC class, so that the two classes of genomes do not differ in GC by design."""
    means = np.bincount(_GC, weights) / np.bincount(_GC)
    return weights - means[_GC]


def _genes(usage: np.ndarray, codons: int, rng: np.random.Generator) -> list[tuple[np.ndarray, bool, np.ndarray]]:
    """Genes in order: codons `(length, 3)`, whether they read ahead, and the letters behind them."""
    odds = np.exp(usage)
    odds[list(_STOPS)] = 0
    genes, ahead = [], True
    while codons > 0:
        length = min(codons, _SHORTEST_GENE + int(rng.gamma(2, 70)))
        inside = _CODONS[rng.choice(64, length, p=odds / odds.sum())]
        stop = _CODONS[rng.choice(_STOPS, 1)]
        ahead ^= bool(rng.random() < _TURNS)
        spacer = rng.choice(np.frombuffer(b"ACGT", np.uint8), rng.integers(*_SPACERS))
        genes.append((np.concatenate([_START, inside, stop]), ahead, spacer))
        codons -= length
    return genes


def _genome(
    genes: list[tuple[np.ndarray, bool, np.ndarray]], mutations: float, rng: np.random.Generator
) -> np.ndarray:
    """Letters of a genome whose genes lie some mutations apart from those given, and are as open."""
    parts = []
    for gene, ahead, spacer in genes:
        mutated = _mutate(gene.ravel(), mutations, rng).reshape(-1, 3)
        kept = (
            (mutated[:, None] == _CODONS[list(_STOPS)]).all(axis=2).any(axis=1)
        )  # a stop within, which selection undoes
        kept[[0, -1]] = True
        letters = np.where(kept[:, None], gene, mutated).ravel()
        parts += [letters if ahead else _COMPLEMENT[letters[::-1]], _mutate(spacer, mutations, rng)]
    return np.concatenate(parts)


def _mutate(letters: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    hit = rng.random(len(letters)) < share
    letters = letters.copy()
    letters[hit] = rng.choice(np.frombuffer(b"ACGT", np.uint8), int(hit.sum()))
    return letters
