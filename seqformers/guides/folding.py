"""Secondary structure of the crRNA: how stable it is, and how likely each letter is paired.

The partition function of McCaskill 1990 (Biopolymers 29:1105) over many guides at once, with the nearest-neighbour
energies of Mathews et al. 2004 (PNAS 101:7287) at 37 degrees Celsius. Left out are loops with three helices or more,
bonuses of particular hairpins, and the letters in internal loops, which are priced by their size alone; the tests hold
the features beside ViennaRNA's, `benchmarks/results/speed_best_guides.json` the time of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from seqformers.guides.sites import PAM_LENGTH, PROTOSPACER, UPSTREAM
from seqformers.inference.blocks import whole_blocks

__all__ = ["DIRECT_REPEAT", "STRUCTURE_NAMES", "fold", "structure_features"]

# Direct repeat of AsCpf1's crRNA; it is folded together with the guide.
DIRECT_REPEAT = "AAUUUCUACUCUUGUAGAU"
_REPEAT = len(DIRECT_REPEAT)
_WHOLE = _REPEAT + PROTOSPACER
STRUCTURE_NAMES = (
    "ensemble_energy", *(f"paired_{letter}" for letter in range(_WHOLE)),
    "pairs_repeat_guide", "pairs_repeat", "pairs_guide",
)  # fmt: skip
_GUIDE = slice(UPSTREAM + PAM_LENGTH, UPSTREAM + PAM_LENGTH + PROTOSPACER)
_TILE = 256  # guides folded at once

# Energies in 0.01 kcal/mol. A pair's rows are those of _PAIRS; its neighbours go over A, C, G, U.
_PAIRS = ("CG", "GC", "GU", "UG", "AU", "UA")
_STACKS = (  # of a pair, and of the one inside it read from its 3' side
    (-240, -330, -210, -140, -210, -210), (-330, -340, -250, -150, -220, -240), (-210, -250, 130, -50, -140, -130),
    (-140, -150, -50, 30, -60, -100), (-210, -220, -140, -60, -110, -90), (-210, -240, -130, -100, -90, -130),
)  # fmt: skip
_IN_HAIRPIN = (  # the first letter inside by the last one
    (-150, -150, -140, -150, -100, -110, -100, -80, -230, -150, -240, -150, -100, -140, -100, -210),
    (-110, -150, -130, -150, -110, -70, -110, -50, -250, -150, -220, -150, -110, -100, -110, -160),
    (20, -50, -30, -50, -10, -20, -10, -20, -100, -50, -110, -50, -10, -30, -10, -100),
    (-50, -30, -60, -30, -20, -10, -20, 0, -90, -30, -110, -30, -20, -10, -20, -90),
    (-30, -50, -30, -50, -10, -20, -10, -20, -120, -50, -110, -50, -10, -30, -10, -120),
    (-50, -30, -50, -30, -20, -10, -20, 0, -150, -30, -150, -30, -20, -10, -20, -90),
)
_AT_END = (  # the letter before the pair by the one behind it
    (-110, -110, -160, -110, -150, -70, -150, -100, -130, -110, -140, -110, -150, -50, -150, -70),
    (-150, -100, -140, -100, -150, -110, -150, -140, -140, -100, -160, -100, -150, -80, -150, -120),
    (-100, -70, -50, -70, -80, -60, -80, -60, -110, -70, -80, -70, -80, -50, -80, -50),
    (-30, -60, -60, -60, -100, -70, -100, -80, -80, -60, -80, -60, -100, -70, -100, -60),
    (-100, -70, -110, -70, -80, -60, -80, -60, -110, -70, -120, -70, -80, -50, -80, -50),
    (-80, -60, -80, -60, -100, -70, -100, -80, -80, -60, -80, -60, -100, -70, -100, -80),
)
_WEAK_AT_END, _WEAK_IN_LOOP = 50, 70  # of pairs other than of C and G
_HAIRPIN = (540, 560, 570, 540, 600, 550, 640)  # by size, from 3 on
_BULGE_OF_ONE = 380  # beside the stack of the pairs around it
_BULGE = (280, 320, 360, 400, 440, 460, 470)  # from 2 on
_INTERNAL = (40, 100, 80, 200, 200, 210, 230)  # from 2 on
_UNEVEN, _MOST_UNEVEN = 60, 300
_KT = 61.632  # at 37 degrees Celsius
_CLOSEST = 4  # letters from one of a pair to the other
_UNKNOWN = 4


def structure_features(codes: np.ndarray) -> np.ndarray:
    """`(n, 46)`, columns [`STRUCTURE_NAMES`], for contexts of `(n, 34)` codes 0-3 (4: unknown, never paired).

    The free energy of the ensemble (kcal/mol), the probability of every letter to be paired, and the expected pairs
    between repeat and guide, within the repeat (its stem is what Cpf1 binds) and within the guide.
    """
    repeat = np.array(["ACGU".index(letter) for letter in DIRECT_REPEAT], codes.dtype)
    rna = np.hstack([np.broadcast_to(repeat, (len(codes), _REPEAT)), codes[:, _GUIDE]])
    found = np.empty((len(codes), len(STRUCTURE_NAMES)), np.float32)
    for part, some in whole_blocks(rna, _TILE):
        energy, pairs = fold(some)
        sums = (_sums() @ pairs).T
        sums[:, 0] = energy
        found[part] = sums[: part.stop - part.start]
    return found


@dataclass(frozen=True)
class _Shape:
    """What depends on the length of the RNA alone. Pairs are rows: the closest first, those of a distance 5' to 3'.

    Args:
        first, last (`np.ndarray`): Letters of every pair.
        beginning, ending (`list[np.ndarray]`): Letter -> pairs that it is the first of, or the last.
        of (`tuple[slice, ...]`): Distance between its letters -> rows.
        loops (`dict`): Distance -> rows of the pairs that a loop may have inside, and weights outside x inside.
    """

    first: np.ndarray
    last: np.ndarray
    beginning: list[np.ndarray]
    ending: list[np.ndarray]
    of: tuple[slice, ...]
    loops: dict[int, tuple[slice, np.ndarray]]


@cache
def _shape(length: int) -> _Shape:
    counts = [length - apart if apart >= _CLOSEST else 0 for apart in range(length)]
    ends = np.cumsum(counts).tolist()
    of = tuple(slice(end - count, end) for end, count in zip(ends, counts, strict=True))
    first = np.concatenate([np.arange(count) for count in counts])
    loops = {}
    for apart in range(_CLOSEST + 4, length):
        nearest = max(_CLOSEST, apart - 3 - len(_BULGE))
        inner = slice(of[nearest].start, of[apart - 4].stop)
        energies = np.full((counts[apart], inner.stop - inner.start), np.inf)
        for inside in range(nearest, apart - 3):
            size, at = apart - 2 - inside, np.arange(counts[apart])
            for before in range(size + 1):
                uneven = min(_MOST_UNEVEN, _UNEVEN * abs(size - 2 * before))
                price = _BULGE[size - 2] if before in (0, size) else _INTERNAL[size - 2] + uneven
                energies[at, of[inside].start - inner.start + at + 1 + before] = price
        loops[apart] = inner, _weights(energies)
    last = first + np.repeat(np.arange(length), counts)
    beginning, ending = ([np.flatnonzero(end == letter) for letter in range(length)] for end in (first, last))
    return _Shape(first, last, beginning, ending, of, loops)


def fold(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Free energies (kcal/mol) and pairing probabilities of RNAs of one length.

    Args:
        codes (`np.ndarray` of shape `(n, length)`): 0-3 for A, C, G, U; 4 for an unknown letter, which never pairs.

    Returns:
        `tuple[np.ndarray, np.ndarray]`: `(n,)`, and `(pairs, n)`: the pairs `(0, 4)`, `(1, 5)`, ..., `(0, 5)`, ... of
        letters that are 4 or more apart.

    Examples:
        >>> energy, pairs = fold(np.array([[2, 2, 2, 0, 0, 0, 0, 1, 1, 1]]))  # GGGAAAACCC
        >>> round(float(energy[0]), 1), round(float(pairs.max()), 2)
        (-2.9, 0.94)
    """
    length = codes.shape[1]
    shape, tables = _shape(length), _tables()
    letters = np.full((length + 2, len(codes)), _UNKNOWN, np.intp)
    letters[1:-1] = codes.T
    loops = _weigh_loops(letters, shape)
    inner = _inside(loops, shape)
    ends = tables["end"].take(_keys(letters, shape, 0, 0), mode="clip")
    before, behind = _exterior(inner * ends, shape, length)
    outer = _outside(ends, before, behind, loops, shape)
    outer *= inner
    outer /= before[-1]
    return -_KT / 100 * np.log(before[-1]), outer


