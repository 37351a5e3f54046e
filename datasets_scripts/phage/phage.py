"""Reads and pretraining sequences from viral genomes, phage or not, as virBERT defines them (Hurmer, LMU 2022).

Configurations: `pretrain` (pieces of random length), `reads-150` and `reads-1000` (labelled windows of one length),
`hosts-150` and `hosts-1000` (labelled by the genus of the host).
Genomes are split by group before anything is cut, with the same result in every configuration of one seed.
"""

from __future__ import annotations

import tempfile
import warnings
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from seqformers.datasets_scripts.common import leakage
from seqformers.datasets_scripts.common.download import download
from seqformers.datasets_scripts.common.genomes import GenomeRecord, GenomeStore, write_store
from seqformers.datasets_scripts.common.options import check_options
from seqformers.datasets_scripts.common.similarity import group_similar_genomes
from seqformers.datasets_scripts.common.sources import mirrored
from seqformers.datasets_scripts.common.splits import fraction_ranks, match_histograms, split_groups, spread_ranks
from seqformers.datasets_scripts.common.windows import evaluation_starts, strings_of_spans
from seqformers.datasets_scripts.phage import draws, hosts, sources
from seqformers.datasets_scripts.phage.sources import LABEL_NAMES, Census

__all__ = ["PhageBuilder", "PhageConfig"]

SPLITS = ("train", "validation", "test")
_QUIRKS = ("n_filter", "expected_length", "sampling", "finetune", "test_starts", "validation")
_ROWS_PER_TABLE = 10_000
_MUCH_LEAKAGE = 0.05  # share of rows
_REFSEQ = "https://ftp.ncbi.nlm.nih.gov/refseq/release/viral/viral.{part}.1.genomic.fna.gz"
_HOSTS = "https://www.genome.jp/ftp/db/virushostdb/virushostdb.tsv"

_CITATION = """\
@thesis{hurmer2022transformer,
  author      = {Hurmer, Noah},
  title       = {Transformer Model for Genome Sequence Analysis},
  type        = {Bachelor thesis},
  institution = {LMU Munich},
  year        = {2022},
}"""


