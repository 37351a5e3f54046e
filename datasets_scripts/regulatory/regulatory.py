"""Short stretches of DNA with a class: promoters, enhancers, binding sites, splice sites; GUE and genomic-benchmarks.

Every set is read by one reader, whatever it comes as: tables (also DNABERT's, whose sequences are overlapping k-mers
with spaces between), or one folder a class with one sequence a file, as genomic-benchmarks unpacks them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal

import datasets
import pyarrow as pa

from seqformers.datasets_scripts.common import leakage
from seqformers.datasets_scripts.common.options import check_options
from seqformers.datasets_scripts.common.records import find_splits, read_records
from seqformers.datasets_scripts.common.sources import Source, fetch, fetch_and_extract

__all__ = ["RegulatoryBuilder", "RegulatoryConfig", "folded"]

_SPLITS: dict[str, tuple[str, ...]] = {
    "train": ("train", "train-*", "train_*", "*_train"),
    "validation": ("dev", "valid", "validation", "validation-*", "val"),
    "test": ("test", "test-*", "test_*", "*_test"),
}
_SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl")
_LETTERS = (".data", ".dat")  # a letter a column, as machine-learning collections have splice junctions
_SEQUENCE, _LABEL = ("sequence", "seq", "text", "dna"), ("label", "labels", "is_enhancer", "y", "class")
_ROWS_AT_ONCE = 20_000
_K = 21

Row = tuple[str, str, int]  # id, sequence, class


@dataclass(frozen=True)
class _Task:
    """What is known of a set beforehand: classes in the order of their numbers, places in a folder, and the paper."""

    classes: tuple[str, ...]
    citation: str
    folders: tuple[str, ...] = ()
    leaked: Literal["train", "test", "keep"] = "keep"
    single: str | None = None  # name of the one file, where it is not that of the set


_GB = "Gresova et al. 2023, Genomic benchmarks, BMC Genomic Data 24:25"
_GUE = "Zhou et al. 2024, DNABERT-2, ICLR (GUE)"
_ENHANCERS = (
    "Liu et al. 2016, iEnhancer-2L, Bioinformatics 32:362; Liu et al. 2018, iEnhancer-EL, Bioinformatics 34:3835"
)
_JUNCTIONS = "Noordewier, Towell and Shavlik 1991, NIPS 3:530 (splice junctions of primates, Genbank 64.1)"
_TASKS = {
    "promoters": _Task(
        ("non-promoter", "promoter"), "Ji et al. 2021, DNABERT, Bioinformatics 37:2112", ("promoter_core_dnabert",)
    ),
    "enhancers": _Task(("non-enhancer", "enhancer"), _ENHANCERS, ("enhancers_ienhancer",), "train"),
    "enhancer_strength": _Task(("weak", "strong"), _ENHANCERS, ("enhancers_ienhancer",), "train"),
    "splice": _Task(("0", "1", "2"), _GUE, ("splice/reconstructed", "GUE/splice/reconstructed", "splice")),
    "splice_junctions": _Task(("EI", "IE", "N"), _JUNCTIONS, ("splice", "splice_junctions"), single="splice"),
    "tfbs": _Task(("unbound", "bound"), _GUE, ("tf/0", "GUE/tf/0")),
    **{
        name: _Task(classes, _GB, (name, "genomic_benchmarks", "genomic_benchmarks_test_only"))
        for name, classes in {
            "human_nontata_promoters": ("negative", "positive"),
            "human_enhancers_cohn": ("negative", "positive"),
            "human_enhancers_ensembl": ("negative", "positive"),
            "human_ensembl_regulatory": ("enhancer", "ocr", "promoter"),
            "human_ocr_ensembl": ("negative", "positive"),
            "drosophila_enhancers_stark": ("negative", "positive"),
            "demo_coding_vs_intergenomic_seqs": ("coding_seqs", "intergenomic_seqs"),
            "demo_human_or_worm": ("human", "worm"),
        }.items()
    },
    "table": _Task(("0", "1"), "that of the files"),
}


@dataclass
class RegulatoryConfig(datasets.BuilderConfig):
    """Options of the builder.

    Args:
        subset (`str`, *optional*): Folder below `data_dir` that holds the split files, such as `tf/3` of GUE.
        classes (`tuple[str]`, *optional*): Names of the classes in the order of their numbers, where they differ from
            those known.
        leaked (`"train"`, `"test"`, `"keep"` or `"auto"`, *optional*, defaults to `"auto"`): Where a sequence of the
            test or validation split is left out that stands in train too; named in the report. `"auto"`: `"train"` for
            the enhancers, whose 100 strong test sequences are all in train; else `"keep"`.
        validation_fraction (`float`, *optional*, defaults to 0.1): Share of train that becomes validation where the
            source has none, by a hash of the sequence.
        test_fraction (`float`, *optional*, defaults to 0.2): The same for test, where the source is one file.
        seed (`int`, *optional*, defaults to 0): Of that hash.
        url (`str`, *optional*): Address of an archive of the split files, or of a table, where there is no `data_dir`.
        md5 (`str`, *optional*): Its checksum.
    """

    subset: str | None = None
    classes: tuple[str, ...] | None = None
    leaked: Literal["auto", "train", "test", "keep"] = "auto"
    validation_fraction: float = 0.1
    test_fraction: float = 0.2
    seed: int = 0
    url: str | None = None
    md5: str | None = None


class RegulatoryBuilder(datasets.ArrowBasedBuilder):
    """Build one set: id, sequence and class of every row."""

    VERSION = datasets.Version("1.0.0")
    BUILDER_CONFIG_CLASS = RegulatoryConfig
    BUILDER_CONFIGS: ClassVar[list[RegulatoryConfig]] = [
        RegulatoryConfig(name=name, version=datasets.Version("1.0.0")) for name in _TASKS
    ]
    DEFAULT_CONFIG_NAME = "promoters"

    def _info(self) -> datasets.DatasetInfo:
        check_options(self.config)
        for name in ("validation_fraction", "test_fraction"):
            if not 0 <= getattr(self.config, name) < 1:
                raise ValueError(f"{name} must be from 0 to below 1, got {getattr(self.config, name)}")
        task = _TASKS[self.config.name]
        self._names = tuple(self.config.classes or task.classes)
        features = {
            "id": datasets.Value("string"),
            "sequence": datasets.Value("string"),
            "label": datasets.ClassLabel(names=list(self._names)),
        }
        return datasets.DatasetInfo(
            description=f"Regulatory DNA, {self.config.name}",
            features=datasets.Features(features),
            license="not stated; the data belong to their authors",
            citation=task.citation,
        )

    def _split_generators(self, dl_manager: datasets.DownloadManager) -> list[datasets.SplitGenerator]:
        places = self._places(dl_manager)
        rows = {split: list(self._read(where)) for split, where in places.items()}
        if list(rows) != ["train"] and "train" not in rows:
            rows = {"train": [row for part in rows.values() for row in part]}  # published in part: split anew
        self._left_out = self._without_leaks(rows)
        if "test" not in rows:
            rows = self._drawn(rows, "test", self.config.test_fraction)
        if "validation" not in rows:
            rows = self._drawn(rows, "validation", self.config.validation_fraction)
        return [
            datasets.SplitGenerator(name=name, gen_kwargs={"rows": rows[name]})
            for name in ("train", "validation", "test")
            if rows.get(name)
        ]

    # -- where the files are -----------------------------------------------------------------------------------------

    def _places(self, dl_manager: datasets.DownloadManager) -> dict[str, list[Path]]:
        """Split -> its files, or its folder of classes; a set of one file is all train."""
        root = self._root(dl_manager)
        if root.is_file():
            return {"train": [root]}
        subset, name = self.config.subset, self.config.name
        if subset is not None and not (root / subset).is_dir():
            raise ValueError(f"{root} has no folder {subset!r} (option subset)")
        folders = [root / subset] if subset else [root, *(root / folder for folder in _TASKS[name].folders)]
        for folder in folders:
            parts = {split: folder / split for split in ("train", "test") if (folder / split).is_dir()}
            if "train" in parts and any(child.is_dir() for child in parts["train"].iterdir()):
                return {split: [path] for split, path in parts.items()}
            stem = _TASKS[name].single or name
            alone = [path for suffix in (*_SUFFIXES, *_LETTERS) if (path := folder / f"{stem}{suffix}").is_file()]
            if alone:
                return {"train": alone[:1]}
            found = find_splits([folder], _SPLITS, _SUFFIXES)
            if found:
                return found
        raise ValueError(
            f"{root} holds no files of {name}; expected train.csv, dev.csv and test.csv (or .tsv, .parquet, .jsonl), "
            f"{_TASKS[name].single or name}.parquet, or folders train/CLASS/ and test/CLASS/ with one sequence a file"
        )

    def _root(self, dl_manager: datasets.DownloadManager) -> Path:
        if self.config.data_dir is not None:
            root = Path(self.config.data_dir)
            if not root.exists():
                raise FileNotFoundError(f"there is no folder or file {root}")
            return root
        if self.config.url is None:
            raise ValueError(
                f"give data_dir=FOLDER with the files of {self.config.name}, or url=ADDRESS and md5=SUM of an archive "
                "or table of them"
            )
        source = Source(urls=(self.config.url,), md5=self.config.md5)
        if self.config.url.endswith((*_SUFFIXES, *_LETTERS)):
            return fetch(dl_manager, source)
        return fetch_and_extract(dl_manager, source)

    # -- what is in them ---------------------------------------------------------------------------------------------

    def _read(self, paths: Sequence[Path]) -> Iterator[Row]:
        for path in paths:
            if path.is_dir():
                yield from self._read_classes(path)
            else:
                yield from self._read_letters(path) if path.suffix in _LETTERS else self._read_table(path)

    def _read_classes(self, folder: Path) -> Iterator[Row]:
        """One folder a class, one sequence a file."""
        for child in sorted(path for path in folder.iterdir() if path.is_dir()):
            label = self._class(child.name, str(child))
            for file in sorted(child.glob("*.txt")):
                text = file.read_text(encoding="utf-8").strip()
                yield f"{child.name}/{file.stem}", _checked(text, str(file)), label

    def _read_letters(self, path: Path) -> Iterator[Row]:
        """Lines of `class, name, sequence` (UCI), or of a letter a column and the class behind them (KEEL)."""
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            fields, where = [part.strip() for part in line.split(",")], f"{path} line {number}"
            if line.startswith("@") or not line.strip():  # KEEL's header
                continue
            if len(fields) < 3:
                raise ValueError(f"{where} is neither `class, name, sequence` nor letters and a class behind them")
            uci = len(fields) == 3
            label, name = (fields[0], fields[1]) if uci else (fields[-1], str(number))
            sequence = _checked(fields[2] if uci else "".join(fields[:-1]), where)
            yield name, sequence, self._class(label, where)

    def _read_table(self, path: Path) -> Iterator[Row]:
        strength = self.config.name == "enhancer_strength"
        for number, record in enumerate(read_records(path), 1):
            where = f"{path} row {number}"
            sequence = next((record[name] for name in _SEQUENCE if record.get(name)), None)
            label = (
                record.get("strength")
                if strength
                else next((record[name] for name in _LABEL if record.get(name) is not None), None)
            )
            if strength and (label is None or str(label) in ("", "nan")):
                continue  # no enhancer
            if sequence is None or label is None:
                shown = ", ".join(map(str, list(record)[:8]))
                raise ValueError(
                    f"{where} has no {'sequence' if sequence is None else 'label'}; expected columns named "
                    f"{' or '.join(_SEQUENCE)} and {'strength' if strength else ' or '.join(_LABEL)}, found {shown}"
                )
            yield str(record.get("id") or number), _checked(str(sequence), where), self._class(label, where)

    def _class(self, label: Any, where: str) -> int:
        """Number of a class that is given by name or number."""
        text = str(label).strip()
        text = text.removesuffix(".0")
        if text in self._names:
            return self._names.index(text)
        if text.isdecimal() and int(text) < len(self._names):
            return int(text)
        raise ValueError(
            f"{where}: the class {text!r} is none of {', '.join(self._names)}; name the classes in the order of their "
            "numbers with the option classes=[...]"
        )

    # -- splits ------------------------------------------------------------------------------------------------------

    def _drawn(self, rows: dict[str, list[Row]], split: str, fraction: float) -> dict[str, list[Row]]:
        """Draw a split from train; equal sequences stay together, and no seed but the option's decides."""
        held = [_hashed(f"{self.config.seed} {split} {row[1]}") < fraction for row in rows["train"]]
        parts = list(zip(rows["train"], held, strict=True))
        return {**rows, "train": [row for row, out in parts if not out], split: [row for row, out in parts if out]}

    def _without_leaks(self, rows: dict[str, list[Row]]) -> dict[str, Any]:
        """Leave out what stands on both sides, from the side that `leaked` names; facts for the report."""
        how = self.config.leaked if self.config.leaked != "auto" else _TASKS[self.config.name].leaked
        held = {row[1] for name in ("validation", "test") for row in rows.get(name, [])}
        train = {row[1] for row in rows["train"]}
        both = held & train
        named = sorted({row[0] for name in ("validation", "test") for row in rows.get(name, []) if row[1] in both})
        if how == "train":
            rows["train"] = [row for row in rows["train"] if row[1] not in both]
        elif how == "test":
            for name in {"validation", "test"} & rows.keys():
                rows[name] = [row for row in rows[name] if row[1] not in both]
        return {"sequences_in_train_and_test": len(both), "left_out_of": how, "ids": named}

    def _generate_tables(self, rows: list[Row]) -> Iterator[tuple[Any, pa.Table]]:
        schema = self.info.features.arrow_schema
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            columns = zip(*rows[start : start + _ROWS_AT_ONCE], strict=True)
            names = ("id", "sequence", "label")
            yield start, pa.table(dict(zip(names, map(list, columns), strict=True)), schema=schema)

    # -- the report --------------------------------------------------------------------------------------------------

    def report(self, files: Mapping[str, list[Path]]) -> dict[str, Any]:
        """What train and test share (and what was left out for it), near copies, and what shortcuts score."""
        samples = {split: leakage.read_sample(paths) for split, paths in files.items()}
        found: dict[str, Any] = {"leaked": self._left_out}
        if len(samples) > 1:
            found["read_leakage"] = leakage.read_leakage(samples, k=_K)
        if "test" in samples:
            found["shortcuts"] = leakage.shortcuts(samples, self._names)
        return found

    def report_markdown(self, report: Mapping[str, Any]) -> str:
        """The report as a section of the card."""
        facts = report["leaked"]
        count, how = facts["sequences_in_train_and_test"], facts["left_out_of"]
        kept = "they were kept" if how == "keep" else f"they were left out of {how}"
        text = f"{count} sequences stood in train and in test or validation; {kept} (option `leaked`)."
        if count:
            text += f" Their ids: {', '.join(facts['ids'][:200])}{' ...' if len(facts['ids']) > 200 else ''}."
        return f"{leakage.report_markdown(report)}\n\n## Rows in two splits\n\n{text}\n"


def _hashed(text: str) -> float:
    """A number from 0 to below 1 that only the text decides."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def _checked(text: str, where: str) -> str:
    sequence = folded(text, where).upper()
    if not sequence or re.search("[^ACGTURYKMSWBDHVN]", sequence):
        raise ValueError(f"{where}: {sequence[:30]!r} is no DNA sequence")
    return sequence.replace("U", "T")


def folded(text: str, where: str = "this text") -> str:
    """The sequence of overlapping k-mers with spaces between (as DNABERT's files have it); other text as it is.

    Raises:
        ValueError: neighbouring k-mers do not overlap in all but one letter.

    Examples:
        >>> folded("ACG CGT GTT"), folded("ACGTT")
        ('ACGTT', 'ACGTT')
    """
    words = text.split()
    if len(words) < 2:
        return text.strip()
    for number, (one, other) in enumerate(pairwise(words), 1):
        if one[1:] != other[:-1]:
            raise ValueError(f"{where}: words {number} ({one}) and {number + 1} ({other}) are no overlapping k-mers")
    return words[0] + "".join(word[-1] for word in words[1:])
