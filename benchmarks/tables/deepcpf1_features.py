"""The field's features of a Cpf1 target, for the classical baselines: letters, GC, melting temperature, folding."""

from __future__ import annotations

import numpy as np

from seqformers.inference.guide_sites import PAM_LENGTH, PROTOSPACER, UPSTREAM

__all__ = ["letter_features", "thermodynamic_features"]

# Direct repeat of AsCpf1's crRNA; it is folded together with the guide.
_DIRECT_REPEAT = "AAUUUCUACUCUUGUAGAU"
_START = UPSTREAM + PAM_LENGTH


def letter_features(codes: np.ndarray) -> np.ndarray:
    """Mono- and dinucleotides by position and in total, and GC: `(n, 34 x 4 + 33 x 16 + 4 + 16 + 3)`.

    GC is the count in the protospacer and its distance above and below 9 letters.
    """
    one = np.eye(5, dtype=np.float32)[codes][..., :4]
    pair = np.where((codes[:, 1:] < 4) & (codes[:, :-1] < 4), codes[:, :-1] * 4 + codes[:, 1:], 16)
    two = np.eye(17, dtype=np.float32)[pair][..., :16]
    guide = codes[:, _START : _START + PROTOSPACER]
    gc = ((guide == 1) | (guide == 2)).sum(1, keepdims=True).astype(np.float32)
    parts = [one.reshape(len(codes), -1), two.reshape(len(codes), -1), one.sum(1), two.sum(1)]
    return np.hstack([*parts, gc, np.maximum(gc - 9, 0), np.maximum(9 - gc, 0)])


def thermodynamic_features(targets: list[str]) -> np.ndarray:
    """Melting temperatures and minimum folding energies: `(n, 7)`.

    Temperatures by primer3 (whole target, protospacer, its first 6, next 8 and last letters), energies by ViennaRNA
    (guide alone, guide behind the direct repeat).
    """
    import primer3
    import RNA

    rows = []
    for target in targets:
        guide = target[_START : _START + PROTOSPACER]
        rna = guide.replace("T", "U")
        heat = [primer3.calc_tm(part) for part in (target, guide, guide[:6], guide[6:14], guide[14:])]
        rows.append([*heat, RNA.fold(rna)[1], RNA.fold(_DIRECT_REPEAT + rna)[1]])
    return np.asarray(rows, dtype=np.float32)
