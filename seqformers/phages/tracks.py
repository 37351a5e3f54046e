"""What stands beside the table: window scores and regions for genome browsers, contigs by class, pictures."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from seqformers.files import safe_name
from seqformers.phages.contig import ContigScore
from seqformers.phages.picture import draw_contig
from seqformers.phages.regions import phage_regions, terminal_repeat
from seqformers.pictures import save_picture

__all__ = ["FastaByClass", "Pictures", "Tracks"]

_PICTURES = 10
_LINE, _LINES = 80, 10_000  # letters of a line, lines at a time


class _Folder:
    """Files of a folder, opened when they are first written to."""

    def __init__(self, folder: Path, least: float):
        self.folder, self.least = folder, least
        self._stack = ExitStack()
        self._files: dict[str, IO[str]] = {}

    def _file(self, name: str, head: str = "") -> IO[str]:
        if name not in self._files:
            self._files[name] = self._stack.enter_context(
                (self.folder / name).open("w", encoding="utf-8", newline="\n")
            )
            self._files[name].write(head)
        return self._files[name]

    def close(self) -> None:
        """Bring everything to the disk."""
        self._stack.close()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: Any) -> None:
        self._stack.close()


class Tracks(_Folder):
    """`phage.bedgraph`, `regions.bed` and `regions.gff3`; names of contigs are as in the FASTA file."""

    def __init__(self, folder: Path, least: float):
        super().__init__(folder, least)
        self._file("phage.bedgraph", 'track type=bedGraph name="phage score" viewLimits=0:1\n')
        self._file("regions.bed")
        self._file("regions.gff3", "##gff-version 3\n")

    def add(self, contig: ContigScore, row: Mapping[str, Any]) -> None:
        """Write the lines of a contig."""
        if contig.scores is None:
            return
        pairs = zip(contig.bounds.tolist(), contig.phage.tolist(), strict=True)
        self._file("phage.bedgraph").writelines(f"{contig.id}\t{a}\t{b}\t{score:.4f}\n" for (a, b), score in pairs)
        name = quote(contig.id, safe="._:-|")
        for number, region in enumerate(phage_regions(contig, self.least), 1):
            label = f"{region.kind}_{number}"
            self._file("regions.bed").write(
                f"{contig.id}\t{region.start}\t{region.end}\t{label}\t{round(region.score * 1000)}\t.\n"
            )
            self._file("regions.gff3").write(
                f"{name}\tseqformers\tmobile_genetic_element\t{region.start + 1}\t{region.end}\t{region.score:.4f}"
                f"\t.\t.\t"
                f"ID={name}:{label};note={region.kind}\n"
            )
        kind, length = terminal_repeat(contig.sequence)
        if kind:
            size, type_of = len(contig.sequence), f"{'direct' if kind == 'direct' else 'inverted'}_repeat"
            for end, (start, stop) in (("left", (1, length)), ("right", (size - length + 1, size))):
                self._file("regions.gff3").write(
                    f"{name}\tseqformers\t{type_of}\t{start}\t{stop}\t.\t.\t.\t"
                    f"ID={name}:{end}_end;note=terminal repeat\n"
                )


class FastaByClass(_Folder):
    """`phage.fasta`, `virus.fasta`, ...: contigs with class, confidence and repeat of their ends in the header."""

    def add(self, contig: ContigScore, row: Mapping[str, Any]) -> None:
        """Write a contig."""
        kind, length = terminal_repeat(contig.sequence)
        repeat = f" terminal_repeat={kind}:{length}" if kind else ""
        scored = f" class={row['class']} confidence={row['confidence']}" if row["class"] else ""
        file = self._file(f"{row['class'] or 'unscored'}.fasta")
        file.write(f">{contig.id}{scored}{repeat}\n")
        for first in range(0, len(contig.sequence), _LINE * _LINES):
            part = contig.sequence[first : first + _LINE * _LINES]
            file.writelines(part[start : start + _LINE] + "\n" for start in range(0, len(part), _LINE))


class Pictures(_Folder):
    """Pictures of the ten longest contigs that are phages or hold a region of one."""

    def __init__(self, folder: Path, least: float):
        super().__init__(folder, least)
        self._kept: list[tuple[int, int, ContigScore, str]] = []
        self._number = self.drawn = 0

    def add(self, contig: ContigScore, row: Mapping[str, Any]) -> None:
        """Remember a contig, if it is among the longest so far."""
        self._number += 1
        if contig.scores is None or not (row["class"] == "phage" or phage_regions(contig, self.least)):
            return
        entry = (len(contig.sequence), -self._number, replace(contig, sequence=""), str(row["class"]))
        heapq.heappush(self._kept, entry)
        if len(self._kept) > _PICTURES:
            heapq.heappop(self._kept)

    def close(self) -> None:
        """Draw."""
        for rank, (_, _, contig, called) in enumerate(sorted(self._kept, reverse=True), 1):
            figure = draw_contig(contig, called, phage_regions(contig, self.least))
            save_picture(figure, self.folder / f"{rank:02d}-{safe_name(contig.id)}.png")
            self.drawn = rank
        self._kept = []
        super().close()
