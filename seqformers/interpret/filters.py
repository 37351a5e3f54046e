"""What the filters of a first convolution look for: the places that excite them, as motifs, logos and a MEME file.

The motif of a filter is made as in Basset and DeepSEA's followers (Kelley et al. 2016, Methods): the windows whose
activation is above half of the filter's largest one are laid above each other and their letters counted. Works on any
network whose first layer is a convolution over bases; `explain --method filters` is for `seq_cnn`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from seqformers.datasets_scripts.common.remarks import Remarks
from seqformers.files import Output, safe_name, write_text
from seqformers.hub.load import Loaded
from seqformers.inference.engine import known_spans
from seqformers.inference.records import read_sequences
from seqformers.inference.windowing import Span, Windowing, reverse_complement
from seqformers.interpret.output import ResumedTable
from seqformers.interpret.plots import plot_logo
from seqformers.interpret.reading import read_batches
from seqformers.pictures import save_picture

__all__ = ["FilterMotif", "Match", "base_codes", "filter_motifs", "match_motifs", "meme_text", "write_filters"]

_BASES = "ACGT"
_OTHER = 4
_PSEUDO_COUNT = 0.8  # of a column, shared by the background, as in MEME
_SCHEMA: dict[str, type] = {
    "filter": int, "sites": int, "sequences": int, "largest_activation": float, "information": float,
    "consensus": str, "match": str, "p_value": float, "q_value": float, "offset": int, "overlap": int, "strand": str,
}  # fmt: skip

Batches = Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]]


@dataclass(frozen=True)
class FilterMotif:
    """What one filter looks for.

    Args:
        index (`int`): Number of the filter, from 0.
        counts (`np.ndarray` of shape `(width, 4)`): How often A, C, G and T stand at each place of its sites.
        sites (`int`): Windows that excite it.
        sequences (`int`): Sequences that hold at least one.
        largest (`float`): Its largest activation.
    """

    index: int
    counts: np.ndarray
    sites: int
    sequences: int
    largest: float

    @property
    def probabilities(self) -> np.ndarray:
        """Shares of the letters `(width, 4)`, a pseudo-count of 0.8 a place shared evenly."""
        counts = self.counts + _PSEUDO_COUNT / 4
        return counts / counts.sum(1, keepdims=True)

    @property
    def information(self) -> float:
        """Bits of all places together, against even letters, less what few sites show by chance: 0 to twice the width.

        The correction is Schneider's (Schneider et al. 1986, J. Mol. Biol. 188:415): without it a filter that three
        windows excite says more than one of a hundred.
        """
        shares = self.probabilities
        chance = (_OTHER - 1) / (2 * math.log(2)) / np.maximum(self.counts.sum(1), 1)
        return float(np.maximum(2 + (shares * np.log2(shares)).sum(1) - chance, 0).sum())

    @property
    def consensus(self) -> str:
        """The most frequent letter of each place; small where it has less than half of the sites."""
        shares = self.probabilities
        letters = [_BASES[place] for place in shares.argmax(1)]
        return "".join(x if share >= 0.5 else x.lower() for x, share in zip(letters, shares.max(1), strict=True))


def base_codes(sequences: Sequence[str], width: int | None = None) -> np.ndarray:
    """Letters as numbers: A, C, G, T (or U) 0 to 3, anything else and what lies behind the end 4; `(rows, width)`.

    Examples:
        >>> base_codes(["acg", "TN"]).tolist()
        [[0, 1, 2], [3, 4, 4]]
    """
    table = np.full(256, _OTHER, np.uint8)
    for letters in (_BASES, _BASES.lower(), "ACGU", "acgu"):
        table[np.frombuffer(letters.encode(), np.uint8)] = range(4)
    codes = np.full((len(sequences), width or max(map(len, sequences), default=0)), _OTHER, np.uint8)
    for row, letters in zip(codes, sequences, strict=True):
        row[: len(letters)] = table[np.frombuffer(letters.encode("ascii", "replace"), np.uint8)]
    return codes


def filter_motifs(batches: Batches, width: int, *, offset: int = 0, share: float = 0.5) -> list[FilterMotif]:
    """Motifs of all filters of a convolution.

    Args:
        batches (`Callable`): Gives, each time it is called, an iterable of batches: codes `(rows, length)` of
            `base_codes`, and the filters' activations `(rows, filters, places)`, zero or less where there is none.
        width (`int`): Bases that a filter covers.
        offset (`int`, defaults to 0): Base at which the window of place 0 begins; negative with padding.
        share (`float`, defaults to 0.5): A window counts when its activation is above this share of the filter's
            largest one over all batches.

    Returns:
        `list[FilterMotif]`: One a filter, in order; a filter that nothing excites has counts of zero.

    Raises:
        ValueError: `share` is not from 0 to below 1, or there is no batch.

    Examples:
        >>> codes = base_codes(["TTACGTT", "GACGGGG"])
        >>> hits = np.zeros((2, 1, 5)); hits[0, 0, 2] = hits[1, 0, 1] = 1.0
        >>> filter_motifs(lambda: [(codes, hits)], 3)[0].consensus
        'ACG'
    """
    if not 0 <= share < 1:
        raise ValueError(f"share must be from 0 to below 1, got {share}")
    largest = None
    for _, activations in batches():
        highest = activations.max((0, 2), initial=0.0)
        largest = highest if largest is None else np.maximum(largest, highest)
    if largest is None:
        raise ValueError("there is no sequence to look for motifs in")
    filters = len(largest)
    counts = np.zeros((filters, width, _OTHER + 1), np.int64)
    sites, sequences = np.zeros(filters, np.int64), np.zeros(filters, np.int64)
    limit = np.where(largest > 0, share * largest, np.inf)
    for codes, activations in batches():
        rows, which, places = np.nonzero(activations > limit[:, None])
        sites += np.bincount(which, minlength=filters)
        sequences += np.bincount(np.unique(np.column_stack([rows, which]), axis=0)[:, 1], minlength=filters)
        counts += _letters_of_windows(codes, rows, which, places + offset, filters, width)
    found = zip(counts[..., :_OTHER], sites.tolist(), sequences.tolist(), largest.tolist(), strict=True)
    return [FilterMotif(index, *values) for index, values in enumerate(found)]


def _letters_of_windows(
    codes: np.ndarray, rows: np.ndarray, which: np.ndarray, starts: np.ndarray, filters: int, width: int
) -> np.ndarray:
    """Counts `(filters, width, 5)` of letters of windows; what lies outside a sequence is the fifth."""
    columns = starts[:, None] + np.arange(width)
    inside = (columns >= 0) & (columns < codes.shape[1])
    letters = np.where(inside, codes[rows[:, None], columns.clip(0, codes.shape[1] - 1)], _OTHER)
    place = (which[:, None] * width + np.arange(width)) * (_OTHER + 1) + letters
    return np.bincount(place.ravel(), minlength=filters * width * (_OTHER + 1)).reshape(filters, width, -1)


# -- a file of known motifs ------------------------------------------------------------------------------------------


def meme_text(motifs: Sequence[FilterMotif]) -> str:
    """Motifs in MEME's minimal format, those without a site left out."""
    lines = ["MEME version 4", "", "ALPHABET= ACGT", "", "strands: + -", ""]
    lines += ["Background letter frequencies", "A 0.25 C 0.25 G 0.25 T 0.25", ""]
    for motif in motifs:
        if motif.sites:
            lines += [f"MOTIF filter_{motif.index} {motif.consensus}", ""]
            lines += [f"letter-probability matrix: alength= 4 w= {len(motif.counts)} nsites= {motif.sites} E= 0"]
            lines += [" ".join(f"{value:.6f}" for value in row) for row in motif.probabilities] + [""]
    return "\n".join(lines)


