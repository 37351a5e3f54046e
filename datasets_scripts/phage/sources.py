"""Where genomes come from: folders of FASTA files, tables, or NCBI's RefSeq viral release with Virus-Host DB.

Every source is a stream of `GenomeRecord`; a `Census` counts what was read and what was left out, and why.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seqformers.datasets_scripts.common.fasta import fasta_files, is_fasta, read_fasta
from seqformers.datasets_scripts.common.genomes import GenomeRecord
from seqformers.datasets_scripts.common.letters import LetterReport, check_letters

__all__ = ["LABEL_NAMES", "Census", "label_of", "records_of_fasta", "records_of_refseq", "records_of_tables"]

LABEL_NAMES = ("non-phage", "phage")
UNKNOWN = -1

_TABLE_SUFFIXES = (".tsv", ".csv", ".parquet")
_COLUMNS = {
    "sequence": ("sequence", "seq"),
    "label": ("label", "is_phage", "class"),
    "group": ("group", "cluster", "family"),
    "genome_id": ("genome_id", "genome", "accession", "id"),
}


@dataclass
class Census:
    """What a source held: letters, and records left out by reason."""

    letters: LetterReport = field(default_factory=LetterReport)
    left_out: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """The counts as plain values for the report."""
        return {"letters": self.letters.as_dict(), "left_out": dict(self.left_out)}


def label_of(value: Any, where: str) -> int:
    """Read a class label: 0/1, true/false, or a name that says phage or not.

    Args:
        value (`Any`): Content of a table cell or name of a folder.
        where (`str`): How an error names it.

    Examples:
        >>> [label_of(name, "here") for name in ("phage", "non-phage", "viral-no-phage_1_3", True, 0)]
        [1, 0, 0, 1, 0]
    """
    if value is None or value != value or str(value).strip() == "":
        raise ValueError(f"{where}: the label is missing; every genome needs one of {', '.join(LABEL_NAMES)}")
    text = str(value).strip().lower().replace("_", "-").replace(" ", "-")
    if text in ("1", "1.0", "true"):
        return 1
    if text in ("0", "0.0", "false"):
        return 0
    if "phage" in text:
        return 0 if any(word in text for word in ("non-phage", "nonphage", "no-phage", "not-phage")) else 1
    raise ValueError(f"{where}: cannot read {value!r} as a class; use 0/1 or {' / '.join(LABEL_NAMES)}")


def has_tables(path: Path) -> bool:
    """Whether `path` is a table or a folder that holds some."""
    return bool(_tables(path))


def _tables(path: Path) -> list[Path]:
    paths = sorted(path.iterdir()) if path.is_dir() else [path]
    return [file for file in paths if file.suffix.lower() in _TABLE_SUFFIXES]


def records_of_fasta(
    path: Path, census: Census, *, genome_from: str = "auto", groups_file: str | None = None, labelled: bool = True
) -> Iterator[GenomeRecord]:
    """Stream genomes from a folder with one folder of FASTA files a class.

    Args:
        path (`Path`): Folder of class folders; where labels are not needed also a folder of FASTA files or one file.
        census (`Census`): Counts what is read.
        genome_from (`str`, *optional*, defaults to `"auto"`): `"file"`: a file is a genome, its records are contigs;
            `"record"`: every record is a genome; `"auto"`: files, unless a class folder holds a single file.
        groups_file (`str`, *optional*): Two-column table (genome, group), tab or comma separated; default: every
            genome is a group of its own.
        labelled (`bool`, *optional*, defaults to `True`): Demand class folders.
    """
    groups = _read_groups(groups_file)
    for label, files in _class_files(path, labelled=labelled):
        by_file = genome_from == "file" or (genome_from == "auto" and len(files) > 1)
        for file in files:
            genome = file.name.split(".fa")[0].split(".fn")[0] if by_file else ""
            for record in read_fasta(file, molecule="dna", unique_ids=True, report=census.letters):
                genome_id = genome or record.id
                yield GenomeRecord(record.id, genome_id, groups.get(genome_id, genome_id), label, record.sequence)


def _class_files(path: Path, *, labelled: bool) -> list[tuple[int, list[Path]]]:
    if path.is_file():
        files = [path] if is_fasta(path) else []
        folders: list[Path] = []
    else:
        files = fasta_files(path)
        folders = [folder for folder in sorted(path.iterdir()) if folder.is_dir() and fasta_files(folder)]
    if folders:
        return [(label_of(folder.name, f"folder {folder}"), fasta_files(folder)) for folder in folders]
    if not files:
        raise ValueError(
            f"{path} holds neither FASTA files nor tables; expected one folder of FASTA files a class "
            f"({' and '.join(LABEL_NAMES)}), or a table with the columns sequence, label, group"
        )
    if labelled:
        raise ValueError(f"{path} has no class folders; put the FASTA files into {' and '.join(LABEL_NAMES)}")
    return [(UNKNOWN, files)]


def _read_groups(path: str | None) -> dict[str, str]:
    if path is None:
        return {}
    with Path(path).open(encoding="utf-8", newline="") as file:
        delimiter = "\t" if "\t" in file.readline() else ","
        file.seek(0)
        rows = list(csv.reader(file, delimiter=delimiter))
    short = [number for number, row in enumerate(rows, 1) if row and len(row) < 2]
    if short:
        raise ValueError(f"{path}, line {short[0]}: expected two columns, genome and group")
    return {row[0]: row[1] for row in rows if row}


def records_of_tables(
    path: Path, census: Census, *, columns: Mapping[str, str | None], labelled: bool = True
) -> Iterator[GenomeRecord]:
    """Stream genomes from a table, or all tables of a folder: TSV, CSV or Parquet with a header.

    Args:
        path (`Path`): Table, or folder of tables with the same columns.
        census (`Census`): Counts what is read.
        columns (`Mapping[str, str | None]`): Column names for `sequence`, `label`, `group`, `genome_id`; `None` finds
            the usual ones. Without groups every genome is its own; without genome ids every row is a genome.
        labelled (`bool`, *optional*, defaults to `True`): Demand a label.
    """
    number = 0
    for file in _tables(path):
        names, batches = _table_batches(file)
        chosen = {key: _column(key, columns.get(key), names, file) for key in _COLUMNS}
        if chosen["sequence"] is None or (labelled and chosen["label"] is None):
            missing = "sequence" if chosen["sequence"] is None else "label"
            raise ValueError(f"{file} has no {missing} column (found: {', '.join(names)}); name it as an option")
        for batch in batches:
            for row in batch.select([name for name in dict.fromkeys(chosen.values()) if name]).to_pylist():
                number += 1
                yield _table_record(row, chosen, f"{file}, row {number}", number, census, labelled)


def _table_record(
    row: dict[str, Any], chosen: Mapping[str, str | None], where: str, number: int, census: Census, labelled: bool
) -> GenomeRecord:
    sequence = row[chosen["sequence"]]  # type: ignore[index]
    if not isinstance(sequence, str):
        raise ValueError(f"{where}: the sequence is missing")
    check_letters(sequence, "dna", where=where)
    census.letters.add(sequence)
    label = UNKNOWN if chosen["label"] is None else row[chosen["label"]]
    genome = str(row[chosen["genome_id"]]) if chosen["genome_id"] else f"row{number}"
    group = row[chosen["group"]] if chosen["group"] else None
    return GenomeRecord(
        id=str(number),
        genome_id=genome,
        group=genome if group is None else str(group),
        label=label_of(label, where) if labelled or label not in (UNKNOWN, None) else UNKNOWN,
        sequence=sequence,
    )


def _table_batches(file: Path) -> tuple[list[str], Iterable[Any]]:
    """Column names and record batches of a table, read piece by piece."""
    if file.stat().st_size == 0:
        raise ValueError(f"{file} is empty; expected a table with the columns sequence, label, group")
    if file.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq

        table = pq.ParquetFile(file)
        return table.schema_arrow.names, table.iter_batches(batch_size=64)
    import pyarrow as pa
    import pyarrow.csv as pc

    options = pc.ParseOptions(delimiter="\t" if file.suffix.lower() == ".tsv" else ",")
    try:
        with file.open("rb") as head:
            names = head.readline().decode("utf-8").rstrip("\r\n").split(options.delimiter)
        names = [name.strip('"') for name in names]
        reader = pc.open_csv(
            file,
            read_options=pc.ReadOptions(block_size=64 << 20),
            parse_options=options,
            convert_options=pc.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True
            ),
        )
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise ValueError(f"{file} cannot be read as a table: {error}") from error
    return names, reader


def _column(key: str, wanted: str | None, names: list[str], file: Path) -> str | None:
    if wanted is not None:
        if wanted not in names:
            raise ValueError(f"{file} has no column {wanted!r} for {key}; found: {', '.join(names)}")
        return wanted
    return next((name for name in _COLUMNS[key] if name in names), None)


def records_of_refseq(
    fasta: Iterable[Path], hosts: Path, census: Census, *, group_rank: str = "genus"
) -> Iterator[GenomeRecord]:
    """Stream the RefSeq viral genomes that Virus-Host DB gives a host; a virus of a bacterium is a phage.

    Viruses of archaea, viruses with hosts on both sides, and viruses without a known host are left out and counted.

    Args:
        fasta (`Iterable[Path]`): The release's genomic FASTA files; record ids are accessions.
        hosts (`Path`): Virus-Host DB's table, tab separated with a header.
        census (`Census`): Counts what is read and left out.
        group_rank (`str`, *optional*, defaults to `"genus"`): `"genus"` or `"family"`: viruses of one such taxon stay
            in one split; a virus without it takes the lowest higher taxon that is named.
    """
    table = _read_hosts(hosts, group_rank)
    seen: set[str] = set()
    for file in fasta:
        for record in read_fasta(file, molecule="dna", report=census.letters):
            accession = record.id.split(".")[0]
            if accession in seen:
                census.left_out["accession given twice"] += 1
                continue
            seen.add(accession)
            entry = table.get(accession)
            reason = "not in Virus-Host DB" if entry is None else entry.reason
            if entry is None or reason is not None:
                census.left_out[str(reason)] += 1
                continue
            yield GenomeRecord(record.id, entry.virus, entry.group, int(entry.bacterial), record.sequence)


@dataclass
class _HostEntry:
    virus: str
    group: str
    bacterial: bool = False
    archaeal: bool = False
    eukaryotic: bool = False

    @property
    def reason(self) -> str | None:
        """Why the virus is left out, or `None`."""
        if self.archaeal:
            return "archaeal host"
        if self.bacterial and self.eukaryotic:
            return "bacterial and eukaryotic hosts"
        return None if self.bacterial or self.eukaryotic else "no known host"


def _read_hosts(path: Path, group_rank: str) -> dict[str, _HostEntry]:
    """Virus-Host DB has one row a virus and host; a virus lists all accessions of its segments."""
    if group_rank not in ("genus", "family"):
        raise ValueError(f"group_rank must be 'genus' or 'family', not {group_rank!r}")
    needed = ("virus tax id", "virus lineage", "refseq id", "host lineage")
    viruses: dict[str, _HostEntry] = {}
    accessions: dict[str, _HostEntry] = {}
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        missing = [name for name in needed if name not in (reader.fieldnames or [])]
        if missing:
            raise ValueError(f"{path} is not Virus-Host DB's table: no column {missing[0]!r}")
        for row in reader:
            virus = f"taxid{row['virus tax id']}"
            entry = viruses.setdefault(virus, _HostEntry(virus, _taxon(row["virus lineage"] or "", group_rank, virus)))
            domain = {part.strip() for part in (row["host lineage"] or "").split(";")[:3]}
            entry.bacterial |= "Bacteria" in domain
            entry.archaeal |= "Archaea" in domain
            entry.eukaryotic |= "Eukaryota" in domain
            for accession in (row["refseq id"] or "").replace(";", ",").split(","):
                if accession.strip():
                    accessions[accession.strip().split(".")[0]] = entry
    return accessions


def _taxon(lineage: str, rank: str, fallback: str) -> str:
    """The genus (one word in -virus) or family (-viridae) of an ICTV lineage, else its lowest rank by suffix."""
    parts = [part.strip() for part in lineage.split(";")]
    suffixes = {"genus": ("virus", "virinae", "viridae"), "family": ("viridae",)}[rank]
    for suffix in (*suffixes, "virales", "viricetes", "viricota"):
        found = [part for part in parts if part.endswith(suffix) and " " not in part]
        if found:
            return found[-1]
    return fallback
