"""Genomes that `seqformers build genomes` wrote: an index of records over letters in a memory map."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from seqformers.datasets_scripts.common.two_bit import TwoBitLetters

__all__ = ["GenomeArrays"]

_CONFIG = "genomes"


@dataclass
class GenomeArrays:
    """Records of genomes, their letters left on disk.

    Attributes:
        letters (`TwoBitLetters`): All records after each other.
        start, length, unknown (`int64` arrays of shape `(records,)`): First letter in `letters`, letters, and letters
            other than A, C, G, T of each record.
        label (`int64` array of shape `(records,)`): Class of each record.
        group (`int64` array of shape `(records,)`): Index into `groups`.
        names (`list[str]`): The classes.
        groups (`list[str]`): The groups.
        genome_ids (`pyarrow.Array`): Genome of each record.
    """

    letters: TwoBitLetters
    start: NDArray[np.int64]
    length: NDArray[np.int64]
    unknown: NDArray[np.int64]
    label: NDArray[np.int64]
    group: NDArray[np.int64]
    names: list[str]
    groups: list[str]
    genome_ids: Any

    def __len__(self) -> int:
        return len(self.length)

    @classmethod
    def open(cls, folder: str | Path, split: str | None = None) -> GenomeArrays:
        """Open a folder that was built; nothing but the index is read.

        Args:
            folder (`str` or `Path`): Output of `seqformers build genomes`.
            split (`str`, *optional*): `train`, `validation` or `test`; default: all records.

        Raises:
            FileNotFoundError: no such folder.
            ValueError: it holds no genomes, or no such split.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise FileNotFoundError(f"no such folder: {folder}")
        files = sorted((folder / _CONFIG).glob("*.parquet"))
        found = list(dict.fromkeys(file.name.split("-")[0] for file in files))
        if not files:
            raise ValueError(f"{folder} holds no genomes; make them with `seqformers build genomes DIR -o {folder}`")
        if split is not None and split not in found:
            raise ValueError(f"the genomes in {folder} have no split {split!r}; there are: {', '.join(found)}")
        chosen = [file for file in files if split is None or file.name.split("-")[0] == split]
        table = pa.concat_tables([pq.read_table(file) for file in chosen])
        features = datasets.Features.from_arrow_schema(table.schema)
        groups = table["group"].combine_chunks().dictionary_encode()
        return cls(
            letters=TwoBitLetters.open(folder),
            group=groups.indices.to_numpy().astype(np.int64),
            names=list(features["label"].names),
            groups=groups.dictionary.to_pylist(),
            genome_ids=table["genome_id"].combine_chunks(),
            **{name: table[name].to_numpy().astype(np.int64) for name in ("start", "length", "unknown", "label")},
        )

    @staticmethod
    def is_built(folder: str | Path) -> bool:
        """Whether a folder is one of genomes."""
        return (Path(folder) / _CONFIG).is_dir() and (Path(folder) / "letters.2bit").is_file()

    def select(self, which: NDArray[Any]) -> GenomeArrays:
        """Some of the records (a mask or indices), for instance those of some groups."""
        columns = {name: getattr(self, name)[which] for name in ("start", "length", "unknown", "label", "group")}
        rows = np.flatnonzero(which) if np.asarray(which).dtype == bool else np.asarray(which)
        return GenomeArrays(
            letters=self.letters,
            names=self.names,
            groups=self.groups,
            genome_ids=self.genome_ids.take(pa.array(rows)),
            **columns,
        )

    def with_classes(self, classes: dict[str, list[str]]) -> GenomeArrays:
        """The same records under new classes, each made of some of the old; records of no class are left out.

        Args:
            classes (`dict`): New class -> old classes.

        Raises:
            ValueError: an old class that does not exist, or that is named twice.
        """
        new = np.full(len(self.names), -1, np.int64)
        for number, (name, old) in enumerate(classes.items()):
            for part in old:
                if part not in self.names:
                    raise ValueError(f"classes.{name} names {part!r}; the genomes have: {', '.join(self.names)}")
                if new[self.names.index(part)] >= 0:
                    raise ValueError(f"the class {part!r} is part of two new classes; name it once")
                new[self.names.index(part)] = number
        label = new[self.label]
        kept = self.select(label >= 0)
        kept.label, kept.names = label[label >= 0], list(classes)
        return kept