@dataclass(frozen=True)
class _Loops:
    """Weights of the loops that pairs close, `(pairs, n)` each.

    Args:
        hairpin, stack (`np.ndarray`): No pair inside, or the next one.
        bulges (`tuple[np.ndarray, np.ndarray]`): One letter left out before the pair inside, or behind it.
        weak (`np.ndarray`): Either end of a longer loop; 0 for letters that do not pair.
    """

    hairpin: np.ndarray
    stack: np.ndarray
    bulges: tuple[np.ndarray, np.ndarray]
    weak: np.ndarray


def _weigh_loops(letters: np.ndarray, shape: _Shape) -> _Loops:
    tables = _tables()
    near = _keys(letters, shape, 1, 1)
    hairpin = tables["hairpin"].take(near, mode="clip")
    hairpin[shape.of[_CLOSEST]] = tables["triloop"].take(near[shape.of[_CLOSEST]], mode="clip")
    for apart in range(_CLOSEST, len(shape.of)):
        hairpin[shape.of[apart]] *= _weights(_hairpin(apart - 1))
    return _Loops(
        hairpin,
        tables["stack"].take(near, mode="clip"),
        (tables["bulge"].take(_keys(letters, shape, 2, 1), mode="clip"),
         tables["bulge"].take(_keys(letters, shape, 1, 2), mode="clip")),
        tables["weak"].take(near, mode="clip"),
    )  # fmt: skip


