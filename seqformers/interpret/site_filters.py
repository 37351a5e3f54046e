"""What the first filters of a TargetNet look for: windows of an alignment, a motif of the miRNA and one of the site.

A filter covers some columns of the drawn alignment, the miRNA 5'->3' above the site 3'->5'. Motifs are made as in
`filters`; gaps and empty columns count as no letter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seqformers.datasets_scripts.common.remarks import Remarks
from seqformers.datasets_scripts.common.tables import open_table
from seqformers.files import Output, safe_name
from seqformers.hub.load import Loaded
from seqformers.interpret.filters import FilterMotif, filter_motifs
from seqformers.interpret.output import ResumedTable
from seqformers.interpret.plots import plot_logo
from seqformers.pictures import save_picture

__all__ = ["site_filter_motifs", "write_site_filters"]

_PAIRS_AT_ONCE = 256
_PARTS = ("mirna", "target")
_SCHEMA: dict[str, type] = {
    "filter": int, "windows": int, "sites": int, "largest_activation": float, "mirna_consensus": str,
    "mirna_information": float, "target_consensus": str, "target_information": float,
}  # fmt: skip


def site_filter_motifs(loaded: Loaded, pairs: Sequence[tuple[str, str]]) -> list[tuple[FilterMotif, FilterMotif]]:
    """Motifs of the first convolution's filters over the candidate sites of pairs.

    Args:
        loaded (`Loaded`): A TargetNet and its processor.
        pairs (`Sequence[tuple[str, str]]`): miRNA and mRNA (or site), both 5'->3'.

    Returns:
        `list`: For each filter the motif of the miRNA and that of the site, of the same windows.

    Raises:
        ValueError: a sequence cannot be read, or no pair has a candidate site.
    """
    convolution = loaded.model.stem.convs[0]

    def batches(part: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(pairs), _PAIRS_AT_ONCE):
            mirnas, targets = zip(*pairs[start : start + _PAIRS_AT_ONCE], strict=True)
            ids = loaded.encoder(mirnas, targets)["input_ids"].to(loaded.device)
            if not len(ids):
                continue
            with torch.inference_mode():
                found = convolution(loaded.model.embed(ids).unsqueeze(2)).squeeze(2).relu()
            letters = ids[:, part].cpu().numpy().astype(np.int64)  # 0 empty, 1 to 4 A C G U, 5 gap
            yield np.where((letters > 0) & (letters < 5), letters - 1, 4), found.cpu().numpy()

    width, offset = convolution.kernel_size[0], -convolution.left
    try:
        found = [filter_motifs(lambda part=part: batches(part), width, offset=offset) for part in (0, 1)]  # type: ignore[misc]
    except ValueError as error:
        raise ValueError("no pair has a candidate site; give pairs with a seed match") from error
    return list(zip(*found, strict=True))


def write_site_filters(loaded: Loaded, table: str | Path, place: Output, *, plots: int, remarks: Remarks) -> None:
    """Write `filters.tsv` (one row a filter) and logos of the most informative filters, two each.

    Args:
        loaded (`Loaded`): A TargetNet and its processor.
        table (`str` or `Path`): Table with the columns `mirna` and `target`, sequences 5'->3'.
        place (`Output`): Folder to write.
        plots (`int`): Logos of so many filters.
        remarks (`Remarks`): Told of rows that cannot be read.

    Raises:
        ValueError: a column is missing, or no pair has a candidate site.
    """
    rows = open_table(table, required=_PARTS, text=_PARTS, on_error=remarks.on_error, remarks=remarks)
    pairs = [(row["mirna"], row["target"]) for _, row in rows.rows()]
    if not pairs:
        raise ValueError(f"{table} holds no pair; it needs the columns mirna and target")
    motifs = site_filter_motifs(loaded, pairs)
    partial = place.start()
    (partial / "filters.tsv").unlink(missing_ok=True)
    with ResumedTable(partial / "filters.tsv", _SCHEMA) as written:
        written.put(len(motifs), [_row(*both) for both in motifs])
    (partial / "plots").mkdir(exist_ok=True)
    excited = [both for both in motifs if both[0].sites]
    excited.sort(key=lambda both: -(both[0].information + both[1].information))
    for rank, both in enumerate(excited[:plots], 1):
        for part, motif in zip(_PARTS, both, strict=True):
            title = f"filter {motif.index}, {part} {'5' if part == 'mirna' else '3'}'->: {motif.sites} windows"
            name = safe_name(f"{rank:03d}_filter_{motif.index}_{part}")
            save_picture(plot_logo(motif.counts, letters="ACGU", title=title), partial / "plots" / f"{name}.png")


def _row(mirna: FilterMotif, target: FilterMotif) -> dict[str, Any]:
    row: dict[str, Any] = {
        "filter": mirna.index, "windows": mirna.sites, "sites": mirna.sequences,
        "largest_activation": round(mirna.largest, 6),
    }  # fmt: skip
    for part, motif in zip(_PARTS, (mirna, target), strict=True):
        row[f"{part}_consensus"] = motif.consensus.replace("T", "U").replace("t", "u") if motif.sites else None
        row[f"{part}_information"] = round(motif.information, 4) if motif.sites else None
    return {name: row[name] for name in _SCHEMA}
