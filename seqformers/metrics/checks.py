"""What every metric refuses: a name that does not exist, outputs that are no numbers."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import numpy as np

__all__ = ["known_names", "refuse_not_finite"]


def known_names(names: Iterable[str], known: Iterable[str], kind: str) -> list[str]:
    """Return `names` as a list, or raise `ValueError` for one that is not among the `known` ones of this kind."""
    names, known = list(names), list(known)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"no metric {name!r} for {kind}; {hint}known: {', '.join(known)}")
    return names


def refuse_not_finite(values: np.ndarray) -> None:
    """Raise `ValueError` naming the first row of `values` that holds NaN or infinity."""
    bad = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{int(bad.sum())} of {len(values)} outputs are NaN or infinite (first: row {int(np.argmax(bad))}); "
            "training has diverged: lower the learning rate"
        )