def _keys(letters: np.ndarray, shape: _Shape, before: int, behind: int) -> np.ndarray:
    """What tells four letters apart, as [`_tables`] has them: each pair, and its letters so many places inwards.

    With no places, the pair is inside, and the letters are those around it.
    """
    first, last = (before, behind) if before else (1, 1)
    left = 25 * (5 * letters[:-first] + letters[first:])
    right = 5 * letters[:-last] + letters[last:]
    start, stop = (1, 1 - last) if before else (0, 1)
    found = np.empty((len(shape.first), letters.shape[1]), np.intp)
    for apart in range(_CLOSEST, len(shape.of)):
        count = len(shape.of) - apart
        np.add(left[start : start + count], right[stop + apart : stop + apart + count], out=found[shape.of[apart]])
    return found


def _inside(loops: _Loops, shape: _Shape) -> np.ndarray:
    """Partition function of what each pair encloses, itself included: `(pairs, n)`."""
    found, as_inner = loops.hairpin, np.empty_like(loops.hairpin)
    for apart in range(_CLOSEST, len(shape.of)):
        rows = shape.of[apart]
        if apart in shape.loops:
            inner, longer = shape.loops[apart]
            found[rows] += (longer @ as_inner[inner]) * loops.weak[rows]
        if apart >= _CLOSEST + 2:
            found[rows] += loops.stack[rows] * found[shape.of[apart - 2]][1:-1]
        if apart >= _CLOSEST + 3:
            near = found[shape.of[apart - 3]]
            found[rows] += loops.bulges[0][rows] * near[2:-1]
            found[rows] += loops.bulges[1][rows] * near[1:-2]
        np.multiply(found[rows], loops.weak[rows], out=as_inner[rows])
    return found