@dataclass(frozen=True)
class Match:
    """The known motif that is nearest to one found.

    Args:
        name (`str`): As in the MEME file.
        p_value (`float`): TOMTOM's, of the best offset and strand.
        q_value (`float`): The same after Benjamini-Hochberg over all pairs of found and known motifs.
        offset (`int`): Places that the known motif is moved by.
        overlap (`int`): Places that both have.
        strand (`str`): `+`, or `-` where the known motif is reversed.
    """

    name: str
    p_value: float
    q_value: float
    offset: int
    overlap: int
    strand: str


def match_motifs(motifs: Sequence[np.ndarray], known: str | Path) -> list[Match]:
    """Nearest known motif of each one, by TOMTOM (Gupta et al. 2007) as `memelite` computes it.

    Args:
        motifs (`Sequence[np.ndarray]`): Shares of A, C, G, T, each `(width, 4)`.
        known (`str` or `Path`): File in MEME format, such as JASPAR's.

    Raises:
        ValueError: `memelite` is not installed, or the file holds no motif.
    """
    try:
        from memelite import tomtom
        from memelite.io import read_meme
    except ImportError as error:
        raise ValueError("matching motifs needs memelite: pip install 'seqformers[motifs]'") from error
    from scipy.stats import false_discovery_control

    if not Path(known).is_file():
        raise FileNotFoundError(f"there is no file of motifs {known}")
    try:
        targets = read_meme(str(known))
    except (ValueError, AttributeError, IndexError, UnicodeDecodeError) as error:
        raise ValueError(f"{known} is no file of DNA motifs in MEME format ({error})") from error
    if not targets:
        raise ValueError(f"{known} holds no motif in MEME format (lines MOTIF and letter-probability matrix)")
    names = list(targets)
    found = [np.ascontiguousarray(motif.T) for motif in motifs]
    p_values, _, offsets, overlaps, strands = tomtom(found, list(targets.values()), n_jobs=1)[:5]
    q_values = false_discovery_control(p_values.clip(0, 1), axis=None).reshape(p_values.shape)
    matches = []
    for row, best in enumerate(p_values.argmin(1).tolist()):
        numbers = float(p_values[row, best]), float(q_values[row, best]), int(offsets[row, best])
        strand = "-" if strands[row, best] else "+"
        matches.append(Match(names[best], *numbers, int(overlaps[row, best]), strand))
    return matches


