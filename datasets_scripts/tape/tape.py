"""TAPE (Rao et al. 2019, NeurIPS): secondary structure, contacts, remote homology, fluorescence, stability, Pfam.

Reads the published archives (LMDB or JSON), from the web or from `data_dir`, and plain tables of the same tasks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import datasets
import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from seqformers.datasets_scripts.common.options import check_options
from seqformers.datasets_scripts.common.protein_builder import ProteinBuilder
from seqformers.datasets_scripts.common.records import find_splits, read_records
from seqformers.datasets_scripts.common.residues import (
    IGNORED,
    clean_protein,
    first_present,
    number_of,
    residue_labels,
)
from seqformers.datasets_scripts.common.sources import Source, fetch_and_extract

__all__ = ["SS3_STATES", "SS8_STATES", "TapeBuilder", "TapeConfig", "contact_labels"]

SS3_STATES = ("H", "E", "C")
"""Order of TAPE's ids: 0 helix, 1 strand, 2 coil."""

SS8_STATES = ("G", "H", "I", "B", "E", "S", "T", "C")
"""Order of TAPE's and NetSurfP-2.0's ids 0-7."""

_FOLDS = 1195
_URL = "http://s3.amazonaws.com/songlabdata/proteindata/data_pytorch/{}.tar.gz"
_RAW_URL = "http://s3.amazonaws.com/songlabdata/proteindata/data_raw_pytorch/{}.tar.gz"
_PROTEINNET_MIRROR = "https://miladeepgraphlearningproteindata.s3.us-east-2.amazonaws.com/data/proteinnet.tar.gz"


@dataclass(frozen=True)
class _Task:
    """One task of the benchmark.

    Args:
        archive: Name of the upstream archive, of its folder, and first part of its files' names.
        splits: Our split name -> file names without suffix, `*` allowed, tried in order; `{}` is `archive`.
        md5: Checksum of the LMDB archive as TorchDrug records it; `None` where none is published.
        mirrors: Addresses tried after TAPE's own.
    """

    archive: str
    splits: dict[str, tuple[str, ...]]
    md5: str | None = None
    mirrors: tuple[str, ...] = ()


_TRAIN = ("{}_train", "train", "train_*", "train-*")
_VALIDATION = ("{}_valid", "valid", "validation", "dev", "valid_*", "validation_*", "valid-*", "validation-*")
_TEST = ("{}_test", "test", "test-*")

_TASKS = {
    "secondary_structure": _Task(
        "secondary_structure",
        {
            "train": (*_TRAIN, "Train_HHblits"),
            "validation": _VALIDATION,
            "cb513": ("{}_cb513", "cb513", "test_cb513", "cb513-*", "CB513_HHblits"),
            "casp12": ("{}_casp12", "casp12", "test_casp12", "casp12-*", "CASP12_HHblits"),
            "ts115": ("{}_ts115", "ts115", "test_ts115", "ts115-*", "TS115_HHblits"),
        },
        md5="2f61e8e09c215c032ef5bc8b910c8e97",
    ),
    "contact_prediction": _Task(
        "proteinnet",
        {
            "train": ("{}_train", "train", "train-*"),
            "train_unfiltered": ("{}_train_unfiltered", "train_unfiltered"),
            "validation": _VALIDATION,
            "test": _TEST,
        },
        md5="ab44ab201b1570c0171a2bba9eb4d389",
        mirrors=(_PROTEINNET_MIRROR,),
    ),
    "remote_homology": _Task(
        "remote_homology",
        {
            "train": _TRAIN,
            "validation": _VALIDATION,
            "test_fold_holdout": ("{}_test_fold_holdout", "test_fold_holdout", "test", "test_fold_holdout-*"),
            "test_superfamily_holdout": ("{}_test_superfamily_holdout", "test_superfamily_holdout"),
            "test_family_holdout": ("{}_test_family_holdout", "test_family_holdout"),
        },
        md5="1d687bdeb9e3866f77504d6079eed00a",
    ),
    "fluorescence": _Task(
        "fluorescence",
        {"train": _TRAIN, "validation": _VALIDATION, "test": _TEST},
        md5="d63d1d51ec8c20ff0d981e4cbd67457a",
    ),
    "stability": _Task(
        "stability",
        {"train": _TRAIN, "validation": _VALIDATION, "test": _TEST},
        md5="aa1e06eb5a59e0ecdae581e9ea029675",
    ),
    "language_modeling": _Task(
        "pfam",
        {"train": _TRAIN, "validation": _VALIDATION, "holdout": ("{}_holdout", "holdout", "holdout-*")},
    ),
}


