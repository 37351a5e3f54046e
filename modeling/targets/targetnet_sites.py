"""Candidate target sites of a miRNA on an mRNA, and their encoding for TargetNet.

Everything works on arrays of windows, of one pair or of many: selection is a bit-parallel longest common subsequence
(ten 16-bit operations a window and row), the alignment is read from its bits, and a site is 2 x 50 small integers.

Source: Min, Lee, Yoon, "TargetNet: functional microRNA target prediction with deep neural networks", Bioinformatics
2022, sections 2.1 and 2.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = [
    "COLUMNS",
    "CRITERIA",
    "DOWNSTREAM",
    "LEAST_PAIRS",
    "SEED",
    "SITE_TYPES",
    "UNKNOWN",
    "WINDOW",
    "SiteBatch",
    "SiteJob",
    "align_seed",
    "canonical_site_types",
    "draw_alignments",
    "encode_rna",
    "find_sites",
    "no_sites",
    "plan_site_jobs",
]

WINDOW = 40
SEED = 10  # the extended seed: miRNA nucleotides 1-10
DOWNSTREAM = 5  # window positions 1-5 counted from its 3' end, before the seed's counterpart
UPSTREAM = WINDOW - SEED - DOWNSTREAM
COLUMNS = 50
GAP = 5  # ids: 0 nothing, 1-4 A C G U, 5 gap
UNKNOWN = 4  # codes of letters: 0-3 A C G U, 4 an ambiguous nucleotide, which pairs with nothing

CRITERIA = ("targetnet", "miraw-6-1:10", "miraw-7-1:10", "miraw-7-2:10", "targetscan", "pita", "all")
# Least number of paired columns each criterion guarantees; a longer alignment leaves less room for the miRNA's tail.
LEAST_PAIRS = {"targetnet": 6, "miraw-6-1:10": 6, "miraw-7-1:10": 7, "miraw-7-2:10": 7}
SITE_TYPES = np.array(["non-canonical", "6mer", "7mer-A1", "7mer-m8", "8mer"])

_CODES = np.full(256, 255, dtype=np.uint8)
for _letters, _code in (("Aa", 0), ("Cc", 1), ("Gg", 2), ("UuTt", 3), ("NRYSWKMBDHVnryswkmbdhv", UNKNOWN)):
    _CODES[np.frombuffer(_letters.encode(), np.uint8)] = _code
_LETTERS = np.frombuffer(b".ACGU-", np.uint8)
_BIT_LENGTH = np.array([value.bit_length() for value in range(1 << SEED)], dtype=np.uint8)
_BELOW = np.array([(1 << bits) - 1 for bits in range(SEED + 1)], dtype=np.uint16)


def encode_rna(sequence: str, name: str = "sequence") -> np.ndarray:
    """Letters as codes: A 0, C 1, G 2, U or T 3 (either case), other IUPAC nucleotide letters 4.

    Args:
        sequence (`str`): RNA or DNA, 5'->3'.
        name (`str`): How an error calls the record.

    Returns:
        `np.ndarray`: uint8, one code a letter.

    Raises:
        ValueError: a letter is no nucleotide; the message names record, letter and position.

    Examples:
        >>> encode_rna("ACGUtN").tolist()
        [0, 1, 2, 3, 3, 4]
    """
    codes = _CODES[np.frombuffer(sequence.encode("ascii", "replace"), np.uint8)]
    wrong = np.flatnonzero(codes == 255)
    if len(wrong):
        at = int(wrong[0])
        hint = " (a protein? here RNA or DNA is read)" if sequence[at].isalpha() else ""
        raise ValueError(f"{name}: {sequence[at]!r} at position {at + 1} is no nucleotide letter{hint}")
    return codes


@dataclass
class SiteBatch:
    """Candidate sites of a batch of pairs, K of them, by pair and then by start.

    Attributes:
        pair (`np.ndarray`): `(K,)` int64, index of the pair.
        start (`np.ndarray`): `(K,)` int64, 0-based start of the 40-nt window on the 5'->3' mRNA.
        pairings (`np.ndarray`): `(K,)` uint8, pairs of the extended-seed alignment, 0-10.
        input_ids (`np.ndarray`): `(K, 2, 50)` uint8 (`(K, 2, 40)` without alignment encoding), row 0 the miRNA 5'->3',
            row 1 the site 3'->5'; 0 nothing, 1-4 A C G U, 5 gap.
        site_type (`np.ndarray`): `(K,)` uint8, 0 non-canonical, 1 6mer, 2 7mer-A1, 3 7mer-m8, 4 8mer.
        seed_matches (`np.ndarray`): `(K, 3)` uint8, bit b (1-5) of the first: nucleotides 2-7 match with nucleotide 2
            opposite base `start + 35 - b`; of the second: and an A stands opposite nucleotide 1; of the third: and
            nucleotide 8 matches.
        num_windows (`int`): Windows looked at.
    """

    pair: np.ndarray
    start: np.ndarray
    pairings: np.ndarray
    input_ids: np.ndarray
    site_type: np.ndarray
    seed_matches: np.ndarray
    num_windows: int

    def __len__(self) -> int:
        return len(self.pair)

    def type_names(self) -> np.ndarray:
        """Names of `site_type`: `(K,)` str."""
        return SITE_TYPES[self.site_type]


def _seed_masks(codes: np.ndarray) -> np.ndarray:
    """Where each letter stands in the ten bases from every position: bit k = base `start + 9 - k`, as 16-bit masks.

    Returns:
        `np.ndarray`: `(4, len(codes) - 9)` uint16, by letter code.
    """
    one = (codes == np.arange(4, dtype=np.uint8)[:, None]).astype(np.uint16)
    two = one[:, 1:] | one[:, :-1] << 1
    four = two[:, 2:] | two[:, :-2] << 2
    eight = four[:, 4:] | four[:, :-4] << 4
    return eight[:, 2:] | two[:, : eight.shape[1] - 2] << 8


def _pair_masks(masks: np.ndarray, *, wobble: bool = True) -> np.ndarray:
    """From letters of the site to what pairs with each letter of the miRNA: `(5, N)` uint16; unknown pairs nothing."""
    a, c, g, u = masks
    return np.stack([u, g, c | u, a | g, a & 0] if wobble else [u, g, c, a, a & 0])


def _row_masks(pairs: np.ndarray, seeds: np.ndarray, owner: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Pairing bits of every seed nucleotide in every window: `(10, N)` uint16."""
    flat, width = pairs.reshape(-1), pairs.shape[1]
    if len(seeds) == 1:
        return np.stack([pairs[letter].take(at) for letter in seeds[0]])
    offsets = seeds.astype(np.intp).T * width
    return np.stack([flat.take(row.take(owner) + at) for row in offsets])


