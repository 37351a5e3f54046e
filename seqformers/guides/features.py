"""What boosted trees read of a Cpf1 guide: letters by position and in total, GC, and melting temperatures.

Everything here is arrays in, arrays out; the structure of the crRNA is in `seqformers.guides.folding`.
"""

from __future__ import annotations

import numpy as np

from seqformers.guides.sites import PAM_LENGTH, PROTOSPACER, UPSTREAM

__all__ = ["MELTING_PARTS", "letter_features", "melting_features", "melting_temperature"]

_START = UPSTREAM + PAM_LENGTH
_UNKNOWN = 4

# Letters whose duplex is melted: the whole target, the protospacer, its seed of six, the next eight, the rest.
MELTING_PARTS = (
    (0, None), (_START, _START + PROTOSPACER), (_START, _START + 6), (_START + 6, _START + 14),
    (_START + 14, _START + PROTOSPACER),
)  # fmt: skip

# Nearest neighbours of DNA duplexes (SantaLucia 1998, PNAS 95:1460): kcal/mol and cal/(mol K) of a step 5'-XY-3'.
_STEPS = {
    "AA": (-7.9, -22.2), "AT": (-7.2, -20.4), "TA": (-7.2, -21.3), "CA": (-8.5, -22.7), "GT": (-8.4, -22.4),
    "CT": (-7.8, -21.0), "GA": (-8.2, -22.2), "CG": (-10.6, -27.2), "GC": (-9.8, -24.4), "GG": (-8.0, -19.9),
}  # fmt: skip
_END = {"A": (2.3, 4.1), "C": (0.1, -2.8), "G": (0.1, -2.8), "T": (2.3, 4.1)}
_GAS = 1.987
_STRANDS = 50e-9  # mol/l of one strand
_SODIUM = 0.05  # mol/l


def letter_features(codes: np.ndarray) -> np.ndarray:
    """Mono- and dinucleotides by position and in total, and GC: `(n, 34 x 4 + 33 x 16 + 4 + 16 + 3)`.

    GC is the count in the protospacer and its distance above and below 9 letters.

    Args:
        codes (`np.ndarray` of shape `(n, 34)`): 0-3 for A, C, G, T; 4 for an unknown letter, which is nowhere counted.
    """
    letters = np.ascontiguousarray(codes.T)
    places, count = letters.shape
    found = np.empty((places * 4 + (places - 1) * 16 + 4 + 16 + 3, count), np.float32)  # a row a column is quicker
    one, two, totals, totals_of_two, gc = np.split(found, np.cumsum([places * 4, (places - 1) * 16, 4, 16]))
    one, two = one.reshape(places, 4, count), two.reshape(places - 1, 4, 4, count)
    one[:] = letters[:, None] == np.arange(4, dtype=np.uint8)[:, None]
    np.multiply(one[:-1, :, None], one[1:, None], out=two)
    totals[:], totals_of_two[:] = one.sum(0), two.sum(0).reshape(16, count)
    gc[0] = one[_START : _START + PROTOSPACER, 1:3].sum((0, 1))
    gc[1], gc[2] = np.maximum(gc[0] - 9, 0), np.maximum(9 - gc[0], 0)
    return found.T


def melting_features(codes: np.ndarray) -> np.ndarray:
    """Melting temperatures of [`MELTING_PARTS`] in degrees Celsius: `(n, 5)`."""
    return np.stack([melting_temperature(codes[:, start:stop]) for start, stop in MELTING_PARTS], 1)


def melting_temperature(codes: np.ndarray) -> np.ndarray:
    """Melting temperature of each row with its complement, degrees Celsius: `(n,)`.

    Nearest neighbours of SantaLucia 1998 at 50 nM of one strand and 50 mM of sodium, entropy corrected by 0.368 a
    phosphate; a step with an unknown letter adds the mean step, so that one N moves the temperature little.

    Examples:
        >>> round(float(melting_temperature(np.array([[0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]]))[0]), 1)
        34.9
    """
    steps, ends = _tables()
    found = steps[np.minimum(codes[:, :-1], _UNKNOWN), np.minimum(codes[:, 1:], _UNKNOWN)].sum(1)
    found = found + ends[codes[:, 0]] + ends[codes[:, -1]]
    heat, entropy = found[:, 0] * 1000, found[:, 1] + 0.368 * (codes.shape[1] - 1) * np.log(_SODIUM)
    return (heat / (entropy + _GAS * np.log(_STRANDS / 4)) - 273.15).astype(np.float32)


def _tables() -> tuple[np.ndarray, np.ndarray]:
    """Heat and entropy of steps, `(5, 5, 2)`, and of ends, `(5, 2)`; the last is of unknown letters."""
    other = dict(zip("ACGT", "TGCA", strict=True))
    both = dict(_STEPS) | {other[step[1]] + other[step[0]]: value for step, value in _STEPS.items()}
    steps, ends = np.zeros((5, 5, 2)), np.zeros((5, 2))
    for first, x in enumerate("ACGT"):
        ends[first] = _END[x]
        for second, y in enumerate("ACGT"):
            steps[first, second] = both[x + y]
    mean = steps[:4, :4].mean((0, 1))
    steps[4], steps[:, 4], ends[4] = mean, mean, ends[:4].mean(0)
    return steps, ends