@dataclass
class PhageConfig(datasets.BuilderConfig):
    """Options of the phage data set.

    Args:
        window (`int`): Letters of a read; 0 in `pretrain`.
        seed (`int`): Seed of the split and of all draws.
        split_fractions (`tuple`): Shares of train, validation, test.
        split_by (`str`): What the shares count: `"nucleotides"`, `"genomes"` or `"groups"`.
        label_fraction (`float`): Share of the train rows of each class that is used, 0.001 to 1; whole genomes, and
            nested: a fraction holds all smaller ones.
        nested_reads (`bool`): A label fraction keeps the rows that the full set has of its genomes; if false, that
            share of the *genomes* is drawn from anew, up to the same caps and limits.
        reads_per_genome (`int`): Cap of the draws for train; 0 for the original's.
        max_mult (`float`): How far a genome below its cap may repeat windows (1: never).
        balance, balance_test (`bool`): As many rows of each class, in train and validation, and in test.
        gc_match (`bool`): Reads of both classes have the same GC distribution in every split.
        gc_bins (`int`): Bins of that distribution.
        max_train_reads, max_validation_reads, max_test_reads (`int`): Rows of a split at most; 0 for no limit.
        max_ambiguous (`float`): Rows with a larger share of letters other than A, C, G, T are not drawn.
        shortest, longest (`int`), bias, ratio (`float`): Pretraining: the law of lengths (`bias`: share that is
            `longest`), and random samples per piece that the cut gives.
        cut, sample (`bool`): Pretraining: use the cut, the random samples.
        columns (`dict`): Names of the table columns `sequence`, `label`, `group`, `genome_id`, where not the usual.
        by_host (`bool`): The class of a genome is the genus of its host: tables with a column `host`, or as
            `columns={label: ...}` names it.
        least_groups (`int`): Hosts with viruses of fewer groups are left out.
        known_hosts (`dict`): Content of the column `source` -> host, for rows that name none.
        genome_from (`str`), groups_file (`str`): How FASTA files become genomes and groups; see the card.
        groups (`str`): Where the input names no groups: `"similarity"` joins genomes that share sequence, `"none"`
            makes every genome its own group.
        source (`str`): `"refseq"` fetches NCBI's RefSeq viral release and Virus-Host DB; needs the network.
        genome_urls, hosts_url, mirror, checksums: Where from, and what the files must hash to.
        group_rank (`str`): RefSeq: `"genus"` or `"family"` stays together.
        report_kmers (`tuple`): Word lengths of the k-mer baselines in the report; empty for none.
        legacy (`bool` or list of `str`): The quirks of the original, all or by name: `n_filter` (it skips records),
            `expected_length` (wrong mean length), `sampling` (starts one too far), `finetune` (records of exactly the
            window length left out), `test_starts` (rounded), `validation` (of `pretrain`, cut from train genomes).
    """

    window: int = 0
    seed: int = 0
    split_fractions: tuple[float, ...] = (0.7, 0.1, 0.2)
    split_by: str = "nucleotides"
    label_fraction: float = 1.0
    nested_reads: bool = True
    reads_per_genome: int = 0
    max_mult: float = 1.0
    balance: bool = True
    balance_test: bool = False
    gc_match: bool = False
    gc_bins: int = 100
    max_train_reads: int = 0
    max_validation_reads: int = 0
    max_test_reads: int = 0
    max_ambiguous: float = 0.0
    shortest: int = 36
    longest: int = 510
    bias: float = 0.5
    ratio: float = 2.0
    cut: bool = True
    sample: bool = True
    columns: dict[str, str] = field(default_factory=dict)
    by_host: bool = False
    least_groups: int = 3
    known_hosts: dict[str, str] = field(default_factory=dict)
    genome_from: str = "auto"
    groups_file: str | None = None
    groups: str = "similarity"
    source: str | None = None
    genome_urls: tuple[str, ...] = tuple(_REFSEQ.format(part=part) for part in (1, 2, 3, 4))
    hosts_url: str = _HOSTS
    mirror: str | None = None
    checksums: dict[str, str] = field(default_factory=dict)
    group_rank: str = "genus"
    report_kmers: tuple[int, ...] = (4, 6)
    legacy: bool | tuple[str, ...] = False

    def is_legacy(self, quirk: str) -> bool:
        """Whether this quirk of the original is wanted."""
        return quirk in self.legacy if isinstance(self.legacy, tuple) else self.legacy

    def check(self) -> None:
        """Raise `ValueError` for options of another type, or that make no sense together."""
        # Not in `__post_init__`: options given to a builder are set on a copy of the named configuration afterwards.
        check_options(self)
        if isinstance(self.legacy, tuple) and (unknown := set(self.legacy) - set(_QUIRKS)):
            raise ValueError(f"legacy names {sorted(unknown)[0]!r}; known: {', '.join(_QUIRKS)}")
        if self.groups not in ("similarity", "none"):
            raise ValueError(
                f"groups must be 'similarity' or 'none', not {self.groups!r}; a table of them is groups_file"
            )
        if not 0.001 <= self.label_fraction <= 1:
            raise ValueError(f"label_fraction must lie between 0.001 and 1, not {self.label_fraction}")
        if self.split_by not in ("nucleotides", "genomes", "groups"):
            raise ValueError(f"split_by must be nucleotides, genomes or groups, not {self.split_by!r}")
        if len(self.split_fractions) != len(SPLITS):
            raise ValueError(f"split_fractions needs a share for each of {', '.join(SPLITS)}")
        if self.genome_from not in ("auto", "file", "record"):
            raise ValueError(f"genome_from must be auto, file or record, not {self.genome_from!r}")
        if self.source not in (None, "refseq"):
            raise ValueError(f"source must be 'refseq' or left out, not {self.source!r}")
        if self.by_host and (self.source is not None or not self.window):
            raise ValueError("by_host labels reads by tables with a column of hosts: give data_dir, and no source")
        if self.gc_match and not self.window:
            raise ValueError("gc_match is for labelled reads, not for pretraining sequences")
        if unknown := set(self.columns) - {"sequence", "label", "group", "genome_id"}:
            raise ValueError(
                f"columns names {sorted(unknown)[0]!r}; only sequence, label, group, genome_id can be named"
            )

    @property
    def caps(self) -> tuple[int, int]:
        """Windows drawn per genome for train and validation: the original's numbers unless set."""
        usual = (512, 256) if self.window < 500 else (128, 128)
        return self.reads_per_genome or usual[0], usual[1]


