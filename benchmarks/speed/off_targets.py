"""Speed and memory of off-target search: `score-guides --genome` on a made-up genome, index built and index at hand.

    python -m benchmarks.speed.off_targets                       # 100 Mb
    python -m benchmarks.speed.off_targets --megabases 3000 --work /tmp/genome --repeats 1

The guides are those of a piece of the genome long enough for 1,000; up to 4 mismatches. The whole command runs as a
user runs it, in its own process, whose peak memory is read. Search alone is timed beside comparing every guide with
every site, in alternation; of a genome above 200 Mb that contender is left out.
"""

from __future__ import annotations

import argparse
import csv
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._results import write_result
from seqformers.guides.genome_index import GenomeIndex, open_index
from seqformers.guides.neighbours import find_neighbours
from seqformers.guides.packing import pack_codes
from seqformers.guides.sites import Pam

CONTIG, LINE, MISMATCHES = 125_000_000, 100, 4
LETTERS_A_GUIDE = 43  # TTTV on both strands of random letters


def write_genome(path: Path, letters: int) -> str:
    """Write random contigs as FASTA; return the first of them."""
    rng, first = np.random.default_rng(0), ""
    with path.open("wb") as file:
        for number, start in enumerate(range(0, letters, CONTIG)):
            size = min(CONTIG, letters - start) // LINE * LINE
            bases = np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, size, dtype=np.uint8)].reshape(-1, LINE)
            file.write(b">contig%d\n" % number)
            file.write(np.hstack([bases, np.full((len(bases), 1), 10, np.uint8)]).tobytes())
            first = first or bases[:20_000].tobytes().decode()
    return first


def whole_command(gene: Path, genome: Path, output: Path) -> dict[str, Any]:
    """`score-guides` in a process of its own."""
    words = ["score-guides", gene, "--model", "fast", "--genome", genome, "-o", output, "--overwrite"]
    call = "import sys; from seqformers.cli import main; sys.argv = ['seqformers', *sys.argv[1:]]; main()"
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", call, *map(str, words)], check=True, capture_output=True)
    seconds = time.perf_counter() - start
    with output.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert all(row["on_target"] for row in rows), "a guide was not found at its own place"
    hits = sum(int(row[f"off_targets_{number}"]) for row in rows for number in range(MISMATCHES + 1))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return {"seconds": round(seconds, 2), "guides": len(rows), "off_targets": hits, "peak_gb": round(peak / 1e9, 2)}


def search(index: GenomeIndex, count: int, repeats: int, *, contender: bool) -> dict[str, Any]:
    """Search alone, by blocks and, in alternation, by looking at every site."""
    packed, unknown = pack_codes(np.random.default_rng(1).integers(0, 4, (count, 23)))
    ways = {"by blocks": 0} | ({"every site": count} if contender else {})
    times: dict[str, list[float]] = {name: [] for name in ways}
    hits: dict[str, int] = {}
    for _ in range(repeats):
        for name, few in ways.items():
            start = time.perf_counter()
            found = find_neighbours(index, packed, unknown, MISMATCHES, few=few)
            hits[name] = sum(len(some) for _, some in found)
            times[name].append(time.perf_counter() - start)
    assert len(set(hits.values())) == 1, hits
    rows = {name: {"median_s": round(statistics.median(values), 2)} for name, values in times.items()}
    if contender:
        rows["every site"]["times_slower"] = round(rows["every site"]["median_s"] / rows["by blocks"]["median_s"], 1)
    return rows


def measure(folder: Path, megabases: int, guides: int, repeats: int) -> dict[str, Any]:
    genome, gene = folder / f"genome_{megabases}.fa", folder / "gene.fa"
    first = write_genome(genome, megabases * 1_000_000)
    gene.write_text(f">gene\n{first[1_000 : 1_000 + LETTERS_A_GUIDE * guides]}\n")
    index = folder / f"{genome.name}.TTTV.guide-sites"
    runs: dict[str, list[dict[str, Any]]] = {"index built": [], "index at hand": []}
    for _ in range(repeats):
        shutil.rmtree(index, ignore_errors=True)
        for name in runs:
            runs[name].append(whole_command(gene, genome, folder / "out.tsv"))
    found = open_index(genome, Pam("TTTV"))
    commands = {}
    for name, rows in runs.items():
        seconds = [row["seconds"] for row in rows]
        peak = max(row["peak_gb"] for row in rows)
        commands[name] = {**rows[0], "seconds": statistics.median(seconds), "runs": seconds, "peak_gb": peak}
    return {
        "bases": megabases * 1_000_000, "sites": len(found), "mismatches": MISMATCHES, "whole command": commands,
        "search alone": search(found, guides, repeats, contender=megabases <= 200),
        "index_bytes": sum(path.stat().st_size for path in index.iterdir()),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabases", type=int, default=100)
    parser.add_argument("--guides", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--work", type=Path, help="folder for genome and index; default: a temporary one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
        result = measure(Path(folder), arguments.megabases, arguments.guides, arguments.repeats)
    print(result)
    name = "speed_off_targets" + ("" if arguments.megabases == 100 else f"_{arguments.megabases}")
    print(write_result(name, result, data=f"{arguments.megabases:,} Mb of random bases", seeds=[0]))


if __name__ == "__main__":
    main()
