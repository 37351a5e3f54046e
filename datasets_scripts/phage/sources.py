"""Where genomes come from: folders of FASTA files, tables, or NCBI's RefSeq viral release with Virus-Host DB.

Every source is a stream of `GenomeRecord`; a `Census` counts what was read and what was left out, and why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seqformers.datasets_scripts.common.fasta import genome_name, is_fasta, read_fasta
from seqformers.datasets_scripts.common.genomes import GenomeRecord
from seqformers.datasets_scripts.common.letters import LetterReport, check_letters
from seqformers.datasets_scripts.common.remarks import Remarks
from seqformers.datasets_scripts.common.table_lines import read_fields
from seqformers.datasets_scripts.common.tables import Table, open_table

__all__ = [
    "LABEL_NAMES",
    "Census",
    "class_names",
    "column_of",
    "label_of",
    "names_groups",
    "records_of_fasta",
    "records_of_refseq",
    "records_of_tables",
    "table_record",
    "tables_of",
]

LABEL_NAMES = ("non-phage", "phage")
UNKNOWN = -1

_TABLE_SUFFIXES = (".tsv", ".csv", ".parquet")
_COLUMNS = {
    "sequence": ("sequence", "seq"),
    "label": ("label", "is_phage", "class"),
    "group": ("group", "cluster", "family"),
    "genome_id": ("genome_id", "genome", "accession", "id"),
}
_HEADERS = {"genome", "genome_id", "accession", "id", "file", "name"}  # of the first column of a groups file
_SHOWN = 3


@dataclass
class Census:
    """What a source held: letters, records left out by reason, and what was odd."""

    letters: LetterReport = field(default_factory=LetterReport)
    left_out: Counter[str] = field(default_factory=Counter)
    remarks: Remarks = field(default_factory=Remarks)

    def as_dict(self) -> dict[str, Any]:
        """The counts as plain values for the report."""
        counts = {"letters": self.letters.as_dict(), "left_out": dict(self.left_out)}
        return {**counts, "remarks": dict(self.remarks.counts)} if self.remarks.counts else counts


def label_of(value: Any, where: str, names: Sequence[str] = LABEL_NAMES) -> int:
    """Read a class label: one of `names`; for phages also 0/1, true/false, or a name that says phage or not.

    Args:
        value (`Any`): Content of a table cell or name of a folder.
        where (`str`): How an error names it.
        names (`Sequence[str]`, *optional*, defaults to `("non-phage", "phage")`): The classes.

    Examples:
        >>> [label_of(name, "here") for name in ("phage", "non-phage", "viral-no-phage_1_3", True, 0)]
        [1, 0, 0, 1, 0]
        >>> label_of("moss", "here", ("fern", "moss"))
        1
    """
    if value is None or value != value or str(value).strip() == "":
        raise ValueError(f"{where}: the label is missing; every genome needs one of {', '.join(names)}")
    label = _phage_or_not(value) if tuple(names) == LABEL_NAMES else _place(str(value).strip(), names)
    if label is None:
        choice = " / ".join(names)
        raise ValueError(
            f"{where}: cannot read {value!r} as a class; use {choice}{_OR_NUMBERS if 'phage' in names else ''}"
        )
    return label


_OR_NUMBERS = " or 0/1"


def _place(name: str, names: Sequence[str]) -> int | None:
    return names.index(name) if name in names else None


def _phage_or_not(value: Any) -> int | None:
    text = str(value).strip().lower().replace("_", "-").replace(" ", "-")
    if text in ("1", "1.0", "true"):
        return 1
    if text in ("0", "0.0", "false"):
        return 0
    if "phage" in text:
        return 0 if any(word in text for word in ("non-phage", "nonphage", "no-phage", "not-phage")) else 1
    return None


def class_names(path: Path, columns: Mapping[str, str | None]) -> tuple[str, ...]:
    """The classes of an input: `LABEL_NAMES` where folders or labels say phage or not, else their own names, sorted.

    Args:
        path (`Path`): What [`records_of_fasta`] or [`records_of_tables`] read.
        columns (`Mapping[str, str | None]`): As in [`records_of_tables`].
    """
    folders = [folder.name for folder in _class_folders(path)]
    found = folders or _labels_of_tables(path, columns)
    labels = [_phage_or_not(name) for name in found]
    # Two folders that both say phage (`phage`, `prophage`) are classes of their own.
    if not found or (None not in labels and (len(set(labels)) > 1 or len(found) == 1)):
        return LABEL_NAMES
    return tuple(sorted(found, key=_numbers_first))


def _numbers_first(name: str) -> tuple[int, int, str]:
    return (0, int(name), name) if name.isdecimal() else (1, 0, name)


def _labels_of_tables(path: Path, columns: Mapping[str, str | None]) -> list[str]:
    found: dict[str, None] = {}
    for file in tables_of(path):
        table = open_table(file, remarks=Remarks())
        name = column_of("label", columns.get("label"), table)
        if name is None or name == "is_phage":
            return []
        found |= {str(cell).strip(): None for cell in table.cells(name) if cell is not None and str(cell).strip()}
    return list(found)


def has_tables(path: Path) -> bool:
    """Whether `path` is a table or a folder that holds some, and no class folders."""
    return bool(tables_of(path)) and not _class_folders(path)


def names_classes(path: Path, columns: Mapping[str, str | None]) -> bool:
    """Whether the input has class folders, or tables with a column of classes."""
    if not has_tables(path):
        return bool(_class_folders(path))
    return column_of("label", columns.get("label"), open_table(tables_of(path)[0], remarks=Remarks())) is not None


def names_groups(path: Path, columns: Mapping[str, str | None]) -> bool:
    """Whether the input is a table with a column of groups."""
    files = tables_of(path) if has_tables(path) else []
    return (
        bool(files) and column_of("group", columns.get("group"), open_table(files[0], remarks=Remarks())) is not None
    )


def tables_of(path: Path) -> list[Path]:
    """The tables that `path` is or holds, in order of their names."""
    paths = sorted(path.iterdir()) if path.is_dir() else [path]
    return [file for file in paths if file.suffix.lower() in _TABLE_SUFFIXES and not file.name.startswith(".")]


def records_of_fasta(
    path: Path,
    census: Census,
    *,
    names: Sequence[str] = LABEL_NAMES,
    genome_from: str = "auto",
    groups_file: str | None = None,
    labelled: bool = True,
) -> Iterator[GenomeRecord]:
    """Stream genomes from a folder with one folder of FASTA files a class; folders inside those are read too.

    A genome is called as its file, without what the name ends in (`GCF_1/genomic` in a folder of its own). What is no
    FASTA file by its name is left out and counted in `census.remarks`.

    Args:
        path (`Path`): Folder of class folders; where labels are not needed also a folder of FASTA files or one file.
        census (`Census`): Counts what is read.
        names (`Sequence[str]`, *optional*, defaults to `("non-phage", "phage")`): The classes.
        genome_from (`str`, *optional*, defaults to `"auto"`): `"file"`: a file is a genome, its records are contigs;
            `"record"`: every record is a genome; `"auto"`: files, unless a class folder holds a single file.
        groups_file (`str`, *optional*): Two-column table (genome, group), tab or comma separated; default: every
            genome is a group of its own. A genome that is not in it, and an entry of no genome, is a remark.
        labelled (`bool`, *optional*, defaults to `True`): Demand class folders.
    """
    groups = _Groups(groups_file, census.remarks)
    taken: dict[str, tuple[int, Path]] = {}
    for label, root, files in _class_files(path, census.remarks, names, labelled=labelled):
        by_file = genome_from == "file" or (genome_from == "auto" and len(files) > 1)
        stems = Counter(genome_name(file, root) for file in files)
        for file in files:
            genome = ""
            if by_file:
                stem = genome_name(file, root)
                genome = stem if stems[stem] == 1 else file.relative_to(root).as_posix()
                _refuse_second_class(genome, label, file, taken)
            for record in read_fasta(
                file, molecule="dna", unique_ids=True, remarks=census.remarks, report=census.letters
            ):
                genome_id = genome or record.id
                yield GenomeRecord(record.id, genome_id, groups.of(genome_id), label, record.sequence)
    groups.tell()


def _refuse_second_class(genome: str, label: int, file: Path, taken: dict[str, tuple[int, Path]]) -> None:
    other, before = taken.setdefault(genome, (label, file))
    if other != label:
        raise ValueError(
            f"{before} and {file} are both the genome {genome!r}, in two classes: the name of a file is the name "
            "of its genome; rename one, or remove the copy"
        )


def _class_folders(path: Path) -> list[Path]:
    """Folders in `path` that hold FASTA files, however deep."""
    if path.is_file():
        return []
    folders = [folder for folder in sorted(path.iterdir()) if folder.is_dir() and not folder.name.startswith(".")]
    return [folder for folder in folders if any(is_fasta(file) for file in folder.rglob("*") if file.is_file())]


def _class_files(
    path: Path, remarks: Remarks, names: Sequence[str], *, labelled: bool
) -> list[tuple[int, Path, list[Path]]]:
    folders = _class_folders(path)
    if folders:
        beside = [file for file in sorted(path.iterdir()) if file.is_file()]
        _fasta_in(beside, remarks)
        for file in filter(is_fasta, beside):
            remarks.note("FASTA files beside the class folders, left out", str(file))
        found = [(label_of(folder.name, f"folder {folder}", names), folder) for folder in folders]
        return [(label, folder, _fasta_in(sorted(folder.rglob("*")), remarks)) for label, folder in found]
    files = [path] if path.is_file() else sorted(path.iterdir())
    files = _fasta_in([file for file in files if file.is_file()], remarks)
    if not files:
        raise ValueError(
            f"{path} holds neither FASTA files nor tables; expected one folder of FASTA files a class "
            f"({' and '.join(LABEL_NAMES)}, or any other names), or a table with the columns sequence, label, group"
        )
    if labelled:
        raise ValueError(
            f"{path} has no class folders; put the FASTA files into one a class "
            f"({' and '.join(LABEL_NAMES)}, or others)"
        )
    return [(UNKNOWN, path if path.is_dir() else path.parent, files)]


def _fasta_in(paths: Iterable[Path], remarks: Remarks) -> list[Path]:
    """The FASTA files among `paths`; the others are counted."""
    files = [path for path in paths if path.is_file()]
    for path in files:
        if path.name.startswith("."):
            remarks.note("hidden files (names that begin with a dot), left out", str(path))
        elif not is_fasta(path):
            remarks.note("files that are no FASTA by their names, left out", str(path))
    return [path for path in files if is_fasta(path)]


class _Groups:
    """Groups of genomes as a file lists them; of a genome that it does not list, the genome itself."""

    def __init__(self, path: str | None, remarks: Remarks):
        self.path, self.remarks = path, remarks
        self.groups: dict[str, str] = {}
        self.header: str | None = None
        self.used: set[str] = set()
        self.missing: dict[str, None] = {}
        for number, fields in read_fields(path, remarks, comma=path.lower().endswith(".csv")) if path else ():
            if len(fields) < 2 or not fields[0] or not fields[1]:
                raise ValueError(f"{path}, line {number}: expected two columns, genome and group")
            if not self.groups and self.header is None and fields[0].lower() in _HEADERS:
                self.header = fields[0]
            if self.groups.setdefault(fields[0], fields[1]) != fields[1]:
                raise ValueError(f"{path}, line {number}: {fields[0]!r} is in another group above; give it one")

    def of(self, genome: str) -> str:
        if genome in self.groups:
            self.used.add(genome)
            return self.groups[genome]
        if self.path is not None:
            self.missing[genome] = None
        return genome

    def tell(self) -> None:
        """Name the entries that no genome has, and the genomes without an entry; refuse a file that fits nothing."""
        unused = [name for name in self.groups if name not in self.used and name != self.header]
        if self.path is not None and not self.used:
            raise ValueError(
                f"{self.path} names none of the genomes; it lists {', '.join(unused[:_SHOWN])}, the genomes "
                f"are called {', '.join(list(self.missing)[:_SHOWN])}"
            )
        place = Path(self.path or "").name  # the report goes into the repository, so no folders of this machine
        for name in unused:
            self.remarks.note(f"entries of {place} that are no genome of the input", repr(name))
        for name in self.missing:
            self.remarks.note(f"genomes that are not in {place}, each a group of its own", repr(name))


def records_of_tables(
    path: Path,
    census: Census,
    *,
    columns: Mapping[str, str | None],
    names: Sequence[str] = LABEL_NAMES,
    labelled: bool = True,
) -> Iterator[GenomeRecord]:
    """Stream genomes from a table, or all tables of a folder: TSV, CSV or Parquet with a header.

    Args:
        path (`Path`): Table, or folder of tables with the same columns.
        census (`Census`): Counts what is read.
        columns (`Mapping[str, str | None]`): Column names for `sequence`, `label`, `group`, `genome_id`; `None` finds
            the usual ones. Without groups every genome is its own; without genome ids every row is a genome.
        names (`Sequence[str]`, *optional*, defaults to `("non-phage", "phage")`): The classes.
        labelled (`bool`, *optional*, defaults to `True`): Demand a label.
    """
    number = 0
    for file in tables_of(path):
        table = open_table(file, remarks=census.remarks)
        chosen = {key: column_of(key, columns.get(key), table) for key in _COLUMNS}
        if chosen["sequence"] is None or (labelled and chosen["label"] is None):
            missing = "sequence" if chosen["sequence"] is None else "label"
            raise ValueError(
                f"{file} has no {missing} column (found: {', '.join(table.columns)}); name it as an option"
            )
        for at, row in table.rows():
            number += 1
            cells = {key: row[name] for key, name in chosen.items() if name is not None}
            yield table_record(cells, table.where(at), number, census, names, labelled)


def table_record(
    cells: Mapping[str, Any], where: str, number: int, census: Census, names: Sequence[str], labelled: bool
) -> GenomeRecord:
    """The genome of a row, whose cells are named as the builder calls them; a fault names `where` it is."""
    sequence = cells["sequence"]
    if not isinstance(sequence, str) or not sequence.strip():
        raise ValueError(f"{where}: the sequence is missing")
    sequence = sequence.strip()
    check_letters(sequence, "dna", where=where)
    census.letters.add(sequence)
    genome = str(cells["genome_id"]) if cells.get("genome_id") not in (None, "") else f"row{number}"
    group, label = cells.get("group"), cells.get("label")
    return GenomeRecord(
        id=str(number),
        genome_id=genome,
        group=genome if group in (None, "") else str(group),
        label=label_of(label, where, names) if labelled or label not in (UNKNOWN, None, "") else UNKNOWN,
        sequence=sequence,
    )


def column_of(key: str, wanted: str | None, table: Table) -> str | None:
    """Name of the column that holds `key`: the `wanted` one, else the first of the usual ones; None without any."""
    if wanted is not None:
        if wanted not in table.columns:
            raise ValueError(f"{table.source} has no column {wanted!r} for {key}; found: {', '.join(table.columns)}")
        return wanted
    return next((name for name in _COLUMNS[key] if name in table.columns), None)


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
        for record in read_fasta(file, molecule="dna", remarks=census.remarks, report=census.letters):
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
    table = open_table(path)
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise ValueError(f"{path} is not Virus-Host DB's table: no column {missing[0]!r}")
    for _, row in table.rows():
        virus = f"taxid{row['virus tax id']}"
        entry = viruses.setdefault(virus, _HostEntry(virus, _taxon(row["virus lineage"], group_rank, virus)))
        domain = {part.strip() for part in row["host lineage"].split(";")[:3]}
        entry.bacterial |= "Bacteria" in domain
        entry.archaeal |= "Archaea" in domain
        entry.eukaryotic |= "Eukaryota" in domain
        for accession in row["refseq id"].replace(";", ",").split(","):
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
