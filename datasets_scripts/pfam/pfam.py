"""Pfam-like data: FASTA (or a table) with family labels -> sequences, or pairs for same-family prediction."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import datasets
import numpy as np
import pyarrow as pa

from seqformers.datasets_scripts.common.fasta import read_fasta
from seqformers.datasets_scripts.common.options import check_options
from seqformers.datasets_scripts.common.protein_builder import ProteinBuilder
from seqformers.datasets_scripts.common.records import RECORD_SUFFIXES, read_records
from seqformers.datasets_scripts.common.residues import clean_protein, first_present
from seqformers.datasets_scripts.common.sources import Source, fetch
from seqformers.datasets_scripts.pfam.family_pairs import FamilyPairs

__all__ = ["PfamBuilder", "PfamConfig"]

_logger = datasets.logging.get_logger(__name__)
_FASTA_SUFFIXES = (".fasta", ".fa", ".faa", ".fas", ".fasta.gz", ".fa.gz", ".faa.gz")
_PFAM_27 = Source(urls=("https://ftp.ebi.ac.uk/pub/databases/Pfam/releases/Pfam27.0/Pfam-A.fasta.gz",))
_SPLITS = ("train", "validation", "test")
_CHUNK = 1000


@dataclass
class PfamConfig(datasets.BuilderConfig):
    """Options of the Pfam builder.

    Args:
        family_from (`str`, *optional*, defaults to `"pfam"`): Where a FASTA header names the family: `"pfam"` (third
            white-space field, second piece between semicolons: `>A/1-50 A.1 PF10417.9;1-cysPrx_C;`), `"description"`
            (first word after the id), or a regular expression whose first group is the family. Tables have a column
            `family`.
        min_length (`int`, *optional*, defaults to 20): Shorter sequences are left out, counted in a warning (PLUS).
        max_length (`int`, *optional*): Longer ones too (PLUS-TFM: 256).
        min_family_size (`int`, *optional*, defaults to 1): Smaller families are left out (PLUS: 1000).
        validation_fraction, test_fraction (`float`, *optional*, default to 0.05): Share of the two held-out splits.
        split_by (`str`, *optional*, defaults to `"sequence"`): `"sequence"`: as PLUS, families occur in all splits
            and equal sequences stay together; `"family"`: whole families are held out.
        remove_gaps (`bool`, *optional*, defaults to `False`): Drop `-` and `.` of aligned sequences.
        seed (`int`, *optional*, defaults to 0): Seed of splits and pairs.
        epochs (`int`, *optional*, defaults to 1): Epochs of pairs to write (`pairs`).
        pairs_file (`str`, *optional*): Table with `is_samefamily` and either `sequence_A`, `sequence_B` (PLUS' test
            pairs) or `id_A`, `id_B`; it becomes the test split of `pairs`.
        legacy (`bool`, *optional*, defaults to `False`): PLUS' draw of pairs, see `FamilyPairs`.
    """

    family_from: str = "pfam"
    min_length: int = 20
    max_length: int | None = None
    min_family_size: int = 1
    validation_fraction: float = 0.05
    test_fraction: float = 0.05
    split_by: str = "sequence"
    remove_gaps: bool = False
    seed: int = 0
    epochs: int = 1
    pairs_file: str | None = None
    legacy: bool = False


class _Protein(NamedTuple):
    id: str
    family: str
    sequence: str


class PfamBuilder(ProteinBuilder):
    """Build `sequences` (id, family, sequence) or `pairs` (two proteins and whether they share the family)."""

    VERSION = datasets.Version("1.0.0")
    BUILDER_CONFIG_CLASS = PfamConfig
    BUILDER_CONFIGS: ClassVar[list[PfamConfig]] = [
        PfamConfig(name="sequences", version=datasets.Version("1.0.0")),
        PfamConfig(name="pairs", version=datasets.Version("1.0.0")),
    ]
    DEFAULT_CONFIG_NAME = "sequences"

    def _info(self) -> datasets.DatasetInfo:
        check_options(self.config)
        text, letters = datasets.Value("string"), datasets.Value("large_string")
        if self.config.name == "pairs":
            columns = {"id_a": text, "id_b": text, "family_a": text, "family_b": text}
            columns |= {"sequence_a": letters, "sequence_b": letters}
            columns |= {"same_family": datasets.ClassLabel(names=["different", "same"])}
        else:
            columns = {"id": text, "family": text, "sequence": letters}
        return datasets.DatasetInfo(
            description="Protein sequences with family labels",
            features=datasets.Features(columns),
            homepage="https://www.ebi.ac.uk/interpro/entry/pfam/",
            license="CC0-1.0 (Pfam)",
            citation="Finn et al. 2014, Pfam: the protein families database, NAR 42:D222",
        )

    def _split_generators(self, dl_manager: datasets.DownloadManager) -> list[datasets.SplitGenerator]:
        config = self.config
        if config.split_by not in ("sequence", "family"):
            raise ValueError(f"split_by is 'sequence' or 'family', not {config.split_by!r}")
        if min(config.validation_fraction, config.test_fraction) < 0 or not (
            config.validation_fraction + config.test_fraction < 1
        ):
            raise ValueError("validation_fraction and test_fraction are at least 0 and leave something to train on")
        paths = _input_files(config, dl_manager)
        small = _small_families(config, paths)
        splits = [
            split
            for split, share in zip(_SPLITS, (1.0, config.validation_fraction, config.test_fraction), strict=True)
            if share > 0 or (split == "test" and config.pairs_file and config.name == "pairs")
        ]
        return [
            datasets.SplitGenerator(name=split, gen_kwargs={"paths": paths, "split": split, "small": small})
            for split in splits
        ]

    def _generate_tables(self, paths: list[Path], split: str, small: set[str]) -> Iterator[tuple[Any, pa.Table]]:
        if self.config.name == "pairs" and split == "test" and self.config.pairs_file:
            tables = _given_pairs(self.config, paths)
        elif self.config.name == "pairs":
            tables = _drawn_pairs(self.config, _proteins(self.config, paths, split, small), split)
        else:
            tables = _tables(_proteins(self.config, paths, split, small))
        schema = self.info.features.arrow_schema
        empty = True
        for index, table in enumerate(tables):
            empty = False
            yield (split, index), table.cast(schema)
        if empty:
            raise ValueError(
                f"the {split} split is empty; give more sequences, a larger {split}_fraction, or a smaller "
                "min_length or min_family_size"
            )


def _input_files(config: PfamConfig, dl_manager: Any) -> list[Path]:
    """The user's FASTA files or tables, or Pfam 27.0."""
    if config.data_dir is None:
        return [fetch(dl_manager, _PFAM_27)]
    root = Path(config.data_dir)
    if root.is_file():
        return [root]
    files = [path for path in root.iterdir() if path.name.endswith(_FASTA_SUFFIXES)]
    files = files or [path for path in root.iterdir() if path.suffix in RECORD_SUFFIXES]
    if not files:
        raise ValueError(f"{root} holds no FASTA file ({', '.join(_FASTA_SUFFIXES)}) and no table with families")
    return sorted(files)


