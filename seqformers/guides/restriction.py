"""Recognition sites of restriction enzymes in guides, by the names of Biopython's list (REBASE)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from seqformers.files import did_you_mean

__all__ = ["contains_site", "recognition_sites"]

_BITS = np.zeros(256, np.uint8)
_SETS = {
    "A": "A", "C": "C", "G": "G", "T": "T", "R": "AG", "Y": "CT", "S": "CG", "W": "AT", "K": "GT", "M": "AC",
    "B": "CGT", "D": "AGT", "H": "ACT", "V": "ACG", "N": "ACGT",
}  # fmt: skip
for _bit, _base in enumerate("ACGT"):
    _BITS[ord(_base)] = 1 << _bit
_COMPLEMENT = str.maketrans("ACGTRYSWKMBDHVN", "TGCAYRSWMKVHDBN")


def recognition_sites(names: Iterable[str]) -> dict[str, str]:
    """Enzyme -> what it recognises, in IUPAC letters.

    Raises:
        ValueError: an enzyme that Biopython does not list, or Biopython is not installed.
    """
    try:
        from Bio import Restriction
    except ImportError as error:
        raise ValueError("sites of enzymes by name need Biopython: pip install 'seqformers[guides]'") from error
    known = {str(enzyme): enzyme for enzyme in vars(Restriction)["AllEnzymes"]}
    by_lower = {name.lower(): name for name in known}
    found = {}
    for name in names:
        exact = name if name in known else by_lower.get(name.lower())
        if exact is None:
            hint = did_you_mean(name, known)
            raise ValueError(f"no restriction enzyme {name!r} in Biopython's list; {hint}names are as in BsmBI, EcoRI")
        if not known[exact].site:
            raise ValueError(f"{exact} has no known recognition site in Biopython's list")
        found[exact] = known[exact].site.upper()
    return found


def contains_site(letters: np.ndarray, site: str) -> np.ndarray:
    """Which rows of `(n, width)` ASCII letters hold a recognition site on either strand: `(n,)` of `bool`.

    An unknown letter is never part of a site.

    Examples:
        >>> rows = np.frombuffer(b"AACGTCTCAAAGAGACGAAACGTATCAA", np.uint8).reshape(-1, 14)
        >>> contains_site(rows, "CGTCTC").tolist()
        [True, False]
    """
    bits, found = _BITS[letters], np.zeros(len(letters), bool)
    for text in {site, site.translate(_COMPLEMENT)[::-1]}:
        wanted = np.array([sum(1 << "ACGT".index(base) for base in _SETS[symbol]) for symbol in text], np.uint8)
        for start in range(letters.shape[1] - len(text) + 1):
            found |= ((bits[:, start : start + len(text)] & wanted) != 0).all(1)
    return found
