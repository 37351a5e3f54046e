"""Genomes of any classes as arrays: letters at two bits each in one file, and a row of the index a record.

Unlike the other builders this one stores no reads: `GenomeArrays` maps what it writes and `ReadSampler` draws from it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa

from seqformers.datasets_scripts.common import leakage
from seqformers.datasets_scripts.common.genomes import GenomeRecord, write_store
from seqformers.datasets_scripts.common.options import check_options
from seqformers.datasets_scripts.common.similarity import group_similar_genomes
from seqformers.datasets_scripts.common.splits import split_groups
from seqformers.datasets_scripts.common.two_bit import FILES, write_two_bit
from seqformers.datasets_scripts.genomes import ncbi
from seqformers.datasets_scripts.phage import sources
from seqformers.datasets_scripts.phage.sources import Census

__all__ = ["GenomesBuilder", "GenomesConfig"]

SPLITS = ("train", "validation", "test")
_ONE_CLASS = ("genome",)
_ROWS_PER_TABLE = 100_000


@dataclass
class GenomesConfig(datasets.BuilderConfig):
    """Options of the genomes data set.

    Args:
        seed (`int`): Seed of the split.
        split_fractions (`tuple`): Shares of train, validation, test in letters of each class; a 0 leaves a split out.
        columns (`dict`): Names of the table columns `sequence`, `label`, `group`, `genome_id`, where not the usual.
        genome_from (`str`), groups_file (`str`): How FASTA files become genomes and groups; see the card.
        groups (`str`): Where the input names no groups: `"similarity"` joins genomes that share sequence, `"none"`
            makes every genome its own group.
        source (`str`): `"ncbi"` fetches RefSeq's viral release with Virus-Host DB (phages and other viruses) and
            assemblies of NCBI's summaries (hosts, and their plasmids); needs the network.
        classes (`tuple`): The classes that are kept of `source`.
        summaries (`dict`): Class -> address of an assembly summary.
        levels (`tuple`), per_genus, max_genomes (`int`): Assemblies of a summary that are taken: of these levels, so
            many of a genus, references first, and so many in all (0: no limit).
        viral_urls (`tuple`), hosts_url (`str`), group_rank (`str`): The viral release, Virus-Host DB's table, and
            whether viruses of one `"genus"` or `"family"` stay together.
        url_lists (`dict`): Class -> file with an address of a FASTA file a line and, if known, its MD5 or SHA-256:
            further classes beside `source`, or a set of their own.
        mirror (`str`), checksums (`dict`): A host that stands in for all others; file name -> checksum.
    """

    seed: int = 0
    split_fractions: tuple[float, ...] = (0.8, 0.1, 0.1)
    columns: dict[str, str] = field(default_factory=dict)
    genome_from: str = "auto"
    groups_file: str | None = None
    groups: str = "similarity"
    source: str | None = None
    classes: tuple[str, ...] = ("bacterium", "archaeon", "plasmid", "phage", "virus")
    summaries: dict[str, str] = field(default_factory=lambda: dict(ncbi.SUMMARIES))
    levels: tuple[str, ...] = ("Complete Genome",)
    per_genus: int = 1
    max_genomes: int = 0
    viral_urls: tuple[str, ...] = ncbi.VIRAL
    hosts_url: str = ncbi.HOSTS
    group_rank: str = "genus"
    url_lists: dict[str, str] = field(default_factory=dict)
    mirror: str | None = None
    checksums: dict[str, str] = field(default_factory=dict)

    @property
    def is_fetched(self) -> bool:
        """Whether the genomes come from addresses."""
        return self.source is not None or bool(self.url_lists)

    def check(self) -> None:
        """Raise `ValueError` for options of another type, or that make no sense together."""
        check_options(self)
        if self.groups not in ("similarity", "none"):
            raise ValueError(
                f"groups must be 'similarity' or 'none', not {self.groups!r}; a table of them is groups_file"
            )
        if self.source not in (None, "ncbi"):
            raise ValueError(f"source must be 'ncbi', not {self.source!r}; your own addresses go into url_lists")
        if self.is_fetched and self.data_dir is not None:
            raise ValueError("source and url_lists fetch genomes; leave the folder out, or build it on its own")
        if both := set(self.url_lists) & set(self.classes if self.source else ()):
            raise ValueError(f"url_lists names {min(both)!r}, a class of the source too; take it out of classes")
        if self.genome_from not in ("auto", "file", "record"):
            raise ValueError(f"genome_from must be auto, file or record, not {self.genome_from!r}")
        if len(self.split_fractions) != len(SPLITS):
            raise ValueError(f"split_fractions needs a share for each of {', '.join(SPLITS)}")
        if unknown := set(self.columns) - {"sequence", "label", "group", "genome_id"}:
            raise ValueError(
                f"columns names {sorted(unknown)[0]!r}; only sequence, label, group, genome_id can be named"
            )


class GenomesBuilder(datasets.ArrowBasedBuilder):
    """Build the index and the letters from FASTA folders or tables; see the card (README.md)."""

    VERSION = datasets.Version("1.0.0")
    BUILDER_CONFIG_CLASS = GenomesConfig
    BUILDER_CONFIGS = [  # noqa: RUF012 - the name and form that `datasets` expects
        GenomesConfig(name="genomes", version=VERSION, description="Genomes to draw reads from."),
    ]
    DEFAULT_CONFIG_NAME = "genomes"
    EXTRA_FILES = FILES  # written beside the Parquet files
    config: GenomesConfig

    def _info(self) -> datasets.DatasetInfo:
        self.config.check()
        self._labelled, self._names = self._classes()
        features = {
            "genome_id": datasets.Value("string"),
            "group": datasets.Value("string"),
            "label": datasets.ClassLabel(names=list(self._names)),
            "start": datasets.Value("int64"),
            "length": datasets.Value("int64"),
            "unknown": datasets.Value("int64"),
        }
        return datasets.DatasetInfo(description=self.config.description or "", features=datasets.Features(features))

    def _classes(self) -> tuple[bool, tuple[str, ...]]:
        """Whether the input names classes, and which."""
        if self.config.is_fetched:
            return True, (*(self.config.classes if self.config.source else ()), *self.config.url_lists)
        if self.config.data_dir is None:
            return False, _ONE_CLASS
        path = Path(self.config.data_dir)
        labelled = sources.names_classes(path, self.config.columns)
        return labelled, sources.class_names(path, self.config.columns) if labelled else _ONE_CLASS

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        # Beside the cache, where there is room for the data set, rather than in a /tmp that may be memory.
        with tempfile.TemporaryDirectory(prefix="genomes-", dir=self._cache_dir_root) as scratch:
            self._census = Census()
            store = write_store(self._records(), Path(scratch) / "letters.bin")
            if self._joins_similar():
                group_similar_genomes(store)
            self._census.letters.warn("the input")
            self._census.remarks.warn()
            label = np.maximum(store.label, 0)
            self._split = split_groups(
                store.groups,
                label.tolist(),
                store.genome_length.tolist(),
                self.config.split_fractions,
                seed=self.config.seed,
            )
            names = [name for name, share in zip(SPLITS, self.config.split_fractions, strict=True) if share]
            self._leakage = leakage.sketch_leakage(
                {
                    name: (
                        store.sequence(int(i)).tobytes().decode()
                        for i in store.records_of(np.flatnonzero(self._split == SPLITS.index(name)))
                    )
                    for name in names
                }
            )
            start = write_two_bit((store.sequence(i) for i in range(len(store.length))), self._output_dir)
            genome = store.genome
            self._index = pa.table(
                {
                    "genome_id": pa.array(store.genome_ids).take(pa.array(genome)),
                    "group": pa.array(store.groups).take(pa.array(genome)),
                    "label": label[genome].astype(np.int64),
                    "start": start,
                    "length": store.length,
                    "unknown": store.ambiguous,
                }
            )
            self._split_of_record = self._split[genome]
            del store
        return [datasets.SplitGenerator(name=name, gen_kwargs={"split": name}) for name in names]

    def _generate_tables(self, split: str) -> Iterator[tuple[Any, pa.Table]]:
        rows = self._index.filter(pa.array(self._split_of_record == SPLITS.index(split)))
        for first in range(0, len(rows), _ROWS_PER_TABLE):
            yield datasets.builder.Key(0, first), rows.slice(first, _ROWS_PER_TABLE)  # type: ignore[arg-type]

    def _records(self) -> Iterator[GenomeRecord]:
        config = self.config
        if config.is_fetched:
            return self._fetched()
        if config.data_dir is None:
            raise ValueError(
                "name your genomes: a folder of class folders of FASTA files, or a folder of tables; or "
                "source=ncbi fetches some"
            )
        path = Path(config.data_dir)
        if sources.has_tables(path):
            return sources.records_of_tables(
                path, self._census, columns=config.columns, names=self._names, labelled=self._labelled
            )
        return sources.records_of_fasta(
            path,
            self._census,
            names=self._names,
            genome_from=config.genome_from,
            groups_file=config.groups_file,
            labelled=self._labelled,
        )

    def _fetched(self) -> Iterator[GenomeRecord]:
        config = self.config
        folder = Path(self._cache_downloaded_dir) / "genomes"
        fetcher = ncbi.Fetcher(folder, self._census, self._names, config.mirror, config.checksums)
        if config.source is not None:
            if {"phage", "virus"} & set(config.classes):
                yield from fetcher.viruses(config.viral_urls, config.hosts_url, config.group_rank)
            for kind, url in config.summaries.items():
                if kind in config.classes or "plasmid" in config.classes:
                    listed = ncbi.read_summary(fetcher.fetch(url, f"summaries/{kind}"))
                    chosen = ncbi.choose(
                        listed, levels=config.levels, per_genus=config.per_genus, most=config.max_genomes,
                        seed=config.seed,
                    )  # fmt: skip
                    yield from fetcher.assemblies(kind, chosen)
        for kind, path in config.url_lists.items():
            yield from fetcher.listed(kind, Path(path))

    def _joins_similar(self) -> bool:
        config = self.config
        if config.is_fetched:
            return config.groups == "similarity" and config.source is None
        named = config.groups_file is not None or sources.names_groups(Path(str(config.data_dir)), config.columns)
        return config.groups == "similarity" and not named

    def report(self, files: Mapping[str, list[Path]]) -> dict[str, Any]:
        """Describe the build: what was read, what each split holds, and what splits have in common."""
        label, length = self._index["label"].to_numpy(), self._index["length"].to_numpy()
        groups = np.asarray(self._index["group"])
        genomes = np.asarray(self._index["genome_id"])
        return {
            "input": self._census.as_dict(),
            "genomes": {
                split: {
                    name: {
                        "genomes": len(set(genomes[own])),
                        "groups": len(set(groups[own])),
                        "nt": int(length[own].sum()),
                    }
                    for value, name in enumerate(self._names)
                    for own in [(self._split_of_record == SPLITS.index(split)) & (label == value)]
                }
                for split in files
            },
            "genome_leakage": self._leakage,
        }

    def report_markdown(self, report: Mapping[str, Any]) -> str:
        """The report as a section of the card."""
        return leakage.report_markdown(report)