@dataclass
class TapeConfig(datasets.BuilderConfig):
    """Options of the TAPE builder.

    Args:
        states (`int`, *optional*, defaults to 3): Secondary structure with 3 or 8 states.
        mirror (`str`, *optional*): Folder address tried before TAPE's own; `<mirror>/<archive>.tar.gz` is fetched.
        raw (`bool`, *optional*, defaults to `False`): Fetch the JSON archives instead of the LMDB ones.
        drop_test_duplicates (`bool`, *optional*, defaults to `False`): Leave training sequences out that are also in
            another split (26 of stability, 1 of NetSurfP-2.0 against CB513), counted in a warning.
    """

    states: int = 3
    mirror: str | None = None
    raw: bool = False
    drop_test_duplicates: bool = False


class TapeBuilder(ProteinBuilder):
    """Build one TAPE task; the configuration is the task's name."""

    VERSION = datasets.Version("1.0.0")
    BUILDER_CONFIG_CLASS = TapeConfig
    BUILDER_CONFIGS: ClassVar[list[TapeConfig]] = [
        TapeConfig(name=name, version=datasets.Version("1.0.0")) for name in _TASKS
    ]
    DEFAULT_CONFIG_NAME = "secondary_structure"

    def _info(self) -> datasets.DatasetInfo:
        check_options(self.config)
        if self.config.states not in (3, 8):
            raise ValueError(f"states is 3 or 8, not {self.config.states}")
        return datasets.DatasetInfo(
            description=f"TAPE {self.config.name}",
            features=_features(self.config),
            homepage="https://github.com/songlab-cal/tape",
            license="BSD-3-Clause (code); the data belong to the authors of the cited sets",
            citation="Rao et al. 2019, Evaluating Protein Transfer Learning with TAPE, NeurIPS",
        )

    def _split_generators(self, dl_manager: datasets.DownloadManager) -> list[datasets.SplitGenerator]:
        task = _TASKS[self.config.name]
        folders = self._folders(dl_manager, task)
        patterns = {split: [name.format(task.archive) for name in names] for split, names in task.splits.items()}
        found = find_splits(folders, patterns)
        if not found:
            wanted = ", ".join(f"{task.archive}_{split}.lmdb" for split in task.splits)
            raise ValueError(
                f"{self.config.data_dir} holds no file of TAPE's {self.config.name}; expected "
                f"{task.archive}.tar.gz, {wanted} (or .json), or tables named train.parquet, valid.parquet, ..."
            )
        # Tuples: streaming takes a list in these arguments for shards.
        leak = tuple(path for split, paths in found.items() if not split.startswith("train") for path in paths)
        return [
            datasets.SplitGenerator(
                name=split, gen_kwargs={"paths": paths, "held_out": leak if split.startswith("train") else ()}
            )
            for split, paths in found.items()
        ]

    def _folders(self, dl_manager: datasets.DownloadManager, task: _Task) -> list[Path]:
        """Folders to search: the user's, or the unpacked archive."""
        if self.config.data_dir is None:
            template = _RAW_URL if self.config.raw else _URL
            urls = (template.format(task.archive), *(() if self.config.raw else task.mirrors))
            if self.config.mirror:
                urls = (f"{self.config.mirror.rstrip('/')}/{task.archive}.tar.gz", *urls)
            source = Source(urls=urls, md5=None if self.config.raw else task.md5)
            root = Path(fetch_and_extract(dl_manager, source))
            return [root / task.archive, root]
        root = Path(self.config.data_dir)
        folders = [root / task.archive, root / self.config.name, root]
        for folder in (root, root / task.archive, root / self.config.name):
            archive = folder / f"{task.archive}.tar.gz"
            if archive.is_file():
                unpacked = Path(str(dl_manager.extract(str(archive))))
                folders += [unpacked / task.archive, unpacked]
        return folders

    def _generate_tables(self, paths: list[Path], held_out: tuple[Path, ...]) -> Iterator[tuple[Any, pa.Table]]:
        schema = self.info.features.arrow_schema
        leaked = self._held_out_sequences(held_out) if self.config.drop_test_duplicates else set()
        rows: list[dict[str, Any]] = []
        dropped = 0
        for path in paths:
            for index, record in enumerate(read_records(path)):
                row = _row(self.config, record, f"{path.name}, record {index}")
                if row["sequence"] in leaked:
                    dropped += 1
                    continue
                rows.append(row)
                if len(rows) == 500:
                    yield (path.name, index), pa.Table.from_pylist(rows, schema=schema)
                    rows = []
        if rows:
            yield ("last", 0), pa.Table.from_pylist(rows, schema=schema)
        if dropped:
            datasets.logging.get_logger(__name__).warning(
                f"left out {dropped} training records whose sequence is also in another split"
            )

    def _held_out_sequences(self, held_out: tuple[Path, ...]) -> set[str]:
        return {_sequence(record, path.name) for path in held_out for record in read_records(path)}


