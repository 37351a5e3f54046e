"""miRNA-target pairs and sites: miRAW in TargetNet's layout, expression changes, CLASH 2013, Hejret 2023, DeepMirTar.

Whatever the source stores, rows come out with both sequences 5'->3' in RNA letters. Sources: Min et al. 2022 and Pla
et al. 2018 (miRAW), Helwak et al. 2013 and Klimentova et al. 2022 (CLASH), Hejret et al. 2023, Wen et al. 2018
(DeepMirTar).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa

from seqformers.datasets_scripts.common.options import check_options
from seqformers.datasets_scripts.common.remarks import Remarks
from seqformers.datasets_scripts.common.sources import Source, fetch, fetch_and_extract
from seqformers.datasets_scripts.common.table_lines import read_fields
from seqformers.datasets_scripts.common.tables import open_table
from seqformers.datasets_scripts.miraw.target_report import report_markdown, target_report

__all__ = [
    "PUBLISHED_DIGESTS",
    "MirawBuilder",
    "MirawConfig",
    "content_digest",
    "group_split",
    "match_mirnas",
    "read_target_table",
]

_ARCHIVES = (
    "https://github.com/mswzeus/TargetNet/archive/b0c44ad.tar.gz",
    "https://github.com/VishwaSooriyaarchchi/test-repo/archive/a9d75ab0ef01.tar.gz",
)
_NAMES = ("non-target", "target")
_COLUMNS = ("mirna_id", "mirna_seq", "mrna_id", "mrna_seq")
# Names that other tables give the four columns.
_ALIASES = {"target_seq": "mrna_seq", "mirna_name": "mirna_id", "gene": "mrna_id"}
_WRONG = re.compile("[^ACGUNRYSWKMBDHV]")

# Configuration -> split -> file names without suffix; `*` stands for a number, which becomes `fold`.
_FILES: dict[str, dict[str, tuple[str, ...]]] = {
    "sites": {
        "train": ("miRAW_Train_Validation",),
        "validation": ("miRAW_Train_Validation", "miraw_val_cts", "targetnet_val"),
    },
    "pairs": {"test": ("miRAW_Test*", "miraw_test_*")},
    "lfc": {"test": ("LFC_Test", "lfc_test")},
    "clash": {"train": ("clash2013_train_1_1",), "test": ("clash2013_eval_1_1",)},
    "hejret": {"train": ("hejret2023_train",), "test": ("hejret2023_test",)},
    "deepmirtar": {"train": ("deepmirtar_train",), "validation": ("deepmirtar_valid",)},
}
_SUFFIXES = (".txt", ".tsv", ".csv", ".parquet")

# SHA-256 over the rows (see `content_digest`) of the ten published test files, as far as they could be had.
PUBLISHED_DIGESTS = {
    "miRAW_Test0": "ab1c1fb95906165ddb5d560673a7601ae77941634bc074101f62cd9a0a6ecf31",
    "miRAW_Test1": "6f7d23980b02b08a18e327ac2287bca9bc5561468030e93f77389a518bfa79a4",
    "miRAW_Test2": "9763d7403660e5f5237172945549bd3497fa0a8c0429a8f19a0818cbe306d952",
    "miRAW_Test3": "dc42497192aafedf92f68a7d1a20ab70c20ce15490abfb4d20647405ecaa66a0",
    "miRAW_Test4": "925d6119ff7dca00803c5e5ce7d689882aa38ecdb990df68495a08f91b2df2d4",
}


@dataclass
class MirawConfig(datasets.BuilderConfig):
    """Options of the miraw builder.

    Args:
        split_by (`str`, *optional*, defaults to `"published"`): Keep the published splits, or pool all rows and split
            anew by `"mirna"` (no miRNA on two sides) or `"gene"` (no mRNA on two sides).
        validation_fraction (`float`, *optional*, defaults to 0.1): Share of rows for validation in a new split.
        test_fraction (`float`, *optional*, defaults to 0.1): Share of rows for testing in a new split.
        seed (`int`, *optional*, defaults to 0): Of a new split.
        drop_duplicates (`bool`, *optional*, defaults to `False`): Keep one of rows that repeat a pair and its label.
        drop_conflicts (`bool`, *optional*, defaults to `False`): Leave out pairs that occur with both labels.
        mirna_match (`bool`, *optional*, defaults to `False`): Keep as many targets as non-targets of each miRNA in
            each split (and fold), drawn with `seed`, so that the miRNA alone says nothing.
        mirror (`str`, *optional*): Address of an archive tried first when no `data_dir` is given.
        sha256 (`str`, *optional*): Checksum the downloaded archive must have.
    """

    split_by: str = "published"
    validation_fraction: float = 0.1
    test_fraction: float = 0.1
    seed: int = 0
    drop_duplicates: bool = False
    drop_conflicts: bool = False
    mirna_match: bool = False
    mirror: str | None = None
    sha256: str | None = None


class MirawBuilder(datasets.ArrowBasedBuilder):
    """Build one table of miRNA targets; see the card for the configurations."""

    VERSION = datasets.Version("1.0.0")
    BUILDER_CONFIG_CLASS = MirawConfig
    BUILDER_CONFIGS: ClassVar[list[MirawConfig]] = [
        MirawConfig(name=name, version=datasets.Version("1.0.0")) for name in _FILES
    ]
    DEFAULT_CONFIG_NAME = "pairs"

    def _info(self) -> datasets.DatasetInfo:
        check_options(self.config)
        if self.config.split_by not in ("published", "mirna", "gene"):
            raise ValueError(f"split_by is 'published', 'mirna' or 'gene', not {self.config.split_by!r}")
        if not 0 <= self.config.validation_fraction + self.config.test_fraction < 1:
            raise ValueError("validation_fraction and test_fraction must leave rows to train on")
        target: dict[str, Any] = {"label": datasets.ClassLabel(names=list(_NAMES))}
        if self.config.name == "lfc":
            target = {"log_fold_change": datasets.Value("float32")}
        return datasets.DatasetInfo(
            description=f"miRNA targets, {self.config.name}",
            features=datasets.Features(
                {
                    "mirna_id": datasets.Value("string"),
                    "mirna_seq": datasets.Value("string"),
                    "mrna_id": datasets.Value("string"),
                    "mrna_seq": datasets.Value("large_string"),
                    **target,
                    "fold": datasets.Value("int32"),
                }
            ),
            homepage="https://github.com/mswzeus/TargetNet",
            license="MIT (TargetNet's files); the data belong to the authors of the cited sets",
            citation="Min et al. 2022, TargetNet, Bioinformatics; Pla et al. 2018, miRAW, PLoS Comput Biol",
        )

    def _split_generators(self, dl_manager: datasets.DownloadManager) -> list[datasets.SplitGenerator]:
        found = _find(self._folders(dl_manager), self.config.name)
        if not found:
            wanted = sorted({f"{name}.txt" for names in _FILES[self.config.name].values() for name in names})
            raise ValueError(
                f"{self.config.data_dir or 'the archive'} holds no file of {self.config.name!r}; expected "
                f"{', '.join(wanted)} (or .tsv, .csv, .parquet)"
            )
        tables = {split: self._clean(_gather(paths, self.config.name, split)) for split, paths in found.items()}
        tables = {split: table for split, table in tables.items() if len(table)}
        if self.config.split_by != "published":
            key = {"mirna": "mirna_seq", "gene": "gene"}[self.config.split_by]
            tables = group_split(
                tables,
                key,
                validation=self.config.validation_fraction,
                test=self.config.test_fraction,
                seed=self.config.seed,
            )
        if self.config.mirna_match:
            tables = {split: self._match(table) for split, table in tables.items()}
        return [datasets.SplitGenerator(name=split, gen_kwargs={"table": table}) for split, table in tables.items()]

    def _folders(self, dl_manager: datasets.DownloadManager) -> list[Path]:
        if self.config.data_dir is not None:
            root = Path(self.config.data_dir)
            return [root] if root.is_file() else [root, *(path for path in sorted(root.rglob("*")) if path.is_dir())]
        urls = (*((self.config.mirror,) if self.config.mirror else ()), *_ARCHIVES)
        if self.config.sha256:
            archive = fetch(dl_manager, Source(urls=urls))
            digest = hashlib.sha256(archive.read_bytes()).hexdigest()
            if digest != self.config.sha256:
                raise OSError(f"the archive has sha256 {digest}, not {self.config.sha256}; pass data_dir=FOLDER")
        root = fetch_and_extract(dl_manager, Source(urls=urls))
        for inner in [*root.rglob("*.tar.gz"), *root.rglob("*.zip")]:
            if inner.stat().st_size < 1024:
                raise OSError(
                    f"{inner.name} is a large-file pointer, not the data (the archive of the repository leaves large "
                    "files out); download the data from the project's page and pass data_dir=FOLDER"
                )
            dl_manager.extract(str(inner))
        return [root, *(path for path in sorted(root.rglob("*")) if path.is_dir())]

    def _clean(self, table: pd.DataFrame) -> pd.DataFrame:
        """Drop what the options say, with a counted warning."""
        target = "log_fold_change" if self.config.name == "lfc" else "label"
        pair = ["mirna_seq", "mrna_seq"]
        log = datasets.logging.get_logger(__name__)
        if self.config.drop_conflicts and target == "label":
            conflict = table.groupby(pair)["label"].transform("nunique") > 1
            if conflict.any():
                log.warning(f"left out {int(conflict.sum())} rows of pairs that occur with both labels")
            table = table[~conflict]
        if self.config.drop_duplicates:
            repeated = table.duplicated([*pair, target, "fold"])
            if repeated.any():
                log.warning(f"left out {int(repeated.sum())} rows that repeat another")
            table = table[~repeated]
        return table.reset_index(drop=True)

    def _match(self, table: pd.DataFrame) -> pd.DataFrame:
        if "label" not in table:
            raise ValueError(f"mirna_match balances labels; {self.config.name!r} has none")
        matched = match_mirnas(table, self.config.seed)
        datasets.logging.get_logger(__name__).warning(
            f"mirna_match: kept {len(matched)} of {len(table)} rows, as many targets as non-targets of each miRNA"
        )
        return matched

    def _generate_tables(self, table: pd.DataFrame) -> Iterator[tuple[Any, pa.Table]]:
        columns = list(self.info.features)
        schema = self.info.features.arrow_schema
        for begin in range(0, len(table), 2000):
            part = table[columns].iloc[begin : begin + 2000]
            yield (0, begin), pa.Table.from_pandas(part, schema=schema, preserve_index=False)

    def report(self, files: Mapping[str, list[Path]]) -> dict[str, Any]:
        """Duplicates, contradictions, shortcuts and overlap between splits of a finished build."""
        splits = {split: pd.concat(map(pd.read_parquet, paths), ignore_index=True) for split, paths in files.items()}
        report = target_report(splits)
        if self.config.name == "pairs" and self.config.split_by == "published":
            report["as_published"] = {
                f"fold {fold}": content_digest(rows) == PUBLISHED_DIGESTS[f"miRAW_Test{fold}"]
                for fold, rows in splits["test"].groupby("fold")
                if f"miRAW_Test{fold}" in PUBLISHED_DIGESTS
            }
        return report

    report_markdown = staticmethod(report_markdown)


def _find(folders: list[Path], config: str) -> dict[str, list[Path]]:
    """Files of each split; the first name that is there counts, numbered files count together."""
    if len(folders) == 1 and folders[0].is_file():
        return {next(reversed(_FILES[config])): [folders[0]]}
    found: dict[str, list[Path]] = {}
    for split, names in _FILES[config].items():
        for name in names:
            paths = sorted(
                path
                for folder in folders
                for suffix in _SUFFIXES
                for path in folder.glob(name + suffix)
                if path.is_file()
            )
            if paths:
                found[split] = sorted(paths, key=lambda path: [int(x) for x in re.findall(r"\d+", path.stem)])
                break
    return found


def _gather(paths: list[Path], config: str, split: str) -> pd.DataFrame:
    tables = []
    for path in paths:
        table = read_target_table(path, reverse_mirna=config == "deepmirtar", change=config == "lfc")
        if "fold" not in table:
            numbers = re.findall(r"\d+", path.stem)
            table["fold"] = int(numbers[-1]) if config == "pairs" and numbers else 0
        if "split" in table and config == "sites":
            wanted = {"train": "train", "validation": "val"}[split]
            table = table[table["split"].astype(str).str.startswith(wanted)]
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def read_target_table(path: str | Path, *, reverse_mirna: bool = False, change: bool = False) -> pd.DataFrame:
    """Read one table of miRNA-target rows, as published (by position) or with named columns.

    Args:
        path (`str` or `Path`): `.txt` (miRNA id, miRNA, mRNA id, mRNA, optional label, optional split; by position),
            or `.tsv`, `.csv`, `.parquet` with columns `mirna_seq`, `mrna_seq` (or `target_seq`) and `label`.
        reverse_mirna (`bool`): miRNAs are stored 3'->5' (DeepMirTar); a column `mirna_seq_5to3` is taken as it is.
        change (`bool`): The fifth column is a log fold change instead of a label.

    Returns:
        `pd.DataFrame`: `mirna_id`, `mirna_seq`, `mrna_id`, `mrna_seq` (both 5'->3', RNA letters), `label` (0 where the
        file has none) or `log_fold_change`, `gene` (the mRNA's id, else its sequence), and `split`, `fold` if stored.

    Raises:
        ValueError: a column is missing, or a value cannot be read; the message names file and row.
    """
    path = Path(path)
    table = _by_position(path) if path.suffix == ".txt" else pd.concat(open_table(path).frames(), ignore_index=True)
    table = table.rename(columns={old: new for old, new in _ALIASES.items() if new not in table})
    missing = {"mirna_seq", "mrna_seq"} - set(table)
    if missing:
        raise ValueError(f"{path} has no column {', '.join(sorted(missing))}; it has {', '.join(map(str, table))}")
    if "mirna_seq_5to3" in table:
        table["mirna_seq"] = table["mirna_seq_5to3"]
    elif reverse_mirna:
        table["mirna_seq"] = table["mirna_seq"].str[::-1]
    for column in ("mirna_seq", "mrna_seq"):
        table[column] = _rna(table[column], path, column)
    for column in ("mirna_id", "mrna_id"):
        table[column] = table.get(column)
    table["gene"] = table["mrna_id"].where(table["mrna_id"].notna(), table["mrna_seq"])
    if "test_fold" in table:
        table["fold"] = table["test_fold"].astype(int)
    target = _target(table, path, change)
    kept = [*_COLUMNS, "gene", *(name for name in ("split", "fold") if name in table)]
    return table[kept].assign(**{"log_fold_change" if change else "label": target})


def _by_position(path: Path) -> pd.DataFrame:
    """Rows of a published file, whose header does not name every column in every set."""
    remarks = Remarks()
    rows = list(read_fields(path, remarks))[1:]
    remarks.warn()
    width = len(rows[0][1]) if rows else 4
    if not 4 <= width <= 6:
        raise ValueError(f"{path} has {width} tab-separated columns; expected 4 to 6")
    for number, fields in rows:
        if len(fields) != width:
            raise ValueError(f"{path} line {number} has {len(fields)} columns, the lines above {width}")
    return pd.DataFrame([fields for _, fields in rows], columns=[*_COLUMNS, "label", "split"][:width], dtype=object)


def _rna(values: pd.Series, path: Path, column: str) -> pd.Series:
    values = values.map(lambda cell: cell.strip().upper().replace("T", "U") if isinstance(cell, str) else "")
    wrong = values.str.contains(_WRONG) | (values == "")
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        found = _WRONG.search(values.iloc[row])
        what = f"{found.group()!r} at position {found.start() + 1}" if found else "an empty sequence"
        raise ValueError(f"{path}: row {row + 1}, {column}: {what}; expected nucleotide letters")
    return values


def _target(table: pd.DataFrame, path: Path, change: bool) -> Any:
    names = ("log_fold_change", "lfc", "label") if change else ("label",)
    name = next((name for name in names if name in table), None)
    if name is None:
        if change:
            raise ValueError(f"{path} has no column log_fold_change")
        return np.zeros(len(table), dtype=np.int64)
    numbers = pd.to_numeric(table[name], errors="coerce").to_numpy()
    wrong = ~np.isfinite(numbers) if change else ~np.isin(numbers, (0, 1))
    if wrong.any():
        row = int(wrong.argmax())
        wanted = "a number" if change else "0 or 1"
        raise ValueError(f"{path}: row {row + 1}: {name} is {table[name].iloc[row]!r}; expected {wanted}")
    return numbers.astype(np.float32 if change else np.int64)


def group_split(
    tables: Mapping[str, pd.DataFrame], key: str, *, validation: float, test: float, seed: int
) -> dict[str, pd.DataFrame]:
    """Pool splits and split anew so that no value of `key` is on two sides.

    Args:
        tables (`Mapping[str, pd.DataFrame]`): Published splits.
        key (`str`): Column to keep together.
        validation (`float`): Share of rows for validation; 0 for none.
        test (`float`): Share of rows for testing; 0 for none.
        seed (`int`): Order in which groups are dealt out.

    Returns:
        `dict`: `train`, `validation`, `test`, those that have rows.
    """
    pool = pd.concat(tables.values(), ignore_index=True)
    groups = pool[key].to_numpy()
    names, owner, sizes = np.unique(groups.astype(str), return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    filled = np.cumsum(sizes[order]) / len(pool)
    side = np.full(len(names), 2, dtype=np.int8)
    side[order[filled <= test + validation]] = 1
    side[order[filled <= test]] = 0
    sides = side[owner]
    splits = {name: pool[sides == number] for number, name in ((2, "train"), (1, "validation"), (0, "test"))}
    return {name: table.reset_index(drop=True) for name, table in splits.items() if len(table)}


def match_mirnas(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """As many targets as non-targets of each miRNA in each fold, drawn at random, in the order given."""
    shuffled = table.sample(frac=1, random_state=seed)
    labels = shuffled.groupby(["fold", "mirna_seq"])["label"]
    targets = labels.transform("sum")
    fewer = targets.clip(upper=labels.transform("size") - targets)
    kept = shuffled.groupby(["fold", "mirna_seq", "label"]).cumcount() < fewer
    return table[kept.reindex(table.index)].reset_index(drop=True)


def content_digest(table: pd.DataFrame) -> str:
    """SHA-256 of the rows of one fold, whatever file they came in: ids, sequences and label, tab-separated."""
    digest = hashlib.sha256()
    for row in table[[*_COLUMNS, "label"]].itertuples(index=False):
        digest.update(("\t".join(map(str, row)) + "\n").encode())
    return digest.hexdigest()
