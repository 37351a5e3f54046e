"""The PAM sites of a genome, packed and kept beside its FASTA file, so that a second search starts at once.

`genome.fa.TTTV.guide-sites` is a folder: `sites.u64` (protospacer in bits 0-45, PAM in 46-53, strand in 54),
`at.u32` (lowest letter of the PAM in its contig), `odd.npz` (sites with unknown letters) and `index.json` (contigs,
and the SHA-256 of the FASTA file's bytes). It is built beside its place and renamed when whole; an index of another
file content is built again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile

import numpy as np

from seqformers.datasets_scripts.common.fasta import read_fasta
from seqformers.datasets_scripts.common.remarks import Remarks
from seqformers.datasets_scripts.common.streams import check_source, is_stream
from seqformers.files import Output
from seqformers.guides.packing import GUIDE_BITS, pack_sites
from seqformers.guides.sites import PAM_LENGTH, PROTOSPACER, Pam

__all__ = ["GenomeIndex", "SitesPart", "open_index"]

_FORMAT = 1
_PAM_SHIFT, _STRAND_SHIFT = np.uint64(2 * PROTOSPACER), np.uint64(2 * PROTOSPACER + 2 * PAM_LENGTH)
_JOB = "score-guides index"
_HASHED = 1 << 20


@dataclass
class SitesPart:
    """Consecutive sites of an index.

    Args:
        first (`int`): Number of the first of them.
        sites (`np.ndarray` of `uint64`): As in `sites.u64`.
        odd (`np.ndarray` of `int64`): Those of them that hold unknown letters, counted from `first`.
        unknown (`np.ndarray` of `uint64`): The lower bit of each unknown letter of those.
    """

    first: int
    sites: np.ndarray
    odd: np.ndarray
    unknown: np.ndarray

    @property
    def guides(self) -> np.ndarray:
        """Packed protospacers."""
        return self.sites & GUIDE_BITS


class GenomeIndex:
    """An index on disk.

    Args:
        folder (`Path`): Where it lies.
        genome (`Path`): Its FASTA file.
    """

    def __init__(self, folder: Path, genome: Path):
        self.folder, self.genome = folder, genome
        self.about: dict[str, Any] = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        self.contigs = [name for name, _, _ in self.about["contigs"]]
        self._firsts = np.array([first for _, _, first in self.about["contigs"]], np.int64)
        with np.load(folder / "odd.npz") as found:
            self._odd, self._unknown = found["odd"], found["unknown"]

    def __len__(self) -> int:
        return int(self.about["sites"])

    @property
    def letters(self) -> int:
        """Letters of the genome."""
        return sum(length for _, length, _ in self.about["contigs"])

    def parts(self, size: int) -> Iterator[SitesPart]:
        """All sites in order, so many at a time."""
        with (self.folder / "sites.u64").open("rb") as file:
            for first in range(0, len(self), size):
                sites = np.fromfile(file, np.uint64, min(size, len(self) - first))
                rows = slice(*np.searchsorted(self._odd, [first, first + len(sites)]))
                yield SitesPart(first, sites, self._odd[rows] - first, self._unknown[rows])

    def places(self, sites: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Contig, and lowest letter of the PAM in it, of sites by their number."""
        if not len(self):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        at = np.memmap(self.folder / "at.u32", np.uint32, mode="r")
        return np.searchsorted(self._firsts, sites, side="right") - 1, at[sites].astype(np.int64)

    @staticmethod
    def pams(sites: np.ndarray) -> np.ndarray:
        """Packed PAMs of values of `sites.u64`."""
        return (sites >> _PAM_SHIFT).astype(np.uint8)

    @staticmethod
    def reverse(sites: np.ndarray) -> np.ndarray:
        """Whether values of `sites.u64` are on the reverse strand."""
        return (sites >> _STRAND_SHIFT & np.uint64(1)).astype(bool)


