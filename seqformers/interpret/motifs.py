"""From per-base scores to motifs: regions that stand out, and whether they mark the positive sequences.

The procedure is that of DNABERT's motif tool (Ji et al. 2021, section 3.4): high-scoring regions, hypergeometric
enrichment with each sequence counted once, Benjamini-Hochberg, merging by ungapped alignment, fixed windows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

__all__ = ["Motif", "count_matrix", "discover_motifs", "find_regions", "level", "merge_motifs", "motif_enrichment"]


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
    """A profile with its median taken off: attributions of a whole sequence may all be of one sign, attention is not.

    Examples:
        >>> import numpy as np
        >>> level(np.array([5.0, 5, 9, 5])).tolist()
        [0.0, 0.0, 4.0, 0.0]
    """
    return profile if np.isnan(profile).all() else profile - np.nanmedian(profile)


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
    centres: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for number, (letters, profile, positive) in enumerate(zip(sequences, profiles, is_positive, strict=True)):
        if positive:
            for start, end in find_regions(profile, min_length=min_length):
                centres[letters[start:end]].append((number, (start + end) // 2))
    positives = [letters for letters, flag in zip(sequences, is_positive, strict=True) if flag]
    negatives = [letters for letters, flag in zip(sequences, is_positive, strict=True) if not flag]
    regions = list(centres)
    tested = motif_enrichment(regions, positives, negatives)
    place = {motif: number for number, motif in enumerate(regions)}
    kept = [motif for motif in regions if tested["q_value"][place[motif]] <= q_value]
    found = []
    for name, members in merge_motifs(kept, min_length=min_length).items():
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
                    p_value=float(tested["p_value"][place[name]]),
                    q_value=float(tested["q_value"][place[name]]),
                    windows=around,
                )
            )
    return sorted(found, key=lambda motif: (motif.p_value, motif.sequence))


def _holding(members: Sequence[str], sequences: Sequence[str]) -> int:
    """Sequences that hold at least one of `members`."""
    return sum(any(member in letters for member in members) for letters in sequences)


def count_matrix(windows: Sequence[str], letters: str = "ACGT") -> np.ndarray:
    """How often each letter stands at each place: `(length, len(letters))` counts; other letters count nowhere."""
    table = np.frombuffer("".join(windows).upper().encode("ascii", "replace"), np.uint8).reshape(len(windows), -1)
    return np.stack([(table == ord(letter)).sum(0) for letter in letters], axis=1)
