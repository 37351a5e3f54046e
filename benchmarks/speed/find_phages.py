"""Speed and memory of find-phages on one core: megabases a second from FASTA file to table.

    OMP_NUM_THREADS=1 python -m benchmarks.speed.find_phages

Made-up contigs of 10 kb and one of 50 Mb: the rate does not depend on what the letters say. Loading the model is in
none of the rates; memory is the highest of the process.
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


def _contigs(path: Path, count: int, length: int) -> Path:
    generator = np.random.default_rng(0)
    with path.open("wb") as file:
        for number in range(count):
            letters = np.frombuffer(b"ACGT", np.uint8)[generator.integers(0, 4, length)]
            file.write(b">c%d\n%s\n" % (number, letters.tobytes()))
    return path


def main() -> None:
    """Time many short contigs, then one long one."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        empty = _contigs(place / "one.fa", 1, 500)
        many = _contigs(place / "many.fa", _MEGABASES * 100, 10_000)
        long = _contigs(place / "long.fa", 1, 50_000_000)

        def run(source: Path) -> None:
            find_phage_files(source, place / "t.tsv", overwrite=True, device="cpu", progress=False)

        load = time_call(lambda: run(empty), repeats=5)
        work = time_call(lambda: run(many), repeats=5)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        whole = time_call(lambda: run(long), repeats=1, warm_up=0)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = {
        "megabases_per_s": _MEGABASES / (work["median_cpu_s"] - load["median_cpu_s"]),
        "contig_of_50_megabases_per_s": 50 / (whole["median_cpu_s"] - load["median_cpu_s"]),
        "start_s": load["median_cpu_s"],
        "peak_mib_of_10_kb_contigs": before / 1024,
        "peak_mib_of_50_mb_contig": after / 1024,
    }
    write_result("speed_find_phages", result, data="made-up contigs")
    print(result)


if __name__ == "__main__":
    main()
