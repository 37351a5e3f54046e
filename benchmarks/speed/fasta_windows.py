"""FASTA to windows: this package, Biopython with slices (as virBERT did), and a plain copy of the file's bytes.

    python -m benchmarks.speed.fasta_windows

Random genomes of 0.5 Mnt in lines of 80 letters go to a letter matrix of 150-nt windows, on one thread. Rates are file
bytes per second, by CPU time (which other programs on the machine do not lengthen) and by wall time.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._results import time_call, write_result
from seqformers.datasets_scripts.common.fasta import read_fasta
from seqformers.datasets_scripts.common.letters import LetterReport
from seqformers.datasets_scripts.common.windows import letters_of, strings_of_spans, take_windows, window_starts
from seqformers.datasets_scripts.phage.draws import LengthLaw, cut_lengths

WINDOW, RECORD, LINE = 150, 480_000, 80
RATES = {"mb_per_cpu_s": "median_cpu_s", "mb_per_wall_s": "median_s", "mb_per_wall_s_best": "min_s"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=100, help="size of the generated FASTA file")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = write_fasta(Path(folder) / "genomes.fa", arguments.megabytes)
        content = path.read_bytes()
        contenders: dict[str, tuple[Callable[[], Any], int]] = {
            "copy of the bytes in memory": (lambda: bytearray(content), arguments.repeats),
            "read the file": (path.read_bytes, arguments.repeats),
            "seqformers, windows": (lambda: windows(path), arguments.repeats),
            "seqformers, windows, letters checked and counted": (lambda: windows(path, check=True), arguments.repeats),
            "seqformers, pieces of random length as Arrow strings": (lambda: pieces(path), arguments.repeats),
            "Biopython and slices of str": (lambda: biopython(path), 3),
        }
        assert windows(path) == biopython(path)
        rates = {name: rate(call, repeats, len(content)) for name, (call, repeats) in contenders.items()}
    ours = rates["seqformers, windows"]["mb_per_cpu_s"]
    for name, row in rates.items():
        row["windows_rate_over_this"] = round(ours / row["mb_per_cpu_s"], 3)
        print(f"{name:55s} {row['mb_per_cpu_s']:9.1f} MB/s CPU {row['mb_per_wall_s']:9.1f} MB/s wall")
    data = f"{arguments.megabytes} MB of random genomes, numpy default_rng(0)"
    print(write_result("speed_fasta_windows", {"threads": 1, "rates": rates}, data=data, seeds=[0]))


def write_fasta(path: Path, megabytes: int) -> Path:
    rng = np.random.default_rng(0)
    end = np.full((RECORD // LINE, 1), ord("\n"), np.uint8)
    with path.open("wb") as file:
        for i in range(max(1, megabytes * 1_000_000 // RECORD)):
            letters = np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, RECORD, dtype=np.uint8)]
            file.write(b">genome%d\n" % i + np.hstack([letters.reshape(-1, LINE), end]).tobytes())
    return path


def windows(path: Path, *, check: bool = False) -> int:
    options: dict[str, Any] = {"molecule": "dna", "unique_ids": True, "report": LetterReport()} if check else {}
    rows = 0
    for record in read_fasta(path, **options):
        letters = letters_of(record.sequence)
        rows += len(take_windows(letters, window_starts(len(letters), WINDOW, tail="drop"), WINDOW))
    return rows


def pieces(path: Path) -> int:
    rng, law, rows = np.random.default_rng(0), LengthLaw(), 0
    for record in read_fasta(path):
        letters = letters_of(record.sequence)
        lengths = cut_lengths(len(letters), law, rng)
        rows += len(strings_of_spans(letters, np.cumsum(lengths) - lengths, lengths))
    return rows


def biopython(path: Path) -> int:
    from Bio import SeqIO

    rows = 0
    for record in SeqIO.parse(path, "fasta"):
        text = str(record.seq)
        rows += len([text[i : i + WINDOW] for i in range(0, len(text) - WINDOW + 1, WINDOW)])
    return rows


def rate(call: Callable[[], Any], repeats: int, size: int) -> dict[str, Any]:
    seconds = time_call(call, repeats=repeats, warm_up=1)
    rates = {name: round(size / 1e6 / seconds[key], 1) for name, key in RATES.items()}
    return {**rates, "repeats": repeats}


if __name__ == "__main__":
    main()
