"""Tasks of PLUS beyond TAPE's: homology pairs, solubility, localization, transmembrane, HSP, and signal peptides."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import datasets
import numpy as np
import pyarrow as pa

from seqformers.datasets_scripts.common.fasta import read_fasta
from seqformers.datasets_scripts.common.options import check_options
from seqformers.datasets_scripts.common.protein_builder import ProteinBuilder
from seqformers.datasets_scripts.common.records import RECORD_SUFFIXES, find_splits, read_records
from seqformers.datasets_scripts.common.residues import (
    IGNORED,
    clean_protein,
    first_present,
    number_of,
    residue_labels,
)
from seqformers.datasets_scripts.common.sources import Source, fetch_and_extract
from seqformers.datasets_scripts.common.streams import numbered_lines, text_of
from seqformers.datasets_scripts.common.tables import open_table
from seqformers.datasets_scripts.plus_tasks.homology_pairs import LEVELS, HomologyPairs

__all__ = ["HSP_CLASSES", "LOCALIZATIONS", "PlusTasksBuilder", "PlusTasksConfig"]

LOCALIZATIONS = (
    "Cell.membrane",
    "Cytoplasm",
    "Endoplasmic.reticulum",
    "Extracellular",
    "Golgi.apparatus",
    "Lysosome/Vacuole",
    "Mitochondrion",
    "Nucleus",
    "Peroxisome",
    "Plastid",
)
"""PLUS' order of DeepLoc's classes."""

_PEER_LOCALIZATIONS = (*(name for name in LOCALIZATIONS if name != "Extracellular"), "Extracellular")

HSP_CLASSES = ("non-HSP", "HSP20", "HSP40", "HSP60", "HSP70", "HSP90", "HSP100")
"""The six families of heat shock proteins, and proteins that are none."""

_TOPOLOGY = {"I": 0, "i": 0, "1": 0, "O": 1, "o": 1, "2": 1, "M": 2, "H": 2, "h": 2, "B": 2, "b": 2, "U": IGNORED}

_logger = datasets.logging.get_logger(__name__)
_FASTA = (".fasta", ".fa", ".fas", ".txt", ".fasta.gz", ".fa.gz")
_BERGER = (
    "http://bergerlab-downloads.csail.mit.edu/bepler-protein-sequence-embeddings-from-structure-iclr2019/{}.tar.gz"
)
_PEER = "https://miladeepgraphlearningproteindata.s3.us-east-2.amazonaws.com/peerdata/{}.tar.gz"

_SOURCES = {
    "homology": Source(urls=(_BERGER.format("scope"),)),
    "transmembrane": Source(urls=(_BERGER.format("transmembrane"),)),
    "solubility": Source(urls=(_PEER.format("solubility"),), md5="8a8612b7bfa2ed80375db6e465ccf77e"),
    "localization": Source(urls=(_PEER.format("subcellular_localization"),), md5="37cb6138b8d4603512530458b7c8a77d"),
}

# Our split -> file names without suffix, tried in order. PLUS' names, PEER's, and those of plain tables.
_SPLIT_FILES: dict[str, dict[str, tuple[str, ...]]] = {
    "homology": {
        "train": ("*2.06.train", "homology_train", "train", "train-*"),
        "validation": ("*2.06.train.dev.sampledpairs", "homology_dev", "valid", "dev", "validation-*"),
        "test": ("*2.06.test.sampledpairs", "homology_test", "test", "test-*"),
        "test_2_07": ("*2.07-new.allpairs", "test_2.07"),
    },
    "solubility": {
        "train": ("solubility_train", "train", "protsol_test_from_deepsol", "train-*"),
        "validation": ("solubility_valid", "solubility_dev", "valid", "dev", "validation-*"),
        "test": ("solubility_test", "test", "chang", "test-*"),
    },
    "localization": {
        "train": ("subcellular_localization_train", "localization_train", "train", "train_deeploc", "train-*"),
        "validation": ("subcellular_localization_valid", "localization_dev", "valid", "valid_deeploc", "validation-*"),
        "test": ("subcellular_localization_test", "localization_test", "test", "test_deeploc", "test-*"),
        "whole": ("deeploc_data",),
    },
    "transmembrane": {
        "train": ("transmembrane_train", "train", "train-*"),
        "validation": ("transmembrane_dev", "valid", "dev", "validation-*"),
        "test": ("transmembrane_test", "test", "test-*"),
        "whole": ("tmbed_folds_*", "TM", "cv_0*_a", "transmembrane"),
    },
    "hsp": {"whole": ("hsp*", "HSP*")},
    "signal_peptide": {
        "train": ("signal_peptide_train", "train", "train-*"),
        "validation": ("signal_peptide_valid", "valid", "dev", "validation-*"),
        "test": ("signal_peptide_test", "test", "test-*"),
    },
}
_FOLDERS = {"localization": ("subcellular_localization",), "transmembrane": ("transmembrane_topology",)}


@dataclass
class PlusTasksConfig(datasets.BuilderConfig):
    """Options of the builder of the PLUS tasks.

    Args:
        validation_fraction (`float`, *optional*, defaults to 0.1): Share of the training proteins that becomes the
            validation split where the source has none; chosen by a hash of the sequence, so repeats stay together.
        seed (`int`, *optional*, defaults to 0): Seed of splits and of homology pairs.
        num_pairs (`int`, *optional*, defaults to 100000): Training pairs drawn for `homology` from a FASTA file, anew
            with every `seed`.
        num_test_pairs (`int`, *optional*, defaults to 100000): Most pairs of a split that is tested: every pair of two
            of its proteins once where there are no more than that, else so many of them, levels shared as `tau` says.
        tau (`float`, *optional*, defaults to 0.5): Share of a homology level is proportional to its count^tau.
        max_length (`int`, *optional*): Longer sequences of the protein-level tasks keep their first and last halves
            of this; `localization` has 1000 by default, as PLUS.
        test_fold, validation_fold (`int`, *optional*, default to 3 and 2): Held-out folds of `transmembrane` (the
            table's own folds) and `hsp` (5 folds, balanced by class).
        protein_type (`str`, *optional*, defaults to `"alpha"`): `transmembrane` tables with a `protein_type`:
            `"alpha"` (helical membrane proteins), `"beta"`, `"globular_or_signalp"` or `"all"`.
        signal_class (`bool`, *optional*, defaults to `False`): `transmembrane`: a fourth class for signal peptides;
            without it their residues are not labelled.
        legacy (`bool`, *optional*, defaults to `False`): PLUS' homology sampler, see `HomologyPairs.draw`.
        mirror (`str`, *optional*): Folder address tried before the publishers' own.
    """

    validation_fraction: float = 0.1
    seed: int = 0
    num_pairs: int = 100_000
    num_test_pairs: int = 100_000
    tau: float = 0.5
    max_length: int | None = None
    test_fold: int = 3
    validation_fold: int = 2
    protein_type: str = "alpha"
    signal_class: bool = False
    legacy: bool = False
    mirror: str | None = None


class PlusTasksBuilder(ProteinBuilder):
    """Build one task; the configuration is the task's name."""

    VERSION = datasets.Version("1.0.0")
    BUILDER_CONFIG_CLASS = PlusTasksConfig
    BUILDER_CONFIGS: ClassVar[list[PlusTasksConfig]] = [
        PlusTasksConfig(
            name=name, version=datasets.Version("1.0.0"), max_length=1000 if name == "localization" else None
        )
        for name in _SPLIT_FILES
    ]
    DEFAULT_CONFIG_NAME = "solubility"

    def _info(self) -> datasets.DatasetInfo:
        check_options(self.config)
        return datasets.DatasetInfo(
            description=f"PLUS {self.config.name}",
            features=_features(self.config),
            homepage="https://github.com/mswzeus/PLUS",
            license="The data belong to the authors of the cited sets",
            citation="Min et al. 2021, Pre-training of deep bidirectional protein sequence representations with "
            "structural information, IEEE Access 9:123912",
        )

    def _split_generators(self, dl_manager: datasets.DownloadManager) -> list[datasets.SplitGenerator]:
        config = self.config
        folders = _folders(config, dl_manager)
        names = _SPLIT_FILES[config.name]
        suffixes = (*RECORD_SUFFIXES, ".3line", *_FASTA)
        found = find_splits(folders, names, suffixes)
        if not found:
            wanted = ", ".join(name for files in names.values() for name in files)
            raise ValueError(
                f"no file for {config.name} in {config.data_dir}; expected one of: {wanted}, with a suffix"
            )
        if "whole" in found and len(found) == 1:
            parts = ("train", "validation", "test")
        else:
            found.pop("whole", None)
            cut = "train" in found and "validation" not in found and config.validation_fraction > 0
            parts = tuple(sorted({*found, *(("validation",) if cut else ())}, key=_split_rank))
        return [datasets.SplitGenerator(name=part, gen_kwargs={"files": found, "part": part}) for part in parts]

    def _generate_tables(self, files: dict[str, list[Path]], part: str) -> Iterator[tuple[Any, pa.Table]]:
        schema = self.info.features.arrow_schema
        rows: list[dict[str, Any]] = []
        count = 0
        for row in _rows_of_part(self.config, files, part):
            rows.append(row)
            count += 1
            if len(rows) == 500:
                yield (part, count), pa.Table.from_pylist(rows, schema=schema)
                rows = []
        if rows:
            yield (part, count), pa.Table.from_pylist(rows, schema=schema)
        if not count:
            names = ", ".join(path.name for paths in files.values() for path in paths)
            raise ValueError(
                f"{self.config.name}: the {part} split is empty ({names}); set validation_fraction=0 or another seed "
                "for a small set, or give the split its own file"
            )


def _split_rank(name: str) -> tuple[int, str]:
    order = ("train", "validation", "test")
    return (order.index(name) if name in order else len(order), name)


def _features(config: PlusTasksConfig) -> datasets.Features:
    text, letters = datasets.Value("string"), datasets.Value("large_string")
    common = {"id": text, "sequence": letters}
    topology = ["inside", "outside", "membrane", *(["signal"] if config.signal_class else [])]
    own: dict[str, dict[str, Any]] = {
        "solubility": {"label": datasets.ClassLabel(names=["insoluble", "soluble"])},
        "localization": {"label": datasets.ClassLabel(names=list(LOCALIZATIONS))},
        "transmembrane": {"labels": datasets.List(datasets.ClassLabel(names=topology))},
        "hsp": {"label": datasets.ClassLabel(names=list(HSP_CLASSES))},
        "signal_peptide": {"label": datasets.ClassLabel(names=["none", "signal_peptide"])},
    }
    if config.name == "homology":
        pair = {"id_a": text, "id_b": text, "sequence_a": letters, "sequence_b": letters}
        return datasets.Features({**pair, "label": datasets.ClassLabel(names=list(LEVELS))})
    return datasets.Features({**common, **own[config.name]})


def _folders(config: PlusTasksConfig, dl_manager: Any) -> list[Path]:
    """Folders to search, most specific first."""
    names = (*_FOLDERS.get(config.name, ()), config.name)
    if config.data_dir is not None:
        root = Path(config.data_dir)
    elif config.name in _SOURCES:
        source = _SOURCES[config.name]
        if config.mirror:
            first = f"{config.mirror.rstrip('/')}/{source.urls[0].rpartition('/')[2]}"
            source = Source(urls=(first, *source.urls), md5=source.md5)
        root = fetch_and_extract(dl_manager, source)
        # the published archives hold their files one or two folders down
        below = sorted(path for path in root.glob("*/**/") if path.suffix != ".lmdb")
        return [root, *below]
    else:
        raise ValueError(f"{config.name} has no public address known here; pass data_dir=FOLDER with your files")
    folders = [*(root / name for name in names), root]
    archives = [folder / f"{name}.tar.gz" for folder in folders for name in (*names, "scope")]
    for archive in archives:
        if archive.is_file():
            unpacked = Path(str(dl_manager.extract(str(archive))))
            folders += [unpacked, *sorted(path for path in unpacked.glob("*/**/") if path.suffix != ".lmdb")]
    return folders


def _rows_of_part(config: PlusTasksConfig, files: Mapping[str, list[Path]], part: str) -> Iterator[dict[str, Any]]:
    """Rows of one split: its own files, or its share of the training files or of the one file."""
    if config.name == "homology":
        yield from _homology_rows(config, files, part)
        return
    if "whole" in files and len(files) == 1:
        for row, record in _rows(config, files["whole"]):
            if _fold_part(config, row, record) == part:
                yield row
        return
    if part in files and not (part == "train" and "validation" not in files):
        yield from (row for row, _ in _rows(config, files[part]))
        return
    for row, _ in _rows(config, files["train"]):
        held_out = _place(config, row["sequence"]) < config.validation_fraction
        if held_out == (part == "validation"):
            yield row


def _place(config: PlusTasksConfig, key: str) -> float:
    digest = hashlib.blake2b(f"{config.seed}\n{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _fold_part(config: PlusTasksConfig, row: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """Split of a protein of a one-file source: its own fold or mark, else one of five by a hash of the sequence."""
    if config.name == "localization":
        if str(record.get("mark", "")) == "test":
            return "test"
        return "validation" if _place(config, row["sequence"]) < config.validation_fraction else "train"
    fold = int(record["cv_fold"]) if "cv_fold" in record else int(_place(config, row["sequence"]) * 5)
    if fold == config.test_fold:
        return "test"
    return "validation" if fold == config.validation_fold else "train"


def _rows(config: PlusTasksConfig, paths: list[Path]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(row, source record) of the files of one split; records of another protein type are left out, counted."""
    left_out: Counter[str] = Counter()
    for path in paths:
        for index, record in enumerate(_records(config, path)):
            kind = record.get("protein_type")
            if config.name == "transmembrane" and kind is not None and config.protein_type not in ("all", kind):
                left_out[kind] += 1
                continue
            yield _row(config, record, f"{path.name}, record {index}", peer=path.suffix == ".lmdb"), record
    if left_out:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(left_out.items()))
        _logger.info(f"protein_type={config.protein_type!r} leaves out {kinds}")


def _records(config: PlusTasksConfig, path: Path) -> Iterator[dict[str, Any]]:
    """Records of a table, of an archive, of FASTA with the label in the header, or of three-line text."""
    if path.suffix in RECORD_SUFFIXES:
        yield from read_records(path)
    elif config.name == "transmembrane":
        yield from _three_line_records(path)
    else:
        for entry in read_fasta(path):
            fields = entry.description.split()
            if not fields:
                raise ValueError(f"{path}: record {entry.id!r} has no label; expected '>{entry.id} LABEL'")
            yield {"id": entry.id, "sequence": entry.sequence, "label": fields[0], "mark": " ".join(fields[1:])}


def _three_line_records(path: Path) -> Iterator[dict[str, Any]]:
    lines = [text_of(line)[0].strip() for _, line in numbered_lines(path) if line.strip()]
    if not lines or len(lines) % 3 or not all(line.startswith(">") for line in lines[::3]):
        raise ValueError(f"{path} is not in three-line form (header, sequence, one label a residue)")
    for header, sequence, topology in zip(lines[::3], lines[1::3], lines[2::3], strict=True):
        yield {"id": header[1:].split()[0], "sequence": sequence, "topology": topology}


def _row(config: PlusTasksConfig, record: Mapping[str, Any], where: str, *, peer: bool) -> dict[str, Any]:
    sequence = clean_protein(first_present(record, ("sequence", "primary"), where), where)
    row: dict[str, Any] = {"id": str(record.get("uniprot_id", record.get("id", ""))), "sequence": sequence}
    if config.name == "transmembrane":
        states = {**_TOPOLOGY, "S": 3 if config.signal_class else IGNORED}
        topology = first_present(record, ("topology", "labels"), where)
        row["labels"] = residue_labels(topology, states, len(sequence), where)
        return row
    if config.max_length is not None and len(sequence) > config.max_length:
        half = config.max_length // 2
        row["sequence"] = sequence[: config.max_length - half] + sequence[-half:]
    columns = {
        "solubility": ("soluble", "solubility", "label"),
        "localization": ("localization", "label"),
        "hsp": ("family", "label"),
        "signal_peptide": ("label",),
    }
    value = first_present(record, columns[config.name], where)
    row["label"] = _class_id(config.name, value, where, peer=peer)
    return row


def _class_id(task: str, value: Any, where: str, *, peer: bool) -> int:
    """Class id of a source's label: a name, our id, or (PEER's localization archive) an id in another order."""
    names = {"localization": LOCALIZATIONS, "hsp": HSP_CLASSES}.get(task, ("0", "1"))
    if isinstance(value, str) and not value.isdigit():
        wanted = _folded(value.split("-")[0] if task == "localization" else value)
        for index, name in enumerate(names):
            if _folded(name) == wanted:
                return index
        raise ValueError(f"{where}: unknown class {value!r}; known: {', '.join(names)}")
    number = int(number_of(value, where, "label"))
    if not 0 <= number < len(names):
        raise ValueError(f"{where}: class {number} is not in 0..{len(names) - 1}")
    if peer and task == "localization":
        return LOCALIZATIONS.index(_PEER_LOCALIZATIONS[number])
    return number


def _folded(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _homology_rows(config: PlusTasksConfig, files: Mapping[str, list[Path]], part: str) -> Iterator[dict[str, Any]]:
    """Pairs as the file lists them, or drawn from a FASTA file with SCOP codes."""
    pairs_cut = part == "validation" and "validation" not in files
    paths = files["train"] if pairs_cut else files[part]
    if paths[0].suffix in RECORD_SUFFIXES or "pairs" in paths[0].name:
        if pairs_cut:
            raise ValueError("homology pairs cannot be cut into training and validation; give a validation file")
        yield from _listed_pairs(paths)
        return
    entries = [entry for path in paths for entry in read_fasta(path)]
    if "validation" not in files and config.validation_fraction > 0 and part in ("train", "validation"):
        held_out = [_place(config, entry.sequence.upper()) < config.validation_fraction for entry in entries]
        entries = [entry for entry, out in zip(entries, held_out, strict=True) if out == (part == "validation")]
    if entries:
        yield from _drawn_pairs(config, entries, part, paths[0].name)


def _drawn_pairs(config: PlusTasksConfig, entries: list[Any], part: str, where: str) -> Iterator[dict[str, Any]]:
    codes = []
    for entry in entries:
        fields = entry.description.split()
        if not fields:
            raise ValueError(f"{where}: record {entry.id!r} has no SCOP code; expected '>{entry.id} a.1.1.1'")
        codes.append(fields[0])
    sequences = [clean_protein(entry.sequence, f"{where}, record {entry.id!r}") for entry in entries]
    rng, pairs = np.random.default_rng([config.seed, part == "train"]), HomologyPairs(codes)
    if part == "train":
        first, second, levels = pairs.draw(config.num_pairs, rng, tau=config.tau, legacy=config.legacy)
    else:
        first, second, levels = pairs.distinct(config.num_test_pairs, rng, tau=config.tau)
    for a, b, level in zip(first.tolist(), second.tolist(), levels.tolist(), strict=True):
        yield {
            "id_a": entries[a].id,
            "id_b": entries[b].id,
            "sequence_a": sequences[a],
            "sequence_b": sequences[b],
            "label": level,
        }


def _listed_pairs(paths: list[Path]) -> Iterator[dict[str, Any]]:
    for path in paths:
        # The published lists end in `.txt`.
        records = read_records(path) if path.suffix in RECORD_SUFFIXES else (row for _, row in open_table(path).rows())
        for index, record in enumerate(records):
            where = f"{path.name}, pair {index}"
            level = int(number_of(first_present(record, ("similarity", "label"), where), where, "similarity"))
            if not 0 <= level < len(LEVELS):
                raise ValueError(f"{where}: similarity {level} is not in 0..{len(LEVELS) - 1}")
            row: dict[str, Any] = {"label": level}
            for side in ("a", "b"):
                names = (f"sequence_{side.upper()}", f"sequence_{side}")
                row[f"sequence_{side}"] = clean_protein(first_present(record, names, where), where)
                row[f"id_{side}"] = str(record.get(f"pdb_id_{side.upper()}", record.get(f"id_{side}", "")))
            yield row