@dataclass
class _Rows:
    """Rows of one split before their letters are fetched; `start` counts from the record's first letter."""

    record: NDArray[np.int64]
    start: NDArray[np.int64]
    length: NDArray[np.int64]

    def take(self, which: NDArray[Any]) -> _Rows:
        return _Rows(self.record[which], self.start[which], self.length[which])

    @classmethod
    def join(cls, parts: list[_Rows]) -> _Rows:
        if not parts:
            return cls(*(np.zeros(0, dtype=np.int64) for _ in range(3)))
        return cls(
            *(np.concatenate([getattr(part, name) for part in parts]) for name in ("record", "start", "length"))
        )


class PhageBuilder(datasets.ArrowBasedBuilder):
    """Build `pretrain`, `reads-150` or `reads-1000` from FASTA folders, tables or RefSeq; see the card (README.md)."""

    VERSION = datasets.Version("1.0.0")
    skips_table = staticmethod(lambda number: False)  # set where one of several jobs makes this table of a split
    BUILDER_CONFIG_CLASS = PhageConfig
    BUILDER_CONFIGS = [  # noqa: RUF012 - the name and form that `datasets` expects
        PhageConfig(name="pretrain", version=VERSION, description="Pieces of random length for masked pretraining."),
        PhageConfig(name="reads-150", version=VERSION, window=150, description="Labelled reads of 150 nt."),
        PhageConfig(name="reads-1000", version=VERSION, window=1000, description="Labelled reads of 1000 nt."),
        PhageConfig(
            name="hosts-150", version=VERSION, window=150, by_host=True, description="Hosts, reads of 150 nt."
        ),
        PhageConfig(
            name="hosts-1000", version=VERSION, window=1000, by_host=True, description="Hosts, reads of 1000 nt."
        ),
    ]
    DEFAULT_CONFIG_NAME = "reads-150"
    config: PhageConfig

    def _info(self) -> datasets.DatasetInfo:
        self.config.check()
        self._names = self._class_names()
        features = {
            "sequence": datasets.Value("string"),
            "label": datasets.ClassLabel(names=list(self._names)),
            "genome_id": datasets.Value("string"),
            "group": datasets.Value("string"),
            "start": datasets.Value("int64"),
            "fraction_rank": datasets.Value("float32"),
        }
        return datasets.DatasetInfo(
            description=self.config.description or "",
            features=datasets.Features(features),
            citation=_CITATION,
        )

    def _class_names(self) -> tuple[str, ...]:
        config = self.config
        if config.source == "refseq" or config.data_dir is None:
            return LABEL_NAMES
        if config.by_host:
            return hosts.host_names(
                Path(config.data_dir), config.columns, config.known_hosts, least_groups=config.least_groups
            )
        return sources.class_names(Path(config.data_dir), config.columns)

    # What is drawn ---------------------------------------------------------------------------------------------

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        # Beside the cache, where there is room for the data set, rather than in a /tmp that may be memory.
        self._scratch = tempfile.TemporaryDirectory(prefix="genomes-", dir=self._cache_dir_root)
        self._census = Census()
        self._dropped: dict[str, int] = {}
        self._store = write_store(self._records(), Path(self._scratch.name) / "letters.bin")
        self._check_classes()
        self._group_genomes()
        self._census.letters.warn("the input")
        self._census.remarks.warn()
        store = self._store
        self._split = self._split_of_genomes(store)
        self._rank = self._ranks((self._split == 0).astype(float))
        names = SPLITS if self.config.window else SPLITS[:2]
        return [datasets.SplitGenerator(name=name, gen_kwargs={"split": name}) for name in names]

    def _generate_tables(self, split: str) -> Iterator[tuple[Any, pa.Table]]:
        rows = self._read_rows(split) if self.config.window else self._pretrain_rows(split)
        rows = rows.take(self._rng(split, "shuffle").permutation(len(rows.record)))
        for number, first in enumerate(range(0, len(rows.record), _ROWS_PER_TABLE)):
            part = slice(first, first + _ROWS_PER_TABLE)
            table = None if self.skips_table(number) else self._table(rows.take(part))  # type: ignore[arg-type]
            yield datasets.builder.Key(0, first), table  # type: ignore[arg-type, misc]

    def _table(self, rows: _Rows) -> pa.Table:
        store = self._store
        genome = store.genome[rows.record]
        label = store.label[genome]
        spans = strings_of_spans(store.letters, store.offset[rows.record] + rows.start, rows.length)
        return pa.table(
            {
                "sequence": spans,
                "label": pa.array(label.astype(np.int64), mask=label < 0),
                "genome_id": pa.array([store.genome_ids[i] for i in genome]),
                "group": pa.array([store.groups[i] for i in genome]),
                "start": pa.array(rows.start),
                "fraction_rank": pa.array(self._rank[genome].astype(np.float32)),
            }
        )

    def _records(self) -> Iterator[GenomeRecord]:
        records = self._source()
        return self._legacy_n_filter(records) if self.config.is_legacy("n_filter") else records

    def _source(self) -> Iterator[GenomeRecord]:
        config, labelled = self.config, bool(self.config.window)
        if config.source == "refseq":
            folder = Path(self._cache_downloaded_dir) / "refseq-viral"
            fetch = {url: mirrored(url, config.mirror) for url in (*config.genome_urls, config.hosts_url)}
            paths = {
                url: download(address, folder, checksum=config.checksums.get(address.rpartition("/")[2]))
                for url, address in fetch.items()
            }
            fasta = [paths[url] for url in config.genome_urls]
            return sources.records_of_refseq(
                fasta, paths[config.hosts_url], self._census, group_rank=config.group_rank
            )
        if config.data_dir is None:
            raise ValueError(
                "name your genomes with data_dir (a folder of class folders of FASTA, or a table), or pass "
                "source='refseq' to fetch NCBI's viral release"
            )
        path = Path(config.data_dir)
        if config.by_host:
            return hosts.records_of_hosts(
                path, self._census, columns=config.columns, names=self._names, known=config.known_hosts
            )
        if sources.has_tables(path):
            return sources.records_of_tables(
                path, self._census, columns=config.columns, names=self._names, labelled=labelled
            )
        return sources.records_of_fasta(
            path,
            self._census,
            names=self._names,
            genome_from=config.genome_from,
            groups_file=config.groups_file,
            labelled=labelled,
        )

    def _legacy_n_filter(self, records: Iterator[GenomeRecord]) -> Iterator[GenomeRecord]:
        """Drop records with an N as the original does (per class for pretraining, per genome for reads)."""
        listed = list(records)
        keys = [(record.label, record.genome_id if self.config.window else "") for record in listed]
        for label in sorted({key[0] for key in keys}):
            members: dict[str, list[int]] = {}
            for i, key in enumerate(keys):
                if key[0] == label:
                    members.setdefault(key[1], []).append(i)
            files = [[str(listed[i].sequence) for i in rows] for rows in members.values()]
            if self.config.window:
                kept = draws.legacy_drop_n_records_of_files(files)
            else:
                kept = [draws.legacy_drop_n_records(file) for file in files]
            for rows, stay in zip(members.values(), kept, strict=True):
                self._census.left_out["records with an N"] += len(rows) - len(stay)
                yield from (listed[rows[i]] for i in stay)

    def _check_classes(self) -> None:
        found = sorted(set(self._store.label.tolist()))
        if self.config.window and len(found) < 2:
            wanted = (
                f"both classes ({' and '.join(LABEL_NAMES)})" if self._names == LABEL_NAMES else "two classes or more"
            )
            raise ValueError(f"all genomes are {self._names[found[0]]}; labelled reads need {wanted}")

    def _group_genomes(self) -> None:
        """Group genomes that share sequence, unless the user or the source says what belongs together."""
        config, store = self.config, self._store
        if config.source == "refseq" or config.groups_file is not None or config.groups == "none":
            return
        if sources.names_groups(Path(str(config.data_dir)), config.columns):
            return
        group_similar_genomes(store)

    def _split_of_genomes(self, store: GenomeStore) -> NDArray[np.int64]:
        sizes: NDArray[Any] = store.genome_length
        if self.config.split_by == "genomes":
            sizes = np.ones(len(store.groups))
        elif self.config.split_by == "groups":
            _, group, counts = np.unique(store.groups, return_inverse=True, return_counts=True)
            sizes = 1.0 / counts[group]
        try:
            return split_groups(
                store.groups, store.label.tolist(), sizes.tolist(), self.config.split_fractions, seed=self.config.seed
            )
        except ValueError as error:
            if len(set(store.groups)) < len(store.groups) and "groups" in str(error):
                raise ValueError(f"{error} (groups=none would split genomes of similar sequence)") from None
            raise

    def _ranks(self, weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """Label-fraction rank of each train genome, shares counted in `weight`; 0 for all others."""
        names, labels = self._store.genome_ids, self._store.label.tolist()
        rank = fraction_ranks(names, labels, weight.tolist(), seed=self.config.seed)
        return np.where(self._split == 0, rank, 0.0)

    def _genomes(self, split: str, *, fraction: bool) -> NDArray[np.int64]:
        chosen = self._split == SPLITS.index(split)
        if fraction:
            chosen &= self._rank < self.config.label_fraction
        return np.flatnonzero(chosen)

    def _rng(self, *names: str) -> np.random.Generator:
        return np.random.default_rng([self.config.seed, zlib.crc32("\0".join(names).encode())])

    # Labelled reads --------------------------------------------------------------------------------------------

    def _read_rows(self, split: str) -> _Rows:
        config = self.config
        fraction = split == "train" and config.label_fraction < 1
        genomes = self._genomes(split, fraction=fraction and not config.nested_reads)
        drawn = self._test_windows(genomes) if split == "test" else self._finetune_windows(split, genomes)
        rows = drawn.take(self._clean(drawn, split))
        self._check_rows(rows, split)
        limit = {
            "train": config.max_train_reads,
            "validation": config.max_validation_reads,
            "test": config.max_test_reads,
        }[split]
        rows = rows.take(self._select(rows, split, limit))
        if split == "train" and config.nested_reads:
            genome = self._store.genome[rows.record]
            self._rank = self._ranks(np.bincount(genome, minlength=len(self._store.genome_ids)).astype(float))
            rows = rows.take(self._rank[genome] < config.label_fraction) if fraction else rows
        return rows

    def _check_rows(self, rows: _Rows, split: str) -> None:
        """Raise `ValueError` for a split without rows, or without rows of a class."""
        found = set(self._store.label[self._store.genome[rows.record]].tolist())
        missing = [name for label, name in enumerate(self._names) if label not in found]
        shortest = self.config.window or self.config.shortest
        if not found or (missing and self.config.window):
            alike = len(set(self._store.groups)) < len(self._store.groups) and self.config.groups != "none"
            raise ValueError(
                f"no row of {' or '.join(missing)} for the split {split}: its genomes are shorter than {shortest} nt, "
                "ambiguous throughout, or too few; give more genomes, finer groups or other split_fractions"
                + (" (groups=none would split genomes of similar sequence)" if alike else "")
            )

    def _finetune_windows(self, split: str, genomes: NDArray[np.int64]) -> _Rows:
        store, window = self._store, self.config.window
        cap = self.config.caps[0 if split == "train" else 1]
        order = np.argsort(store.genome, kind="stable")
        bounds = np.searchsorted(store.genome[order], np.arange(len(store.genome_ids) + 1))
        parts = []
        for genome in genomes:
            records = order[bounds[genome] : bounds[genome + 1]]
            lengths = store.length[records]
            if self.config.is_legacy("finetune"):
                name = zlib.crc32(store.genome_ids[genome].encode())
                state = np.random.RandomState([self.config.seed, name])
                pairs = draws.legacy_finetune_starts(
                    lengths.tolist(), window, cap, state, max_mult=self.config.max_mult
                )
                which, start = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
            else:
                rng = self._rng(split, store.genome_ids[genome])
                # Some spare draws stand in for windows with ambiguous letters, which are dropped afterwards.
                spare = cap // 4 if store.ambiguous[records].any() else 0
                which, start = draws.finetune_starts(lengths, window, cap + spare, rng, max_mult=self.config.max_mult)
            parts.append(_Rows(records[which], start, np.full(len(start), window)))
        short = int((store.length[store.records_of(genomes)] < window).sum())
        self._count(f"{split}: records shorter than {window} nt", short)
        return _Rows.join(parts)

    def _test_windows(self, genomes: NDArray[np.int64]) -> _Rows:
        store, config = self._store, self.config
        rng = self._rng("test", "windows")
        parts = []
        for record in store.records_of(genomes):
            start = evaluation_starts(
                int(store.length[record]),
                config.window,
                rng,
                legacy_rounding=config.is_legacy("test_starts"),
            )
            parts.append(_Rows(np.full(len(start), record), start, np.full(len(start), config.window)))
        self._count(f"test: records shorter than {config.window} nt", sum(len(part.start) == 0 for part in parts))
        return _Rows.join(parts)

    def _clean(self, rows: _Rows, split: str) -> NDArray[np.bool_]:
        """Rows without too many ambiguous letters; for fine-tuning draws also those within the genome's cap."""
        if self.config.is_legacy("n_filter"):
            return np.ones(len(rows.record), dtype=bool)
        good = self._store.clean(self._store.offset[rows.record] + rows.start, rows.length, self.config.max_ambiguous)
        self._count(f"{split}: windows with ambiguous letters", int((~good).sum()))
        if split != "test":
            cap = self.config.caps[0 if split == "train" else 1]
            genome = self._store.genome[rows.record].astype(np.int64)
            good[good] = spread_ranks(genome[good], self._rng(split, "cap")) < cap
        return good

    def _select(self, rows: _Rows, split: str, limit: int) -> NDArray[np.bool_]:
        """Match GC, balance the classes and apply the limit, spreading what is taken over the genomes."""
        config, store = self.config, self._store
        genome = store.genome[rows.record].astype(np.int64)
        label = store.label[genome].astype(np.int64)
        rng = self._rng(split, "select")
        rank = spread_ranks(genome, rng) + rng.random(len(genome))
        if config.gc_match:
            return match_histograms(self._gc_bins(rows), label, rank, rows=limit or None)
        if config.balance if split != "test" else config.balance_test:
            return match_histograms(np.zeros(len(rows.record), dtype=np.int64), label, rank, rows=limit or None)
        chosen = np.ones(len(rows.record), dtype=bool)
        if limit and limit < len(chosen):
            chosen[np.argsort(rank)[limit:]] = False
        return chosen

    def _gc_bins(self, rows: _Rows) -> NDArray[np.int64]:
        store, window = self._store, self.config.window
        strong = np.zeros(256, dtype=bool)
        strong[list(b"GC")] = True
        count = np.empty(len(rows.record), dtype=np.int64)
        view = np.lib.stride_tricks.sliding_window_view(store.letters, window)
        absolute = store.offset[rows.record] + rows.start
        for first in range(0, len(count), _ROWS_PER_TABLE):
            part = slice(first, first + _ROWS_PER_TABLE)
            count[part] = strong[view[absolute[part]]].sum(axis=1)
        return np.minimum(count * self.config.gc_bins // window, self.config.gc_bins - 1)

    # Pretraining -----------------------------------------------------------------------------------------------

    def _pretrain_rows(self, split: str) -> _Rows:
        config, store = self.config, self._store
        law = draws.LengthLaw(config.shortest, config.longest, config.bias)
        genomes = self._genomes("train" if config.is_legacy("validation") else split, fraction=False)
        if split == "train" and config.label_fraction < 1:
            genomes = self._genomes(split, fraction=True)
        parts = []
        for record in store.records_of(genomes):
            length = int(store.length[record])
            for start, size in self._pieces(split, int(record), length, law):
                parts.append(_Rows(np.full(len(start), record), start, size))
        self._count(
            f"{split}: records shorter than {law.lower} nt",
            int((store.length[store.records_of(genomes)] < law.lower).sum()),
        )
        rows = _Rows.join(parts)
        if not config.is_legacy("n_filter"):
            good = store.clean(store.offset[rows.record] + rows.start, rows.length, config.max_ambiguous)
            self._count(f"{split}: pieces with ambiguous letters", int((~good).sum()))
            rows = rows.take(good)
        self._check_rows(rows, split)
        limit = config.max_train_reads if split == "train" else config.max_validation_reads
        if limit and limit < len(rows.record):
            rows = rows.take(np.sort(self._rng(split, "limit").choice(len(rows.record), limit, replace=False)))
        return rows

    def _pieces(
        self, split: str, record: int, length: int, law: draws.LengthLaw
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        config = self.config
        rng = self._rng(split, self._store.genome_ids[self._store.genome[record]], str(length), str(record))
        if config.cut:
            sizes = draws.cut_lengths(length, law, rng)
            yield np.cumsum(sizes) - sizes, sizes
        if not config.sample:
            return
        if config.is_legacy("sampling"):
            state = np.random.RandomState(rng.integers(2**32, dtype=np.uint32))
            spans = np.array(draws.legacy_sample_spans(length, config.ratio, law, state), dtype=np.int64).reshape(
                -1, 2
            )
            yield spans[:, 0], spans[:, 1]
        else:
            yield draws.sample_spans(length, config.ratio, law, rng, legacy_mean=config.is_legacy("expected_length"))

    # Report ----------------------------------------------------------------------------------------------------

    def _count(self, what: str, number: int) -> None:
        if number:
            self._dropped[what] = number
            warnings.warn(f"{number:,} dropped ({what})", stacklevel=3)

    def report(self, files: Mapping[str, list[Path]]) -> dict[str, Any]:
        """Describe the build: what was read and dropped, leakage between splits, and what shortcuts score."""
        store = self._store
        result: dict[str, Any] = {"input": self._census.as_dict(), "dropped": self._dropped, "genomes": {}}
        for i, name in enumerate(SPLITS):
            chosen = self._split == i
            result["genomes"][name] = {
                label: {
                    "genomes": int((chosen & (store.label == value)).sum()),
                    "groups": len({store.groups[j] for j in np.flatnonzero(chosen & (store.label == value))}),
                    "nt": int(store.genome_length[chosen & (store.label == value)].sum()),
                }
                for value, label in enumerate(self._names)
            }
        records = {name: store.records_of(np.flatnonzero(self._split == i)) for i, name in enumerate(SPLITS)}
        result["genome_leakage"] = leakage.sketch_leakage(
            {name: (store.sequence(int(i)).tobytes().decode() for i in which) for name, which in records.items()}
        )
        samples = {name: leakage.read_sample(paths, seed=self.config.seed) for name, paths in files.items()}
        if self.config.window:
            result["read_leakage"] = leakage.read_leakage(samples)
            self._warn_of_leakage(result["read_leakage"])
            result["shortcuts"] = leakage.shortcuts(samples, self._names, kmers=self.config.report_kmers)
        return result

    def _warn_of_leakage(self, found: Mapping[str, Any]) -> None:
        for split, row in found["splits"].items():
            if row["half"] > _MUCH_LEAKAGE:
                warnings.warn(
                    f"{row['half']:.1%} of the {split} rows share at least half of their {found['k']}-mers with "
                    "train: a score on them says how well near-copies are recalled; group the genomes "
                    "(groups_file, or groups=similarity)",
                    stacklevel=2,
                )

    def report_markdown(self, report: Mapping[str, Any]) -> str:
        """The report as a section of the card."""
        return leakage.report_markdown(report)