def _read(config: PfamConfig, paths: list[Path]) -> Iterator[_Protein]:
    """All proteins in file order, checked but not filtered."""
    family_of = _family_reader(config.family_from)
    for path in paths:
        if path.suffix in RECORD_SUFFIXES:
            for index, record in enumerate(read_records(path)):
                where = f"{path.name}, record {index}"
                family = str(first_present(record, ("family", "family_id"), where))
                name = str(record.get("uniprot_id", record["id"]))
                sequence = first_present(record, ("sequence", "primary"), where)
                yield _Protein(name, family, clean_protein(sequence, where, remove_gaps=config.remove_gaps))
        else:
            for entry in read_fasta(path):
                where = f"{path.name}, record {entry.id!r}"
                sequence = clean_protein(entry.sequence, where, remove_gaps=config.remove_gaps)
                yield _Protein(entry.id, family_of(f"{entry.id} {entry.description}", where), sequence)


def _family_reader(rule: str) -> Any:
    """Function from (header, place) to the family."""
    if rule == "pfam":
        pattern, shape = r"^\S+\s+\S+\s+[^\s;]*;([^\s;]+)", "'>id accession PFxxxxx.y;family;'"
    elif rule == "description":
        pattern, shape = r"^\S+\s+(\S+)", "'>id family'"
    else:
        pattern, shape = rule, f"the pattern {rule!r}"
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"family_from={rule!r} is no regular expression: {error}") from error
    if expression.groups < 1:
        raise ValueError(f"family_from={rule!r} has no group; put the family between parentheses")

    def family(header: str, where: str) -> str:
        match = expression.search(header)
        if match is None:
            raise ValueError(f"{where}: no family in the header {header!r}; expected {shape} (see family_from)")
        return match.group(1)

    return family


def _small_families(config: PfamConfig, paths: list[Path]) -> set[str]:
    """Families below the size limit, counted among the sequences of allowed length."""
    if config.min_family_size <= 1:
        return set()
    sizes = Counter(protein.family for protein in _read(config, paths) if _fits(config, protein))
    small = {family for family, size in sizes.items() if size < config.min_family_size}
    if len(small) == len(sizes):
        raise ValueError(
            f"no family has {config.min_family_size} members; the largest has {max(sizes.values(), default=0)}"
        )
    return small


def _fits(config: PfamConfig, protein: _Protein) -> bool:
    length = len(protein.sequence)
    return length >= config.min_length and (config.max_length is None or length <= config.max_length)


