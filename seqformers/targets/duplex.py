"""The duplex of a miRNA and a stretch of mRNA, as ViennaRNA folds it (`pip install 'seqformers[rna]'`)."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

__all__ = ["PAIRS", "draw_duplex", "duplex_energy", "energy_version", "fold_duplex"]

PAIRS = ("AU", "UA", "GC", "CG", "GU", "UG")
_LETTERS = np.frombuffer(b"ACGUN", np.uint8)
_UNKNOWN = 4


@cache
def energy_version() -> str | None:
    """Version of ViennaRNA; None where it is not installed."""
    try:
        import RNA  # noqa: F401

        return version("viennarna")
    except (ImportError, PackageNotFoundError):
        return None


def duplex_energy(mirna: np.ndarray, window: np.ndarray) -> float | None:
    """Free energy of the best duplex of the two in kcal/mol (RNAduplex, 37 °C); None where the window is empty.

    Args:
        mirna (`np.ndarray`): Codes of the miRNA, 5'->3'.
        window (`np.ndarray`): Codes of the mRNA's stretch, 5'->3'; unknown letters at its ends are left out.
    """
    import RNA

    letters = _text(window).strip("N")
    return round(float(RNA.duplexfold(_text(mirna), letters).energy), 2) if letters else None


def fold_duplex(mirna: str, stretch: str) -> tuple[list[tuple[int, int]], float]:
    """Pairs of the best duplex and its energy.

    Args:
        mirna (`str`): 5'->3'.
        stretch (`str`): mRNA, 5'->3'.

    Returns:
        tuple: 0-based positions `(in the miRNA, in the stretch)` of each pair from the miRNA's 5' end on; kcal/mol.
    """
    import RNA

    found: Any = RNA.duplexfold(mirna, stretch)
    one, other = found.structure.split("&")
    first = [found.i - len(one) + at for at, mark in enumerate(one) if mark == "("]
    second = [found.j - 1 + at for at, mark in enumerate(other) if mark == ")"]
    return list(zip(first, reversed(second), strict=True)), float(found.energy)


def draw_duplex(mirna: str, stretch: str, pairs: list[tuple[int, int]]) -> tuple[str, str, str]:
    r"""Three lines: the stretch 5'->3' above, marks, the miRNA 3'->5' below; bulges and loops stand against gaps.

    Args:
        mirna (`str`): 5'->3'.
        stretch (`str`): mRNA, 5'->3'.
        pairs: Positions of each pair, from the miRNA's 5' end on.

    Returns:
        `tuple[str, str, str]`: lines of the same length; `|` marks a Watson-Crick pair, `:` a wobble pair.

    Examples:
        >>> print(*draw_duplex("UGAGG", "CCAACA", [(0, 5), (1, 4), (3, 1), (4, 0)]), sep="\n")
        CCAACA
        ||  ||
        GGA-GU
    """
    above: list[str] = []
    marks: list[str] = []
    below: list[str] = []
    mirna_at, at = len(mirna), 0  # from the miRNA's 3' end on
    for one, other in [*reversed(pairs), (-1, len(stretch))]:
        left, right = stretch[at:other], mirna[one + 1 : mirna_at][::-1]
        width = max(len(left), len(right))
        first = not above
        above.append(left.rjust(width) if first else left.ljust(width, "-" if one >= 0 else " "))
        below.append(right.rjust(width) if first else right.ljust(width, "-" if one >= 0 else " "))
        marks.append(" " * width)
        if one >= 0:
            above.append(stretch[other])
            below.append(mirna[one])
            marks.append("|" if stretch[other] + mirna[one] in PAIRS[:4] else ":")
        mirna_at, at = one, other + 1
    return "".join(above), "".join(marks), "".join(below)


def _text(codes: np.ndarray) -> str:
    return _LETTERS[codes].tobytes().decode()
