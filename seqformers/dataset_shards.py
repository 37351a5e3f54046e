"""A data set built in shards: the tables that a builder yields, each made by one job, kept as files in between.

Every shard reads the input and plans the whole data set; of the tables of a split it makes those whose number falls
to it. The merge plans once more and takes the tables from the shards, so that all else (Parquet files, card, report)
comes out as of a single build.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from seqformers.shards import Shard

__all__ = ["CALL", "BuildCall", "keep_tables", "plain_tables", "use_tables"]

CALL = "call.txt"
_TABLES = "tables"


@dataclass(frozen=True)
class BuildCall:
    """What `build_dataset` was called with; text and back, without a pickle."""

    dataset: str
    name: str | None
    data_dir: str | Path | None
    max_shard_size: str | int
    options: dict[str, Any]

    def as_text(self) -> str:
        """Python literals; a path is text."""
        options = {key: str(value) if isinstance(value, Path) else value for key, value in self.options.items()}
        folder = None if self.data_dir is None else str(self.data_dir)
        return repr((self.dataset, self.name, folder, self.max_shard_size, options)) + "\n"

    @classmethod
    def from_text(cls, text: str) -> BuildCall:
        """The call that `as_text` wrote.

        Examples:
            >>> call = BuildCall("phage", None, "genomes", "500MB", {"seed": 1, "splits": (0.8, 0.2)})
            >>> BuildCall.from_text(call.as_text()) == call
            True
        """
        return cls(*ast.literal_eval(text))


def keep_tables(builder: Any, part: Shard, folder: Path) -> None:
    """Make `builder` write the tables of one shard into `folder` in place of Parquet files."""
    make = builder._generate_tables

    def others(number: int) -> bool:
        return number % part.count != part.number - 1

    def generate(**arguments: Any) -> Iterator[tuple[Any, Any]]:
        place = _place(folder, arguments)
        place.mkdir(parents=True)
        for number, (key, table) in enumerate(make(**arguments)):
            if table is None or others(number):
                continue
            with pa.ipc.new_file(place / f"{number:08d}.arrow", table.schema) as writer:
                writer.write_table(table)
            yield key, table.slice(0, 0)

    builder.skips_table, builder._generate_tables = others, generate


def plain_tables(builder: Any) -> None:
    """Make `builder` give its tables as they would come out of a file: of that size, as the card states it."""
    make = builder._generate_tables

    def generate(**arguments: Any) -> Iterator[tuple[Any, Any]]:
        for key, table in make(**arguments):
            file = pa.BufferOutputStream()
            with pa.ipc.new_file(file, table.schema) as writer:
                writer.write_table(table)
            yield key, pa.ipc.open_file(file.getvalue()).read_all()

    builder._generate_tables = generate


def use_tables(builder: Any, folders: Sequence[Path]) -> None:
    """Make `builder` take its tables from the folders of all shards, in their order."""
    make = builder._generate_tables

    def generate(**arguments: Any) -> Iterator[tuple[Any, Any]]:
        for number, (key, _) in enumerate(make(**arguments)):
            path = _place(folders[number % len(folders)], arguments) / f"{number:08d}.arrow"
            if not path.is_file():
                raise ValueError(f"{path} is missing; build that shard again")
            with pa.OSFile(str(path)) as file:
                yield key, pa.ipc.open_file(file).read_all()

    builder.skips_table, builder._generate_tables = lambda number: True, generate


def _place(folder: Path, arguments: dict[str, Any]) -> Path:
    """Folder of a split's tables; a split is known by what its generator is given."""
    split = arguments.get("split", arguments.get("part"))
    if split is None:
        raise ValueError("this data set is built in one go; leave --shard (or --engine ray) out")
    return folder / _TABLES / str(split)
