"""Speed and memory of find-phages on one core: megabases a second from FASTA file to table.

    OMP_NUM_THREADS=1 python -m benchmarks.speed.find_phages

Made-up contigs of 10 kb, one of 10 Mb and one of 100 Mb: the rate does not depend on what the letters say. Loading the
model is in none of the rates; memory is the highest of the process up to then.
"""

from __future__ import annotations

import resource
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks._results import time_call, write_result
from seqformers.phages.find import find_phage_files

_MEGABASES = 4
_PART = 1_000_000  # letters made at a time


def _contigs(path: Path, count: int, length: int) -> Path:
    generator = np.random.default_rng(0)
    with path.open("wb") as file:
        for number in range(count):
            file.write(b">c%d\n" % number)
            for start in range(0, length, _PART):
                drawn = generator.integers(0, 4, min(_PART, length - start), np.uint8)
                file.write(np.frombuffer(b"ACGT", np.uint8)[drawn].tobytes())
            file.write(b"\n")
    return path


def _peak() -> float:
    """MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Time many short contigs, then ever longer ones."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        empty = _contigs(place / "one.fa", 1, 500)
        many = _contigs(place / "many.fa", _MEGABASES * 100, 10_000)
        long = _contigs(place / "long.fa", 1, 10_000_000)
        longest = _contigs(place / "longest.fa", 1, 100_000_000)

        def run(source: Path) -> None:
            find_phage_files(source, place / "t.tsv", overwrite=True, device="cpu", progress=False)

        load = time_call(lambda: run(empty), repeats=5)
        work = time_call(lambda: run(many), repeats=5)
        peaks = [_peak()]
        for source in (long, longest):
            whole = time_call(lambda given=source: run(given), repeats=1, warm_up=0)
            peaks.append(_peak())
    result = {
        "megabases_per_s": _MEGABASES / (work["median_cpu_s"] - load["median_cpu_s"]),
        "contig_of_100_megabases_per_s": 100 / (whole["median_cpu_s"] - load["median_cpu_s"]),
        "start_s": load["median_cpu_s"],
        "peak_mib_of_10_kb_contigs": peaks[0],
        "peak_mib_of_10_mb_contig": peaks[1],
        "peak_mib_of_100_mb_contig": peaks[2],
    }
    write_result("speed_find_phages", result, data="made-up contigs")
    print(result)


if __name__ == "__main__":
    main()