def open_index(
    genome: str | Path,
    pam: Pam,
    *,
    folder: str | Path | None = None,
    remarks: Remarks | None = None,
    advance: Callable[[int], object] = lambda letters: None,
) -> GenomeIndex:
    """The index of a genome: the one that is there if it is of these very bytes, else a new one.

    Args:
        genome (`str` or `Path`): FASTA file, plain or compressed.
        pam (`Pam`): Whose sites.
        folder (`str` or `Path`, *optional*): Where indexes are kept; default: beside the genome.
        remarks (`Remarks`, *optional*): Told of an index that had to be built again, and of odd letters.
        advance (callable): Hears how many letters were indexed.

    Raises:
        FileNotFoundError: there is no such genome.
        ValueError: it is a stream, no FASTA file, has a contig twice, no letters, or the folder cannot be written.
        OSError: another process builds this index.
    """
    genome, remarks = Path(genome), Remarks("raise") if remarks is None else remarks
    check_source(genome, "genome")
    if is_stream(genome):
        raise ValueError(f"{genome} can be read only once; save the genome as a file")
    place = Path(folder) if folder is not None else genome.parent
    path = place / f"{genome.name}.{pam.pattern.replace(',', '-')}.guide-sites"
    checksum = _checksum(genome)
    if path.is_dir():
        found = _usable(path, genome)
        if found is not None and found.about["sha256"] == checksum:
            return found
        why = "is torn" if found is None else f"is of another content of {genome.name}"
        remarks.note("indexes were not used but built again", f"{path.name} {why}")
    try:
        with Output(path, _JOB, inputs=[genome], folder=True, overwrite=True) as output:
            _build(output.start(), genome, pam, checksum, remarks, advance)
            output.finish()
    except PermissionError as error:
        raise ValueError(f"cannot write the index {path}: {error.strerror}; name a folder with --index") from error
    return GenomeIndex(path, genome)


def _usable(path: Path, genome: Path) -> GenomeIndex | None:
    """The index in a folder, if its files are all there and of the sizes they should have."""
    try:
        found = GenomeIndex(path, genome)
        sizes = [(path / name).stat().st_size for name in ("sites.u64", "at.u32")]
    except (OSError, EOFError, ValueError, KeyError, TypeError, BadZipFile):
        return None
    whole = found.about.get("format") == _FORMAT and sizes == [8 * len(found), 4 * len(found)]
    return found if whole and isinstance(found.about.get("sha256"), str) else None


def _checksum(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_HASHED):
            digest.update(chunk)
    return digest.hexdigest()


def _build(
    folder: Path, genome: Path, pam: Pam, checksum: str, remarks: Remarks, advance: Callable[[int], object]
) -> None:
    contigs: list[tuple[str, int, int]] = []
    odd, unknown = [np.empty(0, np.int64)], [np.empty(0, np.uint64)]
    count = 0
    with (folder / "sites.u64").open("wb") as sites, (folder / "at.u32").open("wb") as at:
        for record in read_fasta(genome, molecule="dna", unique_ids=True, remarks=remarks):
            contigs.append((record.id, len(record.sequence), count))
            for part in pack_sites(record.sequence, pam):
                odd.append(part.odd + count)
                unknown.append(part.unknown)
                (part.guides | _tags(part.pams, part.reverse)).tofile(sites)
                part.at.tofile(at)
                count += len(part)
            advance(len(record.sequence))
        _to_disk(sites)
        _to_disk(at)
    if not any(length for _, length, _ in contigs):
        raise ValueError(f"{genome} holds no letters; expected the contigs of a genome")
    np.savez(folder / "odd.npz", odd=np.concatenate(odd), unknown=np.concatenate(unknown))
    about = {"format": _FORMAT, "pam": pam.pattern, "sha256": checksum, "sites": count, "contigs": contigs}
    (folder / "index.json").write_text(json.dumps(about), encoding="utf-8")


def _tags(pams: np.ndarray, reverse: np.ndarray) -> np.ndarray:
    return pams.astype(np.uint64) << _PAM_SHIFT | reverse.astype(np.uint64) << _STRAND_SHIFT


def _to_disk(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
