"""From per-base scores to motifs: regions that stand out, and whether they mark the positive sequences.

The procedure is that of DNABERT's motif tool (Ji et al. 2021, section 3.4): high-scoring regions, hypergeometric
enrichment with each sequence counted once, Benjamini-Hochberg, merging by ungapped alignment, fixed windows. Beyond it
the parts that regions share are tested: where tokens overlap, a region takes some letters of the surroundings along,
and then no two are alike.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

__all__ = [
    "Motif",
    "count_matrix",
    "discover_motifs",
    "find_regions",
    "level",
    "merge_motifs",
    "motif_enrichment",
    "shared_parts",
]


@dataclass
class Motif:
    """A motif and its evidence.

    Args:
        sequence: The region that names it.
        members: Regions merged into it, itself first.
        positives: Positive sequences that hold one of the members.
        negatives: Negative sequences that do.
        p_value: Of the region that names it; hypergeometric, one-sided.
        q_value: The same after Benjamini-Hochberg.
        windows: Letters around its instances, all of one length.
    """

    sequence: str
    members: list[str]
    positives: int
    negatives: int
    p_value: float
    q_value: float
    windows: list[str] = field(default_factory=list)


def find_regions(scores: np.ndarray, *, min_length: int = 5) -> np.ndarray:
    """Stretches whose scores are above the mean and above 10 times the minimum.

    Args:
        scores (`np.ndarray` of shape `(bases,)`): A profile; NaN counts as low.
        min_length (`int`, defaults to 5): Shortest stretch, in bases.

    Returns:
        `np.ndarray` of shape `(regions, 2)`: half-open `[start, end)`.

    Examples:
        >>> import numpy as np
        >>> find_regions(np.array([0, 0, 3, 4, 3, 5, 3, 0, 0, 9, 0.0])).tolist()
        [[2, 7]]
    """
    if np.isnan(scores).all():
        return np.empty((0, 2), dtype=np.int64)
    high = np.nan_to_num(scores, nan=-np.inf) > max(np.nanmean(scores), 10 * np.nanmin(scores))
    edges = np.diff(np.concatenate([[0], high.astype(np.int8), [0]]))
    regions = np.column_stack([np.nonzero(edges == 1)[0], np.nonzero(edges == -1)[0]])
    return regions[regions[:, 1] - regions[:, 0] >= min_length]


def level(profile: np.ndarray) -> np.ndarray:
    """A profile with its median taken off: attributions of a sequence may all be of one sign, attention nearly even.

    Examples:
        >>> import numpy as np
        >>> level(np.array([5.0, 5, 9, 5])).tolist()
        [0.0, 0.0, 4.0, 0.0]
    """
    return profile if np.isnan(profile).all() else profile - np.nanmedian(profile)


def shared_parts(
    regions: Sequence[str], *, min_length: int = 5, max_length: int = 24, at_least: int = 3
) -> dict[str, list[tuple[int, int]]]:
    """The parts that several regions have in common, each as long as can be.

    Args:
        regions (`Sequence[str]`): Letters of regions.
        min_length (`int`, defaults to 5): Shortest part, in letters.
        max_length (`int`, defaults to 24): Longest part.
        at_least (`int`, defaults to 3): So many regions hold it.

    Returns:
        `dict`: part -> number of each region that holds it, and where in it the part first begins. A part that is
        a letter longer in all of its regions is left out.

    Examples:
        >>> shared_parts(["CGATTACCA", "GATTACCAT", "TTGATTACCAC"])
        {'GATTACCA': [(0, 1), (1, 0), (2, 2)]}
    """
    held: dict[str, dict[int, int]] = defaultdict(dict)
    for number, region in enumerate(regions):
        for length in range(min_length, min(max_length, len(region)) + 1):
            for start in range(len(region) - length + 1):
                held[region[start : start + length]].setdefault(number, start)
    longer: dict[str, int] = defaultdict(int)  # most regions that hold the part and one letter more
    for part, places in held.items():
        if len(part) > min_length:
            for shorter in (part[1:], part[:-1]):
                longer[shorter] = max(longer[shorter], len(places))
    return {
        part: list(places.items())
        for part, places in held.items()
        if len(places) >= at_least and len(places) > longer.get(part, 0)
    }


def motif_enrichment(
    motifs: Sequence[str], positives: Sequence[str], negatives: Sequence[str]
) -> dict[str, np.ndarray]:
    """Test whether motifs occur in more positive sequences than chance would have it.

    Args:
        motifs (`Sequence[str]`): Letters to look for.
        positives (`Sequence[str]`): Sequences of the class; each counts a motif once.
        negatives (`Sequence[str]`): The others.

    Returns:
        `dict`: `positives` and `negatives` (sequences that hold the motif), `p_value` (hypergeometric,
        P(at least so many)) and `q_value` (Benjamini-Hochberg over `motifs`), arrays of one value a motif.

    Examples:
        >>> found = motif_enrichment(["ACGT"], ["ACGTACGT", "TTACGTAA", "GGGGGGGG"], ["CCCCCCCC", "TTTTTTTT"])
        >>> int(found["positives"][0]), round(float(found["p_value"][0]), 6)
        (2, 0.3)
    """
    from scipy.stats import false_discovery_control, hypergeom

    hits = np.array([sum(motif in letters for letters in positives) for motif in motifs], dtype=np.int64)
    misses = np.array([sum(motif in letters for letters in negatives) for motif in motifs], dtype=np.int64)
    total = len(positives) + len(negatives)
    p_values = hypergeom.sf(hits - 1, total, len(positives), hits + misses)
    q_values = false_discovery_control(p_values) if len(motifs) else p_values
    return {"positives": hits, "negatives": misses, "p_value": p_values, "q_value": q_values}


def merge_motifs(motifs: Sequence[str], *, min_length: int = 5) -> dict[str, list[str]]:
    """Group motifs that match when laid side by side without gaps, shorter ones first.

    A motif joins the first group whose name it matches in at least `max(min_length - 1, half the shorter length)`
    letters.

    Returns:
        `dict`: name of the group -> its members, the name first.
    """
    groups: dict[str, list[str]] = {}
    for motif in sorted(motifs, key=len):
        for name, members in groups.items():
            if _matches(motif, name) >= max(min_length - 1, 0.5 * min(len(motif), len(name))):
                members.append(motif)
                break
        else:
            groups[motif] = [motif]
    return groups


def _matches(a: str, b: str) -> int:
    """Most equal letters over all shifts of `a` along `b`."""
    codes_a, codes_b = np.frombuffer(a.encode(), np.uint8), np.frombuffer(b.encode(), np.uint8)
    rows, columns = np.nonzero(codes_a[:, None] == codes_b[None])
    return int(np.bincount(rows - columns + len(b)).max()) if len(rows) else 0


def discover_motifs(
    sequences: Sequence[str],
    profiles: Sequence[np.ndarray],
    is_positive: Sequence[bool],
    *,
    min_length: int = 5,
    q_value: float = 0.005,
    window: int = 24,
    min_instances: int = 3,
) -> list[Motif]:
    """Find motifs of the positive sequences in their profiles.

    Regions are tested first; of those that mark the positive sequences by themselves too seldom, the parts that
    several have in common are tested then, each region counting for one of them.

    Args:
        sequences (`Sequence[str]`): Letters, upper case.
        profiles (`Sequence[np.ndarray]`): One number a base.
        is_positive (`Sequence[bool]`): The class of each sequence.
        min_length (`int`, defaults to 5): Shortest region, in bases.
        q_value (`float`, defaults to 0.005): Largest q-value kept.
        window (`int`, defaults to 24): Bases around an instance's centre; instances at the ends have none.
        min_instances (`int`, defaults to 3): Windows a motif must have.

    Returns:
        `list[Motif]`: Most significant first.
    """
    found_at: list[tuple[int, int, str]] = []
    for number, (letters, profile, positive) in enumerate(zip(sequences, profiles, is_positive, strict=True)):
        if positive:
            regions_here = find_regions(profile, min_length=min_length).tolist()
            found_at += [(number, start, letters[start:end]) for start, end in regions_here]
    positives = [letters for letters, flag in zip(sequences, is_positive, strict=True) if flag]
    negatives = [letters for letters, flag in zip(sequences, is_positive, strict=True) if not flag]
    evidence = _tested(list(dict.fromkeys(region for _, _, region in found_at)), positives, negatives, q_value)
    centres: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for number, start, region in found_at:
        centres[region].append((number, start + len(region) // 2))
    rest = [place for place in found_at if place[2] not in evidence]
    parts = shared_parts(
        [region for _, _, region in rest], min_length=min_length, max_length=window, at_least=min_instances
    )
    taken: set[int] = set()
    for part, values in _tested(list(parts), positives, negatives, q_value).items():
        here = [(place, inside) for place, inside in parts[part] if place not in taken]
        if len(here) >= min_instances:
            evidence[part] = values
            centres[part] = [(rest[place][0], rest[place][1] + inside + len(part) // 2) for place, inside in here]
            taken.update(place for place, _ in here)
    found = []
    for name, members in merge_motifs(list(evidence), min_length=min_length).items():
        around = [
            sequences[number][centre - window // 2 : centre - window // 2 + window]
            for member in members
            for number, centre in centres[member]
            if centre >= window // 2 and centre - window // 2 + window <= len(sequences[number])
        ]
        if len(around) >= min_instances:
            found.append(
                Motif(
                    sequence=name,
                    members=members,
                    positives=_holding(members, positives),
                    negatives=_holding(members, negatives),
                    p_value=evidence[name][0],
                    q_value=evidence[name][1],
                    windows=around,
                )
            )
    return sorted(found, key=lambda motif: (motif.p_value, motif.sequence))


def _tested(
    motifs: Sequence[str], positives: Sequence[str], negatives: Sequence[str], q_value: float
) -> dict[str, tuple[float, float]]:
    """Motifs of a q-value up to `q_value` -> p-value and q-value; most significant first, the longer one of equals."""
    tested = motif_enrichment(motifs, positives, negatives)
    values = zip(motifs, tested["p_value"].tolist(), tested["q_value"].tolist(), strict=True)
    kept = [(motif, p, q) for motif, p, q in values if q <= q_value]
    return {motif: (p, q) for motif, p, q in sorted(kept, key=lambda row: (row[1], -len(row[0]), row[0]))}


def _holding(members: Sequence[str], sequences: Sequence[str]) -> int:
    """Sequences that hold at least one of `members`."""
    return sum(any(member in letters for member in members) for letters in sequences)


def count_matrix(windows: Sequence[str], letters: str = "ACGT") -> np.ndarray:
    """How often each letter stands at each place: `(length, len(letters))` counts; other letters count nowhere."""
    table = np.frombuffer("".join(windows).upper().encode("ascii", "replace"), np.uint8).reshape(len(windows), -1)
    return np.stack([(table == ord(letter)).sum(0) for letter in letters], axis=1)