def _features(config: TapeConfig) -> datasets.Features:
    common = {"id": datasets.Value("string"), "sequence": datasets.Value("large_string")}
    states = SS3_STATES if config.states == 3 else SS8_STATES
    own: dict[str, dict[str, Any]] = {
        "secondary_structure": {"labels": datasets.List(datasets.ClassLabel(names=list(states)))},
        "contact_prediction": {
            "tertiary": datasets.List(datasets.List(datasets.Value("float32"))),
            "valid_mask": datasets.List(datasets.Value("bool")),
        },
        "remote_homology": {"label": datasets.ClassLabel(num_classes=_FOLDS)},
        "fluorescence": {"label": datasets.Value("float32"), "num_mutations": datasets.Value("int32")},
        "stability": {"label": datasets.Value("float32")},
        "language_modeling": {"family": datasets.Value("string"), "clan": datasets.Value("string")},
    }
    return datasets.Features({**common, **own[config.name]})


def _row(config: TapeConfig, record: dict[str, Any], where: str) -> dict[str, Any]:
    """One upstream record or table row -> one row of our columns."""
    sequence = _sequence(record, where)
    row: dict[str, Any] = {"id": _text(record["id"]), "sequence": sequence}
    task = config.name
    if task == "secondary_structure":
        states = {letter: i for i, letter in enumerate(SS3_STATES if config.states == 3 else SS8_STATES)}
        values, known = _structure(config.states, record, where)
        row["labels"] = residue_labels(values, states, len(sequence), where, known=known)
    elif task == "contact_prediction":
        row |= _coordinates(record, len(sequence), where)
    elif task == "remote_homology":
        row["label"] = int(number_of(first_present(record, ("fold_label", "label"), where), where, "fold_label"))
        if not 0 <= row["label"] < _FOLDS:
            raise ValueError(f"{where}: fold_label {row['label']} is not in 0..{_FOLDS - 1}")
    elif task in ("fluorescence", "stability"):
        name = "log_fluorescence" if task == "fluorescence" else "stability_score"
        row["label"] = number_of(first_present(record, (name, "label"), where), where, name)
        if task == "fluorescence":
            count = record.get("num_mutations", record.get("n_mutations"))
            row["num_mutations"] = None if count in (None, "") else int(number_of(count, where, "num_mutations"))
    else:
        row |= {name: _text(record.get(name)) for name in ("family", "clan")}
    return row


def _sequence(record: dict[str, Any], where: str) -> str:
    """The residues, of a TAPE archive, a table, or a file of NetSurfP-2.0's sets."""
    return clean_protein(first_present(record, ("sequence", "primary", "input"), where), where)


