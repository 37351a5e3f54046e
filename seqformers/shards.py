"""One share of a job, for array jobs (SLURM, Nextflow, Snakemake), and the joining of what the shares wrote.

A shard is a run of consecutive records (or rows, or pairs), so that its table is a piece of the whole one. Who gets a
record depends on the letters before it alone: shards take about equally long, whatever the lengths. Each shard reads
the input from its start, which is quick beside any model, and says in its settings which one it is; `merge_tables`
joins the tables of all shards of one call into the bytes that a single run writes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from seqformers.datasets_scripts.common.fasta import read_fasta
from seqformers.datasets_scripts.common.remarks import Remarks
from seqformers.datasets_scripts.common.streams import is_stream
from seqformers.files import Output, record_of_output
from seqformers.tables import TABLE_SUFFIXES, join_tables

__all__ = ["Shard", "ShardRecord", "complete_shards", "merge_tables"]

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Shard:
    """Which share of a job this is: by default the whole.

    Args:
        number (`int`): Which one, 1 to `count`.
        count (`int`): How many there are.

    Examples:
        >>> Shard.parse("2/3").span(10), Shard.parse(None).span(10)
        ((3, 6), (0, 10))
    """

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str | None, *inputs: str | Path) -> Shard:
        """The shard that `i/n` means; None is the whole.

        Args:
            text (`str`, *optional*): `i/n` with i from 1 to n.
            *inputs (`str` or `Path`): What the job reads: files, which every shard can read again.

        Raises:
            ValueError: it is no such pair of numbers, or an input is a pipe.
        """
        if text is None:
            return cls()
        found = re.fullmatch(r"\s*([0-9]+)\s*/\s*([0-9]+)\s*", str(text))
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise ValueError(f"shard is {text!r}; expected i/n, the i-th of n shares, i from 1 to n, for example 2/8")
        for given in inputs:
            if is_stream(given):
                raise ValueError(f"{given} is a pipe, which only one process can read; shards need a file")
        return cls(int(found[1]), int(found[2]))

    @property
    def settings(self) -> dict[str, str]:
        """What the settings of an output say about the shard; nothing where it is the whole."""
        return {} if self.count == 1 else {"shard": f"{self.number}/{self.count}"}

    def span(self, total: int) -> tuple[int, int]:
        """First and one past the last of `total` equal items that are this shard's."""
        return total * (self.number - 1) // self.count, total * self.number // self.count

    def of_items(self, items: Iterable[_Item], total: int) -> Iterator[_Item]:
        """This shard's share of `total` items that take equally long."""
        return islice(iter(items), *self.span(total))

    def of_records(self, records: Iterable[Any], source: str | Path, *, held: int | None = None) -> Iterator[Any]:
        """This shard's records (each has a `sequence`) out of all of them, balanced by letters.

        Args:
            records (iterable): All records that can be used, in file order; they are read to the end, so that what
                there is to say about the file is said by every shard.
            source (`str` or `Path`): The file they come from, which is read once more to count its letters.
            held (`int`, *optional*): Letters of a record that are held meanwhile, as of `read_fasta`.
        """
        if self.count == 1:
            yield from records
            return
        total, before = max(_count_letters(source, held), 1), 0
        for record in records:
            length = len(record.sequence)
            # Whose share the middle of the record lies in.
            place = min((2 * before + length) * self.count // (2 * total), self.count - 1)
            before += length
            if place == self.number - 1:
                yield record


def _count_letters(source: str | Path, held: int | None) -> int:
    """Letters of all records of a file; what cannot be read is left to who reads it for good."""
    total = 0
    try:
        for record in read_fasta(source, remarks=Remarks("skip"), held=held):
            total += len(record.sequence)
    except ValueError:
        pass
    return total


@dataclass(frozen=True)
class ShardRecord:
    """A finished shard as its record beside it (of a folder: in it) tells of it.

    Args:
        path (`Path`): Its file or folder.
        shard (`Shard`): Which one.
        job (`str`): What wrote it.
        settings (`dict`): Those of the whole job.
    """

    path: Path
    shard: Shard
    job: str
    settings: dict[str, Any]

    @classmethod
    def read(cls, path: str | Path) -> ShardRecord:
        """The record of one shard.

        Raises:
            FileNotFoundError: it is not there, or not finished.
            ValueError: nothing is known of it, it is no shard, or it changed after it was written.
        """
        path = Path(path)
        record = record_of_output(path)
        if not path.exists():
            begun = path.with_name(path.name + ".partial").exists()
            raise FileNotFoundError(
                f"{path} is not finished; run its job again with --resume" if begun else f"no such shard: {path}"
            )
        try:
            found = json.loads(record.read_text(encoding="utf-8"))
            job, settings = str(found["job"]), dict(found["settings"])
        except (OSError, ValueError, KeyError, TypeError):
            raise ValueError(
                f"{path}: what it was written with is not known ({record} is missing or torn); keep {record.name} "
                "with each shard when it is moved or copied"
            ) from None
        if "shard" not in settings:
            raise ValueError(f"{path} is no shard: it was written without --shard i/n")
        if path.is_file() and found.get("bytes") not in (None, path.stat().st_size):
            raise ValueError(
                f"{path} has {path.stat().st_size:,} bytes, but was written with {found['bytes']:,}; it was changed "
                "or cut short: run that shard again"
            )
        return cls(path, Shard.parse(settings.pop("shard")), job, settings)


def complete_shards(paths: Sequence[str | Path]) -> list[ShardRecord]:
    """All shards of one job in their order, whatever the order they are named in.

    Raises:
        FileNotFoundError: a shard is not there, or not finished.
        ValueError: they are of different jobs, one is missing, or one is there twice; the message names it.
    """
    if not paths:
        raise ValueError("name the shards to merge, for example shard-*.tsv")
    shards = [ShardRecord.read(path) for path in paths]
    first = shards[0]
    for other in shards[1:]:
        _refuse_other_work(first, other)
    by_number: dict[int, ShardRecord] = {}
    for shard in shards:
        if (twin := by_number.setdefault(shard.shard.number, shard)) is not shard:
            raise ValueError(f"{twin.path} and {shard.path} are both shard {shard.shard.number}/{shard.shard.count}")
    count = first.shard.count
    missing = [f"{number}/{count}" for number in range(1, count + 1) if number not in by_number]
    if missing:
        raise ValueError(f"shard {', '.join(missing)} is missing; run it, then merge all {count}")
    return [by_number[number] for number in range(1, count + 1)]


def _refuse_other_work(first: ShardRecord, other: ShardRecord) -> None:
    for what, one, two in (
        ("the job", first.job, other.job),
        ("the number of shards", first.shard.count, other.shard.count),
        ("the format", first.path.suffix, other.path.suffix),
        *((key, first.settings.get(key), other.settings.get(key)) for key in {**first.settings, **other.settings}),
    ):
        if one != two:
            raise ValueError(
                f"{first.path} and {other.path} are not of the same call: {what} is {one!r} in the first and {two!r} "
                "in the other"
            )


def merge_tables(
    shards: Sequence[ShardRecord], output: str | Path, *, overwrite: bool = False, resume: bool = False
) -> Path:
    """Join the tables of all shards into the table, and its record, that a single run writes.

    Args:
        shards (sequence of `ShardRecord`): As `complete_shards` gives them.
        output (`str` or `Path`): Table of the shards' format.
        overwrite (`bool`): Replace an existing output once the new one is whole.
        resume (`bool`): Keep a finished output of the same job.

    Raises:
        ValueError: another format, or shards whose columns differ.
        FileExistsError: the output is there.
    """
    output, paths = Path(output), [shard.path for shard in shards]
    if output.suffix != paths[0].suffix or output.suffix not in TABLE_SUFFIXES:
        raise ValueError(
            f"the shards are {paths[0].suffix} tables; give the output the same ending, not {output.name}"
        )
    job, settings = shards[0].job, shards[0].settings
    with Output(output, job, inputs=paths, settings=settings, overwrite=overwrite, resume=resume) as place:
        if not place.finished:
            place.start().unlink(missing_ok=True)  # of a merge that was interrupted
            join_tables(paths, place.partial, output.suffix[1:])
            place.finish()
    return output
