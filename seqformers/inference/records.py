"""What the commands that read records share: the reader with its counts, and the settings of their outputs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tqdm import tqdm

from seqformers.datasets_scripts.common.fasta import read_fasta
from seqformers.datasets_scripts.common.fasta_lines import FastaRecord
from seqformers.datasets_scripts.common.letters import LetterReport
from seqformers.datasets_scripts.common.remarks import Remarks
from seqformers.datasets_scripts.common.streams import check_source, is_stream
from seqformers.files import fingerprint
from seqformers.hub.devices import pick_device, pick_precision
from seqformers.hub.load import fingerprint_model
from seqformers.inference.repeats import RepeatedIds
from seqformers.shards import Shard
from seqformers.tokenization.reading import Reading

__all__ = ["describe_work", "gff_name", "note_repeats", "read_sequences", "settle_precision"]

_MANY_UNKNOWN = 0.05


def describe_work(folder: Path, sequences: str | Path, *, resume: bool, **options: Any) -> dict[str, Any]:
    """The settings of an output: what must be the same for a resume to go on with it.

    Args:
        folder (`Path`): Of the model.
        sequences (`str` or `Path`): The input.
        resume (`bool`): Whether this is a resume, which needs an input that can be read twice.
        **options: What decides the rows.

    Raises:
        FileNotFoundError: no such input.
        ValueError: the input is a folder, or a pipe that a resume cannot read again.
    """
    check_source(sequences, "FASTA file")
    if is_stream(sequences):
        if resume:
            raise ValueError(f"{sequences} is a pipe, which cannot be read again; --resume needs a file")
        given = "a pipe"
    else:
        found = fingerprint(sequences)
        given = f"{found['bytes']} bytes, sha256 {found['sha256']}"
    return {"model": fingerprint_model(folder), "input": given, **options, "version": version("seqformers")}


def settle_precision(name: str, device: str | None, part: Shard | None = None) -> dict[str, str]:
    """What the settings of an output say about the precision that `name` means here; nothing of fp32.

    Raises:
        ValueError: an unknown name, or one that the device or a shard cannot have.
    """
    chosen = pick_precision(name, pick_device(device))
    if chosen == "int8" and part is not None and part.count > 1:
        raise ValueError("int8 scales numbers batch by batch, so shards would not be those of one run; use bf16")
    return {} if chosen == "fp32" else {"precision": chosen}


def read_sequences(
    path: str | Path, reading: Reading, remarks: Remarks, *, progress: bool = False, held: int | None = None
) -> Iterator[FastaRecord]:
    """Records of a FASTA file with a progress bar; letters that the model's molecule does not have are refused.

    An id that comes again is no error, since rows keep the order of the records, but it is counted, as are letters
    that stand for no single base; all counts are in `remarks` at the end. With `held`, records of more letters than
    that are on disk (`LongLetters`).
    """
    report = LetterReport() if reading.is_nucleic else None
    molecule: Any = reading.molecule
    records = read_fasta(path, molecule=molecule, remarks=remarks, report=report, held=held)
    with RepeatedIds() as ids:
        for record in tqdm(records, unit=" records", disable=not progress, file=sys.stderr):
            ids.add(record.id)
            yield record
        note_repeats(ids, remarks)
    if report is not None and report.ambiguous_share > _MANY_UNKNOWN:
        odd = report.n + report.other_iupac
        remarks.note("letters are not A, C, G, T or U", f"{report.ambiguous_share:.1%} of all", odd)


def gff_name(name: str) -> str:
    """The id of a record as the first field of GFF3 takes it; `.` where a record has none.

    Examples:
        >>> gff_name("sp|P1;x"), gff_name("")
        ('sp|P1%3Bx', '.')
    """
    return quote(name, safe=".:^*$@!+_?-|") or "."


def note_repeats(ids: RepeatedIds, remarks: Remarks) -> None:
    """Count the ids that came again, with the first of them as examples."""
    count, first = ids.found(most=3)
    for place, name in enumerate(first):
        rest = 0 if place else count - len(first)
        remarks.note("ids came more than once; tell their rows apart by order", repr(name), 1 + rest)