def _structure(states: int, record: dict[str, Any], where: str) -> tuple[Any, Any]:
    """States of a protein, and which of its residues count (None: all).

    Files of NetSurfP-2.0's sets (`TS115_HHblits.csv`) have blanks between the residues and two masks: `disorder` is 1
    where the structure is resolved, `cb513_mask` 1 where a residue belongs to the test.
    """
    if f"dssp{states}" not in record:
        values = first_present(record, (f"ss{states}", "labels"), where)
        return values, _restore_zeros(record.get("resolved_mask", record.get("valid_mask")), values)
    masks = [record[name] for name in ("disorder", "cb513_mask") if record.get(name)]
    known = [[number_of(cell, where, "mask") == 1 for cell in str(mask).split()] for mask in masks]
    if len({len(mask) for mask in known}) > 1:
        raise ValueError(f"{where}: disorder has {len(known[0])} numbers, cb513_mask {len(known[1])}")
    return "".join(record[f"dssp{states}"].split()), [all(cell) for cell in zip(*known, strict=True)] or None


def _restore_zeros(mask: Any, states: Any) -> Any:
    """Give a mask of 0/1 text back the leading zeros that it lost by passing through a number.

    The public tables of CB513 have this fault (174 of 513 rows). Unresolved residues carry coil, so the zeros are put
    back only where the states agree; otherwise the mask stays too short and the length check names the record.
    """
    if isinstance(mask, str) and isinstance(states, str) and mask.startswith("1") and len(mask) < len(states):
        missing = len(states) - len(mask)
        if states[:missing] == "C" * missing:
            return "0" * missing + mask
    return mask


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        return value.decode()
    return None if value is None else str(value)


def _coordinates(record: dict[str, Any], length: int, where: str) -> dict[str, Any]:
    """C-alpha coordinates and the mask of residues that have them; missing ones (NaN) are masked, not invented."""
    tertiary = np.array(first_present(record, ("tertiary",), where), dtype=np.float32)
    if tertiary.shape != (length, 3):
        raise ValueError(f"{where}: coordinates of shape {tertiary.shape} for {length} residues; expected (L, 3)")
    mask = record.get("valid_mask")
    valid = np.ones(length, dtype=bool) if mask is None else np.asarray(mask).astype(bool)
    if valid.shape != (length,):
        raise ValueError(f"{where}: a valid_mask of {valid.size} for {length} residues")
    finite = np.all(np.isfinite(tertiary), axis=1)
    return {"tertiary": np.where(finite[:, None], tertiary, 0).tolist(), "valid_mask": (valid & finite).tolist()}


def contact_labels(
    tertiary: ArrayLike,
    valid_mask: ArrayLike | None = None,
    *,
    threshold: float = 8.0,
    min_separation: int = 6,
    ignore_index: int = IGNORED,
) -> NDArray[np.int64]:
    """Contact map of one protein, as TAPE defines it.

    Args:
        tertiary (`(L, 3)` of float): C-alpha coordinates in Å; NaN where missing.
        valid_mask (`(L,)` of bool, *optional*): Residues whose coordinates count; default all.
        threshold (`float`, *optional*, defaults to 8.0): Å; a contact is strictly nearer.
        min_separation (`int`, *optional*, defaults to 6): Pairs with a smaller |i - j| are ignored.
        ignore_index (`int`, *optional*, defaults to -100): Label of ignored pairs; TAPE writes -1.

    Returns:
        `(L, L)` of int: 1 contact, 0 none, `ignore_index` where either residue is not valid or the pair is too near
        in sequence.

    Examples:
        >>> contact_labels([[0, 0, 0]] * 7)[0].tolist()
        [-100, -100, -100, -100, -100, -100, 1]
    """
    points = np.asarray(tertiary, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"coordinates of shape {points.shape}; expected (L, 3)")
    valid = np.all(np.isfinite(points), axis=1)
    if valid_mask is not None:
        mask = np.asarray(valid_mask).astype(bool)
        if mask.shape != valid.shape:
            raise ValueError(f"a valid_mask of {mask.size} for {len(points)} residues")
        valid &= mask
    points = np.where(np.isfinite(points), points, 0)
    labels = (cdist(points, points) < threshold).astype(np.int64)
    gap = np.abs(np.subtract.outer(np.arange(len(points)), np.arange(len(points))))
    labels[~(valid[:, None] & valid[None, :]) | (gap < min_separation)] = ignore_index
    return labels