def _exterior(helices: np.ndarray, shape: _Shape, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Partition functions of the letters before each place, and of those from it on: `(length + 1, n)` each."""
    before, behind = (np.ones((length + 1, helices.shape[1]), np.float32) for _ in range(2))
    for place in range(length):
        found = np.einsum("ij,ij->j", helices[shape.ending[place]], before[: max(place - _CLOSEST + 1, 0)][::-1])
        before[place + 1] = before[place] + found
    for place in reversed(range(length)):
        found = np.einsum("ij,ij->j", helices[shape.beginning[place]], behind[place + _CLOSEST + 1 :])
        behind[place] = behind[place + 1] + found
    return before, behind


def _outside(found: np.ndarray, before: np.ndarray, behind: np.ndarray, loops: _Loops, shape: _Shape) -> np.ndarray:
    """Partition function of what is around each pair, `(pairs, n)`, in the place of the weights of helix ends."""
    for apart in range(_CLOSEST, len(shape.of)):
        rows = shape.of[apart]
        found[rows] *= before[: len(shape.of) - apart]
        found[rows] *= behind[apart + 1 :]
    for apart in reversed(range(_CLOSEST + 2, len(shape.of))):
        rows = shape.of[apart]
        found[shape.of[apart - 2]][1:-1] += loops.stack[rows] * found[rows]
        if apart >= _CLOSEST + 3:
            near = found[shape.of[apart - 3]]
            near[2:-1] += loops.bulges[0][rows] * found[rows]
            near[1:-2] += loops.bulges[1][rows] * found[rows]
        if apart in shape.loops:
            inner, longer = shape.loops[apart]
            found[inner] += (longer.T @ (loops.weak[rows] * found[rows])) * loops.weak[inner]
    return found


# Weights of four letters ---------------------------------------------------------------------------------------------


@cache
def _tables() -> dict[str, np.ndarray]:
    """Weights by four letters, 5' to 3', as 125 a + 25 b + 5 c + d: a pair (a, d) and b, c in it, or (b, c) in a, d.

    A stack is the pair (a, d) on (b, c).
    """
    stack = np.full((5, 5, 5, 5), np.inf)
    for outer, energies in zip(_PAIRS, _STACKS, strict=True):
        for inner, energy in zip(_PAIRS, energies, strict=True):
            stack[_code(outer[0]), _code(inner[1]), _code(inner[0]), _code(outer[1])] = energy
    end = _by_pair(_AT_END, _WEAK_AT_END).transpose(
        1, 0, 3, 2
    )  # the letters around a pair in the place of those in it
    plain = [(0,) * 16] * len(_PAIRS)
    found = {
        "hairpin": _by_pair(_IN_HAIRPIN, 0), "triloop": _by_pair(plain, _WEAK_AT_END),
        "weak": _by_pair(plain, _WEAK_IN_LOOP),
        "stack": stack, "bulge": stack + _BULGE_OF_ONE, "end": end,
    }  # fmt: skip
    return {name: _weights(np.ascontiguousarray(energy)).reshape(-1) for name, energy in found.items()}


def _by_pair(rows: object, weak: int) -> np.ndarray:
    """Energies of a pair and its two neighbours, `(5, 5, 5, 5)` by pair, neighbour, neighbour, pair.

    An unknown neighbour has the highest of the energies; an unknown letter in the pair makes it impossible.
    """
    known = np.asarray(rows, float).reshape(len(_PAIRS), 4, 4)
    known = np.concatenate([known, known.max(1, keepdims=True)], 1)
    known = np.concatenate([known, known.max(2, keepdims=True)], 2)
    found = np.full((5, 5, 5, 5), np.inf)
    for pair, energies in zip(_PAIRS, known, strict=True):
        found[_code(pair[0]), :, :, _code(pair[1])] = energies + (0 if set(pair) == set("CG") else weak)
    return found


def _code(letter: str) -> int:
    return "ACGU".index(letter)


def _hairpin(size: int) -> float:
    """Energy of a hairpin of so many letters but for those next to the pair."""
    known = size - 3
    return _HAIRPIN[known] if known < len(_HAIRPIN) else _HAIRPIN[-1] + 1.75 * _KT * float(np.log(size / 9))


def _weights(energies: object) -> np.ndarray:
    return np.exp(-np.asarray(energies, np.float64) / _KT).astype(np.float32)


@cache
def _sums() -> np.ndarray:
    """What a pair of the crRNA counts in, `(46, pairs)`: its letters, and where they lie."""
    shape = _shape(_WHOLE)
    row = np.arange(len(shape.first))
    found = np.zeros((len(STRUCTURE_NAMES), len(row)), np.float32)
    found[1 + shape.first, row] = found[1 + shape.last, row] = 1
    where = np.where(shape.last < _REPEAT, 1, np.where(shape.first >= _REPEAT, 2, 0))
    found[1 + _WHOLE + where, row] = 1
    return found
