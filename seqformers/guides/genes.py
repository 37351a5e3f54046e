"""Gene models from a GFF3 file: exons to cut in, and boxes to draw below the guides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from seqformers.datasets_scripts.common.streams import check_source, numbered_lines, text_of
from seqformers.guides.regions import Regions

__all__ = ["Feature", "GeneModels", "read_gff3"]

_DRAWN = ("gene", "pseudogene", "ncRNA_gene", "exon", "CDS")
_COLUMNS = 9


@dataclass(frozen=True)
class Feature:
    """One line of a GFF3 file.

    Args:
        contig (`str`): What it is on.
        kind (`str`): `gene`, `exon`, `CDS`, ...
        start, end (`int`): 0-based, half-open.
        strand (`str`): `+`, `-` or `.`.
        name (`str`): Name, or ID, or nothing.
    """

    contig: str
    kind: str
    start: int
    end: int
    strand: str
    name: str


def read_gff3(source: str | Path) -> Iterator[Feature]:
    """Yield the features of a GFF3 file, plain or compressed, in file order; sequences after `##FASTA` are not read.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is no feature of GFF3; the message names it.
    """
    check_source(source, "GFF3 file")
    for number, line in numbered_lines(source):
        text = text_of(line)[0].rstrip("\r\n")
        if text.startswith("##FASTA") or text.startswith(">"):
            return
        if not text.strip() or text.startswith("#"):
            continue
        yield _feature(f"{source} line {number}", text)


def _feature(where: str, text: str) -> Feature:
    fields = text.split("\t")
    if len(fields) != _COLUMNS:
        raise ValueError(
            f"{where}: {text[:60]!r} has {len(fields)} fields, a feature of GFF3 has {_COLUMNS} separated by tabs"
        )
    start, end = (int(field) if field.isdecimal() else 0 for field in fields[3:5])
    if not 1 <= start <= end:
        raise ValueError(f"{where}: {fields[3]} to {fields[4]} is no place; expected 1 <= start <= end")
    pairs = (pair.partition("=") for pair in fields[8].split(";") if "=" in pair)
    notes = {key.strip(): unquote(value) for key, _, value in pairs}
    name = notes.get("Name") or notes.get("ID") or notes.get("Parent") or ""
    return Feature(unquote(fields[0]), fields[2], start - 1, end, fields[6], name)


class GeneModels:
    """The genes, exons and coding parts of a GFF3 file by contig.

    Args:
        source (`str` or `Path`): The file.

    Raises:
        ValueError: it holds none of them.
    """

    def __init__(self, source: str | Path):
        self.source = str(source)
        self.features: dict[str, list[Feature]] = defaultdict(list)
        for feature in read_gff3(source):
            if feature.kind in _DRAWN:
                self.features[feature.contig].append(feature)
        if not self.features:
            raise ValueError(f"{source} holds no gene, exon or CDS; expected gene models in GFF3")

    def exons(self) -> Regions:
        """Every exon; of a contig without exons its coding parts (as in bacteria), else its genes."""
        regions = {}
        for contig, features in self.features.items():
            for kinds in (("exon",), ("CDS",), ("gene", "pseudogene", "ncRNA_gene")):
                found = [(feature.start, feature.end) for feature in features if feature.kind in kinds]
                if found:
                    regions[contig] = np.array(found, np.int64)
                    break
        return Regions.of(regions, self.source)

    def drawn(self, contig: str) -> list[tuple[str, int, int, str, str]]:
        """Kind (`gene`, `exon`, `CDS`), start, end, strand and name of what lies on a contig."""
        return [
            (feature.kind if feature.kind in ("exon", "CDS") else "gene", feature.start, feature.end, feature.strand,
             feature.name)
            for feature in self.features.get(contig, [])
        ]  # fmt: skip