# -- the command -----------------------------------------------------------------------------------------------------


def write_filters(
    loaded: Loaded,
    fasta: str | Path,
    place: Output,
    windowing: Windowing,
    *,
    known: str | Path | None,
    plots: int,
    batch_size: int,
    remarks: Remarks,
    progress: bool,
) -> None:
    """Write `filters.tsv` (one row a filter), `filters.meme` and logos of the most informative filters.

    Args:
        loaded (`Loaded`): A model whose base has `motif_activations` (`seq_cnn`), and its tokenizer.
        fasta (`str` or `Path`): Sequences to look in; all windows are held in memory.
        place (`Output`): Folder to write.
        windowing (`Windowing`): How records are cut.
        known (`str` or `Path`, *optional*): MEME file to match the filters with.
        plots (`int`): Logos of so many filters.
        batch_size (`int`): Windows at a time.
        remarks (`Remarks`): Told of records that cannot be used.
        progress (`bool`): Show a progress bar on stderr.

    Raises:
        ValueError: the model has no filters over bases, or no sequence can be used.
    """
    base = loaded.model.base_model
    if not hasattr(base, "motif_activations"):
        raise ValueError(f"{type(loaded.model).__name__} has no filters over bases; this is for seq_cnn")
    cut = windowing.for_model(loaded)
    spans = []
    for record in read_sequences(fasta, loaded.reading, remarks, progress=progress):
        found = known_spans(record.sequence, cut, loaded)
        spans += [span for span in found if len(span.letters) >= loaded.config.shortest]
        if not found or len(found[-1].letters) < loaded.config.shortest:
            remarks.problem(
                "records left out",
                f"{fasta}: record {record.id!r} has {len(record.sequence)} letters; the model needs "
                f"{loaded.config.shortest} with a known one",
            )
    if not spans:
        raise ValueError(f"{fasta} holds no sequence that {loaded.name} can read")
    partial = place.start()
    _, offset = _activations(loaded, next(iter(read_batches(spans[:1], loaded, 1)))[1])
    motifs = _of_both_strands(loaded, spans, offset, batch_size)
    excited = [motif for motif in motifs if motif.sites]
    matches = match_motifs([motif.probabilities for motif in excited], known) if known and excited else []
    nearest = {motif.index: match for motif, match in zip(excited, matches, strict=False)}
    (partial / "filters.tsv").unlink(missing_ok=True)
    with ResumedTable(partial / "filters.tsv", _SCHEMA) as table:
        table.put(len(motifs), [_row(motif, nearest.get(motif.index)) for motif in motifs])
    write_text(partial / "filters.meme", meme_text(motifs))
    (partial / "plots").mkdir(exist_ok=True)
    for rank, motif in enumerate(sorted(excited, key=lambda each: -each.information)[:plots], 1):
        match = nearest.get(motif.index)
        title = f"filter {motif.index}: {motif.sites} sites" + (f", {match.name}" if match else "")
        name = safe_name(f"{rank:03d}_filter_{motif.index}")
        save_picture(plot_logo(motif.counts, title=title), partial / "plots" / f"{name}.png")


def _activations(loaded: Loaded, inputs: dict[str, Any]) -> tuple[np.ndarray, int]:
    found, offset = loaded.exact.base_model.motif_activations(**inputs)
    return found.cpu().numpy(), offset


def _of_both_strands(loaded: Loaded, spans: Sequence[Span], offset: int, batch_size: int) -> list[FilterMotif]:
    """Motifs of the filters, in both strands where these are shared: the other half of the channels says the same."""
    config = loaded.config
    fixed = config.sequence_length if config.pooling == "flatten" else None
    filters = config.num_filters[0]
    if config.strands == "shared":
        spans = [*spans, *(Span(span.start, reverse_complement(span.letters), True) for span in spans)]
        filters //= 2

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for part, inputs, _, _ in read_batches(spans, loaded, batch_size):
            letters = [span.letters for span in part]
            if fixed:  # shorter rows stand in the middle
                letters = ["N" * ((fixed - len(text)) // 2) + text for text in letters]
            yield base_codes(letters), _activations(loaded, inputs)[0][:, :filters]

    return filter_motifs(batches, config.filter_widths[0], offset=offset)


def _row(motif: FilterMotif, match: Match | None) -> dict[str, Any]:
    values: list[Any] = [motif.index, motif.sites, motif.sequences, round(motif.largest, 6)]
    values += [round(motif.information, 4), motif.consensus] if motif.sites else [None, None]
    if match is not None:
        values += [match.name, match.p_value, match.q_value, match.offset, match.overlap, match.strand]
    return dict(zip_longest(_SCHEMA, values))
