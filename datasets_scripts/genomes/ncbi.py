"""Genomes as NCBI and GenomeNet publish them: RefSeq's viral release, assembly summaries, and lists of addresses.

Everything is fetched once into a folder, checked where a checksum is published or given, and goes on after a broken
connection; a mirror may stand in for all hosts.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from seqformers.datasets_scripts.common.download import download
from seqformers.datasets_scripts.common.fasta import genome_name, read_fasta
from seqformers.datasets_scripts.common.genomes import GenomeRecord
from seqformers.datasets_scripts.common.sources import mirrored
from seqformers.datasets_scripts.phage.sources import Census, records_of_refseq

__all__ = ["HOSTS", "SUMMARIES", "VIRAL", "Assembly", "Fetcher", "choose", "read_summary", "read_url_list"]

_GENOMES = "https://ftp.ncbi.nlm.nih.gov/genomes/refseq"
SUMMARIES = {
    "bacterium": f"{_GENOMES}/bacteria/assembly_summary.txt",
    "archaeon": f"{_GENOMES}/archaea/assembly_summary.txt",
}
VIRAL = tuple(f"https://ftp.ncbi.nlm.nih.gov/refseq/release/viral/viral.{n}.1.genomic.fna.gz" for n in (1, 2, 3, 4))
HOSTS = "https://www.genome.jp/ftp/db/virushostdb/virushostdb.tsv"
_NEEDED = ("assembly_accession", "refseq_category", "version_status", "assembly_level", "organism_name", "ftp_path")
_PLASMID = re.compile(r"\bplasmid\b", re.IGNORECASE)
_CHECKSUM = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{64}")


class Assembly(NamedTuple):
    """A row of an assembly summary."""

    accession: str
    genus: str
    is_reference: bool
    level: str
    folder: str

    @property
    def file(self) -> str:
        """Name of its genomic FASTA file."""
        return f"{self.folder.rstrip('/').rpartition('/')[2]}_genomic.fna.gz"


def read_summary(path: Path) -> Iterator[Assembly]:
    """The latest assemblies of an `assembly_summary.txt` of NCBI that have files.

    Args:
        path (`Path`): The file; lines of comments begin with `##`, the one of names with `#assembly_accession`.

    Raises:
        ValueError: it has no such columns; the message names the first that is missing.
    """
    columns: dict[str, int] = {}
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            cells = line.rstrip("\n").split("\t")
            if line.startswith("#"):
                names = [name.lstrip("# ") for name in cells]
                columns = {name: place for place, name in enumerate(names)} if len(names) > 2 else columns
                continue
            if missing := [name for name in _NEEDED if name not in columns]:
                raise ValueError(f"{path.name} is no assembly summary of NCBI: no column {missing[0]!r}")
            row = {name: cells[place] if place < len(cells) else "" for name, place in columns.items()}
            if row["version_status"] == "latest" and "://" in row["ftp_path"]:
                folder = row["ftp_path"].replace("ftp://", "https://")
                reference = row["refseq_category"] in ("reference genome", "representative genome")
                level = row["assembly_level"]
                yield Assembly(row["assembly_accession"], _genus(row["organism_name"]), reference, level, folder)


def _genus(organism: str) -> str:
    words = [word for word in re.sub(r"[\[\]'\"]", "", organism).split() if word not in ("Candidatus", "uncultured")]
    return words[0] if words else "unknown"


def choose(
    assemblies: Iterator[Assembly], *, levels: Sequence[str], per_genus: int, most: int, seed: int
) -> list[Assembly]:
    """Some of the assemblies: at most `per_genus` of a genus, references first, and `most` in all (0: no limit).

    Which ones depends on the seed and their accessions alone, not on the order of the file.
    """

    def rank(assembly: Assembly) -> tuple[bool, str]:
        return not assembly.is_reference, hashlib.sha256(f"{seed} {assembly.accession}".encode()).hexdigest()

    taken: Counter[str] = Counter()
    chosen = []
    for assembly in sorted((one for one in assemblies if one.level in levels), key=rank):
        if not per_genus or taken[assembly.genus] < per_genus:
            taken[assembly.genus] += 1
            chosen.append(assembly)
    chosen.sort(key=lambda one: hashlib.sha256(f"{seed} {one.genus} {one.accession}".encode()).hexdigest())
    return sorted(chosen[:most] if most else chosen)


def read_url_list(path: Path) -> list[tuple[str, str | None]]:
    """Addresses and, where given, MD5 or SHA-256 checksums of a list: one a line, blanks between; `#` is a comment.

    Raises:
        ValueError: a line holds something else; the message names it.
    """
    found: list[tuple[str, str | None]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        wrong = len(words) > 2 or "://" not in words[0] or (len(words) == 2 and not _CHECKSUM.fullmatch(words[1]))
        if wrong:
            raise ValueError(f"{path}, line {number}: expected an address and, if known, its MD5 or SHA-256: {line!r}")
        found.append((words[0], words[1] if len(words) == 2 else None))
    if not found:
        raise ValueError(f"{path} lists no address")
    return found


@dataclass
class Fetcher:
    """Where files come from and where they are kept.

    Args:
        folder (`Path`): Where downloads are kept.
        census (`Census`): Counts what is read and left out.
        names (`Sequence[str]`): The classes, in the order of their labels.
        mirror (`str`, *optional*): Stands in for scheme and host of every address.
        checksums (`Mapping[str, str]`): File name -> MD5 or SHA-256 it must have.
    """

    folder: Path
    census: Census
    names: Sequence[str]
    mirror: str | None = None
    checksums: Mapping[str, str] | None = None

    def fetch(self, url: str, place: str, checksum: str | None = None) -> Path:
        """A file, from the folder `place` of the downloads or from its address."""
        name = url.rpartition("/")[2]
        return download(
            mirrored(url, self.mirror), self.folder / place, checksum=checksum or (self.checksums or {}).get(name)
        )

    def viruses(self, urls: Sequence[str], hosts: str, group_rank: str = "genus") -> Iterator[GenomeRecord]:
        """Phages and other viruses of RefSeq's viral release, told apart by Virus-Host DB."""
        fasta = [self.fetch(url, "viral") for url in urls]
        for record in records_of_refseq(fasta, self.fetch(hosts, "viral"), self.census, group_rank=group_rank):
            kind = "phage" if record.label else "virus"
            if kind in self.names:
                yield record._replace(label=self.names.index(kind))
            else:
                self.census.left_out[f"records of the class {kind}, not asked for"] += 1

    def assemblies(self, kind: str, chosen: Sequence[Assembly]) -> Iterator[GenomeRecord]:
        """Chromosomes as `kind` and plasmids as `plasmid` of some assemblies; a genus, plasmids too, is a group."""
        for assembly in chosen:
            place = f"assemblies/{assembly.accession}"
            sums = self.fetch(f"{assembly.folder}/md5checksums.txt", place).read_text(encoding="utf-8")
            pairs = (line.split() for line in sums.splitlines())
            known = {pair[1]: pair[0] for pair in pairs if len(pair) == 2}
            path = self.fetch(f"{assembly.folder}/{assembly.file}", place, known.get(f"./{assembly.file}"))
            for record in read_fasta(path, molecule="dna", remarks=self.census.remarks, report=self.census.letters):
                own = "plasmid" if _PLASMID.search(record.description) else kind
                if own not in self.names:
                    self.census.left_out[f"records of the class {own}, not asked for"] += 1
                    continue
                genome = record.id if own == "plasmid" else assembly.accession
                yield GenomeRecord(record.id, genome, assembly.genus, self.names.index(own), record.sequence)

    def listed(self, kind: str, path: Path) -> Iterator[GenomeRecord]:
        """Genomes of a list of addresses: a file is a genome and, as far as is known, a group."""
        for url, checksum in read_url_list(path):
            file = self.fetch(url, f"lists/{hashlib.sha256(url.encode()).hexdigest()[:16]}", checksum)
            genome = genome_name(file, file.parent)
            for record in read_fasta(file, molecule="dna", remarks=self.census.remarks, report=self.census.letters):
                yield GenomeRecord(record.id, genome, genome, self.names.index(kind), record.sequence)