def _proteins(config: PfamConfig, paths: list[Path], split: str, small: set[str]) -> Iterator[_Protein]:
    """Proteins of one split, in file order."""
    left_out = total = 0
    for protein in _read(config, paths):
        total += 1
        if not _fits(config, protein) or protein.family in small:
            left_out += 1
        elif _split_of(config, protein) == split:
            yield protein
    if left_out and split == "train":
        _logger.warning(
            f"left out {left_out} of {total} sequences (length below {config.min_length} or above "
            f"{config.max_length}, or family smaller than {config.min_family_size})"
        )


def _split_of(config: PfamConfig, protein: _Protein) -> str:
    """Split by a hash of sequence or family: the same in every run, on every machine, in any file order."""
    key = protein.family if config.split_by == "family" else protein.sequence
    digest = hashlib.blake2b(f"{config.seed}\n{key}".encode(), digest_size=8).digest()
    place = int.from_bytes(digest, "big") / 2**64
    if place < config.test_fraction:
        return "test"
    return "validation" if place < config.test_fraction + config.validation_fraction else "train"


def _tables(proteins: Iterator[_Protein]) -> Iterator[pa.Table]:
    schema = pa.schema([("id", pa.string()), ("family", pa.string()), ("sequence", pa.large_string())])
    rows: list[dict[str, str]] = []
    for protein in proteins:
        rows.append(protein._asdict())
        if len(rows) == _CHUNK:
            yield pa.Table.from_pylist(rows, schema=schema)
            rows = []
    if rows:
        yield pa.Table.from_pylist(rows, schema=schema)


def _drawn_pairs(config: PfamConfig, proteins: Iterator[_Protein], split: str) -> Iterator[pa.Table]:
    """Pairs of one split. Sequences wait in a memory-mapped file, only their families in memory."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "proteins.arrow"
        families: list[np.ndarray] = []
        writer = None
        for table in _tables(proteins):
            writer = writer or pa.ipc.new_file(store, table.schema)
            writer.write_table(table)
            families.append(np.asarray(table["family"].to_pylist()))
        if writer is None:
            return
        writer.close()
        pairs = FamilyPairs(np.concatenate(families), seed=config.seed, legacy=config.legacy)
        if pairs.num_singletons and not config.legacy:
            _logger.warning(
                f"{split}: {pairs.num_singletons} of {pairs.num_families} families have one member; it occurs in "
                "different-family pairs only"
            )
        with pa.memory_map(str(store)) as mapped:
            stored = pa.ipc.open_file(mapped).read_all()
            for epoch in range(config.epochs):
                first, second, same = pairs.draw(epoch)
                for begin in range(0, len(first), _CHUNK):
                    chunk = slice(begin, begin + _CHUNK)
                    yield _pair_table(stored.take(first[chunk]), stored.take(second[chunk]), same[chunk])


def _pair_table(first: pa.Table, second: pa.Table, same: np.ndarray) -> pa.Table:
    names = ("id", "family", "sequence")
    columns = {f"{name}_{side}": table[name] for name in names for side, table in (("a", first), ("b", second))}
    return pa.table({**columns, "same_family": pa.array(same.astype(np.int64))})


def _given_pairs(config: PfamConfig, paths: list[Path]) -> Iterator[pa.Table]:
    """The pairs of `pairs_file`: sequences as they stand there, or ids looked up among the input."""
    path = Path(str(config.pairs_file))
    known: dict[str, _Protein] | None = None
    rows: list[dict[str, Any]] = []
    for index, record in enumerate(read_records(path)):
        where = f"{path.name}, pair {index + 1}"
        row: dict[str, Any] = {"same_family": _flag(first_present(record, ("is_samefamily", "label"), where), where)}
        for side in ("A", "B"):
            if f"sequence_{side}" in record:
                sequence = clean_protein(record[f"sequence_{side}"], where, remove_gaps=config.remove_gaps)
                protein = _Protein(str(record.get(f"id_{side}", "")), "", sequence)
            else:
                known = known or {protein.id: protein for protein in _read(config, paths)}
                name = str(first_present(record, (f"id_{side}",), where))
                if name not in known:
                    raise ValueError(
                        f"{where}: no sequence with the id {name!r} in {', '.join(p.name for p in paths)}"
                    )
                protein = known[name]
            row |= {f"{key}_{side.lower()}": value for key, value in protein._asdict().items()}
        rows.append(row)
    columns = ("id_a", "id_b", "family_a", "family_b", "sequence_a", "sequence_b", "same_family")
    if rows:
        yield pa.table({name: pa.array([row[name] for row in rows]) for name in columns})


def _flag(value: Any, where: str) -> int:
    text = str(value).strip().lower()
    if text not in ("0", "1", "true", "false", "0.0", "1.0"):
        raise ValueError(f"{where}: is_samefamily is {value!r}; expected 0 or 1")
    return int(text in ("1", "true", "1.0"))