def _fill(rows: np.ndarray) -> np.ndarray:
    """Longest common subsequence under "pairs with", all windows at once, as increments of each table row.

    `S[i, j] - S[i, j-1]` is 0 or 1; Hyyrö's bit-parallel recurrence yields these differences for a whole row of the
    table in a few integer operations (bit j-1 = column j).

    Args:
        rows (`np.ndarray`): `(R, N)` uint16, pairing bits of each miRNA nucleotide.

    Returns:
        `np.ndarray`: `(R, N)` uint16, the increments of rows 1..R.
    """
    increments = np.empty_like(rows)
    open_columns = np.full(rows.shape[1], 0xFFFF, dtype=np.uint16)
    for row, increment in zip(rows, increments, strict=True):
        hit = open_columns & row
        open_columns = (open_columns + hit) | (open_columns & ~row)
        np.bitwise_and(~open_columns, 0x3FF, out=increment)
    return increments


def _trace(rows: np.ndarray, increments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Column of each miRNA and each site nucleotide in the alignment that the original draws.

    Its rule among equal alignments, from the table's last corner: left while the score stays; else diagonally when
    the two pair; else up. Rows are taken whole: the left moves of a row end at its highest increment bit.

    Returns:
        tuple: `(10, N)` uint8 columns of the miRNA's nucleotides and `(10, N)` uint8 columns of the site's.
    """
    count = rows.shape[1]
    j = np.full(count, SEED, dtype=np.uint8)
    mirna_columns = np.empty((SEED, count), dtype=np.uint8)
    unpaired = np.zeros((SEED, count), dtype=np.uint8)  # of the miRNA, left of each site nucleotide
    matched_before = np.bitwise_count(increments[-1]).astype(np.uint8)
    for i in range(SEED - 1, -1, -1):
        j = _BIT_LENGTH.take(increments[i] & _BELOW.take(j))
        paired = ((rows[i] << 1 >> j) & 1).astype(np.uint8)
        j -= paired
        matched_before -= paired
        mirna_columns[i] = j + (i - matched_before)
        bar = j | (paired << 7)  # a paired nucleotide is no gap in the site: out of everybody's reach
        for k in range(SEED):
            unpaired[k] += bar <= k
    site_columns = unpaired + np.arange(SEED, dtype=np.uint8)[:, None]
    return mirna_columns, site_columns


def align_seed(mirna: str, site_reversed: str) -> tuple[str, str, int]:
    """The extended-seed alignment of two 10-mers as the original draws it.

    Args:
        mirna (`str`): miRNA nucleotides 1-10, 5'->3'.
        site_reversed (`str`): The site's ten, 3'->5'.

    Returns:
        tuple: The aligned miRNA, the aligned site, the number of pairs.

    Examples:
        >>> align_seed("UGAGGUAGUA", "ACUCCAUCAU")
        ('UGAGGUAGUA', 'ACUCCAUCAU', 10)
    """
    seed, site = encode_rna(mirna, "miRNA seed"), encode_rna(site_reversed, "site")
    if len(seed) != SEED or len(site) != SEED:
        raise ValueError(f"the extended seed has {SEED} nucleotides; got {len(seed)} and {len(site)}")
    rows = _row_masks(_pair_masks(_seed_masks(site[::-1])), seed[None], np.zeros(1, np.intp), np.zeros(1, np.intp))
    increments = _fill(rows)
    pairs = int(np.bitwise_count(increments[-1])[0])
    drawn = np.full((2, 2 * SEED - pairs), GAP, dtype=np.uint8)
    for track, codes, columns in zip(drawn, (seed, site), _trace(rows, increments), strict=True):
        track[columns[:, 0]] = codes + 1
    top, bottom = (_LETTERS[track].tobytes().decode() for track in drawn)
    return top, bottom, pairs


def _keep(criterion: str, rows: np.ndarray, wc: np.ndarray, pairings: np.ndarray, tail: np.ndarray) -> np.ndarray:
    """Which windows a selection criterion keeps, `(N,)` bool.

    Watson-Crick rules hold at the fixed register: nucleotide i opposite window position 5 + i.
    """
    if criterion == "all":
        return np.ones(len(pairings), dtype=bool)
    if criterion in ("targetnet", "miraw-6-1:10"):
        return pairings >= 6
    if criterion == "miraw-7-1:10":
        return pairings >= 7
    if criterion == "miraw-7-2:10":
        return np.bitwise_count(_fill(rows[1:])[-1]) >= 7
    register = np.stack([(row >> i) & 1 for i, row in enumerate(wc)]).astype(bool)
    if criterion == "pita":
        return np.any([register[:7].all(0), register[1:8].all(0), register.sum(0) >= 7], axis=0)
    register = np.concatenate([register, tail])
    runs = ((1, 7), (12, 15), (13, 16), (3, 14), (4, 15))
    return np.any([register[begin:end].all(0) for begin, end in runs], axis=0)


def canonical_site_types(wc: np.ndarray, opposite_one_is_a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Canonical seed matches inside the ten bases opposite the extended seed (Bartel 2009), wherever they stand.

    A gap in the alignment may shift the register, so every place of the 6-mer inside the ten is looked at.

    Args:
        wc (`np.ndarray`): `(10, N)` uint16, Watson-Crick bits of nucleotides 1-10 over twelve bases: bit k + 1 is
            the k-th base (0-based) opposite the seed.
        opposite_one_is_a (`np.ndarray`): `(N,)` uint16, the same bits for "this base is A".

    Returns:
        tuple: `(N,)` uint8 best type, 0 none, 1 6mer (2-7), 2 7mer-A1, 3 7mer-m8 (2-8), 4 8mer; and `(N, 3)` uint8
        bits of nucleotide 2 of all matches: 6-mers, those of them with A1, with m8.
    """
    six = wc[1]
    for i in range(2, 7):
        six = six & (wc[i] >> (i - 1))
    six = six & 0b111110  # nucleotide 2 opposite bits 1-5, so that nucleotide 7 is at bit 10 at most
    m8 = six & (wc[7] >> 6)
    a1 = six & (opposite_one_is_a << 1)
    kinds = np.where(six > 0, 1, 0).astype(np.uint8)
    kinds[a1 > 0] = 2
    kinds[m8 > 0] = 3
    kinds[(a1 & m8) > 0] = 4
    return kinds, np.column_stack([six, a1, m8]).astype(np.uint8)


def find_sites(
    mirnas: Sequence[np.ndarray],
    segments: Sequence[np.ndarray],
    owners: Sequence[int] | np.ndarray,
    *,
    criterion: str = "targetnet",
    step: int = 1,
    encode_alignment: bool = True,
) -> SiteBatch:
    """Select and encode the candidate sites of a batch of pairs, all windows at once.

    Args:
        mirnas (`Sequence[np.ndarray]`): Codes of the miRNAs (from `encode_rna`), each 10 nt or longer.
        segments (`Sequence[np.ndarray]`): Codes of the mRNAs, one a pair; those under 40 nt have no window.
        owners (`Sequence[int]`): For each pair the index of its miRNA.
        criterion (`str`): One of `CRITERIA`; `"all"` keeps every window, as the original does in training.
        step (`int`): Distance of windows, counted from the mRNA's 3' end.
        encode_alignment (`bool`): With the extended-seed alignment drawn into the encoding, or plain rows.

    Returns:
        `SiteBatch`: sites by pair and then by start.

    Raises:
        ValueError: a miRNA is too long for the 50 (40) columns of the encoding.

    Examples:
        >>> mirna, mrna = encode_rna("UGAGGUAGUAGGUUGUAUAGUU"), encode_rna("A" * 25 + "CUACCUCA" + "G" * 10)
        >>> sites = find_sites([mirna], [mrna], [0])
        >>> sites.start.tolist(), sites.pairings.tolist()
        ([0, 1, 2], [8, 7, 6])
    """
    lengths = np.array([len(segment) for segment in segments], dtype=np.int64)
    windows = np.maximum(lengths - WINDOW + 1, 0)
    pair, start = _enumerate_windows(lengths, windows, step)
    num_windows = len(pair)
    if not num_windows:
        return no_sites(encode_alignment)
    # One run of codes; the extra base at its end stands for "after the last mRNA", the next segment after others.
    codes = np.concatenate([*segments, np.full(2, UNKNOWN, np.uint8)])
    first = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    at = start + first[pair]
    owner = np.asarray(owners, dtype=np.intp)[pair]
    seeds = np.stack([mirna[:SEED] for mirna in mirnas])
    masks = _seed_masks(codes)
    rows = _row_masks(_pair_masks(masks), seeds, owner, at + UPSTREAM)
    increments = _fill(rows)
    pairings = np.bitwise_count(increments[-1])
    kept = np.flatnonzero(_select(criterion, rows, pairings, masks, mirnas, seeds, owner, at, codes))
    if len(kept) < num_windows:
        rows, increments, pairings = rows[:, kept], increments[:, kept], pairings[kept]
        pair, start, at, owner = pair[kept], start[kept], at[kept], owner[kept]
    types, matches = _site_types(masks, codes, seeds, owner, at)
    if encode_alignment:
        ids = _encode_aligned(codes, at, mirnas, owner, seeds, rows, increments, pairings)
    else:
        ids = _encode_plain(codes, at, mirnas, owner)
    return SiteBatch(pair, start, pairings, ids, types, matches, num_windows)


def no_sites(encode_alignment: bool) -> SiteBatch:
    """The batch of sites of no pair at all, encoded with or without alignment."""
    none, matches = np.zeros(0, dtype=np.int64), np.zeros((0, 3), dtype=np.uint8)
    ids = np.zeros((0, 2, COLUMNS if encode_alignment else WINDOW), dtype=np.uint8)
    return SiteBatch(none, none, none.astype(np.uint8), ids, none.astype(np.uint8), matches, 0)


def _enumerate_windows(lengths: np.ndarray, windows: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Pair index and start of every window; with a step, those whose distance from the 3' end is a multiple of it."""
    pair = np.repeat(np.arange(len(lengths)), windows)
    start = np.arange(len(pair)) - np.repeat(np.cumsum(windows) - windows, windows)
    if step != 1:
        kept = (lengths[pair] - WINDOW - start) % step == 0
        pair, start = pair[kept], start[kept]
    return pair, start


def _select(
    criterion: str,
    rows: np.ndarray,
    pairings: np.ndarray,
    masks: np.ndarray,
    mirnas: Sequence[np.ndarray],
    seeds: np.ndarray,
    owner: np.ndarray,
    at: np.ndarray,
    codes: np.ndarray,
) -> np.ndarray:
    wc = tail = np.zeros((0, len(at)), dtype=bool)
    if criterion in ("targetscan", "pita"):
        wc = _row_masks(_pair_masks(masks, wobble=False), seeds, owner, at + UPSTREAM)
    if criterion == "targetscan":
        rest = _tails(mirnas)[:, :6]  # nucleotides 11-16, codes + 1, 0 where the miRNA has ended
        opposite = codes[at + UPSTREAM - 1 - np.arange(6)[:, None]]
        tail = (rest[owner].T + opposite == 4) & (opposite < UNKNOWN) & (rest[owner].T > 0)
    return _keep(criterion, rows, wc, pairings, tail)


def _site_types(
    masks: np.ndarray, codes: np.ndarray, seeds: np.ndarray, owner: np.ndarray, at: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Canonical types and seed matches of the kept windows; one base beside the ten may complete an 8mer."""
    wc = _row_masks(_pair_masks(masks, wobble=False), seeds, owner, at + UPSTREAM).astype(np.uint16) << 1
    complement = np.append(3 - np.arange(4), [9, 9]).astype(np.uint8)
    wc[7] |= (codes[at + UPSTREAM - 1] == complement[seeds[owner, 7]]).astype(np.uint16) << 11
    is_a = masks[0].take(at + UPSTREAM) << 1 | (codes[at + UPSTREAM + SEED] == 0)
    return canonical_site_types(wc, is_a)


def _tails(mirnas: Sequence[np.ndarray]) -> np.ndarray:
    """Nucleotides 11.. of each miRNA as ids, zero after its end: `(M, T)` uint8, T >= 6."""
    tails = np.zeros((len(mirnas), max(6, *(len(mirna) - SEED for mirna in mirnas))), dtype=np.uint8)
    for row, mirna in zip(tails, mirnas, strict=True):
        row[: len(mirna) - SEED] = _ids(mirna[SEED:])
    return tails


def _ids(codes: np.ndarray) -> np.ndarray:
    """Codes to ids: letters 1-4, an unknown letter 0 like an empty column."""
    return (codes + 1) * (codes < UNKNOWN)


def _encode_aligned(
    codes: np.ndarray,
    at: np.ndarray,
    mirnas: Sequence[np.ndarray],
    owner: np.ndarray,
    seeds: np.ndarray,
    rows: np.ndarray,
    increments: np.ndarray,
    pairings: np.ndarray,
) -> np.ndarray:
    """`(K, 2, 50)`: five downstream bases, the aligned seed from column 5, then both tails side by side."""
    length = 2 * SEED - pairings.astype(np.intp)
    mirna_lengths = np.array([len(mirna) for mirna in mirnas])
    room = DOWNSTREAM + length + mirna_lengths[owner] - SEED
    if len(room) and room.max() > COLUMNS:
        longest = int(mirna_lengths[owner[int(room.argmax())]])
        raise ValueError(f"a miRNA of {longest} nt does not fit the {COLUMNS} columns of the encoding; at most 41 fit")
    tails = _tails(mirnas)
    width = tails.shape[1]
    count = len(at)
    ids = np.zeros((count, 2, COLUMNS + width), dtype=np.uint8)  # a margin for the zeros after short tails
    flat, stride = ids.reshape(-1), COLUMNS + width
    ids[:, :, DOWNSTREAM : DOWNSTREAM + 2 * SEED - (int(pairings.min()) if count else 0)] = GAP
    letters = _ids(codes)
    upper = np.arange(count) * (2 * stride) + DOWNSTREAM
    lower = upper + stride
    for k in range(DOWNSTREAM):
        ids[:, 1, k] = letters.take(at + (WINDOW - 1 - k))
    mirna_columns, site_columns = _trace(rows, increments)
    seed_ids = _ids(seeds)
    for k in range(SEED):
        flat[upper + mirna_columns[k]] = seed_ids[:, k].take(owner)
        flat[lower + site_columns[k]] = letters.take(at + (WINDOW - 1 - DOWNSTREAM - k))
    after = DOWNSTREAM + length
    for total in np.unique(after):
        group = np.flatnonzero(after == total)
        ids[group, 0, total:] = 0
        ids[group, 0, total : total + width] = tails[owner[group]]
        upstream = letters.take((at[group] + (UPSTREAM - 1))[:, None] - np.arange(UPSTREAM))
        ids[group, 1, total : total + UPSTREAM] = upstream
        ids[group, 1, total + UPSTREAM :] = 0
    return np.ascontiguousarray(ids[:, :, :COLUMNS])


def _encode_plain(codes: np.ndarray, at: np.ndarray, mirnas: Sequence[np.ndarray], owner: np.ndarray) -> np.ndarray:
    """`(K, 2, 40)`, the ablation without alignment: the miRNA from column 5, the reversed window from column 0."""
    longest = max(len(mirna) for mirna in mirnas)
    if longest > WINDOW - DOWNSTREAM:
        raise ValueError(f"a miRNA of {longest} nt does not fit; without alignment encoding at most 35 fit")
    rows = np.zeros((len(mirnas), WINDOW), dtype=np.uint8)
    for row, mirna in zip(rows, mirnas, strict=True):
        row[DOWNSTREAM : DOWNSTREAM + len(mirna)] = _ids(mirna)
    windows = _ids(codes).take((at + WINDOW - 1)[:, None] - np.arange(WINDOW))
    return np.stack([rows[owner], windows], axis=1)


def draw_alignments(input_ids: np.ndarray, pairings: np.ndarray) -> list[str]:
    """Draw the extended-seed alignments of sites: `miRNA 5'->3' / marks / site 3'->5'` in one line each.

    Args:
        input_ids (`np.ndarray`): `(K, 2, 50)` ids of sites encoded with alignment.
        pairings (`np.ndarray`): `(K,)` number of pairs.

    Returns:
        `list[str]`: `|` marks a Watson-Crick pair, `:` a wobble pair, `.` a gap.

    Examples:
        >>> mirna, mrna = encode_rna("UGAGGUAGUAGGUUGUAUAGUU"), encode_rna("A" * 25 + "UACUACUUCA" + "G" * 5)
        >>> sites = find_sites([mirna], [mrna], [0])
        >>> draw_alignments(sites.input_ids, sites.pairings)
        ['UGAGGUAGUA/|||:||||||/ACUUCAUCAU']
    """
    marks = np.full((6, 6), ord("."), dtype=np.uint8)
    for pair, mark in (("14", "|"), ("41", "|"), ("23", "|"), ("32", "|"), ("34", ":"), ("43", ":")):
        marks[int(pair[0]), int(pair[1])] = ord(mark)
    drawn = []
    aligned = input_ids[:, :, DOWNSTREAM : DOWNSTREAM + 2 * SEED]
    tracks = np.stack([_LETTERS[aligned[:, 0]], marks[aligned[:, 0], aligned[:, 1]], _LETTERS[aligned[:, 1]]], axis=1)
    for site, length in zip(tracks, (2 * SEED - pairings.astype(int)).tolist(), strict=True):
        drawn.append(b"/".join(track[:length].tobytes() for track in site).decode())
    return drawn


@dataclass
class SiteJob:
    """Pairs, or stretches of long mRNAs, whose sites are found in one go; see `plan_site_jobs`.

    Attributes:
        ended (`list[int]`): Numbers of the pairs whose last stretch is here.
    """

    mirnas: list[int]
    segments: list[np.ndarray]
    numbers: list[int]
    begins: list[int]
    ended: list[int]

    def find(self, mirnas: Sequence[np.ndarray], **options: Any) -> SiteBatch:
        """`find_sites` on this job; `pair` holds pair numbers and `start` counts on the whole mRNA."""
        used, owners = np.unique(self.mirnas, return_inverse=True)
        sites = find_sites([mirnas[index] for index in used], self.segments, owners, **options)
        sites.start = sites.start + np.array(self.begins, dtype=np.int64)[sites.pair]
        sites.pair = np.array(self.numbers, dtype=np.int64)[sites.pair]
        return sites


def plan_site_jobs(
    mrnas: Sequence[np.ndarray], pairs: Iterable[tuple[int, int]], *, max_windows: int = 16_384, step: int = 1
) -> Iterator[SiteJob]:
    """Cut a stream of pairs into jobs of at most `max_windows` windows; a long mRNA is spread over several.

    Args:
        mrnas (`Sequence[np.ndarray]`): Codes of the mRNAs; anything indexable, read pair by pair.
        pairs (`Iterable[tuple[int, int]]`): miRNA and mRNA index of each pair, in order.
        max_windows (`int`): Windows a job.
        step (`int`): Distance of windows; cuts keep to its grid.

    Yields:
        `SiteJob`: together all pairs, in order.
    """
    job, room = SiteJob([], [], [], [], []), max_windows
    for number, (mirna, mrna) in enumerate(pairs):
        codes, begin = mrnas[mrna], 0
        windows = max(len(codes) - WINDOW + 1, 0)
        if len(job.segments) >= max_windows:  # mRNAs without any window must not pile up either
            yield job
            job, room = SiteJob([], [], [], [], []), max(max_windows, step)
        while windows - begin > room:
            # The grid counts from the 3' end, so what remains must be a multiple of the step.
            take = room - (room - (windows - begin)) % step
            if take > 0:
                _add(job, mirna, codes[begin : begin + take + WINDOW - 1], number, begin)
                begin += take
            yield job
            job, room = SiteJob([], [], [], [], []), max(max_windows, step)
        _add(job, mirna, codes[begin:], number, begin)
        job.ended.append(number)
        room -= windows - begin
    if job.segments:
        yield job


def _add(job: SiteJob, mirna: int, segment: np.ndarray, number: int, begin: int) -> None:
    job.mirnas.append(mirna)
    job.segments.append(segment)
    job.numbers.append(number)
    job.begins.append(begin)
